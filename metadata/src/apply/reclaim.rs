//! What becomes of a dead blob.
//!
//! ```text
//! dead --delay--> condemned, run by run: disks are told --each slot removed--> spent --no lease--> forgotten
//! ```
//!
//! When a blob is condemned nobody may read it any more, and its inline bytes go at once. A run's row
//! stays until every slot of it was removed and no lease covers its ids, so that no commit takes them
//! again (docs/decisions/0004); the blob's row until its runs are gone and no wrap of it is valid, so that
//! it is not committed anew. A disk that is replaced holds nothing up: the slot's new one answers.

use super::repairs::bounded;
use super::{Applied, held, pasts};
use crate::reply::{Refusal, Reply};
use crate::store::StoreError;
use crate::tables::{
    BLOBS, BlobPlace, BlobRow, CONDEMNED, DELETES, DeleteRow, GROUP_EPOCHS, GROUP_RUNS,
    GroupRunRow, INLINE, LEASES, RECLAIMS, REPAIRS, SPENT_RUNS, TableKey,
};
use crate::txn::{Rows, Txn};
use types::id::{BlobId, ChunkId, GroupId};
use types::manifest::Run;
use types::placement::Slot;
use types::profile::Profile;
use types::wire::upkeep::RunSlot;

/// Most rows that one command changes for what it condemns.
pub const ROWS_PER_COMMAND: usize = 900;
/// Most blobs, and most runs, that one command condemns or forgets.
pub const BLOBS_PER_COMMAND: usize = 200;

/// A blob's own rows when it is condemned: itself, its death, its inline bytes, what follows.
const ROWS_OF_BLOB: usize = 4;

pub(super) fn condemn(txn: &mut Txn<'_>, died_before_ms: u64) -> Applied {
    if held::held(txn)? {
        return Err(Refusal::DeletionsHeld.into());
    }
    let dropped = pasts::drop_old(txn, died_before_ms, BLOBS_PER_COMMAND)?;
    let mut rows_left = ROWS_PER_COMMAND - dropped;
    let dead: Vec<_> = RECLAIMS
        .range(txn, &0_u64.bytes(), &died_before_ms.bytes())
        .take(BLOBS_PER_COMMAND)
        .collect::<Result<_, _>>()?;
    for (row_key, _) in dead {
        let (died_ms, blob) = timed_blob(&row_key)?;
        if !condemn_blob(txn, died_ms, blob, &mut rows_left)? {
            break;
        }
    }
    Ok(Reply::Done)
}

/// Condemns a blob as far as the rows that are left allow; whether that is all of it.
fn condemn_blob(
    txn: &mut Txn<'_>,
    died_ms: u64,
    id: BlobId,
    rows_left: &mut usize,
) -> Result<bool, StoreError> {
    if *rows_left < ROWS_OF_BLOB {
        return Ok(false);
    }
    *rows_left -= ROWS_OF_BLOB;
    let blob = BLOBS.get(txn, &id)?.ok_or(StoreError::Damaged)?;
    assert_eq!(blob.references, 0, "{id}: a count never rises from zero");
    let condemned = Some(died_ms);
    let blob = BlobRow { condemned, ..blob };
    BLOBS.put(txn, &id, &blob);
    match &blob.place {
        BlobPlace::Inline => INLINE.delete(txn, &id),
        BlobPlace::Runs { profile, runs } => {
            for run in runs {
                if !condemn_run(txn, *profile, run, rows_left)? {
                    return Ok(false);
                }
            }
        }
    }
    RECLAIMS.delete(txn, &(died_ms, id));
    CONDEMNED.put(txn, &(died_ms, id), &());
    Ok(true)
}

/// Tells disks to remove a run, if the rows that are left allow it; whether they did.
fn condemn_run(
    txn: &mut Txn<'_>,
    profile: Profile,
    run: &Run,
    rows_left: &mut usize,
) -> Result<bool, StoreError> {
    let key = (run.group, last_of(run));
    let row = GROUP_RUNS.get(txn, &key)?;
    let Some(row) = row.filter(|row| !row.condemned) else {
        return Ok(true);
    };
    let rows = 1 + profile.shards() + run.missing.len();
    if rows > *rows_left {
        return Ok(false);
    }
    *rows_left -= rows;
    let condemned = true;
    GROUP_RUNS.put(txn, &key, &GroupRunRow { condemned, ..row });
    let chunks = run.chunks;
    for slot in slots(profile) {
        DELETES.put(
            txn,
            &(run.group, slot, run.first_chunk),
            &DeleteRow { chunks },
        );
    }
    for slot in &run.missing {
        REPAIRS.delete(txn, &(run.group, run.first_chunk, *slot));
    }
    Ok(true)
}

