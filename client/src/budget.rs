//! The one memory budget of a gateway's data path, in bytes.
//!
//! Every buffer that holds an object's bytes is paid for from here before it is allocated: a PUT pays
//! for a chunk before it takes the chunk's first byte, a GET for a read before it asks a disk.
//!
//! ```text
//! common   9/16   uploads, downloads, reading ahead
//! reads    3/16   a download's next read, when the common lane has nothing
//! rescue   1/4    rebuilding and re-sending
//! ```
//!
//! In each lane, who waits is served first come, first served. What always holds:
//!
//! - the sum of all reservations never exceeds the total;
//! - who waits here holds nothing that another waits for, so that slow clients cannot deadlock the
//!   rest. Rebuilding and re-sending are the exceptions: they begin while other memory is held, so
//!   they draw on a *rescue* lane of their own and, holding it, wait for nobody;
//! - uploads, however slow and however many, leave the reads lane to downloads;
//! - a wait ends: with memory, or after the patience has passed, with [`Exhausted`].

use futures::future::select;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use types::size::ByteCount;

/// One part in so many is set aside for rescue.
const RESCUE_PART: usize = 4;
/// One part in so many of the rest is for downloads alone.
const READS_PART: usize = 4;

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
    common: Lane,
    reads: Lane,
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
        let reads = (total - rescue) / READS_PART;
        Self {
            common: Lane::new(total - rescue - reads),
            reads: Lane::new(reads),
            rescue: Lane::new(rescue),
            patience,
        }
    }

    /// Bytes in all.
    pub fn total(&self) -> ByteCount {
        ByteCount::new(self.lanes().map(|lane| lane.total as u64).sum())
    }

    /// Bytes that are reserved now.
    pub fn used(&self) -> ByteCount {
        ByteCount::new(self.lanes().map(|lane| lane.used() as u64).sum())
    }

    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        [&self.common, &self.reads, &self.rescue].into_iter()
    }

    /// Waits in line for `bytes` of an upload.
    pub(crate) async fn upload(&self, bytes: usize) -> Result<Reservation, Exhausted> {
        self.common.reserve(bytes, self.patience).await
    }

    /// Waits for `bytes` of a download's next read, in two lines at once.
    pub(crate) async fn read(&self, bytes: usize) -> Result<Reservation, Exhausted> {
        if bytes > self.reads.total {
            return self.common.reserve(bytes, self.patience).await;
        }
        let common = pin!(self.common.reserve(bytes, self.patience));
        let reads = pin!(self.reads.reserve(bytes, self.patience));
        match select(common, reads).await.factor_first() {
            (Ok(memory), _) => Ok(memory),
            (Err(_), other) => other.await,
        }
    }

    /// `bytes` if they are to spare, which means that half of the common lane stays free. Never waits.
    pub(crate) fn spare(&self, bytes: usize) -> Option<Reservation> {
        let free = self.common.free.available_permits();
        if free.saturating_sub(bytes) < self.common.total / 2 {
            return None;
        }
        let permits = u32::try_from(bytes).ok()?;
        let permit = Arc::clone(&self.common.free).try_acquire_many_owned(permits);
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
        let held = budget.upload(150).await.unwrap();
        let mut large = Box::pin(budget.upload(190));
        assert!(large.as_mut().now_or_never().is_none());
        let mut small = Box::pin(budget.upload(10));
        assert!(small.as_mut().now_or_never().is_none());
        drop(held);
        let large = large.await.unwrap();
        let small = small.await.unwrap();
        assert_eq!(budget.used().get(), 200);
        drop((large, small));
        assert_eq!(budget.used().get(), 0);
    }

    /// A wait ends with a refusal, not never; one that could never be met ends at once.
    #[tokio::test(start_paused = true)]
    async fn waits_end() {
        let budget = budget(400);
        let _held = budget.upload(225).await.unwrap();
        assert_eq!(budget.upload(1).await.unwrap_err(), Exhausted { wanted: 1 });
        assert!(budget.upload(226).now_or_never().unwrap().is_err());
        let _read = budget.read(75).now_or_never().unwrap().unwrap();
        assert_eq!(budget.read(1).await.unwrap_err(), Exhausted { wanted: 1 });
        assert!(budget.read(226).now_or_never().unwrap().is_err());
    }

    /// Uploads cannot take what is set aside for downloads, nor stand in its line; a download takes what
    /// comes free first, and leaves nothing of its other wait behind.
    #[tokio::test(start_paused = true)]
    async fn uploads_leave_downloads_their_share() {
        let budget = budget(400);
        let held = budget.upload(200).await.unwrap();
        let mut upload = Box::pin(budget.upload(50));
        assert!(upload.as_mut().now_or_never().is_none());
        let read = budget.read(75).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(budget.read(20));
        assert!(second.as_mut().now_or_never().is_none());
        drop(read);
        let second = second.now_or_never().unwrap().unwrap();
        drop(held);
        let upload = upload.await.unwrap();
        let common = budget.read(175).now_or_never().unwrap().unwrap();
        let reads = budget.read(55).now_or_never().unwrap().unwrap();
        assert_eq!(budget.used().get(), 300);
        drop((second, upload, common, reads));
        assert_eq!(budget.used().get(), 0);
    }

    /// Rescue is served while everything else is taken; read-ahead leaves half alone.
    #[tokio::test(start_paused = true)]
    async fn lanes_are_apart_and_read_ahead_is_modest() {
        let budget = budget(400);
        let mut ahead = budget.spare(113).unwrap();
        assert!(budget.spare(1).is_none());
        ahead.shrink_to(50);
        assert_eq!(ahead.bytes(), 50);
        let _rest = budget.upload(175).await.unwrap();
        let _read = budget.read(75).await.unwrap();
        let _rescue = budget.rescue(100).await.unwrap();
        assert_eq!(budget.used(), budget.total());
    }
}
