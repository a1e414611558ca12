//! Space comes back from volumes in which something still lives, and nothing else changes by it.

use crate::world::{DISK, SMALL, delete, node, read_all, run, shard, stamped, used, volumes};
use disk::sim::{Fate, Operation};
use futures::future::join_all;
use strongroom_storage_node::{Limits, Node};
use types::wire::ShardStore;
use types::wire::storage::{DiskState, ReadError};
use types::{ByteCount, ByteOffset};

/// Some twenty records of two blocks to a volume.
const LIMITS: Limits = Limits {
    volume: ByteCount::new(180 << 10),
    allocate: ByteCount::new(16 << 10),
    batch: ByteCount::new(32 << 10),
};
const LENGTH: usize = 5000;
const RECORD: u64 = 8192;

/// Stores these chunks, sealing what they fill.
async fn fill(node: &Node, chunks: std::ops::Range<u64>) {
    let puts = chunks.map(|chunk| node.put(shard(DISK, chunk, LENGTH, 0)));
    for answer in join_all(puts).await {
        answer.unwrap();
    }
}

/// These chunks are there byte for byte, and no others of those below `all`.
async fn check(node: &Node, all: u64, lives: impl Fn(u64) -> bool) {
    let mut live = 0;
    for chunk in 0..all {
        let put = shard(DISK, chunk, LENGTH, 0);
        let missing = Err(ReadError::Missing { key: put.key });
        let expected = if lives(chunk) {
            Ok(put.payload.clone())
        } else {
            missing
        };
        live += u64::from(lives(chunk));
        let read = read_all(node, &put).await;
        assert!(read == expected, "chunk {chunk}: {:?}", read.err());
    }
    let report = &node.report().await[0];
    assert_eq!((&report.state, report.shards), (&DiskState::Serving, live));
    assert_eq!(node.damage().count(), 0);
}

async fn remove_all_but(node: &Node, all: u64, lives: impl Fn(u64) -> bool) {
    let dead: Vec<u64> = (0..all).filter(|chunk| !lives(*chunk)).collect();
    for some in dead.chunks(100) {
        let removals = some.iter().map(|chunk| delete(node, DISK, *chunk..=*chunk));
        for removed in join_all(removals).await {
            removed.unwrap();
        }
    }
}

/// Of sealed volumes half of which is dead, the dead half goes back to the file system, to the byte; it is taken
/// back again by whoever opens the disk; what lives stays where it is.
#[test]
fn dead_ranges_are_punched() {
    run(async {
        let disk = stamped(1).await;
        disk.set_capacity(ByteCount::new(4 << 20));
        let mut serving = node(&disk, LIMITS).await;
        let lives = |chunk: u64| chunk.is_multiple_of(2);
        fill(&serving, 0..100).await;
        remove_all_but(&serving, 100, lives).await;
        let (before, there) = (used(&serving).await, volumes(&disk));
        let mut disk = disk;
        for seed in 0..4 {
            serving.check().await;
            // Every second one of the sealed ones' records.
            let back = before - used(&serving).await;
            let tombstones = back - 4 * 21 / 2 * RECORD;
            assert!(tombstones <= 8192 && there.len() == 5, "{back} {there:?}");
            assert_eq!(volumes(&disk), there);
            let free = disk::Disk::free(&disk).await.unwrap().get();
            assert!(free + used(&serving).await + 64 * 1024 > 4 << 20, "{free}");
            check(&serving, 100, lives).await;
            drop(serving);
            disk = disk.crash(seed);
            serving = node(&disk, LIMITS).await;
            check(&serving, 100, lives).await;
        }
        serving.shutdown().await;
    });
}

