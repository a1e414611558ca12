//! Shards of 1 MiB through the HTTP API, beside bare hyper over the same TLS and beside fio, in turns.
//!
//! Server and client are two processes on this machine, which share its processors, whoever is measured. Held
//! against the slower of the two: what the API adds may cost a fifth of it.

use crate::Options;
use crate::fio::{self, Job};
use crate::world;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use strongroom_benches::process::cpu_of;
use strongroom_benches::report::{Report, Sample};
use types::block::FRAMED_BLOCK;

const SECONDS: u64 = 3;
/// Shards on the disk.
const COUNT: u64 = 3000;
/// Readers, and reads that fio has under way.
const AT_ONCE: usize = 32;
/// Bytes of a shard as a client gets it, and those that the disk reads for it.
const SHARD: u64 = 16 * FRAMED_BLOCK as u64;
const RECORD: u64 = (1 << 20) + (8 << 10);

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let folder = options.folder.join("http");
    world::clean(&folder)?;
    std::fs::create_dir_all(&folder)?;
    let ours = Server::start(&folder, &["serve"], &[COUNT])?;
    let memory = Server::start(&folder, &["memory"], &[])?;
    let bare = Server::start(&folder, &["bare"], &[])?;
    let files = world::volumes(&folder.join("disk"))?;
    let sealed = files[..files.len() - 1].to_vec();
    let (mut to_bare, mut to_disk, mut to_least, mut from_memory) =
        (vec![], vec![], vec![], vec![]);
    for _ in 0..options.rounds {
        let through = ours.read(&folder, "read", COUNT)?;
        let hyper = bare.read(&folder, "read-bare", COUNT)?;
        let alone = fio::run(&Job {
            pattern: "read",
            block: RECORD,
            depth: AT_ONCE,
            files: &sealed,
            size: None,
            seconds: SECONDS,
            sync_every: None,
        })?;
        let cached = memory.read(&folder, "read", COUNT)?;
        let least = match hyper.rate() < alone.rate() {
            true => hyper,
            false => alone,
        };
        to_bare.push((through, hyper));
        to_disk.push((through, alone));
        to_least.push((through, least));
        from_memory.push((cached, hyper));
    }
    for (case, pairs, wanted) in [
        ("HTTP, 1 MiB, beside bare hyper", to_bare, None),
        ("HTTP, 1 MiB, beside fio", to_disk, None),
        ("HTTP, 1 MiB, beside the slower", to_least, Some(0.8)),
        ("HTTP, 1 MiB, no disk, beside hyper", from_memory, None),
    ] {
        report.compare(case, "GB/s", Sample::rate, &pairs, wanted);
    }
    world::clean(&folder)
}

/// A server in a process of its own, until this is dropped.
struct Server {
    process: Child,
    address: String,
}

/// The program that serves and reads, which is built beside this one.
fn shards() -> Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("shards");
    ensure!(
        program.exists(),
        "{} is not built",
        program.file_name().unwrap_or_default().display()
    );
    Ok(program)
}

impl Server {
    /// Returns once it serves.
    fn start(folder: &Path, what: &[&str], numbers: &[u64]) -> Result<Self> {
        let mut process = Command::new(shards()?)
            .args(what)
            .arg(folder)
            .args(numbers.iter().map(u64::to_string))
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a server")?;
        let told = process.stdout.take().context("its output")?;
        let mut server = Self {
            process,
            address: String::new(),
        };
        let mut lines = BufReader::new(told).lines();
        server.address = lines.next().context("it told no address")??;
        let ready = lines.next().context("it did not become ready")??;
        ensure!(ready == "ready", "it told {ready:?}");
        Ok(server)
    }

    /// Reads shards from it. The processor time is the server's.
    fn read(&self, folder: &Path, how: &str, count: u64) -> Result<Sample> {
        let before = cpu_of(&self.process.id().to_string());
        let done = Command::new(shards()?)
            .arg(how)
            .arg(folder)
            .arg(&self.address)
            .args([count, AT_ONCE as u64, SECONDS].map(|number| number.to_string()))
            .output()
            .context("starting a reader")?;
        let cpu = cpu_of(&self.process.id().to_string()).saturating_sub(before);
        let why = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "reading: {}", why.trim());
        let told = String::from_utf8(done.stdout)?;
        let told_of = |name: &str| {
            let mut words = told.split_whitespace().skip_while(|word| *word != name);
            words.nth(1).with_context(|| format!("{name} in {told:?}"))
        };
        let operations: u64 = told_of("shards")?.parse()?;
        let bytes = operations * SHARD;
        Ok(Sample {
            bytes,
            operations,
            took: Duration::from_secs_f64(bytes as f64 / 1e9 / told_of("GB/s")?.parse::<f64>()?),
            cpu,
            p99: Duration::from_secs_f64(told_of("p99")?.parse::<f64>()? / 1e3),
            ..Sample::default()
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
