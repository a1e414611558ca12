//! Snapshot files on a simulated disk.

use super::*;
use crate::raft::types::{Position, StoredMembership};
use crate::txn::Row;
use disk::sim::{Fate, Operation, SimDisk};
use seal::StorageKey;
use std::time::Duration;

fn sealing(key: u8) -> Sealing {
    Sealing::new(seal::provider::default(), StorageKey::new([key; 32]))
}

async fn open(disk: &SimDisk) -> Result<(Snapshots, Arc<Verified>), SnapshotError> {
    let verified = Arc::new(Verified::default());
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let snapshots = Snapshots::open(disk, sealing(1), Arc::clone(&verified)).await?;
    Ok((snapshots, verified))
}

fn label(index: u64) -> Mark {
    let at = Position {
        term: 1,
        leader: 1,
        index,
    };
    Mark::new(Some(at.into()), &StoredMembership::default())
}

fn rows(index: u64) -> Vec<Row> {
    let value = index.to_be_bytes().repeat(300);
    let key = |number: u64| number.to_be_bytes().to_vec();
    (0..5).map(|number| (key(number), value.clone())).collect()
}

/// Every other one is labelled when it is written.
async fn write(snapshots: &Snapshots, index: u64) -> Result<Arc<SnapshotFile>, SnapshotError> {
    let late = index.is_multiple_of(2);
    let mut writer = if late {
        snapshots.begin_scan(&Mark::default()).await?
    } else {
        snapshots.begin(&label(index)).await?
    };
    for rows in rows(index).chunks(2) {
        writer.add(&encode_rows(rows)).await?;
    }
    if late {
        snapshots.finish_scan(writer, &label(index)).await
    } else {
        snapshots.finish(writer).await
    }
}

async fn publish(snapshots: &Snapshots, index: u64) -> Result<(), SnapshotError> {
    let file = write(snapshots, index).await?;
    snapshots.publish(&file).await.map(drop)
}

async fn contents(file: &SnapshotFile) -> Result<Vec<Row>, SnapshotError> {
    let mut found = Vec::new();
    let mut pieces = file.pieces().await?;
    while let Some(piece) = pieces.next().await? {
        found.extend(rows_of(&piece)?);
    }
    Ok(found)
}

/// Power may go at any write, sync, rename or remove: the current snapshot is a whole one, at least as
/// new as the last published.
/// Method: publish three, cut at each change in turn, by several seeds.
#[tokio::test]
async fn power_loss_leaves_a_whole_snapshot() {
    for seed in 0..8 {
        for cut in 0.. {
            let disk = SimDisk::new(seed);
            disk.cut_at_change(cut);
            let mut published = 0;
            if let Ok((snapshots, _)) = open(&disk).await {
                for index in 1..=3 {
                    if publish(&snapshots, index).await.is_err() {
                        break;
                    }
                    published = index;
                }
            }
            let whole = !disk.is_cut();
            let disk = disk.crash(seed * 1000 + cut);
            let (snapshots, _) = open(&disk).await.unwrap();
            let current = snapshots.current().await;
            assert!(
                published == 0 || current.is_some(),
                "seed {seed}, cut {cut}"
            );
            if let Some(file) = current {
                let index = file.label.applied.unwrap().index;
                assert!(index >= published, "seed {seed}, cut {cut}");
                assert_eq!(contents(&file).await.unwrap(), rows(index));
            }
            let names = disk.list().await.unwrap();
            assert!(names.iter().all(|entry| entry.name == CURRENT), "{names:?}");
            publish(&snapshots, 9).await.unwrap();
            if whole {
                break;
            }
        }
    }
}

/// An older snapshot never replaces a newer one, whichever is finished last.
#[tokio::test]
async fn an_older_snapshot_never_replaces_a_newer() {
    let disk = SimDisk::new(1);
    let (snapshots, _) = open(&disk).await.unwrap();
    let older = write(&snapshots, 9).await.unwrap();
    let newer = write(&snapshots, 10).await.unwrap();
    snapshots.publish(&newer).await.unwrap();
    let current = snapshots.publish(&older).await.unwrap();
    assert_eq!(current.label, label(10));
    let (snapshots, _) = open(&disk.restart()).await.unwrap();
    assert_eq!(snapshots.current().await.unwrap().label, label(10));
}

