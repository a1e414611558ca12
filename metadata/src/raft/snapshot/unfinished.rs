//! Snapshot files that did not become the current one: they go once nobody holds them.
//!
//! Building or receiving one may end anywhere, by a dropped future too, and what drops a file cannot wait
//! for a disk. So its name is noted, and the file is removed at the next sweep. What a process leaves
//! behind is removed at the next start.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Names of files that nobody holds any more.
#[derive(Default)]
pub(super) struct Leftovers(Mutex<Vec<String>>);

impl Leftovers {
    /// One of them, which is forgotten here.
    pub(super) fn take(&self) -> Option<String> {
        self.names().pop()
    }

    fn names(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds a file that is left over when this is dropped, unless it was published.
pub(super) struct Unfinished {
    pub(super) name: String,
    leftovers: Arc<Leftovers>,
    published: AtomicBool,
}

impl Unfinished {
    /// To be held before the file is created.
    pub(super) fn new(name: String, leftovers: &Arc<Leftovers>) -> Self {
        Self {
            name,
            leftovers: Arc::clone(leftovers),
            published: AtomicBool::new(false),
        }
    }

    /// The file has another name now.
    pub(super) fn published(&self) {
        self.published.store(true, Ordering::Relaxed);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !*self.published.get_mut() {
            let name = std::mem::take(&mut self.name);
            self.leftovers.names().push(name);
        }
    }
}
