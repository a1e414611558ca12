//! Faults other than power cuts.

use crate::world::{DISK, SMALL, node, read_all, run, shard, stamped};
use disk::sim::{Call, Fate, Operation, SimDisk};
use futures::FutureExt;
use futures::future::{join, join_all};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use strongroom_storage_node::{Damage, Limits, Node};
use types::wire::ShardStore;
use types::wire::storage::{DiskState, PutError, PutShard, ReadError};
use types::{ByteCount, ByteOffset};

/// One volume for all that a test stores.
const ROOMY: Limits = Limits {
    volume: ByteCount::new(2 << 20),
    allocate: ByteCount::new(64 << 10),
    batch: ByteCount::new(2 << 20),
};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;

async fn stored(
    disk: &SimDisk,
    limits: Limits,
    chunks: std::ops::Range<u64>,
) -> (Node, Vec<PutShard>) {
    let node = node(disk, limits).await;
    let puts: Vec<_> = chunks.map(|chunk| shard(DISK, chunk, 5000, 0)).collect();
    for put in &puts {
        node.put(put.clone()).await.unwrap();
    }
    (node, puts)
}

async fn assert_readable(node: &Node, puts: &[PutShard]) {
    for put in puts {
        assert!(
            read_all(node, put).await.unwrap() == put.payload,
            "{}",
            put.key
        );
    }
}

/// Fails the first call of that kind, then proceeds.
fn fail_once(disk: &SimDisk, operation: Operation, errno: i32) {
    let mut failed = false;
    disk.script(move |call: &Call| {
        if call.operation == operation && !std::mem::replace(&mut failed, true) {
            return Fate::Fail(errno);
        }
        Fate::Proceed
    });
}

/// A failed write or sync stops the disk at once and for good: no later acknowledgement, though the
/// device would take the next call. What was acknowledged before is there after a restart.
#[test]
fn a_failed_write_or_sync_stops_the_disk() {
    for (operation, errno) in [
        (Operation::Sync, EIO),
        (Operation::Sync, ENOSPC),
        (Operation::Write, EIO),
        (Operation::Links, EIO),
        (Operation::Free, EIO),
    ] {
        run(async {
            let disk = stamped(1).await;
            let (first, puts) = stored(&disk, ROOMY, 0..3).await;
            fail_once(&disk, operation, errno);
            let failed = Err(PutError::DiskFailed { disk: DISK });
            for chunk in 3..6 {
                assert_eq!(
                    first.put(shard(DISK, chunk, 100, 0)).await,
                    failed,
                    "{operation:?}"
                );
            }
            let unavailable = Err(ReadError::DiskUnavailable { disk: DISK });
            assert_eq!(read_all(&first, &puts[0]).await, unavailable);
            let state = &first.report().await[0].state;
            assert!(matches!(state, DiskState::Failed(_)), "{state:?}");
            first.shutdown().await;
            drop(first);
            let second = node(&disk.crash(9), ROOMY).await;
            assert_readable(&second, &puts).await;
            second.shutdown().await;
        });
    }
}

/// What waits behind a sync that fails is refused, and reaches the device no more: the kernel would
/// have cleared the error, so another sync would succeed and prove nothing.
#[test]
fn a_stopped_disk_refuses_what_waits() {
    run(async {
        let disk = stamped(1).await;
        let (node, _) = stored(&disk, ROOMY, 0..1).await;
        let mut stalled = false;
        disk.script(move |call| match call.operation {
            Operation::Sync if !std::mem::replace(&mut stalled, true) => Fate::Stall,
            _ => Fate::Proceed,
        });
        let failed = Err(PutError::DiskFailed { disk: DISK });
        let put = |chunk| node.put(shard(DISK, chunk, 100, 0));
        let watch = async {
            until_stalled(&disk).await;
            let mut waiting = [put(2), put(3)];
            for put in &mut waiting {
                assert!(put.now_or_never().is_none());
            }
            let changes = disk.changes();
            disk.fail_stalled(EIO);
            assert_eq!(join_all(waiting).await, [failed.clone(), failed.clone()]);
            assert_eq!(disk.changes(), changes);
        };
        let (first, ()) = join(put(1), watch).await;
        assert_eq!(first, failed);
        node.shutdown().await;
    });
}

