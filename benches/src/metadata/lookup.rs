//! What a lookup costs among many names, beside what it costs among few: one after the other, of names at random, by
//! function call.
//!
//! Estimate: three rows, each a few comparisons deeper; where its page is not in sled's cache, a read of some kilobytes
//! from the page cache, 10 µs. Of ten million names hardly a page is, of a hundred thousand nearly all: 1.3 times as
//! long needs a cache that holds what is asked for, or pages that cost little to read.

use crate::world::{CACHES, Running, cache, filled, log_of, random, rows_of};
use crate::{FEW, Options};
use anyhow::Result;
use std::time::{Duration, Instant};
use strongroom_benches::report::{Report, percentile};
use strongroom_benches::run::runtime;
use types::size::MIB;
use types::wire::metadata::Bucket;

/// Lookups of a round.
const LOOKUPS: u64 = 20_000;

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let few = filled(&options.folder, FEW)?;
    let many = filled(&options.folder, options.names)?;
    cache(&rows_of(&few))?;
    cache(&rows_of(&many))?;
    for sled in CACHES {
        runtime()?.block_on(async {
            let few_running = Running::start_with(&few, log_of(&few)?, sled).await?;
            let many_running = Running::start_with(&many, log_of(&many)?, sled).await?;
            let bucket = many_running.bucket().await?;
            few_running.warm(&bucket, FEW).await?;
            many_running.warm(&bucket, options.names).await?;
            let (mut p50, mut p99) = (Vec::new(), Vec::new());
            for _ in 0..options.rounds {
                let ours = lookups(&many_running, &bucket, options.names, LOOKUPS).await?;
                let other = lookups(&few_running, &bucket, FEW, LOOKUPS).await?;
                p50.push((micros(ours.0), micros(other.0)));
                p99.push((micros(ours.1), micros(other.1)));
            }
            let state = format!(
                "among {} beside {FEW}, sled's cache {} MiB, files cached, warm",
                options.names,
                sled.cache.get() / MIB
            );
            report.beside(&format!("lookup, p50, {state}"), "µs", &p50, Some(1.3));
            report.beside(&format!("lookup, p99, {state}"), "µs", &p99, None);
            few_running.stop().await;
            many_running.stop().await;
            anyhow::Ok(())
        })?;
    }
    Ok(())
}

/// The times of half and of all but one in a hundred.
async fn lookups(
    running: &Running,
    bucket: &Bucket,
    names: u64,
    count: u64,
) -> Result<(Duration, Duration)> {
    let mut times = Vec::new();
    for _ in 0..count {
        let number = random(names);
        let began = Instant::now();
        running.lookup(bucket, number).await?;
        times.push(began.elapsed());
    }
    Ok((percentile(&mut times, 50), percentile(&mut times, 99)))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
