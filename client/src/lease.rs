//! Write leases: where chunk ids come from.
//!
//! ```text
//! open --ids run out, or ten minutes pass--> retired --no upload uses it--> given back
//! ```
//!
//! What always holds: an id is handed out once; a lease is given back only when no upload holds ids of
//! it. Renewal is the session's: it keeps all its leases alive.

use crate::session::{Session, Sessions, lock, patiently};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use types::id::{ChunkId, LeaseId};
use types::wire::Metadata;
use types::wire::metadata::{MetadataError, WriteLease};

/// One lease. Whoever holds it keeps it from being given back.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    size: u64,
    takes_until: Instant,
    free: Mutex<Range<u64>>,
}

/// Consecutive chunk ids of one lease.
#[derive(Debug)]
pub(crate) struct Ids {
    pub(crate) lease: Arc<Lease>,
    free: Range<u64>,
}

/// The leases of one session.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    all: Mutex<All>,
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct All {
    open: Option<Arc<Lease>>,
    next: Option<Arc<Lease>>,
    retired: Vec<Arc<Lease>>,
}

impl Iterator for Ids {
    type Item = ChunkId;

    fn next(&mut self) -> Option<ChunkId> {
        self.free.next().map(ChunkId::new)
    }
}

impl Lease {
    /// `asked` is when the request for it was sent: its time runs from there at the latest.
    fn new(lease: WriteLease, asked: Instant) -> Self {
        let first = lease.first.get();
        // A tenth is kept back, for clocks that do not run alike.
        let opens_for = Duration::from_millis(lease.opens_for_ms) * 9 / 10;
        Self {
            id: lease.id,
            size: lease.count,
            takes_until: asked + opens_for,
            free: Mutex::new(first..first + lease.count),
        }
    }

    /// Up to `most` ids, or `None` when it takes no more uploads.
    fn take(self: &Arc<Self>, most: u32) -> Option<Ids> {
        let mut free = lock(&self.free);
        if free.is_empty() || Instant::now() >= self.takes_until {
            return None;
        }
        let end = free.end.min(free.start + u64::from(most));
        let taken = free.start..end;
        free.start = end;
        Some(Ids {
            lease: Arc::clone(self),
            free: taken,
        })
    }

    fn left(&self) -> u64 {
        let free = lock(&self.free);
        free.end - free.start
    }

    fn low(&self) -> bool {
        self.left() < self.size / 4
    }
}

impl All {
    fn take(&mut self, most: u32) -> Option<Ids> {
        loop {
            let open = self.open.as_ref()?;
            if let Some(ids) = open.take(most) {
                return Some(ids);
            }
            self.retired.extend(self.open.take());
            self.open = self.next.take();
        }
    }
}

impl Leases {
    /// Takes 1 to `most` consecutive ids, of a new lease if need be.
    pub(crate) async fn take(
        &self,
        sessions: &Sessions,
        metadata: &dyn Metadata,
        session: &Session,
        most: u32,
        patience: Duration,
    ) -> Result<Ids, MetadataError> {
        loop {
            if let Some(ids) = self.take_now(sessions, most) {
                return Ok(ids);
            }
            let _one_at_a_time = self.opening.lock().await;
            if let Some(ids) = self.take_now(sessions, most) {
                return Ok(ids);
            }
            let lease = Self::open(sessions, metadata, session, patience).await?;
            lock(&self.all).open = Some(lease);
        }
    }

    fn take_now(&self, sessions: &Sessions, most: u32) -> Option<Ids> {
        let mut all = lock(&self.all);
        let ids = all.take(most)?;
        if all.next.is_none() && ids.lease.low() {
            sessions.low.notify_one();
        }
        Some(ids)
    }

    async fn open(
        sessions: &Sessions,
        metadata: &dyn Metadata,
        session: &Session,
        patience: Duration,
    ) -> Result<Arc<Lease>, MetadataError> {
        let asked = Instant::now();
        let answer = patiently(patience, || metadata.open_lease(session.id)).await;
        sessions.note(session, &answer);
        let lease = answer?;
        if lease.count == 0 {
            return Err(MetadataError::Malformed("a lease of no chunk ids".into()));
        }
        Ok(Arc::new(Lease::new(lease, asked)))
    }

    /// Opens the next lease before the open one runs out, and gives back what nobody uses.
    pub(crate) async fn stock(
        &self,
        sessions: &Sessions,
        metadata: &dyn Metadata,
        session: &Session,
        patience: Duration,
    ) -> Result<(), MetadataError> {
        let wanted = {
            let all = lock(&self.all);
            all.next.is_none() && all.open.as_ref().is_some_and(|lease| lease.low())
        };
        if wanted {
            let lease = Self::open(sessions, metadata, session, patience).await?;
            lock(&self.all).next = Some(lease);
        }
        let unused = self.unused();
        Self::give_back(metadata, session, unused, patience).await
    }

    /// Gives every lease back, as far as no upload uses it.
    pub(crate) async fn close(
        &self,
        metadata: &dyn Metadata,
        session: &Session,
        patience: Duration,
    ) -> Result<(), MetadataError> {
        {
            let mut all = lock(&self.all);
            let last = [all.open.take(), all.next.take()];
            all.retired.extend(last.into_iter().flatten());
        }
        let unused = self.unused();
        Self::give_back(metadata, session, unused, patience).await
    }

    fn unused(&self) -> Vec<LeaseId> {
        let mut all = lock(&self.all);
        let unused = |lease: &mut Arc<Lease>| Arc::strong_count(lease) == 1;
        all.retired
            .extract_if(.., unused)
            .map(|lease| lease.id)
            .collect()
    }

    /// A lease that could not be given back expires by itself.
    async fn give_back(
        metadata: &dyn Metadata,
        session: &Session,
        leases: Vec<LeaseId>,
        patience: Duration,
    ) -> Result<(), MetadataError> {
        for lease in leases {
            patiently(patience, || metadata.close_lease(session.id, lease)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn lease(id: u64) -> Arc<Lease> {
        let lease = WriteLease {
            id: LeaseId::new(id),
            first: ChunkId::new(100),
            count: 10,
            opens_for_ms: 1000,
            ttl_ms: 1000,
        };
        Arc::new(Lease::new(lease, Instant::now()))
    }

    /// Ids are handed out once each, and none after the lease has closed to new uploads.
    #[tokio::test(start_paused = true)]
    async fn ids_are_handed_out_once_and_not_too_late() {
        let lease = lease(1);
        let ids = |most| {
            lease
                .take(most)
                .map(|ids| ids.map(ChunkId::get).collect::<Vec<_>>())
        };
        assert_eq!(ids(3), Some(vec![100, 101, 102]));
        assert_eq!(ids(4), Some(vec![103, 104, 105, 106]));
        assert!(!lease.low() || lease.left() == 3);
        tokio::time::advance(Duration::from_millis(899)).await;
        assert_eq!(ids(1), Some(vec![107]));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(ids(1), None, "nine tenths of its time have passed");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_ids_may_be_fewer_than_wanted() {
        let lease = lease(1);
        assert_eq!(lease.take(64).unwrap().count(), 10);
        assert!(lease.take(1).is_none());
    }
}
