//! Files written by earlier builds stay readable.
//!
//! Each golden file was written once under a fixed storage key, and holds random bytes;
//! `STRONGROOM_GOLDEN=add` adds those that are missing. None is ever replaced: a format that changes gets
//! a file of its own.

use crate::raft::frames::Sealing;
use crate::raft::log::{self, LogConfig, Verified};
use crate::raft::snapshot::{Snapshots, rows_of};
use crate::raft::types::{
    Encoded, Entry, LogId, Mark, Membership, Payload, Position, StoredMembership, TypeConfig, Vote,
};
use bytes::Bytes;
use disk::sim::SimDisk;
use disk::{Buffer, Disk};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::{BasicNode, RaftLogReader};
use seal::StorageKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::{ByteCount, ByteOffset};

const SIZES: LogConfig = LogConfig {
    segment: ByteCount::new(64 << 10),
    cache: ByteCount::new(1 << 20),
};

fn sealing() -> Sealing {
    Sealing::new(seal::provider::default(), StorageKey::new([0x11; 32]))
}

/// A disk that holds a golden file under its name; `write` says what is in it.
async fn disk_with(name: &str, write: impl AsyncFnOnce(SimDisk)) -> SimDisk {
    let today = SimDisk::new(1);
    write(today.clone()).await;
    let file = format!("raft-{name}.bin");
    let content = golden::written_once(env!("CARGO_MANIFEST_DIR"), &file, || {
        let content = today.content(name).unwrap();
        let used = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        content[..used].to_vec()
    });
    let disk = SimDisk::new(1);
    let file = disk.create(name).await.unwrap();
    file.write(ByteOffset::ZERO, Buffer::copy_of(&content))
        .await
        .unwrap();
    disk
}

fn id(term: u64, index: u64) -> LogId {
    Position {
        term,
        leader: 0x0102_0304_0506_0708,
        index,
    }
    .into()
}

fn membership() -> Membership {
    let nodes = [
        (1, "one.example:7000"),
        (2, "two.example:7000"),
        (3, "three.example:7000"),
    ];
    let nodes: BTreeMap<u64, BasicNode> = nodes
        .into_iter()
        .map(|(id, at)| (id, BasicNode::new(at)))
        .collect();
    let voters = vec![BTreeSet::from([1, 2]), BTreeSet::from([1, 3])];
    Membership::new(voters, nodes).unwrap()
}

fn entries() -> Vec<Entry> {
    let payloads = [
        Payload::Membership(membership()),
        Payload::Blank,
        Payload::Normal(Encoded(Bytes::from_static(b"an encoded proposal"))),
        Payload::Normal(Encoded(Bytes::from_static(b"another"))),
    ];
    (0..)
        .zip(payloads)
        .map(|(index, payload)| Entry {
            log_id: id(1 + index / 2, index),
            payload,
        })
        .collect()
}

/// A log of votes, entries of each kind, a truncation, a purge and what is committed.
#[tokio::test(start_paused = true)]
async fn an_old_log_is_read() {
    let disk = disk_with("log-00000001", async |disk| {
        let verified = Arc::new(Verified::default());
        verified.raise(0);
        let (mut log, _, task) = log::open(Arc::new(disk), SIZES, sealing(), verified)
            .await
            .unwrap();
        log.save_vote(&Vote::new_committed(7, 2)).await.unwrap();
        log.save_committed(Some(id(1, 1))).await.unwrap();
        let (done, durable) = TypeConfig::oneshot::<std::io::Result<()>>();
        log.append(entries(), IOFlushed::signal(done))
            .await
            .unwrap();
        durable.await.unwrap().unwrap();
        log.truncate_after(Some(id(2, 2))).await.unwrap();
        log.purge(id(1, 0)).await.unwrap();
        drop(log);
        task.ended().await;
    })
    .await;
    let verified = Arc::new(Verified::default());
    let (mut log, view, _) = log::open(Arc::new(disk), SIZES, sealing(), verified)
        .await
        .unwrap();
    assert_eq!(view.purged(), Some(id(1, 0).into()));
    assert_eq!(view.last(), Some(id(2, 2).into()));
    assert_eq!(log.read_committed().await.unwrap(), Some(id(1, 1)));
    let mut reader = log.get_log_reader().await;
    let vote = reader.read_vote().await.unwrap();
    assert_eq!(vote, Some(Vote::new_committed(7, 2)));
    let found = reader.try_get_log_entries(..).await.unwrap();
    assert_eq!(found[..], entries()[1..3]);
}

fn label() -> Mark {
    Mark::new(
        Some(id(2, 2)),
        &StoredMembership::new(Some(id(1, 0)), membership()),
    )
}

/// A snapshot of a few rows and of changes made while they were scanned.
#[tokio::test(start_paused = true)]
async fn an_old_snapshot_is_read() {
    let row = |key: &str, value: &str| (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    let rows = [row("one", "1"), row("three", ""), row("two", "2")];
    let disk = disk_with("snapshot", async |disk| {
        let snapshots = Snapshots::open(Arc::new(disk), sealing(), Arc::default())
            .await
            .unwrap();
        let mut writer = snapshots.begin(&label()).await.unwrap();
        writer
            .add(&crate::raft::snapshot::encode_rows(&rows))
            .await
            .unwrap();
        // Put "one" = "11", delete "two".
        let mutations = b"M\0\0\0\x03one\x01\0\0\0\x0211\0\0\0\x03two\0";
        writer.add(mutations).await.unwrap();
        let file = snapshots.finish(writer).await.unwrap();
        snapshots.publish(&file).await.unwrap();
    })
    .await;
    let snapshots = Snapshots::open(Arc::new(disk), sealing(), Arc::default())
        .await
        .unwrap();
    let changes = snapshots.verify_current().await.unwrap().unwrap();
    let expected = [
        (b"one".to_vec(), Some(b"11".to_vec())),
        (b"two".to_vec(), None),
    ];
    assert_eq!(changes, expected.into());
    let file = snapshots.current().await.unwrap();
    assert_eq!(file.label, label());
    let mut pieces = file.pieces().await.unwrap();
    let mut found = Vec::new();
    while let Some(piece) = pieces.next().await.unwrap() {
        found.extend(rows_of(&piece).unwrap());
    }
    assert_eq!(found, rows);
}
