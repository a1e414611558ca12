//! Power cuts and kills at every call that changes a disk on which shards are stored, removed and written
//! again, volumes sealed, punched, emptied and unlinked, against a model.

use crate::world::{
    DISK, Named, SMALL, delete, node, read_all, run, seeds, shard, stamped, used, volumes,
};
use disk::sim::{Fate, Operation, SimDisk};
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};
use strongroom_storage_node::{Damage, Node};
use types::wire::ShardStore;
use types::wire::storage::{DiskState, PutShard, ReadError};

/// Crashes that are tried after each cut.
const SEEDS: u64 = 100;
/// Of so many of them one is gone on from.
const ONWARD: usize = 10;
/// Of so many of them one is tried with cuts while the disk opens.
const OPENING: usize = 50;
const CHUNKS: u64 = 16;

/// What is asked of the node.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Chunk, length, content.
    Put(u64, usize, u64),
    /// First and last chunk.
    Delete(u64, u64),
    /// The node looks after its volumes.
    Check,
}

/// What may stand under a chunk: nothing, or that length and content.
type Shown = Option<(usize, u64)>;
/// All that may stand under each chunk; one thing, but for what was under way.
type Model = BTreeMap<u64, BTreeSet<Shown>>;

/// Rounds of what is sent together. Volumes die in order and out of it, under tombstones that lie in them and
/// in others; keys are written again; the open volume dies alone.
fn workload() -> Vec<Vec<Step>> {
    use Step::{Check, Delete, Put};
    vec![
        vec![Put(0, 5000, 0), Put(1, 5000, 0), Put(2, 100, 0)],
        vec![Put(3, 9000, 0), Put(4, 9000, 0)],
        vec![Delete(1, 1), Put(5, 5000, 0)],
        vec![Put(6, 5000, 0), Put(7, 12_000, 0), Delete(3, 4)],
        vec![Delete(0, 0), Delete(2, 2)],
        vec![Put(1, 5000, 1), Put(8, 5000, 0)],
        vec![Check],
        vec![Delete(5, 7), Put(9, 9000, 0), Delete(11, 15)],
        vec![Put(3, 100, 1), Put(10, 20_000, 0)],
        vec![Delete(8, 10), Put(12, 66_000, 0)],
        vec![Put(5, 3000, 1), Delete(1, 1)],
        vec![Delete(12, 12), Put(1, 3000, 2)],
        vec![Delete(0, 15)],
        vec![Check],
        vec![Check],
        vec![Put(0, 5000, 3), Put(13, 5000, 0)],
        vec![Delete(13, 13)],
        // Volumes of which half, and a quarter, stays alive.
        vec![
            Put(2, 5000, 5),
            Put(4, 5000, 5),
            Put(6, 5000, 5),
            Put(7, 5000, 5),
        ],
        vec![
            Put(8, 5000, 5),
            Put(9, 5000, 5),
            Put(10, 5000, 5),
            Put(11, 5000, 5),
        ],
        vec![Put(12, 5000, 5), Delete(4, 7), Delete(9, 10)],
        vec![Check],
        vec![Put(14, 3000, 5), Put(4, 5000, 6)],
        vec![Delete(2, 2), Delete(11, 11), Put(15, 9000, 6)],
        vec![Check],
        vec![Put(9, 9000, 6), Put(10, 9000, 6)],
        vec![Check],
    ]
}

/// The shard of a chunk, made once: most of the time would go into making them.
fn put(chunk: u64, length: usize, content: u64) -> PutShard {
    type Made = HashMap<(u64, usize, u64), PutShard>;
    static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap();
    let make = || shard(DISK, chunk, length, content);
    made.entry((chunk, length, content))
        .or_insert_with(make)
        .clone()
}

