//! fio past the page cache, with io_uring, as the engine does it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use strongroom_benches::report::Sample;

/// What fio is to do.
pub(crate) struct Job<'a> {
    /// `read`, `randread` or `write`.
    pub(crate) pattern: &'static str,
    /// Bytes of one operation.
    pub(crate) block: u64,
    pub(crate) depth: usize,
    pub(crate) files: &'a [PathBuf],
    /// Of each file, when they are made.
    pub(crate) size: Option<u64>,
    pub(crate) seconds: u64,
    /// A sync behind so many writes.
    pub(crate) sync_every: Option<usize>,
}

/// Runs it.
pub(crate) fn run(job: &Job<'_>) -> Result<Sample> {
    let names: Vec<String> = job
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let mut fio = Command::new("fio");
    fio.args(["--name=disk", "--ioengine=io_uring", "--direct=1"]);
    fio.args(["--output-format=json", "--time_based", "--norandommap"]);
    fio.arg(format!("--filename={}", names.join(":")));
    fio.arg(format!("--rw={}", job.pattern));
    fio.arg(format!("--bs={}", job.block));
    fio.arg(format!("--iodepth={}", job.depth));
    fio.arg(format!("--runtime={}", job.seconds));
    if let Some(size) = job.size {
        fio.arg(format!("--filesize={size}"));
    }
    if job.pattern != "write" {
        fio.arg("--readonly");
    }
    if let Some(every) = job.sync_every {
        fio.args(["--fdatasync", &every.to_string(), "--fallocate=none"]);
    }
    let done = fio
        .output()
        .context("starting fio; `apt-get install fio` installs it")?;
    let why = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "fio: {}", why.trim());
    // It may say a word before its JSON.
    let begin = done.stdout.iter().position(|byte| *byte == b'{');
    let said: Value = serde_json::from_slice(&done.stdout[begin.unwrap_or(0)..])?;
    let job_told = &said["jobs"][0];
    let way = if job.pattern == "write" {
        "write"
    } else {
        "read"
    };
    let told = &job_told[way];
    let number = |value: &Value| value.as_f64().context("a number of fio");
    let took = number(&told["runtime"])? / 1e3;
    let cpu = (number(&job_told["usr_cpu"])? + number(&job_told["sys_cpu"])?) / 100.0 * took;
    let p99 = number(&told["clat_ns"]["percentile"]["99.000000"])?;
    Ok(Sample {
        bytes: told["io_bytes"].as_u64().context("bytes of fio")?,
        operations: told["total_ios"].as_u64().context("requests of fio")?,
        took: Duration::from_secs_f64(took),
        cpu: Duration::from_secs_f64(cpu),
        p99: Duration::from_secs_f64(p99 / 1e9),
        ..Sample::default()
    })
}
