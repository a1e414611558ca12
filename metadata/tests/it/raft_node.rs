//! One metadata server: what it acknowledged it keeps, whatever becomes of power, store and files.

use crate::raft_support::{MARKER, Server, eventually, keep, keep_bytes, kept};
use disk::Disk;
use disk::sim::{Fate, Operation, SimDisk};
use futures::FutureExt;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use strongroom_metadata::raft::{
    LogOpenError, Network, Node, RebuildError, SnapshotError, StartError,
};
use strongroom_metadata::reply::Refusal;
use strongroom_metadata::{LogError, Reply, Store};
use types::{ByteCount, ByteOffset};

/// What was proposed can be read, and after a restart still.
#[tokio::test(start_paused = true)]
async fn a_server_proposes_reads_and_restarts() {
    let mut server = Server::new(7, &Network::new(), 1);
    let node = server.alone().await.unwrap();
    for number in 0..5 {
        assert_eq!(node.propose(keep(number)).await.unwrap(), Reply::Done);
    }
    assert!(kept(&node, 4).await.unwrap());
    assert!(!kept(&node, 5).await.unwrap());
    assert_eq!(node.status().leader, Some(server.id()));
    node.shutdown().await;
    assert!(node.propose(keep(9)).await.is_err());
    drop(node);

    server.after_kill();
    let node = server.alone().await.unwrap();
    assert!(kept(&node, 4).await.unwrap());
    assert_eq!(node.propose(keep(5)).await.unwrap(), Reply::Done);
    node.shutdown().await;
}

/// What encodes to more than 256 KiB is refused before it reaches the log; what is just below is not.
#[tokio::test(start_paused = true)]
async fn a_proposal_that_is_too_large_reaches_no_log() {
    let server = Server::new(7, &Network::new(), 1);
    let node = server.alone().await.unwrap();
    node.propose(keep(0)).await.unwrap();
    let last = node.status().last;
    let large = node.propose(keep_bytes(1, 256 << 10)).await.unwrap();
    assert_eq!(large, Reply::Refused(Refusal::TooLarge));
    assert_eq!(node.status().last, last);
    let small = node.propose(keep_bytes(1, 255 << 10)).await.unwrap();
    assert_eq!(small, Reply::Done);
    assert!(node.status().last > last);
    node.shutdown().await;
}

/// Lookups that arrive together are answered together, and see what was acknowledged before them.
#[tokio::test(start_paused = true)]
async fn reads_see_what_was_acknowledged_before() {
    let server = Server::new(7, &Network::new(), 1);
    let node = server.alone().await.unwrap();
    for number in 0..20 {
        node.propose(keep(number)).await.unwrap();
        let reads = (0..16).map(|_| kept(&node, number));
        let found = futures::future::join_all(reads).await;
        assert!(found.into_iter().all(|found| found.unwrap()));
    }
    node.shutdown().await;
}

/// Power may go at any write, sync, create, rename or remove: nothing acknowledged is lost, and the
/// server starts by itself.
/// Method: cut at each change in turn, with a snapshot and a purge under way; start from what is left,
/// with the store as it was, which may be ahead of the log.
#[tokio::test(start_paused = true)]
async fn power_loss_keeps_what_was_acknowledged() {
    let mut cut = 0;
    loop {
        let mut server = Server::new(7, &Network::new(), cut);
        server.config.keep_entries = 2;
        server.disk.cut_at_change(cut);
        let acknowledged = workload(&server).await;
        if !server.disk.is_cut() {
            assert_eq!(acknowledged.len(), 8);
            assert!(cut > 20, "the workload has {cut} changes only");
            return;
        }
        server.closed().await;
        server.after_power_cut(cut);
        let node = server.alone().await;
        let node = node.unwrap_or_else(|error| panic!("cut {cut}: {error}"));
        for number in acknowledged {
            assert!(kept(&node, number).await.unwrap(), "cut {cut}: {number}");
        }
        assert_eq!(node.propose(keep(100)).await.unwrap(), Reply::Done);
        node.shutdown().await;
        cut += 1;
    }
}

