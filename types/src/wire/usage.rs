//! Usage and quotas, as operators see them and as gateways ask about them.
//!
//! Usage is what clients wrote and have not deleted, in their own bytes, whatever it takes on the disks: a copy
//! counts as much as what it was copied from, and what was replaced or deleted counts no more, though its bytes
//! leave the disks later.

use super::metadata::{Answer, Bucket};
use crate::codec;
use crate::id::{BucketId, TenantId, VersionId};
use crate::name::{BucketName, ObjectKey};
use crate::size::ByteCount;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is in a bucket, or in all buckets of a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Objects: current versions that are no delete markers.
    pub objects: u64,
    /// Versions that are no delete markers, the current ones among them.
    pub versions: u64,
    /// Delete markers.
    #[serde(default, skip_serializing_if = "codec::is_default")]
    pub delete_markers: u64,
    /// Bytes of all versions.
    pub bytes: u64,
    /// Multipart uploads under way.
    #[serde(default, skip_serializing_if = "codec::is_default")]
    pub uploads: u64,
    /// Bytes of their parts.
    #[serde(default, skip_serializing_if = "codec::is_default")]
    pub upload_bytes: u64,
}

impl Usage {
    /// One object of one version.
    pub fn of_object(length: ByteCount) -> Self {
        Self {
            objects: 1,
            versions: 1,
            bytes: length.get(),
            ..Self::default()
        }
    }

    /// One upload with parts of so many bytes.
    pub fn of_upload(bytes: u64) -> Self {
        Self {
            uploads: 1,
            upload_bytes: bytes,
            ..Self::default()
        }
    }

    /// Parts of so many bytes, of an upload that is counted already.
    pub fn of_parts(bytes: u64) -> Self {
        Self {
            upload_bytes: bytes,
            ..Self::default()
        }
    }

    /// Both together. `None` when a number does not fit.
    #[must_use]
    pub fn plus(&self, more: &Self) -> Option<Self> {
        self.with(more, u64::checked_add)
            .filter(|sum| sum.bytes.checked_add(sum.upload_bytes).is_some())
    }

    /// Without what was a part of it. `None` when it was not.
    #[must_use]
    pub fn minus(&self, less: &Self) -> Option<Self> {
        self.with(less, u64::checked_sub)
    }

    fn with(&self, other: &Self, of: impl Fn(u64, u64) -> Option<u64>) -> Option<Self> {
        Some(Self {
            objects: of(self.objects, other.objects)?,
            versions: of(self.versions, other.versions)?,
            delete_markers: of(self.delete_markers, other.delete_markers)?,
            bytes: of(self.bytes, other.bytes)?,
            uploads: of(self.uploads, other.uploads)?,
            upload_bytes: of(self.upload_bytes, other.upload_bytes)?,
        })
    }

    /// What a quota in bytes holds against it: parts of uploads under way, too.
    pub fn held_bytes(&self) -> u64 {
        self.bytes.saturating_add(self.upload_bytes)
    }
}

/// Usage, once it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Count {
    /// Not all of it is counted yet: what was stored before usage was kept is.
    Counting,
    /// All of it.
    Counted(Usage),
}

/// How much may be in a bucket, or in all buckets of a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Bytes of versions and of parts of uploads under way; none: as many as there is room for.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Versions that are no delete markers; none: as many as there is room for.
    #[serde(default)]
    pub objects: Option<u64>,
}

/// One number of a quota, from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// As it is.
    #[default]
    Keep,
    /// None.
    Unlimited,
    /// So many.
    AtMost(u64),
}

impl Limit {
    fn over(self, before: Option<u64>) -> Option<u64> {
        match self {
            Self::Keep => before,
            Self::Unlimited => None,
            Self::AtMost(most) => Some(most),
        }
    }
}

/// A quota, from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaChange {
    /// Its bytes.
    #[serde(default)]
    pub bytes: Limit,
    /// Its objects.
    #[serde(default)]
    pub objects: Limit,
}

