//! Volumes in which nothing lives are removed, and nothing comes back.

use crate::world::{DISK, SMALL, delete, node, read_all, run, shard, stamped, used, volumes};
use disk::sim::{Fate, Operation};
use strongroom_storage_node::{Damage, Limits, Node};
use types::wire::ShardStore;
use types::wire::storage::{DiskState, PutError, ReadError};
use types::{ByteCount, ByteOffset};

async fn fill(node: &Node, chunks: std::ops::Range<u64>) {
    for chunk in chunks {
        node.put(shard(DISK, chunk, 5000, 0)).await.unwrap();
    }
}

/// When all is removed no volume is left once the node has looked twice, and the space is back; what comes
/// then gets new volume ids, also by the next process life.
#[test]
fn nothing_is_left_of_what_was_removed() {
    for limits in [SMALL, Limits::default()] {
        run(async {
            let mut disk = stamped(1).await;
            disk.set_capacity(ByteCount::new(1 << 30));
            let mut serving = node(&disk, limits).await;
            let mut highest = 0;
            for seed in 0..4 {
                fill(&serving, 0..14).await;
                let there = volumes(&disk);
                assert!(there[0] > highest, "{there:?}");
                highest = *there.last().unwrap();
                assert_eq!(delete(&serving, DISK, 0..=13).await.unwrap().shards, 14);
                let full = used(&serving).await;
                assert!(full > 0);
                serving.check().await;
                assert_eq!(volumes(&disk).len(), 1, "the open one is in use");
                serving.check().await;
                assert_eq!(volumes(&disk), [0; 0]);
                assert_eq!(used(&serving).await, 0);
                let report = &serving.report().await[0];
                assert!(report.free.get() > (1 << 30) / 20 * 18, "{}", report.free);
                drop(serving);
                disk = disk.crash(seed);
                serving = node(&disk, limits).await;
                assert_eq!(serving.damage().count(), 0);
                assert_eq!(volumes(&disk), [0; 0]);
            }
            serving.shutdown().await;
        });
    }
}

/// A tombstone outlives what it names: while a volume holds something dead beside something that lives, the
/// volumes stay whose records killed it.
#[test]
fn tombstones_outlive_what_they_name() {
    run(async {
        let mut disk = stamped(1).await;
        let mut serving = node(&disk, SMALL).await;
        // Four to a volume.
        fill(&serving, 0..8).await;
        delete(&serving, DISK, 4..=7).await.unwrap();
        delete(&serving, DISK, 2..=3).await.unwrap();
        fill(&serving, 100..120).await;
        delete(&serving, DISK, 100..=119).await.unwrap();
        for seed in 0..5 {
            for _ in 0..2 {
                serving.check().await;
            }
            let there = volumes(&disk);
            assert!(there.contains(&1) && !there.contains(&2), "{there:?}");
            assert_eq!(serving.report().await[0].shards, 2);
            drop(serving);
            disk = disk.crash(seed);
            serving = node(&disk, SMALL).await;
            assert_eq!(serving.damage().count(), 0);
            for chunk in 2..120 {
                let put = shard(DISK, chunk, 5000, 0);
                let missing = ReadError::Missing { key: put.key };
                assert_eq!(read_all(&serving, &put).await, Err(missing));
            }
        }
        // The last ones go, and everything with them.
        delete(&serving, DISK, 0..=1).await.unwrap();
        for _ in 0..2 {
            serving.check().await;
        }
        assert_eq!(volumes(&disk), [0; 0]);
        serving.shutdown().await;
    });
}

/// What was unlinked is not reported as lost, and what was lost is, whichever volume it was and at each start;
/// a roster that is damaged, or gone, says so or says nothing, and costs no shard.
#[test]
fn unlinked_is_not_lost() {
    run(async {
        let disk = stamped(1).await;
        let first = node(&disk, SMALL).await;
        fill(&first, 0..16).await;
        delete(&first, DISK, 4..=7).await.unwrap();
        first.shutdown().await;
        drop(first);
        let pristine = disk.crash(0);
        assert_eq!(volumes(&pristine), [1, 3, 4]);
        let damage = |node: &Node| -> Vec<String> {
            node.damage()
                .map(|(_, damage)| damage.to_string())
                .collect()
        };
        let mut lost = 0;
        for (volume, shards) in [(1, 8), (3, 8), (4, 8)] {
            let disk = pristine.crash(0);
            disk.snatch(&format!("volume-0000000{volume}"));
            let mut disk = disk;
            for seed in 0..3 {
                let node = node(&disk, SMALL).await;
                let missing = format!("volume-0000000{volume} is missing");
                assert_eq!(damage(&node), [missing]);
                assert_eq!(node.report().await[0].shards, shards);
                fill(&node, 100..101).await;
                delete(&node, DISK, 100..=100).await.unwrap();
                node.shutdown().await;
                drop(node);
                disk = disk.crash(seed);
                lost += 1;
            }
        }
        assert_eq!(lost, 9);
        // Damaged in the half that counts: the one before it knows of volume 2.
        let roster = pristine.content("volumes").unwrap();
        let halves = [0, roster.len() / 2];
        let sequence = |half: &usize| roster[half + 16..half + 24].to_vec();
        let latest = halves.iter().copied().max_by_key(sequence).unwrap() as u64;
        let older = halves.iter().copied().min_by_key(sequence).unwrap() as u64;
        for byte in 0..64 {
            let disk = pristine.crash(0);
            disk.flip("volumes", ByteOffset::new(latest + byte), 1);
            let node = node(&disk, SMALL).await;
            let found = damage(&node);
            assert!(
                found.is_empty() || found == ["volume-00000002 is missing"],
                "{found:?}"
            );
            assert_eq!(node.report().await[0].shards, 12);
        }
        let disk = pristine.crash(0);
        disk.flip("volumes", ByteOffset::new(latest + 20), 1);
        disk.flip("volumes", ByteOffset::new(older + 20), 1);
        let second = node(&disk, SMALL).await;
        let all: Vec<Damage> = second.damage().map(|(_, damage)| damage).collect();
        assert_eq!(all, [Damage::Roster]);
        assert_eq!(second.report().await[0].shards, 12);
        drop(second);
        let third = node(&disk.crash(1), SMALL).await;
        assert_eq!(damage(&third), [""; 0]);
    });
}