/// Writes, takes a snapshot, writes on; says what was acknowledged before the power went.
async fn workload(server: &Server) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    let Ok(node) = server.alone().await else {
        return acknowledged;
    };
    for number in 0..8 {
        if node.propose(keep(number)).await.is_ok() {
            acknowledged.push(number);
        }
        if number == 4 {
            // Whether it worked shows when the server starts from it.
            drop(node.snapshot_now().await);
        }
    }
    node.shutdown().await;
    acknowledged
}

/// The store is a cache: whatever is done to it while the server is down, the server rebuilds it by
/// itself, from the log, or from snapshot and log once the log is purged.
#[tokio::test(start_paused = true)]
async fn a_damaged_store_is_rebuilt() {
    for purge in [false, true] {
        for damage in [delete, truncate, flip] {
            let mut server = Server::new(7, &Network::new(), 1);
            server.config.keep_entries = 0;
            let node = server.alone().await.unwrap();
            for number in 0..30 {
                node.propose(keep(number)).await.unwrap();
            }
            if purge {
                purged(&node).await;
            }
            node.propose(keep(30)).await.unwrap();
            let digest = digest(&node).await;
            node.shutdown().await;
            drop(node);

            damage(server.store());
            server.after_kill();
            let node = server.alone().await.unwrap();
            for number in 0..31 {
                assert!(kept(&node, number).await.unwrap(), "{number}");
            }
            assert_eq!(self::digest(&node).await, digest);
            node.shutdown().await;
        }
    }
}

/// A store that has applied what its log does not hold is not believed: the log decides.
/// Method: start with the log as it was before the last proposals.
#[tokio::test(start_paused = true)]
async fn a_store_ahead_of_its_log_is_rebuilt() {
    let mut server = Server::new(7, &Network::new(), 1);
    let node = server.alone().await.unwrap();
    for number in 0..5 {
        node.propose(keep(number)).await.unwrap();
    }
    node.shutdown().await;
    drop(node);
    let before = server.disk.restart();
    server.after_kill();
    let node = server.alone().await.unwrap();
    for number in 5..10 {
        node.propose(keep(number)).await.unwrap();
    }
    node.shutdown().await;
    drop(node);

    server.disk = before;
    let node = server.alone().await.unwrap();
    for number in 0..10 {
        assert_eq!(kept(&node, number).await.unwrap(), number < 5, "{number}");
    }
    assert_eq!(node.propose(keep(7)).await.unwrap(), Reply::Done);
    node.shutdown().await;
}

async fn digest(node: &Node) -> [u8; 32] {
    let digest = node.linearizable(|store| store.digest().unwrap()).await;
    digest.unwrap()
}

/// Writes a snapshot and waits until the log is purged behind it.
async fn purged(node: &Node) {
    node.snapshot_now().await.unwrap();
    eventually("the log is purged", || {
        let status = node.status();
        status.purged.is_some() && status.purged == status.snapshot
    })
    .await;
}

fn delete(store: &Path) {
    fs::remove_dir_all(store).unwrap();
    fs::create_dir(store).unwrap();
}

fn truncate(store: &Path) {
    let largest = largest_file(store);
    let length = fs::metadata(&largest).unwrap().len();
    let file = OpenOptions::new().write(true).open(largest).unwrap();
    file.set_len(length / 2).unwrap();
}

fn flip(store: &Path) {
    let largest = largest_file(store);
    let mut bytes = fs::read(&largest).unwrap();
    for at in (0..bytes.len()).step_by(97) {
        bytes[at] ^= 0x10;
    }
    let file = OpenOptions::new().write(true).open(largest).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
}

fn largest_file(folder: &Path) -> PathBuf {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files.push((entry.metadata().unwrap().len(), entry.path()));
            }
        }
    }
    files.into_iter().max().expect("the store has files").1
}

/// A snapshot is due by itself once the log has grown enough, and the log does not grow on behind it.
#[tokio::test(start_paused = true)]
async fn a_snapshot_is_taken_when_it_is_due() {
    let mut server = Server::new(7, &Network::new(), 1);
    server.config.keep_entries = 10;
    server.config.snapshot_after = ByteCount::new(100 << 10);
    let node = server.alone().await.unwrap();
    for number in 0..200 {
        node.propose(keep(number)).await.unwrap();
    }
    eventually("the log is purged", || node.status().purged > Some(50)).await;
    node.shutdown().await;
    drop(node);
    let files = (1..100).filter(|file| server.disk.content(&format!("log-{file:08x}")).is_some());
    let files = files.count();
    assert!(files < 10, "{files} log files of 64 KiB are left");
    server.after_kill();
    let node = server.alone().await.unwrap();
    assert!(kept(&node, 0).await.unwrap());
    node.shutdown().await;
}

