//! What the kernel says about a running process.

use anyhow::{Context, Result};
use std::fs;

/// One look at a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// Resident memory in bytes.
    pub resident: u64,
    /// Open file descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: u64,
}

impl Vitals {
    /// Reads `/proc`.
    pub fn of(process: u32) -> Result<Self> {
        let path = format!("/proc/{process}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let text = line.and_then(|rest| rest.split_whitespace().next());
            text.with_context(|| format!("no {name} in {path}"))?
                .parse()
                .context("a number in /proc")
        };
        let descriptors = fs::read_dir(format!("/proc/{process}/fd"))?.count();
        Ok(Self {
            resident: field("VmRSS:")? * 1024,
            descriptors,
            threads: field("Threads:")?,
        })
    }
}
