//! sled beside redb, behind the same store: the same names through the same `apply`, frames, checksums and digest.
//!
//! Estimate: a B-tree that is written in place takes less space than sled's log of pages, which keeps 2.5 times its
//! rows; it opens at once, and pays for each batch with the pages on the way to its rows. Both may lose the last half
//! second, which is all that a cache needs. Each has 128 MiB of its own, and a process of its own at every step.

use crate::fill::Filler;
use crate::redb::Redb;
use crate::world::{cache, clean, filled, prefix_of, random, rows_of, size, whole};
use crate::{FEW, Options, child};
use anyhow::{Context, Result, bail, ensure};
use metadata::store::{Sled, Start};
use metadata::{Opened, Store, StoreError, list, locate};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use strongroom_benches::process::resident;
use strongroom_benches::report::{Report, percentile, print};
use types::wire::metadata::List;

/// How the process of its own is asked for.
pub(crate) const CHILD: &str = "engines-child";
/// As the state machine takes entries.
const BATCH: usize = 256;
const LOOKUPS: u64 = 50_000;
const PAGES: u64 = 50;
const ENGINES: [&str; 2] = ["sled", "redb"];

fn engine(name: &str) -> Result<Box<dyn Start>> {
    match name {
        "sled" => Ok(Box::new(Sled::default())),
        "redb" => Ok(Box::new(Redb)),
        other => bail!("{other:?} is no engine"),
    }
}

/// What a process of its own is for.
#[derive(Serialize, Deserialize)]
enum Step {
    Fill,
    Open,
    /// Store until killed.
    Store,
}

/// What filling tells.
#[derive(Serialize, Deserialize)]
struct Filled {
    /// Names a second.
    rate: f64,
    resident: f64,
}

/// What opening tells.
#[derive(Serialize, Deserialize)]
struct Seen {
    /// Seconds.
    opened: f64,
    /// Seconds that reading all rows takes.
    read: f64,
    /// µs.
    lookup: f64,
    /// ms.
    page: f64,
    resident: f64,
    rebuilt: Option<String>,
}

/// One round of one engine.
struct Round {
    filled: Filled,
    bytes: f64,
    clean: Seen,
    killed: Seen,
}

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let names = (options.names / 10).max(FEW);
    filled(&options.folder, 0)?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds.min(3) {
        let [sled, redb] = ENGINES.map(|name| round(options, name, names));
        rounds.push((sled?, redb?));
    }
    let mut tell = |what: &str, unit: &str, of: &dyn Fn(&Round) -> f64| {
        let pairs: Vec<_> = rounds
            .iter()
            .map(|(sled, redb)| (of(sled), of(redb)))
            .collect();
        let case = format!("{names} names, sled beside redb: {what}");
        report.beside(&case, unit, &pairs, None);
    };
    tell("applied", "names/s", &|round| round.filled.rate);
    tell("on disk", "bytes a name", &|round| round.bytes);
    tell("resident when filled", "MB", &|round| round.filled.resident);
    tell("resident when read", "MB", &|round| round.clean.resident);
    tell("open, files cached, clean stop", "s", &|round| {
        round.clean.opened
    });
    tell("open, files cached, kill -9", "s", &|round| {
        round.killed.opened
    });
    tell("rows of a lookup, p50, warm", "µs", &|round| {
        round.clean.lookup
    });
    tell("rows of a page of 1000, p50, warm", "ms", &|round| {
        round.clean.page
    });
    tell("reading all rows, warm", "s", &|round| round.clean.read);
    Ok(())
}

fn round(options: &Options, engine: &str, names: u64) -> Result<Round> {
    let folder = options.folder.join(engine);
    clean(&folder)?;
    let ask = |step: Step| command(step, engine, options, names);
    let filled: Filled = child::answer(&mut ask(Step::Fill)?)?;
    let bytes = size(&folder)? as f64 / names as f64;
    cache(&folder)?;
    let clean_start: Seen = child::answer(&mut ask(Step::Open)?)?;
    child::kill(&mut ask(Step::Store)?)?;
    cache(&folder)?;
    let killed: Seen = child::answer(&mut ask(Step::Open)?)?;
    for (seen, how) in [(&clean_start, "a clean stop"), (&killed, "kill -9")] {
        if let Some(why) = &seen.rebuilt {
            bail!("{engine} lost its rows by {how}: {why}");
        }
    }
    clean(&folder)?;
    Ok(Round {
        filled,
        bytes,
        clean: clean_start,
        killed,
    })
}

