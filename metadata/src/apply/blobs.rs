//! Blobs: a new one is checked against every fence, then written with its runs and what is missing of
//! them; one whose last reference goes is dead for good.

use super::namespace::incarnation;
use super::runs::admit_runs;
use super::sessions::now;
use super::{Stop, handed_out};
use crate::command::CommittedPlace;
use crate::reply::Refusal;
use crate::store::StoreError;
use crate::tables::{
    BLOBS, BUCKETS, BlobPlace, BlobRow, BucketRow, GROUP_RUNS, GroupRunRow, INLINE,
    NAMESPACE_COUNTERS, NamespaceId, RECLAIMS, REPAIRS, ReclaimRow, RepairRow,
};
use crate::txn::Txn;
use types::block::SEAL_OVERHEAD;
use types::id::{BlobId, BucketId, SessionId};
use types::manifest::INLINE_LIMIT;
use types::size::ByteCount;

/// Most rows that a commit writes for its runs, and for what it replaces.
pub const MAX_COMMIT_ROWS: usize = 900;

/// A blob as a command brings it.
pub(super) struct NewBlob<'a> {
    /// Its id.
    pub(super) id: BlobId,
    /// Plaintext length.
    pub(super) length: ByteCount,
    /// Cluster time at which the wrap that the gateway showed is refused.
    pub(super) wrap_expires_ms: u64,
    /// The gateway's session, whose leases cover its runs.
    pub(super) session: SessionId,
    /// Where its bytes are.
    pub(super) place: &'a CommittedPlace,
}

/// The bucket, if there is one and what came is sealed under a key that it still takes.
pub(super) fn open_bucket(
    txn: &Txn<'_>,
    bucket: BucketId,
    kek_version: u32,
) -> Result<BucketRow, Stop> {
    let row = BUCKETS.get(txn, &bucket)?;
    let row = row.ok_or(Refusal::NoSuchBucket)?;
    if row.live_keks.contains(&kek_version) {
        Ok(row)
    } else {
        Err(Refusal::KekRetired.into())
    }
}

/// Checks a new blob against every fence. Where its bytes will be said to be, in at most `max_rows` rows.
pub(super) fn admit(txn: &Txn<'_>, new: &NewBlob<'_>, max_rows: usize) -> Result<BlobPlace, Stop> {
    if new.wrap_expires_ms <= now(txn)? {
        return Err(Refusal::WrapExpired.into());
    }
    let next = NAMESPACE_COUNTERS.get(txn, &NamespaceId::Blob)?;
    if !handed_out(incarnation(txn)?, next, new.id.get()) || BLOBS.contains(txn, &new.id)? {
        return Err(Refusal::BlobNotFresh.into());
    }
    match new.place {
        CommittedPlace::Inline { sealed } => {
            let sealed_length = new.length.get().checked_add(SEAL_OVERHEAD as u64);
            if new.length.get() > INLINE_LIMIT || sealed_length != Some(sealed.len() as u64) {
                return Err(Refusal::BadInline.into());
            }
            Ok(BlobPlace::Inline)
        }
        CommittedPlace::Runs { profile, runs } => {
            let runs = admit_runs(txn, new.session, new.length, *profile, runs, max_rows)?;
            let profile = *profile;
            Ok(BlobPlace::Runs { profile, runs })
        }
    }
}

/// Writes a blob that was admitted, with one reference.
pub(super) fn write(txn: &mut Txn<'_>, new: &NewBlob<'_>, place: BlobPlace, born: u64) {
    let blob = new.id;
    if let CommittedPlace::Inline { sealed } = new.place {
        INLINE.put(txn, &blob, sealed);
    }
    if let BlobPlace::Runs { runs, .. } = &place {
        for run in runs {
            let last = run.first_chunk.plus(u64::from(run.chunks) - 1);
            let first = run.first_chunk;
            GROUP_RUNS.put(
                txn,
                &(run.group, last),
                &GroupRunRow {
                    first,
                    blob,
                    condemned: false,
                },
            );
            let chunks = run.chunks;
            let repair = RepairRow { chunks, blob, born };
            for slot in &run.missing {
                REPAIRS.put(txn, &(run.group, first, *slot), &repair);
            }
        }
    }
    let row = BlobRow {
        length: new.length,
        references: 1,
        generation: 1,
        place,
        condemned: None,
    };
    BLOBS.put(txn, &blob, &row);
}

/// Takes one reference from a blob; without any it is dead. At most two rows.
pub(super) fn release(txn: &mut Txn<'_>, blob: BlobId, revision: u64) -> Result<(), StoreError> {
    let Some(mut row) = BLOBS.get(txn, &blob)? else {
        return Ok(());
    };
    if row.references == 0 {
        return Ok(());
    }
    row.references -= 1;
    BLOBS.put(txn, &blob, &row);
    if row.references == 0 {
        let died = now(txn)?;
        RECLAIMS.put(txn, &(died, blob), &ReclaimRow { born: revision });
    }
    Ok(())
}
