//! What a page of a listing costs among many names, beside what it costs among few.
//!
//! Estimate: a page seeks once and reads a thousand rows that lie together, whatever else the bucket holds: as long,
//! but for a deeper tree and pages that are not in sled's cache; 1.3 times at most. With a delimiter it seeks once for
//! each of a thousand prefixes, ten names apart.

use crate::world::{CACHES, Running, cache, filled, log_of, name, prefix_of, random, rows_of};
use crate::{FEW, Options};
use anyhow::{Result, ensure};
use metadata::store::Sled;
use std::path::Path;
use std::time::{Duration, Instant};
use strongroom_benches::report::{Report, percentile};
use strongroom_benches::run::runtime;
use types::size::MIB;
use types::wire::Metadata;
use types::wire::metadata::{Bucket, List};

const LIMIT: u32 = 1000;
/// Pages of a round.
const PAGES: u64 = 60;

/// What is listed: all names, or those of one folder, rolled up.
#[derive(Clone, Copy)]
enum Kind {
    Objects,
    Prefixes,
}

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let few = filled(&options.folder, FEW)?;
    let many = filled(&options.folder, options.names)?;
    cache(&rows_of(&few))?;
    cache(&rows_of(&many))?;
    for sled in CACHES {
        runtime()?.block_on(measure_with(options, report, sled, (&few, &many)))?;
    }
    Ok(())
}

async fn measure_with(
    options: &Options,
    report: &mut Report,
    sled: Sled,
    (few, many): (&Path, &Path),
) -> Result<()> {
    let few_running = Running::start_with(few, log_of(few)?, sled).await?;
    let many_running = Running::start_with(many, log_of(many)?, sled).await?;
    let bucket = many_running.bucket().await?;
    ensure!(
        bucket.id == few_running.bucket().await?.id,
        "they were made alike"
    );
    few_running.warm(&bucket, FEW).await?;
    many_running.warm(&bucket, options.names).await?;
    let kinds = [
        (Kind::Objects, "1000 objects"),
        (Kind::Prefixes, "1000 common prefixes"),
    ];
    for (kind, what) in kinds {
        let mut pairs = Vec::new();
        for round in 0..=options.rounds {
            let ours = pages(&many_running, &bucket, kind, options.names).await?;
            let other = pages(&few_running, &bucket, kind, FEW).await?;
            // The first round warms.
            if round > 0 {
                pairs.push((ours.as_secs_f64() * 1e3, other.as_secs_f64() * 1e3));
            }
        }
        let case = format!(
            "LIST of {what}, p50, among {} beside {FEW}, sled's cache {} MiB, files cached, warm",
            options.names,
            sled.cache.get() / MIB
        );
        report.beside(&case, "ms", &pairs, Some(1.3));
    }
    few_running.stop().await;
    many_running.stop().await;
    Ok(())
}

/// The time of half of the pages, at random places.
async fn pages(running: &Running, bucket: &Bucket, kind: Kind, names: u64) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..PAGES {
        // So far from the end that the page is full: ten names to a prefix.
        let after = random(names - u64::from(LIMIT) * 10 - 10);
        let (prefix, delimiter, after) = match kind {
            Kind::Objects => (String::new(), None, name(after).as_str().to_owned()),
            Kind::Prefixes => ("train/".into(), Some("/".into()), prefix_of(after)),
        };
        let list = List {
            bucket: bucket.id,
            prefix,
            delimiter,
            after: Some(after),
            limit: LIMIT,
        };
        let began = Instant::now();
        let page = running.server.list(list).await?;
        times.push(began.elapsed());
        ensure!(
            page.entries.len() == LIMIT as usize && page.truncated,
            "a full page"
        );
    }
    Ok(percentile(&mut times, 50))
}
