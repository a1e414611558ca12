//! Power cuts and kills at every call that changes a disk.

use crate::world::{DISK, Named, SMALL, node, read_all, run, seeds, shard, stamped};
use disk::sim::SimDisk;
use futures::future::join_all;
use std::sync::LazyLock;
use strongroom_storage_node::{Damage, Node};
use types::wire::ShardStore;
use types::wire::storage::{DiskState, PutShard, ReadError};

/// Crashes that are tried after each cut.
const SEEDS: u64 = 300;
/// Of so many of them one is gone on from.
const ONWARD: usize = 10;

static WORKLOAD: LazyLock<Vec<Vec<PutShard>>> = LazyLock::new(workload);

/// Rounds of shards that are sent together: several volumes, several sizes, a record that is larger
/// than a volume.
fn workload() -> Vec<Vec<PutShard>> {
    let mut chunk = 0;
    let mut round = |lengths: &[usize]| {
        let shards = lengths.iter().map(|length| {
            chunk += 1;
            shard(DISK, chunk, *length, 0)
        });
        shards.collect::<Vec<_>>()
    };
    vec![
        round(&[100]),
        round(&[3000, 5000, 1]),
        round(&[9000, 100, 100, 100]),
        round(&[66_000]),
        round(&[4096, 12_000]),
        round(&[100, 8000, 20_000, 100, 3063]),
        round(&[100]),
    ]
}

/// Sends the workload until the disk fails; returns how the node answered what was sent.
async fn send(node: &Node) -> Vec<(PutShard, bool)> {
    let mut answered = Vec::new();
    for round in WORKLOAD.iter() {
        let answers = join_all(round.iter().map(|put| node.put(put.clone()))).await;
        let failed = answers.iter().any(Result::is_err);
        answered.extend(round.iter().cloned().zip(answers.iter().map(Result::is_ok)));
        if failed {
            break;
        }
    }
    answered
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

/// Sends everything again, as its writers would, and expects it to be durable.
async fn send_again(disk: &SimDisk, node: &Node, case: &str) -> Vec<(PutShard, bool)> {
    let answered = send(node).await;
    assert!(answered.iter().all(|(_, stored)| *stored), "{case}");
    assert_eq!(answered.len(), WORKLOAD.concat().len(), "{case}");
    node.shutdown().await;
    assert!(!disk.is_cut());
    answered
}

/// How many calls of the workload change the disk, and a check that it seals volumes.
fn changes() -> u64 {
    run(async {
        let disk = stamped(0).await;
        let node = node(&disk, SMALL).await;
        let before = disk.changes();
        send_again(&disk, &node, "uncut").await;
        assert!(disk.content("volume-00000004").is_some());
        disk.changes() - before
    })
}

/// A disk whose power was cut at that change of the workload, and how its node had answered.
fn cut_at(cut: u64) -> (SimDisk, Vec<(PutShard, bool)>) {
    run(async {
        let disk = stamped(0).await;
        let first = node(&disk, SMALL).await;
        disk.cut_at_change(disk.changes() + cut);
        let answered = send(&first).await;
        assert!(disk.is_cut(), "cut at change {cut}");
        (disk, answered)
    })
}

/// Power loss keeps every acknowledged shard and invents none; and again after the recovery.
/// Method: cut power at each changing call in turn, crash by many seeds, reopen, compare; of some, send
/// everything again, crash once more, compare.
#[test]
fn power_loss_keeps_acknowledged_shards() {
    let mut kept_unacknowledged = 0;
    let mut lost = 0;
    let (seeds, changes) = (seeds(SEEDS), changes());
    for cut in 0..changes {
        let (disk, answered) = cut_at(cut);
        let unanswered = answered.iter().filter(|(_, stored)| !stored).count() as u64;
        let acknowledged = answered.len() as u64 - unanswered;
        for (n, seed) in seeds.clone().enumerate() {
            let _named = Named(seed);
            let case = format!("cut at change {cut}, seed {seed}");
            run(async {
                let disk = disk.crash(seed);
                let second = node(&disk, SMALL).await;
                check(&second, &answered, &case).await;
                let shards = second.report().await[0].shards;
                kept_unacknowledged += shards - acknowledged;
                lost += unanswered - (shards - acknowledged);
                if !n.is_multiple_of(ONWARD) {
                    return;
                }
                let answered = send_again(&disk, &second, &case).await;
                drop(second);

                let third = node(&disk.crash(seed), SMALL).await;
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
    for kill in 0..changes() {
        let (killed, _) = cut_at(kill);
        for seed in seeds(SEEDS).step_by(ONWARD) {
            let _named = Named(seed);
            let case = format!("killed at change {kill}, seed {seed}");
            run(async {
                let disk = killed.restart();
                let second = node(&disk, SMALL).await;
                let answered = send_again(&disk, &second, &case).await;
                drop(second);

                let third = node(&disk.crash(seed), SMALL).await;
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
    for cut in 0..changes() {
        let (disk, answered) = cut_at(cut);
        let seeds = seeds(SEEDS).step_by(ONWARD);
        for (seed, at) in seeds.flat_map(|seed| (0..6).map(move |at| (seed, at))) {
            let _named = Named(seed);
            let case =
                format!("cut at change {cut}, reopening cut at its change {at}, seed {seed}");
            run(async {
                let disk = disk.crash(seed);
                disk.cut_at_change(at);
                let _absent_or_not = node(&disk, SMALL).await;
                let last = node(&disk.crash(seed + at), SMALL).await;
                check(&last, &answered, &case).await;
                last.shutdown().await;
            });
        }
    }
}