/// Volumes of which little lives are emptied and go, the open one too once nobody writes to it; what is left takes
/// little more than what lives, at each power cut.
#[test]
fn what_lives_in_thin_volumes_moves() {
    run(async {
        let mut disk = stamped(1).await;
        let mut serving = node(&disk, LIMITS).await;
        let lives = |chunk: u64| chunk % 10 == 3;
        fill(&serving, 0..200).await;
        let full = used(&serving).await;
        remove_all_but(&serving, 200, lives).await;
        for _ in 0..4 {
            serving.check().await;
        }
        let living = 20 * RECORD;
        let left = used(&serving).await;
        assert!(
            full > 200 * RECORD && left < living + 64 * 1024,
            "{left} of {full}"
        );
        assert!(volumes(&disk)[0] > 9, "{:?}", volumes(&disk));
        for seed in 0..4 {
            check(&serving, 200, lives).await;
            drop(serving);
            disk = disk.crash(seed);
            serving = node(&disk, LIMITS).await;
        }
        // What was moved can be removed, and all goes.
        delete(&serving, DISK, 0..=199).await.unwrap();
        for _ in 0..3 {
            serving.check().await;
        }
        assert_eq!((volumes(&disk), used(&serving).await), (vec![], 0));
        serving.shutdown().await;
    });
}

/// A tombstone in a thin volume stays for as long as what it names may come back: what lives beside it is not moved
/// before.
#[test]
fn a_thin_volume_waits_for_its_victims() {
    run(async {
        let mut disk = stamped(1).await;
        let mut serving = node(&disk, LIMITS).await;
        // The first volume: half of it dead, by tombstones that lie in the second, which is thin.
        fill(&serving, 0..22).await;
        let lives = |chunk: u64| chunk < 20 && chunk.is_multiple_of(2) || chunk == 25 || chunk > 38;
        remove_all_but(&serving, 20, lives).await;
        fill(&serving, 22..60).await;
        remove_all_but(&serving, 60, lives).await;
        for seed in 0..4 {
            for _ in 0..3 {
                serving.check().await;
            }
            assert_eq!(volumes(&disk)[..2], [1, 2]);
            check(&serving, 60, lives).await;
            drop(serving);
            disk = disk.crash(seed);
            serving = node(&disk, LIMITS).await;
        }
        delete(&serving, DISK, 2..=19).await.unwrap();
        for _ in 0..3 {
            serving.check().await;
        }
        assert!(volumes(&disk)[0] > 2, "{:?}", volumes(&disk));
        check(&serving, 60, |chunk| {
            lives(chunk) && !(2..20).contains(&chunk)
        })
        .await;
        serving.shutdown().await;
    });
}

/// A reader that is on its way to a record while it is moved, or removed and punched, gets the shard or hears that
/// there is none: never that it is damaged.
#[test]
fn readers_meet_no_hole() {
    for (keeps, answers) in [(10, true), (2, false)] {
        run(async {
            let disk = stamped(1).await;
            let serving = node(&disk, LIMITS).await;
            fill(&serving, 0..40).await;
            let read = shard(DISK, 3, LENGTH, 0);
            let mut held = false;
            disk.script(move |call| {
                let first =
                    call.operation == Operation::Read && call.at.get() == 3 * RECORD && !held;
                held |= first;
                if first { Fate::Stall } else { Fate::Proceed }
            });
            let reading = read_all(&serving, &read);
            let meanwhile = async {
                while disk.stalled() == 0 {
                    tokio::task::yield_now().await;
                }
                // Thin with it, or half alive without it.
                let lives = |chunk: u64| {
                    if answers {
                        chunk == 3
                    } else {
                        chunk.is_multiple_of(keeps)
                    }
                };
                remove_all_but(&serving, 20, lives).await;
                serving.check().await;
                let first = disk.content("volume-00000001");
                assert_eq!(first.is_none(), answers, "it was moved, else punched");
                let zeros =
                    |bytes: Vec<u8>| bytes[3 * 8192..4 * 8192].iter().all(|byte| *byte == 0);
                assert!(first.is_none_or(zeros));
                disk.release();
            };
            let (bytes, ()) = tokio::join!(reading, meanwhile);
            let missing = Err(ReadError::Missing { key: read.key });
            let expected = if answers {
                Ok(read.payload.clone())
            } else {
                missing
            };
            assert_eq!(bytes, expected);
            serving.shutdown().await;
        });
    }
}

