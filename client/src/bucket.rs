//! Buckets: made, found, deleted.

use crate::Client;
use crate::error::BucketError;
use types::label::Label;
use types::wire::metadata::{Bucket, CreateBucket, DeleteBucket};
use types::{BucketName, Profile, TenantId};

/// A bucket to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBucket {
    /// Whose.
    pub tenant: TenantId,
    /// The user who makes it.
    pub owner: String,
    /// Its name.
    pub name: BucketName,
    /// Its one label.
    pub label: Label,
    /// How its objects are coded; none: the cluster's default.
    pub profile: Option<Profile>,
}

impl Client {
    /// Makes a bucket.
    ///
    /// # Errors
    /// When the name is taken.
    pub async fn create_bucket(&self, new: NewBucket) -> Result<Bucket, BucketError> {
        let send = |request| {
            let new = new.clone();
            self.inner.metadata.create_bucket(CreateBucket {
                request,
                tenant: new.tenant,
                owner: new.owner,
                name: new.name,
                label: new.label,
                profile: new.profile,
            })
        };
        Ok(self.inner.change(send).await?)
    }

    /// Deletes an empty bucket.
    ///
    /// # Errors
    /// When it is gone, or holds objects.
    pub async fn delete_bucket(&self, bucket: &Bucket) -> Result<(), BucketError> {
        let send = |request| {
            self.inner.metadata.delete_bucket(DeleteBucket {
                request,
                bucket: bucket.id,
            })
        };
        Ok(self.inner.change(send).await?)
    }

    /// Finds a bucket by its name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn bucket(&self, name: &BucketName) -> Result<Bucket, BucketError> {
        let ask = || self.inner.metadata.bucket(name.clone());
        Ok(self.inner.ask(ask).await?)
    }

    /// All buckets, by name.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn buckets(&self) -> Result<Vec<Bucket>, BucketError> {
        Ok(self.inner.ask(|| self.inner.metadata.buckets()).await?)
    }
}
