//! Every fault that a disk may suffer, and which test shows what becomes of it.
//!
//! | fault | shown by |
//! | --- | --- |
//! | torn tail after power loss | `power::power_loss_keeps_acknowledged_shards`, `power_delete` |
//! | damage in the middle, misdirected write | `faults::a_flipped_header_is_damage`, `faults::a_flipped_block_is_never_served`, `heal`, `scrub::planted_damage_is_found_and_made_again` |
//! | write or sync fails | `faults::a_failed_write_or_sync_stops_the_disk`, `watch::a_failed_disk_comes_back_with_what_it_acknowledged`; at any call: here |
//! | a read fails | the shard is made again, many retire the disk: here |
//! | short I/O | the engines loop: `disk`'s `short_transfers_advance_by_whole_blocks`, and its suite's reads past the end |
//! | slow disk | told: here; not waited for: `client`'s `one_slow_disk_does_not_move_the_mark`, and its readers' tests |
//! | a call that does not return | `watch::a_stalled_disk_holds_up_nobody` |
//! | full | `faults::no_space_is_a_refusal_not_a_failure`, `faults::the_last_twentieth_is_kept_back`, `unlink::a_full_disk_takes_removals`; at any call: here |
//! | its files deleted under it | `faults::a_deleted_volume_is_noticed_before_the_answer` and its fellows, `watch::files_removed_under_a_disk_are_noticed`, `unlink::a_removed_roster_is_noticed` |
//! | it vanishes and comes back | `watch::a_lost_disk_is_noticed_and_comes_back`, `watch::a_detached_device_comes_back` |
//! | cloned, another cluster's, another node's, emptied | `watch::a_lost_disk_is_noticed_and_comes_back`, `node` |

use crate::upkeep::{World, disk, key};
use crate::world::{DISK, SMALL, delete, learn, node, read_all, run, shard, stamped};
use disk::Disk;
use disk::sim::{Call, Fate, Operation, SimDisk};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use strongroom_storage_node::{DiskDevice, Limits, Node, Watch};
use tokio::time::sleep;
use types::ByteCount;
use types::wire::ShardStore;
use types::wire::storage::{DiskState, PutShard, ReadError, ReadShard};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// One volume for all that a test stores.
const ROOMY: Limits = Limits {
    volume: ByteCount::new(2 << 20),
    allocate: ByteCount::new(64 << 10),
    batch: ByteCount::new(2 << 20),
};

/// What a disk was told to hold, as far as it has answered.
#[derive(Default)]
struct Answered(BTreeMap<u64, Option<PutShard>>);

impl Answered {
    async fn put(&mut self, node: &Node, chunk: u64) -> bool {
        let put = shard(DISK, chunk, 5000, 0);
        let stored = node.put(put.clone()).await.is_ok();
        if stored {
            self.0.insert(chunk, Some(put));
        }
        stored
    }

    async fn delete(&mut self, node: &Node, first: u64, last: u64) -> bool {
        let removed = delete(node, DISK, first..=last).await.is_ok();
        for (_, held) in self.0.range_mut(first..=last) {
            *held = None;
        }
        if !removed {
            // Nobody knows.
            self.0.retain(|chunk, _| !(first..=last).contains(chunk));
        }
        removed
    }

    /// Volumes are filled and sealed, some die and are unlinked, and all is written to again.
    async fn workload(&mut self, node: &Node) {
        for chunk in 0..9 {
            self.put(node, chunk).await;
        }
        self.delete(node, 0, 4).await;
        node.check().await;
        for chunk in 10..16 {
            self.put(node, chunk).await;
        }
        self.delete(node, 12, 13).await;
        node.check().await;
    }

    async fn assert_held(&self, node: &Node, case: &str) {
        for (chunk, held) in &self.0 {
            let put = shard(DISK, *chunk, 5000, 0);
            let read = read_all(node, &put).await;
            match held {
                Some(put) => assert_eq!(read.as_ref(), Ok(&put.payload), "{case}: {chunk}"),
                None => {
                    let missing = ReadError::Missing { key: put.key };
                    assert_eq!(read, Err(missing), "{case}: {chunk}");
                }
            }
        }
    }
}

