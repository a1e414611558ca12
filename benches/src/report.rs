//! What was measured, as a table while it is measured and as JSON behind it.

use anyhow::{Context, Result};
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// A line, for whoever looks on; one that nobody reads any more is no failure.
pub fn print(line: &str) {
    let _closed = writeln!(io::stdout(), "{line}");
}

/// All rows.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    rows: Vec<Row>,
}

/// One figure, and what it is held against.
#[derive(Debug, Serialize)]
struct Row {
    case: String,
    unit: String,
    ours: Spread,
    /// Of fio, or whatever the case names.
    other: Option<Spread>,
    ratio: Option<f64>,
    wanted: Option<f64>,
    /// Processor seconds a GB, ours and the other's.
    cpu: Option<(f64, f64)>,
}

/// Several measurements.
#[derive(Clone, Debug, Serialize)]
struct Spread {
    median: f64,
    slowest: f64,
    fastest: f64,
}

impl Spread {
    /// # Panics
    /// When there is none.
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            median: values[values.len() / 2],
            slowest: values[0],
            fastest: values[values.len() - 1],
        }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Moved.
    pub bytes: u64,
    /// Done.
    pub operations: u64,
    /// By the clock.
    pub took: Duration,
    /// Processor time of the process.
    pub cpu: Duration,
    /// Of an operation.
    pub p50: Duration,
    /// Of an operation.
    pub p99: Duration,
}

/// The time below which so many in a hundred of these lie; nothing where there are none.
pub fn percentile(times: &mut [Duration], hundredths: usize) -> Duration {
    times.sort_unstable();
    let at = times.len() * hundredths / 100;
    let last = times.len().saturating_sub(1);
    times.get(at.min(last)).copied().unwrap_or_default()
}

impl Sample {
    /// GB/s.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / self.took.as_secs_f64() / 1e9
    }

    /// Operations a second.
    pub fn operations(&self) -> f64 {
        self.operations as f64 / self.took.as_secs_f64()
    }

    fn cpu(&self) -> f64 {
        self.cpu.as_secs_f64() / (self.bytes as f64 / 1e9)
    }
}

/// The one in the middle.
///
/// # Panics
/// When there is none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    Spread::of(values.collect()).median
}

impl Report {
    /// A figure alone.
    pub fn figure(&mut self, case: &str, unit: &str, values: Vec<f64>, wanted: Option<f64>) {
        let ours = Spread::of(values);
        self.push(Row {
            case: case.to_owned(),
            unit: unit.to_owned(),
            ours,
            other: None,
            ratio: None,
            wanted,
            cpu: None,
        });
    }

    /// Figures that were taken in turns, each beside what it is held against: the ratio is the median of theirs.
    pub fn beside(&mut self, case: &str, unit: &str, pairs: &[(f64, f64)], wanted: Option<f64>) {
        self.push(Row {
            case: case.to_owned(),
            unit: unit.to_owned(),
            ours: Spread::of(pairs.iter().map(|(ours, _)| *ours).collect()),
            other: Some(Spread::of(pairs.iter().map(|(_, other)| *other).collect())),
            ratio: Some(median(pairs.iter().map(|(ours, other)| ours / other))),
            wanted,
            cpu: None,
        });
    }

    /// Samples that were taken in turns, ours and another's.
    pub fn compare(
        &mut self,
        case: &str,
        unit: &str,
        of: fn(&Sample) -> f64,
        pairs: &[(Sample, Sample)],
        wanted: Option<f64>,
    ) {
        let ours = Spread::of(pairs.iter().map(|(ours, _)| of(ours)).collect());
        let other = Spread::of(pairs.iter().map(|(_, other)| of(other)).collect());
        let ratio = median(pairs.iter().map(|(ours, other)| of(ours) / of(other)));
        let cpu = (
            median(pairs.iter().map(|(ours, _)| ours.cpu())),
            median(pairs.iter().map(|(_, other)| other.cpu())),
        );
        let p99 = |samples: Vec<Duration>| {
            let mut samples = samples;
            samples.sort();
            samples[samples.len() / 2].as_secs_f64() * 1e3
        };
        let p99s = (
            p99(pairs.iter().map(|(ours, _)| ours.p99).collect()),
            p99(pairs.iter().map(|(_, other)| other.p99).collect()),
        );
        self.push(Row {
            case: case.to_owned(),
            unit: unit.to_owned(),
            ours,
            other: Some(other),
            ratio: Some(ratio),
            wanted,
            cpu: Some(cpu),
        });
        eprintln!(
            "{:<44} p99 {:.2} ms, the other's {:.2} ms",
            "", p99s.0, p99s.1
        );
    }

    fn push(&mut self, row: Row) {
        let Row {
            case,
            unit,
            ours,
            other,
            ratio,
            wanted,
            cpu,
        } = &row;
        let mut line = format!(
            "{case:<44} {:>10.3} {unit} ({:.3} to {:.3})",
            ours.median, ours.slowest, ours.fastest
        );
        if let (Some(other), Some(ratio)) = (other, ratio) {
            line += &format!(", beside {:.3}: ratio {ratio:.3}", other.median);
        }
        if let Some(wanted) = wanted {
            line += &format!(", wanted {wanted}");
        }
        if let Some((ours, other)) = cpu {
            line += &format!(", CPU s/GB {ours:.3} beside {other:.3}");
        }
        print(&line);
        self.rows.push(row);
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }
}
