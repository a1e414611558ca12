//! The disk by itself: fio past the page cache, on the file system that the servers store on.

use super::sample::Sample;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

pub(crate) const DISK: &str = "disk";
/// Case, fio's pattern, block size, depth of the queue.
pub(crate) type DiskCase = (&'static str, &'static str, &'static str, u32);
/// As fast as it reads, which cold GETs are held against, too.
pub(crate) const READ: DiskCase = ("disk.read", "read", "1M", 8);
pub(crate) const CASES: [DiskCase; 3] = [
    READ,
    ("disk.write", "write", "1M", 8),
    ("disk.random", "randread", "64k", 32),
];

/// The file that fio reads and writes.
const FILE: &str = "fio";

/// Whether fio is there; says how to get it when it is not.
pub(crate) fn is_there() -> bool {
    let there = Command::new("fio").arg("--version").output().is_ok();
    if !there {
        eprintln!(
            "fio is not there, so the disk by itself is left out; `apt-get install fio` installs it"
        );
    }
    there
}

/// Removes what was laid out.
pub(crate) fn clean(folder: &Path) -> Result<()> {
    match fs::remove_file(folder.join(FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context("removing fio's file")
        }
        _ => Ok(()),
    }
}

/// A few seconds of one pattern on a file in `folder`, which is laid out the first time.
pub(crate) fn take(folder: &Path, (_, pattern, block, depth): DiskCase) -> Result<Sample> {
    let file = folder.join(FILE);
    let mut fio = Command::new("fio");
    fio.args([
        "--name=disk",
        "--ioengine=io_uring",
        "--direct=1",
        "--size=2G",
    ]);
    fio.args(["--runtime=3", "--time_based", "--output-format=json"]);
    fio.arg(format!("--filename={}", file.display()));
    fio.arg(format!("--rw={pattern}"));
    fio.arg(format!("--bs={block}"));
    fio.arg(format!("--iodepth={depth}"));
    let done = fio.output().context("starting fio")?;
    let why = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "fio: {}", why.trim());
    // It may say a word before its JSON.
    let begin = done.stdout.iter().position(|byte| *byte == b'{');
    let said: Value = serde_json::from_slice(&done.stdout[begin.unwrap_or(0)..])?;
    let way = if pattern == "write" { "write" } else { "read" };
    let told = &said["jobs"][0][way];
    let number = |value: &Value| value.as_f64().context("a number of fio");
    let percentile = |name: &str| number(&told["clat_ns"]["percentile"][name]).map(|ns| ns / 1e6);
    Ok(Sample {
        seconds: number(&told["runtime"])? / 1e3,
        bytes: told["io_bytes"].as_u64().context("bytes of fio")?,
        requests: told["total_ios"].as_u64().context("requests of fio")?,
        p50: percentile("50.000000")?,
        p99: percentile("99.000000")?,
        ..Sample::default()
    })
}