/// No name is in the clear in a log or snapshot file.
#[tokio::test(start_paused = true)]
async fn no_name_is_in_the_log_or_a_snapshot() {
    let server = Server::new(7, &Network::new(), 1);
    let node = server.alone().await.unwrap();
    for number in 0..10 {
        node.propose(keep(number)).await.unwrap();
    }
    node.snapshot_now().await.unwrap();
    node.shutdown().await;
    for name in ["log-00000001", "snapshot"] {
        let bytes = server.disk.content(name).unwrap();
        assert!(bytes.len() > 10_000, "{name}");
        let found = bytes
            .windows(8)
            .any(|window| window == &MARKER.as_bytes()[..8]);
        assert!(!found, "{name} holds the marker");
    }
}

/// Damage in the middle of the log may have cost votes or acknowledged entries: the server refuses to
/// start rather than guess. Nor does it start on another server's log.
#[tokio::test(start_paused = true)]
async fn a_damaged_or_foreign_log_is_refused() {
    let mut server = Server::new(7, &Network::new(), 1);
    let node = server.alone().await.unwrap();
    for number in 0..10 {
        node.propose(keep(number)).await.unwrap();
    }
    node.shutdown().await;
    drop(node);
    server.after_kill();
    server
        .disk
        .flip("log-00000001", ByteOffset::new(5 * 4096 + 100), 1);
    let refused = server.start().await.err().expect("it is refused");
    assert!(
        matches!(&refused, StartError::Log(LogOpenError::Damaged { file, at })
            if file == "log-00000001" && *at == 5 * 4096),
        "{refused:?}"
    );
    let StartError::Log(why) = &refused else {
        unreachable!()
    };
    let told = "take this server out (metadata remove), and join a new one";
    assert!(why.to_string().contains(told), "{why}");

    server
        .disk
        .flip("log-00000001", ByteOffset::new(5 * 4096 + 100), 1);
    let mut other = Server::new(8, &Network::new(), 1);
    other.disk = server.disk.clone();
    let refused = other.start().await.err().expect("it is refused");
    assert!(
        matches!(refused, StartError::Log(LogOpenError::DoesNotOpen { .. })),
        "{refused:?}"
    );
}

/// A server whose log is gone does not vote again as if it had seen nothing; one whose state is gone
/// says so.
#[tokio::test(start_paused = true)]
async fn a_lost_log_or_state_is_refused() {
    let mut server = Server::new(7, &Network::new(), 1);
    server.config.keep_entries = 0;
    let node = server.alone().await.unwrap();
    for number in 0..30 {
        node.propose(keep(number)).await.unwrap();
    }
    purged(&node).await;
    node.shutdown().await;
    drop(node);
    server.after_kill();
    let whole = server.disk.clone();

    // The store alone is left.
    server.disk = SimDisk::new(1);
    let refused = server.start().await.err().expect("it is refused");
    assert!(
        matches!(refused, StartError::Rebuild(RebuildError::LogMissing)),
        "{refused:?}"
    );

    // The log alone is left.
    server.disk = whole;
    server.disk.snatch("snapshot");
    delete(server.store());
    let refused = server.start().await.err().expect("it is refused");
    assert!(
        matches!(refused, StartError::Rebuild(RebuildError::Lost { .. })),
        "{refused:?}"
    );
}

/// A damaged snapshot file costs nothing while the store is whole: another one is made.
#[tokio::test(start_paused = true)]
async fn a_damaged_snapshot_is_made_again() {
    let mut server = Server::new(7, &Network::new(), 1);
    server.config.keep_entries = 0;
    let node = server.alone().await.unwrap();
    for number in 0..30 {
        node.propose(keep(number)).await.unwrap();
    }
    purged(&node).await;
    node.shutdown().await;
    drop(node);
    server.after_kill();
    let length = server.disk.content("snapshot").unwrap().len() as u64;
    server
        .disk
        .flip("snapshot", ByteOffset::new(length - 5000), 1);
    let node = server.alone().await.unwrap();
    node.propose(keep(30)).await.unwrap();
    node.snapshot_now().await.unwrap();
    node.shutdown().await;
    drop(node);

    delete(server.store());
    server.after_kill();
    let node = server.alone().await.unwrap();
    for number in 0..31 {
        assert!(kept(&node, number).await.unwrap(), "{number}");
    }
    node.shutdown().await;
}

