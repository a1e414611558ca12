//! All cases against all servers, in turns.
//!
//! In each repetition every server is asked once, and another one begins; so what the machine does meanwhile
//! hits all alike. Before each measurement everything is synced: no server pays for writes that another left
//! in the page cache. A case's first upload is read back, and every GET compares every byte.

use super::disk::{self, DISK, DiskCase};
use super::rows::{self, Case, FULL, IN_SHORT, Kind, SHORT, Sizes};
use super::run::Run;
use super::sample::{self, Sample};
use super::servers::{Lost, REFERENCE, STRONGROOM, Server};
use super::{goals, seaweedfs, table};
use crate::run::{self as command, cargo};
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use strongroom_tests::Cluster;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only cases that begin so, as in `get-large,put-small.http,disk`
    #[arg(long, value_delimiter = ',', value_name = "CASE")]
    rows: Vec<String>,
    /// How often each
    #[arg(long, default_value_t = 5)]
    repetitions: u64,
    /// Measure another S3 server, too
    #[arg(long, value_name = "NAME=ENDPOINT,KEY,SECRET[,CA]")]
    peer: Vec<String>,
    /// Leave a server out, as in `seaweedfs`
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,
    /// Keep the cases of the last run that are not measured now
    #[arg(long)]
    add: bool,
    /// Where the samples go [default: target/bench/s3.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Two minutes: what is built for tests, small sizes, against the kept ratios
    #[arg(long)]
    pub(crate) short: bool,
    /// Keep the ratios of a short run
    #[arg(long, requires = "short")]
    pub(crate) keep: bool,
}

/// The whole comparison.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut build = cargo("build");
    build.args(["--release", "-p", "strongroom", "-p", "strongroom-benches"]);
    command::run(build.args(["--bin", "strongroom", "--bin", "load"]))?;
    let asked =
        |id: &str| options.rows.is_empty() || options.rows.iter().any(|asked| begins(id, asked));
    let cases: Vec<Case> = Case::all().filter(|case| asked(&case.id())).collect();
    let mut bench = Bench::begin(workspace, "release", FULL, options.repetitions)?;
    let out = options.out.clone();
    let out = out.unwrap_or_else(|| bench.folder.join("s3.json"));
    if options.add && out.exists() {
        let earlier = Run::read(&out)?;
        let again = |id: &String| asked(id);
        bench.run.add(earlier.without(again))?;
    }
    if !cases.is_empty() {
        let wanted = |name: &str| !options.without.iter().any(|without| without == name);
        if wanted(seaweedfs::NAME) {
            let (folder, certificate) = (bench.folder.join("seaweedfs"), bench.folder.clone());
            let server = seaweedfs::start(workspace, &folder, &certificate)?;
            bench.servers.push(server);
        }
        for peer in &options.peer {
            bench.servers.push(Server::peer(peer)?);
        }
        bench.servers.retain(|server| wanted(&server.name));
        bench.prepare(&cases)?;
    }
    if disk::CASES.iter().any(|(id, ..)| asked(id)) && disk::is_there() {
        bench.disk(asked)?;
        bench.run.write(&out)?;
    }
    for case in cases {
        bench.case(case)?;
        bench.run.write(&out)?;
    }
    eprintln!();
    eprintln!("{}", table::of(&bench.run)?);
    eprintln!("{}", goals::table(&bench.run));
    eprintln!("all samples are in {}", out.display());
    Ok(())
}

/// A run of about two minutes on what the tests were built with.
pub(crate) fn short(workspace: &Workspace) -> Result<Run> {
    let mut bench = Bench::begin(workspace, "dev", SHORT, 5)?;
    let wanted = |case: &Case| IN_SHORT.contains(&case.id().as_str());
    let cases: Vec<Case> = Case::all().filter(wanted).collect();
    bench.prepare(&cases)?;
    for case in cases {
        bench.case(case)?;
    }
    bench.run.write(&bench.folder.join("short.json"))?;
    Ok(bench.run)
}

