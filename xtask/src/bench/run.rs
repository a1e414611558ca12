//! A run: every sample, and the machine. Kept as JSON under `target/bench/`.

use super::figure::Figure;
use super::sample::Sample;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

#[derive(Serialize, Deserialize)]
pub(crate) struct Run {
    /// `release`, or `dev`.
    pub(crate) profile: String,
    /// What was measured.
    pub(crate) commit: String,
    pub(crate) machine: Machine,
    /// Bytes of a large object.
    pub(crate) large: u64,
    /// By case, then by server.
    pub(crate) cases: BTreeMap<String, BTreeMap<String, Vec<Sample>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
}

impl Run {
    pub(crate) fn new(profile: &str, large: u64, folder: &Path) -> Self {
        Self {
            profile: profile.into(),
            commit: said("git", &["describe", "--always", "--dirty"]),
            machine: Machine::this(folder),
            large,
            cases: BTreeMap::new(),
        }
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Takes the cases of an earlier run that this one has not got.
    pub(crate) fn add(&mut self, earlier: Self) -> Result<()> {
        ensure!(
            (&earlier.profile, earlier.large, &earlier.machine)
                == (&self.profile, self.large, &self.machine),
            "the earlier run is of another machine, profile or size"
        );
        for (case, servers) in earlier.cases {
            self.cases.entry(case).or_insert(servers);
        }
        Ok(())
    }

    /// Less the cases that are measured again.
    pub(crate) fn without(mut self, again: impl Fn(&String) -> bool) -> Self {
        self.cases.retain(|case, _| !again(case));
        self
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }

    pub(crate) fn samples(&self, case: &str, server: &str) -> &[Sample] {
        let servers = self.cases.get(case);
        servers
            .and_then(|servers| servers.get(server))
            .map_or(&[], Vec::as_slice)
    }

    /// Some quantity of a case.
    pub(crate) fn figure(
        &self,
        case: &str,
        server: &str,
        of: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<Figure> {
        Figure::of(self.samples(case, server).iter().filter_map(of))
    }

    /// In GB/s; where nothing is transferred, how many requests one client gets answered in a second, one after
    /// the other.
    pub(crate) fn speed(&self, case: &str, server: &str) -> Option<Figure> {
        self.figure(case, server, |sample| {
            Some(if sample.bytes > 0 {
                sample.throughput()
            } else {
                1e3 / sample.p50
            })
        })
    }
}

impl Machine {
    fn this(folder: &Path) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = total.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processor: name.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.into()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: kib.unwrap_or(0u64) >> 20,
            kernel: kernel.trim().into(),
            file_system: file_system(folder),
        }
    }
}

/// As in `ext4`.
fn file_system(folder: &Path) -> String {
    let said = said("df", &["--output=fstype", &folder.to_string_lossy()]);
    said.lines().last().unwrap_or("unknown").to_owned()
}

fn said(program: &str, words: &[&str]) -> String {
    let done = Command::new(program).args(words).output();
    let text = done.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "unknown".into())
}
