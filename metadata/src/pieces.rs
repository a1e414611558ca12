//! The pieces of blobs that a version shows: what a copy refers to again.
//!
//! One reading for `apply`, which makes references, and for the server, which makes their wraps: both see
//! the same pieces in the same order.

use crate::manifest::{FoundRow, Manifest, ManifestError};
use crate::tables::{HeadRow, PartRow, PieceRow};
use crate::txn::Rows;
use bytes::Bytes;
use std::ops::Range;
use types::id::BlobId;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::WallTime;

/// A piece of a blob, as a version shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Number of the part that it belongs to; 0 for a plain PUT.
    pub part: u32,
    /// Whose bytes.
    pub blob: BlobId,
    /// Where in the blob it begins.
    pub offset: ByteOffset,
    /// Where in the object it begins.
    pub start: u64,
    /// How long it is.
    pub length: ByteCount,
}

impl Piece {
    /// Where in the object it ends.
    pub fn end(&self) -> u64 {
        self.start + self.length.get()
    }

    /// What of it lies in a range of the object that it reaches into.
    pub fn within(&self, range: &Range<u64>) -> Self {
        let start = self.start.max(range.start);
        let end = self.end().min(range.end);
        Self {
            offset: ByteOffset::new(self.offset.get() + (start - self.start)),
            start,
            length: ByteCount::new(end - start),
            ..*self
        }
    }
}

/// What a version shows in a range of it.
#[derive(Debug, Default)]
pub struct Shown {
    /// The pieces that reach into the range, whole, in order.
    pub pieces: Vec<Piece>,
    /// The rows of a manifest that say so: to be verified.
    pub looked_at: Vec<FoundRow>,
}

/// The pieces of a version that reach into a range of it, and any empty one that is met: no part is taken
/// to be missing. `most` and one more at most.
///
/// # Errors
/// When a manifest is damaged, or the store is broken.
pub fn shown(
    rows: &impl Rows,
    head: &HeadRow,
    range: &Range<u64>,
    most: usize,
) -> Result<Shown, ManifestError> {
    let mut shown = Shown::default();
    let reaches = |at: &Range<u64>| at.is_empty() || at.start < range.end && range.start < at.end;
    if head.manifest.is_none() {
        let mut start = 0;
        for extent in &head.extents {
            let piece = Piece {
                part: extent.part,
                blob: extent.blob,
                offset: extent.offset,
                start,
                length: extent.length,
            };
            start = piece.end();
            shown.pieces.push(piece);
        }
        shown
            .pieces
            .retain(|piece| reaches(&(piece.start..piece.end())));
    } else {
        let mut manifest = Manifest::new(rows, head.version, head.length);
        let mut next = range.start;
        while next < range.end && shown.pieces.len() <= most {
            let row = manifest.at(next)?;
            for (at, entry) in row.pieces().filter(|(at, _)| reaches(at)) {
                let length = at.end.checked_sub(at.start);
                shown.pieces.push(Piece {
                    part: entry.part,
                    blob: entry.blob,
                    offset: entry.offset,
                    start: at.start,
                    length: ByteCount::new(length.ok_or(ManifestError::Damaged)?),
                });
            }
            // A row that holds the byte ends behind it; one that was edited does not lead back.
            next = row.end.get().max(next + 1);
        }
        shown.looked_at = manifest.into_looked_at();
    }
    shown.pieces.truncate(most + 1);
    Ok(shown)
}

/// The pieces part by part.
pub fn by_part(pieces: &[Piece]) -> impl Iterator<Item = &[Piece]> {
    pieces.chunk_by(|one, next| one.part == next.part)
}

/// The row of a part that shows these pieces, each under its wrap.
pub fn part_row<'w>(
    pieces: &[Piece],
    wraps: impl IntoIterator<Item = &'w Bytes>,
    sealed: &Bytes,
    born: u64,
    modified: WallTime,
) -> PartRow {
    let wrapped = pieces.iter().zip(wraps);
    PartRow {
        born,
        modified,
        length: pieces.iter().map(|piece| piece.length).sum(),
        sealed: sealed.clone(),
        pieces: wrapped
            .map(|(piece, wrap)| PieceRow {
                blob: piece.blob,
                offset: piece.offset,
                length: piece.length,
                wrap: wrap.clone(),
            })
            .collect(),
    }
}
