//! Quotas as S3 clients feel them.

use crate::cluster::World;
use crate::wire::{Reply, ask};
use std::time::{Duration, Instant};
use types::TenantId;
use types::wire::Usages;
use types::wire::metadata::MetadataError;
use types::wire::usage::{Holder, Limit, QuotaChange};

const MIB: usize = 1 << 20;

async fn limit(world: &World, holder: Holder, bytes: Limit, objects: Limit) {
    let change = QuotaChange { bytes, objects };
    let began = Instant::now();
    loop {
        match world.service.set_quota(holder, change).await {
            // Usage is kept from the leader's first round on.
            Err(MetadataError::Unavailable(why)) => {
                assert!(began.elapsed() < Duration::from_secs(10), "{why}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            set => {
                set.expect("set");
                return;
            }
        }
    }
}

async fn world() -> (World, Holder) {
    let world = World::new().await;
    ask("PUT", "/bucket").send(world.address).await;
    let buckets = world.service.bucket_usages(None).await.expect("listed");
    let holder = Holder::Bucket(buckets[0].bucket.id);
    (world, holder)
}

fn refused(reply: &Reply, what: &str) {
    let told = (reply.status, reply.code());
    assert_eq!(told, (403, "QuotaExceeded".to_owned()), "{}", reply.text());
    let message = reply.all("Message").remove(0).replace("&apos;", "'");
    assert!(message.contains(what), "{message}");
    assert!(
        !message.bytes().any(|byte| byte.is_ascii_digit()),
        "{message}"
    );
}

/// What does not fit is refused as such, a long body before it is asked for; what shrinks or goes is not, and makes
/// room.
#[tokio::test]
async fn full_buckets_say_so() {
    let (world, bucket) = world().await;
    let at = world.address;
    let bytes = Limit::AtMost(3 * MIB as u64);
    limit(&world, bucket, bytes, Limit::Keep).await;
    let put = |key: &str, length: usize| {
        let put = ask("PUT", format!("/bucket/{key}")).body(vec![7; length]);
        put.header("expect", "100-continue")
    };
    let first = put("first", 2 * MIB).send(at).await;
    assert_eq!((first.status, first.continued), (200, true));

    let long = put("second", 2 * MIB).send(at).await;
    refused(&long, "the bucket's quota of bytes");
    assert!(!long.continued, "its body was asked for");
    let larger = put("first", 4 * MIB).send(at).await;
    refused(&larger, "bytes");
    assert!(!larger.continued);
    for key in ["filler", "filler-2"] {
        let filler = put(key, MIB / 2).send(at).await;
        assert_eq!(filler.status, 200, "{}", filler.text());
    }
    refused(&put("short", 10).send(at).await, "bytes");
    assert_eq!(ask("HEAD", "/bucket/short").send(at).await.status, 404);
    let copy = ask("PUT", "/bucket/copy").header("x-amz-copy-source", "/bucket/first");
    refused(&copy.send(at).await, "bytes");

    // Nothing of it, and smaller.
    assert_eq!(put("empty", 0).send(at).await.status, 200);
    assert_eq!(put("first", MIB).send(at).await.status, 200);
    assert_eq!(put("short", 10).send(at).await.status, 200);
    assert_eq!(ask("DELETE", "/bucket/first").send(at).await.status, 204);
    assert_eq!(put("second", MIB).send(at).await.status, 200);
}

/// Parts count while they are uploaded, and are given back when the upload is; what could not become an object is
/// not begun, and completing never fails for the bytes that are in already.
#[tokio::test]
async fn uploads_are_held_to_quotas() {
    let (world, bucket) = world().await;
    let at = world.address;
    let (bytes, objects) = (Limit::AtMost(7 * MIB as u64), Limit::AtMost(1));
    limit(&world, bucket, bytes, objects).await;
    let begin = async || {
        ask("POST", "/bucket/key")
            .query("uploads", "")
            .send(at)
            .await
    };
    let part = async |id: &str, number: u32, length: usize| {
        ask("PUT", "/bucket/key")
            .query("uploadId", id)
            .query("partNumber", &number.to_string())
            .body(vec![7; length])
            .send(at)
            .await
    };
    let (one, other) = (begin().await, begin().await);
    let (one, other) = (
        one.all("UploadId").remove(0),
        other.all("UploadId").remove(0),
    );
    let first = part(&one, 1, 5 * MIB).await;
    assert_eq!(first.status, 200);
    refused(&part(&other, 1, 3 * MIB).await, "bytes");
    let last = part(&one, 2, 2 * MIB).await;
    assert_eq!(last.status, 200);
    refused(&part(&other, 1, 1).await, "bytes");

    let named = |number: u32, reply: &Reply| {
        let etag = reply.header("etag").expect("an ETag");
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
    };
    let parts = named(1, &first) + &named(2, &last);
    let complete = ask("POST", "/bucket/key")
        .query("uploadId", &one)
        .body(format!(
            "<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
        ));
    assert_eq!(complete.send(at).await.status, 200);
    let another = ask("POST", "/bucket/another")
        .query("uploads", "")
        .send(at)
        .await;
    refused(&another, "the bucket's quota of objects");
    // Of the key that is there an upload may replace it.
    assert_eq!(begin().await.status, 200);
    assert_eq!(ask("DELETE", "/bucket/key").send(at).await.status, 204);
    assert_eq!(part(&other, 1, 5 * MIB).await.status, 200);
    let abort = ask("DELETE", "/bucket/key").query("uploadId", &other);
    assert_eq!(abort.send(at).await.status, 204);
    let put = ask("PUT", "/bucket/key").body(vec![7; 7 * MIB]);
    assert_eq!(put.send(at).await.status, 200);
}

/// A tenant's quota is felt in each of its buckets, and by no other tenant.
#[tokio::test]
async fn tenants_are_held_to_quotas() {
    let (world, _) = world().await;
    let at = world.address;
    let tenant = Holder::Tenant(TenantId::new(1));
    limit(&world, tenant, Limit::AtMost(100), Limit::Keep).await;
    ask("PUT", "/other").send(at).await;
    let put = async |path: &str, length| ask("PUT", path).body(vec![7; length]).send(at).await;
    assert_eq!(put("/bucket/key", 60).await.status, 200);
    refused(&put("/other/key", 41).await, "the tenant's quota of bytes");
    assert_eq!(put("/other/key", 40).await.status, 200);
    let mut foreign = ask("PUT", "/theirs");
    foreign.access_key = crate::cluster::FOREIGN_KEY.into();
    assert_eq!(foreign.send(at).await.status, 200);
    let mut foreign = ask("PUT", "/theirs/key").body(vec![7; 5000]);
    foreign.access_key = crate::cluster::FOREIGN_KEY.into();
    assert_eq!(foreign.send(at).await.status, 200);
}
