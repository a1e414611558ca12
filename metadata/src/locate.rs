//! GET's lookup as the rows have it: which extents cover a range, and where their bytes are.
//!
//! The head says it, or, where an object has several pieces, its manifest. Nothing here is verified: what
//! the head says is bound by its wraps, what a manifest says by the MACs of the rows that were looked at.

use crate::manifest::{FoundRow, Manifest, ManifestError};
use crate::store::StoreError;
use crate::tables::{
    BLOBS, BUCKETS, BlobPlace, CLOCK, ExtentRow, HEADS, HeadRow, INLINE, ManifestEntry, PARTS,
    PASTS, PartRow, VERSIONS, VersionRow,
};
use crate::txn::Rows;
use std::ops::Range;
use types::block::SEGMENT;
use types::id::VersionId;
use types::manifest::{Place, Run};
use types::profile::Profile;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{Lookup, MAX_EXTENTS, MetadataError, Wanted};

/// What a lookup found: keys still wrapped, attributes still sealed.
#[derive(Debug)]
pub struct Found {
    /// Digest of the bucket's label.
    pub label_digest: [u8; 32],
    /// The version.
    pub version: VersionId,
    /// Length of the object.
    pub length: ByteCount,
    /// The current version; none where an older one was asked for and is still kept.
    pub head: Option<HeadRow>,
    /// For how long it has been replaced or deleted, in milliseconds of cluster time, where what it shows
    /// may be dead since.
    pub past_for_ms: Option<u64>,
    /// The bytes that are wanted.
    pub wanted: Range<u64>,
    /// The extents that cover what was wanted, in order; at most [`MAX_EXTENTS`].
    pub extents: Vec<FoundExtent>,
    /// The rows of the manifest that say all this: to be verified.
    pub looked_at: Vec<FoundRow>,
}

/// An extent and its blob.
#[derive(Debug)]
pub struct FoundExtent {
    /// Where in the object it begins.
    pub object_offset: ByteOffset,
    /// What the version shows.
    pub extent: ExtentRow,
    /// Length of the whole blob.
    pub blob_length: ByteCount,
    /// Where the blob's bytes are, as far as wanted.
    pub place: Place,
}

/// Why nothing was found.
enum Miss {
    Answer(MetadataError),
    Broken(StoreError),
}

impl From<MetadataError> for Miss {
    fn from(error: MetadataError) -> Self {
        Self::Answer(error)
    }
}

impl From<StoreError> for Miss {
    fn from(error: StoreError) -> Self {
        Self::Broken(error)
    }
}

impl From<ManifestError> for Miss {
    fn from(error: ManifestError) -> Self {
        match error {
            ManifestError::Damaged => Self::Answer(MetadataError::RowDamaged),
            ManifestError::Store(error) => Self::Broken(error),
        }
    }
}

/// Looks an object up.
///
/// # Errors
/// When the store is broken; inside, when there is no such object, part or range, or its rows do not hang
/// together.
pub fn locate(
    rows: &impl Rows,
    lookup: &Lookup,
) -> Result<Result<Found, MetadataError>, StoreError> {
    match find(rows, lookup) {
        Ok(found) => Ok(Ok(found)),
        Err(Miss::Answer(error)) => Ok(Err(error)),
        Err(Miss::Broken(error)) => Err(error),
    }
}

fn find(rows: &impl Rows, lookup: &Lookup) -> Result<Found, Miss> {
    let bucket = BUCKETS.get(rows, &lookup.bucket)?;
    let bucket = bucket.ok_or(MetadataError::NoSuchBucket)?;
    let head = HEADS.get(rows, &(lookup.bucket, lookup.key.clone()))?;
    let mut found = Found {
        label_digest: bucket.bucket.label.digest(),
        version: VersionId::new([0; 16]),
        length: ByteCount::ZERO,
        head: None,
        past_for_ms: None,
        wanted: 0..0,
        extents: Vec::new(),
        looked_at: Vec::new(),
    };
    let is_wanted = |head: &HeadRow| lookup.version.is_none_or(|wanted| wanted == head.version);
    match head.filter(is_wanted) {
        Some(head) if head.manifest.is_none() => plain(rows, lookup, head, &mut found)?,
        Some(head) => {
            (found.version, found.length) = (head.version, head.length);
            found.head = Some(head);
            pieces(rows, lookup, &mut found)?;
        }
        None => {
            let version = lookup.version.ok_or(MetadataError::NoSuchObject)?;
            let row = VERSIONS.get(rows, &version)?.unwrap_or_default();
            found.version = version;
            match row.length {
                Some(length) => {
                    found.length = length;
                    pieces(rows, lookup, &mut found)?;
                }
                None => past(rows, lookup, &row, &mut found)?,
            }
        }
    }
    Ok(found)
}

