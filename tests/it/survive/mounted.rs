//! Disks on file systems of their own: one fills up, one stalls. It takes root, a loop device and ext4.

use super::{serving, status, until, whole};
use crate::support::{self, MIB};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use strongroom_tests::{Cluster, Content};

/// A disk's folder on a file system in a file.
pub(crate) struct Mounted {
    folder: PathBuf,
    image: PathBuf,
}

impl Mounted {
    /// Puts what a disk of a stopped cluster holds on a file system of so many bytes, in its place.
    pub(crate) fn mount(cluster: &Cluster, disk: u8, bytes: u64) -> Self {
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

    /// From now on no write returns.
    pub(crate) fn freeze(&self) {
        run(Command::new("fsfreeze").arg("-f").arg(&self.folder));
    }

    /// Those that wait return.
    pub(crate) fn thaw(&self) {
        run(Command::new("fsfreeze").arg("-u").arg(&self.folder));
    }

    /// Takes all room that is left.
    pub(crate) fn fill(&self) {
        let filler = self.filler();
        let (mut length, mut step) = (0_u64, 1 << 30);
        while step >= 4096 {
            let mut allocate = Command::new("fallocate");
            let end = (length + step).to_string();
            let taken = allocate.args(["-l", &end]).arg(&filler).output().unwrap();
            if taken.status.success() {
                length += step;
            } else {
                step /= 2;
            }
        }
        assert!(length > 0, "there was no room to take");
    }

    /// Gives that room back.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
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
    small.fill();
    objects.extend(put_and_check(&client, "full", 16, 32 * MIB).await);
    let health = status(&cluster)["health"].clone();
    assert_eq!(
        health["tolerates"], 1,
        "what it lacks is recorded: {health}"
    );
    assert!(cluster.is_alive());
    small.empty();
    whole(&cluster).await;
    for (key, content) in &objects {
        support::check(&client, "data", key, *content)
            .await
            .unwrap();
    }
    assert!(cluster.stop().unwrap().success());
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
    stalling.freeze();
    let began = std::time::Instant::now();
    objects.extend(put_and_check(&client, "stalled", 10, 6 * MIB).await);
    let took = began.elapsed();
    eprintln!("a stalled disk: 10 uploads and downloads in {took:?}");
    until("it is told", || serving(&cluster) == 5).await;
    let told = status(&cluster)["disks"].to_string();
    assert!(told.contains("Stalled"), "{told}");
    stalling.thaw();
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
