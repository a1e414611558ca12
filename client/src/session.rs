//! This gateway's session with the metadata service, and what is taken under it ahead of use.
//!
//! ```text
//! none --open--> live --renewed each third of its time--> live
//!                 └--refused, or not renewed in time--> ended (another is opened on demand)
//! ```
//!
//! Leases, issued blobs and request numbers belong to a session and end with it: an upload holds the
//! session that it began under, and commits under no other. What always holds:
//!
//! - a request number is used for one request only, and reported as answered only when its sender
//!   will never send it again;
//! - there is at most one live session, and one attempt to open one.

use crate::issue::Issued;
use crate::lease::Leases;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use types::id::{NodeId, RequestId, SessionId};
use types::wire::Metadata;
use types::wire::metadata::MetadataError;

/// Between two attempts, at first; it doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The service refuses a number too far ahead of the oldest one in use (4096). Who would get one waits
/// until the oldest is answered, which its patience bounds.
const NUMBERS_IN_USE: u64 = 2048;

/// A live session.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) leases: Leases,
    pub(crate) issued: Issued,
    ttl: Duration,
    renewed: Mutex<Instant>,
    ended: AtomicBool,
    numbers: Mutex<Numbers>,
    answered: Notify,
}

/// A request number in use. Dropped, it counts as answered.
pub(crate) struct Numbered<'a> {
    session: &'a Session,
    pub(crate) request: RequestId,
}

#[derive(Debug, Default)]
struct Numbers {
    last: u64,
    unanswered: BTreeSet<u64>,
}

/// The way to the live session.
pub(crate) struct Sessions {
    metadata: Arc<dyn Metadata>,
    gateway: NodeId,
    patience: Duration,
    current: Mutex<Option<Arc<Session>>>,
    opening: tokio::sync::Mutex<()>,
    /// Something runs low: the stocker looks after it.
    pub(crate) low: Notify,
}

impl Session {
    /// Takes the next request number.
    pub(crate) async fn number(&self) -> Numbered<'_> {
        loop {
            let answered = self.answered.notified();
            if let Some(request) = lock(&self.numbers).next(self.id) {
                let session = self;
                return Numbered { session, request };
            }
            answered.await;
        }
    }

    /// Whether uploads may still count on it.
    pub(crate) fn live(&self) -> bool {
        !self.ended.load(Ordering::Acquire) && lock(&self.renewed).elapsed() < self.ttl
    }

    /// How long until it should be renewed.
    pub(crate) fn renewal_due(&self) -> Instant {
        *lock(&self.renewed) + self.ttl / 3
    }
}

impl Numbers {
    fn next(&mut self, session: SessionId) -> Option<RequestId> {
        let sequence = self.last + 1;
        let answered_below = *self.unanswered.first().unwrap_or(&sequence);
        if sequence - answered_below >= NUMBERS_IN_USE {
            return None;
        }
        self.last = sequence;
        self.unanswered.insert(sequence);
        Some(RequestId {
            session,
            sequence,
            answered_below,
        })
    }
}

impl Drop for Numbered<'_> {
    fn drop(&mut self) {
        lock(&self.session.numbers)
            .unanswered
            .remove(&self.request.sequence);
        self.session.answered.notify_waiters();
    }
}

impl Sessions {
    pub(crate) fn new(metadata: Arc<dyn Metadata>, gateway: NodeId, patience: Duration) -> Self {
        Self {
            metadata,
            gateway,
            patience,
            current: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            low: Notify::new(),
        }
    }

    /// The live session, opened if there is none.
    pub(crate) async fn current(&self) -> Result<Arc<Session>, MetadataError> {
        if let Some(session) = self.live() {
            return Ok(session);
        }
        let _one_at_a_time = self.opening.lock().await;
        if let Some(session) = self.live() {
            return Ok(session);
        }
        let asked = Instant::now();
        let opened = patiently(self.patience, || self.metadata.open_session(self.gateway)).await?;
        tracing::debug!(session = %opened.id, "opened a session");
        let session = Arc::new(Session {
            id: opened.id,
            leases: Leases::default(),
            issued: Issued::default(),
            ttl: Duration::from_millis(opened.ttl_ms),
            renewed: Mutex::new(asked),
            ended: AtomicBool::new(false),
            numbers: Mutex::default(),
            answered: Notify::new(),
        });
        *lock(&self.current) = Some(Arc::clone(&session));
        Ok(session)
    }

    /// The session, if one is live.
    pub(crate) fn live(&self) -> Option<Arc<Session>> {
        lock(&self.current)
            .as_ref()
            .filter(|session| session.live())
            .cloned()
    }

    /// The service said something about the session: one that has expired is not used again.
    pub(crate) fn note<T>(&self, session: &Session, answer: &Result<T, MetadataError>) {
        if matches!(answer, Err(MetadataError::SessionExpired)) {
            session.ended.store(true, Ordering::Release);
            self.low.notify_one();
        }
    }

    /// Renews a session once.
    pub(crate) async fn renew(&self, session: &Session) -> Result<(), MetadataError> {
        let asked = Instant::now();
        let wait = session.ttl / 3;
        let answer = within(wait, self.metadata.renew_session(session.id)).await;
        self.note(session, &answer);
        answer?;
        *lock(&session.renewed) = asked;
        Ok(())
    }
}

/// Asks again, as long as the service is unavailable and the patience lasts.
pub(crate) async fn patiently<T, A>(
    patience: Duration,
    mut ask: impl FnMut() -> A,
) -> Result<T, MetadataError>
where
    A: Future<Output = Result<T, MetadataError>>,
{
    let deadline = Instant::now() + patience;
    let mut pause = SHORTEST_PAUSE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match within(left, ask()).await {
            Err(MetadataError::Unavailable(_)) if Instant::now() + pause < deadline => {
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
            answer => return answer,
        }
    }
}

async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, MetadataError>>,
) -> Result<T, MetadataError> {
    tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| {
            Err(MetadataError::Unavailable(format!(
                "no answer within {limit:?}"
            )))
        })
}

/// A panic elsewhere does not make these values wrong: each is changed in one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number says which ones before it are done with, and never runs too far ahead of the oldest.
    #[test]
    fn numbers_tell_what_was_answered() {
        let mut numbers = Numbers::default();
        let mut next = || {
            let request = numbers.next(SessionId::new(1))?;
            Some((request.sequence, request.answered_below))
        };
        assert_eq!(next(), Some((1, 1)));
        assert_eq!(next(), Some((2, 1)));
        numbers.unanswered.remove(&1);
        let mut next = || {
            let request = numbers.next(SessionId::new(1))?;
            Some((request.sequence, request.answered_below))
        };
        assert_eq!(next(), Some((3, 2)));
        let ahead = std::iter::from_fn(next).last();
        assert_eq!(ahead, Some((1 + NUMBERS_IN_USE, 2)));
        assert!(numbers.next(SessionId::new(1)).is_none());
        numbers.unanswered.clear();
        let fresh = numbers.next(SessionId::new(1)).unwrap();
        assert_eq!(fresh.answered_below, fresh.sequence);
    }
}
