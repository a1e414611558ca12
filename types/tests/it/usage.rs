//! What is sent about usage and quotas, against golden files.

use super::{golden, key, label, name, profile, types};
use types::wire::metadata::{Bucket, MetadataError, WallTime};
use types::wire::usage::{
    BucketUsage, Count, Exceeded, Fits, Holder, Limit, Quota, QuotaChange, TenantUsage, Usage,
};
use types::{BucketId, ByteCount, TenantId, VersionId};

/// The bytes are as they always were, and are read.
#[test]
fn messages_stay_the_same() {
    let usage = Usage {
        objects: 3,
        versions: 5,
        delete_markers: 1,
        bytes: 5 << 40,
        uploads: 2,
        upload_bytes: 7 << 20,
    };
    let quota = Quota {
        bytes: Some(10 << 40),
        objects: None,
    };
    let bucket = Bucket {
        id: BucketId::new(9),
        tenant: TenantId::new(2),
        owner: "owner".into(),
        name: name(),
        label: label(),
        profile: profile(),
        created: WallTime(7),
    };
    let counts = [Count::Counting, Count::Counted(usage)];
    let buckets = counts.map(|usage| BucketUsage {
        bucket: bucket.clone(),
        usage,
        quota,
    });
    golden("bucket-usages", &buckets);
    let tenants = counts.map(|usage| TenantUsage {
        tenant: TenantId::new(2),
        buckets: 4,
        usage,
        quota: Quota::default(),
    });
    golden("tenant-usages", &tenants);
    let holders = [
        Holder::Bucket(BucketId::new(9)),
        Holder::Tenant(TenantId::new(2)),
    ];
    golden("quota-holders", &holders);
    let change = QuotaChange {
        bytes: Limit::AtMost(10 << 40),
        objects: Limit::Unlimited,
    };
    golden("quota-changes", &[change, QuotaChange::default()]);
    let fits = |part| Fits {
        bucket: BucketId::new(9),
        key: key(),
        length: ByteCount::new(5 << 20),
        part,
    };
    let part = Some((VersionId::new([0x5a; 16]), 7));
    golden("fits", &[fits(None), fits(part)]);
    let exceeded = [
        Exceeded::BucketBytes,
        Exceeded::BucketObjects,
        Exceeded::TenantBytes,
        Exceeded::TenantObjects,
    ];
    let mut errors = exceeded.map(MetadataError::QuotaExceeded).to_vec();
    errors.push(MetadataError::NoSuchTenant);
    golden("quota-errors", &errors);
}
