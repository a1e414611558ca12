//! Storing durably: one sync for all that waits.
//!
//! fio writes as many bytes behind each other into a fresh file, with a sync behind as many writes as the writer's
//! batch holds. For the group commit, a disk in memory syncs in 2 ms: what counts there is how many records share
//! one.

use crate::Options;
use crate::fio::{self, Job};
use crate::world::{self, Shards};
use anyhow::Result;
use disk::Choice;
use std::sync::Arc;
use std::time::Duration;
use strongroom_benches::report::{Report, Sample};
use strongroom_benches::run::{closed_loop, runtime};
use strongroom_benches::slow::Slow;
use types::block::SEALED_SEGMENT;
use types::wire::ShardStore;

const SECONDS: u64 = 3;
const TIME: Duration = Duration::from_secs(SECONDS);
/// Records of a MiB that a batch of 8 MiB holds.
const BATCH: usize = 7;
/// A record of a MiB: header and padding.
const RECORD: u64 = (1 << 20) + (8 << 10);
const SYNC: Duration = Duration::from_millis(2);

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async {
        for (engine, name) in [(Choice::Auto, "io_uring"), (Choice::Threads, "threads")] {
            durable(options, report, engine, name).await?;
        }
        group_commit(report).await
    })
}

async fn durable(options: &Options, report: &mut Report, engine: Choice, name: &str) -> Result<()> {
    let folder = options.folder.join("appends");
    let shards = Arc::new(Shards::of(16 * SEALED_SEGMENT));
    let mut pairs = Vec::new();
    for _ in 0..options.rounds {
        world::fresh(&folder).await?;
        let node = world::open(&folder, engine).await?;
        let served = Arc::clone(&node);
        let shards = Arc::clone(&shards);
        let ours = closed_loop(2 * BATCH, TIME, move |number| {
            let put = shards.put(number);
            let node = Arc::clone(&served);
            async move {
                node.put(put).await?;
                Ok(RECORD)
            }
        });
        let ours = ours.await?;
        world::close(node).await;
        world::clean(&folder)?;
        std::fs::create_dir_all(&folder)?;
        let other = fio::run(&Job {
            pattern: "write",
            block: RECORD,
            depth: BATCH,
            files: &[folder.join("fio")],
            size: Some(8 << 30),
            seconds: SECONDS,
            sync_every: Some(BATCH),
        });
        pairs.push((ours, other?));
        world::clean(&folder)?;
    }
    let case = format!("durable appends of 1 MiB, {name}");
    report.compare(&case, "GB/s", Sample::rate, &pairs, Some(0.85));
    Ok(())
}

async fn group_commit(report: &mut Report) -> Result<()> {
    for writers in [1, 4, 16, 64] {
        let slow = Slow::new(SYNC);
        let node = world::serve(Arc::clone(&slow) as Arc<dyn disk::Disk>).await?;
        let node = Arc::new(node);
        let shards = Arc::new(Shards::of(1000));
        let (served, before) = (Arc::clone(&node), slow.syncs());
        let sample = closed_loop(writers, Duration::from_secs(1), move |number| {
            let put = shards.put(number);
            let node = Arc::clone(&served);
            async move {
                node.put(put).await?;
                Ok(1)
            }
        });
        let sample = sample.await?;
        let a_sync = sample.operations as f64 / (slow.syncs() - before) as f64;
        let case = format!("records a sync of 2 ms, {writers} writers");
        let wanted = 0.4 * writers as f64;
        report.figure(&case, "", vec![a_sync], Some(wanted));
        world::close(node).await;
    }
    Ok(())
}
