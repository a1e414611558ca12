//! Faults of every kind, one after the other and over each other, under a load that remembers what it was
//! promised.
//!
//! The schedule follows from the seed alone: the same seed does the same to the same cluster, though not to
//! the same microsecond. A round is a few seconds of load with faults; then everything is healed, and every
//! key is compared with what was promised.

mod plan;
mod trouble;

use crate::load::{self, Pace, Tally, Worker};
use crate::support::{self, MIB};
use crate::survive::check::check;
use crate::survive::mounted::Mounted;
use crate::survive::{configure, serving, until, whole};
use plan::{Fault, MOUNTED, plan};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use strongroom_tests::{Cluster, Dice, Shape};
use tokio::task::JoinHandle;
use trouble::Trouble;

const WORKERS: u64 = 4;
const KEYS_EACH: u64 = 8;
/// In a short run; a soak counts minutes.
const ROUNDS: u64 = 10;
/// What a run may write, however long it is: deleted space comes back, later.
const BYTES_A_SECOND: u64 = 12 * MIB;
/// Of a file system that one disk has to itself; the file it is in is sparse.
const ROOM: u64 = 16 << 30;

/// Whatever happens, what was acknowledged is there, byte by byte, and nothing else is.
/// Method: rounds of faults under load; between them everything is healed, made whole, and compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_every_kind_lose_nothing() {
    let (mut dice, seed) = Dice::announced("nemesis");
    let soak = load::soak_time();
    let mut cluster =
        Cluster::start_with("nemesis", Shape::default(), &["--metadata", "3"]).unwrap();
    cluster.stop().unwrap();
    configure(
        &cluster,
        &[("reclaim_after_seconds", 20), ("look_through_seconds", 30)],
    );
    let mounted = MOUNTED.map(|disk| (disk, Mounted::mount(&cluster, disk, ROOM)));
    let mounted = BTreeMap::from(mounted);
    cluster.start_again().unwrap();
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
        workers = round(&mut cluster, &mounted, workers, faults, &told).await;
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
    mounted: &BTreeMap<u8, Mounted>,
    workers: Vec<Worker>,
    faults: Vec<(u64, Fault)>,
    told: &str,
) -> Vec<Worker> {
    let mut stop = Arc::new(AtomicBool::new(false));
    let mut tasks = load::start(workers, cluster, &stop);
    let began = Instant::now();
    let mut trouble = Trouble::new(mounted);
    for (after, fault) in faults {
        let due = Duration::from_millis(after);
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        if let Fault::Kill | Fault::Restart = fault {
            // No signal ends a process whose writes do not return.
            trouble.thaw();
            if fault == Fault::Kill {
                cluster.kill().unwrap();
            } else {
                assert!(cluster.stop().unwrap().success(), "{told}");
            }
            let workers = ended(tasks, &stop).await;
            cluster.start_again().unwrap();
            stop = Arc::new(AtomicBool::new(false));
            tasks = load::start(workers, cluster, &stop);
        } else if let Fault::Freeze(time) = fault {
            cluster.signal("STOP").unwrap();
            tokio::time::sleep(Duration::from_millis(time)).await;
            cluster.signal("CONT").unwrap();
        } else {
            trouble.make(cluster, fault);
        }
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let workers = ended(tasks, &stop).await;
    assert!(cluster.is_alive(), "{told}");
    trouble.end(cluster, told).await;
    until(&format!("{told}: all are back"), || serving(cluster) == 6).await;
    whole(cluster).await;
    workers
}

async fn ended(tasks: Vec<JoinHandle<Worker>>, stop: &AtomicBool) -> Vec<Worker> {
    stop.store(true, Ordering::Relaxed);
    let mut workers = Vec::new();
    for task in tasks {
        workers.push(task.await.expect("a worker"));
    }
    workers
}
