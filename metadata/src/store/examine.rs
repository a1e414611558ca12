//! The stored rows held against the digest that was kept as they were written, a piece at a time.
//!
//! ```text
//! rows  | read, and in the sum | not read yet |
//!                              ^ up to here; what is written on the left changes the sum as it changes the digest
//! ```
//!
//! When all are read the sum is the digest, whatever was written meanwhile: unless a row is stored that was never
//! written, or one that was is gone.

use super::digest::Digest;
use super::{Head, Store, StoreError};
use crate::txn::Rows;
use std::ops::Bound;

/// Bytes of rows that are read at once.
const PIECE: usize = 512 << 10;

/// How far the rows are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Examination {
    /// The last key that was read.
    up_to: Option<Vec<u8>>,
    sum: Digest,
}

impl Examination {
    fn has_read(&self, key: &[u8]) -> bool {
        self.up_to.as_deref().is_some_and(|up_to| key <= up_to)
    }

    /// A row goes, comes, or becomes another.
    pub(super) fn change(&mut self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        if !self.has_read(key) {
            return;
        }
        if let Some(old) = old {
            self.sum.remove(key, old);
        }
        if let Some(new) = new {
            self.sum.add(key, new);
        }
    }
}

/// What was found in a piece of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Examined {
    /// Nothing wrong so far: there is more.
    Piece,
    /// All rows are what was written.
    Equal,
    /// They are not.
    Differs,
    /// All rows were replaced meanwhile.
    Replaced,
}

impl Store {
    /// Begins to read all rows.
    pub fn begin_examination(&self) {
        self.head().examination = Some(Examination::default());
    }

    /// Reads the next piece of the rows. Nothing is committed meanwhile: the caller sees to that.
    ///
    /// # Errors
    /// When a row is damaged.
    pub fn examine(&self) -> Result<Examined, StoreError> {
        let Some(mut examination) = self.head().examination.take() else {
            return Ok(Examined::Replaced);
        };
        let from = examination.up_to.take();
        let mut bytes = 0;
        for row in self.scan(
            from.map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Unbounded,
        ) {
            let (key, value) = row?;
            bytes += key.len() + value.len();
            examination.sum.add(&key, &value);
            examination.up_to = Some(key);
            if bytes >= PIECE {
                self.head().examination = Some(examination);
                return Ok(Examined::Piece);
            }
        }
        match self.head().digest == examination.sum {
            true => Ok(Examined::Equal),
            false => Ok(Examined::Differs),
        }
    }
}

impl Head {
    /// After a batch was written, or all rows were replaced.
    pub(super) fn new(mark: &[u8], digest: Digest, examination: Option<Examination>) -> Self {
        Self {
            mark: Some(mark.to_vec()),
            digest,
            examination,
        }
    }
}
