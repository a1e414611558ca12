//! Shards to be made again: recorded when they are found missing, cleared when they are whole.
//!
//! Two rows say it and always agree: the repair row, which the slot's disk is handed as a task, and the
//! `missing` of the run in its blob's row, by which readers avoid the slot.

use super::namespace::next_revision;
use super::{Applied, Stop};
use crate::reply::{Refusal, Reply};
use crate::store::StoreError;
use crate::tables::{
    BLOBS, BlobPlace, BlobRow, GROUP_EPOCHS, GROUP_RUNS, GroupRunRow, REPAIRS, RepairRow, TableKey,
};
use crate::txn::{Rows, Txn};
use types::id::{ChunkId, GroupId};
use types::manifest::Run;
use types::placement::Slot;
use types::wire::upkeep::{MAX_TASKS, Repaired, RunSlot};

/// Runs that one command walks over: two rows each.
pub const RUNS_PER_WALK: usize = 400;

/// What is recorded already, and what belongs to no living run, is passed over.
pub(super) fn record(txn: &mut Txn<'_>, slots: &[RunSlot]) -> Applied {
    bounded(slots.len())?;
    let mut recorder = Recorder { revision: None };
    for at in slots {
        let row = run_at(txn, at.group, at.first_chunk)?;
        let row = row.filter(|(_, row)| row.first == at.first_chunk);
        if let Some((_, row)) = row {
            recorder.record(txn, at.group, &row, at.slot, Of::Living)?;
        }
    }
    Ok(Reply::Done)
}

/// A run that is dead and not condemned is recorded, too: who looked it up may still read it.
pub(super) fn record_slot(txn: &mut Txn<'_>, group: GroupId, slot: Slot, from: ChunkId) -> Applied {
    let mut rows = runs_from(txn, group, from, RUNS_PER_WALK + 1)?;
    let next = rows.get(RUNS_PER_WALK).map(|(last, _)| *last);
    rows.truncate(RUNS_PER_WALK);
    let mut recorder = Recorder { revision: None };
    for (_, row) in rows {
        recorder.record(txn, group, &row, slot, Of::Readable)?;
    }
    Ok(Reply::Walked { next })
}

/// A report whose slot was closed or moved since its task was handed out says nothing of the disk that
/// has the slot now (docs/decisions/0005).
pub(super) fn clear(txn: &mut Txn<'_>, done: &[Repaired]) -> Applied {
    bounded(done.len())?;
    for Repaired { at, epoch } in done {
        let Some(group) = GROUP_EPOCHS.get(txn, &at.group)? else {
            continue;
        };
        let changed = group.changed.get(usize::from(at.slot.0));
        let stands = changed.is_some_and(|changed| changed <= epoch) && *epoch <= group.epoch;
        let key = (at.group, at.first_chunk, at.slot);
        let Some(repair) = REPAIRS.get(txn, &key)?.filter(|_| stands) else {
            continue;
        };
        REPAIRS.delete(txn, &key);
        if let Some(mut blob) = BLOBS.get(txn, &repair.blob)?
            && let Some(run) = run_of(&mut blob, at.group, at.first_chunk)
        {
            run.missing.retain(|slot| *slot != at.slot);
            BLOBS.put(txn, &repair.blob, &blob);
        }
    }
    Ok(Reply::Done)
}

pub(super) fn bounded(reports: usize) -> Result<(), Stop> {
    if reports > MAX_TASKS as usize {
        return Err(Refusal::TooLarge.into());
    }
    Ok(())
}

/// The first run of a group that ends at or behind a chunk, with its last chunk.
fn run_at(
    rows: &impl Rows,
    group: GroupId,
    chunk: ChunkId,
) -> Result<Option<(ChunkId, GroupRunRow)>, StoreError> {
    Ok(runs_from(rows, group, chunk, 1)?.pop())
}

fn runs_from(
    rows: &impl Rows,
    group: GroupId,
    from: ChunkId,
    most: usize,
) -> Result<Vec<(ChunkId, GroupRunRow)>, StoreError> {
    let to = (group, ChunkId::new(u64::MAX)).bytes();
    let found = GROUP_RUNS.range(rows, &(group, from).bytes(), &to);
    let found = found.take(most).map(|row| {
        let (row_key, row) = row?;
        let last = row_key.last_chunk().ok_or(StoreError::Damaged)?;
        Ok((ChunkId::new(u64::from_be_bytes(*last)), row))
    });
    found.collect()
}

/// A blob's run by where it begins.
fn run_of(blob: &mut BlobRow, group: GroupId, first: ChunkId) -> Option<&mut Run> {
    match &mut blob.place {
        BlobPlace::Inline => None,
        BlobPlace::Runs { runs, .. } => runs
            .iter_mut()
            .find(|run| run.group == group && run.first_chunk == first),
    }
}

/// Of which blobs runs are recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Those that a version shows.
    Living,
    /// Those, and dead ones that somebody may still read.
    Readable,
}

/// Records what one command finds missing, under one revision.
struct Recorder {
    revision: Option<u64>,
}

impl Recorder {
    fn record(
        &mut self,
        txn: &mut Txn<'_>,
        group: GroupId,
        row: &GroupRunRow,
        slot: Slot,
        of: Of,
    ) -> Result<(), StoreError> {
        let Some(mut blob) = BLOBS.get(txn, &row.blob)? else {
            return Ok(());
        };
        let dead = blob.references == 0 && of == Of::Living;
        if row.condemned || blob.condemned.is_some() || dead {
            return Ok(());
        }
        let BlobPlace::Runs { profile, .. } = blob.place else {
            return Ok(());
        };
        let Some(run) = run_of(&mut blob, group, row.first) else {
            return Ok(());
        };
        let Err(at) = run.missing.binary_search(&slot) else {
            return Ok(());
        };
        if usize::from(slot.0) >= profile.shards() {
            return Ok(());
        }
        run.missing.insert(at, slot);
        let chunks = run.chunks;
        let born = match self.revision {
            Some(revision) => revision,
            None => *self.revision.insert(next_revision(txn)?),
        };
        let blob_id = row.blob;
        BLOBS.put(txn, &blob_id, &blob);
        let repair = RepairRow {
            chunks,
            blob: blob_id,
            born,
        };
        REPAIRS.put(txn, &(group, row.first, slot), &repair);
        Ok(())
    }
}