/// Any flipped byte of a snapshot is noticed before any of it is believed.
#[tokio::test]
async fn any_damage_is_noticed() {
    let disk = SimDisk::new(1);
    let (snapshots, _) = open(&disk).await.unwrap();
    publish(&snapshots, 1).await.unwrap();
    let content = disk.content(CURRENT).unwrap();
    let used: Vec<usize> = (0..content.len()).filter(|at| content[*at] != 0).collect();
    for at in used.into_iter().step_by(13) {
        let at = ByteOffset::new(at as u64);
        disk.flip(CURRENT, at, 2);
        let (snapshots, verified) = open(&disk).await.unwrap();
        let found = snapshots.verify_current().await;
        assert!(!matches!(found, Ok(Some(_))), "{at}");
        assert!(!verified.covers(1), "{at}");
        disk.flip(CURRENT, at, 2);
    }
    let (snapshots, verified) = open(&disk).await.unwrap();
    assert!(snapshots.verify_current().await.unwrap().is_some());
    assert!(verified.covers(1));
}

/// A snapshot whose reading fails is told of when it is wanted; a folder that cannot be listed at once.
#[tokio::test]
async fn a_failing_disk_is_told_apart() {
    let disk = SimDisk::new(1);
    let (snapshots, _) = open(&disk).await.unwrap();
    publish(&snapshots, 1).await.unwrap();
    let fails = |disk: &SimDisk, which: Operation| {
        disk.script(move |call| {
            if call.operation == which {
                Fate::Fail(5)
            } else {
                Fate::Proceed
            }
        });
    };
    for which in [Operation::Open, Operation::Read] {
        fails(&disk, which);
        let (snapshots, verified) = open(&disk).await.unwrap();
        assert!(snapshots.is_unread());
        let found = snapshots.verify_current().await;
        assert!(matches!(found, Err(SnapshotError::Disk(_))), "{found:?}");
        assert!(!verified.covers(1));
    }
    fails(&disk, Operation::List);
    assert!(open(&disk).await.is_err());
}

/// A snapshot that is received is sealed anew; one that is damaged on its way is refused and leaves
/// nothing behind.
#[tokio::test]
async fn a_received_snapshot_is_sealed_anew() {
    let theirs = SimDisk::new(1);
    let (sender, _) = open(&theirs).await.unwrap();
    publish(&sender, 5).await.unwrap();
    let sent = sender.current().await.unwrap();

    let ours = SimDisk::new(2);
    let disk: Arc<dyn Disk> = Arc::new(ours.clone());
    let receiver = Snapshots::open(disk, sealing(2), Arc::default())
        .await
        .unwrap();
    let file = receiver.receive(&sent).await.unwrap();
    let file = receiver.publish(&file).await.unwrap();
    assert_eq!(contents(&file).await.unwrap(), rows(5));
    assert_ne!(ours.content(CURRENT), theirs.content(CURRENT));

    theirs.flip(CURRENT, ByteOffset::new(3 * BLOCK as u64 + 50), 1);
    assert!(receiver.receive(&sent).await.is_err());
    receiver.sweep().await;
    assert_eq!(names(&ours).await, [CURRENT]);
}

async fn names(disk: &SimDisk) -> Vec<String> {
    let entries = disk.list().await.unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

/// A transfer that is given up leaves nothing behind, nor does one that is complete and not wanted.
/// Method: stall each sync of the receiver's disk in turn, and stop waiting.
#[tokio::test(start_paused = true)]
async fn a_transfer_that_is_given_up_leaves_nothing() {
    let theirs = SimDisk::new(1);
    let (sender, _) = open(&theirs).await.unwrap();
    publish(&sender, 5).await.unwrap();
    let sent = sender.current().await.unwrap();
    let ours = SimDisk::new(2);
    let (receiver, _) = open(&ours).await.unwrap();
    for stalled in 0..2 {
        let mut syncs = 0;
        ours.script(move |call| {
            let this = call.operation == Operation::Sync && syncs == stalled;
            syncs += u64::from(call.operation == Operation::Sync);
            if this { Fate::Stall } else { Fate::Proceed }
        });
        let waited = Duration::from_secs(1);
        let transfer = tokio::time::timeout(waited, receiver.receive(&sent)).await;
        assert!(transfer.is_err(), "sync {stalled}");
        assert_eq!(names(&ours).await.len(), 1, "sync {stalled}");
        ours.release();
        receiver.sweep().await;
        assert!(names(&ours).await.is_empty(), "sync {stalled}");
    }
    let unwanted = receiver.receive(&sent).await.unwrap();
    receiver.sweep().await;
    assert_eq!(names(&ours).await.len(), 1);
    drop(unwanted);
    // The next file finds it gone.
    let writer = receiver.begin(&label(6)).await.unwrap();
    assert_eq!(names(&ours).await, [writer.unfinished.name.as_str()]);
}
