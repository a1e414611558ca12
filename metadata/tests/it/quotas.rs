//! Usage and quotas over the service.

use crate::fixture::{bucket_name, key};
use crate::service::Gateway;
use futures::future::join_all;
use std::time::{Duration, Instant};
use types::Label;
use types::id::{BucketId, TenantId, VersionId};
use types::size::ByteCount;
use types::wire::metadata::MetadataError;
use types::wire::usage::{
    BucketUsage, Count, Exceeded, Fits, Holder, Limit, Quota, QuotaChange, Usage,
};
use types::wire::{Accounts, Metadata, Usages};

const TENANT: TenantId = TenantId::new(1);

fn at_most(bytes: u64) -> QuotaChange {
    QuotaChange {
        bytes: Limit::AtMost(bytes),
        objects: Limit::Keep,
    }
}

fn exceeded<T>(what: Exceeded) -> Result<T, MetadataError> {
    Err(MetadataError::QuotaExceeded(what))
}

impl Gateway {
    /// Sets a quota, once usage is kept: the leader sees to that in its first round.
    async fn limit(&self, holder: Holder, change: QuotaChange) -> Result<Quota, MetadataError> {
        let began = Instant::now();
        loop {
            match self.server.set_quota(holder, change).await {
                Err(MetadataError::Unavailable(why)) => {
                    assert!(began.elapsed() < Duration::from_secs(10), "{why}");
                    tokio::task::yield_now().await;
                }
                answer => return answer,
            }
        }
    }

    /// What is in the bucket, once it is counted.
    async fn usage(&self) -> BucketUsage {
        let began = Instant::now();
        loop {
            let name = Some(self.bucket.name.clone());
            let mut told = self.server.bucket_usages(name).await.unwrap();
            let usage = told.remove(0);
            assert!(told.is_empty());
            if usage.usage != Count::Counting {
                return usage;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "it is counting");
            tokio::task::yield_now().await;
        }
    }

    async fn fits(
        &self,
        name: &str,
        length: u64,
        part: Option<(VersionId, u32)>,
    ) -> Result<(), MetadataError> {
        let asked = Fits {
            bucket: self.bucket.id,
            key: key(name),
            length: ByteCount::new(length),
            part,
        };
        self.server.fits(asked).await
    }
}

fn used(objects: u64, bytes: u64) -> Count {
    Count::Counted(Usage {
        objects,
        versions: objects,
        bytes,
        ..Usage::default()
    })
}

/// A quota is set, felt, and removed; what is asked before a body is taken is answered as its commit would be.
#[tokio::test]
async fn a_quota_is_set_felt_and_removed() {
    let mut gateway = Gateway::new().await;
    let bucket = Holder::Bucket(gateway.bucket.id);
    let quota = gateway.limit(bucket, at_most(1000)).await.unwrap();
    assert_eq!((quota.bytes, quota.objects), (Some(1000), None));
    let (commit, _) = gateway.inline("object", 600).await;
    gateway.server.commit_object(commit).await.unwrap();
    let shown = gateway.usage().await;
    assert_eq!((shown.usage, shown.quota), (used(1, 600), quota));

    let full = exceeded(Exceeded::BucketBytes);
    for (name, length, answer) in [
        ("object", 1000, Ok(())),
        ("object", 1001, full.clone()),
        ("other", 400, Ok(())),
        ("other", 401, full.clone()),
    ] {
        assert_eq!(
            gateway.fits(name, length, None).await,
            answer,
            "{name} {length}"
        );
        if answer.is_err() {
            let (commit, _) = gateway.inline(name, length).await;
            let refused = gateway.server.commit_object(commit.clone()).await;
            assert_eq!(refused.map(drop), answer);
            // Sent again it is answered again, though there may be room by then.
            assert_eq!(gateway.server.commit_object(commit).await.map(drop), answer);
        }
    }
    let upload = gateway.begin_upload("other").await;
    assert_eq!(gateway.fits("other", 400, Some((upload, 1))).await, Ok(()));
    assert_eq!(gateway.fits("other", 401, Some((upload, 1))).await, full);
    // What names nothing is for the commit to refuse.
    let nothing = VersionId::new([9; 16]);
    assert_eq!(gateway.fits("other", 401, Some((nothing, 1))).await, Ok(()));

    gateway.delete(gateway.bucket.id, "object").await;
    assert_eq!(gateway.fits("other", 1000, None).await, Ok(()));
    let change = QuotaChange {
        bytes: Limit::Unlimited,
        objects: Limit::Unlimited,
    };
    assert_eq!(gateway.limit(bucket, change).await, Ok(Quota::default()));
    let (commit, _) = gateway.inline("object", 4000).await;
    gateway.server.commit_object(commit).await.unwrap();
}

