//! How slowly a body may come, or be taken.
//!
//! A bound on each wait alone would let a client send one byte a minute, or take one, and hold what its
//! transfer holds for ever. So the waits for so many bytes together are bounded. Only time spent waiting for
//! the client counts: while we are slow, it is not asked to be fast.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use types::size::ByteCount;

/// The waits of one body.
pub struct Pace {
    /// How long may be waited for `least` bytes.
    idle: Duration,
    least: ByteCount,
    /// Since the last `least` bytes were complete: what came, and how long was waited for it.
    moved: ByteCount,
    waited: Duration,
    /// Since when is being waited now.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// Every `least` bytes may be waited for `idle` long.
    pub fn new(idle: Duration, least: ByteCount) -> Self {
        Self {
            idle,
            least,
            moved: ByteCount::ZERO,
            waited: Duration::ZERO,
            since: None,
            timer: None,
        }
    }

    /// Nothing has come. Ready when the wait is over; else the task is woken then.
    pub fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.since.is_none() {
            let now = Instant::now();
            self.since = Some(now);
            let end = now + self.idle.saturating_sub(self.waited);
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(end),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(end))),
            }
        }
        let timer = self.timer.as_mut().expect("set with the wait's beginning");
        timer.as_mut().poll(cx)
    }

    /// So many bytes have come.
    pub fn moved(&mut self, bytes: ByteCount) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
        self.moved = self.moved + bytes;
        if self.moved >= self.least {
            self.moved = ByteCount::ZERO;
            self.waited = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// Waits, in simulated time, `pause` long for each of `pieces`; whether it was allowed to.
    async fn keeps(pace: &mut Pace, pause: u64, pieces: &[u64]) -> bool {
        for piece in pieces {
            let pause = tokio::time::sleep(Duration::from_secs(pause));
            tokio::select! {
                biased;
                () = pause => pace.moved(ByteCount::new(*piece)),
                () = poll_fn(|cx| pace.wait(cx)) => return false,
            }
        }
        true
    }

    /// A body that keeps its rate may take as long as it likes; one that trickles may not.
    /// Method: 100 bytes a minute are asked for; rates on both sides of it.
    #[tokio::test(start_paused = true)]
    async fn trickles_are_given_up() {
        for (pause, pieces, kept) in [
            (59, vec![100; 50], true),
            (61, vec![100], false),
            (29, vec![50; 50], true),
            (31, vec![50; 50], false),
            (1, vec![1; 59], true),
            (1, vec![1; 50], true),
            (1, vec![1; 70], false),
        ] {
            let mut pace = Pace::new(Duration::from_secs(60), ByteCount::new(100));
            assert_eq!(keeps(&mut pace, pause, &pieces).await, kept, "{pause}");
        }
    }

    /// Time in which nobody asked for bytes is not counted against the client.
    /// Method: be slow between pieces that come at once.
    #[tokio::test(start_paused = true)]
    async fn our_own_slowness_does_not_count() {
        let mut pace = Pace::new(Duration::from_secs(60), ByteCount::new(100));
        for _ in 0..50 {
            assert!(keeps(&mut pace, 1, &[1]).await);
            tokio::time::sleep(Duration::from_secs(300)).await;
        }
    }
}
