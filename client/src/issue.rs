//! Issued blobs: ids with data keys, kept a few ahead for each bucket in use.
//!
//! A PUT of a small object must not wait for one round to get a key and another to commit. Keys that
//! are not used are wiped after a while, and all of them with their session.

use crate::session::{Session, Sessions, lock, patiently};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use types::BucketId;
use types::wire::Metadata;
use types::wire::metadata::{IssuedBlob, MetadataError};

/// How many are asked for at once: the most that the service gives.
const BATCH: u32 = 64;
/// Fewer than this, and more are fetched while these are used.
const LOW: usize = 24;
/// Kept no longer than this: their wraps expire, by a clock that is not ours.
const KEPT: Duration = Duration::from_secs(120);

/// The blobs issued under one session.
#[derive(Debug, Default)]
pub(crate) struct Issued {
    shelves: Mutex<HashMap<BucketId, Arc<Shelf>>>,
}

#[derive(Debug, Default)]
struct Shelf {
    blobs: Mutex<VecDeque<(Instant, IssuedBlob)>>,
    fetching: tokio::sync::Mutex<()>,
}

impl Shelf {
    fn take(&self) -> Option<(IssuedBlob, usize)> {
        let mut blobs = lock(&self.blobs);
        while blobs
            .front()
            .is_some_and(|(since, _)| since.elapsed() >= KEPT)
        {
            blobs.pop_front();
        }
        let (_, blob) = blobs.pop_front()?;
        Some((blob, blobs.len()))
    }

    async fn fetch(
        &self,
        sessions: &Sessions,
        metadata: &dyn Metadata,
        session: &Session,
        bucket: BucketId,
        patience: Duration,
    ) -> Result<(), MetadataError> {
        let asked = Instant::now();
        let answer = patiently(patience, || metadata.issue_blobs(session.id, bucket, BATCH)).await;
        sessions.note(session, &answer);
        let fresh = answer?;
        if fresh.is_empty() {
            return Err(MetadataError::Malformed("no blob was issued".into()));
        }
        lock(&self.blobs).extend(fresh.into_iter().map(|blob| (asked, blob)));
        Ok(())
    }
}

impl Issued {
    /// Takes one for a new upload into `bucket`.
    pub(crate) async fn take(
        &self,
        sessions: &Sessions,
        metadata: &dyn Metadata,
        session: &Session,
        bucket: BucketId,
        patience: Duration,
    ) -> Result<IssuedBlob, MetadataError> {
        let shelf = Arc::clone(lock(&self.shelves).entry(bucket).or_default());
        loop {
            if let Some((blob, left)) = shelf.take() {
                if left == LOW {
                    sessions.low.notify_one();
                }
                return Ok(blob);
            }
            let _one_at_a_time = shelf.fetching.lock().await;
            if lock(&shelf.blobs).is_empty() {
                shelf
                    .fetch(sessions, metadata, session, bucket, patience)
                    .await?;
            }
        }
    }

    /// Wipes what is kept for a bucket: the service refused one of them.
    pub(crate) fn forget(&self, bucket: BucketId) {
        lock(&self.shelves).remove(&bucket);
    }

    /// Fills shelves that are low, and forgets those that nobody took from for a while.
    pub(crate) async fn stock(
        &self,
        sessions: &Sessions,
        metadata: &dyn Metadata,
        session: &Session,
        patience: Duration,
    ) -> Result<(), MetadataError> {
        let low: Vec<(BucketId, Arc<Shelf>)> = {
            let mut shelves = lock(&self.shelves);
            shelves.retain(|_, shelf| {
                let mut blobs = lock(&shelf.blobs);
                blobs.retain(|(since, _)| since.elapsed() < KEPT);
                !blobs.is_empty() || Arc::strong_count(shelf) > 1
            });
            shelves
                .iter()
                .filter(|(_, shelf)| lock(&shelf.blobs).len() <= LOW)
                .map(|(bucket, shelf)| (*bucket, Arc::clone(shelf)))
                .collect()
        };
        for (bucket, shelf) in low {
            let fetched = shelf
                .fetch(sessions, metadata, session, bucket, patience)
                .await;
            match fetched {
                // Its uploads learn it themselves; other buckets are still to be looked after.
                Err(MetadataError::NoSuchBucket) => self.forget(bucket),
                other => other?,
            }
        }
        Ok(())
    }
}
