//! Is what a download will need known to be out of reach? Asked before its first byte, while there is
//! still a status to answer with.
//!
//! This gateway remembers for a few seconds which disks did not serve. Where these leave fewer than k
//! shards of a chunk, one block of it is read, however it can be had: memory is no proof, the disks may
//! be back. While every disk serves, and as long as enough do, this costs no I/O.

use crate::error::GetError;
use crate::extent::{Chunk, Extent};
use crate::fetch::{Way, away, fetch};
use crate::groups::Purpose;
use crate::inner::Inner;
use crate::plan::{Plan, ShardRead};
use std::collections::HashSet;
use std::sync::Arc;
use types::manifest::Run;
use types::placement::Group;

/// Fails with what reading `extents` would end with, if that is known already.
pub(crate) async fn in_reach<'a>(
    inner: &Inner,
    extents: impl Iterator<Item = &'a Arc<Extent>>,
) -> Result<(), GetError> {
    if !inner.groups.any_unwell(Purpose::Read) {
        return Ok(());
    }
    let table = inner.groups.table();
    let mut tried = HashSet::new();
    for extent in extents {
        let Some((plan, runs)) = extent.coded() else {
            continue;
        };
        for read in samples(&plan, runs) {
            let chunk = extent.chunk(read.chunk)?;
            let Some(group) = table.group(chunk.run.group) else {
                continue;
            };
            if doubtful(inner, group, &chunk, read.shard) && tried.insert(group.id) {
                let read = ShardRead { blocks: 1, ..read };
                fetch(inner, extent, &read, Way::Any, None).await?;
            }
        }
    }
    Ok(())
}

/// Reads that stand for all of a plan's: those in the first two chunks of each run and in its last. A
/// chunk between these is full, and the second is one of them.
fn samples(plan: &Plan, runs: &[Run]) -> Vec<ShardRead> {
    let Some(wanted) = plan.chunks() else {
        return Vec::new();
    };
    let mut samples = Vec::new();
    for run in runs {
        let end = run.first_index + u64::from(run.chunks);
        let first = run.first_index.max(*wanted.start());
        let last = (end - 1).min(*wanted.end());
        let chunks = (first..=last).filter(|chunk| *chunk <= first + 1 || *chunk == last);
        samples.extend(chunks.flat_map(|chunk| plan.of_chunk(chunk)));
    }
    samples
}

/// Whether neither the shard itself nor k others are on disks that served lately. An empty shard is
/// on no disk.
fn doubtful(inner: &Inner, group: &Group, chunk: &Chunk<'_>, shard: usize) -> bool {
    let away = |shard: usize| away(inner, group, shard);
    let profile = chunk.layout.profile();
    let at_hand = |shard: &usize| chunk.layout.blocks(*shard) == 0 || !away(*shard);
    away(shard) && (0..profile.shards()).filter(at_hand).count() < profile.data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use erasure::BlobLayout;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use types::size::{ByteCount, ByteOffset};
    use types::{ChunkId, GroupId, Profile};

    fn run(first_index: u64, chunks: u32) -> Run {
        Run {
            group: GroupId::new(first_index),
            first_chunk: ChunkId::new(0),
            chunks,
            first_index,
            missing: Vec::new(),
        }
    }

    proptest! {
        /// No shard of any run that a download reads is without a sample, and no other has one.
        #[test]
        fn every_shard_of_every_run_has_a_sample(
            profile in prop::sample::select(vec!["4+2", "8+3", "1+2"]),
            length in 5_000u64..100_000_000,
            start in 0u64..100_000_000,
            count in 0u64..100_000_000,
            in_run in 1u32..8,
        ) {
            let profile: Profile = profile.parse().unwrap();
            let layout = BlobLayout::new(profile, ByteCount::new(length));
            let runs: Vec<Run> = (0..layout.chunks())
                .step_by(in_run as usize)
                .map(|first| run(first, in_run))
                .collect();
            let plan = Plan::new(layout, ByteOffset::new(start), ByteCount::new(count));
            let place = |read: ShardRead| (read.chunk / u64::from(in_run), read.shard);
            let sampled: BTreeSet<_> = samples(&plan, &runs).into_iter().map(place).collect();
            let mut all = plan;
            let all: BTreeSet<_> = std::iter::from_fn(|| all.next(16)).map(place).collect();
            prop_assert_eq!(sampled, all);
        }
    }
}