struct Bench {
    folder: PathBuf,
    load: PathBuf,
    sizes: Sizes,
    repetitions: u64,
    servers: Vec<Server>,
    run: Run,
}

impl Bench {
    /// Starts Strongroom and the reference.
    fn begin(workspace: &Workspace, profile: &str, sizes: Sizes, repetitions: u64) -> Result<Self> {
        let folder = workspace.target().join("bench");
        fs::create_dir_all(&folder).context("making target/bench")?;
        let built = if profile == "dev" { "debug" } else { profile };
        let programs = workspace.target().join(built);
        let load = programs.join("load");
        command::run(Command::new(&load).arg("certificate").arg(&folder))?;
        let run = Run::new(profile, sizes.large, &folder);
        let servers = vec![
            Server::strongroom(&programs.join("strongroom"))?,
            Server::reference(&load, &folder)?,
        ];
        Ok(Self {
            folder,
            load,
            sizes,
            repetitions,
            servers,
            run,
        })
    }

    /// Makes the buckets, and what GETs read.
    fn prepare(&self, cases: &[Case]) -> Result<()> {
        let reads = |small: bool| {
            let fits = |case: &&Case| !case.uploads() && case.is_small() == small;
            cases.iter().any(|case| fits(&case))
        };
        for server in &self.servers {
            server.prepare(&self.load)?;
            for ((clients, work), small) in rows::filling(self.sizes).iter().zip([false, true]) {
                if reads(small) && server.name != REFERENCE {
                    let scheme = ["http", "https"]
                        .into_iter()
                        .find(|s| server.endpoint(s).is_some());
                    let scheme = scheme.context("a server without an endpoint")?;
                    sample::take(&self.load, server, scheme, *clients, work)?;
                }
            }
        }
        Ok(())
    }

    /// One case against every server that it is for.
    fn case(&mut self, case: Case) -> Result<()> {
        let concerned: Vec<usize> = (0..self.servers.len())
            .filter(|server| concerns(case, &self.servers[*server]))
            .collect();
        eprintln!("\n{}", case.id());
        if case.cache == "warm" && case.row.kind != Kind::Streams {
            for server in &concerned {
                self.take(case, *server, 0)?;
            }
        }
        let disk = case.is_large_and_cold() && disk::is_there();
        if disk {
            self.disk_once(disk::READ)?;
        }
        for repetition in 0..self.repetitions {
            if disk {
                // It is not as fast from one minute to the next.
                let sample = self.disk_once(disk::READ)?;
                self.note(&case.id(), DISK, sample);
            }
            let mut turn = concerned.clone();
            let first = usize::try_from(repetition)? % turn.len().max(1);
            turn.rotate_left(first);
            for server in turn {
                let sample = self.once(case, server, repetition)?;
                let name = self.servers[server].name.clone();
                self.note(&case.id(), &name, sample);
            }
        }
        if disk {
            disk::clean(&self.folder)?;
        }
        if case.uploads() {
            for server in concerned.iter().map(|server| &self.servers[*server]) {
                for repetition in 0..self.repetitions {
                    let removal = case.removal(self.sizes, repetition);
                    sample::take(&self.load, server, case.scheme, case.clients(), &removal)?;
                }
            }
        }
        Ok(())
    }

    fn once(&mut self, case: Case, server: usize, repetition: u64) -> Result<Sample> {
        if case.row.kind == Kind::Streams {
            self.servers[server].refresh()?;
        }
        settle(case.cache == "cold")?;
        let sample = match self.servers[server].cluster() {
            Some(cluster) if case.row.kind == Kind::Degraded => {
                let lost = Lost::two(cluster)?;
                let sample = self.take(case, server, repetition);
                lost.back()?;
                sample?
            }
            Some(cluster) if case.row.kind == Kind::GetSmall => {
                let before = lookups(cluster)?;
                let sample = self.take(case, server, repetition)?;
                let after = lookups(cluster)?;
                let mean = (after[0] - before[0]) / (after[1] - before[1]);
                Sample {
                    lookup: Some(mean * 1e3),
                    ..sample
                }
            }
            _ => self.take(case, server, repetition)?,
        };
        if case.uploads() && repetition == 0 && self.servers[server].name != REFERENCE {
            let proof = case.proof(self.sizes, repetition);
            let server = &self.servers[server];
            sample::take(&self.load, server, case.scheme, case.clients(), &proof)?;
        }
        Ok(sample)
    }

