//! Idle memory, kept by size and within a bound. `tests/it/schedules` drives it through many schedules.

use super::sync::{Mutex, PoisonError};
use std::collections::BTreeMap;

/// Pieces of memory that wait to be used again.
pub(crate) struct Pool<T> {
    idle: Mutex<Idle<T>>,
    /// What the sizes of idle pieces sum up to at most.
    most: usize,
}

struct Idle<T> {
    by_size: BTreeMap<usize, Vec<T>>,
    sum: usize,
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
        let piece = idle.by_size.get_mut(&size)?.pop()?;
        idle.sum -= size;
        Some(piece)
    }

    /// Keeps a piece. Returns it when the pool is full: to be freed outside the lock.
    pub(crate) fn give(&self, size: usize, piece: T) -> Option<T> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.sum + size > self.most {
            return Some(piece);
        }
        idle.sum += size;
        idle.by_size.entry(size).or_default().push(piece);
        None
    }
}
