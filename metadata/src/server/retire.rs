//! What becomes of a bucket's key when there is no bucket: it is destroyed.
//!
//! A key is installed before its bucket is made, by commands of two halves. An id whose bucket was
//! refused, or was deleted, is *retired*, durably; its keys are destroyed at once, or, where that failed,
//! by whoever leads next. An id that stays reserved for long is one that nobody came back to.
//!
//! Destroyed is the row. Log and snapshots that hold the wrapped key, sealed, go with their files; what
//! must not be read even from those is destroyed with the ring key.

use super::Inner;
use crate::command::{ClusterCommand, Command, NamespaceCommand};
use crate::store::{Store, StoreError};
use crate::tables::{BUCKET_IDS, BucketIdRow, CLOCK, HOLD};
use types::id::BucketId;
use types::wire::metadata::MetadataError;

/// Nobody takes so long between reserving an id and making the bucket.
const RESERVED_FOR_MS: u64 = 600_000;
/// Most ids that are looked at in one round.
const IDS_PER_ROUND: usize = 100;

impl Inner {
    /// Gives up an id that was reserved for a bucket. What fails is left to the next round.
    pub(super) async fn give_up(&self, bucket: BucketId) {
        let retire = Command::Namespace(NamespaceCommand::RetireBucketId { bucket });
        match self.propose(retire).await {
            Ok(_) => self.destroy_keys(bucket).await,
            Err(error) => tracing::debug!(%bucket, %error, "its id is retired later"),
        }
    }

    /// Destroys the keys of a retired id. What fails is left to the next round.
    pub(super) async fn destroy_keys(&self, bucket: BucketId) {
        let destroyed = self.try_to_destroy_keys(bucket).await;
        if let Err(error) = destroyed {
            tracing::debug!(%bucket, %error, "its keys are destroyed later");
        }
    }

    async fn try_to_destroy_keys(&self, bucket: BucketId) -> Result<(), MetadataError> {
        if self.read(|store| HOLD.contains(store, &())).await? {
            let text = "deletions are held since a restore".to_owned();
            return Err(MetadataError::Unavailable(text));
        }
        let destroy = Command::Cluster(ClusterCommand::DestroyKeks { bucket });
        self.propose(destroy).await?;
        self.keys.forget(bucket);
        let forget = Command::Namespace(NamespaceCommand::ForgetBucketId { bucket });
        self.propose(forget).await.map(drop)
    }

    /// Destroys keys that were left.
    pub(super) async fn destroy_what_was_left(&self) -> Result<(), MetadataError> {
        for (bucket, row) in self.read(left).await? {
            match row {
                BucketIdRow::Retired => self.destroy_keys(bucket).await,
                BucketIdRow::Reserved { .. } => self.give_up(bucket).await,
            }
        }
        Ok(())
    }
}

/// Ids that are retired, or were reserved too long ago.
fn left(store: &Store) -> Result<Vec<(BucketId, BucketIdRow)>, StoreError> {
    let now_ms = CLOCK.get(store, &())?.unwrap_or_default().now_ms;
    let mut left = Vec::new();
    for row in BUCKET_IDS.scan(store, &[]).take(IDS_PER_ROUND) {
        let (key, row) = row?;
        let id = key.first_chunk().ok_or(StoreError::Damaged)?;
        let lasts = matches!(row, BucketIdRow::Reserved { since_ms }
            if now_ms.saturating_sub(since_ms) < RESERVED_FOR_MS);
        if !lasts {
            left.push((BucketId::new(u64::from_be_bytes(*id)), row));
        }
    }
    Ok(left)
}
