//! The loops of the whole-system tests, for longer.

use crate::Soak;
use crate::run::{self, cargo};
use crate::{features, suite};
use anyhow::Result;

/// Builds the program and loads it for that long.
pub(crate) fn run(what: Soak, minutes: f64, seed: Option<u64>) -> Result<()> {
    let test = match what {
        Soak::Kill => "kill::nothing_acknowledged_is_lost",
        Soak::Mixed => "soak::mixed_load_leaves_nothing_behind",
    };
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
    command.env("STRONGROOM_SOAK_MINUTES", minutes.to_string());
    if let Some(seed) = seed {
        command.env("STRONGROOM_SEED", seed.to_string());
    }
    let (_, outcome) = run::run_counted(&mut command);
    outcome
}
