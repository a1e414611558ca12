//! Samples of what belongs to usage and quotas.

use super::Samples;
use crate::fixture::key;
use strongroom_metadata::command::NamespaceCommand;
use strongroom_metadata::tables::*;
use strongroom_metadata::{Refusal, Reply};
use types::id::{BucketId, TenantId, VersionId};
use types::wire::usage::{Exceeded, Holder, Limit, Quota, QuotaChange, Usage};

const BUCKET: BucketId = BucketId::new(41);
const TENANT: TenantId = TenantId::new(2);
const QUOTA: Quota = Quota {
    bytes: Some(10 << 40),
    objects: None,
};
const USED: Usage = Usage {
    objects: 3,
    versions: 5,
    delete_markers: 1,
    bytes: 5 << 40,
    uploads: 2,
    upload_bytes: 7 << 20,
};

pub(super) fn commands() -> Vec<(&'static str, NamespaceCommand)> {
    let set = |holder, bytes, objects| {
        let change = QuotaChange { bytes, objects };
        NamespaceCommand::SetQuota { holder, change }
    };
    vec![
        ("keep usage", NamespaceCommand::KeepUsage),
        ("count usage", NamespaceCommand::CountUsage { rows: 900 }),
        (
            "set quota of bucket",
            set(Holder::Bucket(BUCKET), Limit::AtMost(10 << 40), Limit::Keep),
        ),
        (
            "set quota of tenant",
            set(Holder::Tenant(TENANT), Limit::Unlimited, Limit::AtMost(0)),
        ),
    ]
}

pub(super) fn replies() -> Vec<(&'static str, Reply)> {
    let refused = |exceeded| Reply::Refused(Refusal::QuotaExceeded(exceeded));
    vec![
        ("quota", Reply::Quota(QUOTA)),
        ("refused bucket bytes", refused(Exceeded::BucketBytes)),
        ("refused bucket objects", refused(Exceeded::BucketObjects)),
        ("refused tenant bytes", refused(Exceeded::TenantBytes)),
        ("refused tenant objects", refused(Exceeded::TenantObjects)),
        (
            "refused usage not kept",
            Reply::Refused(Refusal::UsageNotKept),
        ),
    ]
}

pub(super) fn rows(g: &mut Samples) {
    let counting = CountRow::Counting { from: BUCKET };
    g.check_row("usage count under way", &USAGE_COUNT, &(), &counting);
    g.check_row("usage count", &USAGE_COUNT, &(), &CountRow::Counted);
    let counted = BucketUsageRow {
        tenant: TENANT,
        used: USED,
        quota: QUOTA,
        counted: None,
    };
    g.check_row("bucket usage", &BUCKET_USAGE, &BUCKET, &counted);
    let key = key("a\0key/ä");
    let part = Place::Part {
        key: key.clone(),
        began: 9,
        number: 3,
    };
    let places = [
        ("at the start", Place::Start),
        ("at an object", Place::Object { key }),
        ("behind objects", Place::Objects),
        ("at a part", part),
    ];
    for (name, place) in places {
        let row = BucketUsageRow {
            tenant: TENANT,
            used: Usage::default(),
            quota: Quota::default(),
            counted: Some(place),
        };
        let name = format!("bucket usage counted {name}");
        g.check_row(&name, &BUCKET_USAGE, &BUCKET, &row);
    }
    let sum = TenantUsageRow {
        used: USED,
        quota: QUOTA,
    };
    g.check_row("tenant usage", &TENANT_USAGE, &TENANT, &sum);
    let upload = VersionId::new([0x5a; 16]);
    g.check_row("upload bytes", &UPLOAD_BYTES, &upload, &(7 << 20));
}
