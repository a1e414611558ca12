//! Steady mixed load: memory stays flat, nothing leaks, and the end is clean.

use crate::load::{self, Pace, Tally, Worker};
use crate::support::{self, KIB, MIB};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use strongroom_tests::process::Vitals;
use strongroom_tests::{Cluster, Dice};

const WORKERS: u64 = 4;
const KEYS_EACH: u64 = 16;
/// In a short run; a soak counts minutes.
const SHORT: Duration = Duration::from_secs(40);
/// What a run may write, however long it is.
const BYTES: u64 = 12 * 1024 * MIB;
/// What an acknowledged write may leave in memory: its entry in the log's cache, its rows in the store's,
/// places in indexes. heaptrack and long runs say 450 to 1 300 bytes, nearly all of it entry and rows.
const KEPT: u64 = KIB;
/// Where those caches are full: 64 MiB of log, 128 MiB of store.
const CACHES: u64 = 192 * MIB;
/// How far two looks at a steady load lie apart: buffers under way, 20 MB on a machine too busy to warm up.
const NOISE: u64 = 40 * MIB;

/// Objects are overwritten, deleted and read for a while; memory, descriptors and threads at the end are
/// what they were after the warm-up; everything acknowledged is there; SIGTERM ends it with exit code 0.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixed_load_leaves_nothing_behind() {
    let (mut dice, seed) = Dice::announced("mixed soak");
    let time = load::soak_time().unwrap_or(SHORT);
    let mut cluster = Cluster::start("soak").unwrap();
    let client = support::client(&cluster);
    support::make_bucket(&client, "data").await;
    let pace = Pace::new((BYTES / time.as_secs().max(1)).min(40 * MIB));
    let stop = Arc::new(AtomicBool::new(false));
    let workers =
        (0..WORKERS).map(|name| Worker::new("data", name, KEYS_EACH, dice.split(), &pace));
    let tasks = load::start(workers, &cluster, &stop);

    let mut samples = Vec::new();
    let started = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    while started.elapsed() < time {
        ticks.tick().await;
        assert!(cluster.is_alive(), "it ended under load, seed {seed}");
        samples.push(Vitals::of(cluster.pid()).unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    let mut tally = Tally::default();
    let mut names = Vec::new();
    for task in tasks {
        let mut worker = task.await.expect("a worker");
        worker.settle(&client).await;
        assert!(
            worker.broken.is_empty(),
            "seed {seed}: {:#?}",
            worker.broken
        );
        tally.add(worker.tally);
        names.extend(worker.names().map(str::to_owned));
    }
    names.sort_unstable();
    assert_eq!(load::listed(&client, "data").await, names, "seed {seed}");

    // The first third warms up caches and pools; a quarter in the middle is held against one at the end.
    let warm = &samples[samples.len() / 3..];
    let (before, after) = (
        typical(&warm[..warm.len() / 4]),
        typical(&warm[warm.len() - warm.len() / 4..]),
    );
    eprintln!(
        "mixed soak: {time:?}, {tally:?}, {} MB written",
        pace.written() / 1_000_000
    );
    eprintln!("mixed soak: {before:?} after the warm-up, {after:?} at the end");
    assert!(
        tally.acknowledged > time.as_secs() && tally.read > time.as_secs(),
        "hardly any load: {tally:?}"
    );
    assert_eq!(
        (tally.refused, tally.unanswered),
        (0, 0),
        "a healthy cluster refuses nothing: {tally:?}"
    );
    // Half of the time lies between the middles of the two quarters.
    let kept = CACHES.min(tally.acknowledged / 2 * KEPT);
    assert!(
        after.resident < before.resident + kept + NOISE,
        "memory grows: {before:?} to {after:?}"
    );
    assert!(
        after.descriptors <= before.descriptors + 16,
        "descriptors leak: {before:?} to {after:?}"
    );
    assert!(
        after.threads <= before.threads + 8,
        "threads leak: {before:?} to {after:?}"
    );
    assert!(cluster.stop().unwrap().success(), "a clean stop");
}

/// Each number's median, on its own.
fn typical(samples: &[Vitals]) -> Vitals {
    fn median<T: Ord + Copy>(numbers: impl Iterator<Item = T>) -> T {
        let mut numbers: Vec<T> = numbers.collect();
        numbers.sort_unstable();
        numbers[numbers.len() / 2]
    }
    Vitals {
        resident: median(samples.iter().map(|sample| sample.resident)),
        descriptors: median(samples.iter().map(|sample| sample.descriptors)),
        threads: median(samples.iter().map(|sample| sample.threads)),
    }
}