/// A snapshot file that the disk does not give costs nothing while store and log are whole. Where it is
/// needed the server says what failed, and starts once it can be read.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_read_is_survived() {
    let mut server = Server::new(7, &Network::new(), 1);
    server.config.keep_entries = 0;
    let node = server.alone().await.unwrap();
    for number in 0..30 {
        node.propose(keep(number)).await.unwrap();
    }
    purged(&node).await;
    node.shutdown().await;
    drop(node);
    let length = server.disk.content("snapshot").unwrap().len() as u64;
    // At its head, and only where it is read to its end.
    for bad in [0, length - 4096] {
        server.after_kill();
        refuse_snapshot(&server.disk, bad);
        let node = server.alone().await.unwrap();
        assert!(kept(&node, 29).await.unwrap());
        // Openraft wants one as the log is purged: it was made again.
        assert!(node.status().snapshot >= node.status().purged);
        node.shutdown().await;
    }

    delete(server.store());
    server.after_kill();
    refuse_snapshot(&server.disk, 0);
    let refused = server.start().await.err().expect("it is refused");
    assert!(
        matches!(
            refused,
            StartError::Rebuild(RebuildError::Snapshot(SnapshotError::Disk(_)))
        ),
        "{refused:?}"
    );
    server.after_kill();
    let node = server.alone().await.unwrap();
    for number in 0..30 {
        assert!(kept(&node, number).await.unwrap(), "{number}");
    }
    node.shutdown().await;
}

/// Reads of the snapshot file fail that reach a byte, until another file takes its place.
fn refuse_snapshot(disk: &SimDisk, bad: u64) {
    let mut replaced = false;
    disk.script(move |call| {
        replaced |= call.operation == Operation::Rename;
        let reached = (call.at.get()..call.at.get() + call.length.get()).contains(&bad);
        let this = call.operation == Operation::Read && call.name == "snapshot" && reached;
        if this && !replaced {
            Fate::Fail(5)
        } else {
            Fate::Proceed
        }
    });
}

/// On a disk that is almost full proposals and snapshots are refused, and reads are answered, after a
/// restart as well; once there is space everything goes on.
#[tokio::test(start_paused = true)]
async fn an_almost_full_disk_refuses_proposals_alone() {
    let mut server = Server::new(7, &Network::new(), 1);
    server.config.snapshot_after = ByteCount::new(100 << 10);
    let mut node = server.alone().await.unwrap();
    for number in 0..30 {
        node.propose(keep(number)).await.unwrap();
    }
    node.snapshot_now().await.unwrap();
    for number in 30..60 {
        node.propose(keep(number)).await.unwrap();
    }
    let reserve = 2 * server.config.log_file.get();
    server.disk.set_capacity(used(&server.disk, reserve - 1));
    tokio::time::sleep(Duration::from_secs(1)).await;
    for round in 0..2 {
        let last = node.status().last;
        let refused = node.propose(keep(60)).await;
        assert!(
            matches!(&refused, Err(LogError::Unavailable(why)) if why.contains("full")),
            "{refused:?}"
        );
        assert_eq!(node.status().last, last);
        let refused = node.snapshot_now().await;
        assert!(matches!(refused, Err(LogError::Unavailable(_))));
        assert!(kept(&node, 59).await.unwrap());
        assert!(!kept(&node, 60).await.unwrap());
        // A snapshot is due all the while.
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(node.status().stopped, None);
        if round == 0 {
            node.shutdown().await;
            drop(node);
            server.after_kill();
            node = server.alone().await.unwrap();
        }
    }
    server.disk.set_capacity(used(&server.disk, 100 * reserve));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(node.propose(keep(60)).await.unwrap(), Reply::Done);
    node.snapshot_now().await.unwrap();
    node.shutdown().await;
}

