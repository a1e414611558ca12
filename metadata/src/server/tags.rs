//! Tags, sealed on their way in and opened on their way out.

use super::conditional::Target;
use super::{Inner, damaged};
use crate::asked::Asked;
use crate::command::{self, Command, NamespaceCommand, SealedTags};
use crate::keys::BucketKey;
use crate::store::{Store, StoreError};
use crate::tables::{BUCKET_TAGS, BUCKETS, HEADS, TAGS};
use seal::row;
use std::sync::Arc;
use types::codec;
use types::id::{BucketId, VersionId};
use types::name::ObjectKey;
use types::wire::metadata::{MetadataError, SetBucketTags, SetTags, Tags};

/// Tags of an object encode to at most this: S3 allows 10, of 128 characters and 256.
pub const MAX_TAGS: usize = 16 << 10;
/// Tags of a bucket encode to at most this: S3 allows 50.
pub const MAX_BUCKET_TAGS: usize = 80 << 10;

impl Inner {
    pub(super) async fn set_tags(&self, request: SetTags) -> Result<(), MetadataError> {
        bounded(&request.tags, MAX_TAGS)?;
        let bucket = request.bucket;
        let set = self.seal_and_set(request).await;
        self.forget_if_failed(bucket, set)
    }

    async fn seal_and_set(&self, request: SetTags) -> Result<(), MetadataError> {
        let target = Target {
            request: request.request,
            asked: Asked::set_tags(request.bucket, &request.key),
            bucket: request.bucket,
            key: request.key.clone(),
        };
        let request = &request;
        let seal = |version| async move {
            let row = self.bucket_row(request.bucket).await?;
            let sealer = self.bucket_key(request.bucket, row.kek_version).await?;
            Ok(NamespaceCommand::SetTags(command::SetTags {
                request: request.request,
                bucket: request.bucket,
                key: request.key.clone(),
                version,
                kek_version: row.kek_version,
                tags: sealed(&sealer, &request.key, version, &request.tags),
            }))
        };
        self.propose_for_version(target, seal).await.map(drop)
    }

    pub(super) async fn tags(
        &self,
        bucket: BucketId,
        key: ObjectKey,
    ) -> Result<Tags, MetadataError> {
        let asked = (bucket, key.clone());
        let find = move |store: &Store| find(store, &asked);
        let Some((version, sealed)) = self.read(find).await?? else {
            return Ok(Tags::default());
        };
        let opener = self.opener(bucket, &sealed).await?;
        let tags = opener.open_tags(&key, version, &sealed);
        tags.map_err(|error| damaged("an object's tags", bucket, error))
    }

    pub(super) async fn set_bucket_tags(
        &self,
        request: SetBucketTags,
    ) -> Result<(), MetadataError> {
        if let Some(tags) = &request.tags {
            bounded(tags, MAX_BUCKET_TAGS)?;
        }
        let bucket = request.bucket;
        let set = self.seal_and_set_bucket(request).await;
        self.forget_if_failed(bucket, set)
    }

    async fn seal_and_set_bucket(&self, request: SetBucketTags) -> Result<(), MetadataError> {
        let row = self.bucket_row(request.bucket).await?;
        let sealer = self.bucket_key(request.bucket, row.kek_version).await?;
        let set = command::SetBucketTags {
            request: request.request,
            bucket: request.bucket,
            kek_version: row.kek_version,
            sealed: request.tags.map(|tags| sealer.seal_bucket_tags(&tags)),
        };
        let command = Command::Namespace(NamespaceCommand::SetBucketTags(set));
        self.propose(command).await.map(drop)
    }

    pub(super) async fn bucket_tags(
        &self,
        bucket: BucketId,
    ) -> Result<Option<Tags>, MetadataError> {
        let find = move |store: &Store| match BUCKETS.contains(store, &bucket)? {
            true => BUCKET_TAGS.get(store, &bucket).map(Ok),
            false => Ok(Err(MetadataError::NoSuchBucket)),
        };
        let Some(sealed) = self.read(find).await?? else {
            return Ok(None);
        };
        let opener = self.opener(bucket, &sealed).await?;
        let tags = opener.open_bucket_tags(&sealed);
        tags.map(Some)
            .map_err(|error| damaged("a bucket's tags", bucket, error))
    }

    /// The key that a row was sealed under.
    pub(super) async fn opener(
        &self,
        bucket: BucketId,
        sealed: &[u8],
    ) -> Result<Arc<BucketKey>, MetadataError> {
        let version = row::kek_version(sealed).map_err(|_| MetadataError::RowDamaged)?;
        self.bucket_key(bucket, version).await
    }
}

/// The tags of what a key shows, still sealed, and the version that they are sealed for.
type Found = Option<(VersionId, bytes::Bytes)>;

fn find(
    store: &Store,
    key: &(BucketId, ObjectKey),
) -> Result<Result<Found, MetadataError>, StoreError> {
    if !BUCKETS.contains(store, &key.0)? {
        return Ok(Err(MetadataError::NoSuchBucket));
    }
    let Some(head) = HEADS.get(store, key)? else {
        return Ok(Err(MetadataError::NoSuchObject));
    };
    if head.tag_count == 0 {
        return Ok(Ok(None));
    }
    let sealed = TAGS.get(store, &head.version)?;
    Ok(sealed
        .map(|sealed| Some((head.version, sealed)))
        .ok_or(MetadataError::RowDamaged))
}

/// Tags as they go into the log: nothing when there are none.
pub(super) fn sealed(
    sealer: &BucketKey,
    key: &ObjectKey,
    version: VersionId,
    tags: &Tags,
) -> Option<SealedTags> {
    let count = u32::try_from(tags.0.len()).expect("tags are bounded");
    (count > 0).then(|| SealedTags {
        count,
        sealed: sealer.seal_tags(key, version, tags),
    })
}

/// Refuses tags that encode to more than `limit`.
pub(super) fn bounded(tags: &Tags, limit: usize) -> Result<(), MetadataError> {
    let length = codec::encode(tags).len();
    if length > limit {
        let text = format!("tags of {length} bytes; {limit} are allowed");
        return Err(MetadataError::Malformed(text));
    }
    Ok(())
}
