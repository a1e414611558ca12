//! Idle memory, kept by size and within a bound, and given back once nobody needs it. `tests/it/schedules` tries it,
//! under many schedules too.

use super::sync::{Mutex, PoisonError};
use std::collections::BTreeMap;

/// Pieces of memory that wait to be used again.
pub(crate) struct Pool<T> {
    idle: Mutex<Idle<T>>,
    /// What the sizes of idle pieces sum up to at most.
    most: usize,
}

struct Idle<T> {
    by_size: BTreeMap<usize, Class<T>>,
    sum: usize,
}

/// Idle pieces of one size.
struct Class<T> {
    pieces: Vec<T>,
    /// How few there were since the last look for unused ones.
    fewest: usize,
}

impl<T> Pool<T> {
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            idle: Mutex::new(Idle {
                by_size: BTreeMap::new(),
                sum: 0,
            }),
            most,
        }
    }

    /// An idle piece of that size.
    pub(crate) fn take(&self, size: usize) -> Option<T> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let class = idle.by_size.get_mut(&size)?;
        let piece = class.pieces.pop();
        class.fewest = class.fewest.min(class.pieces.len());
        idle.sum -= piece.as_ref().map_or(0, |_| size);
        piece
    }

    /// Keeps a piece. Returns it when the pool is full: to be freed outside the lock.
    pub(crate) fn give(&self, size: usize, piece: T) -> Option<T> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.sum + size > self.most {
            return Some(piece);
        }
        idle.sum += size;
        let class = idle.by_size.entry(size).or_insert(Class {
            pieces: Vec::new(),
            fewest: 0,
        });
        class.pieces.push(piece);
        None
    }

    /// Takes out the pieces that nobody needed since this was called last: to be freed outside the lock.
    pub(crate) fn unused(&self) -> Vec<T> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unused = Vec::new();
        let mut sum = 0;
        idle.by_size.retain(|size, class| {
            // The last one given is the first one taken: what was not needed lies at the beginning.
            unused.extend(class.pieces.drain(..class.fewest));
            class.fewest = class.pieces.len();
            sum += size * class.pieces.len();
            !class.pieces.is_empty()
        });
        idle.sum = sum;
        unused
    }
}