/// Finds what an object shows whose head says so.
fn plain(rows: &impl Rows, lookup: &Lookup, head: HeadRow, found: &mut Found) -> Result<(), Miss> {
    (found.version, found.length) = (head.version, head.length);
    extents(rows, lookup, &head.extents, found)?;
    found.head = Some(head);
    Ok(())
}

/// Finds what a plain object showed that was replaced or deleted; nothing, once that is condemned.
fn past(
    rows: &impl Rows,
    lookup: &Lookup,
    version: &VersionRow,
    found: &mut Found,
) -> Result<(), Miss> {
    let since_ms = version.superseded_ms.ok_or(MetadataError::NoSuchObject)?;
    let row = PASTS.get(rows, &(since_ms, found.version))?;
    let row = row.ok_or(MetadataError::NoSuchObject)?;
    for extent in &row.extents {
        let blob = BLOBS.get(rows, &extent.blob)?;
        let readable = blob.is_some_and(|blob| blob.condemned.is_none());
        if !readable {
            return Err(MetadataError::NoSuchObject.into());
        }
    }
    let now_ms = CLOCK.get(rows, &())?.unwrap_or_default().now_ms;
    found.past_for_ms = Some(now_ms.saturating_sub(since_ms));
    found.length = row.length;
    extents(rows, lookup, &row.extents, found)
}

/// Finds what a plain object shows.
fn extents(
    rows: &impl Rows,
    lookup: &Lookup,
    shown: &[ExtentRow],
    found: &mut Found,
) -> Result<(), Miss> {
    let length = found.length.get();
    let wanted = match lookup.wanted {
        Wanted::Part(1) => 0..length,
        Wanted::Part(_) => return Err(MetadataError::NoSuchPart { parts: 1 }.into()),
        wanted => resolve(wanted, length)?,
    };
    let mut offset = 0;
    for extent in shown {
        let end = offset + extent.length.get();
        extend(rows, found, &wanted, offset..end, extent)?;
        offset = end;
    }
    found.wanted = wanted;
    Ok(())
}

/// Finds what an object shows whose manifest says so.
fn pieces(rows: &impl Rows, lookup: &Lookup, found: &mut Found) -> Result<(), Miss> {
    let mut manifest = Manifest::new(rows, found.version, found.length);
    found.wanted = match lookup.wanted {
        Wanted::Part(number) => {
            let manifest_head = found.head.as_ref().and_then(|head| head.manifest);
            let parts = manifest_head.map_or(0, |manifest| manifest.parts);
            let part = manifest.part(number)?;
            part.ok_or(MetadataError::NoSuchPart { parts })?
        }
        wanted => resolve(wanted, found.length.get())?,
    };
    let wanted = found.wanted.clone();
    let mut part: Option<(u32, PartRow)> = None;
    let mut next = wanted.start;
    while next < wanted.end && found.extents.len() < MAX_EXTENTS {
        let row = manifest.at(next)?;
        // At the first row anything before `next` is skipped; each later one begins where the last ended.
        for (piece, entry) in row.pieces() {
            let overlaps = wanted.start < piece.end && piece.start < wanted.end;
            if !overlaps || found.extents.len() == MAX_EXTENTS {
                continue;
            }
            if part
                .as_ref()
                .is_none_or(|(number, _)| *number != entry.part)
            {
                part = Some((entry.part, part_of(rows, found, entry)?));
            }
            let (_, part) = part.as_ref().expect("it was just read");
            let extent = extent_of(part, entry, &piece).ok_or(MetadataError::RowDamaged)?;
            extend(rows, found, &wanted, piece, &extent)?;
        }
        // A row that holds the byte ends behind it; one that was edited does not lead back.
        next = row.end.get().max(next + 1);
    }
    found.looked_at = manifest.into_looked_at();
    Ok(())
}

/// The part that a piece belongs to.
fn part_of(rows: &impl Rows, found: &Found, entry: &ManifestEntry) -> Result<PartRow, Miss> {
    let part = PARTS.get(rows, &(found.version, entry.part))?;
    Ok(part.ok_or(MetadataError::RowDamaged)?)
}

/// A part's piece as an extent: its reference is in the part's row.
fn extent_of(part: &PartRow, entry: &ManifestEntry, piece: &Range<u64>) -> Option<ExtentRow> {
    let length = ByteCount::new(piece.end.checked_sub(piece.start)?);
    let row = part
        .pieces
        .iter()
        .find(|row| (row.blob, row.offset, row.length) == (entry.blob, entry.offset, length))?;
    Some(ExtentRow {
        blob: row.blob,
        offset: row.offset,
        length,
        part: entry.part,
        wrap: row.wrap.clone(),
    })
}

