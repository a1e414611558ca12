//! What a copy takes, as the rows have it: read only where it may be shared, its keys still wrapped.

use crate::command::Copied;
use crate::manifest::ManifestError;
use crate::pieces::{Piece, Shown, shown};
use crate::share::{MAX_PIECES, shareable};
use crate::store::StoreError;
use crate::tables::{BUCKETS, BucketRow, HEADS, HeadRow, PARTS, PartRow};
use crate::txn::Rows;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use types::wire::metadata::MetadataError;

/// A range of the current version of an object.
#[derive(Debug)]
pub struct Source {
    /// Which version.
    pub of: Copied,
    /// Its bucket.
    pub bucket: BucketRow,
    /// Its head.
    pub head: HeadRow,
    /// Which bytes of it.
    pub range: Range<u64>,
    /// What it shows there.
    pub shown: Shown,
    /// The parts that this belongs to, of an object that has any.
    pub parts: BTreeMap<u32, PartRow>,
}

impl Source {
    /// The wrap of a piece, which is in the head or in the row of its part.
    pub fn wrap_of(&self, piece: &Piece) -> Option<&Bytes> {
        let wanted = (piece.blob, piece.offset, piece.length);
        if self.head.manifest.is_none() {
            let mut extents = self.head.extents.iter();
            let found = extents.find(|row| (row.blob, row.offset, row.length) == wanted);
            return found.map(|row| &row.wrap);
        }
        let mut pieces = self.parts.get(&piece.part)?.pieces.iter();
        let found = pieces.find(|row| (row.blob, row.offset, row.length) == wanted);
        found.map(|row| &row.wrap)
    }
}

/// Reads what is copied, of all of it where no range is named, if the rules allow to share it under the
/// label with digest `label`.
///
/// # Errors
/// When the store is broken; inside, why it is not shared.
pub fn read(
    rows: &impl Rows,
    of: Copied,
    range: Option<Range<u64>>,
    label: &[u8; 32],
) -> Result<Result<Source, MetadataError>, StoreError> {
    let Some(bucket) = BUCKETS.get(rows, &of.bucket)? else {
        return Ok(Err(MetadataError::SourceChanged));
    };
    let head = HEADS.get(rows, &(of.bucket, of.key.clone()))?;
    let Some(head) = head.filter(|head| head.version == of.version) else {
        return Ok(Err(MetadataError::SourceChanged));
    };
    let whole = 0..head.length.get();
    let range = range.unwrap_or_else(|| whole.clone());
    if range.end > whole.end {
        let length = whole.end;
        return Ok(Err(MetadataError::RangeNotSatisfiable { length }));
    }
    let shown = match shown(rows, &head, &range, MAX_PIECES) {
        Ok(shown) => shown,
        Err(ManifestError::Damaged) => return Ok(Err(MetadataError::RowDamaged)),
        Err(ManifestError::Store(error)) => return Err(error),
    };
    let lengths = shown.pieces.iter().map(|piece| piece.within(&range).length);
    if !shareable(&bucket.bucket.label.digest(), label, lengths) {
        return Ok(Err(MetadataError::NotShareable));
    }
    let mut parts = BTreeMap::new();
    if head.manifest.is_some() {
        for number in shown.pieces.iter().map(|piece| piece.part) {
            if let Entry::Vacant(part) = parts.entry(number) {
                let row = PARTS.get(rows, &(head.version, number))?;
                part.insert(row.ok_or(StoreError::Damaged)?);
            }
        }
    }
    Ok(Ok(Source {
        of,
        bucket,
        head,
        range,
        shown,
        parts,
    }))
}