/// Of many who write at once just as many get in as there is room for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_writers_do_not_exceed_a_quota() {
    let mut gateway = Gateway::new().await;
    let bucket = Holder::Bucket(gateway.bucket.id);
    gateway.limit(bucket, at_most(10_999)).await.unwrap();
    let mut commits = Vec::new();
    for number in 0..30 {
        let (mut commit, _) = gateway.inline(&format!("object-{number}"), 1000).await;
        commit.request.answered_below = 1;
        commits.push(commit);
    }
    let server = &gateway.server;
    let race = commits
        .into_iter()
        .map(|commit| server.commit_object(commit));
    let answers = join_all(race).await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(done.len(), 10);
    assert!(
        refused
            .iter()
            .all(|answer| *answer == exceeded(Exceeded::BucketBytes))
    );
    assert_eq!(gateway.usage().await.usage, used(10, 10_000));
}

/// A tenant's quota is over all of its buckets, whatever their label; tenants are who has users, buckets or quotas.
#[tokio::test]
async fn a_tenants_quota_is_over_all_of_its_buckets() {
    let mut gateway = Gateway::new().await;
    let secret = Label {
        level: 3,
        ..Label::default()
    };
    let mut create = gateway.create("secret");
    create.label = secret;
    let secret = gateway.server.create_bucket(create).await.unwrap();
    let unknown = gateway
        .limit(Holder::Tenant(TenantId::new(2)), at_most(1))
        .await;
    assert_eq!(unknown, Err(MetadataError::NoSuchTenant));
    let added = gateway
        .server
        .add_user("ada".into(), TenantId::new(2))
        .await;
    added.unwrap();
    let quota = gateway
        .limit(Holder::Tenant(TenantId::new(2)), at_most(1))
        .await;
    assert_eq!(quota.unwrap().bytes, Some(1));

    gateway
        .limit(Holder::Tenant(TENANT), at_most(1000))
        .await
        .unwrap();
    let open = std::mem::replace(&mut gateway.bucket, secret);
    let (commit, _) = gateway.inline("object", 900).await;
    gateway.server.commit_object(commit).await.unwrap();
    gateway.bucket = open;
    let (commit, _) = gateway.inline("object", 101).await;
    let refused = gateway.server.commit_object(commit).await;
    assert_eq!(refused, exceeded(Exceeded::TenantBytes));
    let (commit, _) = gateway.inline("object", 100).await;
    gateway.server.commit_object(commit).await.unwrap();

    let tenants = gateway.server.tenant_usages().await.unwrap();
    let told: Vec<_> = tenants
        .iter()
        .map(|of| (of.tenant.get(), of.buckets, of.usage, of.quota.bytes))
        .collect();
    let expected = [
        (1, 2, used(2, 1000), Some(1000)),
        (2, 0, used(0, 0), Some(1)),
    ];
    assert_eq!(told, expected);
    let all = gateway.server.bucket_usages(None).await.unwrap();
    let names: Vec<_> = all.iter().map(|of| of.bucket.name.as_str()).collect();
    assert_eq!(names, ["planted-bucket", "secret"]);
    let nothing = gateway.server.bucket_usages(Some(bucket_name("nothing")));
    assert_eq!(nothing.await, Ok(Vec::new()));
    let gone = gateway
        .limit(Holder::Bucket(BucketId::new(999)), at_most(1))
        .await;
    assert_eq!(gone, Err(MetadataError::NoSuchBucket));
}
