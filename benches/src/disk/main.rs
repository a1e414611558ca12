//! One storage node's disk beside what fio gets out of the same file system, in turns.
//!
//! ```text
//! cargo xtask bench disk [--folder DIR] [--rounds N] [--json FILE] [QUESTION…]
//!
//! world.rs    a node with one disk, and shards to store on it
//! fio.rs      fio, with equal aligned bytes, depth and syncs
//! reads.rs    shards read in order, blocks and small records at random     estimate: 0.9, 0.9, 0.8 of fio
//! appends.rs  durable appends; records a sync when a sync takes 2 ms       estimate: 0.85 of fio; 0.4 a writer
//! extents.rs  what an append costs by what lies where it goes             estimate: written extents sync three times faster
//! http.rs     shards through the HTTP API, beside bare hyper               estimate: 0.8 of the slower of hyper and fio
//! scale.rs    index and opening at 10 thousand to 2 million shards         estimate: 64 bytes a shard; 2 s, 5 s
//! ```
//!
//! A figure is the median of several rounds, beside the slowest and the fastest; what is compared is measured
//! in turns, so that a disk that drifts drifts for both.

mod appends;
mod extents;
mod fio;
mod http;
mod reads;
mod scale;
mod world;

use anyhow::{Context, Result, bail};
use mimalloc::MiMalloc;
use std::path::PathBuf;
use std::process::ExitCode;
use strongroom_benches::report::Report;

/// As in `strongroom`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What was asked for.
pub(crate) struct Options {
    /// Where the disks are made; what is in it is removed.
    folder: PathBuf,
    rounds: usize,
    json: Option<PathBuf>,
    questions: Vec<String>,
    /// Shards of the largest disk.
    shards: u64,
}

type Question = (&'static str, fn(&Options, &mut Report) -> Result<()>);

const QUESTIONS: [Question; 5] = [
    ("reads", reads::measure),
    ("appends", appends::measure),
    ("extents", extents::measure),
    ("http", http::measure),
    ("scale", scale::measure),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [what, folder, shards, rest @ ..] if what == scale::OPENED => {
            scale::opened(folder, shards, rest)
        }
        _ => options(arguments.into_iter()).and_then(|options| run(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("disk: {error:#}");
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
        }
    }
    if let Some(path) = &options.json {
        report.write(path)?;
    }
    Ok(())
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options {
        folder: PathBuf::from("target/bench/disk"),
        rounds: 5,
        json: None,
        questions: Vec::new(),
        shards: 2_000_000,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().context("a value is missing");
        match argument.as_str() {
            "--folder" => options.folder = value()?.into(),
            "--rounds" => options.rounds = value()?.parse()?,
            "--json" => options.json = Some(value()?.into()),
            "--shards" => options.shards = value()?.parse()?,
            name if QUESTIONS.iter().any(|(known, _)| *known == name) => {
                options.questions.push(argument);
            }
            other => {
                let names: Vec<&str> = QUESTIONS.iter().map(|(name, _)| *name).collect();
                bail!(
                    "{other:?} is not known; usage: [--folder DIR] [--rounds N] [--shards N] [--json FILE] [{}]",
                    names.join(" | ")
                );
            }
        }
    }
    Ok(options)
}
