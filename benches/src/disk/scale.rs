//! How a disk does with many shards: what its index takes, how long it takes to open, how fast it reads.
//!
//! Records of one block of 4 KiB, which is the worst case: two million of them are 8 GB.

use crate::Options;
use crate::reads::{ONE_BLOCK, scatter};
use crate::world::{self, Shards, read};
use anyhow::{Context, Result, bail, ensure};
use disk::Choice;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use strongroom_benches::process::resident;
use strongroom_benches::report::{Report, Sample, median, print};
use strongroom_benches::run::{closed_loop, runtime};

const TIME: Duration = Duration::from_secs(3);
/// How the process of its own is asked for, and that it is to store until it is killed.
pub(crate) const OPENED: &str = "opened";
const STORE: &str = "store";

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let mut rates = Vec::new();
    let sizes = [
        10_000,
        100_000,
        options.shards / 4,
        options.shards / 2,
        options.shards,
    ];
    for shards in sizes {
        rates.push(one(options, report, shards)?);
    }
    let medians = rates.into_iter().map(|rates| median(rates.into_iter()));
    let medians: Vec<f64> = medians.collect();
    let case = format!("random 4 KiB at {} shards / at 10000", options.shards);
    let ratio = medians[medians.len() - 1] / medians[0];
    report.figure(&case, "", vec![ratio], Some(0.9));
    Ok(())
}

fn one(options: &Options, report: &mut Report, shards: u64) -> Result<Vec<f64>> {
    let folder = options.folder.join("scale");
    let runtime = runtime()?;
    runtime.block_on(async {
        world::fresh(&folder).await?;
        let node = world::open(&folder, Choice::Auto).await?;
        Shards::of(ONE_BLOCK).fill(&node, 0..shards, 250).await?;
        world::close(node).await;
        anyhow::Ok(())
    })?;
    drop(runtime);
    let clean = Opened::run(&folder, shards)?;
    report.figure(
        &format!("open, {shards} shards"),
        "s",
        vec![clean.took],
        Some(2.0),
    );
    let killed = Opened::killed(&folder, shards)?;
    let case = format!("open after kill -9, {shards} shards");
    report.figure(&case, "s", vec![killed.took], Some(5.0));
    let case = format!("memory of {shards} shards");
    report.figure(&case, "bytes a shard", vec![clean.bytes], Some(64.0));
    let case = format!("random 4 KiB, {shards} shards");
    report.figure(&case, "/s", clean.rates.clone(), None);
    world::clean(&folder)?;
    Ok(clean.rates)
}

/// What a process of its own tells: memory that is freed is not always given back.
struct Opened {
    took: f64,
    bytes: f64,
    rates: Vec<f64>,
}

impl Opened {
    fn command(folder: &Path, shards: u64) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(OPENED).arg(folder).arg(shards.to_string());
        Ok(command)
    }

    fn run(folder: &Path, shards: u64) -> Result<Self> {
        let told = Self::command(folder, shards)?
            .output()
            .context("starting a process of its own")?;
        ensure!(
            told.status.success(),
            "{}",
            String::from_utf8_lossy(&told.stderr)
        );
        let told = String::from_utf8(told.stdout)?;
        let numbers = told.split_whitespace().map(str::parse);
        let numbers: Vec<f64> = numbers.collect::<Result<_, _>>()?;
        let [took, bytes, ..] = numbers[..] else {
            bail!("it told {told:?}");
        };
        let rates = numbers[2..].to_vec();
        Ok(Self { took, bytes, rates })
    }

    /// As [`Opened::run`], once another one was killed while it stored.
    fn killed(folder: &Path, shards: u64) -> Result<Self> {
        let mut child = Self::command(folder, shards)?.arg(STORE).spawn()?;
        std::thread::sleep(TIME * 2);
        child.kill()?;
        child.wait()?;
        Self::run(folder, shards)
    }
}

/// In a process of its own: opens a disk, tells how long that took, what it holds in memory for each shard, and how
/// fast it reads.
pub(crate) fn opened(folder: &str, shards: &str, rest: &[String]) -> Result<()> {
    let shards: u64 = shards.parse()?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let before = resident()?;
        let began = Instant::now();
        let node = world::open(folder.as_ref(), Choice::Auto).await?;
        let took = began.elapsed().as_secs_f64();
        if rest == [STORE] {
            let more = Shards::of(ONE_BLOCK);
            return more.fill(&node, shards..u64::MAX, 250).await;
        }
        // Buffers that opening needed and serving does not are given back meanwhile.
        tokio::time::sleep(TIME).await;
        let bytes = resident()?.saturating_sub(before) as f64 / shards as f64;
        print(&format!("{took} {bytes}"));
        for _ in 0..5 {
            let served = Arc::clone(&node);
            let sample: Sample = closed_loop(32, TIME, move |number| {
                let node = Arc::clone(&served);
                async move {
                    read(&node, scatter(number) % shards, 0, 1).await?;
                    Ok(4096)
                }
            })
            .await?;
            print(&sample.operations().to_string());
        }
        world::close(node).await;
        Ok(())
    })
}
