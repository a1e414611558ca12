//! How a disk's scrub goes on: when a round begins, when each of its shards is due, what a round has found.
//! No I/O; what time it is comes in.
//!
//! ```text
//! Resting --the period is over, or an operator asks--> Steady, Hurried --every shard visited--> Resting
//! ```
//!
//! A steady round takes the period: a shard is due when the bytes up to its end are as large a share of what
//! was ahead as the time that has passed. What was held up is made up for. A hurried round has no times.

use super::bookmark::{Bookmark, FIRST, Phase};
use crate::upkeep::lately::Lately;
use std::time::Duration;
use tokio::time::Instant;
use types::wire::metadata::WallTime;
use types::{ChunkId, ShardKey};

/// What there is to visit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) shards: u64,
    /// Of their records.
    pub(super) bytes: u64,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing until then; `None`: until somebody asks.
    Rest(Option<WallTime>),
    /// Begin a round.
    Begin(Phase),
    /// Go on with the round.
    Visit,
}

/// What was ahead when that was measured last.
#[derive(Clone, Copy, Debug)]
struct Measured {
    at: WallTime,
    /// For rates.
    since: Instant,
    ahead: Amount,
    /// Visited since.
    done: u64,
}

/// One disk's scrub.
#[derive(Debug, Default)]
pub(super) struct Course {
    pub(super) bookmark: Bookmark,
    /// An operator asked for a round that has not begun.
    pub(super) asked: bool,
    measured: Option<Measured>,
    lately: Lately,
    /// The bookmark before the first shard that was found and that nobody may have been told of.
    held_back: Option<Bookmark>,
}

/// What there is to tell of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Told {
    /// All that the round visits.
    pub(super) all: Amount,
    pub(super) bytes_a_second: f64,
    pub(super) left: Option<Duration>,
}

impl Course {
    /// What is to be done. A disk without shards has no rounds.
    pub(super) fn step(&self, now: WallTime, period: Option<Duration>, shards: u64) -> Step {
        if self.asked {
            return Step::Begin(Phase::Hurried);
        }
        if self.bookmark.phase != Phase::Resting {
            return Step::Visit;
        }
        match period {
            None => Step::Rest(None),
            Some(period) => {
                let due = self.due_after(period);
                if now < due || shards == 0 {
                    return Step::Rest(Some(due));
                }
                Step::Begin(Phase::Steady)
            }
        }
    }

    /// When the next round begins.
    fn due_after(&self, period: Duration) -> WallTime {
        match self.bookmark.round {
            0 => WallTime(0),
            _ => later(self.bookmark.began, period),
        }
    }

    /// A round begins.
    pub(super) fn begin(&mut self, now: WallTime, phase: Phase) {
        self.asked = false;
        self.measured = None;
        self.lately.clear();
        self.bookmark = Bookmark {
            phase,
            round: self.bookmark.round + 1,
            began: now,
            next: FIRST,
            shards: 0,
            bytes: 0,
            found: 0,
            ..self.bookmark
        };
    }

    /// So much is ahead of the bookmark.
    pub(super) fn measured(&mut self, now: WallTime, ahead: Amount) {
        // A clock that was set back must not make the round longer.
        self.bookmark.began = self.bookmark.began.min(now);
        self.measured = Some(Measured {
            at: now,
            since: Instant::now(),
            ahead,
            done: 0,
        });
    }

    /// What is ahead is to be measured anew.
    pub(super) fn forget_measure(&mut self) {
        self.measured = None;
    }

    /// Whether much was visited since what is ahead was measured: meanwhile it has become more or less.
    pub(super) fn is_out_of_date(&self) -> bool {
        self.measured
            .is_none_or(|measured| measured.done > measured.ahead.bytes / 16)
    }

    /// When the shard is due up to whose end there are so many bytes, counted from the bookmark. `None`: now.
    pub(super) fn due(&self, bytes: u64, period: Option<Duration>) -> Option<WallTime> {
        let (Phase::Steady, Some(period), Some(measured)) =
            (self.bookmark.phase, period, self.measured)
        else {
            return None;
        };
        let end = later(self.bookmark.began, period);
        let left = end.0.saturating_sub(measured.at.0);
        let share = (measured.done + bytes).min(measured.ahead.bytes);
        let passed = u128::from(left) * u128::from(share) / u128::from(measured.ahead.bytes.max(1));
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        Some(WallTime(measured.at.0.saturating_add(passed)))
    }