/// Performs the rest of the workload until the disk fails; keeps the model. Returns how many rounds were done.
async fn perform(node: &Node, rounds: &[Vec<Step>], model: &mut Model) -> usize {
    for (done, round) in rounds.iter().enumerate() {
        let answers = join_all(round.iter().map(async |step| match *step {
            Step::Put(chunk, length, content) => {
                node.put(put(chunk, length, content)).await.is_ok()
            }
            Step::Delete(first, last) => delete(node, DISK, first..=last).await.is_ok(),
            Step::Check => {
                node.check().await;
                true
            }
        }))
        .await;
        for (step, acknowledged) in round.iter().zip(&answers) {
            let (chunks, after) = match *step {
                Step::Put(chunk, length, content) => (chunk..=chunk, Some((length, content))),
                Step::Delete(first, last) => (first..=last, None),
                Step::Check => continue,
            };
            for chunk in chunks {
                let shown = model.entry(chunk).or_insert_with(|| [None].into());
                if *acknowledged {
                    shown.clear();
                }
                shown.insert(after);
            }
        }
        let state = &node.report().await[0].state;
        if *state != DiskState::Serving {
            return done;
        }
    }
    rounds.len()
}

/// Everything is as the model says, byte for byte; there is no other shard; nothing looks like damage to
/// what was durable. What was uncertain is certain from now on.
async fn check(node: &Node, model: &mut Model, case: &str) {
    let mut live = 0;
    for chunk in 0..CHUNKS {
        let allowed = model.entry(chunk).or_insert_with(|| [None].into());
        let mut found = None;
        for shown in allowed.iter() {
            let (length, content) = shown.unwrap_or((1, 0));
            let put = put(chunk, length, content);
            match (read_all(node, &put).await, shown) {
                (Ok(bytes), Some(_)) if bytes == put.payload => found = Some(*shown),
                (Err(ReadError::Missing { .. }), None) => found = Some(None),
                _ => {}
            }
        }
        let found = found.unwrap_or_else(|| panic!("{case}: chunk {chunk} is none of {allowed:?}"));
        live += u64::from(found.is_some());
        *allowed = [found].into();
        if let Some((length, content)) = found {
            let key = put(chunk, length, content).key;
            assert_eq!(node.verify(DISK, key).await, Ok(()), "{case}");
        }
    }
    let report = &node.report().await[0];
    assert_eq!(report.state, DiskState::Serving, "{case}");
    assert_eq!(report.shards, live, "{case}: invented shards");
    for (_, damage) in node.damage() {
        let torn = matches!(damage, Damage::Record { durable: false, .. });
        assert!(torn, "{case}: {damage}");
    }
}

/// Everything is removed and forgotten: no volume stays.
async fn empty(disk: &SimDisk, node: &Node, model: &mut Model, case: &str) {
    delete(node, DISK, 0..=CHUNKS).await.unwrap();
    model.clear();
    for _ in 0..2 {
        node.check().await;
    }
    assert_eq!(volumes(disk), [0; 0], "{case}");
    assert_eq!(used(node).await, 0, "{case}");
}

/// How many calls of the workload change the disk, and a check that it unlinks what it should.
fn changes() -> u64 {
    run(async {
        let disk = stamped(0).await;
        let serving = node(&disk, SMALL).await;
        let before = disk.changes();
        let mut model = Model::new();
        let rounds = workload();
        let empty_after = 15;
        perform(&serving, &rounds[..empty_after], &mut model).await;
        assert_eq!(volumes(&disk), [0; 0]);
        let calls = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&calls);
        disk.script(move |call| {
            told.lock()
                .unwrap()
                .push((call.operation, call.length.get()));
            Fate::Proceed
        });
        perform(&serving, &rounds[empty_after..], &mut model).await;
        let there = volumes(&disk);
        let sealed = there.iter().any(|id| (5..20).contains(id));
        assert!(sealed, "several were sealed: {there:?}");
        let calls = std::mem::take(&mut *calls.lock().unwrap());
        let count = |operation| calls.iter().filter(|(what, _)| *what == operation).count();
        assert!(count(Operation::Punch) > 3, "{}", count(Operation::Punch));
        // Whole records are read to be moved, and nothing else is read.
        let moved = calls
            .iter()
            .filter(|call| **call == (Operation::Read, 8192))
            .count();
        assert!(moved > 1, "{moved}");
        check(&serving, &mut model, "uncut").await;
        disk.changes() - before
    })
}

