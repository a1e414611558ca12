//! Manifests: what an object of several pieces shows, in rows, each under where in the object it ends.
//!
//! ```text
//! offset     0          8 MiB      16 MiB               2040 MiB          total
//!            | part 1   | part 2   | ...   | part 255   |  part 256  ...  |
//! row        `------------- under 2040 MiB -------------'--- under total -'
//! ```
//!
//! Pieces lie one behind the other, without gaps, and part numbers rise; so one seek finds the row of an
//! offset, and halving finds that of a part. There is a row at least, and no two end in one place: only
//! the last part may be empty, and it is never alone in a row (but in an object of nothing else).
//!
//! Rows are not believed here. Whoever reads them verifies the MAC of each row that it has *looked at*, also
//! of those that only led to others.

use crate::store::StoreError;
use crate::tables::{MANIFESTS, ManifestEntry, ManifestRow, PartRow, TableKey};
use crate::txn::Rows;
use seal::manifest::ROW_PARTS;
use std::ops::Range;
use types::id::VersionId;
use types::size::{ByteCount, ByteOffset};

/// A row before it has a MAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Laid {
    /// Where in the object its first piece begins.
    pub first: ByteOffset,
    /// Its pieces: one at least.
    pub entries: Vec<ManifestEntry>,
}

impl Laid {
    /// Where in the object it ends.
    pub fn end(&self) -> ByteOffset {
        end_of(&self.entries)
    }
}

fn end_of(entries: &[ManifestEntry]) -> ByteOffset {
    entries.last().map_or(ByteOffset::ZERO, |last| last.end)
}

/// Lays out the pieces of parts, which come in order of their numbers. `None` when they make no object:
/// there are none, a part but the last is empty, or together they are too long.
pub fn lay_out<'p>(parts: impl IntoIterator<Item = (u32, &'p PartRow)>) -> Option<Vec<Laid>> {
    let mut entries: Vec<ManifestEntry> = Vec::new();
    let mut end = 0_u64;
    let mut empty = false;
    for (part, row) in parts {
        for piece in &row.pieces {
            if empty {
                return None;
            }
            empty = piece.length == ByteCount::ZERO;
            end = end.checked_add(piece.length.get())?;
            entries.push(ManifestEntry {
                part,
                blob: piece.blob,
                offset: piece.offset,
                end: ByteOffset::new(end),
            });
        }
    }
    // One place in a row is left for an empty part at the end.
    let alone = empty && entries.len() > 1;
    let last = if alone { entries.pop() } else { None };
    let mut first = ByteOffset::ZERO;
    let mut rows: Vec<Laid> = Vec::new();
    for entries in entries.chunks(ROW_PARTS - 1) {
        let entries = entries.to_vec();
        let end = end_of(&entries);
        rows.push(Laid { first, entries });
        first = end;
    }
    rows.last_mut()?.entries.extend(last);
    Some(rows)
}

/// A manifest row with where in the object it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRow {
    /// Where it ends, as its key has it.
    pub end: ByteOffset,
    /// The row.
    pub row: ManifestRow,
}

impl FoundRow {
    /// Its pieces, with where in the object each of them lies. A row that was edited may hold anything.
    pub fn pieces(&self) -> impl Iterator<Item = (Range<u64>, &ManifestEntry)> {
        let mut from = self.row.first.get();
        self.row.entries.iter().map(move |entry| {
            let to = entry.end.get();
            (std::mem::replace(&mut from, to)..to, entry)
        })
    }

    fn last_part(&self) -> Option<u32> {
        self.row.entries.last().map(|entry| entry.part)
    }
}

/// Why a manifest does not say what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Its rows do not lie one behind the other.
    #[error("the rows of a manifest do not hang together")]
    Damaged,
    /// The store is broken.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One version's manifest, and all rows of it that were looked at.
pub struct Manifest<'r, R> {
    rows: &'r R,
    version: VersionId,
    total: u64,
    looked_at: Vec<FoundRow>,
}