impl QuotaChange {
    /// What a quota becomes by it.
    #[must_use]
    pub fn over(self, before: Quota) -> Quota {
        Quota {
            bytes: self.bytes.over(before.bytes),
            objects: self.objects.over(before.objects),
        }
    }
}

/// Whose quota it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holder {
    /// A bucket's.
    Bucket(BucketId),
    /// A tenant's, over all of its buckets.
    Tenant(TenantId),
}

/// Which quota leaves no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Exceeded {
    /// The bucket's, of bytes.
    BucketBytes,
    /// The bucket's, of objects.
    BucketObjects,
    /// The tenant's, of bytes.
    TenantBytes,
    /// The tenant's, of objects.
    TenantObjects,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BucketBytes => "the bucket's quota of bytes",
            Self::BucketObjects => "the bucket's quota of objects",
            Self::TenantBytes => "the tenant's quota of bytes",
            Self::TenantObjects => "the tenant's quota of objects",
        })
    }
}

/// A bucket with what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketUsage {
    /// The bucket.
    pub bucket: Bucket,
    /// What is in it.
    pub usage: Count,
    /// How much may be.
    pub quota: Quota,
}

/// A tenant with what is in its buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantUsage {
    /// The tenant.
    pub tenant: TenantId,
    /// How many buckets it has.
    pub buckets: u64,
    /// What is in them.
    pub usage: Count,
    /// How much may be.
    pub quota: Quota,
}

/// Would a body of this length be admitted now?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fits {
    /// Into which bucket.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// How long it is.
    pub length: ByteCount,
    /// As which part of which upload; none: as the object.
    pub part: Option<(VersionId, u32)>,
}

/// Usage and quotas, for operators. A bucket or tenant that is not there: `NoSuchBucket`, `NoSuchTenant`.
pub trait Usages: Send + Sync + 'static {
    /// Buckets with what is in them, by name: all, or those of one name, of which there is one at each label.
    fn bucket_usages(&self, name: Option<BucketName>) -> Answer<'_, Vec<BucketUsage>>;
    /// All tenants that have users, buckets or a quota.
    fn tenant_usages(&self) -> Answer<'_, Vec<TenantUsage>>;
    /// Sets or removes a quota; how it is from now on. What is there already stays.
    fn set_quota(&self, holder: Holder, change: QuotaChange) -> Answer<'_, Quota>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums never wrap, and what was never in one is not taken out of it.
    /// Method: around zero and around 2^64, where versions and parts together are too many, too.
    #[test]
    fn sums_are_exact_or_none() {
        let object = |bytes| Usage::of_object(ByteCount::new(bytes));
        let two = object(5).plus(&object(7)).expect("fits");
        assert_eq!((two.objects, two.versions, two.bytes), (2, 2, 12));
        assert_eq!(two.minus(&object(7)), Some(object(5)));
        assert_eq!(object(5).minus(&object(6)), None);
        assert_eq!(object(u64::MAX).plus(&object(1)), None);
        assert_eq!(object(u64::MAX).plus(&Usage::of_upload(1)), None);
        let full = object(u64::MAX - 1).plus(&Usage::of_upload(1));
        assert_eq!(full.expect("fits").held_bytes(), u64::MAX);
    }

    /// What is not named stays; what is set to nothing goes.
    #[test]
    fn changes_keep_what_they_do_not_name() {
        let before = Quota {
            bytes: Some(5),
            objects: None,
        };
        let change = |bytes, objects| QuotaChange { bytes, objects };
        assert_eq!(QuotaChange::default().over(before), before);
        let objects = change(Limit::Keep, Limit::AtMost(0)).over(before);
        assert_eq!((objects.bytes, objects.objects), (Some(5), Some(0)));
        let none = change(Limit::Unlimited, Limit::Unlimited).over(objects);
        assert_eq!(none, Quota::default());
    }
}