/// The disk as a power cut leaves it, or as it is, served anew.
async fn quick(disk: &SimDisk) -> Node {
    let device = DiskDevice {
        disk: Arc::new(disk.clone()) as Arc<dyn Disk>,
        expected: Some(DISK),
    };
    let watch = Watch {
        every: Duration::from_millis(1),
        patience: Duration::from_secs(60),
    };
    let (cluster, server) = (crate::world::CLUSTER, crate::world::NODE);
    let node = Node::with_devices(cluster, server, vec![device], SMALL, watch).await;
    learn(&node, DISK, 1);
    node
}

async fn until_serving(node: &Node) {
    for _ in 0..1000 {
        if node.report().await[0].state == DiskState::Serving {
            return;
        }
        node.check().await;
        sleep(Duration::from_millis(1)).await;
    }
    panic!("{:?}", node.report().await[0].state);
}

/// Whatever call a device refuses, for want of space or because it is broken, nothing that was answered is lost
/// or comes back; the disk serves on, at the latest once it was opened anew; shards are stored and removed
/// again; and a power cut changes none of it.
/// Method: a workload in which every kind of call is made, once for each of its calls.
#[test]
fn any_one_call_may_fail() {
    let clean = run(async {
        let disk = stamped(1).await;
        let node = quick(&disk).await;
        let before = disk.calls();
        Answered::default().workload(&node).await;
        let calls = before..disk.calls();
        node.shutdown().await;
        calls
    });
    assert!(clean.end - clean.start > 150, "{clean:?}");
    let (mut refused, mut stopped) = (0, 0);
    for (call, errno) in clean.flat_map(|call| [(call, ENOSPC), (call, EIO)]) {
        run(async {
            let disk = stamped(1).await;
            let node = quick(&disk).await;
            let hit = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&hit);
            disk.script(move |now: &Call| {
                if now.number == call && !seen.swap(true, Ordering::SeqCst) {
                    return Fate::Fail(errno);
                }
                Fate::Proceed
            });
            let mut answered = Answered::default();
            answered.workload(&node).await;
            assert!(hit.load(Ordering::SeqCst), "{call}");
            let case = format!("call {call} failed with {errno}");
            if node.report().await[0].state == DiskState::Serving {
                refused += 1;
            } else {
                stopped += 1;
            }
            until_serving(&node).await;
            answered.assert_held(&node, &case).await;
            for chunk in 20..24 {
                assert!(answered.put(&node, chunk).await, "{case}");
            }
            assert!(answered.delete(&node, 20, 21).await, "{case}");
            answered.assert_held(&node, &case).await;
            drop(node);
            let again = quick(&disk.crash(call)).await;
            answered
                .assert_held(&again, &format!("{case}, then the power"))
                .await;
            again.shutdown().await;
        });
    }
    eprintln!("{refused} refused, {stopped} stopped");
    assert!(refused > 50 && stopped > 50, "{refused} {stopped}");
}

/// A disk that fails to read fifty shards is retired: it is not opened anew, though the device would answer,
/// until the process is started again. One that fails a few, however often, serves on; one that was pulled out
/// fails all of them, and serves when it is back.
#[test]
fn many_unreadable_shards_retire_a_disk() {
    run(async {
        let disk = stamped(1).await;
        let first = node(&disk, ROOMY).await;
        let puts: Vec<_> = (0..60).map(|chunk| shard(DISK, chunk, 5000, 0)).collect();
        for put in &puts {
            first.put(put.clone()).await.unwrap();
        }
        let io = |put: &PutShard| ReadError::Io {
            disk: DISK,
            key: put.key,
        };
        disk.script(|call| match call.operation {
            Operation::Read => Fate::Fail(EIO),
            _ => Fate::Proceed,
        });
        for put in &puts {
            assert_eq!(read_all(&first, put).await, Err(io(put)));
        }
        first.check().await;
        assert_ne!(first.report().await[0].state, DiskState::Serving);
        disk.script(|_| Fate::Proceed);
        until_serving(&first).await;
        disk.script(|call| match call.operation {
            Operation::Read if call.name.starts_with("volume-") => Fate::Fail(EIO),
            _ => Fate::Proceed,
        });
        for _ in 0..10 {
            for put in &puts[..49] {
                assert_eq!(read_all(&first, put).await, Err(io(put)));
            }
        }
        first.check().await;
        assert_eq!(first.report().await[0].state, DiskState::Serving);
        assert_eq!(read_all(&first, &puts[49]).await, Err(io(&puts[49])));
        first.check().await;
        let unavailable = Err(ReadError::DiskUnavailable { disk: DISK });
        assert_eq!(read_all(&first, &puts[50]).await, unavailable);
        disk.script(|_| Fate::Proceed);
        for _ in 0..5 {
            first.check().await;
            let DiskState::Failed(why) = first.report().await[0].state.clone() else {
                panic!("not retired");
            };
            assert!(
                why.starts_with("50 shards could not be read within 0 s"),
                "{why}"
            );
        }
        first.shutdown().await;
        drop(first);
        let second = node(&disk.restart(), ROOMY).await;
        for put in &puts {
            assert!(read_all(&second, put).await.unwrap() == put.payload);
        }
        second.shutdown().await;
    });
}

