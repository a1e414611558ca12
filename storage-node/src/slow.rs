//! Whether a disk is much slower than its peers: fail-slow disks answer, and hold everybody up.
//!
//! A node compares what half of a disk's reads take with what half of the reads of its other disks take, as
//! their middle one has it. So one slow disk does not move the mark, and when most are slow, none is: then it is
//! the load. What is slow is told to operators. Readers find out for themselves, and sooner: they hedge, and ask
//! it last (decision 0015), so nothing is refused here, and no disk too many can be lost by a wrong judgement.

use crate::drive::lock;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// A disk is slow when its reads take so many times as long as its peers' …
const TIMES: u32 = 10;
/// … and at least this. Spinning disks beside flash are well below it.
const LEAST: Duration = Duration::from_millis(50);
/// It is slow until they take less than half of that.
const LEAVES_AT: u32 = 2;
/// So many reads tell how fast a disk is.
const ENOUGH: u32 = 20;
/// So many peers make a comparison.
const PEERS: usize = 2;
/// Reads count for one to two of these.
const WINDOW: Duration = Duration::from_secs(30);
/// Durations are counted in powers of two of microseconds: 1 µs to over an hour.
const BUCKETS: usize = 32;

/// How long a disk's reads took lately.
#[derive(Debug)]
pub(crate) struct Latency(Mutex<Window>);

#[derive(Debug)]
struct Window {
    since: Instant,
    now: [u32; BUCKETS],
    before: [u32; BUCKETS],
}

impl Default for Latency {
    fn default() -> Self {
        Self(Mutex::new(Window {
            since: Instant::now(),
            now: [0; BUCKETS],
            before: [0; BUCKETS],
        }))
    }
}

impl Latency {
    /// Notes how long a read took.
    pub(crate) fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let bucket = (micros.ilog2() as usize).min(BUCKETS - 1);
        let mut window = lock(&self.0);
        window.turn();
        window.now[bucket] += 1;
    }

    /// What half of the reads took, to within a factor of two; `None` when there were too few.
    pub(crate) fn median(&self) -> Option<Duration> {
        let mut window = lock(&self.0);
        window.turn();
        let counts = window.now.iter().zip(&window.before);
        let counts: Vec<u32> = counts.map(|(now, before)| now + before).collect();
        let total: u32 = counts.iter().sum();
        let mut seen = 0;
        let half = counts.iter().position(|count| {
            seen += count;
            2 * seen >= total
        });
        (total >= ENOUGH).then(|| Duration::from_micros(1 << half.unwrap_or(0)))
    }
}

impl Window {
    fn turn(&mut self) {
        let elapsed = self.since.elapsed();
        if elapsed < WINDOW {
            return;
        }
        let now = std::mem::replace(&mut self.now, [0; BUCKETS]);
        self.before = if elapsed < 2 * WINDOW {
            now
        } else {
            [0; BUCKETS]
        };
        self.since = Instant::now();
    }
}

/// What one disk's reads take, and whether it was slow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) median: Option<Duration>,
    pub(crate) slow: bool,
}

/// How the disk of that number compares: why it is slow, or `Ok(None)` when it is not. The error: too little was
/// read to tell, and it stays what it was.
pub(crate) fn judge(disks: &[Measured], which: usize) -> Result<Option<String>, Undecided> {
    let Measured { median, slow } = disks[which];
    let median = median.ok_or(Undecided)?;
    let others = disks.iter().enumerate().filter(|(at, _)| *at != which);
    let mut others: Vec<Duration> = others.filter_map(|(_, disk)| disk.median).collect();
    if others.len() < PEERS {
        return Err(Undecided);
    }
    others.sort_unstable();
    let usual = others[others.len() / 2];
    let mark = LEAST.max(usual * TIMES) / if slow { LEAVES_AT } else { 1 };
    Ok((median >= mark).then(|| {
        format!("half of its reads take {median:?} and more, those of its peers {usual:?}")
    }))
}

/// Too little was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Undecided;

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of disks whose reads take so many milliseconds are slow.
    fn slow(medians: &[u64], was: &[usize]) -> Vec<usize> {
        let disks: Vec<Measured> = medians
            .iter()
            .enumerate()
            .map(|(at, millis)| Measured {
                median: (*millis > 0).then(|| Duration::from_millis(*millis)),
                slow: was.contains(&at),
            })
            .collect();
        let judged = (0..disks.len()).filter(|at| match judge(&disks, *at) {
            Ok(why) => why.is_some(),
            Err(Undecided) => disks[*at].slow,
        });
        judged.collect()
    }

    #[test]
    fn disks_are_compared_with_their_peers() {
        let nobody: Vec<usize> = Vec::new();
        assert_eq!(slow(&[1, 1, 1, 200, 1, 1], &[]), [3]);
        assert_eq!(slow(&[1, 1, 1, 40, 1, 1], &[]), nobody, "fast enough");
        assert_eq!(slow(&[1, 1, 1, 40, 1, 1], &[3]), [3], "it does not flap");
        assert_eq!(slow(&[1, 1, 1, 20, 1, 1], &[3]), nobody);
        assert_eq!(
            slow(&[30, 30, 30, 200, 30, 30], &[]),
            nobody,
            "all are busy"
        );
        assert_eq!(
            slow(&[500, 500, 500, 500, 1, 1], &[]),
            nobody,
            "most are slow"
        );
        assert_eq!(slow(&[500, 500, 1, 1, 1, 1], &[]), [0, 1]);
        assert_eq!(
            slow(&[1, 0, 0, 200, 0, 0], &[]),
            nobody,
            "too few to compare"
        );
        assert_eq!(
            slow(&[1, 1, 1, 0, 1, 1], &[3]),
            [3],
            "nobody has asked it since"
        );
        assert_eq!(slow(&[0; 6], &[]), nobody);
    }

    /// Old reads are forgotten, and few tell nothing.
    #[tokio::test(start_paused = true)]
    async fn half_of_the_reads_of_a_minute() {
        let latency = Latency::default();
        for _ in 0..ENOUGH - 1 {
            latency.note(Duration::from_millis(3));
        }
        assert_eq!(latency.median(), None);
        latency.note(Duration::from_secs(9));
        assert_eq!(latency.median(), Some(Duration::from_micros(2048)));
        tokio::time::advance(WINDOW).await;
        assert!(latency.median().is_some());
        for _ in 0..3 * ENOUGH {
            latency.note(Duration::from_millis(150));
        }
        assert_eq!(latency.median(), Some(Duration::from_micros(131_072)));
        tokio::time::advance(2 * WINDOW).await;
        assert_eq!(latency.median(), None);
    }
}