/// A shard that is removed while it is being moved stays removed.
#[test]
fn a_removal_wins_over_a_move() {
    run(async {
        let disk = stamped(1).await;
        let serving = node(&disk, LIMITS).await;
        fill(&serving, 0..40).await;
        let lives = |chunk: u64| chunk == 3 || chunk == 7 || chunk > 20;
        remove_all_but(&serving, 40, lives).await;
        let mut held = false;
        disk.script(move |call| {
            let at = (call.at.get(), call.length.get());
            let moves = call.operation == Operation::Read && at == (3 * RECORD, RECORD) && !held;
            held |= moves;
            if moves { Fate::Stall } else { Fate::Proceed }
        });
        let removal = async {
            while disk.stalled() == 0 {
                tokio::task::yield_now().await;
            }
            let removed = delete(&serving, DISK, 3..=3).await.unwrap();
            assert_eq!(removed.shards, 1);
            disk.release();
        };
        tokio::join!(serving.check(), removal);
        serving.check().await;
        assert!(volumes(&disk)[0] > 1, "the other one was moved");
        check(&serving, 40, |chunk| chunk != 3 && lives(chunk)).await;
        drop(serving);
        let again = node(&disk.crash(1), LIMITS).await;
        check(&again, 40, |chunk| chunk != 3 && lives(chunk)).await;
        again.shutdown().await;
    });
}

/// A damaged shard is not moved, and holds its volume only until it is written anew.
#[test]
fn damage_is_not_carried_on() {
    run(async {
        let disk = stamped(1).await;
        let serving = node(&disk, LIMITS).await;
        fill(&serving, 0..40).await;
        let lives = |chunk: u64| chunk == 3 || chunk == 7 || chunk > 19;
        remove_all_but(&serving, 40, lives).await;
        disk.flip("volume-00000001", ByteOffset::new(3 * RECORD + 2000), 1);
        for _ in 0..3 {
            serving.check().await;
        }
        assert_eq!(volumes(&disk)[0], 1);
        let damaged = shard(DISK, 3, LENGTH, 0);
        let corrupt = ReadError::Corrupt {
            key: damaged.key,
            block: 0,
        };
        assert_eq!(read_all(&serving, &damaged).await, Err(corrupt));
        assert_eq!(serving.put(damaged).await, Ok(()));
        for _ in 0..2 {
            serving.check().await;
        }
        assert!(volumes(&disk)[0] > 1);
        check(&serving, 40, lives).await;
        serving.shutdown().await;
    });
}

