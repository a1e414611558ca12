//! What contributors run. It says each command that it runs, so that nothing here is magic, and installs
//! nothing but the Python clients, into one virtual environment under `target/`.
//!
//! ```text
//! cargo xtask test            everything, as continuous integration does
//! cargo xtask test erasure    the inner loop of one crate
//! cargo xtask bench micro     cost of the primitives, per core
//! cargo xtask bench disk      one disk's engine beside fio
//! cargo xtask bench hop       what the way to a ring's thread and back costs
//! cargo xtask bench repair    a lost disk made whole again beside readers
//! cargo xtask bench s3        GET and PUT beside what the machine can do, and beside SeaweedFS
//! cargo xtask bench compare   what got slower from one run of it to another
//! cargo xtask soak kill       kill -9 under load, for as long as you like
//! cargo xtask soak mixed      steady load: memory, descriptors, clean end
//! cargo xtask soak nemesis    kills, freezes, lost disks under a verified load
//! cargo xtask soak listing    a bucket of a million objects, listed while others write
//! cargo xtask soak disk       a million flipped bytes, power cut at each change by thousands of seeds
//! cargo xtask soak metadata   servers killed, frozen, relieved, in 2040, full; what clients see is judged
//! cargo xtask soak failover   fifty leaders killed: how long no commit is taken
//! cargo xtask fuzz            signatures, chunk framing, documents, disks: a minute each, or as long as you like
//! cargo xtask full-disk       small file systems filled, emptied, filled again
//! cargo xtask sanitize        disk and storage node under AddressSanitizer or ThreadSanitizer
//! cargo xtask upgrade         servers of this build and of an earlier one as one cluster
//! cargo xtask clients         every S3 client, one scenario, over http and https
//! cargo xtask deny            licences, bans, duplicates, sources
//! cargo xtask corpus          real text as WebDataset shards
//! cargo xtask train           upload it, read it for two epochs, lose disks and a leader meanwhile
//! ```

mod bench;
mod clients;
mod corpus;
mod expression;
mod faults;
mod features;
mod full_disk;
mod fuzz;
mod many;
mod policy;
mod python;
mod report;
mod run;
mod sanitize;
mod soak;
mod suite;
mod training;
mod upgrade;
mod workspace;

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What contributors of Strongroom run")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that must pass; or the inner loop of one crate
    Test {
        /// A crate by its folder or its name, as in `erasure`
        #[arg(value_name = "CRATE")]
        package: Option<String>,
    },
    /// Measure
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
    /// Load and faults for minutes or hours
    Soak {
        /// Which load
        what: Soak,
        /// For how long
        #[arg(long, default_value_t = 20.0)]
        minutes: f64,
        /// For how long, instead
        #[arg(long, conflicts_with = "minutes")]
        hours: Option<f64>,
        /// Replay the choices of an earlier run
        #[arg(long)]
        seed: Option<u64>,
        /// How many objects are listed
        #[arg(long, default_value_t = 1_000_000)]
        objects: u64,
    },
    /// Send a gateway what no client sends, guided by coverage
    Fuzz {
        /// One of signature, framing, document, stored, record, tombstone, footer [default: each]
        target: Option<String>,
        /// For how long each
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Fill small file systems with shards, remove most, fill them again
    FullDisk,
    /// The tests of disk and storage node under a sanitizer of the compiler
    Sanitize {
        /// Which
        what: sanitize::Sanitizer,
        /// One of disk, storage-node [default: both]
        #[arg(value_name = "CRATE")]
        package: Option<String>,
        /// The toolchain that has it
        #[arg(long, value_name = "NAME", default_value = "nightly")]
        toolchain: String,
    },
    /// Servers of this build and of an earlier one as one cluster; builds the earlier one from its commit
    Upgrade,
    /// Every S3 client through one scenario, over http and https
    Clients {
        /// Only these
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Keep the results and write docs/s3-compatibility.md
        #[arg(long)]
        report: bool,
    },
    /// Hold every package against deny.toml, offline
    Deny,
    /// Pack the sources of downloaded crates into WebDataset shards with an index
    Corpus {
        /// Where to [default: target/corpus]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// The main job: upload the corpus, read it for two epochs by four workers, losing disks and a leader
    Train,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Soak {
    /// kill -9 at random moments under mixed load
    Kill,
    /// Steady mixed load with flat memory
    Mixed,
    /// Faults of every kind under a verified load
    Nemesis,
    /// One bucket of a million objects, listed while others write
    Listing,
    /// One simulated disk: flipped bytes, and power cut at each change
    Disk,
    /// Metadata servers that are killed, frozen and relieved, whose clocks jump and disks fill: what clients see is linearizable
    Metadata,
    /// Fifty leaders killed: how long no commit is taken
    Failover,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Test { package: None } => suite::everything(),
        Command::Test {
            package: Some(package),
        } => suite::one(&package),
        Command::Bench { what } => bench::run(what),
        Command::Upgrade => upgrade::test(),
        Command::Soak {
            what,
            minutes,
            hours,
            seed,
            objects,
        } => soak::run(
            what,
            hours.map_or(minutes, |hours| hours * 60.0),
            seed,
            objects,
        ),
        Command::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Command::FullDisk => full_disk::run(),
        Command::Sanitize {
            what,
            package,
            toolchain,
        } => sanitize::run(what, package.as_deref(), &toolchain),
        Command::Clients { names, report } => clients::run(&names, report),
        Command::Deny => policy::check(),
        Command::Corpus { out } => corpus::command(out),
        Command::Train => suite::train(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