async fn until_stalled(disk: &SimDisk) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while disk.stalled() == 0 {
        assert!(Instant::now() < deadline, "no sync was called");
        tokio::task::yield_now().await;
    }
}

/// An error that stops the disk counts, whatever other writes of the batch met a full file system.
#[test]
fn a_full_disk_hides_no_failure() {
    for errnos in [[ENOSPC, EIO], [EIO, ENOSPC]] {
        run(async {
            let disk = stamped(1).await;
            let (node, _) = stored(&disk, ROOMY, 0..1).await;
            let mut errnos = errnos.into_iter();
            disk.script(move |call| match call.operation {
                Operation::Write => errnos.next().map_or(Fate::Proceed, Fate::Fail),
                _ => Fate::Proceed,
            });
            let puts = [1, 2].map(|chunk| node.put(shard(DISK, chunk, 100, 0)));
            let failed = Err(PutError::DiskFailed { disk: DISK });
            assert_eq!(join_all(puts).await, [failed.clone(), failed.clone()]);
            assert_eq!(node.put(shard(DISK, 3, 100, 0)).await, failed);
            node.shutdown().await;
        });
    }
}

/// A batch is encoded as a whole, so its size bounds what a disk's writer holds beside the client's
/// memory budget.
#[test]
fn a_batch_is_small() {
    run(async {
        let disk = stamped(1).await;
        let node = node(&disk, Limits::default()).await;
        let largest = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&largest);
        let mut unsynced = 0;
        disk.script(move |call| {
            match call.operation {
                Operation::Write => unsynced += call.length.get(),
                Operation::Sync => unsynced = 0,
                _ => {}
            }
            seen.fetch_max(unsynced, Ordering::SeqCst);
            Fate::Proceed
        });
        let puts = (0..40).map(|chunk| node.put(shard(DISK, chunk, 1 << 20, 0)));
        assert!(join_all(puts).await.iter().all(Result::is_ok));
        let largest = largest.load(Ordering::SeqCst);
        assert!((4 << 20..=8 << 20).contains(&largest), "{largest}");
        node.shutdown().await;
    });
}

/// A file system that is full, or its owner's quota, at any call refuses that shard clearly; the disk
/// goes on, and nothing that was acknowledged before or after is lost by a power cut.
#[test]
fn no_space_is_a_refusal_not_a_failure() {
    let operations = [Operation::Write, Operation::Allocate, Operation::Create];
    for (operation, errno) in operations
        .into_iter()
        .flat_map(|operation| [(operation, ENOSPC), (operation, EDQUOT)])
    {
        for chunk in 0..12 {
            run(async {
                let disk = stamped(chunk).await;
                let (first, mut puts) = stored(&disk, SMALL, 0..chunk).await;
                fail_once(&disk, operation, errno);
                let full = Err(PutError::Full { disk: DISK });
                for chunk in chunk..20 {
                    let put = shard(DISK, chunk, 5000, 0);
                    let answer = first.put(put.clone()).await;
                    if answer.is_ok() {
                        puts.push(put);
                    } else {
                        assert_eq!(answer, full, "{operation:?}");
                    }
                }
                assert!(puts.len() >= 19, "{operation:?}");
                first.shutdown().await;
                drop(first);
                let second = node(&disk.crash(chunk), SMALL).await;
                assert_readable(&second, &puts).await;
                second.shutdown().await;
            });
        }
    }
}

/// A twentieth is kept back: puts are refused while it is left, reads go on.
#[test]
fn the_last_twentieth_is_kept_back() {
    run(async {
        let disk = stamped(1).await;
        let capacity = 2 << 20;
        disk.set_capacity(ByteCount::new(capacity));
        let node = node(&disk, SMALL).await;
        let mut puts = Vec::new();
        let refusal = loop {
            let put = shard(DISK, puts.len() as u64, 5000, 0);
            match node.put(put.clone()).await {
                Ok(()) => puts.push(put),
                Err(error) => break error,
            }
        };
        assert_eq!(refusal, PutError::Full { disk: DISK });
        assert_readable(&node, &puts).await;
        let free = disk::Disk::free(&disk).await.unwrap().get();
        // A footer may go into the reserve.
        let reserve = capacity / 20 - 8192..capacity / 10;
        assert!(reserve.contains(&free), "{free}");
        let report = &node.report().await[0];
        assert_eq!(report.state, DiskState::Serving);
        assert!(report.free < ByteCount::new(capacity / 20));
        node.shutdown().await;
    });
}

