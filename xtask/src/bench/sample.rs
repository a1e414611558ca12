//! One measurement, made by the load program in `benches/`.

use super::servers::Server;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};

/// What one measurement saw. `benches/src/load/job.rs` says what each is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) requests: u64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) first: f64,
    pub(crate) client_cpu: f64,
    pub(crate) server_cpu: Option<f64>,
    pub(crate) memory: Option<[u64; 2]>,
    /// Milliseconds that one lookup took in the mean, of those that say so.
    #[serde(default)]
    pub(crate) lookup: Option<f64>,
}

impl Sample {
    /// In GB/s, GB as 10⁹ bytes.
    pub(crate) fn throughput(&self) -> f64 {
        self.bytes as f64 / 1e9 / self.seconds
    }

    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// Seconds of the server's processor time for a GB.
    pub(crate) fn cpu_a_gb(&self) -> Option<f64> {
        let cpu = self.server_cpu.filter(|_| self.bytes > 0)?;
        Some(cpu / (self.bytes as f64 / 1e9))
    }

    /// By how many bytes the server's memory grew.
    pub(crate) fn growth(&self) -> Option<f64> {
        self.memory
            .map(|[before, peak]| peak.saturating_sub(before) as f64)
    }
}

/// Runs the load program once.
pub(crate) fn take(
    load: &Path,
    server: &Server,
    scheme: &str,
    clients: u64,
    work: &Value,
) -> Result<Sample> {
    let endpoint = server
        .endpoint(scheme)
        .with_context(|| format!("{} does not speak {scheme}", server.name))?;
    let job = json!({
        "endpoint": endpoint,
        "ca": server.ca,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "process": server.process(),
        "bucket": "bench",
        "clients": clients,
        "work": work,
    });
    let done = Command::new(load)
        .args(["run", &job.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .context("starting the load program")?;
    let why = String::from_utf8_lossy(&done.stderr);
    ensure!(
        done.status.success(),
        "{} over {scheme}, {work}: {}",
        server.name,
        why.trim()
    );
    serde_json::from_slice(&done.stdout).context("reading what the load program saw")
}
