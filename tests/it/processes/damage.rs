//! Metadata servers whose files are damaged while they are down: the cache, the snapshot, the log, the slot.
//!
//! ```text
//! cache             made anew from snapshot and log, on one server and on all at once
//! cache, snapshot   the leader sends its snapshot: the log is whole, and tells what this server answered for
//! log, slot         refused, saying what to do: another server takes its place
//! ```

use super::metadata::client_of;
use crate::support::{self, make_bucket};
use aws_sdk_s3::Client;
use futures::StreamExt;
use futures::stream;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use strongroom_tests::{Content, Joined, Machines, wait_until};
use tokio::task::block_in_place;

const SOON: Duration = Duration::from_secs(60);
const BUCKET: &str = "damaged";
/// Short files, snapshots soon, a short tail: what production does in days happens in seconds.
const MACHINES: Machines = Machines {
    apart: false,
    clocks: false,
    log_mib: None,
    keys: &[
        "log_file_mib = 1",
        "snapshot_after_mib = 1",
        "keep_entries = 100",
    ],
};
/// Objects that are written at once.
const TOGETHER: usize = 16;

fn object(number: u64) -> (String, Content) {
    (
        format!("object-{number:05}"),
        Content::new(number, 100 + number % 900),
    )
}

async fn write(client: &Client, numbers: std::ops::Range<u64>) {
    let puts = stream::iter(numbers).map(|number| async move {
        let (key, content) = object(number);
        support::put(client, BUCKET, &key, content).await.unwrap();
    });
    puts.buffer_unordered(TOGETHER).collect::<()>().await;
}

async fn check(client: &Client, numbers: std::ops::Range<u64>) {
    let reads = stream::iter(numbers).map(|number| async move {
        let (key, content) = object(number);
        support::check(client, BUCKET, &key, content).await.unwrap();
    });
    reads.buffer_unordered(TOGETHER).collect::<()>().await;
}

/// Writes until every server has a snapshot and its log was purged. How many objects there are then.
async fn write_until_purged(cluster: &Joined, client: &Client) -> u64 {
    let purged = |at: usize| {
        let log = log(cluster, at);
        log.join("snapshot").exists() && !log.join("log-00000001").exists()
    };
    let mut written = 0;
    while !(0..cluster.metadata.len()).all(purged) {
        assert!(written < 20_000, "no log is purged");
        write(client, written..written + 200).await;
        written += 200;
    }
    written
}

fn log(cluster: &Joined, at: usize) -> PathBuf {
    cluster.folder(&format!("metadata-{at}")).join("log")
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// What may happen to a cache.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Deleted,
    Truncated,
    Flipped,
}

const HARMS: [Harm; 3] = [Harm::Deleted, Harm::Truncated, Harm::Flipped];

fn harm(cluster: &Joined, at: usize, harm: Harm) {
    let cache = cluster.folder(&format!("metadata-{at}")).join("sled");
    let rows = cache.join("rows");
    let largest = || {
        let files = fs::read_dir(&rows)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.is_file());
        files
            .max_by_key(|path| fs::metadata(path).unwrap().len())
            .unwrap()
    };
    match harm {
        Harm::Deleted => fs::remove_dir_all(&cache).unwrap(),
        Harm::Truncated => {
            let file = OpenOptions::new().write(true).open(largest()).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }
        Harm::Flipped => {
            let largest = largest();
            let length = fs::metadata(&largest).unwrap().len();
            for at in (0..length).step_by(997) {
                flip(&largest, at);
            }
        }
    }
}

/// Waits until all servers hold the same, as the leader knows.
fn caught_up(cluster: &Joined) {
    wait_until("all have caught up", SOON, || {
        let members = cluster.members().unwrap_or_default();
        let well = |one: &serde_json::Value| {
            one["behind"].as_u64() < Some(20) && one["silent_ms"].as_u64() < Some(2_000)
        };
        members.len() == cluster.metadata.len() && members.iter().all(well)
    });
}

