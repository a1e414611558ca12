//! sled: starting it, and living through its panics.

use super::engine::{Batch, Engine, Start};
use super::error::StoreError;
use crate::txn::RowIter;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};
use types::ByteCount;
use types::size::MIB;

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How sled is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sled {
    /// Pages that it keeps in memory. Its table of all pages comes on top.
    pub cache: ByteCount,
}

impl Default for Sled {
    fn default() -> Self {
        Self {
            cache: ByteCount::new(128 * MIB),
        }
    }
}

/// A running one.
struct Running {
    /// Kept beside its tree: dropping it ends sled's threads.
    db: sled::Db,
    tree: sled::Tree,
}

impl Start for Sled {
    /// Its threads hold its lock a little longer than who started it: that is no damage.
    fn start(&self, rows: &Path, let_go: Duration) -> Result<Box<dyn Engine>, StoreError> {
        let since = Instant::now();
        loop {
            let started = guarded(|| {
                let db = sled::Config::new()
                    .path(rows)
                    .cache_capacity(self.cache.get())
                    .open()?;
                let tree = db.open_tree(b"rows")?;
                Ok(Running { db, tree })
            });
            match started {
                Err(error) if is_locked(&error) => {
                    if since.elapsed() >= let_go {
                        return Err(StoreError::InUse {
                            path: rows.to_owned(),
                        });
                    }
                    std::thread::sleep(LOOK_AGAIN);
                }
                started => return Ok(Box::new(started?)),
            }
        }
    }
}

impl Engine for Running {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(guarded(|| self.tree.get(key))?.map(|value| value.to_vec()))
    }

    fn scan(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> RowIter<'_> {
        let mut stored = self.tree.range((from, to));
        Box::new(std::iter::from_fn(move || {
            let next = guarded(|| stored.next().transpose()).transpose()?;
            Some(next.map(|(key, value)| (key.to_vec(), value.to_vec())))
        }))
    }

    fn apply(&self, changes: Batch) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        guarded(|| self.tree.apply_batch(batch))
    }

    fn clear(&self) -> Result<(), StoreError> {
        guarded(|| self.tree.clear())
    }

    fn flush(&self) -> Result<(), StoreError> {
        guarded(|| self.tree.flush()).map(drop)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        guarded(|| self.db.size_on_disk())
    }
}

/// Whether somebody else holds sled's lock. It has no kind of its own.
fn is_locked(error: &StoreError) -> bool {
    let StoreError::Engine(error) = error else {
        return false;
    };
    match error.downcast_ref() {
        Some(sled::Error::Io(error)) => error.to_string().contains("could not acquire lock"),
        _ => false,
    }
}

/// sled panics on some kinds of damage; a panic is as good as an error here.
fn guarded<T>(use_engine: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(use_engine)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(StoreError::Engine(Box::new(error))),
        Err(_) => Err(StoreError::Panicked),
    }
}
