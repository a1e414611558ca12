//! Objects: a commit is checked against every fence, then written as a whole.

use super::blobs::{self, MAX_COMMIT_ROWS, NewBlob};
use super::namespace::next_revision;
use super::sessions::now;
use super::{Applied, Stop, pasts, tags, usage};
use crate::command::{Commit, Delete, Expected};
use crate::reply::{Refusal, Reply};
use crate::store::StoreError;
use crate::tables::{
    BUCKETS, BlobPlace, ExtentRow, HEADS, HeadRow, SWEEPS, SweepKind, SweepRow, VERSIONS,
    VersionRow,
};
use crate::txn::{Rows, Txn};
use types::id::BucketId;
use types::name::ObjectKey;
use types::size::ByteOffset;
use types::wire::metadata::WallTime;

pub(super) fn commit(txn: &mut Txn<'_>, wall: WallTime, commit: &Commit) -> Applied {
    let place = admit(txn, commit)?;
    let key = (commit.bucket, commit.key.clone());
    usage::show(txn, &key, commit.length)?.write(txn);
    let born = next_revision(txn)?;
    supersede(txn, &key, born)?;
    blobs::write(txn, &new_blob(commit), place, born);
    let version = VersionRow {
        born,
        superseded: None,
        ..VersionRow::default()
    };
    VERSIONS.put(txn, &commit.version, &version);
    let extent = ExtentRow {
        blob: commit.blob,
        offset: ByteOffset::ZERO,
        length: commit.length,
        part: 0,
        wrap: commit.wrap.clone(),
    };
    let tag_count = tags::put(txn, commit.version, commit.tags.as_ref());
    let head = HeadRow {
        version: commit.version,
        born,
        modified: wall,
        length: commit.length,
        attributes: commit.attributes.clone(),
        extents: vec![extent],
        manifest: None,
        tag_count,
    };
    HEADS.put(txn, &key, &head);
    Ok(Reply::Committed { modified: wall })
}

pub(super) fn delete(txn: &mut Txn<'_>, delete: &Delete) -> Applied {
    if !BUCKETS.contains(txn, &delete.bucket)? {
        return Err(Refusal::NoSuchBucket.into());
    }
    let key = (delete.bucket, delete.key.clone());
    unmoved(txn, &key, delete.expected)?;
    if HEADS.contains(txn, &key)? {
        usage::hide(txn, &key)?.write(txn);
        let revision = next_revision(txn)?;
        supersede(txn, &key, revision)?;
        HEADS.delete(txn, &key);
    }
    Ok(Reply::Done)
}

/// Refused when the key does not show what the proposer saw.
pub(super) fn unmoved(
    rows: &impl Rows,
    key: &(BucketId, ObjectKey),
    expected: Option<Expected>,
) -> Result<(), Stop> {
    let Some(expected) = expected else {
        return Ok(());
    };
    let shown = HEADS.get(rows, key)?.map(|head| head.version);
    let found = shown.map_or(Expected::Absent, Expected::Version);
    if found == expected {
        Ok(())
    } else {
        Err(Refusal::HeadMoved.into())
    }
}

/// Checks a commit against every fence. Where its bytes will be said to be.
fn admit(txn: &Txn<'_>, commit: &Commit) -> Result<BlobPlace, Stop> {
    blobs::open_bucket(txn, commit.bucket, commit.kek_version)?;
    if VERSIONS.contains(txn, &commit.version)? {
        return Err(Refusal::VersionExists.into());
    }
    let place = blobs::admit(txn, &new_blob(commit), MAX_COMMIT_ROWS)?;
    unmoved(txn, &(commit.bucket, commit.key.clone()), commit.expected)?;
    Ok(place)
}

fn new_blob(commit: &Commit) -> NewBlob<'_> {
    NewBlob {
        id: commit.blob,
        length: commit.length,
        wrap_expires_ms: commit.wrap_expires_ms,
        session: commit.request.session,
        place: &commit.place,
    }
}

/// Ends the version that the key shows, if it shows one. What it alone referred to is dead: at once where
/// the head says what that is, where a manifest does it is swept later. Either can be read for a while
/// by who names the version.
pub(super) fn supersede(
    txn: &mut Txn<'_>,
    key: &(BucketId, ObjectKey),
    revision: u64,
) -> Result<(), StoreError> {
    let Some(head) = HEADS.get(txn, key)? else {
        return Ok(());
    };
    let version = VERSIONS.get(txn, &head.version)?.unwrap_or_default();
    let now_ms = now(txn)?;
    let is_plain = head.manifest.is_none();
    let version = VersionRow {
        born: head.born,
        superseded: Some(revision),
        length: (!is_plain).then_some(head.length),
        superseded_ms: is_plain.then_some(now_ms),
        ..version
    };
    VERSIONS.put(txn, &head.version, &version);
    tags::drop(txn, &head);
    if is_plain {
        pasts::keep(txn, now_ms, &head);
    } else {
        let sweep = (SweepKind::Superseded, now_ms, head.version);
        let row = SweepRow {
            born: revision,
            parts: None,
        };
        SWEEPS.put(txn, &sweep, &row);
    }
    for extent in head.extents {
        blobs::release(txn, extent.blob, revision)?;
    }
    Ok(())
}