/// The cache is one: deleted, truncated or flipped, on one server or on all at once, it is made anew from snapshot and
/// log, though the log's beginning is gone. Where one server's snapshot is damaged as well, the leader sends its own,
/// and that server is worth its vote again.
/// Method: write until all logs were purged; stop, harm, start; read every object, at last with the healed server and
/// one other alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_is_rebuilt() {
    let mut cluster = Joined::start_on("damage-state", MACHINES, 3, 1, 1).unwrap();
    let client = client_of(&cluster, &cluster.gateway);
    make_bucket(&client, BUCKET).await;
    let mut written = write_until_purged(&cluster, &client).await;
    block_in_place(|| {
        for (at, how) in HARMS.into_iter().enumerate() {
            cluster.metadata[at].1.stop().unwrap();
            harm(&cluster, at, how);
            cluster.metadata[at].1.start().unwrap();
            caught_up(&cluster);
        }
    });
    check(&client, 0..written).await;
    write(&client, written..written + 50).await;
    written += 50;

    block_in_place(|| {
        for (_, server) in &mut cluster.metadata {
            server.kill().unwrap();
        }
        for (at, how) in HARMS.into_iter().enumerate() {
            harm(&cluster, (at + 1) % 3, how);
        }
        for (_, server) in &mut cluster.metadata {
            server.start().unwrap();
        }
        caught_up(&cluster);
    });
    let rebuilt = cluster.said("is rebuilt from snapshot and log").unwrap();
    assert!(rebuilt >= 6, "{rebuilt} caches were rebuilt");
    check(&client, 0..written).await;

    // One has lost cache and snapshot, and has its log.
    let lost = block_in_place(|| {
        let lost = (cluster.leader().unwrap() + 1) % 3;
        cluster.metadata[lost].1.stop().unwrap();
        lost
    });
    write(&client, written..written + 50).await;
    written += 50;
    block_in_place(|| {
        harm(&cluster, lost, Harm::Deleted);
        let snapshot = log(&cluster, lost).join("snapshot");
        let length = fs::metadata(&snapshot).unwrap().len();
        flip(&snapshot, length / 2);
        cluster.metadata[lost].1.start().unwrap();
        caught_up(&cluster);
        assert_eq!(
            cluster
                .said("this server's state came from a peer")
                .unwrap(),
            1
        );
        let leader = cluster.leader().unwrap();
        let other = (0..3).find(|at| ![lost, leader].contains(at)).unwrap();
        cluster.metadata[other].1.kill().unwrap();
        wait_until("somebody leads", SOON, || cluster.leader().is_ok());
    });
    write(&client, written..written + 50).await;
    check(&client, 0..written + 50).await;
}

/// Whether a server does not start.
fn refuses(cluster: &mut Joined, at: usize) -> bool {
    let server = &mut cluster.metadata[at].1;
    let refused = server.start().is_err();
    server.kill().unwrap();
    refused
}

/// One whose log or slot is damaged serves nothing, and says what is to be done. Done, the cluster bears the loss of
/// another server again, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_costs_its_server() {
    let mut cluster = Joined::start("damage-log", 3, 1, 1).unwrap();
    let client = client_of(&cluster, &cluster.gateway);
    make_bucket(&client, BUCKET).await;
    write(&client, 0..50).await;
    let damaged = block_in_place(|| {
        let damaged = cluster.leader().unwrap();
        cluster.metadata[damaged].1.stop().unwrap();
        let slot = cluster.folder(&format!("metadata-{damaged}")).join("slot");
        for (path, at) in [
            (log(&cluster, damaged).join("log-00000001"), 5 * 4096 + 100),
            (slot, 50),
        ] {
            flip(&path, at);
            assert!(refuses(&mut cluster, damaged), "{}", path.display());
            flip(&path, at);
        }
        let told = "take this server out (metadata remove), and join a new one";
        assert_eq!(cluster.said(told).unwrap(), 1, "of the log");
        let told = "restore it, or take this server out (metadata remove)";
        assert_eq!(cluster.said(told).unwrap(), 1, "of the slot");
        flip(&log(&cluster, damaged).join("log-00000001"), 5 * 4096 + 100);
        damaged
    });
    write(&client, 50..100).await;
    block_in_place(|| {
        wait_until("somebody leads", SOON, || cluster.leader().is_ok());
        let gone = cluster.metadata[damaged].0.to_string();
        cluster.command(&["metadata", "remove", &gone]).unwrap();
        cluster.command(&["server", "rm", &gone]).unwrap();
        let new = cluster.join_metadata().unwrap();
        cluster
            .command(&["metadata", "add", &new.to_string()])
            .unwrap();
        // What is left of the old one stays refused; the others do not need it.
        assert!(refuses(&mut cluster, damaged));
        let leader = cluster.leader().unwrap();
        cluster.metadata[leader].1.kill().unwrap();
        wait_until("somebody leads", SOON, || cluster.leader().is_ok());
    });
    write(&client, 100..150).await;
    check(&client, 0..150).await;
}