    /// A shard was visited, with records of so many bytes.
    pub(super) fn visited(&mut self, key: ShardKey, bytes: u64, found: bool) {
        if found {
            self.held_back.get_or_insert(self.bookmark);
        }
        let bookmark = &mut self.bookmark;
        bookmark.next = behind(key);
        bookmark.shards += 1;
        bookmark.bytes += bytes;
        bookmark.found += u64::from(found);
        self.lately.note(bookmark.shards, bookmark.bytes);
        if let Some(measured) = &mut self.measured {
            measured.done += bytes;
            measured.ahead.shards = measured.ahead.shards.saturating_sub(1);
        }
    }

    /// Which bookmark is to be noted. `told`: of everything that was found somebody was told.
    pub(super) fn noted_as(&mut self, told: bool) -> Bookmark {
        self.bookmark.sequence += 1;
        if told {
            self.held_back = None;
        }
        Bookmark {
            sequence: self.bookmark.sequence,
            ..self.held_back.unwrap_or(self.bookmark)
        }
    }

    /// Whether a bookmark was noted, or would be, that is not the newest one.
    pub(super) fn is_held_back(&self) -> bool {
        self.held_back.is_some()
    }

    /// Every shard was visited.
    pub(super) fn end(&mut self, now: WallTime) {
        self.measured = None;
        self.bookmark.phase = Phase::Resting;
        self.bookmark.ended = now;
        self.bookmark.next = FIRST;
    }

    /// How large the round is, how fast it goes, and how long it will take.
    pub(super) fn told(&self, now: WallTime, period: Option<Duration>) -> Told {
        let done = Amount {
            shards: self.bookmark.shards,
            bytes: self.bookmark.bytes,
        };
        let Some(measured) = self.measured else {
            return Told {
                all: done,
                ..Told::default()
            };
        };
        let left = measured.ahead.bytes.saturating_sub(measured.done);
        let (_, lately) = self.lately.rates();
        let since = measured.since.elapsed().as_secs_f64();
        let steadily = if since > 0.0 {
            measured.done as f64 / since
        } else {
            0.0
        };
        let planned = match (self.bookmark.phase, period) {
            (Phase::Steady, Some(period)) => {
                later(self.bookmark.began, period).0.saturating_sub(now.0)
            }
            _ => 0,
        };
        let rate = if planned > 0 { steadily } else { lately };
        let by_rate = (rate > 0.0).then(|| Duration::from_secs_f64(left as f64 / rate));
        let planned = (planned > 0).then(|| Duration::from_millis(planned));
        Told {
            all: Amount {
                shards: done.shards + measured.ahead.shards,
                bytes: done.bytes + left,
            },
            bytes_a_second: rate,
            left: planned.or(by_rate),
        }
    }
}

/// Shards are visited in this order.
pub(super) fn order(key: ShardKey) -> impl Ord {
    (key.group, key.index, key.chunk)
}

/// The first one that may come behind a shard.
fn behind(key: ShardKey) -> ShardKey {
    ShardKey {
        chunk: ChunkId::new(key.chunk.get().saturating_add(1)),
        ..key
    }
}