/// Adds an extent that lies at `at` in the object, if some of it is wanted.
fn extend(
    rows: &impl Rows,
    found: &mut Found,
    wanted: &Range<u64>,
    at: Range<u64>,
    extent: &ExtentRow,
) -> Result<(), Miss> {
    let from = wanted.start.max(at.start);
    let to = wanted.end.min(at.end);
    if from < to {
        let in_blob = |position| extent.offset.get().checked_add(position - at.start);
        let in_blob = in_blob(from).zip(in_blob(to));
        let (from, to) = in_blob.ok_or(MetadataError::RowDamaged)?;
        let (blob_length, place) = place(rows, extent, from..to)?;
        found.extents.push(FoundExtent {
            object_offset: ByteOffset::new(at.start),
            extent: extent.clone(),
            blob_length,
            place,
        });
    }
    Ok(())
}

/// The bytes that are wanted of an object of that length, but for a part's.
fn resolve(wanted: Wanted, length: u64) -> Result<Range<u64>, MetadataError> {
    let outside = Err(MetadataError::RangeNotSatisfiable { length });
    match wanted {
        Wanted::Nothing => Ok(0..0),
        Wanted::All | Wanted::Part(_) => Ok(0..length),
        Wanted::From(at) if at.get() >= length => outside,
        Wanted::From(at) => Ok(at.get()..length),
        Wanted::Range(at, _) if at.get() >= length => outside,
        Wanted::Range(at, count) => Ok(at.get()..at.get().saturating_add(count.get()).min(length)),
        Wanted::Last(count) if count == ByteCount::ZERO || length == 0 => outside,
        Wanted::Last(count) => Ok(length.saturating_sub(count.get())..length),
    }
}

/// Where those bytes of an extent's blob are. A blob that a version shows has its rows.
fn place(
    rows: &impl Rows,
    extent: &ExtentRow,
    wanted: Range<u64>,
) -> Result<(ByteCount, Place), StoreError> {
    let blob = BLOBS.get(rows, &extent.blob)?.ok_or(StoreError::Damaged)?;
    let place = match blob.place {
        BlobPlace::Inline => {
            let sealed = INLINE.get(rows, &extent.blob)?;
            let sealed = sealed.ok_or(StoreError::Damaged)?;
            Place::Inline { sealed }
        }
        BlobPlace::Runs { profile, runs } => {
            let runs = covering(profile, runs, wanted);
            Place::Runs { profile, runs }
        }
    };
    Ok((blob.length, place))
}

/// The runs that hold some byte of `wanted`, which is not empty.
fn covering(profile: Profile, mut runs: Vec<Run>, wanted: Range<u64>) -> Vec<Run> {
    let chunk = (profile.segments_per_chunk() * SEGMENT) as u64;
    let (first, last) = (wanted.start / chunk, (wanted.end - 1) / chunk);
    runs.retain(|run| run.first_index <= last && first < run.first_index + u64::from(run.chunks));
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: u64) -> ByteOffset {
        ByteOffset::new(position)
    }

    fn bytes(count: u64) -> ByteCount {
        ByteCount::new(count)
    }

    #[test]
    fn ranges_are_clamped_or_refused_as_http_has_it() {
        let refused = |length| Err(MetadataError::RangeNotSatisfiable { length });
        // wanted, object length, bytes
        for (wanted, length, expected) in [
            (Wanted::Nothing, 10, Ok(0..0)),
            (Wanted::All, 10, Ok(0..10)),
            (Wanted::All, 0, Ok(0..0)),
            (Wanted::From(at(9)), 10, Ok(9..10)),
            (Wanted::From(at(10)), 10, refused(10)),
            (Wanted::From(at(0)), 0, refused(0)),
            (Wanted::Range(at(2), bytes(3)), 10, Ok(2..5)),
            (Wanted::Range(at(9), bytes(u64::MAX)), 10, Ok(9..10)),
            (Wanted::Range(at(10), bytes(1)), 10, refused(10)),
            (Wanted::Last(bytes(3)), 10, Ok(7..10)),
            (Wanted::Last(bytes(30)), 10, Ok(0..10)),
            (Wanted::Last(bytes(0)), 10, refused(10)),
            (Wanted::Last(bytes(1)), 0, refused(0)),
        ] {
            assert_eq!(resolve(wanted, length), expected, "{wanted:?} of {length}");
        }
    }
}
