//! What chunk ids belong to: by this a storage node tells an orphan from a shard that somebody needs.
//!
//! Leases, runs and the allocation mark are read at one moment: of two moments a commit and the end of its
//! lease could lie between (docs/decisions/0006). The epoch is the group table's: a node that has joined a
//! slot since judges anew.

use super::Inner;
use super::upkeep::trailing_chunk;
use crate::apply::unissued;
use crate::store::{Store, StoreError};
use crate::tables::{
    BLOBS, BlobPlace, BlobRow, GROUP_RUNS, GROUPS, HOLD, LEASES, NAMESPACE_COUNTERS,
    NAMESPACE_INCARNATION, NamespaceId, REPAIRS, TableKey,
};
use std::collections::BTreeMap;
use types::block::SEGMENT;
use types::id::{BlobId, ChunkId, GroupId};
use types::manifest::Run;
use types::placement::Slot;
use types::wire::metadata::MetadataError;
use types::wire::upkeep::{ChunkRange, Covered, CoveredRun, MAX_COVERED};

impl Inner {
    pub(super) async fn covered(
        &self,
        group: GroupId,
        from: ChunkId,
    ) -> Result<Covered, MetadataError> {
        let covered = self.read(move |store| read_covered(store, group, from));
        let unknown = || MetadataError::Malformed(format!("there is no {group}"));
        covered.await?.ok_or_else(unknown)
    }
}

fn read_covered(
    store: &Store,
    group: GroupId,
    from: ChunkId,
) -> Result<Option<Covered>, StoreError> {
    let Some(row) = GROUPS.get(store, &group)? else {
        return Ok(None);
    };
    let next = NAMESPACE_COUNTERS.get(store, &NamespaceId::Chunk)?;
    let incarnation = NAMESPACE_INCARNATION.get(store, &())?;
    let mut covered = Covered {
        epoch: row.epoch,
        runs: Vec::new(),
        up_to: None,
        // While deletions are held nothing is an orphan: whatever is not covered may be needed.
        leased: match HOLD.contains(store, &())? {
            true => vec![ChunkRange {
                first: from,
                last: ChunkId::new(u64::MAX),
            }],
            false => leased(store, from)?,
        },
        unissued: ChunkId::new(unissued(incarnation.unwrap_or(0), next)),
    };
    let to = (group, ChunkId::new(u64::MAX)).bytes();
    let rows = GROUP_RUNS.range(store, &(group, from).bytes(), &to);
    for row in rows.take(MAX_COVERED as usize + 1) {
        let (row_key, row) = row?;
        if covered.runs.len() == MAX_COVERED as usize {
            covered.up_to = covered.runs.last().map(|run| run.chunks.last);
            break;
        }
        let last = trailing_chunk(&row_key)?;
        covered.runs.push(CoveredRun {
            chunks: ChunkRange {
                first: row.first,
                last,
            },
            last_segments: last_segments(store, row.blob, group, row.first)?,
            condemned: row.condemned,
            missing: Vec::new(),
        });
    }
    let mut missing = missing(store, group, &covered.runs)?;
    for run in &mut covered.runs {
        run.missing = missing.remove(&run.chunks.first).unwrap_or_default();
    }
    Ok(Some(covered))
}

/// Segments in the last chunk of a run: what is left of the blob in its last one. 0 for a blob that is gone.
fn last_segments(
    store: &Store,
    blob: BlobId,
    group: GroupId,
    first: ChunkId,
) -> Result<u32, StoreError> {
    let Some(BlobRow {
        length,
        place: BlobPlace::Runs { profile, runs },
        ..
    }) = BLOBS.get(store, &blob)?
    else {
        return Ok(0);
    };
    let this = |run: &&Run| (run.group, run.first_chunk) == (group, first);
    let Some(run) = runs.iter().find(this) else {
        return Ok(0);
    };
    let in_chunk = profile.segments_per_chunk() as u64;
    let last = run.first_index + u64::from(run.chunks) - 1;
    let segments = length.get().div_ceil(SEGMENT as u64);
    let left = segments.saturating_sub(last * in_chunk).min(in_chunk);
    Ok(u32::try_from(left).expect("a chunk has few segments"))
}

/// The slots that are recorded as missing of these runs, by their first chunks.
fn missing(
    store: &Store,
    group: GroupId,
    runs: &[CoveredRun],
) -> Result<BTreeMap<ChunkId, Vec<Slot>>, StoreError> {
    let mut missing: BTreeMap<ChunkId, Vec<Slot>> = BTreeMap::new();
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
        return Ok(missing);
    };
    let from = (group, first.chunks.first).bytes();
    let to = (group, last.chunks.first.plus(1)).bytes();
    for row in REPAIRS.range(store, &from, &to) {
        let (row_key, _) = row?;
        let (slot, run) = row_key.split_last().ok_or(StoreError::Damaged)?;
        let slots = missing.entry(trailing_chunk(run)?).or_default();
        slots.push(Slot(*slot));
    }
    Ok(missing)
}

/// Ranges of chunk ids that are leased and end at or behind `from`, in order, those that touch made one. A
/// lease that has expired counts until its row is gone: that only takes longer.
fn leased(store: &Store, from: ChunkId) -> Result<Vec<ChunkRange>, StoreError> {
    let mut ranges = Vec::new();
    for row in LEASES.scan(store, &[]) {
        let (_, lease) = row?;
        let (first, last) = (lease.first, lease.first.plus(lease.count - 1));
        if last >= from {
            ranges.push(ChunkRange { first, last });
        }
    }
    ranges.sort_unstable();
    ranges.dedup_by(|next, one| {
        let touches = next.first.get() <= one.last.get().saturating_add(1);
        if touches {
            one.last = one.last.max(next.last);
        }
        touches
    });
    Ok(ranges)
}
