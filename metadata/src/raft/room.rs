//! Room on the metadata disk: asked for before it runs out, since a log that cannot be written ends the
//! server.
//!
//! ```text
//! free bytes        proposals    a leader's entries    snapshots
//! 2 log files       taken        taken                 one of s bytes is begun above 2 s + 1 log file
//! 1 log file        refused      taken                 one under way goes on
//! 0                 refused      refused               one under way is given up
//! ```
//!
//! A refused proposal changes nothing, reads go on, and a snapshot that is put off is tried again. A follower that
//! refuses entries hears its leader on, votes, and is no part of the quorum that commits them. All of it passes by
//! itself once there is space, which a snapshot makes by letting the log be purged.

use disk::Disk;
use std::io;
use std::sync::{Arc, PoisonError};
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
    /// When it was last asked, and how much was free; none: the disk does not say.
    asked: Mutex<Option<(Instant, Option<u64>)>>,
    /// What was said last of proposals, and of entries: it is told when that changes.
    told: std::sync::Mutex<(bool, bool)>,
}

impl Room {
    /// `log_file` is the size of a log file, by which the reserve is measured.
    pub(crate) fn new(disk: Arc<dyn Disk>, log_file: ByteCount) -> Self {
        Self {
            disk,
            log_file: log_file.get(),
            asked: Mutex::new(None),
            told: std::sync::Mutex::new((true, true)),
        }
    }

    /// Whether proposals may be taken.
    pub(crate) async fn for_proposals(&self) -> bool {
        self.look().await.0
    }

    /// Whether a leader's entries may be taken.
    pub(crate) async fn for_entries(&self) -> bool {
        self.look().await.1
    }

    /// Whether there is room for proposals, and for entries. A disk that does not say is left to fail by itself.
    async fn look(&self) -> (bool, bool) {
        let mut asked = self.asked.lock().await;
        let free = match *asked {
            Some((at, free)) if at.elapsed() < FRESH => free,
            _ => {
                let free = self.disk.free().await.ok().map(ByteCount::get);
                *asked = Some((Instant::now(), free));
                free
            }
        };
        let above = |files: u64| free.is_none_or(|free| free >= files * self.log_file);
        let now = (above(2), above(1));
        self.tell(now);
        now
    }

    fn tell(&self, now: (bool, bool)) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *told, now);
        if before == now {
            return;
        }
        match now {
            (true, _) => tracing::warn!("the metadata disk has room again"),
            (false, true) => {
                tracing::error!("the metadata disk is almost full: proposals are refused");
            }
            (false, false) => {
                tracing::error!("the metadata disk is full: what a leader sends is refused, too");
            }
        }
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
