//! Long work that the cluster does, followed: on a terminal a bar with rate and estimate, elsewhere a plain line
//! from time to time. Both go to standard error; standard output has the outcome alone.

use anyhow::{Context, Result};
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use types::size::MIB;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);
/// Between two plain lines.
const LINE: Duration = Duration::from_secs(10);

/// In what work is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Shards,
    Bytes,
}

/// How far work is.
pub(super) struct Step<T> {
    pub(super) done: u64,
    /// Of so much; 0: it is not counted.
    pub(super) all: u64,
    /// As the cluster says, if it does.
    pub(super) a_second: Option<f64>,
    /// What came of it, once it has ended.
    pub(super) outcome: Option<T>,
}

/// Asks how far it is until it has ended.
pub(super) fn follow<T>(unit: Unit, mut look: impl FnMut() -> Result<Step<T>>) -> Result<T> {
    let terminal = std::io::stderr().is_terminal();
    let bar = ProgressBar::new(0);
    let style = match unit {
        Unit::Shards => "{bar:40} {pos}/{len} shards, {msg}",
        Unit::Bytes => "{bar:40} {binary_bytes}/{binary_total_bytes}, {msg}",
    };
    bar.set_style(ProgressStyle::with_template(style).context("a template")?);
    let began = Instant::now();
    let mut before = None;
    let mut told = began;
    loop {
        let step = look()?;
        if let Some(outcome) = step.outcome {
            bar.finish_and_clear();
            return Ok(outcome);
        }
        if step.all > 0 {
            let first = *before.get_or_insert(step.done);
            let since = began.elapsed().as_secs_f64();
            let measured = step.done.saturating_sub(first) as f64 / since.max(0.001);
            let pace = pace(unit, step.done, step.all, step.a_second.unwrap_or(measured));
            bar.set_length(step.all);
            bar.set_position(step.done);
            if !terminal && told.elapsed() >= LINE {
                told = Instant::now();
                eprintln!("{}, {pace}", amount(unit, step.done, step.all));
            }
            bar.set_message(pace);
        }
        std::thread::sleep(LOOK);
    }
}

fn amount(unit: Unit, done: u64, all: u64) -> String {
    match unit {
        Unit::Shards => format!("{done} of {all} shards"),
        Unit::Bytes => format!("{} of {}", HumanBytes(done), HumanBytes(all)),
    }
}

/// How fast it goes, and how long it takes.
pub(super) fn pace(unit: Unit, done: u64, all: u64, a_second: f64) -> String {
    if a_second < 1.0 {
        return "waiting".to_owned();
    }
    let left = all.saturating_sub(done) as f64 / a_second;
    let left = HumanDuration(Duration::from_secs_f64(left.min(1e9)));
    match unit {
        Unit::Shards => format!("{a_second:.0} shards/s, {left} left"),
        Unit::Bytes => format!("{}, {left} left", speed(a_second)),
    }
}

/// Bytes a second.
pub(super) fn speed(bytes: f64) -> String {
    let mib = MIB as f64;
    if bytes < mib {
        format!("{:.1} KiB/s", bytes / 1024.0)
    } else {
        format!("{:.1} MiB/s", bytes / mib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates and estimates in the words of people.
    #[test]
    fn a_pace_is_told() {
        let bytes = |done, all, rate| pace(Unit::Bytes, done, all, rate);
        let mib = 1 << 20;
        assert_eq!(
            bytes(mib, 61 * mib, mib as f64),
            "1.0 MiB/s, 60 seconds left"
        );
        assert_eq!(speed(1536.0), "1.5 KiB/s");
        assert_eq!(bytes(5, 10, 0.0), "waiting");
        assert_eq!(amount(Unit::Shards, 3, 9), "3 of 9 shards");
        assert_eq!(
            pace(Unit::Shards, 30, 90, 2.0),
            "2 shards/s, 30 seconds left"
        );
    }
}
