//! Tags of objects and buckets. They are set as a whole.

use crate::Client;
use crate::error::{BucketError, GetError, PutError};
use types::ObjectKey;
use types::wire::metadata::{Bucket, SetBucketTags, SetTags, Tags};

impl Client {
    /// Sets all tags of an object's current version.
    ///
    /// # Errors
    /// When there is no such object, or nobody answers.
    pub async fn set_tags(
        &self,
        bucket: &Bucket,
        key: ObjectKey,
        tags: Tags,
    ) -> Result<(), PutError> {
        let send = |request| {
            self.inner.metadata.set_tags(SetTags {
                request,
                bucket: bucket.id,
                key: key.clone(),
                tags: tags.clone(),
            })
        };
        self.inner.commit(send).await
    }

    /// The tags of an object's current version.
    ///
    /// # Errors
    /// When there is no such object, or nobody answers.
    pub async fn tags(&self, bucket: &Bucket, key: &ObjectKey) -> Result<Tags, GetError> {
        let ask = || self.inner.metadata.tags(bucket.id, key.clone());
        Ok(self.inner.ask(ask).await?)
    }

    /// Sets all tags of a bucket; none: it has no tag set from now on.
    ///
    /// # Errors
    /// When the bucket is gone, or nobody answers.
    pub async fn set_bucket_tags(
        &self,
        bucket: &Bucket,
        tags: Option<Tags>,
    ) -> Result<(), BucketError> {
        let send = |request| {
            self.inner.metadata.set_bucket_tags(SetBucketTags {
                request,
                bucket: bucket.id,
                tags: tags.clone(),
            })
        };
        Ok(self.inner.change(send).await?)
    }

    /// A bucket's tags; none when it has no tag set.
    ///
    /// # Errors
    /// When the bucket is gone, or nobody answers.
    pub async fn bucket_tags(&self, bucket: &Bucket) -> Result<Option<Tags>, BucketError> {
        let ask = || self.inner.metadata.bucket_tags(bucket.id);
        Ok(self.inner.ask(ask).await?)
    }
}
