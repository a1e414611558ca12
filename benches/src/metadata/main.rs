//! How the metadata service does with many names.
//!
//! ```text
//! cargo xtask bench metadata [--names N] [--rounds N] [--json FILE] [--folder DIR] [--keep] [QUESTION…]
//!
//! world.rs      a metadata server alone in its cluster, in a folder
//! child.rs      processes of our own: to be measured from their start, or killed
//! fill.rs       names by the million: commits, through `apply` into the store
//! commits.rs    commits while a sync takes 2 ms                            estimate: 0.25 of the writers share a sync
//! gateway.rs    lookups of one gateway over mutual TLS, and what they cost estimate: 50 000 a second
//! engines.rs    sled beside redb (redb.rs), behind the same store
//! names.rs      what a name costs on disk and in memory; starting          estimate: 2.5 × its rows; 40 bytes; 2 s, 60 s
//! list.rs       a page of 1000 among the most names and among 100 000      estimate: 1.3 times as long at most
//! lookup.rs     a lookup among the most names and among 100 000            estimate: 1.3 times as long at most
//! snapshot.rs   requests while a snapshot is written                       estimate: p99 twice as long at most
//! ```
//!
//! A figure is the median of several rounds, beside the least and the most; what is compared is measured in turns.
//! Each says in which state the caches were: *files cold* means that none of the store is in the page cache, *files
//! cached* that it has been read whole before (as far as memory goes), *warm* that operations of the same kind went
//! before.

mod child;
mod commits;
mod engines;
mod fill;
mod gateway;
mod list;
mod lookup;
mod names;
mod redb;
mod snapshot;
mod world;

use anyhow::{Context, Result, bail};
use mimalloc::MiMalloc;
use std::path::PathBuf;
use std::process::ExitCode;
use strongroom_benches::report::Report;

/// As in `strongroom`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How many names large buckets are held against.
pub(crate) const FEW: u64 = 100_000;

/// What was asked for.
pub(crate) struct Options {
    /// Where the stores are made. One that is there already, with as many names, is used as it is.
    folder: PathBuf,
    /// Of the largest bucket.
    names: u64,
    rounds: usize,
    json: Option<PathBuf>,
    /// Leave the stores for the next run.
    keep: bool,
    questions: Vec<String>,
}

type Question = (&'static str, fn(&Options, &mut Report) -> Result<()>);

const QUESTIONS: [Question; 7] = [
    ("commits", commits::measure),
    ("gateway", gateway::measure),
    ("engines", engines::measure),
    ("names", names::measure),
    ("list", list::measure),
    ("lookup", lookup::measure),
    ("snapshot", snapshot::measure),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [what, rest @ ..] if what == names::CHILD => names::child(rest),
        [what, rest @ ..] if what == engines::CHILD => engines::child(rest),
        _ => options(arguments.into_iter()).and_then(|options| run(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("metadata: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    std::fs::create_dir_all(&options.folder)
        .with_context(|| format!("making {}", options.folder.display()))?;
    let mut report = Report::default();
    for (name, measure) in QUESTIONS {
        let asked = options.questions.iter().any(|question| question == name);
        if asked || options.questions.is_empty() {
            measure(options, &mut report)?;
            // What was measured is not lost with what comes next.
            if let Some(path) = &options.json {
                report.write(path)?;
            }
        }
    }
    if !options.keep {
        world::clean(&options.folder)?;
    }
    Ok(())
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options {
        folder: PathBuf::from("target/bench/metadata"),
        names: 10_000_000,
        rounds: 5,
        json: None,
        keep: false,
        questions: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().context("a value is missing");
        match argument.as_str() {
            "--folder" => options.folder = value()?.into(),
            "--names" => options.names = value()?.parse()?,
            "--rounds" => options.rounds = value()?.parse()?,
            "--json" => options.json = Some(value()?.into()),
            "--keep" => options.keep = true,
            name if QUESTIONS.iter().any(|(known, _)| *known == name) => {
                options.questions.push(argument);
            }
            other => {
                let names: Vec<&str> = QUESTIONS.iter().map(|(name, _)| *name).collect();
                bail!(
                    "{other:?} is not known; usage: [--folder DIR] [--names N] [--rounds N] [--json FILE] [--keep] [{}]",
                    names.join(" | ")
                );
            }
        }
    }
    if options.names < FEW {
        bail!("at least {FEW} names are needed");
    }
    Ok(options)
}
