//! How operations are run to be measured.

use crate::process::cpu_of;
use crate::report::{Sample, percentile};
use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// A runtime as servers have.
///
/// # Errors
/// When it does not start.
pub fn runtime() -> Result<Runtime> {
    let runtime = Builder::new_multi_thread().enable_all().build();
    runtime.context("starting tokio")
}

/// Runs one operation after the other, so many at a time, for that long. `operation` is told a number that counts
/// up, and tells how many bytes were moved for it.
///
/// # Errors
/// That of an operation.
pub async fn closed_loop<F>(
    at_once: usize,
    time: Duration,
    operation: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Result<Sample>
where
    F: Future<Output = Result<u64>> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let (began, cpu) = (Instant::now(), cpu_of("self"));
    let workers = (0..at_once).map(|_| {
        let (next, operation) = (Arc::clone(&next), operation.clone());
        tokio::spawn(async move {
            let (mut bytes, mut took) = (0, Vec::new());
            while began.elapsed() < time {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let one = Instant::now();
                bytes += operation(number).await?;
                took.push(one.elapsed());
            }
            Ok::<_, anyhow::Error>((bytes, took))
        })
    });
    let (mut bytes, mut took) = (0, Vec::new());
    for worker in workers.collect::<Vec<_>>() {
        let (some, times) = worker.await??;
        bytes += some;
        took.extend(times);
    }
    let elapsed = began.elapsed();
    Ok(Sample {
        bytes,
        operations: took.len() as u64,
        took: elapsed,
        cpu: cpu_of("self").saturating_sub(cpu),
        p50: percentile(&mut took, 50),
        p99: percentile(&mut took, 99),
    })
}
