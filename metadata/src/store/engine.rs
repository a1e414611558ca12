//! What keeps the stored rows: an ordered map that takes batches whole or not at all.
//!
//! sled does in every server (`sled_engine.rs`). Another engine is one file's work: `cargo xtask bench metadata
//! engines` holds one against it, under the same frames, checksums and digest. An engine never has to be durable:
//! the rows are a cache.

use super::error::StoreError;
use crate::txn::RowIter;
use std::ops::Bound;
use std::path::Path;
use std::time::Duration;

/// A store's engine, running.
pub trait Engine: Send + Sync {
    /// What is stored under a key.
    ///
    /// # Errors
    /// When the engine fails.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// What is stored between two keys, in order of key.
    fn scan(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> RowIter<'_>;

    /// Makes all of these changes, in one step.
    ///
    /// # Errors
    /// When the engine fails: none was made, or the engine is not used again.
    fn apply(&self, batch: Batch) -> Result<(), StoreError>;

    /// Removes everything.
    ///
    /// # Errors
    /// When the engine fails.
    fn clear(&self) -> Result<(), StoreError>;

    /// Hands everything to the file system. The store syncs the files then.
    ///
    /// # Errors
    /// When the engine fails.
    fn flush(&self) -> Result<(), StoreError>;

    /// Bytes in its files.
    ///
    /// # Errors
    /// When the engine fails.
    fn size_on_disk(&self) -> Result<u64, StoreError>;
}

/// How an engine is started.
pub trait Start {
    /// Starts it in a folder that is its own. Who used it until now has `let_go` to end that.
    ///
    /// # Errors
    /// When what is there cannot be used, or is still in use.
    fn start(&self, rows: &Path, let_go: Duration) -> Result<Box<dyn Engine>, StoreError>;
}

/// Changes that are made in one step.
#[derive(Default)]
pub struct Batch(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl Batch {
    pub(super) fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.push((key, Some(value)));
    }

    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.0.push((key, None));
    }
}

impl FromIterator<(Vec<u8>, Option<Vec<u8>>)> for Batch {
    /// Each key once, in any order: an engine that changes what another is given.
    fn from_iter<T: IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>>(changes: T) -> Self {
        Self(changes.into_iter().collect())
    }
}

impl IntoIterator for Batch {
    type Item = (Vec<u8>, Option<Vec<u8>>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    /// Each key once, with its new value, or none where it goes.
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