/// The capacity of a disk that has so much space left.
fn used(disk: &SimDisk, left: u64) -> ByteCount {
    let names = disk.list().now_or_never().unwrap().unwrap();
    let used: u64 = names.iter().map(|entry| entry.length.get()).sum();
    ByteCount::new(used + left)
}

/// A snapshot that meets a full disk while it is written is put off: its file goes, the server goes on,
/// also when it starts with a snapshot due, and the snapshot is there once it fits.
/// Method: refuse each write of a snapshot file behind some byte.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_meets_a_full_disk_is_put_off() {
    for fits in [0, 2 * 4096] {
        let mut server = Server::new(7, &Network::new(), 1);
        server.config.snapshot_after = ByteCount::new(100 << 10);
        let full = |disk: &SimDisk| {
            disk.script(move |call| {
                let snapshot = call.name.starts_with("snapshot-new-");
                if call.operation == Operation::Write && snapshot && call.at.get() >= fits {
                    Fate::Fail(28)
                } else {
                    Fate::Proceed
                }
            });
        };
        let node = server.alone().await.unwrap();
        node.propose(keep(60)).await.unwrap();
        full(&server.disk);
        let put_off = node.snapshot_now().await;
        assert!(matches!(put_off, Err(LogError::Unavailable(_))));
        for number in 0..60 {
            node.propose(keep(number)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(node.status().stopped, None);
        assert_eq!(unfinished(&server.disk), 0);
        node.shutdown().await;
        drop(node);
        server.closed().await;

        server.after_kill();
        full(&server.disk);
        let node = server.alone().await.unwrap();
        node.propose(keep(100)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(node.status().stopped, None);
        assert_eq!(node.status().snapshot, None);
        assert_eq!(unfinished(&server.disk), 0);
        server.disk.script(|_| Fate::Proceed);
        eventually("the snapshot is written", || {
            node.status().snapshot.is_some()
        })
        .await;
        node.shutdown().await;
    }
}

fn unfinished(disk: &SimDisk) -> usize {
    let names = disk.list().now_or_never().unwrap().unwrap();
    let unfinished = names
        .iter()
        .filter(|entry| entry.name.starts_with("snapshot-new-"));
    unfinished.count()
}

/// A failed sync stops the server for good: it acknowledges nothing more, and says so.
#[tokio::test(start_paused = true)]
async fn a_failed_sync_stops_the_server() {
    let server = Server::new(7, &Network::new(), 1);
    let node = server.alone().await.unwrap();
    node.propose(keep(0)).await.unwrap();
    server.disk.script(|call| match call.operation {
        Operation::Sync => Fate::Fail(5),
        _ => Fate::Proceed,
    });
    assert!(node.propose(keep(1)).await.is_err());
    server.disk.script(|_| Fate::Proceed);
    assert!(node.propose(keep(2)).await.is_err());
    let why = node.stopped().await;
    assert!(!why.is_empty());
    assert!(node.status().stopped.is_some());
    node.shutdown().await;
}

/// A log file removed behind the server's back is noticed before the next acknowledgement.
#[tokio::test(start_paused = true)]
async fn a_removed_log_file_is_noticed() {
    let server = Server::new(7, &Network::new(), 1);
    let node = server.alone().await.unwrap();
    node.propose(keep(0)).await.unwrap();
    server.disk.snatch("log-00000001");
    assert!(node.propose(keep(1)).await.is_err());
    node.shutdown().await;
}

/// On a real disk, through the probed engine, a server proposes, restarts and finds everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_runs_on_a_real_disk() {
    let folder = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let network = Network::new();
    let config = Server::new(7, &network, 1).config;
    for round in 0..2 {
        let disk = disk::open(folder.path(), disk::Choice::Auto).unwrap();
        let (store, _) = Store::open(store.path()).unwrap();
        let node = Node::start(
            config.clone(),
            store.into(),
            disk,
            seal::provider::default(),
            seal::StorageKey::new([1; 32]),
            &network,
        )
        .await
        .unwrap();
        node.initialize([(config.node, "here".to_owned())])
            .await
            .unwrap();
        node.leader().await.unwrap();
        for number in 0..50 {
            assert_eq!(kept(&node, number).await.unwrap(), round > 0);
            node.propose(keep(number)).await.unwrap();
        }
        node.shutdown().await;
    }
}