/// A shard whose read fails is made again at once, where the disk can be read.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_made_again() {
    let world = World::new().await;
    let payloads = world.store(1, 64, &[]).await;
    world.store(2, 64, &[]).await;
    let keeper = world.keeper();
    world.disks[2].script(|call| {
        let first = call.operation == Operation::Read && call.at.get() < 1 << 20;
        let volume = call.name.starts_with("volume-");
        if first && volume {
            Fate::Fail(EIO)
        } else {
            Fate::Proceed
        }
    });
    let request = ReadShard {
        disk: disk(2),
        key: key(1, 2),
        first_block: 0,
        blocks: 16,
    };
    let read = world.node.read(request).await;
    assert!(matches!(read, Err(ReadError::Io { .. })), "{read:?}");
    world
        .until(|known| !known.reported.is_empty() && known.repairs.is_empty())
        .await;
    assert_eq!(world.service.known().reported, [(disk(2), key(1, 2))]);
    let read = world.node.read(request).await;
    assert_eq!(read.as_ref(), Ok(&payloads[2]));
    keeper.shutdown().await;
}

/// A disk a hundred times slower than its peers is told to be, and serves; as fast as they are it is not any
/// more. When all are slow, none is.
#[tokio::test(start_paused = true)]
async fn a_slow_disk_is_told() {
    let world = World::new().await;
    world.store(1, 64, &[]).await;
    // Every read is held up by its disk's tick.
    let slow_down = |index: usize, tick: Duration| {
        let sim = world.disks[index].clone();
        sim.script(|call| match call.operation {
            Operation::Read if call.name.starts_with("volume-") => Fate::Stall,
            _ => Fate::Proceed,
        });
        tokio::spawn(async move {
            loop {
                sleep(tick).await;
                sim.release();
            }
        })
    };
    let millis = Duration::from_millis;
    for (ticks, expected) in [
        (
            [2, 2, 2, 200, 2, 2],
            [false, false, false, true, false, false],
        ),
        ([2, 2, 2, 2, 2, 2], [false; 6]),
        ([200; 6], [false; 6]),
    ] {
        let ticking = (0..).zip(ticks);
        let ticking: Vec<_> = ticking
            .map(|(at, tick)| slow_down(at, millis(tick)))
            .collect();
        for _ in 0..40 {
            let reads = (0..6).map(|index| {
                world.node.read(ReadShard {
                    disk: disk(index),
                    key: key(1, index),
                    first_block: 0,
                    blocks: 1,
                })
            });
            let reads = futures::future::join_all(reads).await;
            assert!(reads.iter().all(Result::is_ok));
            world.node.check().await;
            // Not in step with the ticks.
            sleep(millis(410)).await;
        }
        let reports = world.node.report().await;
        assert!(
            reports
                .iter()
                .all(|report| report.state == DiskState::Serving)
        );
        let slow: Vec<bool> = reports.iter().map(|report| report.slow.is_some()).collect();
        assert_eq!(slow, expected, "{ticks:?} {reports:?}");
        ticking.iter().for_each(|ticks| ticks.abort());
        for sim in &world.disks {
            sim.script(|_| Fate::Proceed);
            sim.release();
        }
    }
}
