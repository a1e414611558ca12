//! How fast disks answer reads, and when to stop waiting for one that does not.
//!
//! A read that takes much longer than reads usually do is *hedged*: the range is rebuilt from other disks
//! while the answer is still awaited, and whatever comes first is used. Hedges are paid for out of a budget, a
//! few for every hundred reads, so that a cluster that is slow everywhere is not made slower by them. A disk that
//! answers nothing at all is not slow but silent: to read around it costs no hedge.

use crate::session::lock;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;
use types::DiskId;

/// A read is slow when it takes so many times as long as three of four reads do. One slow disk among six
/// does not move that mark.
const TIMES: u32 = 4;
/// No read is slow before this.
const EARLIEST: Duration = Duration::from_millis(20);
/// Every read is slow after this, and a disk silent that answered nothing for so long.
const LATEST: Duration = Duration::from_secs(2);
/// One hedge for so many reads.
const READS_A_HEDGE: u32 = 20;
/// Hedges that may be saved up: enough for the reads of a few downloads that one disk holds up at once.
const SAVED: u32 = 32;
/// Durations are counted in powers of two of microseconds: 1 µs to over an hour.
const BUCKETS: usize = 32;
/// What is counted is halved after so many reads: old ones fade.
const FADES_AFTER: u32 = 4096;

/// How fast reads were lately.
#[derive(Debug)]
pub(crate) struct Speed(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    /// Reads by the logarithm of how long they took.
    taken: [u32; BUCKETS],
    total: u32,
    /// In reads: a hedge costs [`READS_A_HEDGE`] of them.
    saved: u32,
    /// When each disk last answered a read.
    answered: HashMap<DiskId, Instant>,
}

impl Default for Speed {
    fn default() -> Self {
        Self(Mutex::new(Counts {
            taken: [0; BUCKETS],
            total: 0,
            saved: SAVED * READS_A_HEDGE,
            answered: HashMap::new(),
        }))
    }
}

impl Speed {
    /// Notes a read that a disk answered.
    pub(crate) fn note(&self, disk: DiskId, took: Duration) {
        let mut counts = lock(&self.0);
        counts.answered.insert(disk, Instant::now());
        counts.taken[bucket(took)] += 1;
        counts.total += 1;
        counts.saved = (counts.saved + 1).min(SAVED * READS_A_HEDGE);
        if counts.total >= FADES_AFTER {
            for taken in &mut counts.taken {
                *taken /= 2;
            }
            counts.total = counts.taken.iter().sum();
        }
    }

    /// After so long a read is slow.
    pub(crate) fn slow_after(&self) -> Duration {
        let counts = lock(&self.0);
        let most = counts.total - counts.total / 4;
        let mut seen = 0;
        let usual = counts.taken.iter().position(|taken| {
            seen += taken;
            seen >= most
        });
        let usual = Duration::from_micros(1 << usual.unwrap_or(0));
        (usual * TIMES).clamp(EARLIEST, LATEST)
    }

    /// Whether a disk has answered nothing for long: neither a read of it that began then, nor any other since.
    pub(crate) fn silent(&self, disk: DiskId, began: Instant) -> bool {
        let answered = lock(&self.0).answered.get(&disk).copied();
        let heard = answered.map_or(began, |answered| answered.max(began));
        heard.elapsed() >= LATEST
    }

    /// Takes a hedge out of the budget, if there is one in it.
    pub(crate) fn may_hedge(&self) -> bool {
        let mut counts = lock(&self.0);
        match counts.saved.checked_sub(READS_A_HEDGE) {
            Some(left) => {
                counts.saved = left;
                true
            }
            None => false,
        }
    }
}

/// The first power of two of microseconds that is not less.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let logarithm = 64 - (micros - 1).leading_zeros() as usize;
    logarithm.min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DISK: DiskId = DiskId::new(1);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    proptest! {
        /// The mark lies between once and twice four times what three of four reads take.
        #[test]
        fn slow_is_measured_against_the_usual(taken in prop::collection::vec(1u64..400, 4..200)) {
            let speed = Speed::default();
            for took in &taken {
                speed.note(DISK, ms(*took));
            }
            let mut sorted = taken.clone();
            sorted.sort_unstable();
            let usual = ms(sorted[sorted.len() - sorted.len() / 4 - 1]);
            let slow = speed.slow_after();
            prop_assert!(slow >= (usual * TIMES).clamp(EARLIEST, LATEST), "{slow:?} {usual:?}");
            prop_assert!(slow <= (usual * 2 * TIMES).clamp(EARLIEST, LATEST), "{slow:?} {usual:?}");
        }
    }

    /// One disk of six that stalls does not make its slowness usual.
    #[test]
    fn one_slow_disk_does_not_move_the_mark() {
        let speed = Speed::default();
        for read in 0..10_000 {
            let took = if read % 6 == 0 { ms(5000) } else { ms(1) };
            speed.note(DISK, took);
        }
        assert_eq!(speed.slow_after(), EARLIEST);
        for _ in 0..10_000 {
            speed.note(DISK, ms(100));
        }
        assert!(speed.slow_after() > ms(400), "all disks are slow");
    }

    /// Hedges run out, and come back with reads.
    #[test]
    fn hedges_are_a_share_of_reads() {
        let speed = Speed::default();
        let hedges = |speed: &Speed| std::iter::from_fn(|| speed.may_hedge().then_some(())).count();
        assert_eq!(hedges(&speed), SAVED as usize);
        for _ in 0..100 {
            speed.note(DISK, ms(1));
        }
        assert_eq!(hedges(&speed), 5);
    }

    /// A disk is silent once it has answered nothing for two seconds, and not while it answers others.
    #[tokio::test(start_paused = true)]
    async fn a_disk_that_answers_others_is_not_silent() {
        let (speed, began) = (Speed::default(), Instant::now());
        tokio::time::advance(LATEST / 2).await;
        speed.note(DiskId::new(2), LATEST / 2);
        assert!(!speed.silent(DISK, began), "too early to say");
        tokio::time::advance(LATEST / 2).await;
        assert!(speed.silent(DISK, began));
        speed.note(DISK, LATEST);
        assert!(!speed.silent(DISK, began), "it is slow");
        tokio::time::advance(LATEST).await;
        assert!(speed.silent(DISK, began), "it was");
        assert!(
            !speed.silent(DISK, Instant::now()),
            "a read that begins now waits"
        );
    }
}
