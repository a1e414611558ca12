//! What the kernel says of a process: processor time and memory.

use anyhow::{Context, Result};
use std::fs;

/// Ticks a second in `/proc`: `sysconf(_SC_CLK_TCK)` on every Linux of today.
const TICKS: f64 = 100.0;

/// Seconds of processor time so far, in user space and in the kernel, of all threads.
pub(crate) fn cpu_seconds(process: &str) -> Result<f64> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The name in parentheses may hold anything; `utime` and `stime` are fields 14 and 15 of proc(5).
    let (_, after) = stat.rsplit_once(')').context("no name in stat")?;
    let mut fields = after.split_whitespace().skip(11);
    let mut next = || -> Result<f64> {
        let field = fields.next().context("stat is too short")?;
        field.parse().context("a number of ticks")
    };
    Ok((next()? + next()?) / TICKS)
}

/// Resident memory in bytes: `VmRSS`, or `VmHWM`, the peak since it was last forgotten.
pub(crate) fn resident(process: &str, field: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let text = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
    let kib: u64 = text
        .with_context(|| format!("no {field} in {path}"))?
        .parse()?;
    Ok(kib * 1024)
}

/// Forgets the peak, so that the next one is of what comes now.
pub(crate) fn forget_peak(process: &str) -> Result<()> {
    fs::write(format!("/proc/{process}/clear_refs"), "5").context("forgetting a peak of memory")
}
