//! Whether a drive serves: it may have failed, or a call to it may not return.

use crate::drive::{Drive, lock};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;
use types::wire::storage::{DiskState, ReadError};

/// Since when something is under way.
#[derive(Default)]
pub(crate) struct Watchdog(Mutex<Option<Instant>>);

impl Watchdog {
    /// It begins. `false` when it is under way already.
    pub(crate) fn begin(&self) -> bool {
        let mut since = lock(&self.0);
        let idle = since.is_none();
        since.get_or_insert_with(Instant::now);
        idle
    }

    /// It is done.
    pub(crate) fn end(&self) {
        *lock(&self.0) = None;
    }

    /// For how long it is under way.
    pub(crate) fn elapsed(&self) -> Duration {
        lock(&self.0).map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Drive {
    /// Serving, failed or stalled.
    pub(crate) fn condition(&self) -> DiskState {
        match (self.failed.get(), &*lock(&self.stalled)) {
            (Some(why), _) => DiskState::Failed(why.to_string()),
            (None, Some(why)) => DiskState::Stalled(why.clone()),
            (None, None) => DiskState::Serving,
        }
    }

    /// Whether it may be asked for what it holds.
    pub(crate) fn answering(&self) -> Result<(), ReadError> {
        match self.condition() {
            DiskState::Serving => Ok(()),
            _ => Err(ReadError::DiskUnavailable { disk: self.id }),
        }
    }

    /// Notes whether a call has not returned for that long. Returns whether that is new.
    pub(crate) fn note_stall(&self, patience: Duration) -> bool {
        let since = self.busy.elapsed().max(self.checked.elapsed());
        let why = (since >= patience).then(|| "a call to it does not return".to_owned());
        let mut stalled = lock(&self.stalled);
        let new = stalled.is_some() != why.is_some();
        if new && why.is_some() {
            tracing::error!(disk = %self.id, "the disk is stalled: a call has not returned for {since:?}");
        } else if new {
            tracing::info!(disk = %self.id, "the disk's calls have returned: it serves again");
        }
        *stalled = why;
        new
    }
}