/// The roster removed under a running node stops the disk before the next volume counts.
#[test]
fn a_removed_roster_is_noticed() {
    run(async {
        let disk = stamped(1).await;
        let node = node(&disk, SMALL).await;
        fill(&node, 0..4).await;
        disk.snatch("volumes");
        let answer = node.put(shard(DISK, 4, 5000, 0)).await;
        assert_eq!(answer, Err(PutError::DiskFailed { disk: DISK }));
        let DiskState::Failed(why) = node.report().await[0].state.clone() else {
            panic!("not failed");
        };
        assert_eq!(
            why,
            "its list of volumes was removed under the running server"
        );
        node.shutdown().await;
    });
}

/// On a disk that is full, by its reserve or to the last byte because others filled it, shards are refused
/// and removed; after that there is room, and shards are stored.
#[test]
fn a_full_disk_takes_removals() {
    // Room for four tombstones is kept.
    let limits = Limits {
        volume: ByteCount::new(160 << 10),
        allocate: ByteCount::new(64 << 10),
        ..SMALL
    };
    let mut refusals = 0;
    for taken_by_others in [false, true] {
        run(async {
            let disk = stamped(1).await;
            disk.set_capacity(ByteCount::new(2 << 20));
            let mut serving = node(&disk, limits).await;
            let mut stored = 0;
            while serving.put(shard(DISK, stored, 5000, 0)).await.is_ok() {
                stored += 1;
            }
            let full = Err(PutError::Full { disk: DISK });
            assert_eq!(serving.put(shard(DISK, 999, 5000, 0)).await, full);
            let mut disk = disk;
            if taken_by_others {
                let free = disk::Disk::free(&disk).await.unwrap().get();
                disk.set_capacity(ByteCount::new((2 << 20) - free));
                assert_eq!(disk::Disk::free(&disk).await.unwrap().get(), 0);
            }
            for turn in 0..3 {
                // After a restart as well.
                if turn > 0 {
                    drop(serving);
                    disk = disk.crash(turn);
                    serving = node(&disk, limits).await;
                }
                let put = shard(DISK, 9999, 20_000, 0);
                assert_eq!(serving.put(put).await, full);
                refusals += 1;
                let removed = delete(&serving, DISK, turn..=turn).await;
                assert_eq!(removed.unwrap().shards, 1, "{taken_by_others} {turn}");
            }
            assert!(delete(&serving, DISK, 3..=stored / 2).await.is_ok());
            serving.check().await;
            let room = serving.report().await[0].free.get();
            assert!(room > (2 << 20) / 3, "{room}");
            for chunk in 1000..1020 {
                serving.put(shard(DISK, chunk, 5000, 0)).await.unwrap();
            }
            serving.shutdown().await;
        });
    }
    assert_eq!(refusals, 6);
}

/// A file system that refuses whatever belongs to unlinking refuses no shard that was removed, and the volumes
/// go later; one that fails at it is stopped.
#[test]
fn unlinking_may_fail() {
    for (operation, errno, stops) in [
        (Operation::Write, 28, false),
        (Operation::Write, 5, true),
        (Operation::Sync, 5, true),
        (Operation::Remove, 5, true),
        (Operation::SyncFolder, 5, true),
    ] {
        run(async {
            let disk = stamped(1).await;
            let serving = node(&disk, SMALL).await;
            fill(&serving, 0..9).await;
            let removed = delete(&serving, DISK, 0..=2).await.unwrap();
            assert_eq!(removed.shards, 3);
            let mut calls = 0;
            let roster_only = matches!(operation, Operation::Write | Operation::Sync);
            disk.script(move |call| {
                let hit = call.operation == operation
                    && (!roster_only || call.name.starts_with("volumes"))
                    && calls == 0;
                calls += u32::from(hit);
                if hit {
                    Fate::Fail(errno)
                } else {
                    Fate::Proceed
                }
            });
            let before = *serving.changes().borrow();
            // Acknowledged before it is unlinked.
            assert_eq!(delete(&serving, DISK, 3..=3).await.unwrap().shards, 1);
            serving.check().await;
            // It may serve again by now.
            let changes = *serving.changes().borrow();
            assert_eq!(changes > before, stops, "{operation:?}");
            if !stops {
                assert_eq!(volumes(&disk), [2, 3]);
            }
            drop(serving);
            let second = node(&disk.crash(3), SMALL).await;
            assert_eq!(second.damage().count(), 0, "{operation:?}");
            assert_eq!(second.report().await[0].shards, 5);
        });
    }
}
