//! `kill -9` at any moment. It proves nothing about fsync (the kernel keeps what was written): what it
//! proves is that no acknowledgement runs ahead of what a restart can find, and that recovery works.

use crate::load::{self, Pace, Tally, Worker};
use crate::support::{self, MIB};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use strongroom_tests::{Cluster, Dice};

const WORKERS: u64 = 6;
const KEYS_EACH: u64 = 10;
/// In a short run; a soak counts minutes.
const KILLS: u64 = 8;
/// What a soak may write, however long it runs.
const SOAK_BYTES: u64 = 12 * 1024 * MIB;

/// Every acknowledged object survives `kill -9` byte by byte; every other upload is wholly there or wholly
/// absent, and stays so; no restart invents one.
/// Method: mixed load, a kill at a random moment, a restart on the same data; each key is then compared
/// with what was promised, in this round and in all later ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost() {
    let (mut dice, seed) = Dice::announced("kill loop");
    let soak = load::soak_time();
    let rate = soak.map_or(64 * MIB, |time| SOAK_BYTES / time.as_secs().max(1));
    let mut cluster = Cluster::start("kill").unwrap();
    support::make_bucket(&support::client(&cluster), "data").await;
    let pace = Pace::new(rate);
    let mut workers: Vec<Worker> = (0..WORKERS)
        .map(|name| Worker::new("data", name, KEYS_EACH, dice.split(), &pace))
        .collect();

    let started = Instant::now();
    let mut kills = 0;
    while soak.map_or(kills < KILLS, |time| started.elapsed() < time) {
        workers = one_round(&mut cluster, workers, &mut dice).await;
        kills += 1;
        let client = support::client(&cluster);
        for worker in &mut workers {
            worker.settle(&client).await;
        }
        let broken: Vec<&String> = workers.iter().flat_map(|worker| &worker.broken).collect();
        assert!(
            broken.is_empty(),
            "seed {seed}, kill {kills}, lost {}: {broken:#?}",
            broken.len()
        );
        let mut expected: Vec<&str> = workers.iter().flat_map(Worker::names).collect();
        expected.sort_unstable();
        assert_eq!(
            load::listed(&client, "data").await,
            expected,
            "seed {seed}, kill {kills}"
        );
    }
    let mut tally = Tally::default();
    workers.iter().for_each(|worker| tally.add(worker.tally));
    eprintln!(
        "kill loop: kills {kills}, acknowledged {}, lost 0",
        tally.acknowledged
    );
    eprintln!(
        "kill loop: {tally:?}, {} MB written, seed {seed}",
        pace.written() / 1_000_000
    );
    assert!(
        tally.acknowledged > kills * 10,
        "hardly any load: {tally:?}"
    );
    assert!(tally.read > kills, "hardly any reading: {tally:?}");
    assert!(
        tally.unanswered > kills / 2,
        "the kills hit nothing: {tally:?}"
    );
    assert!(
        cluster.stop().unwrap().success(),
        "a clean stop after all that"
    );
}

async fn one_round(cluster: &mut Cluster, workers: Vec<Worker>, dice: &mut Dice) -> Vec<Worker> {
    let stop = Arc::new(AtomicBool::new(false));
    let tasks = load::start(workers, cluster, &stop);
    // The random moment is the point, not a wait for something.
    tokio::time::sleep(Duration::from_millis(30 + dice.below(1_800))).await;
    cluster.kill().unwrap();
    stop.store(true, Ordering::Relaxed);
    let mut workers = Vec::new();
    for task in tasks {
        workers.push(task.await.expect("a worker"));
    }
    cluster.start_again().unwrap();
    workers
}
