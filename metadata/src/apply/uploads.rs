//! Multipart uploads: begun, filled with parts, made an object or given up.
//!
//! A part is a blob of its own, and its row stays when the upload becomes an object: completing writes a
//! head and a manifest, whatever the parts' number. What nobody will see is left to a sweep
//! ([`super::sweep`]), since it may be more than one command may change.

use super::blobs::{self, MAX_COMMIT_ROWS, NewBlob};
use super::namespace::next_revision;
use super::objects::{supersede, unmoved};
use super::sessions::now;
use super::{Applied, Stop, tags, usage};
use crate::command::{CommitPart, CompleteUpload, CreateUpload};
use crate::manifest::{Laid, lay_out};
use crate::reply::{Refusal, Reply};
use crate::store::StoreError;
use crate::tables::{
    BUCKETS, GONE_BUCKETS, HEADS, HeadRow, MANIFESTS, ManifestHead, ManifestRow, PARTS, PartRow,
    PieceRow, SWEEPS, SweepKind, SweepRow, TableKey, UPLOAD_AGES, UPLOADS, UploadKey, UploadRow,
    VERSIONS, VersionRow, unupload,
};
use crate::txn::Txn;
use crate::uploads::{self, MAX_PART_NUMBER, part_number};
use std::collections::BTreeMap;
use types::id::{BucketId, VersionId};
use types::name::ObjectKey;
use types::size::ByteOffset;
use types::wire::metadata::{AbortUpload, WallTime};

/// Most rows of one manifest: 127 500 pieces. It is written by one command.
pub const MAX_MANIFEST_ROWS: usize = 500;
/// Most uploads that one command gives up: four rows each; and where usage is kept three more, if each is of
/// another bucket and tenant.
const UPLOADS_PER_COMMAND: usize = 200;
const UPLOADS_PER_COMMAND_WITH_USAGE: usize = 140;

pub(super) fn create(txn: &mut Txn<'_>, wall: WallTime, create: &CreateUpload) -> Applied {
    blobs::open_bucket(txn, create.bucket, create.kek_version)?;
    if VERSIONS.contains(txn, &create.upload)? {
        return Err(Refusal::VersionExists.into());
    }
    // What could not become an object is not begun: its bytes would come for nothing.
    usage::room(txn, &(create.bucket, create.key.clone()))?;
    let began = next_revision(txn)?;
    let key = (create.bucket, create.key.clone(), began);
    usage::begin_upload(txn, &key)?.write(txn);
    let row = UploadRow {
        upload: create.upload,
        initiated: wall,
        began_ms: now(txn)?,
        sealed: create.sealed.clone(),
        tags: create.tags.clone(),
    };
    let version = VersionRow {
        born: began,
        began: Some(began),
        ..VersionRow::default()
    };
    VERSIONS.put(txn, &create.upload, &version);
    UPLOADS.put(txn, &key, &row);
    UPLOAD_AGES.put(txn, &(row.began_ms, key), &());
    Ok(Reply::Committed { modified: wall })
}

/// An upload under way.
pub(super) fn find(
    txn: &Txn<'_>,
    bucket: BucketId,
    key: &ObjectKey,
    upload: VersionId,
) -> Result<(UploadKey, UploadRow), Stop> {
    let found = uploads::find(txn, bucket, key, upload)?;
    Ok(found.ok_or(Refusal::NoSuchUpload)?)
}

pub(super) fn commit_part(txn: &mut Txn<'_>, wall: WallTime, part: &CommitPart) -> Applied {
    blobs::open_bucket(txn, part.bucket, part.kek_version)?;
    let (upload_key, _) = find(txn, part.bucket, &part.key, part.upload)?;
    let max_rows = rows_left(txn, part.upload, part.number)?;
    let new = NewBlob {
        id: part.blob,
        length: part.length,
        wrap_expires_ms: part.wrap_expires_ms,
        session: part.request.session,
        place: &part.place,
    };
    let place = blobs::admit(txn, &new, max_rows)?;
    usage::part(txn, &upload_key, (part.upload, part.number), part.length)?.write(txn);
    let born = next_revision(txn)?;
    blobs::write(txn, &new, place, born);
    let row = PartRow {
        born,
        modified: wall,
        length: part.length,
        sealed: part.sealed.clone(),
        pieces: vec![PieceRow {
            blob: part.blob,
            offset: ByteOffset::ZERO,
            length: part.length,
            wrap: part.wrap.clone(),
        }],
    };
    put_part(txn, part.upload, part.number, &row)?;
    Ok(Reply::Committed { modified: wall })
}

