//! What keeps a metadata server's rows: sled as shipped, or with a bug planted in it, which loses a row now and then.
//! The rows are a cache and nothing is believed that is in it; but while a server runs it is used.

use crate::bay::lock;
use crate::plant::Plant;
use metadata::StoreError;
use metadata::store::{Batch, Engine, Sled, Start};
use metadata::txn::RowIter;
use std::ops::Bound;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

/// What loses rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaky {
    Never,
    /// Every so many batches one removal is not done.
    Removals,
    /// What is loaded after everything was removed lacks a row.
    Loads,
}

impl Flaky {
    /// As a plant has it.
    pub(crate) fn of(plant: Option<Plant>) -> Self {
        match plant {
            Some(Plant::LossyRows) => Self::Removals,
            Some(Plant::LossyLoads) => Self::Loads,
            _ => Self::Never,
        }
    }
}

impl Start for Flaky {
    fn start(&self, rows: &Path, let_go: Duration) -> Result<Box<dyn Engine>, StoreError> {
        let sled = Sled::default().start(rows, let_go)?;
        Ok(match self {
            Self::Never => sled,
            flaky => Box::new(Losing {
                sled,
                flaky: *flaky,
                due: Mutex::default(),
            }),
        })
    }
}

/// Rows that get lost.
struct Losing {
    sled: Box<dyn Engine>,
    flaky: Flaky,
    /// Whether the next batch loses one.
    due: Mutex<bool>,
}

impl Engine for Losing {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.sled.get(key)
    }

    fn scan(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> RowIter<'_> {
        self.sled.scan(from, to)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut changes: Vec<_> = batch.into_iter().collect();
        let removals = self.flaky == Flaky::Removals;
        // The mark is the last change, and the head of what follows.
        let lost = changes
            .iter()
            .position(|(_, value)| value.is_none() == removals);
        let lost = lost.filter(|at| at + 1 < changes.len());
        let mut due = lock(&self.due);
        if let Some(lost) = lost
            && (removals || std::mem::take(&mut *due))
        {
            changes.remove(lost);
        }
        self.sled.apply(changes.into_iter().collect())
    }

    fn clear(&self) -> Result<(), StoreError> {
        *lock(&self.due) = true;
        self.sled.clear()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.sled.flush()
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.sled.size_on_disk()
    }
}
