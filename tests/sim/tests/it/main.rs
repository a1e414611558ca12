//! Seeds through the simulated cluster, and bugs that they must find.

mod judge;

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;
use strongroom_sim::{Faults, Plant, run};

/// How many seeds each of the tests below runs.
const SEEDS: u64 = 50;
/// By so many a planted bug has to be found.
const PLANTED: u64 = 200;

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
        let outcome = run(seed, None);
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
/// else is, all becomes whole again, and any two disks may then go.
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

/// A bug is found by one of the first seeds, by this.
fn finds(plant: Plant) -> String {
    for seed in seeds(0..PLANTED) {
        // A cluster that breaks a rule of its own over it has found it, too.
        let found = catch_unwind(AssertUnwindSafe(|| run(seed, Some(plant)).verdict));
        let found = found.unwrap_or_else(|_| Err("a rule of the cluster's own".to_owned()));
        if let Err(why) = found {
            let why = why.chars().take(400).collect::<String>();
            eprintln!("{plant:?} is found by seed {seed}: {why}");
            return why;
        }
    }
    panic!("nobody finds {plant:?}");
}

/// Disks that answer syncs without doing them are found: what was acknowledged is gone after a power cut.
#[test]
fn skipped_syncs_are_found() {
    finds(Plant::SkippedSyncs);
}

/// Lookups that are answered from memory are found by what clients see.
#[test]
fn stale_lookups_are_found() {
    let why = finds(Plant::StaleLookups);
    assert!(why.contains("not linearizable"), "{why}");
}

/// Commits that do not record what is missing are found: it stays missing while all is called whole.
#[test]
fn unrecorded_missing_shards_are_found() {
    finds(Plant::UnrecordedMissing);
}
