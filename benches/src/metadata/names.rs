//! What a name costs on disk and in memory, and how long a server takes to start with many.
//!
//! Estimates: a name of one chunk has four rows of together about 900 bytes, and sled takes 2.5 times that on disk. In
//! memory it keeps its cache and about 60 bytes for each page of 16 rows: 40 bytes a name. It starts within 2 s after
//! a clean stop; after another the digest is computed from all rows, at half a gigabyte a second: 60 s.
//!
//! Each start is that of a process of its own.

use crate::world::{CACHES, Running, cache, cool, filled, log_of, random, rows_of, size};
use crate::{FEW, Options, child};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;
use strongroom_benches::process::resident;
use strongroom_benches::report::{Report, print};
use strongroom_benches::run::runtime;

/// How the process of its own is asked for.
pub(crate) const CHILD: &str = "names-child";
const START: &str = "start";
const STORE: &str = "store";
/// Lookups that fill sled's cache before memory is looked at.
const LOOKUPS: u64 = 100_000;

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let mut sizes = vec![FEW, options.names / 10, options.names];
    sizes.retain(|names| *names >= FEW);
    sizes.dedup();
    for names in sizes {
        one(options, report, names)?;
    }
    Ok(())
}

fn one(options: &Options, report: &mut Report, names: u64) -> Result<()> {
    let folder = filled(&options.folder, names)?;
    let rows = rows_of(&folder);
    let on_disk = size(&rows)? as f64 / names as f64;
    report.figure(
        &format!("{names} names: on disk"),
        "bytes a name",
        vec![on_disk],
        None,
    );
    let mut memory = Vec::new();
    for state in ["files cold", "files cached"] {
        let mut starts = Vec::new();
        for _ in 0..options.rounds.min(3) {
            if state == "files cold" {
                cool(&folder)?;
            } else {
                cache(&rows)?;
            }
            starts.push(start(&folder, names)?);
        }
        tell(report, names, &format!("clean stop, {state}"), &starts, 2.0);
        memory.extend(starts.into_iter().map(|started| started.held));
    }
    let case = format!("{names} names: resident after {LOOKUPS} lookups, sled's cache and all");
    let held = memory.iter().map(|bytes| bytes / 1e6).collect();
    report.figure(&case, "MB", held, None);
    let case = format!("{names} names: the same");
    let each = memory.iter().map(|bytes| bytes / names as f64).collect();
    report.figure(&case, "bytes a name", each, None);
    killed(&folder)?;
    cool(&folder)?;
    let cold = start(&folder, names)?;
    tell(report, names, "kill -9, files cold", &[cold], 60.0);
    killed(&folder)?;
    cache(&rows)?;
    let cached = start(&folder, names)?;
    tell(report, names, "kill -9, files cached", &[cached], 60.0);
    Ok(())
}

fn tell(report: &mut Report, names: u64, how: &str, starts: &[Started], wanted: f64) {
    let opened = starts.iter().map(|started| started.opened).collect();
    let case = format!("{names} names: store open after {how}");
    report.figure(&case, "s", opened, None);
    let answered = starts.iter().map(|started| started.answered).collect();
    let case = format!("{names} names: first lookup answered after {how}");
    report.figure(&case, "s", answered, Some(wanted));
}

/// What a server tells that was started in a process of its own.
#[derive(Serialize, Deserialize)]
struct Started {
    /// Seconds until its store was open.
    opened: f64,
    /// Seconds until it had answered a lookup.
    answered: f64,
    /// Bytes that it held in memory once it had answered many, beyond those at its start.
    held: f64,
}

fn start(folder: &Path, names: u64) -> Result<Started> {
    let mut command = child::command()?;
    command.args([CHILD, START]).arg(folder);
    child::answer(command.arg(names.to_string()))
}

/// Has a server killed while it stores.
fn killed(folder: &Path) -> Result<()> {
    child::kill(child::command()?.args([CHILD, STORE]).arg(folder).arg("0"))
}

/// In a process of its own.
pub(crate) fn child(arguments: &[String]) -> Result<()> {
    let [what, folder, names] = arguments else {
        bail!("{arguments:?}")
    };
    let (folder, names) = (Path::new(folder), names.parse()?);
    match what.as_str() {
        START => started(folder, names),
        STORE => child::store(&CACHES[0], &rows_of(folder)),
        other => bail!("{other:?}"),
    }
}

fn started(folder: &Path, names: u64) -> Result<()> {
    let (runtime, before) = (runtime()?, resident()?);
    runtime.block_on(async {
        let began = Instant::now();
        let running = Running::start(folder, log_of(folder)?).await?;
        let bucket = running.bucket().await?;
        running.lookup(&bucket, 0).await?;
        let answered = began.elapsed().as_secs_f64();
        for _ in 0..LOOKUPS {
            running.lookup(&bucket, random(names)).await?;
        }
        let told = Started {
            opened: running.opened.as_secs_f64(),
            answered,
            held: resident()?.saturating_sub(before) as f64,
        };
        print(&serde_json::to_string(&told)?);
        running.stop().await;
        Ok(())
    })
}