fn command(step: Step, engine: &str, options: &Options, names: u64) -> Result<Command> {
    let mut command = child::command()?;
    command
        .arg(CHILD)
        .arg(serde_json::to_string(&step)?)
        .arg(engine);
    command.arg(&options.folder).arg(names.to_string());
    Ok(command)
}

/// In a process of its own.
pub(crate) fn child(arguments: &[String]) -> Result<()> {
    let [step, name, folder, names] = arguments else {
        bail!("{arguments:?}")
    };
    let (folder, names) = (Path::new(folder), names.parse()?);
    let start = engine(name)?;
    let own = folder.join(name);
    match serde_json::from_str(step)? {
        Step::Fill => fill(&*start, &own, &rows_of(&filled(folder, 0)?), names),
        Step::Open => open(&*start, &own, names),
        Step::Store => child::store(&*start, &own),
    }
}

fn fill(start: &dyn Start, own: &Path, begun: &Path, names: u64) -> Result<()> {
    let before = resident()?;
    let (store, _) = Store::open_with(start, own)?;
    {
        let (begun, _) = Store::open(begun)?;
        let mark = begun.mark().context("the store has a mark")?;
        store.replace::<StoreError>(begun.rows(), &mark)?;
        begun.close_clean()?;
    }
    let mut filler = Filler::new(store)?;
    let began = Instant::now();
    filler.fill(0..names, BATCH)?;
    let told = Filled {
        rate: names as f64 / began.elapsed().as_secs_f64(),
        resident: megabytes(before)?,
    };
    filler.close()?;
    print(&serde_json::to_string(&told)?);
    Ok(())
}

fn open(start: &dyn Start, own: &Path, names: u64) -> Result<()> {
    let (before, began) = (resident()?, Instant::now());
    let (store, found) = Store::open_with(start, own)?;
    let opened = began.elapsed().as_secs_f64();
    let rebuilt = match found {
        Opened::Rebuilt { reason } => Some(reason),
        _ => None,
    };
    let mut seen = Seen {
        opened,
        read: 0.0,
        lookup: 0.0,
        page: 0.0,
        resident: 0.0,
        rebuilt,
    };
    if seen.rebuilt.is_none() {
        let filler = Filler::new(store)?;
        read(&filler, names, &mut seen)?;
        seen.resident = megabytes(before)?;
        filler.close()?;
    }
    print(&serde_json::to_string(&seen)?);
    Ok(())
}

fn read(filler: &Filler, names: u64, seen: &mut Seen) -> Result<()> {
    let (store, bucket) = (filler.store(), &filler.bucket().bucket);
    let mut lookups = Vec::new();
    for _ in 0..LOOKUPS {
        let (lookup, began) = (whole(bucket, random(names)), Instant::now());
        ensure!(locate::locate(store, &lookup)?.is_ok(), "it is there");
        lookups.push(began.elapsed());
    }
    let mut pages = Vec::new();
    for _ in 0..PAGES {
        let list = List {
            bucket: bucket.id,
            prefix: String::new(),
            delimiter: None,
            after: Some(prefix_of(random(names - 1100))),
            limit: list::MAX_ENTRIES,
        };
        let began = Instant::now();
        let page = list::page(store, &list)?;
        pages.push(began.elapsed());
        ensure!(
            page.entries.len() == list::MAX_ENTRIES as usize,
            "a full page"
        );
    }
    let began = Instant::now();
    ensure!(store.digest()? == store.running_digest(), "the rows add up");
    seen.read = began.elapsed().as_secs_f64();
    seen.lookup = percentile(&mut lookups, 50).as_secs_f64() * 1e6;
    seen.page = percentile(&mut pages, 50).as_secs_f64() * 1e3;
    Ok(())
}

/// What this process holds in memory beyond `before`.
fn megabytes(before: u64) -> Result<f64> {
    Ok(resident()?.saturating_sub(before) as f64 / 1e6)
}