impl<'r, R: Rows> Manifest<'r, R> {
    /// The manifest of a version of that length.
    pub fn new(rows: &'r R, version: VersionId, total: ByteCount) -> Self {
        Self {
            rows,
            version,
            total: total.get(),
            looked_at: Vec::new(),
        }
    }

    /// All rows that were looked at, each once; none of them verified.
    pub fn into_looked_at(mut self) -> Vec<FoundRow> {
        self.looked_at.sort_unstable_by_key(|row| row.end);
        self.looked_at.dedup_by_key(|row| row.end);
        self.looked_at
    }

    /// The row of the byte at an offset; of an empty object, its only row.
    ///
    /// # Errors
    /// When there is no such row, or the store is broken.
    pub fn at(&mut self, offset: u64) -> Result<FoundRow, ManifestError> {
        let least = offset.saturating_add(1).min(self.total);
        let (from, to) = ((self.version, least), (self.version, u64::MAX));
        let found = MANIFESTS.range(self.rows, &from.bytes(), &to.bytes());
        let found = found.take(1).next().transpose()?;
        let (row_key, row) = found.ok_or(ManifestError::Damaged)?;
        let end = row_key.last_chunk().ok_or(StoreError::Damaged)?;
        let end = u64::from_be_bytes(*end);
        if offset < row.first.get() || end > self.total || end != end_of(&row.entries).get() {
            return Err(ManifestError::Damaged);
        }
        let end = ByteOffset::new(end);
        let found = FoundRow { end, row };
        self.looked_at.push(found.clone());
        Ok(found)
    }

    /// The first row that has a part of that number or a higher one; none when there is none.
    fn first_with(&mut self, number: u32) -> Result<Option<FoundRow>, ManifestError> {
        let (mut low, mut high) = (0, self.total);
        loop {
            let row = self.at(low + (high - low) / 2)?;
            let reaches = row.last_part().is_some_and(|last| last >= number);
            if reaches && row.row.first.get() <= low {
                return Ok(Some(row));
            }
            if reaches {
                high = row.row.first.get();
            } else if row.end.get() >= self.total {
                return Ok(None);
            } else {
                low = row.end.get();
                if low >= high {
                    return self.at(low).map(Some);
                }
            }
        }
    }

    /// Where in the object a part lies; none when it has no part of that number.
    ///
    /// # Errors
    /// When the manifest is damaged, or the store is broken.
    pub fn part(&mut self, number: u32) -> Result<Option<Range<u64>>, ManifestError> {
        let mut found: Option<Range<u64>> = None;
        self.walk(number, |piece, entry| {
            let is_it = entry.part == number;
            if is_it {
                let start = found.as_ref().map_or(piece.start, |found| found.start);
                found = Some(start..piece.end);
            }
            is_it
        })?;
        Ok(found)
    }

    /// The numbers of the parts behind `after`, at most `limit` of them.
    ///
    /// # Errors
    /// When the manifest is damaged, or the store is broken.
    pub fn numbers(&mut self, after: u32, limit: usize) -> Result<Vec<u32>, ManifestError> {
        let mut numbers = Vec::new();
        let Some(from) = after.checked_add(1) else {
            return Ok(numbers);
        };
        self.walk(from, |_, entry| {
            if numbers.last() == Some(&entry.part) {
                return true;
            }
            if numbers.len() == limit {
                return false;
            }
            numbers.push(entry.part);
            true
        })?;
        Ok(numbers)
    }

    /// Walks the pieces from the first of part `number`, or of the first behind it, until told to stop.
    fn walk(
        &mut self,
        number: u32,
        mut each: impl FnMut(Range<u64>, &ManifestEntry) -> bool,
    ) -> Result<(), ManifestError> {
        let mut next = self.first_with(number)?;
        while let Some(row) = next {
            for (piece, entry) in row.pieces().filter(|(_, entry)| entry.part >= number) {
                if !each(piece, entry) {
                    return Ok(());
                }
            }
            let end = row.end.get();
            next = if end < self.total {
                let row = self.at(end)?;
                if row.row.first.get() != end {
                    return Err(ManifestError::Damaged);
                }
                Some(row)
            } else {
                None
            };
        }
        Ok(())
    }
}