    fn take(&self, case: Case, server: usize, repetition: u64) -> Result<Sample> {
        let work = case.work(self.sizes, repetition);
        let server = &self.servers[server];
        sample::take(&self.load, server, case.scheme, case.clients(), &work)
    }

    /// The disk by itself.
    fn disk(&mut self, asked: impl Fn(&str) -> bool) -> Result<()> {
        for case in disk::CASES {
            let id = case.0;
            if !asked(id) {
                continue;
            }
            eprintln!("\n{id}");
            for _ in 0..self.repetitions {
                let sample = self.disk_once(case)?;
                self.note(id, DISK, sample);
            }
        }
        disk::clean(&self.folder)
    }

    fn disk_once(&self, case: DiskCase) -> Result<Sample> {
        settle(true)?;
        disk::take(&self.folder, case)
    }

    fn note(&mut self, case: &str, server: &str, sample: Sample) {
        say(server, &sample);
        let servers = self.run.cases.entry(case.into()).or_default();
        servers.entry(server.into()).or_default().push(sample);
    }
}

/// Seconds that lookups took so far, and how many there were, as the gateway counts them.
fn lookups(cluster: &Cluster) -> Result<[f64; 2]> {
    let of = |part: &str| cluster.metric(&format!("strongroom_gateway_lookup_seconds_{part}"));
    Ok([of("sum")?, of("count")?])
}

/// Whether a case's name begins with these whole words: `get-large.http` is not `get-large.https`.
fn begins(id: &str, asked: &str) -> bool {
    let rest = id.strip_prefix(asked);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
}

/// Lost disks are ours alone to lose, and only of our own process do we know the memory.
fn concerns(case: Case, server: &Server) -> bool {
    let kind = match case.row.kind {
        Kind::Degraded => server.name == STRONGROOM,
        Kind::Streams => server.process().is_some(),
        _ => true,
    };
    kind && server.endpoint(case.scheme).is_some()
}

/// Writes out what is dirty; for a cold read, drops what was cached as well. Who may not do that is told.
fn settle(cold: bool) -> Result<()> {
    let done = Command::new("sync").status().context("running sync")?;
    ensure!(done.success(), "sync: {done}");
    if cold && let Err(error) = fs::write(Path::new("/proc/sys/vm/drop_caches"), "3") {
        eprintln!("  not cold: the page cache cannot be dropped: {error}");
    }
    Ok(())
}

fn say(name: &str, sample: &Sample) {
    let speed = if sample.bytes > 0 {
        format!("{:.3} GB/s", sample.throughput())
    } else {
        format!("{:.0}/s", sample.rate())
    };
    let cpu = sample.cpu_a_gb();
    let cpu = cpu.map_or(String::new(), |cpu| format!("  server {cpu:.2} s/GB"));
    eprintln!(
        "  {name:<11} {speed}  p50 {:.2} ms  p99 {:.2} ms  first {:.2} ms{cpu}  client {:.2} s",
        sample.p50, sample.p99, sample.first, sample.client_cpu
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_asked_for_by_whole_words() {
        for (asked, begins_so) in [
            ("get-large.https.cold", true),
            ("get-large.https", true),
            ("get", true),
            ("get-large.http", false),
            ("put", false),
        ] {
            assert_eq!(begins("get-large.https.cold", asked), begins_so, "{asked}");
        }
    }
}
