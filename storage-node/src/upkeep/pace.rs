//! How fast background work may go: all that is left over, and a share of the time while others are served.
//!
//! There is no rate to configure. While nobody reads or writes, work goes on as fast as the disks do. While
//! somebody does, each piece of work is followed by a pause that is a multiple of what the piece took: the
//! slower the machine gets for everyone, the longer the pauses.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// After the last request of others, for so long they count as being served.
const QUIET_AFTER: Duration = Duration::from_millis(500);
/// How much longer than a piece of work the pause behind it is, while others are served.
const PAUSES: u32 = 3;
/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(1);

/// Requests of others, counted.
#[derive(Debug, Default)]
pub struct Foreground(AtomicU64);

impl Foreground {
    /// Notes one.
    pub fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The pace of one node's background work.
#[derive(Debug)]
pub(crate) struct Pace {
    foreground: Arc<Foreground>,
    seen: Mutex<(u64, Instant)>,
}

impl Pace {
    pub(crate) fn new(foreground: Arc<Foreground>) -> Self {
        let count = foreground.count();
        let long_ago = Instant::now();
        Self {
            foreground,
            seen: Mutex::new((count, long_ago)),
        }
    }

    /// Waits behind a piece of work that took so long.
    pub(crate) async fn rest(&self, took: Duration) {
        if self.others_are_served() {
            tokio::time::sleep((took * PAUSES).min(LONGEST)).await;
        }
    }

    fn others_are_served(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, now) = (self.foreground.count(), Instant::now());
        if seen.0 != count {
            *seen = (count, now);
        }
        seen.0 > 0 && now.duration_since(seen.1) < QUIET_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Alone, work is not held up; beside others, by a multiple of what it took, up to a limit.
    #[tokio::test(start_paused = true)]
    async fn pauses_follow_the_requests_of_others() {
        let foreground = Arc::new(Foreground::default());
        let pace = Pace::new(Arc::clone(&foreground));
        let rested = async |took| {
            let began = Instant::now();
            pace.rest(took).await;
            began.elapsed()
        };
        let piece = Duration::from_millis(20);
        assert_eq!(rested(piece).await, Duration::ZERO);
        foreground.note();
        assert_eq!(rested(piece).await, 3 * piece);
        foreground.note();
        assert_eq!(rested(Duration::from_secs(9)).await, LONGEST);
        tokio::time::advance(QUIET_AFTER).await;
        assert_eq!(rested(piece).await, Duration::ZERO);
    }
}