fn later(at: WallTime, by: Duration) -> WallTime {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    WallTime(at.0.saturating_add(by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIOD: Duration = Duration::from_secs(1000);
    const NOW: WallTime = WallTime(1_800_000_000_000);

    fn key(chunk: u64) -> ShardKey {
        ShardKey {
            chunk: ChunkId::new(chunk),
            ..FIRST
        }
    }

    fn after(seconds: u64) -> WallTime {
        WallTime(NOW.0 + 1000 * seconds)
    }

    fn steady(bytes: u64) -> Course {
        let mut course = Course::default();
        course.begin(NOW, Phase::Steady);
        course.measured(NOW, Amount { shards: 10, bytes });
        course
    }

    /// Rounds begin when a period is over and there is something to read, and when somebody asks.
    #[test]
    fn rounds_begin_when_they_are_due() {
        let mut course = Course::default();
        assert_eq!(course.step(NOW, None, 5), Step::Rest(None));
        let never = Step::Rest(Some(WallTime(0)));
        assert_eq!(course.step(NOW, Some(PERIOD), 0), never);
        let begin = Step::Begin(Phase::Steady);
        assert_eq!(course.step(NOW, Some(PERIOD), 5), begin);
        course.begin(NOW, Phase::Steady);
        assert_eq!(course.step(NOW, Some(PERIOD), 5), Step::Visit);
        course.visited(key(3), 10, true);
        course.end(after(300));
        assert_eq!(course.bookmark.ended, after(300));
        let rest = Step::Rest(Some(after(1000)));
        assert_eq!(course.step(after(999), Some(PERIOD), 5), rest);
        assert_eq!(course.step(after(1000), Some(PERIOD), 5), begin);
        course.asked = true;
        let hurry = Step::Begin(Phase::Hurried);
        assert_eq!(course.step(after(400), None, 0), hurry);
        course.begin(after(400), Phase::Hurried);
        assert_eq!(course.step(after(400), None, 0), Step::Visit);
        let Bookmark { round, found, .. } = course.bookmark;
        assert_eq!((round, found), (2, 0));
    }

    /// A shard is due in proportion; what was held up is due at once, and so is all behind the period.
    #[test]
    fn shards_are_due_in_proportion() {
        let mut course = steady(1000);
        assert_eq!(course.due(100, Some(PERIOD)), Some(after(100)));
        assert_eq!(course.due(200, Some(PERIOD)), Some(after(200)));
        course.visited(key(1), 100, false);
        assert_eq!(course.due(100, Some(PERIOD)), Some(after(200)));
        // More than was ahead: by the end of the period.
        assert_eq!(course.due(5000, Some(PERIOD)), Some(after(1000)));
        // Measured anew when most of the period is over.
        course.measured(
            after(900),
            Amount {
                shards: 9,
                bytes: 400,
            },
        );
        assert_eq!(course.due(200, Some(PERIOD)), Some(after(950)));
        course.measured(
            after(2000),
            Amount {
                shards: 9,
                bytes: 400,
            },
        );
        assert_eq!(course.due(200, Some(PERIOD)), Some(after(2000)));
        course.bookmark.phase = Phase::Hurried;
        assert_eq!(course.due(200, Some(PERIOD)), None);
    }

    /// A clock that was set back makes a round no longer than the period.
    #[test]
    fn a_clock_may_be_set_back() {
        let mut course = steady(1000);
        let earlier = WallTime(NOW.0 - 1_000_000_000);
        course.measured(
            earlier,
            Amount {
                shards: 9,
                bytes: 100,
            },
        );
        let due = course.due(100, Some(PERIOD)).unwrap();
        assert_eq!(due.0 - earlier.0, 1_000_000);
    }

    /// What nobody was told of yet lies in front of the bookmark that is noted.
    #[test]
    fn findings_hold_the_bookmark_back() {
        let mut course = steady(1000);
        course.visited(key(1), 100, false);
        let before = course.bookmark;
        course.visited(key(2), 100, true);
        course.visited(key(3), 100, true);
        let noted = course.noted_as(false);
        assert_eq!((noted.next, noted.found), (before.next, 0));
        assert!(course.is_held_back());
        let noted = course.noted_as(true);
        assert_eq!((noted.next, noted.found, noted.sequence), (key(4), 2, 2));
        assert!(!course.is_held_back());
    }

    proptest! {
        /// Whatever is ahead, shards are due in order, the last one when the period ends, and never earlier
        /// than their share of it.
        #[test]
        fn a_round_takes_the_period(sizes in prop::collection::vec(1u64..1 << 24, 1..60)) {
            let bytes = sizes.iter().sum();
            let mut course = steady(bytes);
            let (mut before, mut done) = (NOW, 0);
            for (at, size) in (1..).zip(&sizes) {
                let due = course.due(*size, Some(PERIOD)).unwrap();
                prop_assert!(due >= before);
                done += size;
                let share = 1_000_000.0 * done as f64 / bytes as f64;
                prop_assert!(((due.0 - NOW.0) as f64 - share).abs() <= 1.0);
                before = due;
                course.visited(key(at), *size, false);
            }
            prop_assert_eq!(before, after(1000));
        }
    }
}