/// A file system that cannot punch is not asked again, and volumes go when they are half empty; one that has no
/// room for it is asked later; one that fails at it is stopped.
#[test]
fn punching_may_fail() {
    for (errno, fails_once, stops, first_volume) in [
        (libc_errno::EOPNOTSUPP, false, false, 6),
        (libc_errno::ENOSPC, true, false, 1),
        (libc_errno::EIO, true, true, 1),
    ] {
        run(async {
            let disk = stamped(1).await;
            let serving = node(&disk, LIMITS).await;
            fill(&serving, 0..100).await;
            let lives = |chunk: u64| chunk % 5 < 2;
            let mut calls = 0;
            disk.script(move |call| {
                let hit = call.operation == Operation::Punch && !(fails_once && calls > 0);
                calls += u32::from(hit);
                if hit {
                    Fate::Fail(errno)
                } else {
                    Fate::Proceed
                }
            });
            remove_all_but(&serving, 100, lives).await;
            let before = used(&serving).await;
            let changes = *serving.changes().borrow();
            for _ in 0..3 {
                serving.check().await;
            }
            assert_eq!(*serving.changes().borrow() > changes, stops, "{errno}");
            for look in 0.. {
                let state = serving.report().await[0].state.clone();
                if state == DiskState::Serving {
                    break;
                }
                assert!(look < 10, "{errno}: {state:?}");
                serving.check().await;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            serving.check().await;
            let back = before - used(&serving).await;
            assert!(back >= 4 * 12 * RECORD, "{errno}: {back}");
            assert_eq!(volumes(&disk)[0] > 5, first_volume > 5, "{errno}");
            check(&serving, 100, lives).await;
            serving.shutdown().await;
        });
    }
}

/// Linux's own numbers.
mod libc_errno {
    pub(super) const EIO: i32 = 5;
    pub(super) const ENOSPC: i32 = 28;
    pub(super) const EOPNOTSUPP: i32 = 95;
}

/// On a disk that takes no more shards, removing gives back room, in which shards are stored again: several times
/// over, with everything else where it was.
#[test]
fn a_full_disk_is_filled_again() {
    run(async {
        let disk = stamped(1).await;
        disk.set_capacity(ByteCount::new(2 << 20));
        let serving = node(&disk, LIMITS).await;
        let mut stored = Vec::new();
        let mut chunk = 0;
        for round in 0..6 {
            while serving.put(shard(DISK, chunk, LENGTH, 0)).await.is_ok() {
                stored.push(chunk);
                chunk += 1;
            }
            assert!(
                stored.len() as u64 * RECORD > (2 << 20) / 100 * 85,
                "{round}: {}",
                stored.len()
            );
            let (gone, left): (Vec<u64>, Vec<u64>) =
                stored.iter().partition(|chunk| *chunk % 10 != round);
            for some in gone.chunks(10) {
                for chunk in some {
                    delete(&serving, DISK, *chunk..=*chunk).await.unwrap();
                }
                serving.check().await;
            }
            stored = left;
            for _ in 0..4 {
                serving.check().await;
            }
            let (living, used) = (stored.len() as u64 * RECORD, used(&serving).await);
            let open = LIMITS.volume.get();
            assert!(used < living + open, "{round}: {used} for {living}");
        }
        check(&serving, chunk, |chunk| stored.contains(&chunk)).await;
        serving.shutdown().await;
    });
}

/// What was sealed and lost its footer is walked over its holes, which are no damage.
#[test]
fn holes_are_no_damage() {
    run(async {
        let disk = stamped(1).await;
        let serving = node(&disk, LIMITS).await;
        let lives = |chunk: u64| chunk.is_multiple_of(2);
        fill(&serving, 0..50).await;
        remove_all_but(&serving, 50, lives).await;
        serving.check().await;
        serving.shutdown().await;
        drop(serving);
        let length = disk.content("volume-00000001").unwrap().len() as u64;
        disk.flip("volume-00000001", ByteOffset::new(length - 20), 1);
        let again = node(&disk.restart(), LIMITS).await;
        let damage: Vec<String> = again
            .damage()
            .map(|(_, damage)| damage.to_string())
            .collect();
        assert_eq!(damage, ["volume-00000001: its footer is damaged"]);
        let live = again.report().await[0].shards;
        assert_eq!(live, 25);
        again.shutdown().await;
    });
}

/// The limits that most other tests have lead to the same.
#[test]
fn volumes_of_any_size_are_reclaimed() {
    for limits in [
        SMALL,
        LIMITS,
        Limits {
            batch: ByteCount::new(1),
            ..LIMITS
        },
    ] {
        run(async {
            let disk = stamped(1).await;
            let serving = node(&disk, limits).await;
            let lives = |chunk: u64| chunk % 16 == 9;
            fill(&serving, 0..128).await;
            remove_all_but(&serving, 128, lives).await;
            for _ in 0..6 {
                serving.check().await;
            }
            let left = used(&serving).await;
            assert!(left < 8 * RECORD + 100 * 1024, "{left}");
            check(&serving, 128, lives).await;
            serving.shutdown().await;
        });
    }
}
