//! Copies by reference: the new version, or part, refers to the blobs that another version shows.
//!
//! What is shown is read from the source's rows; the command brings only what `apply` cannot make: data keys
//! wrapped for the new references, and what is sealed or bound to the new version. A blob's count rises
//! here, and never from zero: a dead blob's shards may be gone at any moment.

use super::blobs::open_bucket;
use super::namespace::next_revision;
use super::objects::{supersede, unmoved};
use super::{Applied, Stop, tags, uploads, usage};
use crate::command::{Copied, CopiedManifest, CopyObject, CopyPart};
use crate::manifest::{Laid, ManifestError, lay_out};
use crate::pieces::{Piece, by_part, part_row, shown};
use crate::reply::{Refusal, Reply};
use crate::share::{MAX_PIECES, shareable};
use crate::tables::{
    BLOBS, BUCKETS, BlobRow, BucketRow, ExtentRow, HEADS, HeadRow, PARTS, PartRow, VERSIONS,
    VersionRow,
};
use crate::txn::{Rows, Txn};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Range;
use types::id::{BlobId, VersionId};
use types::wire::metadata::WallTime;

pub(super) fn object(txn: &mut Txn<'_>, wall: WallTime, copy: &CopyObject) -> Applied {
    let bucket = open_bucket(txn, copy.bucket, copy.kek_version)?;
    if VERSIONS.contains(txn, &copy.version)? {
        return Err(Refusal::VersionExists.into());
    }
    let key = (copy.bucket, copy.key.clone());
    unmoved(txn, &key, copy.expected)?;
    let source = source(txn, &copy.source)?;
    let whole = 0..source.length.get();
    let pieces = admit(txn, &copy.source, &source, &bucket, &whole, &copy.wraps)?;
    let parts = match (&source.manifest, &copy.manifest) {
        (Some(_), Some(manifest)) => Some(parts(&copy.wraps, manifest, &pieces)?),
        (None, None) => None,
        _ => return Err(Refusal::BadCopy.into()),
    };
    let blobs = referred_again(txn, &pieces)?;
    usage::show(txn, &key, source.length)?.write(txn);

    let born = next_revision(txn)?;
    // First, since what is copied onto itself is replaced.
    refer_again(txn, &blobs);
    supersede(txn, &key, born)?;
    let version = VersionRow {
        born,
        ..VersionRow::default()
    };
    VERSIONS.put(txn, &copy.version, &version);
    let extents = match parts {
        None => extents(&pieces, &copy.wraps),
        Some(parts) => {
            parts.write(txn, copy.version, born, wall);
            Vec::new()
        }
    };
    let head = HeadRow {
        version: copy.version,
        born,
        modified: wall,
        length: source.length,
        attributes: copy.attributes.clone(),
        extents,
        manifest: source.manifest,
        tag_count: tags::put(txn, copy.version, copy.tags.as_ref()),
    };
    HEADS.put(txn, &key, &head);
    Ok(Reply::Committed { modified: wall })
}

pub(super) fn part(txn: &mut Txn<'_>, wall: WallTime, copy: &CopyPart) -> Applied {
    let bucket = open_bucket(txn, copy.bucket, copy.kek_version)?;
    let (upload_key, _) = uploads::find(txn, copy.bucket, &copy.key, copy.upload)?;
    let rows_left = uploads::rows_left(txn, copy.upload, copy.number)?;
    let source = source(txn, &copy.source)?;
    let end = copy.first.get().checked_add(copy.length.get());
    let end = end.filter(|end| *end <= source.length.get());
    let range = copy.first.get()..end.ok_or(Refusal::BadCopy)?;
    let pieces = admit(txn, &copy.source, &source, &bucket, &range, &copy.wraps)?;
    let blobs = referred_again(txn, &pieces)?;
    if blobs.len() > rows_left {
        return Err(Refusal::TooLarge.into());
    }
    usage::part(txn, &upload_key, (copy.upload, copy.number), copy.length)?.write(txn);

    let born = next_revision(txn)?;
    // First: the part that is replaced may show the same blobs.
    refer_again(txn, &blobs);
    let row = part_row(&pieces, &copy.wraps, &copy.sealed, born, wall);
    uploads::put_part(txn, copy.upload, copy.number, &row)?;
    Ok(Reply::Committed { modified: wall })
}

/// The version that is copied, if its key still shows it.
fn source(rows: &impl Rows, source: &Copied) -> Result<HeadRow, Stop> {
    let head = HEADS.get(rows, &(source.bucket, source.key.clone()))?;
    let head = head.filter(|head| head.version == source.version);
    Ok(head.ok_or(Refusal::SourceChanged)?)
}

