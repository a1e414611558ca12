//! Whether cluster time passes as this server's own monotonic clock does: every server compares, and raises the alarm.
//!
//! Cluster time is the leader's monotonic clock, told by ticks; a follower sees them late, and none while nobody leads
//! or it is cut off. So it is compared over a stretch in which ticks came all along:
//!
//! ```text
//! ticks  . . . . . . . . .            . . . . . . . . . . . . . . . . . . .
//!        |---- stretch ---|  silence  |- discarded -|------- stretch ------ at most ten minutes, then the next
//! ```
//!
//! In a stretch cluster time never advances further than this server's clock and what lay unseen at its beginning,
//! which is less than a silence. It advances less by what elections take, which is not added. A clock that is off by
//! more than that is found within ten minutes; one that is grossly off within seconds. This module reads no clock.

use std::time::Duration;
use tokio::time::Instant;

/// Without a tick for so long, who compares begins anew.
const SILENCE: Duration = Duration::from_secs(5);
/// After a silence much may arrive at once.
const SETTLES: Duration = Duration::from_secs(5);
/// Longest stretch.
const STRETCH: Duration = Duration::from_secs(600);
/// What cluster time may be ahead: less than a silence, and two ticks.
const AHEAD: Duration = Duration::from_secs(7);

/// How cluster time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passes {
    /// As it does here, as far as can be told.
    AsHere,
    /// Faster: leases and retention end too early, or this server's clock stands still.
    Faster,
    /// By less than nine tenths, though somebody led all the time.
    Slower,
}

/// What was seen of cluster time.
#[derive(Debug)]
pub(super) struct Pace {
    /// When it was seen to move last, and what it was.
    moved: Option<(Instant, u64)>,
    /// Where the stretch began; none: not yet.
    since: Option<(Instant, u64)>,
    /// Before this nothing counts.
    settled: Instant,
    passes: Passes,
}

impl Pace {
    /// From now on.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            moved: None,
            since: None,
            settled: now + SETTLES,
            passes: Passes::AsHere,
        }
    }

    /// Takes in what cluster time is now; how it passes, as the last stretch showed.
    pub(super) fn look(&mut self, now: Instant, cluster_ms: u64) -> Passes {
        match self.moved {
            Some((_, seen)) if seen == cluster_ms => {}
            Some((at, _)) if now - at > SILENCE => {
                // What a stretch had shown by then stays told until another shows better.
                self.since = None;
                self.settled = now + SETTLES;
                self.moved = Some((now, cluster_ms));
            }
            _ => self.moved = Some((now, cluster_ms)),
        }
        let moves = self.moved.is_some_and(|(at, _)| now - at <= SILENCE);
        if !moves || now < self.settled {
            return self.passes;
        }
        let Some((from, from_ms)) = self.since else {
            self.since = Some((now, cluster_ms));
            return self.passes;
        };
        let here = now - from;
        let there = Duration::from_millis(cluster_ms.saturating_sub(from_ms));
        if there > here + AHEAD {
            self.passes = Passes::Faster;
            self.since = Some((now, cluster_ms));
        } else if here >= STRETCH {
            self.passes = if there < here * 9 / 10 {
                Passes::Slower
            } else {
                Passes::AsHere
            };
            self.since = Some((now, cluster_ms));
        }
        self.passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every second for so long at a cluster time that runs at `rate` per mille, and is seen `lag` seconds late
    /// where that says so.
    fn after(seconds: u64, rate: u64, lag: impl Fn(u64) -> u64) -> Passes {
        let began = Instant::now();
        let mut pace = Pace::new(began);
        let mut passes = Passes::AsHere;
        for second in 1..=seconds {
            let seen = second.saturating_sub(lag(second)) * rate;
            passes = pace.look(began + Duration::from_secs(second), seen);
        }
        passes
    }

    /// A leader's clock that is right, or nearly, raises no alarm; one that is fast or slow does, the sooner the more.
    #[test]
    fn a_wrong_pace_is_found() {
        let in_time = |_| 0;
        assert_eq!(after(3000, 1000, in_time), Passes::AsHere);
        assert_eq!(after(3000, 1005, in_time), Passes::AsHere);
        assert_eq!(after(700, 1020, in_time), Passes::Faster);
        assert_eq!(after(12, 3000, in_time), Passes::Faster);
        assert_eq!(after(700, 800, in_time), Passes::Slower);
        assert_eq!(after(3000, 0, in_time), Passes::AsHere, "nobody leads");
    }

    /// What arrives late, or all at once after a silence, is no alarm; nor are elections.
    #[test]
    fn what_comes_late_is_no_alarm() {
        // Late by up to four seconds, and by all of a silence of two minutes.
        assert_eq!(after(3000, 1000, |second| second % 5), Passes::AsHere);
        let cut_off = |second| if second % 300 < 120 { second % 300 } else { 0 };
        assert_eq!(after(3000, 1000, cut_off), Passes::AsHere);
        // Two seconds of each minute are nobody's.
        let elections = |second: u64| second / 60 * 2;
        assert_eq!(after(3000, 1000, elections), Passes::AsHere);
    }

    /// Once time passes as it should, the alarm ends.
    #[test]
    fn the_alarm_ends() {
        let began = Instant::now();
        let mut pace = Pace::new(began);
        let mut cluster_ms = 0;
        let mut told = Vec::new();
        for second in 1..=1300 {
            cluster_ms += if second < 60 { 2000 } else { 1000 };
            let passes = pace.look(began + Duration::from_secs(second), cluster_ms);
            if told.last() != Some(&passes) {
                told.push(passes);
            }
        }
        assert_eq!(told, [Passes::AsHere, Passes::Faster, Passes::AsHere]);
    }
}
