//! Whole shards, read one after the other by many at once, against the clock.

use crate::node::{BLOCKS, DISK, key};
use anyhow::{Result, ensure};
use std::io::{Write, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use types::block::FRAMED_BLOCK;
use types::wire::ShardStore;
use types::wire::storage::ReadShard;

/// Steps through all shards, each as often as any other and far from the one before.
const STRIDE: u64 = 7919;

/// Reads for so many seconds and prints how fast it went. A read that fails ends it.
pub(crate) async fn read(
    shards: Arc<dyn ShardStore>,
    count: u64,
    at_once: u64,
    seconds: u64,
) -> Result<()> {
    ensure!(count > 0 && at_once > 0 && seconds > 0, "nothing to read");
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let readers: Vec<_> = (0..at_once)
        .map(|_| {
            let (shards, next) = (Arc::clone(&shards), Arc::clone(&next));
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < end {
                    let number = next.fetch_add(1, Ordering::Relaxed).wrapping_mul(STRIDE) % count;
                    let asked = Instant::now();
                    let read = shards.read(ReadShard {
                        disk: DISK,
                        key: key(number),
                        first_block: 0,
                        blocks: BLOCKS,
                    });
                    let length = read.await?.len();
                    ensure!(length == BLOCKS as usize * FRAMED_BLOCK, "a short answer");
                    times.push(asked.elapsed());
                }
                Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for reader in readers {
        times.extend(reader.await??);
    }
    let seconds = began.elapsed().as_secs_f64();
    times.sort_unstable();
    let bytes = times.len() * BLOCKS as usize * FRAMED_BLOCK;
    let milliseconds = |share: usize| {
        let at = (times.len() * share / 100).min(times.len().saturating_sub(1));
        times[at].as_secs_f64() * 1e3
    };
    writeln!(
        stdout(),
        "GB/s {:.3}  shards {}  p50 {:.3} ms  p99 {:.3} ms",
        bytes as f64 / seconds / 1e9,
        times.len(),
        milliseconds(50),
        milliseconds(99),
    )?;
    Ok(())
}
