//! Sweeps: what is dead and too much for the command that made it so, worked off in batches.
//!
//! A sweep takes part rows away and, with each, the references that it held; then manifest rows; then
//! itself. A part that is gone was swept before: no reference is let go twice, whatever is swept when.
//! A version whose sweep has begun is not to be had any more.

use super::Applied;
use super::blobs::release;
use super::namespace::next_revision;
use crate::reply::Reply;
use crate::store::StoreError;
use crate::tables::{
    MANIFESTS, PARTS, PartRow, SWEEPS, SweepKind, SweepRow, TableKey, VERSIONS, VersionRow,
};
use crate::txn::Txn;
use crate::uploads::part_number;
use types::id::VersionId;

/// Most parts that one command takes away.
pub const PARTS_PER_SWEEP: usize = 250;
/// Most rows that it changes for them: the first part goes whatever it takes, up to 513.
const ROWS_PER_SWEEP: usize = 900;

pub(super) fn sweep(
    txn: &mut Txn<'_>,
    kind: SweepKind,
    since_ms: u64,
    version: VersionId,
) -> Applied {
    let sweep = (kind, since_ms, version);
    let Some(row) = SWEEPS.get(txn, &sweep)? else {
        return Ok(Reply::Done);
    };
    if kind == SweepKind::Superseded {
        hide(txn, version)?;
    }
    let mut left = match &row.parts {
        Some(numbers) => numbers.clone(),
        None => first_numbers(txn, version)?,
    };
    let mut rows = 0;
    sweep_parts(txn, version, &mut left, &mut rows)?;
    let done = match row.parts {
        Some(_) => left.is_empty(),
        None => left.is_empty() && sweep_manifest(txn, version, rows)?,
    };
    if done {
        SWEEPS.delete(txn, &sweep);
    } else if row.parts.is_some() {
        let parts = Some(left);
        SWEEPS.put(txn, &sweep, &SweepRow { parts, ..row });
    }
    Ok(Reply::Done)
}

/// Lets nobody go on reading a version that was replaced.
fn hide(txn: &mut Txn<'_>, version: VersionId) -> Result<(), StoreError> {
    if let Some(row) = VERSIONS.get(txn, &version)?
        && row.length.is_some()
    {
        let length = None;
        VERSIONS.put(txn, &version, &VersionRow { length, ..row });
    }
    Ok(())
}

/// Numbers of parts that there are, one more than one command sweeps.
fn first_numbers(txn: &Txn<'_>, version: VersionId) -> Result<Vec<u32>, StoreError> {
    PARTS
        .scan(txn, &version.bytes())
        .take(PARTS_PER_SWEEP + 1)
        .map(|row| part_number(&row?.0))
        .collect()
}

/// Takes parts away from the front of `left`, and counts the rows.
fn sweep_parts(
    txn: &mut Txn<'_>,
    version: VersionId,
    left: &mut Vec<u32>,
    rows: &mut usize,
) -> Result<(), StoreError> {
    let mut swept = 0;
    let mut revision = None;
    for number in left.iter().take(PARTS_PER_SWEEP) {
        if let Some(part) = PARTS.get(txn, &(version, *number))? {
            let takes = rows_of(&part);
            if *rows > 0 && *rows + takes > ROWS_PER_SWEEP {
                break;
            }
            *rows += takes;
            let revision = match revision {
                Some(revision) => revision,
                None => *revision.insert(next_revision(txn)?),
            };
            for piece in part.pieces {
                release(txn, piece.blob, revision)?;
            }
            PARTS.delete(txn, &(version, *number));
        }
        swept += 1;
    }
    left.drain(..swept);
    Ok(())
}

/// The part's own, and for each piece its blob's and, when that is dead, one more.
fn rows_of(part: &PartRow) -> usize {
    1 + 2 * part.pieces.len()
}

/// Takes manifest rows away; whether none is left.
fn sweep_manifest(txn: &mut Txn<'_>, version: VersionId, rows: usize) -> Result<bool, StoreError> {
    let most = ROWS_PER_SWEEP.saturating_sub(rows);
    let mut ends: Vec<u64> = MANIFESTS
        .scan(txn, &version.bytes())
        .take(most + 1)
        .map(|row| {
            let (row_key, _) = row?;
            let end = row_key.last_chunk().ok_or(StoreError::Damaged)?;
            Ok::<_, StoreError>(u64::from_be_bytes(*end))
        })
        .collect::<Result<_, _>>()?;
    let done = ends.len() <= most;
    ends.truncate(most);
    for end in ends {
        MANIFESTS.delete(txn, &(version, end));
    }
    Ok(done)
}
