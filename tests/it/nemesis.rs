//! Faults of every kind, one after the other and over each other, under a load that remembers what it was
//! promised.
//!
//! The schedule follows from the seed alone: the same seed does the same to the same cluster, though not to
//! the same microsecond. A round is a few seconds of load with faults; then everything is healed, and every
//! key is compared with what was promised.

use crate::load::{self, Pace, Tally, Worker};
use crate::support::{self, MIB};
use crate::survive::check::check;
use crate::survive::{Aside, ids, serving, start_with, until, whole};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use strongroom_tests::{Cluster, Dice};

const WORKERS: u64 = 4;
const KEYS_EACH: u64 = 8;
/// In a short run; a soak counts minutes.
const ROUNDS: u64 = 10;
/// What a run may write, however long it is: deleted space comes back, later.
const BYTES_A_SECOND: u64 = 12 * MIB;
const DISKS: u64 = 6;

/// What is done to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// `kill -9`, and a start.
    Kill,
    /// SIGTERM, and a start.
    Restart,
    /// Everything stands still for so many milliseconds.
    Freeze(u64),
    /// A disk's folder goes; it is back at the end of the round.
    Lose(u8),
    /// An empty folder takes its place; the disk is back at the end of the round.
    Empty(u8),
    /// A disk's bytes are gone for good; an empty one is admitted in its place at the end of the round.
    Destroy(u8),
}

impl Fault {
    fn kind(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Freeze(_) => "freeze",
            Self::Lose(_) => "lose",
            Self::Empty(_) => "empty",
            Self::Destroy(_) => "destroy",
        }
    }

    fn disk(self) -> Option<u8> {
        match self {
            Self::Lose(disk) | Self::Empty(disk) | Self::Destroy(disk) => Some(disk),
            Self::Kill | Self::Restart | Self::Freeze(_) => None,
        }
    }
}

/// The faults of one round, each after so many milliseconds of load. Never more than two disks are away at a
/// time; one that is destroyed is the only one.
fn plan(dice: &mut Dice) -> Vec<(u64, Fault)> {
    let mut faults: Vec<(u64, Fault)> = Vec::new();
    for _ in 0..=dice.below(3) {
        let disk = u8::try_from(dice.below(DISKS)).expect("few disks");
        let fault = match dice.below(12) {
            0..3 => Fault::Kill,
            3 => Fault::Restart,
            4..6 => Fault::Freeze(200 + dice.below(3_000)),
            6..9 => Fault::Lose(disk),
            9..11 => Fault::Empty(disk),
            _ => Fault::Destroy(disk),
        };
        let away: Vec<Fault> = faults.iter().map(|(_, fault)| *fault).collect();
        let away: Vec<Fault> = away
            .into_iter()
            .filter(|fault| fault.disk().is_some())
            .collect();
        let destroys = |fault: &Fault| matches!(fault, Fault::Destroy(_));
        let refused = fault.disk().is_some()
            && (away.len() == 2
                || away.iter().any(|other| other.disk() == fault.disk())
                || away.iter().any(destroys)
                || destroys(&fault) && !away.is_empty());
        if !refused {
            faults.push((dice.below(2_500), fault));
        }
    }
    faults.sort_unstable();
    faults
}

/// The same seed makes the same schedule, and every kind of fault comes up.
#[test]
fn schedules_follow_from_the_seed() {
    let schedule = |seed| {
        let mut dice = Dice::new(seed);
        (0..50).map(|_| plan(&mut dice)).collect::<Vec<_>>()
    };
    assert_eq!(schedule(7), schedule(7));
    assert_ne!(schedule(7), schedule(8));
    let kinds: BTreeMap<&str, usize> =
        schedule(7)
            .concat()
            .iter()
            .fold(BTreeMap::new(), |mut kinds, (_, fault)| {
                *kinds.entry(fault.kind()).or_default() += 1;
                kinds
            });
    assert_eq!(kinds.len(), 6, "{kinds:?}");
}