/// How many rows may be written for a part of that number besides its own: the pieces of the part that it
/// takes the place of are let go by the same command.
pub(super) fn rows_left(txn: &Txn<'_>, upload: VersionId, number: u32) -> Result<usize, Stop> {
    if !(1..=MAX_PART_NUMBER).contains(&number) {
        return Err(Refusal::BadParts.into());
    }
    let replaced = PARTS.get(txn, &(upload, number))?;
    let pieces = replaced.map_or(0, |part| part.pieces.len());
    Ok(MAX_COMMIT_ROWS.saturating_sub(2 * pieces))
}

/// Writes a part whose blobs have their references, in place of the part of that number if there is one.
pub(super) fn put_part(
    txn: &mut Txn<'_>,
    upload: VersionId,
    number: u32,
    row: &PartRow,
) -> Result<(), StoreError> {
    let replaced = PARTS.get(txn, &(upload, number))?;
    for piece in replaced.into_iter().flat_map(|part| part.pieces) {
        blobs::release(txn, piece.blob, row.born)?;
    }
    PARTS.put(txn, &(upload, number), row);
    Ok(())
}

pub(super) fn complete(txn: &mut Txn<'_>, wall: WallTime, complete: &CompleteUpload) -> Applied {
    blobs::open_bucket(txn, complete.bucket, complete.kek_version)?;
    let (upload_key, upload) = find(txn, complete.bucket, &complete.key, complete.upload)?;
    let key = (complete.bucket, complete.key.clone());
    unmoved(txn, &key, complete.expected)?;
    let Chosen { manifest, left } = choose(txn, complete)?;
    let length = manifest.last().map_or(ByteOffset::ZERO, Laid::end) - ByteOffset::ZERO;
    usage::complete(txn, &upload_key, complete.upload, length)?.write(txn);
    let born = next_revision(txn)?;
    supersede(txn, &key, born)?;
    end(txn, &upload_key, &upload);
    if !left.is_empty() {
        let parts = Some(left);
        put_sweep(txn, complete.upload, &SweepRow { born, parts })?;
    }
    let version = VersionRow {
        born,
        began: Some(upload_key.2),
        ..VersionRow::default()
    };
    VERSIONS.put(txn, &complete.upload, &version);
    put_manifest(txn, complete.upload, manifest, &complete.macs);
    let parts = u32::try_from(complete.parts.len()).map_err(|_| Refusal::BadParts)?;
    let head = HeadRow {
        version: complete.upload,
        born,
        modified: wall,
        length,
        attributes: complete.attributes.clone(),
        extents: Vec::new(),
        manifest: Some(ManifestHead { parts }),
        tag_count: tags::put(txn, complete.upload, upload.tags.as_ref()),
    };
    HEADS.put(txn, &key, &head);
    Ok(Reply::Committed { modified: wall })
}

/// What an upload becomes.
struct Chosen {
    /// The rows of the object's manifest.
    manifest: Vec<Laid>,
    /// The numbers of the parts that it does not show.
    left: Vec<u32>,
}

fn choose(txn: &Txn<'_>, complete: &CompleteUpload) -> Result<Chosen, Stop> {
    let mut there: BTreeMap<u32, PartRow> = BTreeMap::new();
    for row in PARTS.scan(txn, &complete.upload.bytes()) {
        let (row_key, part) = row?;
        there.insert(part_number(&row_key)?, part);
    }
    let mut shown: Vec<(u32, PartRow)> = Vec::with_capacity(complete.parts.len());
    for (number, born) in &complete.parts {
        if shown.last().is_some_and(|(last, _)| last >= number) {
            return Err(Refusal::BadParts.into());
        }
        let part = there.remove(number).filter(|part| part.born == *born);
        shown.push((*number, part.ok_or(Refusal::PartChanged)?));
    }
    let manifest = lay_out(shown.iter().map(|(number, part)| (*number, part)));
    let manifest = manifest.ok_or(Refusal::BadParts)?;
    if manifest.len() > MAX_MANIFEST_ROWS || manifest.len() != complete.macs.len() {
        return Err(Refusal::BadParts.into());
    }
    let left = there.into_keys().collect();
    Ok(Chosen { manifest, left })
}

