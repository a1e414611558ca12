//! Disks on file systems of their own: one fills up, one stalls. It takes root, a loop device and ext4.

use super::{serving, status, until, whole};
use crate::support::{self, MIB};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use strongroom_tests::{Cluster, Content};

/// A disk's folder on a file system in a file.
struct Mounted {
    folder: PathBuf,
    image: PathBuf,
}

impl Mounted {
    /// Puts what a disk of a stopped cluster holds on a file system of so many bytes, in its place.
    fn mount(cluster: &Cluster, disk: u8, bytes: u64) -> Self {
        let folder = cluster.disk(disk);
        let image = folder.with_extension("image");
        fs::File::create(&image).unwrap().set_len(bytes).unwrap();
        run(Command::new("mkfs.ext4")
            .args(["-q", "-m", "0"])
            .arg(&image));
        let kept = folder.with_extension("kept");
        fs::rename(&folder, &kept).unwrap();
        fs::create_dir(&folder).unwrap();
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(&folder));
        let mounted = Self { folder, image };
        fs::remove_dir(mounted.folder.join("lost+found")).unwrap();
        for entry in fs::read_dir(&kept).unwrap() {
            let path = entry.unwrap().path();
            run(Command::new("cp")
                .arg("--sparse=always")
                .arg(&path)
                .arg(&mounted.folder));
        }
        mounted
    }

    fn freeze(&self, flag: &str) {
        run(Command::new("fsfreeze").arg(flag).arg(&self.folder));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Frozen, it cannot be unmounted; one that is not frozen says so.
        let _ = Command::new("fsfreeze")
            .arg("-u")
            .arg(&self.folder)
            .output();
        let _ = Command::new("umount").arg("-l").arg(&self.folder).output();
        let _ = fs::remove_file(&self.image);
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

async fn put_and_check(
    client: &aws_sdk_s3::Client,
    name: &str,
    count: u64,
    length: u64,
) -> Vec<(String, Content)> {
    let mut objects = Vec::new();
    for number in 0..count {
        let (key, content) = (format!("{name}-{number}"), Content::new(number, length));
        let stored = support::put(client, "data", &key, content).await;
        stored.unwrap_or_else(|error| panic!("{key}: {error:?}"));
        support::check(client, "data", &key, content).await.unwrap();
        objects.push((key, content));
    }
    objects
}

/// A full disk takes no more: uploads go on without it, reads of what it has, too, and what it lacks is
/// recorded. When there is room again, all of that is made on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_done_without() {
    let mut cluster = Cluster::start("full-disk").unwrap();
    support::make_bucket(&support::client(&cluster), "data").await;
    cluster.stop().unwrap();
    let small = Mounted::mount(&cluster, 3, 400 * MIB);
    cluster.start_again().unwrap();
    let client = support::client(&cluster);
    let mut objects = put_and_check(&client, "before", 4, 6 * MIB).await;
    let inside = small.folder.join("filler");
    fill(&inside);
    objects.extend(put_and_check(&client, "full", 16, 32 * MIB).await);
    let health = status(&cluster)["health"].clone();
    assert_eq!(
        health["tolerates"], 1,
        "what it lacks is recorded: {health}"
    );
    assert!(cluster.is_alive());
    fs::remove_file(&inside).unwrap();
    whole(&cluster).await;
    for (key, content) in &objects {
        support::check(&client, "data", key, *content)
            .await
            .unwrap();
    }
    assert!(cluster.stop().unwrap().success());
}

fn fill(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    let block = vec![1; 1 << 20];
    while file.write_all(&block).is_ok() {}
    while file.write_all(&block[..4096]).is_ok() {}
    let _ = file.sync_all();
}

/// A disk whose writes do not return holds up nobody: uploads and reads go on, it is told as stalled, and when
/// it moves again what it missed is made on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_disk_is_done_without() {
    let mut cluster = Cluster::start("stalled-disk").unwrap();
    support::make_bucket(&support::client(&cluster), "data").await;
    cluster.stop().unwrap();
    let stalling = Mounted::mount(&cluster, 1, 400 * MIB);
    cluster.start_again().unwrap();
    let client = support::client(&cluster);
    let mut objects = put_and_check(&client, "before", 3, 6 * MIB).await;
    stalling.freeze("-f");
    let began = std::time::Instant::now();
    objects.extend(put_and_check(&client, "stalled", 10, 6 * MIB).await);
    let took = began.elapsed();
    eprintln!("a stalled disk: 10 uploads and downloads in {took:?}");
    until("it is told", || serving(&cluster) == 5).await;
    let told = status(&cluster)["disks"].to_string();
    assert!(told.contains("Stalled"), "{told}");
    stalling.freeze("-u");
    until("it serves again", || serving(&cluster) == 6).await;
    whole(&cluster).await;
    for (key, content) in &objects {
        support::check(&client, "data", key, *content)
            .await
            .unwrap();
    }
    assert!(took.as_secs() < 60, "{took:?}");
    assert!(cluster.stop().unwrap().success());
}