/// The pieces in a range of an object, cut to it; refused where they may not be shared. A bucket's label
/// never changes, so that what a server judged by it before it unwrapped a key holds here, too; it is
/// judged again so that no server is trusted with it.
fn admit(
    rows: &impl Rows,
    copied: &Copied,
    source: &HeadRow,
    bucket: &BucketRow,
    range: &Range<u64>,
    wraps: &[Bytes],
) -> Result<Vec<Piece>, Stop> {
    let from = BUCKETS.get(rows, &copied.bucket)?;
    let from = from.ok_or(Refusal::SourceChanged)?;
    let shown = shown(rows, source, range, MAX_PIECES).map_err(|error| match error {
        ManifestError::Damaged => Stop::Refused(Refusal::BadCopy),
        ManifestError::Store(error) => Stop::Broken(error),
    })?;
    let pieces = shown.pieces.iter().map(|piece| piece.within(range));
    let pieces: Vec<_> = pieces.collect();
    let (from, to) = (from.bucket.label.digest(), bucket.bucket.label.digest());
    if !shareable(&from, &to, pieces.iter().map(|piece| piece.length)) {
        return Err(Refusal::NotShareable.into());
    }
    if wraps.len() != pieces.len() {
        return Err(Refusal::BadCopy.into());
    }
    Ok(pieces)
}

/// The rows of blobs with one more reference for each piece. Refused when one is dead.
fn referred_again(rows: &impl Rows, pieces: &[Piece]) -> Result<BTreeMap<BlobId, BlobRow>, Stop> {
    let mut blobs: BTreeMap<BlobId, BlobRow> = BTreeMap::new();
    for piece in pieces {
        let blob = match blobs.remove(&piece.blob) {
            Some(blob) => Some(blob),
            None => BLOBS.get(rows, &piece.blob)?,
        };
        let blob = blob.filter(|blob| blob.references > 0);
        let mut blob = blob.ok_or(Refusal::SourceChanged)?;
        let references = blob.references.checked_add(1);
        blob.references = references.ok_or(Refusal::NotShareable)?;
        blobs.insert(piece.blob, blob);
    }
    Ok(blobs)
}

fn refer_again(txn: &mut Txn<'_>, blobs: &BTreeMap<BlobId, BlobRow>) {
    for (id, blob) in blobs {
        BLOBS.put(txn, id, blob);
    }
}

fn extents(pieces: &[Piece], wraps: &[Bytes]) -> Vec<ExtentRow> {
    let extent = |(piece, wrap): (&Piece, &Bytes)| ExtentRow {
        blob: piece.blob,
        offset: piece.offset,
        length: piece.length,
        part: piece.part,
        wrap: wrap.clone(),
    };
    pieces.iter().zip(wraps).map(extent).collect()
}

/// The parts of a copy: the source's, under wraps and seals of their own.
struct Parts<'c> {
    rows: Vec<(u32, PartRow)>,
    manifest: Vec<Laid>,
    macs: &'c [Bytes],
}

/// The parts of a copy, if there is just what each of them and each row of the manifest needs.
fn parts<'c>(
    wraps: &[Bytes],
    brought: &'c CopiedManifest,
    pieces: &[Piece],
) -> Result<Parts<'c>, Stop> {
    let mut wraps = wraps.iter();
    let mut sealed = brought.parts.iter();
    let mut rows = Vec::with_capacity(brought.parts.len());
    for pieces in by_part(pieces) {
        let sealed = sealed.next().ok_or(Refusal::BadCopy)?;
        let row = part_row(pieces, wraps.by_ref(), sealed, 0, WallTime::default());
        rows.push((pieces[0].part, row));
    }
    let manifest = lay_out(rows.iter().map(|(number, row)| (*number, row)));
    let manifest = manifest.ok_or(Refusal::BadCopy)?;
    if sealed.next().is_some() || manifest.len() != brought.macs.len() {
        return Err(Refusal::BadCopy.into());
    }
    Ok(Parts {
        rows,
        manifest,
        macs: &brought.macs,
    })
}

impl Parts<'_> {
    fn write(self, txn: &mut Txn<'_>, version: VersionId, born: u64, modified: WallTime) {
        for (number, row) in self.rows {
            let row = PartRow {
                born,
                modified,
                ..row
            };
            PARTS.put(txn, &(version, number), &row);
        }
        uploads::put_manifest(txn, version, self.manifest, self.macs);
    }
}
