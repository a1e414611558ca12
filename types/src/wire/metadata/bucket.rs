//! Buckets.

use super::{Tags, WallTime};
use crate::id::{BucketId, RequestId, TenantId};
use crate::label::Label;
use crate::name::BucketName;
use crate::profile::Profile;
use serde::{Deserialize, Serialize};

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its id.
    pub id: BucketId,
    /// Whose.
    pub tenant: TenantId,
    /// The id of the user whose it is.
    pub owner: String,
    /// Its name.
    pub name: BucketName,
    /// Its one label.
    pub label: Label,
    /// How its objects are coded.
    pub profile: Profile,
    /// When it was made.
    pub created: WallTime,
}

/// Make a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateBucket {
    /// Applied once.
    pub request: RequestId,
    /// Whose.
    pub tenant: TenantId,
    /// The id of the user who makes it.
    pub owner: String,
    /// Unique per label.
    pub name: BucketName,
    /// Its label.
    pub label: Label,
    /// How its objects are coded; none: the cluster's default.
    pub profile: Option<Profile>,
}

/// Delete a bucket, which must be empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteBucket {
    /// Applied once.
    pub request: RequestId,
    /// Which.
    pub bucket: BucketId,
}

/// Set a bucket's tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetBucketTags {
    /// Applied once.
    pub request: RequestId,
    /// Which.
    pub bucket: BucketId,
    /// All of its tags from now on; none: it has no tag set.
    pub tags: Option<Tags>,
}