/// Whatever happens, what was acknowledged is there, byte by byte, and nothing else is.
/// Method: rounds of faults under load; between them everything is healed, made whole, and compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_every_kind_lose_nothing() {
    let (mut dice, seed) = Dice::announced("nemesis");
    let soak = load::soak_time();
    let settings = [("reclaim_after_seconds", 20), ("look_through_seconds", 30)];
    let mut cluster = start_with("nemesis", &settings);
    support::make_bucket(&support::client(&cluster), "data").await;
    let pace = Pace::new(BYTES_A_SECOND);
    let mut workers: Vec<Worker> = (0..WORKERS)
        .map(|name| Worker::new("data", name, KEYS_EACH, dice.split(), &pace))
        .collect();
    let mut injected: BTreeMap<&str, u64> = BTreeMap::new();
    let started = Instant::now();
    let mut rounds = 0;
    while soak.map_or(rounds < ROUNDS, |time| started.elapsed() < time) {
        let faults = plan(&mut dice);
        let told = format!("seed {seed}, round {rounds}: {faults:?}");
        for (_, fault) in &faults {
            *injected.entry(fault.kind()).or_default() += 1;
        }
        workers = round(&mut cluster, workers, faults, &told).await;
        let client = support::client(&cluster);
        for worker in &mut workers {
            worker.settle(&client).await;
            assert!(worker.broken.is_empty(), "{told}: {:#?}", worker.broken);
        }
        let mut expected: Vec<&str> = workers.iter().flat_map(Worker::names).collect();
        expected.sort_unstable();
        assert_eq!(load::listed(&client, "data").await, expected, "{told}");
        rounds += 1;
    }
    // What an upload that was killed left behind goes by itself, a little later; nothing else may be wrong.
    let found = check(&cluster, &["--deep"]);
    for what in ["missing", "repairing", "stray", "corrupt"] {
        assert_eq!(found.sum(what), 0, "seed {seed}: {what}: {:?}", found.disks);
    }
    until(&format!("seed {seed}: orphans are gone"), || {
        check(&cluster, &["--deep"]).clean
    })
    .await;
    let mut tally = Tally::default();
    workers.iter().for_each(|worker| tally.add(worker.tally));
    eprintln!("nemesis: {rounds} rounds, {injected:?}; wrong or lost: 0");
    eprintln!(
        "nemesis: {tally:?}, {} MB written, {:.0} s, seed {seed}",
        pace.written() / 1_000_000,
        started.elapsed().as_secs_f64()
    );
    assert!(injected.values().sum::<u64>() > rounds / 2, "{injected:?}");
    assert!(
        tally.acknowledged > rounds * 5 && tally.read > rounds,
        "hardly any load: {tally:?}"
    );
    assert!(
        cluster.stop().unwrap().success(),
        "a clean stop after all that"
    );
}

async fn round(
    cluster: &mut Cluster,
    workers: Vec<Worker>,
    faults: Vec<(u64, Fault)>,
    told: &str,
) -> Vec<Worker> {
    let mut stop = Arc::new(AtomicBool::new(false));
    let mut tasks = load::start(workers, cluster, &stop);
    let began = Instant::now();
    let mut away: Vec<(Fault, Aside)> = Vec::new();
    for (after, fault) in faults {
        let due = Duration::from_millis(after);
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        match fault {
            Fault::Kill | Fault::Restart => {
                if fault == Fault::Kill {
                    cluster.kill().unwrap();
                } else {
                    assert!(cluster.stop().unwrap().success(), "{told}");
                }
                stop.store(true, Ordering::Relaxed);
                let mut workers = Vec::new();
                for task in tasks {
                    workers.push(task.await.expect("a worker"));
                }
                cluster.start_again().unwrap();
                stop = Arc::new(AtomicBool::new(false));
                tasks = load::start(workers, cluster, &stop);
            }
            Fault::Freeze(time) => {
                cluster.signal("STOP").unwrap();
                tokio::time::sleep(Duration::from_millis(time)).await;
                cluster.signal("CONT").unwrap();
            }
            Fault::Lose(disk) => away.push((fault, Aside::put(cluster, disk))),
            Fault::Empty(disk) | Fault::Destroy(disk) => {
                away.push((fault, Aside::put(cluster, disk)));
                fs::create_dir(cluster.disk(disk)).unwrap();
            }
        }
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    stop.store(true, Ordering::Relaxed);
    let mut workers = Vec::new();
    for task in tasks {
        workers.push(task.await.expect("a worker"));
    }
    assert!(cluster.is_alive(), "{told}");
    for (fault, aside) in away {
        if let Fault::Destroy(disk) = fault {
            aside.destroy();
            until(&format!("{told}: the loss is told"), || {
                serving(cluster) == 5
            })
            .await;
            let id = ids(cluster)[usize::from(disk)].to_string();
            let replaced = cluster.run(&["disk", "replace", &id]).unwrap();
            let said = String::from_utf8_lossy(&replaced.stderr).into_owned();
            assert!(replaced.status.success(), "{told}: {said}");
        } else {
            aside.back();
        }
    }
    until(&format!("{told}: all are back"), || serving(cluster) == 6).await;
    whole(cluster).await;
    workers
}
