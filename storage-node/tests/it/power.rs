//! Power cuts and kills at every call that changes a disk.

use crate::world::{DISK, Named, SMALL, node, read_all, run, seeds, shard, stamped};
use disk::sim::SimDisk;
use futures::future::join_all;
use std::sync::LazyLock;
use strongroom_storage_node::volume::VolumeId;
use strongroom_storage_node::{Damage, Limits, Node};
use types::ByteCount;
use types::wire::ShardStore;
use types::wire::storage::{DiskState, PutShard, ReadError};

/// Crashes that are tried after each cut.
const SEEDS: u64 = 300;
/// Of so many of them one is gone on from.
const ONWARD: usize = 10;

/// What is stored, on what kind of disk.
struct Scenario {
    limits: Limits,
    /// Of a sync: requests come in while one is under way.
    turns: u32,
    workload: Vec<Vec<PutShard>>,
    /// Volumes that the workload fills at least.
    volumes: u32,
}

/// Several volumes, several sizes, a record that is larger than a volume; each sync done at once.
static ONE_BY_ONE: LazyLock<Scenario> = LazyLock::new(|| Scenario {
    limits: SMALL,
    turns: 0,
    workload: rounds(&[
        &[100],
        &[3000, 5000, 1],
        &[9000, 100, 100, 100],
        &[66_000],
        &[4096, 12_000],
        &[100, 8000, 20_000, 100, 3063],
        &[100],
    ]),
    volumes: 4,
});

/// More than a batch holds, over and over: batches are written while those before them are synced.
static AHEAD: LazyLock<Scenario> = LazyLock::new(|| Scenario {
    limits: Limits {
        volume: ByteCount::new(120 << 10),
        allocate: ByteCount::new(120 << 10),
        batch: ByteCount::new(16 << 10),
    },
    turns: 3,
    workload: rounds(&[
        &[3000; 14],
        &[3000; 12],
        &[6000, 100, 3000, 100, 6000, 3000, 3000, 100, 3000],
        &[100],
    ]),
    volumes: 2,
});

/// Shards of these lengths; each round is sent together.
fn rounds(lengths: &[&[usize]]) -> Vec<Vec<PutShard>> {
    let mut chunk = 0;
    let mut next = |length: &usize| {
        chunk += 1;
        shard(DISK, chunk, *length, 0)
    };
    let rounds = lengths.iter();
    rounds
        .map(|round| round.iter().map(&mut next).collect())
        .collect()
}

impl Scenario {
    async fn node(&self, disk: &SimDisk) -> Node {
        disk.set_sync_turns(self.turns);
        node(disk, self.limits).await
    }

    /// Sends the workload until the disk fails; returns how the node answered what was sent.
    async fn send(&self, node: &Node) -> Vec<(PutShard, bool)> {
        let mut answered = Vec::new();
        for round in &self.workload {
            let answers = join_all(round.iter().map(|put| node.put(put.clone()))).await;
            let failed = answers.iter().any(Result::is_err);
            answered.extend(round.iter().cloned().zip(answers.iter().map(Result::is_ok)));
            if failed {
                break;
            }
        }
        answered
    }

    /// Sends everything again, as its writers would, and expects it to be durable.
    async fn send_again(&self, disk: &SimDisk, node: &Node, case: &str) -> Vec<(PutShard, bool)> {
        let answered = self.send(node).await;
        assert!(answered.iter().all(|(_, stored)| *stored), "{case}");
        assert_eq!(answered.len(), self.workload.concat().len(), "{case}");
        node.shutdown().await;
        assert!(!disk.is_cut());
        answered
    }

    /// How many calls of the workload, and of the clean stop behind it, change the disk.
    fn changes(&self) -> u64 {
        run(async {
            let disk = stamped(0).await;
            let node = self.node(&disk).await;
            let before = disk.changes();
            self.send_again(&disk, &node, "uncut").await;
            let last = VolumeId(self.volumes).file_name();
            assert!(disk.content(&last).is_some(), "{last}");
            disk.changes() - before
        })
    }

    /// A disk whose power was cut at that change of the workload, and how its node had answered.
    fn cut_at(&self, cut: u64) -> (SimDisk, Vec<(PutShard, bool)>) {
        run(async {
            let disk = stamped(0).await;
            let first = self.node(&disk).await;
            disk.cut_at_change(disk.changes() + cut);
            let answered = self.send(&first).await;
            if !disk.is_cut() {
                first.shutdown().await;
            }
            assert!(disk.is_cut(), "cut at change {cut}");
            (disk, answered)
        })
    }
}