/// Its file deleted under it, a disk stops before the next answer.
#[test]
fn a_deleted_volume_is_noticed_before_the_answer() {
    run(async {
        let disk = stamped(1).await;
        let (node, _) = stored(&disk, ROOMY, 0..2).await;
        disk.snatch("volume-00000001");
        let failed = Err(PutError::DiskFailed { disk: DISK });
        assert_eq!(node.put(shard(DISK, 2, 100, 0)).await, failed);
        let DiskState::Failed(why) = node.report().await[0].state.clone() else {
            panic!("not failed");
        };
        assert_eq!(why, "volume-00000001 was removed under the running server");
        node.shutdown().await;
    });
}

/// A retry is not told that its shard is stored once the file that holds it has no name any more,
/// though the open descriptor still reads it.
#[test]
fn a_deleted_volume_is_noticed_by_a_retry() {
    for limits in [ROOMY, SMALL] {
        run(async {
            let disk = stamped(1).await;
            let (node, puts) = stored(&disk, limits, 0..8).await;
            disk.snatch("volume-00000001");
            let failed = Err(PutError::DiskFailed { disk: DISK });
            assert_eq!(node.put(puts[0].clone()).await, failed);
            assert_eq!(node.put(puts[7].clone()).await, failed);
            node.shutdown().await;
        });
    }
}

/// A sealed volume that nobody asks for is noticed missing when the next one is created.
#[test]
fn a_deleted_sealed_volume_is_noticed() {
    run(async {
        let disk = stamped(1).await;
        let (node, _) = stored(&disk, SMALL, 0..8).await;
        disk.snatch("volume-00000001");
        let mut answer = Ok(());
        for chunk in 8..14 {
            answer = node.put(shard(DISK, chunk, 5000, 0)).await;
        }
        assert_eq!(answer, Err(PutError::DiskFailed { disk: DISK }));
        let DiskState::Failed(why) = node.report().await[0].state.clone() else {
            panic!("not failed");
        };
        assert_eq!(why, "volume-00000001 was removed under the running server");
        node.shutdown().await;
    });
}

/// While a sync runs nobody is answered and requests gather; the next sync is for all of them. Too many
/// are refused. Reads do not wait for syncs. A writer that gave up changes nothing.
#[test]
fn one_sync_serves_all_that_wait() {
    run(async {
        let disk = stamped(1).await;
        let limits = Limits {
            allocate: ROOMY.volume,
            ..ROOMY
        };
        let (node, before) = stored(&disk, limits, 0..1).await;
        let syncs = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&syncs);
        disk.script(move |call| {
            if call.operation != Operation::Sync {
                return Fate::Proceed;
            }
            match count.fetch_add(1, Ordering::SeqCst) {
                0 => Fate::Stall,
                _ => Fate::Proceed,
            }
        });
        let puts: Vec<_> = (1..=600).map(|chunk| shard(DISK, chunk, 50, 0)).collect();
        let first = node.put(puts[0].clone());
        let watch = async {
            until_stalled(&disk).await;
            let mut rest: Vec<_> = puts[1..].iter().map(|put| node.put(put.clone())).collect();
            let busy = rest
                .iter_mut()
                .filter_map(|put| put.now_or_never())
                .inspect(|answer| assert_eq!(*answer, Err(PutError::Busy { disk: DISK })))
                .count();
            assert_eq!(busy, 599 - 256);
            assert_readable(&node, &before).await;
            let missing = ReadError::Missing { key: puts[0].key };
            assert_eq!(read_all(&node, &puts[0]).await, Err(missing));
            disk.release();
            rest.truncate(256);
            // Its writer gives up.
            drop(rest.pop());
            join_all(rest).await
        };
        let (first, rest) = join(first, watch).await;
        assert_eq!(first, Ok(()));
        assert!(rest.iter().all(Result::is_ok));
        assert_eq!(syncs.load(Ordering::SeqCst), 2);
        node.shutdown().await;
        assert_readable(&node, &puts[..257]).await;
    });
}

