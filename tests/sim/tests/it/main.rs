//! Seeds through the simulated cluster, and bugs that they must find.

mod judge;
mod planted;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;
use strongroom_sim::{Faults, Record, run};

/// How many seeds each of the tests below runs.
const SEEDS: u64 = 50;
/// So many are run twice.
const REPLAYED: u64 = 6;

/// Names the seed of a run that panics.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {0} (replay with STRONGROOM_SEED={0})", self.0);
        }
    }
}

/// These; or `STRONGROOM_SEED`, and `STRONGROOM_SEEDS` in all from there on.
fn seeds(range: Range<u64>) -> Range<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().expect("a seed is a number"))
    };
    number("STRONGROOM_SEED").map_or(range, |first| {
        first..first + number("STRONGROOM_SEEDS").unwrap_or(1)
    })
}

/// Runs every seed of a range; all kinds of faults must happen in it.
fn survives(range: Range<u64>) {
    let (began, seeds) = (Instant::now(), seeds(range));
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut operations = (0, 0);
    for seed in seeds.clone() {
        let _named = Named(seed);
        let outcome = run(seed, None, Record::Digest);
        if let Err(why) = outcome.verdict {
            panic!("seed {seed}: {why}, after {:?}", outcome.faults.counts());
        }
        for (kind, times) in outcome.faults.counts() {
            *counts.entry(kind).or_default() += times;
        }
        operations.0 += outcome.operations.0;
        operations.1 += outcome.operations.1;
    }
    let took = began.elapsed();
    eprintln!(
        "seeds {seeds:?} in {took:?}: {operations:?} operations and unknown ones, {counts:?}"
    );
    if seeds.end - seeds.start >= SEEDS {
        for kind in Faults::KINDS {
            assert!(counts.contains_key(kind), "{kind} never happened");
        }
        assert!(operations.1 > 0, "every outcome was known");
    }
}

/// Whatever disks, servers and gateways suffer within what is promised: acknowledged writes are read, nothing
/// else is, all becomes whole again, damage that says nothing too, and any two disks may then go.
#[test]
fn a_cluster_survives() {
    survives(0..SEEDS);
}

/// The same, with other seeds.
#[test]
fn a_second_cluster_survives() {
    survives(SEEDS..2 * SEEDS);
}

/// The same, with other seeds.
#[test]
fn a_third_cluster_survives() {
    survives(2 * SEEDS..3 * SEEDS);
}

/// The same, with other seeds.
#[test]
fn a_fourth_cluster_survives() {
    survives(3 * SEEDS..4 * SEEDS);
}

/// A seed is one story, to the last call: every call on a disk, every message with its time, every answer.
/// Method: run some twice and compare line by line.
#[test]
fn a_seed_replays_exactly() {
    for seed in seeds(0..REPLAYED) {
        let [once, again] = [(); 2].map(|()| run(seed, None, Record::Lines).trace);
        let differ = once
            .1
            .iter()
            .zip(&again.1)
            .position(|(one, two)| one != two);
        if let Some(at) = differ {
            let (from, before) = (at.saturating_sub(10), &once.1);
            let (one, two) = (&once.1[at], &again.1[at]);
            let before = before[from..at].join("\n");
            panic!("seed {seed} differs at line {at}:\n{before}\n{one}\nor:\n{two}");
        }
        assert_eq!(once.1.len(), again.1.len(), "seed {seed} goes on");
        assert_eq!(once.0, again.0, "seed {seed}");
        eprintln!("seed {seed}: {} lines twice, {:x}", once.1.len(), once.0);
    }
}
