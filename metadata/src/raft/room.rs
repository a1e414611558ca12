//! Room on the metadata disk: asked for before it runs out, since a log that cannot be written ends the
//! server.
//!
//! ```text
//! free bytes        proposals    snapshots
//! 2 log files       taken        one of s bytes is begun above 2 s + 1 log file
//! 1 log file        refused      one under way goes on
//! 0                 refused      one under way is given up
//! ```
//!
//! A refused proposal changes nothing, reads go on, and a snapshot that is put off is tried again: all of
//! it passes by itself once there is space, which a snapshot makes by letting the log be purged.

use disk::Disk;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use types::ByteCount;

/// For so long an answer about free space is believed: less than the log takes to fill one file.
const FRESH: Duration = Duration::from_millis(200);

/// Knows how full the metadata disk is.
pub(crate) struct Room {
    disk: Arc<dyn Disk>,
    log_file: u64,
    /// When it was last asked for proposals, and the answer.
    asked: Mutex<Option<(Instant, bool)>>,
}

impl Room {
    /// `log_file` is the size of a log file, by which the reserve is measured.
    pub(crate) fn new(disk: Arc<dyn Disk>, log_file: ByteCount) -> Self {
        Self {
            disk,
            log_file: log_file.get(),
            asked: Mutex::new(None),
        }
    }

    /// Whether proposals may be taken.
    pub(crate) async fn for_proposals(&self) -> bool {
        let mut asked = self.asked.lock().await;
        if let Some((at, answer)) = *asked
            && at.elapsed() < FRESH
        {
            return answer;
        }
        // A disk that does not say is left to fail by itself.
        let answer = match self.disk.free().await {
            Ok(free) => free.get() >= 2 * self.log_file,
            Err(_) => true,
        };
        if !answer && !matches!(*asked, Some((_, false))) {
            tracing::error!("the metadata disk is almost full: proposals are refused");
        }
        *asked = Some((Instant::now(), answer));
        answer
    }

    /// Whether a snapshot may be begun that is about as large as this.
    pub(crate) async fn for_snapshot(&self, likely: ByteCount) -> io::Result<bool> {
        let wanted = likely.get().saturating_mul(2).saturating_add(self.log_file);
        Ok(self.disk.free().await?.get() >= wanted)
    }

    /// Fails, as a full disk does, when a snapshot under way leaves the log no room.
    pub(crate) async fn left_for_log(&self) -> io::Result<()> {
        if self.disk.free().await?.get() >= self.log_file {
            Ok(())
        } else {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
}

/// Whether an error says that the disk is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}
