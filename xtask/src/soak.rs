//! The loops of the whole-system tests, for longer; and those of one disk, for more seeds.

use crate::Soak;
use crate::many::{self, Proposed};
use crate::python::Python;
use crate::run::{self, cargo};
use crate::workspace::Workspace;
use crate::{features, suite};
use anyhow::Result;
use std::process::Command;
use std::time::{Duration, Instant};
use strongroom_tests::Cluster;

/// Seeds that are tried at each point where power is cut, between two looks at the clock.
const SEEDS: u64 = 100;
/// Bytes of payloads that flip.
const FLIPS: u64 = 1_000_000;

/// Loads what is tested: for that long, or with so many objects.
pub(crate) fn run(what: Soak, minutes: f64, seed: Option<u64>, objects: u64) -> Result<()> {
    let test = match what {
        Soak::Kill => "kill::nothing_acknowledged_is_lost",
        Soak::Mixed => "soak::mixed_load_leaves_nothing_behind",
        Soak::Nemesis => "nemesis::faults_of_every_kind_lose_nothing",
        Soak::Listing => return listing(objects),
        Soak::Disk => return disk(minutes, seed.unwrap_or(0)),
        Soak::Metadata => {
            let three = judged(
                "processes::linear::three_servers_are_as_one",
                minutes / 2.0,
                seed,
            );
            let five = judged(
                "processes::linear::five_servers_are_as_one",
                minutes / 2.0,
                seed,
            );
            return three.and(five);
        }
        Soak::Failover => {
            let test = "processes::failover::commits_go_on_within_two_election_timeouts";
            let mut command = system(test)?;
            command.env("STRONGROOM_KILLS", "50");
            return run::run_counted(&mut command).1;
        }
    };
    judged(test, minutes, seed)
}

/// A whole-system test that loops for so long.
fn judged(test: &str, minutes: f64, seed: Option<u64>) -> Result<()> {
    let mut command = system(test)?;
    command.env("STRONGROOM_SOAK_MINUTES", minutes.to_string());
    if let Some(seed) = seed {
        command.env("STRONGROOM_SEED", seed.to_string());
    }
    let (_, outcome) = run::run_counted(&mut command);
    outcome
}

/// A gigabyte on each disk, one of which is lost and made again.
pub(crate) fn repair() -> Result<()> {
    let mut command = system("survive::repair::a_lost_disk_is_whole_again")?;
    command.env("STRONGROOM_REPAIR_MIB", "4096");
    let (_, outcome) = run::run_counted(&mut command);
    outcome
}

/// One whole-system test, shown.
fn system(test: &str) -> Result<Command> {
    suite::program()?;
    let mut command = cargo("test");
    features::select(&mut command, &["strongroom-tests"]).args([
        "--test",
        "system",
        "--",
        "--exact",
        "--nocapture",
        test,
    ]);
    Ok(command)
}

/// One bucket of so many objects, listed by several clients while others write; and another one, to which
/// they were proposed.
fn listing(objects: u64) -> Result<()> {
    let workspace = Workspace::read()?;
    let python = Python::ready(&workspace)?;
    suite::program()?;
    let mut cluster = Cluster::start("listing")?;
    let (_, loaded) = run::run_counted(&mut many::through_s3(&python, &cluster, objects));
    cluster.stop()?;
    let proposed = Proposed::start(&workspace, objects)?;
    let (_, listed) = run::run_counted(&mut proposed.listings(&python));
    proposed.stop()?;
    loaded.and(listed)
}

/// A million flips of what one disk holds, and power cuts by one seed after the other, for that long.
fn disk(minutes: f64, seed: u64) -> Result<()> {
    let (began, time) = (Instant::now(), Duration::from_secs_f64(minutes * 60.0));
    let mut flips = cargo("test");
    features::select(&mut flips, &["strongroom-fuzz"])
        .args(["--lib", "--", "--nocapture", "flipped_payloads"])
        .env("STRONGROOM_SEED", seed.to_string())
        .env("STRONGROOM_FLIPS", FLIPS.to_string());
    run::run_counted(&mut flips).1?;
    let mut first = seed;
    loop {
        let mut cuts = cargo("test");
        features::select(&mut cuts, &["strongroom-storage-node"])
            .args(["--test", "it", "--", "--nocapture", "power", "model::"])
            .env("STRONGROOM_SEED", first.to_string())
            .env("STRONGROOM_SEEDS", SEEDS.to_string())
            .env("PROPTEST_RNG_SEED", first.to_string());
        run::run_counted(&mut cuts).1?;
        first += SEEDS;
        if began.elapsed() >= time {
            eprintln!("seeds {seed}..{first} at each cut in {:?}", began.elapsed());
            return Ok(());
        }
    }
}
