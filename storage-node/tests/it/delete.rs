//! Shards are removed: who may, what is left, and for how long.

use crate::world::{
    CLUSTER, DISK, NODE, SMALL, delete, learn, node, read_all, run, shard, stamped,
};
use futures::future::{join, join_all};
use std::sync::Arc;
use strongroom_storage_node::{DeleteError, Deleted, DiskDevice, Limits, ListedShard, Node, Watch};
use types::placement::Slot;
use types::wire::ShardStore;
use types::wire::storage::ReadError;
use types::{ByteCount, ChunkId, DiskId, Epoch, GroupId};

/// What was removed is gone at once and after kills and power cuts, what was not is there; a removal says
/// what it removed, and removing again removes nothing.
#[test]
fn removed_shards_stay_removed() {
    for limits in [SMALL, Limits::default()] {
        run(async {
            let disk = stamped(1).await;
            let first = node(&disk, limits).await;
            let puts: Vec<_> = (0..20).map(|chunk| shard(DISK, chunk, 5000, 0)).collect();
            for put in &puts {
                first.put(put.clone()).await.unwrap();
            }
            let removed = Deleted {
                shards: 9,
                bytes: ByteCount::new(9 * 8192),
            };
            assert_eq!(delete(&first, DISK, 3..=11).await, Ok(removed));
            let none = Ok(Deleted::default());
            assert_eq!(delete(&first, DISK, 5..=9).await, none);
            assert_eq!(delete(&first, DISK, 1000..=u64::MAX).await, none);
            let group = GroupId::new(5);
            let mut serving = first;
            let mut disk = disk;
            for seed in 0..6 {
                for (chunk, put) in (0..).zip(&puts) {
                    let key = put.key;
                    let expected = match chunk {
                        3..=11 => Err(ReadError::Missing { key }),
                        _ => Ok(put.payload.clone()),
                    };
                    assert_eq!(read_all(&serving, put).await, expected);
                    let described = serving.describe(DISK, key).await;
                    assert_eq!(described.is_ok(), expected.is_ok());
                    let verified = serving.verify(DISK, key).await;
                    assert_eq!(verified.is_ok(), expected.is_ok());
                }
                let listed = serving.inventory(DISK, group, Slot(0)).unwrap();
                let expected = (0..3).chain(12..20).map(|chunk| ListedShard {
                    chunk: ChunkId::new(chunk),
                    payload: ByteCount::of(&puts[0].payload),
                });
                assert_eq!(listed, expected.collect::<Vec<_>>());
                assert_eq!(serving.slots(DISK), Ok(vec![(group, Slot(0), 11)]));
                assert_eq!(serving.report().await[0].shards, 11);
                assert_eq!(serving.damage().count(), 0);
                drop(serving);
                disk = if seed % 2 == 0 {
                    disk.crash(seed)
                } else {
                    disk.restart()
                };
                serving = node(&disk, limits).await;
            }
            serving.shutdown().await;
        });
    }
}

/// A shard that was removed may be written anew under its key, as a repair does, and be removed again.
#[test]
fn a_removed_shard_may_be_written_again() {
    run(async {
        let mut disk = stamped(1).await;
        let mut serving = node(&disk, SMALL).await;
        for content in 0..9 {
            let put = shard(DISK, 1, 5000, content % 2);
            serving.put(put.clone()).await.unwrap();
            disk = disk.crash(content);
            serving = node(&disk, SMALL).await;
            assert!(read_all(&serving, &put).await.unwrap() == put.payload);
            assert_eq!(delete(&serving, DISK, 0..=9).await.unwrap().shards, 1);
            disk = disk.crash(content);
            serving = node(&disk, SMALL).await;
            let missing = ReadError::Missing { key: put.key };
            assert_eq!(read_all(&serving, &put).await, Err(missing));
        }
        serving.shutdown().await;
    });
}

/// Sent together, removals and shards of one key happen one behind the other; those of other keys share a
/// sync.
#[test]
fn removals_and_shards_are_taken_in_order() {
    run(async {
        let disk = stamped(1).await;
        let serving = node(&disk, Limits::default()).await;
        let put = shard(DISK, 1, 5000, 0);
        let (stored, removed) = join(serving.put(put.clone()), delete(&serving, DISK, 0..=5)).await;
        assert_eq!(stored, Ok(()));
        assert_eq!(removed.unwrap().shards, 1);
        serving.put(put.clone()).await.unwrap();
        let again = shard(DISK, 1, 5000, 1);
        let (removed, stored) =
            join(delete(&serving, DISK, 0..=5), serving.put(again.clone())).await;
        assert_eq!((removed.unwrap().shards, stored), (1, Ok(())));
        assert!(read_all(&serving, &again).await.unwrap() == again.payload);

        let puts: Vec<_> = (100..400).map(|chunk| shard(DISK, chunk, 50, 0)).collect();
        for put in &puts {
            serving.put(put.clone()).await.unwrap();
        }
        let before = disk.changes();
        let removed = join_all((100..300).map(|chunk| delete(&serving, DISK, chunk..=chunk))).await;
        assert!(
            removed
                .iter()
                .all(|removed| removed.as_ref().unwrap().shards == 1)
        );
        // Two records, one sync.
        assert_eq!(disk.changes() - before, 3);
        serving.shutdown().await;
    });
}

/// A removal is refused by a node that knows no group table, by one whose disk does not hold the slot, and
/// when it was decided before the disk joined. Nothing is removed then.
#[test]
fn removals_are_fenced() {
    run(async {
        let disk = stamped(1).await;
        let device = DiskDevice {
            disk: Arc::new(disk.clone()),
            expected: Some(DISK),
        };
        let node = Node::with_devices(CLUSTER, NODE, vec![device], SMALL, Watch::default()).await;
        let put = shard(DISK, 1, 5000, 0);
        node.put(put.clone()).await.unwrap();
        let (group, slot) = (put.key.group, Slot(0));
        let at = |slot, epoch| {
            let chunks = ChunkId::new(0)..=ChunkId::new(9);
            node.delete(DISK, group, slot, chunks, Epoch(epoch))
        };
        let not_held = |slot| {
            Err(DeleteError::NotHeld {
                disk: DISK,
                group,
                slot,
            })
        };
        assert_eq!(at(slot, 9).await, not_held(slot));
        learn(&node, DiskId::new(71), 3);
        assert_eq!(at(slot, 9).await, not_held(slot));
        learn(&node, DISK, 5);
        // Older knowledge does not take its place.
        learn(&node, DiskId::new(71), 4);
        let stale = DeleteError::StaleEpoch {
            sent: Epoch(4),
            joined: Epoch(5),
        };
        assert_eq!(at(slot, 4).await, Err(stale));
        assert_eq!(at(Slot(1), 9).await, not_held(Slot(1)));
        assert!(read_all(&node, &put).await.is_ok());
        assert_eq!(at(slot, 5).await.unwrap().shards, 1);
        let chunks = ChunkId::new(0)..=ChunkId::new(9);
        let other = DiskId::new(99);
        let elsewhere = node.delete(other, group, slot, chunks, Epoch(9)).await;
        assert!(matches!(elsewhere, Err(DeleteError::NotHeld { .. })));
        node.shutdown().await;
        assert_eq!(
            at(slot, 5).await,
            Err(DeleteError::DiskUnavailable { disk: DISK })
        );
    });
}
