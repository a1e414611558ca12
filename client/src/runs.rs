//! Chunks that landed, folded into runs in the blob's order.
//!
//! A run goes on with the next chunk only in the same group, under the same epoch and lease, with the
//! next id, and up to 64 chunks. So a chunk that had to go elsewhere ends the run before it, and those
//! behind it that did land where they were sent form a run of their own.

use crate::lease::Lease;
use std::sync::Arc;
use types::id::{ChunkId, GroupId};
use types::manifest::CHUNKS_PER_RUN;
use types::placement::{Epoch, Slot};
use types::wire::metadata::WrittenRun;

/// Where a chunk landed.
#[derive(Debug)]
pub(crate) struct Landed {
    pub(crate) lease: Arc<Lease>,
    pub(crate) group: GroupId,
    pub(crate) epoch: Epoch,
    pub(crate) chunk: ChunkId,
    pub(crate) missing: Vec<Slot>,
    /// Groups that were tried before and failed.
    pub(crate) left: Vec<(GroupId, Epoch)>,
}

/// The runs of a blob, and the leases that they must keep.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    runs: Vec<WrittenRun>,
    leases: Vec<Arc<Lease>>,
    chunks: u64,
}

impl Runs {
    /// Adds the blob's next chunk.
    pub(crate) fn push(&mut self, landed: Landed) {
        let index = self.chunks;
        self.chunks += 1;
        match self.runs.last_mut() {
            Some(run) if continues(run, &landed) => {
                run.chunks += 1;
                run.missing.extend(landed.missing);
                run.missing.sort();
                run.missing.dedup();
            }
            _ => self.runs.push(WrittenRun {
                lease: landed.lease.id,
                group: landed.group,
                epoch: landed.epoch,
                first_chunk: landed.chunk,
                chunks: 1,
                first_index: index,
                missing: landed.missing,
            }),
        }
        if self.leases.iter().all(|lease| lease.id != landed.lease.id) {
            self.leases.push(landed.lease);
        }
    }

    /// The runs as they are committed. The leases are kept until `self` is dropped.
    pub(crate) fn written(&mut self) -> Vec<WrittenRun> {
        std::mem::take(&mut self.runs)
    }
}

fn continues(run: &WrittenRun, landed: &Landed) -> bool {
    run.group == landed.group
        && run.epoch == landed.epoch
        && run.lease == landed.lease.id
        && run.first_chunk.plus(u64::from(run.chunks)) == landed.chunk
        && run.chunks < CHUNKS_PER_RUN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::tests::lease;

    fn landed(lease: &Arc<Lease>, group: u64, chunk: u64, missing: &[u8]) -> Landed {
        Landed {
            lease: Arc::clone(lease),
            group: GroupId::new(group),
            epoch: Epoch(1),
            chunk: ChunkId::new(chunk),
            missing: missing.iter().map(|slot| Slot(*slot)).collect(),
            left: Vec::new(),
        }
    }

    /// (group, first chunk, chunks, first index, missing)
    type Row = (u64, u64, u32, u64, Vec<u8>);

    fn fold(chunks: Vec<Landed>) -> Vec<Row> {
        let mut runs = Runs::default();
        for chunk in chunks {
            runs.push(chunk);
        }
        let row = |run: WrittenRun| {
            let missing = run.missing.iter().map(|slot| slot.0).collect();
            let (group, first) = (run.group.get(), run.first_chunk.get());
            (group, first, run.chunks, run.first_index, missing)
        };
        runs.written().into_iter().map(row).collect()
    }

    /// A chunk that moved splits the run; those behind it go on in one of their own.
    #[test]
    fn a_moved_chunk_splits_the_run() {
        let lease = lease(1);
        let chunks = vec![
            landed(&lease, 1, 10, &[5]),
            landed(&lease, 1, 11, &[2, 5]),
            landed(&lease, 2, 90, &[]),
            landed(&lease, 1, 13, &[]),
            landed(&lease, 1, 14, &[1]),
        ];
        let expected = vec![
            (1, 10, 2, 0, vec![2, 5]),
            (2, 90, 1, 2, vec![]),
            (1, 13, 2, 3, vec![1]),
        ];
        assert_eq!(fold(chunks), expected);
    }

    #[test]
    fn a_run_ends_after_64_chunks_and_with_its_lease() {
        let (one, other) = (lease(1), lease(2));
        let mut chunks: Vec<_> = (0..70).map(|i| landed(&one, 1, i, &[])).collect();
        chunks.push(landed(&other, 1, 70, &[]));
        let expected = vec![
            (1, 0, 64, 0, vec![]),
            (1, 64, 6, 64, vec![]),
            (1, 70, 1, 70, vec![]),
        ];
        assert_eq!(fold(chunks), expected);
    }
}