/// The same key twice at once: the same bytes share one record, others are refused.
#[test]
fn a_key_is_written_once() {
    run(async {
        let disk = stamped(1).await;
        let node = node(&disk, ROOMY).await;
        let put = shard(DISK, 1, 5000, 0);
        let other = shard(DISK, 1, 5000, 1);
        let key = put.key;
        let answers = join_all([&put, &put, &other, &put].map(|put| node.put(put.clone()))).await;
        let conflict = Err(PutError::Conflict { key });
        assert_eq!(answers, [Ok(()), Ok(()), conflict.clone(), Ok(())]);
        assert_eq!(node.put(other).await, conflict);
        assert_eq!(node.put(put.clone()).await, Ok(()));
        assert_eq!(node.report().await[0].shards, 1);
        assert_readable(&node, &[put]).await;
        node.shutdown().await;
    });
}

/// Where records begin in a volume of `stored` shards: each takes two blocks.
const RECORD: u64 = 8192;

/// Any flipped byte of a header is damage, whatever the field: that shard is missing, all others serve.
#[test]
fn a_flipped_header_is_damage() {
    run(async {
        let pristine = stamped(1).await;
        let (first, puts) = stored(&pristine, ROOMY, 0..4).await;
        first.shutdown().await;
        drop(first);
        for byte in 0..1024 {
            let disk = pristine.crash(0);
            disk.flip(
                "volume-00000001",
                ByteOffset::new(RECORD + byte),
                1 << (byte % 8),
            );
            let node = node(&disk, ROOMY).await;
            let damage: Vec<_> = node.damage().map(|(_, damage)| damage.clone()).collect();
            let [
                Damage::Record {
                    at,
                    length,
                    durable: true,
                    ..
                },
            ] = &damage[..]
            else {
                panic!("byte {byte}: {damage:?}");
            };
            assert_eq!((at.get(), length.get()), (RECORD, RECORD));
            let missing = ReadError::Missing { key: puts[1].key };
            assert_eq!(read_all(&node, &puts[1]).await, Err(missing), "byte {byte}");
            for put in [&puts[0], &puts[2], &puts[3]] {
                assert!(read_all(&node, put).await.unwrap() == put.payload);
            }
            node.shutdown().await;
        }
    });
}

/// A flipped byte of a block is refused by every read of that block, and only there; in the last
/// record, which a power cut may have torn, it is a tail.
#[test]
fn a_flipped_block_is_never_served() {
    run(async {
        let pristine = stamped(1).await;
        let (first, puts) = stored(&pristine, ROOMY, 0..4).await;
        first.shutdown().await;
        drop(first);
        for byte in [0, 1, 1500, 4999, 5000, 5007] {
            let disk = pristine.crash(0);
            let last = 3 * RECORD;
            for record in [RECORD, last] {
                let at = ByteOffset::new(record + 1024 + byte);
                disk.flip("volume-00000001", at, 0x80);
            }
            let node = node(&disk, ROOMY).await;
            assert_eq!(node.damage().count(), 0);
            let key = puts[1].key;
            let corrupt = ReadError::Corrupt { key, block: 0 };
            let read = read_all(&node, &puts[1]).await.map(|_| ());
            assert_eq!(read, Err(corrupt.clone()), "byte {byte}");
            assert_eq!(node.verify(DISK, key).await, Err(corrupt));
            assert_readable(&node, &[puts[0].clone(), puts[2].clone()]).await;
            let missing = ReadError::Missing { key: puts[3].key };
            assert_eq!(read_all(&node, &puts[3]).await, Err(missing));
            let left = disk.content("volume-00000001").unwrap();
            let behind = &left[usize::try_from(last).unwrap()..];
            assert!(behind.iter().all(|byte| *byte == 0), "its tail is cut");
            assert_eq!(node.put(puts[3].clone()).await, Ok(()));
            assert_readable(&node, &puts[2..]).await;
            node.shutdown().await;
        }
    });
}

