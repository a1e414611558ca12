//! How fast work went lately: moments at which it was counted.

use super::{LATER, ROUND, lock};
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::time::Instant;

/// Moments over which rates are told.
const REMEMBERED: usize = 10;

/// What had been done at moments about a second apart: when, shards, bytes.
#[derive(Debug, Default)]
pub(super) struct Lately(Mutex<VecDeque<(Instant, u64, u64)>>);

impl Lately {
    /// Notes what has been done in all.
    pub(super) fn note(&self, shards: u64, bytes: u64) {
        let mut moments = lock(&self.0);
        let now = Instant::now();
        let due = moments
            .back()
            .is_none_or(|(at, ..)| now.duration_since(*at) >= ROUND);
        if due {
            moments.push_back((now, shards, bytes));
        }
        if moments.len() > REMEMBERED {
            moments.pop_front();
        }
    }

    /// Shards and bytes a second since the oldest of these moments; none when the last is long ago.
    pub(super) fn rates(&self) -> (f64, f64) {
        let moments = lock(&self.0);
        let (Some(first), Some(last)) = (moments.front(), moments.back()) else {
            return (0.0, 0.0);
        };
        let seconds = last.0.duration_since(first.0).as_secs_f64();
        if last.0.elapsed() > LATER || seconds == 0.0 {
            return (0.0, 0.0);
        }
        let rate = |from: u64, to: u64| (to - from) as f64 / seconds;
        (rate(first.1, last.1), rate(first.2, last.2))
    }

    /// What is counted begins anew.
    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }
}
