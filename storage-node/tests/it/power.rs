//! Power cuts and kills at every call that changes a disk.

use crate::world::{DISK, SMALL, node, read_all, run, shard, stamped};
use disk::sim::SimDisk;
use futures::future::join_all;
use strongroom_storage_node::{Damage, Node};
use types::wire::ShardStore;
use types::wire::storage::{DiskState, PutShard, ReadError};

/// Crashes that are tried after each cut.
const SEEDS: u64 = 30;

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
    for round in workload() {
        let answers = join_all(round.iter().map(|put| node.put(put.clone()))).await;
        let failed = answers.iter().any(Result::is_err);
        answered.extend(round.into_iter().zip(answers.iter().map(Result::is_ok)));
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
    assert_eq!(answered.len(), workload().concat().len(), "{case}");
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

/// Power loss keeps every acknowledged shard and invents none; and again after the recovery.
/// Method: cut power at each changing call in turn, crash by many seeds, reopen, compare; then send
/// everything again, crash once more, compare.
#[test]
fn power_loss_keeps_acknowledged_shards() {
    let mut kept_unacknowledged = 0;
    let mut lost = 0;
    let changes = changes();
    for cut in 0..changes {
        for seed in 0..SEEDS {
            let case = format!("cut at change {cut}, seed {seed}");
            run(async {
                let disk = stamped(seed).await;
                let first = node(&disk, SMALL).await;
                disk.cut_at_change(disk.changes() + cut);
                let answered = send(&first).await;
                assert!(disk.is_cut(), "{case}");
                drop(first);

                let disk = disk.crash(seed);
                let second = node(&disk, SMALL).await;
                check(&second, &answered, &case).await;
                let unanswered = answered.iter().filter(|(_, stored)| !stored).count() as u64;
                let acknowledged = answered.len() as u64 - unanswered;
                let shards = second.report().await[0].shards;
                kept_unacknowledged += shards - acknowledged;
                lost += unanswered - (shards - acknowledged);
                let answered = send_again(&disk, &second, &case).await;
                drop(second);

                let third = node(&disk.crash(seed), SMALL).await;
                check(&third, &answered, &case).await;
                third.shutdown().await;
            });
        }
    }
    // Else the cuts cut nothing.
    assert!(
        kept_unacknowledged > 20 && lost > 200,
        "{kept_unacknowledged} {lost}"
    );
}

/// What a killed process left unsynced is durable before its writers are told so.
/// Method: kill before each changing call, reopen, let every writer retry, cut the power.
#[test]
fn a_retry_after_a_kill_is_durable() {
    for kill in 0..changes() {
        for seed in 0..4 {
            let case = format!("killed at change {kill}, seed {seed}");
            run(async {
                let disk = stamped(seed).await;
                let first = node(&disk, SMALL).await;
                disk.cut_at_change(disk.changes() + kill);
                send(&first).await;
                drop(first);

                let disk = disk.restart();
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
    let changes = changes();
    for cut in (0..changes).step_by(3) {
        for at in 0..6 {
            let case = format!("cut at change {cut}, reopening cut at its change {at}");
            run(async {
                let disk = stamped(cut).await;
                let first = node(&disk, SMALL).await;
                disk.cut_at_change(disk.changes() + cut);
                let answered = send(&first).await;
                drop(first);
                let disk = disk.crash(cut);
                disk.cut_at_change(at);
                let _absent_or_not = node(&disk, SMALL).await;
                let last = node(&disk.crash(at), SMALL).await;
                check(&last, &answered, &case).await;
                last.shutdown().await;
            });
        }
    }
}
