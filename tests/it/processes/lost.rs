//! An acknowledged write that is lost on purpose, to see whether the judge of histories finds it.

use super::face::Face;
use super::history::{BUCKET, Shared};
use super::metadata::client_of;
use crate::support::make_bucket;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;
use strongroom_register::namespace::check;
use strongroom_tests::{Dice, Joined, wait_until};
use tokio::task::block_in_place;

const SOON: Duration = Duration::from_secs(60);
const BLOCK: usize = 4096;
/// Each frame of a log begins with it, on a block (docs/formats/raft.md).
const FRAME: &[u8] = b"SRfr";

/// The newest file of a server's log, and where in it its frames begin.
fn frames(cluster: &Joined, at: usize) -> (PathBuf, Vec<usize>) {
    let folder = cluster.folder(&format!("metadata-{at}")).join("log");
    let files = fs::read_dir(folder).unwrap();
    let logs = files.map(|entry| entry.unwrap().path());
    let newest = logs.filter(|path| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("log-")
    });
    let newest = newest.max().unwrap();
    let bytes = fs::read(&newest).unwrap();
    let blocks = bytes.chunks(BLOCK).enumerate();
    let begin = blocks.filter(|(_, block)| block.starts_with(FRAME));
    (
        newest.clone(),
        begin.map(|(block, _)| block * BLOCK).collect(),
    )
}

/// Takes the end of a log away behind its server's back, from a frame on.
fn cut(cluster: &Joined, at: usize, (path, kept): &(PathBuf, usize)) {
    let (newest, found) = frames(cluster, at);
    assert_eq!(&newest, path, "it went on to another file");
    assert!(found.len() > *kept, "nothing to take away");
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let end = file.metadata().unwrap().len();
    let from = found[*kept] as u64;
    let length = usize::try_from(end - from).unwrap();
    file.write_all_at(&vec![0; length], from).unwrap();
    file.sync_all().unwrap();
}

/// A write that was acknowledged and is gone from all servers is found: the history up to it is explained, and with a
/// read behind it no longer.
/// Method: clients at work for a moment; then one write more; all servers are killed, and the end of each log is zeroed
/// from before that write on, as if disks had lied; what is found then is judged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_write_is_found() {
    let (mut dice, _) = Dice::announced("lost");
    let mut cluster = Joined::start("lost-write", 3, 1, 1).unwrap();
    let client = client_of(&cluster, &cluster.gateway);
    make_bucket(&client, BUCKET).await;
    let shared = Shared::new(1);
    let face = Face::S3(client);
    let faces = [face.clone(), face.clone()];
    let tasks = shared.send(&faces, "lost/", &mut dice);
    tokio::time::sleep(Duration::from_millis(500)).await;
    shared.stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let mut one = shared.alone(&face, "lost/", &mut dice);
    assert!(one.writes(0).await);
    // Every server has it, before anything is taken away behind it.
    block_in_place(|| {
        wait_until("all have it", SOON, || {
            let members = cluster.members().unwrap_or_default();
            members.iter().all(|one| one["behind"].as_u64() == Some(0))
        });
    });
    let kept: Vec<(PathBuf, usize)> = (0..3)
        .map(|at| frames(&cluster, at))
        .map(|(path, frames)| (path, frames.len()))
        .collect();
    assert!(one.writes(0).await);
    block_in_place(|| {
        for (_, server) in &mut cluster.metadata {
            server.kill().unwrap();
        }
    });
    let explained = check(&shared.seen.lock().unwrap()).unwrap();
    assert!(explained > 50, "hardly any load: {explained}");
    block_in_place(|| {
        for (at, kept) in kept.iter().enumerate() {
            cut(&cluster, at, kept);
        }
        for (_, server) in &mut cluster.metadata {
            server.start().unwrap();
        }
        wait_until("somebody leads", SOON, || cluster.leader().is_ok());
    });
    let deadline = std::time::Instant::now() + SOON;
    while !one.reads(0).await {
        assert!(std::time::Instant::now() < deadline, "it is never answered");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let judged = check(&shared.seen.lock().unwrap());
    let anomaly = judged.expect_err("the write is lost, and nobody finds it");
    eprintln!("lost: {explained} operations explained, then: {anomaly}");
}