pub(super) fn deleted(txn: &mut Txn<'_>, done: &[RunSlot]) -> Applied {
    bounded(done.len())?;
    for at in done {
        let key = (at.group, at.slot, at.first_chunk);
        let (Some(row), Some(group)) = (DELETES.get(txn, &key)?, GROUP_EPOCHS.get(txn, &at.group)?)
        else {
            continue;
        };
        DELETES.delete(txn, &key);
        let mut pending = false;
        for slot in slots(group.profile) {
            pending |= DELETES.contains(txn, &(at.group, slot, at.first_chunk))?;
        }
        if !pending {
            let last = at.first_chunk.plus(u64::from(row.chunks) - 1);
            SPENT_RUNS.put(txn, &(last, at.group), &());
        }
    }
    Ok(Reply::Done)
}

/// Runs that all disks have removed and no lease covers, the oldest first, as many as one command forgets.
///
/// A lease that has expired counts until its row is gone: that only takes longer.
///
/// # Errors
/// When the store is broken.
pub fn forgettable(rows: &impl Rows) -> Result<Vec<(GroupId, ChunkId)>, StoreError> {
    let mut leased = Vec::new();
    for row in LEASES.scan(rows, &[]) {
        let (_, lease) = row?;
        leased.push((lease.first.get(), lease.first.get() + (lease.count - 1)));
    }
    leased.sort_unstable();
    let mut free = Vec::new();
    let mut from = 0_u64;
    // Between one lease and the next, then behind the last.
    for (first, last) in leased.into_iter().chain([(u64::MAX, u64::MAX)]) {
        let most = BLOBS_PER_COMMAND - free.len();
        if from < first {
            let between = SPENT_RUNS.range(rows, &from.bytes(), &first.bytes());
            for row in between.take(most) {
                let (row_key, ()) = row?;
                let (last, group) = row_key.split_first_chunk().ok_or(StoreError::Damaged)?;
                let group = group.try_into().map_err(|_| StoreError::Damaged)?;
                let group = GroupId::new(u64::from_be_bytes(group));
                free.push((group, ChunkId::new(u64::from_be_bytes(*last))));
            }
        }
        from = from.max(last.saturating_add(1));
    }
    Ok(free)
}

pub(super) fn forget(txn: &mut Txn<'_>, died_before_ms: u64) -> Applied {
    for (group, last) in forgettable(txn)? {
        forget_run(txn, group, last)?;
    }
    let aged: Vec<_> = CONDEMNED
        .range(txn, &0_u64.bytes(), &died_before_ms.bytes())
        .take(BLOBS_PER_COMMAND)
        .collect::<Result<_, _>>()?;
    for (row_key, ()) in aged {
        let (died_ms, blob) = timed_blob(&row_key)?;
        CONDEMNED.delete(txn, &(died_ms, blob));
        if BLOBS.get(txn, &blob)?.is_some_and(|row| is_nowhere(&row)) {
            BLOBS.delete(txn, &blob);
        }
    }
    Ok(Reply::Done)
}

/// At most three rows: the run in its group, that it was spent, and its blob.
fn forget_run(txn: &mut Txn<'_>, group: GroupId, last: ChunkId) -> Result<(), StoreError> {
    SPENT_RUNS.delete(txn, &(last, group));
    let row = GROUP_RUNS.get(txn, &(group, last))?;
    let row = row.ok_or(StoreError::Damaged)?;
    GROUP_RUNS.delete(txn, &(group, last));
    let Some(mut blob) = BLOBS.get(txn, &row.blob)? else {
        return Ok(());
    };
    if let BlobPlace::Runs { runs, .. } = &mut blob.place {
        runs.retain(|run| (run.group, run.first_chunk) != (group, row.first));
    }
    let died_ms = blob.condemned.ok_or(StoreError::Damaged)?;
    let held = RECLAIMS.contains(txn, &(died_ms, row.blob))?
        || CONDEMNED.contains(txn, &(died_ms, row.blob))?;
    if is_nowhere(&blob) && !held {
        BLOBS.delete(txn, &row.blob);
    } else {
        BLOBS.put(txn, &row.blob, &blob);
    }
    Ok(())
}

/// Whether no disk and no row holds anything of a condemned blob.
fn is_nowhere(blob: &BlobRow) -> bool {
    match &blob.place {
        BlobPlace::Inline => true,
        BlobPlace::Runs { runs, .. } => runs.is_empty(),
    }
}

fn slots(profile: Profile) -> impl Iterator<Item = Slot> {
    (0..).map(Slot).take(profile.shards())
}

fn last_of(run: &Run) -> ChunkId {
    run.first_chunk.plus(u64::from(run.chunks) - 1)
}

/// Time and blob in the key of a row.
fn timed_blob(row_key: &[u8]) -> Result<(u64, BlobId), StoreError> {
    let (time, blob) = row_key.split_first_chunk().ok_or(StoreError::Damaged)?;
    let blob = blob.try_into().map_err(|_| StoreError::Damaged)?;
    let blob = BlobId::new(u64::from_be_bytes(blob));
    Ok((u64::from_be_bytes(*time), blob))
}