/// Writes a manifest, whose rows have these MACs.
pub(super) fn put_manifest(
    txn: &mut Txn<'_>,
    version: VersionId,
    manifest: Vec<Laid>,
    macs: &[bytes::Bytes],
) {
    for (laid, mac) in manifest.into_iter().zip(macs) {
        let end = laid.end().get();
        let row = ManifestRow {
            first: laid.first,
            mac: mac.clone(),
            entries: laid.entries,
        };
        MANIFESTS.put(txn, &(version, end), &row);
    }
}

pub(super) fn abort(txn: &mut Txn<'_>, abort: &AbortUpload) -> Applied {
    if !BUCKETS.contains(txn, &abort.bucket)? {
        return Err(Refusal::NoSuchBucket.into());
    }
    let (key, row) = find(txn, abort.bucket, &abort.key, abort.upload)?;
    let revision = next_revision(txn)?;
    give_up(txn, &key, &row, revision)?;
    Ok(Reply::Done)
}

/// Gives up the oldest of the uploads that began before a time.
pub(super) fn expire(txn: &mut Txn<'_>, began_before_ms: u64) -> Applied {
    let old: Vec<_> = UPLOAD_AGES
        .range(txn, &0_u64.bytes(), &began_before_ms.bytes())
        .take(uploads_per_command(txn)?)
        .collect::<Result<_, _>>()?;
    let keys = old.iter().map(|(row_key, ())| row_key.get(8..));
    give_up_all(txn, keys.map(Option::unwrap_or_default))?;
    Ok(Reply::Done)
}

/// Gives up uploads into a bucket that is gone.
pub(super) fn clear_bucket(txn: &mut Txn<'_>, bucket: BucketId) -> Applied {
    if !GONE_BUCKETS.contains(txn, &bucket)? {
        return Ok(Reply::Done);
    }
    let most = uploads_per_command(txn)?;
    let rows: Vec<_> = UPLOADS
        .scan(txn, &bucket.bytes())
        .take(most)
        .collect::<Result<_, _>>()?;
    give_up_all(txn, rows.iter().map(|(row_key, _)| row_key.as_slice()))?;
    if rows.len() < most {
        GONE_BUCKETS.delete(txn, &bucket);
    }
    Ok(Reply::Done)
}

/// Lets uploads into a bucket that is being deleted be given up later.
pub(super) fn leave(txn: &mut Txn<'_>, bucket: BucketId) -> Result<(), StoreError> {
    let first = UPLOADS.scan(txn, &bucket.bytes()).next().transpose()?;
    if first.is_some() {
        GONE_BUCKETS.put(txn, &bucket, &());
    }
    Ok(())
}

fn uploads_per_command(txn: &Txn<'_>) -> Result<usize, StoreError> {
    Ok(match usage::on(txn)? {
        true => UPLOADS_PER_COMMAND_WITH_USAGE,
        false => UPLOADS_PER_COMMAND,
    })
}

fn give_up_all<'k>(
    txn: &mut Txn<'_>,
    row_keys: impl ExactSizeIterator<Item = &'k [u8]>,
) -> Result<(), StoreError> {
    if row_keys.len() == 0 {
        return Ok(());
    }
    let revision = next_revision(txn)?;
    for row_key in row_keys {
        let key = unupload(row_key).ok_or(StoreError::Damaged)?;
        let row = UPLOADS.get(txn, &key)?.ok_or(StoreError::Damaged)?;
        give_up(txn, &key, &row, revision)?;
    }
    Ok(())
}

fn give_up(
    txn: &mut Txn<'_>,
    key: &UploadKey,
    row: &UploadRow,
    revision: u64,
) -> Result<(), StoreError> {
    usage::end_upload(txn, key, row.upload)?.write(txn);
    end(txn, key, row);
    let version = VersionRow {
        born: key.2,
        superseded: Some(revision),
        began: Some(key.2),
        ..VersionRow::default()
    };
    VERSIONS.put(txn, &row.upload, &version);
    let sweep = SweepRow {
        born: revision,
        parts: None,
    };
    put_sweep(txn, row.upload, &sweep)
}

/// Removes an upload's rows; its parts stay.
fn end(txn: &mut Txn<'_>, key: &UploadKey, row: &UploadRow) {
    UPLOADS.delete(txn, key);
    UPLOAD_AGES.delete(txn, &(row.began_ms, key.clone()));
}

fn put_sweep(txn: &mut Txn<'_>, upload: VersionId, row: &SweepRow) -> Result<(), StoreError> {
    let sweep = (SweepKind::Abandoned, now(txn)?, upload);
    SWEEPS.put(txn, &sweep, row);
    Ok(())
}
