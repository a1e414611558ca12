//! The one memory budget of a gateway's data path, in bytes.
//!
//! Every buffer that holds an object's bytes is paid for from here before it is allocated: a PUT pays
//! for a chunk before it takes the chunk's first byte, a GET for a read before it asks a disk. Who
//! waits is served first come, first served. What always holds:
//!
//! - the sum of all reservations never exceeds the total;
//! - who waits here holds nothing that another waits for, so that slow clients cannot deadlock the
//!   rest. Rebuilding and re-sending are the exceptions: they begin while other memory is held, so
//!   they draw on a *rescue* lane of their own and, holding it, wait for nobody;
//! - a wait ends: with memory, or after the patience has passed, with [`Exhausted`].

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use types::size::ByteCount;

/// One part in so many is set aside for rescue.
const RESCUE_PART: usize = 4;

/// Memory did not come free in time: too much is under way. Try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory came free in time for {wanted} bytes")]
pub struct Exhausted {
    /// What was asked for.
    pub wanted: usize,
}

/// The budget. Cheap to share.
#[derive(Debug)]
pub struct Budget {
    everyday: Lane,
    rescue: Lane,
    patience: Duration,
}

/// Bytes set aside; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Lane {
    free: Arc<Semaphore>,
    total: usize,
}

impl Budget {
    /// A budget of `total` bytes, in which a wait lasts at most `patience`.
    pub(crate) fn new(total: ByteCount, patience: Duration) -> Self {
        let total = total.as_usize();
        let rescue = total / RESCUE_PART;
        Self {
            everyday: Lane::new(total - rescue),
            rescue: Lane::new(rescue),
            patience,
        }
    }

    /// Bytes in all.
    pub fn total(&self) -> ByteCount {
        ByteCount::new((self.everyday.total + self.rescue.total) as u64)
    }

    /// Bytes that are reserved now.
    pub fn used(&self) -> ByteCount {
        ByteCount::new((self.everyday.used() + self.rescue.used()) as u64)
    }

    /// Waits in line for `bytes`.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<Reservation, Exhausted> {
        self.everyday.reserve(bytes, self.patience).await
    }

    /// `bytes` if they are to spare, which means that half of the budget stays free. Never waits.
    pub(crate) fn spare(&self, bytes: usize) -> Option<Reservation> {
        let free = self.everyday.free.available_permits();
        if free.saturating_sub(bytes) < self.everyday.total / 2 {
            return None;
        }
        let permits = u32::try_from(bytes).ok()?;
        let permit = Arc::clone(&self.everyday.free).try_acquire_many_owned(permits);
        permit.ok().map(|permit| Reservation { permit })
    }

    /// What the rescue lane has in all.
    pub(crate) fn rescue_total(&self) -> usize {
        self.rescue.total
    }

    /// Waits in the rescue line for `bytes`. The holder waits for no other memory.
    pub(crate) async fn rescue(&self, bytes: usize) -> Result<Reservation, Exhausted> {
        self.rescue.reserve(bytes, self.patience).await
    }
}

impl Lane {
    fn new(total: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
        }
    }

    fn used(&self) -> usize {
        self.total - self.free.available_permits()
    }

    async fn reserve(&self, bytes: usize, patience: Duration) -> Result<Reservation, Exhausted> {
        let exhausted = Exhausted { wanted: bytes };
        if bytes > self.total {
            tracing::error!(
                bytes,
                lane = self.total,
                "the memory budget is too small for one request: raise it"
            );
            return Err(exhausted);
        }
        let permits = u32::try_from(bytes).map_err(|_| exhausted)?;
        let line = Arc::clone(&self.free).acquire_many_owned(permits);
        match tokio::time::timeout(patience, line).await {
            Ok(Ok(permit)) => Ok(Reservation { permit }),
            _ => Err(exhausted),
        }
    }
}

impl Reservation {
    /// Bytes set aside.
    pub(crate) fn bytes(&self) -> usize {
        self.permit.num_permits()
    }

    /// Gives back what exceeds `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let excess = self.bytes().saturating_sub(bytes);
        drop(self.permit.split(excess));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn budget(total: u64) -> Budget {
        Budget::new(ByteCount::new(total), Duration::from_secs(5))
    }

    /// First come, first served: a small request does not overtake a large one that waits.
    #[tokio::test(start_paused = true)]
    async fn nobody_is_overtaken() {
        let budget = budget(400);
        let held = budget.reserve(200).await.unwrap();
        let mut large = Box::pin(budget.reserve(250));
        assert!(large.as_mut().now_or_never().is_none());
        let mut small = Box::pin(budget.reserve(10));
        assert!(small.as_mut().now_or_never().is_none());
        drop(held);
        let large = large.await.unwrap();
        let small = small.await.unwrap();
        assert_eq!(budget.used().get(), 260);
        drop((large, small));
        assert_eq!(budget.used().get(), 0);
    }

    /// A wait ends with a refusal, not never; one that could never be met ends at once.
    #[tokio::test(start_paused = true)]
    async fn waits_end() {
        let budget = budget(400);
        let _held = budget.reserve(300).await.unwrap();
        assert_eq!(
            budget.reserve(1).await.unwrap_err(),
            Exhausted { wanted: 1 }
        );
        assert!(budget.reserve(301).now_or_never().unwrap().is_err());
    }

    /// Rescue is served while everyday memory is all taken; read-ahead leaves half alone.
    #[tokio::test(start_paused = true)]
    async fn lanes_are_apart_and_read_ahead_is_modest() {
        let budget = budget(400);
        let mut ahead = budget.spare(150).unwrap();
        assert!(budget.spare(1).is_none());
        ahead.shrink_to(50);
        assert_eq!(ahead.bytes(), 50);
        let _rest = budget.reserve(250).await.unwrap();
        let _rescue = budget.rescue(100).await.unwrap();
        assert_eq!(budget.used(), budget.total());
    }
}
