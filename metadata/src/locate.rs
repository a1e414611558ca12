//! GET's lookup as the rows have it: which extents cover a range, and where their bytes are.

use crate::store::StoreError;
use crate::tables::{BLOBS, BUCKETS, BlobPlace, ExtentRow, HEADS, HeadRow, INLINE};
use crate::txn::Rows;
use std::ops::Range;
use types::block::SEGMENT;
use types::manifest::{Place, Run};
use types::profile::Profile;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{Lookup, MetadataError, Wanted};

/// What a lookup found: keys still wrapped, attributes still sealed.
#[derive(Debug)]
pub struct Found {
    /// Digest of the bucket's label.
    pub label_digest: [u8; 32],
    /// The current version.
    pub head: HeadRow,
    /// The extents that cover what was wanted.
    pub extents: Vec<FoundExtent>,
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

/// Looks an object up.
///
/// # Errors
/// When the store is broken; inside, when there is no such object or range.
pub fn locate(
    rows: &impl Rows,
    lookup: &Lookup,
) -> Result<Result<Found, MetadataError>, StoreError> {
    let Some(bucket) = BUCKETS.get(rows, &lookup.bucket)? else {
        return Ok(Err(MetadataError::NoSuchBucket));
    };
    let Some(head) = HEADS.get(rows, &(lookup.bucket, lookup.key.clone()))? else {
        return Ok(Err(MetadataError::NoSuchObject));
    };
    let wanted = match resolve(lookup.wanted, head.length.get()) {
        Ok(wanted) => wanted,
        Err(error) => return Ok(Err(error)),
    };
    let mut extents = Vec::new();
    let mut offset = 0;
    for extent in &head.extents {
        let end = offset + extent.length.get();
        let from = wanted.start.max(offset);
        let to = wanted.end.min(end);
        if from < to {
            let in_blob =
                extent.offset.get() + (from - offset)..extent.offset.get() + (to - offset);
            let (blob_length, place) = place(rows, extent, in_blob)?;
            extents.push(FoundExtent {
                object_offset: ByteOffset::new(offset),
                extent: extent.clone(),
                blob_length,
                place,
            });
        }
        offset = end;
    }
    Ok(Ok(Found {
        label_digest: bucket.bucket.label.digest(),
        head,
        extents,
    }))
}

/// The bytes that are wanted of an object of that length.
fn resolve(wanted: Wanted, length: u64) -> Result<Range<u64>, MetadataError> {
    let outside = Err(MetadataError::RangeNotSatisfiable { length });
    match wanted {
        Wanted::Nothing => Ok(0..0),
        Wanted::All => Ok(0..length),
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
