//! How a figure is taken: warm up, then several runs of equal length, and the median of them.

use serde::Serialize;
use std::time::{Duration, Instant};

/// Odd, so that there is a middle one.
const RUNS: usize = 9;
/// Long enough for the clock, short enough that some runs escape what else the machine does.
const RUN: Duration = Duration::from_millis(60);

/// Throughput of one case, in GB/s.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) case: String,
    /// What DESIGN or a file's first lines expect; none for a case that is there for comparison.
    pub(crate) estimate: Option<f64>,
    pub(crate) median: f64,
    pub(crate) slowest: f64,
    pub(crate) fastest: f64,
}

/// Measures `pass`, which works through `bytes` bytes each time it is called.
pub(crate) fn throughput(
    case: impl Into<String>,
    estimate: Option<f64>,
    bytes: usize,
    mut pass: impl FnMut(),
) -> Figure {
    run(bytes, &mut pass);
    let mut runs: Vec<f64> = (0..RUNS).map(|_| run(bytes, &mut pass)).collect();
    runs.sort_by(f64::total_cmp);
    Figure {
        case: case.into(),
        estimate,
        median: runs[RUNS / 2],
        slowest: runs[0],
        fastest: runs[RUNS - 1],
    }
}

fn run(bytes: usize, pass: &mut impl FnMut()) -> f64 {
    let begun = Instant::now();
    let mut passes = 0u32;
    while begun.elapsed() < RUN {
        pass();
        passes += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    f64::from(passes) * bytes as f64 / seconds / 1e9
}

/// `length` random bytes: nothing below may profit from a pattern.
///
/// # Panics
/// When the system has no randomness to give.
pub(crate) fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// The processor's name, where Linux tells it.
pub(crate) fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or_else(
            || std::env::consts::ARCH.to_owned(),
            |(_, name)| name.to_owned(),
        )
}
