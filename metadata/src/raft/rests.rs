//! Work on all rows that goes on beside requests: a little at a time, and while others are served with rests.
//!
//! There is no rate to configure: a rest is a few times as long as what went before it took. A server that has
//! nothing else to do does not rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How many times as long as the work before it a rest is: four fifths of a processor are left to others.
const TIMES: u32 = 4;
/// Timers are no finer: shorter rests are saved up.
const SHORTEST: Duration = Duration::from_millis(1);
/// No rest is longer, however slow a disk was.
const LONGEST: Duration = Duration::from_millis(250);

/// Counts what others were served.
#[derive(Debug, Default)]
pub(crate) struct Served(AtomicU64);

impl Served {
    /// Notes that somebody was.
    pub(crate) fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The rests of one piece of work.
pub(crate) struct Rests {
    served: Arc<Served>,
    /// What was counted at the last rest.
    seen: u64,
    /// When the work after it began.
    began: Instant,
}

impl Rests {
    /// Of work that begins now.
    pub(crate) fn beside(served: &Arc<Served>) -> Self {
        Self {
            served: Arc::clone(served),
            seen: served.0.load(Ordering::Relaxed),
            began: Instant::now(),
        }
    }

    /// Rests, if others were served meanwhile, and lets them have their turn in any case.
    pub(crate) async fn rest(&mut self) {
        let served = self.served.0.load(Ordering::Relaxed);
        let owed = self.began.elapsed() * TIMES;
        if served == self.seen {
            self.skip();
        } else if owed >= SHORTEST {
            tokio::time::sleep(owed.min(LONGEST)).await;
            self.skip();
            return;
        }
        tokio::task::yield_now().await;
    }

    /// Does without the rest that is owed.
    pub(crate) fn skip(&mut self) {
        self.seen = self.served.0.load(Ordering::Relaxed);
        self.began = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rest is as long as it has to be, whether it follows a long piece of work or many short ones; while nobody is
    /// served there is none.
    #[tokio::test(start_paused = true)]
    async fn rests_are_taken_while_others_are_served() {
        let served = Arc::new(Served::default());
        let mut rests = Rests::beside(&served);
        // In milliseconds: timers round up.
        let rested = async |rests: &mut Rests, work: u64| {
            tokio::time::advance(Duration::from_micros(work)).await;
            let began = Instant::now();
            rests.rest().await;
            u64::try_from(began.elapsed().as_millis()).unwrap()
        };
        served.note();
        assert!((120..=121).contains(&rested(&mut rests, 30_000).await));
        served.note();
        assert_eq!(rested(&mut rests, 200).await, 0, "saved up");
        assert!((1..=2).contains(&rested(&mut rests, 100).await));
        assert_eq!(rested(&mut rests, 30_000).await, 0, "nobody is served");
        served.note();
        assert!((250..=251).contains(&rested(&mut rests, 10_000_000).await));
        tokio::time::advance(Duration::from_millis(30)).await;
        rests.skip();
        served.note();
        assert!((4..=5).contains(&rested(&mut rests, 1_000).await));
    }
}
