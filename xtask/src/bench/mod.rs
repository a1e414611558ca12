//! `cargo xtask bench`: how fast it is, beside what it could be.
//!
//! ```text
//! rows.rs       what is measured
//! servers.rs    whom: Strongroom, the reference, SeaweedFS, any other endpoint
//! seaweedfs.rs  how that one is installed and started
//! disk.rs       the disk by itself, with fio
//! s3.rs         all of it in turns
//! sample.rs     one measurement by `benches/src/load`
//! run.rs        a run and its machine, kept as JSON
//! figure.rs     medians, spreads, and what is beyond noise
//! goals.rs      what is wanted, and whether it is met
//! table.rs      a run as a table          chart.rs     as a picture
//! compare.rs    two runs                  ratios.rs    a short run against kept ratios
//! document.rs   docs/performance.md
//! ```

mod chart;
mod compare;
mod disk;
mod document;
mod figure;
mod goals;
mod ratios;
mod rows;
mod run;
mod s3;
mod sample;
mod seaweedfs;
mod servers;
mod table;

use crate::run as command;
use crate::soak;
use crate::workspace::Workspace;
use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Encode, rebuild, seal, open, check, hash: bytes a second of one core
    Micro,
    /// One disk's engine beside fio: reads, durable appends, two million shards
    Disk {
        /// As `benches/src/disk` takes it: --folder, --rounds, --shards, --json, and which questions
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// What the way from a task to a ring's thread and back costs small reads: the model of decision 0026
    Hop {
        /// As `disk/examples/hop.rs` takes it: --folder, --rounds
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// The metadata service at 10 million names: size, memory, starting, LIST, lookups, commits, snapshots
    Metadata {
        /// As `benches/src/metadata` takes it: --names, --rounds, --json, --folder, --keep, and which questions
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// A disk with a gigabyte on it lost, replaced and made again, beside readers
    Repair,
    /// GET and PUT beside the reference, the disk and SeaweedFS, in turns
    S3(s3::Options),
    /// Say what got slower from one run of `bench s3` to another, beyond noise
    Compare {
        /// As in target/bench/s3.json
        old: PathBuf,
        /// The same of a later build
        new: PathBuf,
    },
    /// Write a run into docs/performance.md, and draw it
    Report {
        /// As in target/bench/s3.json
        run: PathBuf,
    },
}

pub(crate) fn run(what: Bench) -> Result<()> {
    match what {
        Bench::Micro => program("micro", &[]),
        Bench::Disk { options } => {
            // It starts the other one.
            build("shards")?;
            program("disk", &options)
        }
        Bench::Hop { options } => example("hop", &options),
        Bench::Metadata { options } => program("metadata", &options),
        Bench::Repair => soak::repair(),
        Bench::S3(options) if options.short => {
            crate::suite::program()?;
            short(&Workspace::read()?, options.keep)
        }
        Bench::S3(options) => s3::run(&Workspace::read()?, &options),
        Bench::Compare { old, new } => compare::print(&old, &new),
        Bench::Report { run } => document::write(Workspace::read()?.root(), &run),
    }
}

/// Runs a program of `benches`.
fn program(name: &str, options: &[String]) -> Result<()> {
    let mut run = command::cargo("run");
    run.args(["--release", "-p", "strongroom-benches", "--bin", name, "--"]);
    command::run(run.args(options))
}

/// Runs an example of `disk`, the only crate that may call the kernel by itself.
fn example(name: &str, options: &[String]) -> Result<()> {
    let mut run = command::cargo("run");
    run.args([
        "--release",
        "-p",
        "strongroom-disk",
        "--example",
        name,
        "--",
    ]);
    command::run(run.args(options))
}

/// Builds a program of `benches` as [`program`] runs it.
fn build(name: &str) -> Result<()> {
    let mut build = command::cargo("build");
    command::run(build.args(["--release", "-p", "strongroom-benches", "--bin", name]))
}

/// A short run of what is built already, against the kept ratios to the reference. Fails when it cannot
/// measure or reads a wrong byte, never because something was slow: the machine may be busy.
pub(crate) fn short(workspace: &Workspace, keep: bool) -> Result<()> {
    let run = s3::short(workspace)?;
    ratios::print(workspace.root(), &run, keep)
}
