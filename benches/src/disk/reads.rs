//! Reading what is stored, through the node: looked up, read past the page cache, every block verified.
//!
//! The same files are read by fio, with as many bytes an operation as the engine asks the kernel for.

use crate::Options;
use crate::fio::{self, Job};
use crate::world::{self, Shards, read};
use anyhow::{Context, Result};
use disk::Choice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage_node::Node;
use strongroom_benches::report::{Report, Sample};
use strongroom_benches::run::{closed_loop, runtime};
use types::block::{FRAMED_BLOCK, SEALED_SEGMENT};
use types::{ByteCount, ByteOffset};

const SECONDS: u64 = 3;
const TIME: Duration = Duration::from_secs(SECONDS);
/// Blocks of a shard of a MiB.
const BLOCKS: u32 = 16;
/// Shards of a MiB that are read.
const LARGE: u64 = 3000;
/// Shards of one block of the disk that are read.
const SMALL: u64 = 200_000;
/// What is left of a block of the disk behind a record's header, but for a zero.
pub(crate) const ONE_BLOCK: usize = 4096 - 1024 - 1 - 8;

/// Bytes of whole blocks of the disk around some of a shard's.
fn aligned(first: u32, blocks: u32) -> u64 {
    let start = 1024 + u64::from(first) * FRAMED_BLOCK as u64;
    let end = start + u64::from(blocks) * FRAMED_BLOCK as u64;
    end.next_multiple_of(4096) - start / 4096 * 4096
}

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let folder = options.folder.join("reads");
    let runtime = runtime()?;
    runtime.block_on(async {
        world::fresh(&folder).await?;
        let node = world::open(&folder, Choice::Auto).await?;
        let large = Shards::of(BLOCKS as usize * SEALED_SEGMENT);
        large.fill(&node, 0..LARGE, 16).await?;
        world::close(node).await;
        let files = world::volumes(&folder)?;
        let sealed = files[..files.len() - 1].to_vec();
        for (engine, name) in [(Choice::Auto, "io_uring"), (Choice::Threads, "threads")] {
            let node = world::open(&folder, engine).await?;
            large_reads(options, report, &node, &sealed, name).await?;
            world::close(node).await;
        }
        world::clean(&folder)?;
        small_reads(options, report, &folder).await?;
        world::clean(&folder)
    })
}

async fn large_reads(
    options: &Options,
    report: &mut Report,
    node: &Arc<Node>,
    files: &[PathBuf],
    engine: &str,
) -> Result<()> {
    let mut pairs = Vec::new();
    for _ in 0..options.rounds {
        let served = Arc::clone(node);
        let ours = closed_loop(4, TIME, move |number| {
            let node = Arc::clone(&served);
            async move {
                read(&node, number % LARGE, 0, BLOCKS).await?;
                Ok(aligned(0, BLOCKS))
            }
        });
        let job = job("read", aligned(0, BLOCKS), 4, files);
        pairs.push((ours.await?, fio::run(&job)?));
    }
    let case = format!("sequential, shards of 1 MiB, {engine}");
    report.compare(&case, "GB/s", Sample::rate, &pairs, Some(0.9));

    let mut pairs = Vec::new();
    for _ in 0..options.rounds {
        let served = Arc::clone(node);
        let ours = closed_loop(32, TIME, move |number| {
            let node = Arc::clone(&served);
            let at = scatter(number);
            async move {
                let first = u32::try_from(at >> 32).unwrap_or(0) % BLOCKS;
                read(&node, at % LARGE, first, 1).await?;
                Ok(aligned(first, 1))
            }
        });
        let job = job("randread", aligned(1, 1), 32, files);
        pairs.push((ours.await?, fio::run(&job)?));
    }
    let case = format!("random, 64 KiB, 32 at once, {engine}");
    report.compare(&case, "/s", Sample::operations, &pairs, Some(0.9));
    Ok(())
}

async fn small_reads(options: &Options, report: &mut Report, folder: &Path) -> Result<()> {
    world::fresh(folder).await?;
    let node = world::open(folder, Choice::Auto).await?;
    Shards::of(ONE_BLOCK).fill(&node, 0..SMALL, 200).await?;
    let files = world::volumes(folder)?;
    let mut pairs = Vec::new();
    for _ in 0..options.rounds {
        let served = Arc::clone(&node);
        let ours = closed_loop(32, TIME, move |number| {
            let node = Arc::clone(&served);
            async move {
                read(&node, scatter(number) % SMALL, 0, 1).await?;
                Ok(4096)
            }
        });
        pairs.push((ours.await?, fio::run(&job("randread", 4096, 32, &files))?));
    }
    report.compare(
        "random, 4 KiB, 32 at once",
        "/s",
        Sample::operations,
        &pairs,
        Some(0.8),
    );
    world::close(node).await;
    for (engine, name) in [(Choice::Auto, "io_uring"), (Choice::Threads, "threads")] {
        by_itself(options, report, folder, engine, name).await?;
    }
    Ok(())
}

/// The engine without a node before it: no lookup, no checksum, no count. What is missing here is the engine's.
async fn by_itself(
    options: &Options,
    report: &mut Report,
    folder: &Path,
    engine: Choice,
    name: &str,
) -> Result<()> {
    let disk = disk::open(folder, engine)?;
    let paths = world::volumes(folder)?;
    let first = paths.first().context("there is a volume")?;
    let file = first.file_name().context("it has a name")?;
    let file = disk.open(&file.to_string_lossy()).await?;
    let blocks = std::fs::metadata(first)?.len() / 4096;
    let mut pairs = Vec::new();
    for _ in 0..options.rounds {
        let file = Arc::clone(&file);
        let ours = closed_loop(32, TIME, move |number| {
            let at = ByteOffset::new(scatter(number) % blocks * 4096);
            let read = file.read(at, ByteCount::new(4096));
            async move {
                read.await?;
                Ok(4096)
            }
        });
        let other = fio::run(&job("randread", 4096, 32, std::slice::from_ref(first)))?;
        pairs.push((ours.await?, other));
    }
    let case = format!("random, 4 KiB, engine alone, {name}");
    report.compare(&case, "/s", Sample::operations, &pairs, None);
    Ok(())
}

fn job<'a>(pattern: &'static str, block: u64, depth: usize, files: &'a [PathBuf]) -> Job<'a> {
    Job {
        pattern,
        block,
        depth,
        files,
        size: None,
        seconds: SECONDS,
        sync_every: None,
    }
}

/// A number that looks like any other.
pub(crate) fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
