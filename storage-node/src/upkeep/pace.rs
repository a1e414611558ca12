//! How fast background work may go: all that is left over, and a share of the time while others are served.
//!
//! There is no rate to configure. Work is done in pieces. While nobody reads or writes, many are under way at
//! once, each as large as it likes, and the disks are as busy as they can be. While somebody does, the node has
//! one piece under way at a time, a small one, and behind it a pause that is as long as what it took: the
//! slower the machine gets for everyone, the longer the pauses. A reader so meets at most one small piece.
//!
//! A piece is never put off for good: pauses have a longest, so that work goes on beside any load.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use types::profile::DiskClass;

/// After the last request of others, for so long they count as being served.
const QUIET_AFTER: Duration = Duration::from_millis(500);
/// How many times as long as a piece of work the pause behind it is, while others are served.
const PAUSES: u32 = 1;
/// No pause is longer: a shard of 1 MiB is held up for a third of a second at most, whatever the load.
const LONGEST: Duration = Duration::from_millis(20);
/// Timers are no finer: shorter pauses are saved up.
const SHORTEST: Duration = Duration::from_millis(1);
/// So far behind its time work may be and catch up.
const MADE_UP: Duration = Duration::from_millis(5);
/// Pieces that may be under way at once while nobody is served: more than anybody has.
const MANY: u32 = 1 << 10;

/// The pace of one node's background work.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Requests of others, counted.
    requests: AtomicU64,
    /// How many there were when they were counted last, and since when.
    seen: Mutex<(u64, Instant)>,
    turns: Semaphore,
    /// When the next piece of work should begin.
    due: Mutex<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            requests: AtomicU64::new(0),
            seen: Mutex::new((0, Instant::now())),
            turns: Semaphore::new(MANY as usize),
            due: Mutex::new(Instant::now()),
        }
    }
}

impl Pace {
    /// Notes a request of others.
    pub(crate) fn note(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// How many blocks of a shard, with as many of its fellows', one piece of work takes in.
    pub(crate) fn blocks(&self, class: DiskClass) -> u32 {
        match class {
            _ if !self.others_are_served() => u32::MAX,
            // To find the place takes as long as to read a megabyte.
            DiskClass::Spinning => 16,
            _ => 1,
        }
    }

    /// Does a piece of work when it is its turn. While others are served, there is none beside it, nor for a
    /// while behind it. A piece has none inside.
    pub(crate) async fn piece<T>(&self, work: impl Future<Output = T>) -> T {
        let turns = match self.others_are_served() {
            true => MANY,
            false => 1,
        };
        let _turn = self.turns.acquire_many(turns).await.expect("never closed");
        let began = Instant::now();
        let done = work.await;
        if self.others_are_served() {
            self.rest(began.elapsed()).await;
        }
        done
    }

    /// Pauses behind a piece of work that took so long.
    async fn rest(&self, took: Duration) {
        let due = {
            let mut due = lock(&self.due);
            let now = Instant::now();
            // Pauses are made up for that were too short for a timer, or longer than they should have been.
            let ideal = *due + took * (1 + PAUSES);
            *due = ideal.max(now - MADE_UP).min(now + LONGEST);
            if *due < now + SHORTEST {
                return;
            }
            *due
        };
        tokio::time::sleep_until(due).await;
    }

    fn others_are_served(&self) -> bool {
        let mut seen = lock(&self.seen);
        let (count, now) = (self.requests.load(Ordering::Relaxed), Instant::now());
        if seen.0 != count {
            *seen = (count, now);
        }
        seen.0 > 0 && now.duration_since(seen.1) < QUIET_AFTER
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;

    const PIECE: Duration = Duration::from_millis(2);

    /// How long so many pieces take that take so long each, started at once; others ask all the while.
    async fn take(pace: &Pace, pieces: u32, each: Duration, served: bool) -> Duration {
        let began = Instant::now();
        let pieces = (0..pieces).map(|_| {
            pace.piece(async {
                if served {
                    pace.note();
                }
                tokio::time::sleep(each).await;
                if served {
                    pace.note();
                }
            })
        });
        join_all(pieces).await;
        began.elapsed()
    }

    /// Alone, work is not held up and pieces go side by side; beside others one piece goes at a time, and is
    /// followed by a multiple of what it took.
    #[tokio::test(start_paused = true)]
    async fn pauses_follow_the_requests_of_others() {
        let pace = Pace::default();
        assert_eq!(take(&pace, 20, PIECE, false).await, PIECE);
        assert_eq!(pace.blocks(DiskClass::Flash), u32::MAX);
        pace.note();
        assert_eq!(pace.blocks(DiskClass::Flash), 1);
        let took = take(&pace, 20, PIECE, true).await;
        assert!(
            took.abs_diff(20 * (1 + PAUSES) * PIECE) <= MADE_UP,
            "{took:?}"
        );
        tokio::time::advance(QUIET_AFTER).await;
        assert_eq!(take(&pace, 20, PIECE, false).await, PIECE);
        assert_eq!(pace.blocks(DiskClass::Spinning), u32::MAX);
    }

    /// Whatever the load, work goes on: a piece that takes ever so long is not followed by a longer pause.
    #[tokio::test(start_paused = true)]
    async fn no_load_holds_work_up_for_good() {
        let pace = Pace::default();
        pace.note();
        let slow = Duration::from_secs(1);
        assert_eq!(take(&pace, 5, slow, true).await, 5 * (slow + LONGEST));
    }

    /// Pauses that are too short for a timer are saved up and made in one, and their sum is the share of others.
    #[tokio::test(start_paused = true)]
    async fn short_pauses_are_saved_up() {
        let pace = Pace::default();
        pace.note();
        let mut worked = Duration::ZERO;
        let began = Instant::now();
        let short = Duration::from_micros(100);
        for _ in 0..1000 {
            // A timer of tokio's would take a millisecond.
            pace.note();
            pace.piece(async { tokio::time::advance(short).await })
                .await;
            worked += short;
        }
        let paused = began.elapsed() - worked;
        let expected = worked * PAUSES;
        assert!(paused.abs_diff(expected) <= MADE_UP + LONGEST, "{paused:?}");
    }
}
