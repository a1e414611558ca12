//! The loops of the whole-system tests, for longer.

use crate::Soak;
use crate::many::{self, Proposed};
use crate::python::Python;
use crate::run::{self, cargo};
use crate::workspace::Workspace;
use crate::{features, suite};
use anyhow::Result;
use std::process::Command;
use strongroom_tests::Cluster;

/// Builds the program and loads it: for that long, or with so many objects.
pub(crate) fn run(what: Soak, minutes: f64, seed: Option<u64>, objects: u64) -> Result<()> {
    let test = match what {
        Soak::Kill => "kill::nothing_acknowledged_is_lost",
        Soak::Mixed => "soak::mixed_load_leaves_nothing_behind",
        Soak::Nemesis => "nemesis::faults_of_every_kind_lose_nothing",
        Soak::Listing => return listing(objects),
    };
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