/// A disk that stopped at that change of the workload, what may stand on it, and how many rounds were done.
fn stopped_at(cut: u64) -> (SimDisk, Model, usize) {
    run(async {
        let mut model = Model::new();
        let disk = stamped(0).await;
        let first = node(&disk, SMALL).await;
        disk.cut_at_change(disk.changes() + cut);
        let done = perform(&first, &workload(), &mut model).await;
        assert!(disk.is_cut(), "stopped at change {cut}");
        (disk, model, done)
    })
}

/// A cut loses nothing that was acknowledged and not removed, and brings back nothing whose removal was
/// acknowledged; and again after the recovery, and after everything was removed.
/// Method: cut power at each changing call in turn, crash by many seeds, reopen, compare; of some, go on where the
/// cut was, crash once more, compare; remove everything, crash, compare.
#[test]
fn power_loss_keeps_what_lives_and_what_is_dead() {
    let rounds = workload();
    let mut cuts = 0;
    let mut uncertain = 0;
    let seeds = seeds(SEEDS);
    for cut in 0..changes() {
        let (disk, model, done) = stopped_at(cut);
        cuts += 1;
        uncertain += model.values().filter(|shown| shown.len() > 1).count();
        for (n, seed) in seeds.clone().enumerate() {
            let _named = Named(seed);
            let case = format!("cut at change {cut}, seed {seed}");
            run(async {
                let mut model = model.clone();
                let disk = disk.crash(seed);
                let second = node(&disk, SMALL).await;
                check(&second, &mut model, &case).await;
                if !n.is_multiple_of(ONWARD) {
                    return;
                }
                perform(&second, &rounds[done..], &mut model).await;
                check(&second, &mut model, &case).await;
                drop(second);

                let disk = disk.crash(seed + 100);
                let third = node(&disk, SMALL).await;
                check(&third, &mut model, &case).await;
                empty(&disk, &third, &mut model, &case).await;
                drop(third);

                let disk = disk.crash(seed + 200);
                let last = node(&disk, SMALL).await;
                check(&last, &mut model, &case).await;
                assert_eq!(last.damage().count(), 0, "{case}");
                assert_eq!(volumes(&disk), [0; 0], "{case}");
            });
        }
    }
    eprintln!("power cut at each of {cuts} changes, by seeds {seeds:?}");
    // Else the cuts cut nothing.
    assert!(cuts > 200 && uncertain > 100, "{cuts} {uncertain}");
}

/// A process that is killed at any call, and the power that goes later, are no worse; nor is a cut while the
/// disk opens after a cut.
#[test]
fn kills_and_cuts_while_opening_lose_nothing() {
    let rounds = workload();
    let mut interrupted = 0;
    for cut in 0..changes() {
        let (stopped, model, done) = stopped_at(cut);
        let seeds = seeds(SEEDS).step_by(OPENING);
        for (seed, at) in seeds.flat_map(|seed| (0..8).map(move |at| (seed, at))) {
            let _named = Named(seed);
            let case =
                format!("stopped at change {cut}, opening stopped at its change {at}, seed {seed}");
            run(async {
                let mut model = model.clone();
                let disk = if at % 2 == 0 {
                    stopped.crash(seed)
                } else {
                    stopped.restart()
                };
                disk.cut_at_change(disk.changes() + at / 2);
                let _absent_or_not = node(&disk, SMALL).await;
                interrupted += u64::from(disk.is_cut());
                let disk = disk.crash(seed + at);
                let second = node(&disk, SMALL).await;
                check(&second, &mut model, &case).await;
                perform(&second, &rounds[done..], &mut model).await;
                drop(second);
                let third = node(&disk.crash(seed + at + 1), SMALL).await;
                check(&third, &mut model, &case).await;
            });
        }
    }
    assert!(interrupted > 200, "{interrupted}");
}