/// Any flipped byte of a footer is noticed, and costs no shard: the volume is walked.
#[test]
fn a_flipped_footer_costs_no_shard() {
    run(async {
        let pristine = stamped(1).await;
        let (first, puts) = stored(&pristine, SMALL, 0..8).await;
        first.shutdown().await;
        drop(first);
        let length = pristine.content("volume-00000001").unwrap().len() as u64;
        let entries = 4 * 48;
        let footer = length - 4096;
        for at in (footer..footer + entries).chain(length - 64..length) {
            let disk = pristine.crash(0);
            disk.flip("volume-00000001", ByteOffset::new(at), 1 << (at % 8));
            let node = node(&disk, SMALL).await;
            let damage: Vec<_> = node
                .damage()
                .map(|(_, damage)| damage.to_string())
                .collect();
            assert_eq!(
                damage,
                ["volume-00000001: its footer is damaged"],
                "byte {at}"
            );
            assert_readable(&node, &puts).await;
            node.shutdown().await;
        }
    });
}

/// Nor does one of the newest volume, which a stop has sealed: it may be a seal that a power cut tore, and what is left of
/// it is a tail. What is written next, and the start after that, find everything.
#[test]
fn a_flipped_footer_of_the_newest_volume_costs_no_shard() {
    let limits = Limits {
        allocate: ByteCount::new(16 << 10),
        ..ROOMY
    };
    run(async {
        let pristine = stamped(1).await;
        let (first, puts) = stored(&pristine, limits, 0..4).await;
        first.shutdown().await;
        drop(first);
        let content = pristine.content("volume-00000001").unwrap();
        let length = content.len() as u64;
        let footer = length - 4096;
        assert_eq!(footer, 4 * RECORD, "nothing but records and a footer");
        assert!(content[content.len() - 64..].iter().any(|byte| *byte != 0));
        for at in (footer..footer + 4 * 48).chain(length - 64..length) {
            let disk = pristine.crash(0);
            disk.flip("volume-00000001", ByteOffset::new(at), 1 << (at % 8));
            let node = self::node(&disk, limits).await;
            assert_readable(&node, &puts).await;
            let next = shard(DISK, 9, 5000, 0);
            node.put(next.clone()).await.unwrap();
            node.shutdown().await;
            drop(node);
            let again = self::node(&disk.restart(), limits).await;
            assert_eq!(again.damage().count(), 0, "byte {at}");
            assert_readable(&again, &puts).await;
            assert_readable(&again, &[next]).await;
            again.shutdown().await;
        }
    });
}

/// A volume's file that is gone is damage, and what it held is missing.
#[test]
fn a_missing_volume_is_damage() {
    run(async {
        let disk = stamped(1).await;
        let (first, puts) = stored(&disk, SMALL, 0..8).await;
        first.shutdown().await;
        drop(first);
        let disk = disk.crash(0);
        disk.snatch("volume-00000001");
        let node = node(&disk, SMALL).await;
        let damage: Vec<_> = node
            .damage()
            .map(|(_, damage)| damage.to_string())
            .collect();
        assert_eq!(damage, ["volume-00000001 is missing"]);
        let missing = ReadError::Missing { key: puts[0].key };
        assert_eq!(read_all(&node, &puts[0]).await, Err(missing));
        assert_readable(&node, &puts[7..]).await;
        node.shutdown().await;
    });
}

/// A disk that fails a read while it opens is absent; its tail is not cut.
#[test]
fn an_unreadable_disk_is_left_alone() {
    run(async {
        let disk = stamped(1).await;
        let (first, _) = stored(&disk, ROOMY, 0..4).await;
        first.shutdown().await;
        drop(first);
        let disk = disk.restart();
        let before = disk.content("volume-00000001");
        let changes = disk.changes();
        disk.script(|call| match call.operation {
            Operation::Read if call.name.starts_with("volume") => Fate::Fail(EIO),
            _ => Fate::Proceed,
        });
        let node = node(&disk, ROOMY).await;
        let DiskState::Absent(why) = node.report().await[0].state.clone() else {
            panic!("not absent");
        };
        assert!(why.starts_with("reading its volumes"), "{why}");
        assert_eq!(disk.content("volume-00000001"), before);
        assert_eq!(disk.changes(), changes);
    });
}