/// Every acknowledged shard is there byte for byte; any other is so too, or is missing; there is no
/// other shard; nothing looks like damage to what was durable.
async fn check(node: &Node, answered: &[(PutShard, bool)], case: &str) {
    let mut readable = 0;
    for (put, acknowledged) in answered {
        match read_all(node, put).await {
            Ok(bytes) => {
                assert!(bytes == put.payload, "{case}: {} has other bytes", put.key);
                readable += 1;
            }
            Err(ReadError::Missing { .. }) if !acknowledged => {}
            Err(error) => panic!("{case}: {} acknowledged {acknowledged}: {error}", put.key),
        }
    }
    let report = &node.report().await[0];
    assert_eq!(report.state, DiskState::Serving, "{case}");
    assert_eq!(report.shards, readable, "{case}: invented shards");
    for (_, damage) in node.damage() {
        let torn = matches!(damage, Damage::Record { durable: false, .. });
        assert!(torn, "{case}: {damage}");
    }
}

/// Batches are written beside syncs where that was meant to be tried, and there alone.
#[test]
fn batches_are_written_beside_syncs() {
    for scenario in [&*ONE_BY_ONE, &*AHEAD] {
        run(async {
            let disk = stamped(0).await;
            let node = scenario.node(&disk).await;
            scenario.send_again(&disk, &node, "uncut").await;
            assert_eq!(disk.writes_beside_syncs() > 10, scenario.turns > 0);
        });
    }
}

/// Power loss keeps every acknowledged shard and invents none; and again after the recovery.
/// Method: cut power at each changing call in turn, crash by many seeds, reopen, compare; of some, send
/// everything again, crash once more, compare.
#[test]
fn power_loss_keeps_acknowledged_shards() {
    lose_power(&ONE_BY_ONE);
}

/// The same where a batch is written while the one before it is synced.
#[test]
fn power_loss_keeps_what_was_written_beside_a_sync() {
    lose_power(&AHEAD);
}

fn lose_power(scenario: &Scenario) {
    let mut kept_unacknowledged = 0;
    let mut lost = 0;
    let (seeds, changes) = (seeds(SEEDS), scenario.changes());
    for cut in 0..changes {
        let (disk, answered) = scenario.cut_at(cut);
        let unanswered = answered.iter().filter(|(_, stored)| !stored).count() as u64;
        let acknowledged = answered.len() as u64 - unanswered;
        for (n, seed) in seeds.clone().enumerate() {
            let _named = Named(seed);
            let case = format!("cut at change {cut}, seed {seed}");
            run(async {
                let disk = disk.crash(seed);
                let second = scenario.node(&disk).await;
                check(&second, &answered, &case).await;
                let shards = second.report().await[0].shards;
                kept_unacknowledged += shards - acknowledged;
                lost += unanswered - (shards - acknowledged);
                if !n.is_multiple_of(ONWARD) {
                    return;
                }
                let answered = scenario.send_again(&disk, &second, &case).await;
                drop(second);

                let third = scenario.node(&disk.crash(seed)).await;
                check(&third, &answered, &case).await;
                third.shutdown().await;
            });
        }
    }
    eprintln!("power cut at each of {changes} changes, by seeds {seeds:?}");
    // Else the cuts cut nothing.
    let enough = seeds.end - seeds.start < SEEDS || (kept_unacknowledged > 200 && lost > 2000);
    assert!(enough, "{kept_unacknowledged} {lost}");
}

/// What a killed process left unsynced is durable before its writers are told so.
/// Method: kill before each changing call, reopen, let every writer retry, cut the power.
#[test]
fn a_retry_after_a_kill_is_durable() {
    for scenario in [&*ONE_BY_ONE, &*AHEAD] {
        kill_and_retry(scenario);
    }
}

fn kill_and_retry(scenario: &Scenario) {
    for kill in 0..scenario.changes() {
        let (killed, _) = scenario.cut_at(kill);
        for seed in seeds(SEEDS).step_by(ONWARD) {
            let _named = Named(seed);
            let case = format!("killed at change {kill}, seed {seed}");
            run(async {
                let disk = killed.restart();
                let second = scenario.node(&disk).await;
                let answered = scenario.send_again(&disk, &second, &case).await;
                drop(second);

                let third = scenario.node(&disk.crash(seed)).await;
                check(&third, &answered, &case).await;
                third.shutdown().await;
            });
        }
    }
}

/// A cut while a disk opens loses nothing.
/// Method: cut during the workload, then at each call of the reopening, then reopen for good.
#[test]
fn a_cut_while_opening_loses_nothing() {
    for scenario in [&*ONE_BY_ONE, &*AHEAD] {
        cut_while_opening(scenario);
    }
}

fn cut_while_opening(scenario: &Scenario) {
    for cut in 0..scenario.changes() {
        let (disk, answered) = scenario.cut_at(cut);
        let seeds = seeds(SEEDS).step_by(ONWARD);
        for (seed, at) in seeds.flat_map(|seed| (0..6).map(move |at| (seed, at))) {
            let _named = Named(seed);
            let case =
                format!("cut at change {cut}, reopening cut at its change {at}, seed {seed}");
            run(async {
                let disk = disk.crash(seed);
                disk.cut_at_change(at);
                let _absent_or_not = scenario.node(&disk).await;
                let last = scenario.node(&disk.crash(seed + at)).await;
                check(&last, &answered, &case).await;
                last.shutdown().await;
            });
        }
    }
}
