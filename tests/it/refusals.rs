//! Who is turned away, and how: nobody without a signature, and every refusal has a request id.

use crate::load;
use crate::scheme::{Reach, over_both};
use crate::support;
use aws_sdk_s3::presigning::PresigningConfig;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};
use strongroom_tests::Content;
use strongroom_tests::raw::Answer;

over_both![
    unsigned_requests_are_refused,
    bad_signatures_are_refused,
    presigned_urls_do_what_was_signed,
    presigned_uploads_cannot_be_widened,
    every_answer_has_its_own_request_id,
];

/// Nothing is served to a request without a signature, whatever it asks, and nothing changes.
async fn unsigned_requests_are_refused(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let content = Content::new(5, 1_000);
    support::put(&client, &bucket, "secret", content)
        .await
        .expect("the upload is accepted");
    let object = format!("/{bucket}/secret");
    let planted = format!("/{bucket}/planted");
    let new_bucket = "/planted-bucket".to_owned();
    let listing = format!("/{bucket}?list-type=2");
    let root = "/".to_owned();
    for (method, target) in [
        ("GET", &root),
        ("GET", &object),
        ("HEAD", &object),
        ("DELETE", &object),
        ("PUT", &planted),
        ("GET", &listing),
        ("PUT", &new_bucket),
        ("DELETE", &format!("/{bucket}")),
        ("GET", &"/no-such-bucket/key".to_owned()),
    ] {
        let answer = reach.ask(method, target, &[], b"");
        assert_eq!(answer.status, 403, "{method} {target}: {answer:?}");
        assert!(
            answer
                .header("x-amz-request-id")
                .is_some_and(|id| !id.is_empty()),
            "{method} {target}: {answer:?}"
        );
        if method != "HEAD" {
            assert_eq!(
                answer.element("Code").as_deref(),
                Some("AccessDenied"),
                "{method} {target}: {answer:?}"
            );
        }
    }
    support::check(&client, &bucket, "secret", content)
        .await
        .unwrap();
    let names = load::listed(&client, &bucket).await;
    assert_eq!(names, ["secret"], "nothing was planted");
}

/// A wrong secret and an unknown key are refused, for reading and for writing.
async fn bad_signatures_are_refused(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let content = Content::new(6, 100);
    support::put(&client, &bucket, "k", content)
        .await
        .expect("the upload is accepted");
    let keys = support::cluster().credentials().unwrap();
    let client_as = |access_key: &str, secret_key: &str| {
        support::client_as(support::cluster(), reach.scheme, access_key, secret_key)
    };
    let wrong = client_as(&keys.access_key, &"w".repeat(40));
    let unknown = client_as("AKIAUNKNOWNUNKNOWN00", &keys.secret_key);
    for (client, code) in [
        (wrong, "SignatureDoesNotMatch"),
        (unknown, "InvalidAccessKeyId"),
    ] {
        for refused in [
            support::get(&client, &bucket, "k").await.map(drop),
            client
                .list_buckets()
                .send()
                .await
                .map(drop)
                .map_err(support::refusal),
            support::delete(&client, &bucket, "k").await,
            support::put(&client, &bucket, "k", Content::new(9, 50)).await,
            support::put(&client, &bucket, "k", Content::new(9, 300_000)).await,
        ] {
            let refused = refused.expect_err("the signature is bad");
            assert!(refused.is(403, code), "{refused:?}");
        }
    }
    support::check(&client, &bucket, "k", content)
        .await
        .unwrap();
}

/// A presigned URL does what was signed, until it expires, and nothing else.
async fn presigned_urls_do_what_was_signed(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let content = Content::new(8, 70_000);
    support::put(&client, &bucket, "a b/ü.tar", content)
        .await
        .expect("the upload is accepted");
    let hour = PresigningConfig::expires_in(Duration::from_secs(3600)).unwrap();
    let get = client
        .get_object()
        .bucket(&bucket)
        .key("a b/ü.tar")
        .presigned(hour.clone())
        .await
        .unwrap();
    let target = reach.target(get.uri());
    let answer = reach.ask("GET", &target, &[], b"");
    assert_eq!(
        (answer.status, answer.body.len()),
        (200, 70_000),
        "{:?}",
        answer.headers
    );
    assert_eq!(content.first_wrong(0, &answer.body), None);
    let part = reach.ask("GET", &target, &[("range", "bytes=65530-65540")], b"");
    assert_eq!(
        (part.status, content.first_wrong(65_530, &part.body)),
        (206, None)
    );

    let refused = |answer: Answer, why: &str| {
        assert_eq!(answer.status, 403, "{why}: {answer:?}");
        assert!(
            answer.header("x-amz-request-id").is_some(),
            "{why}: {answer:?}"
        );
    };
    refused(reach.ask("DELETE", &target, &[], b""), "another method");
    let other = target.replacen("a%20b", "a%20c", 1);
    assert_ne!(other, target);
    refused(reach.ask("GET", &other, &[], b""), "another key");
    let longer = target.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200");
    assert_ne!(longer, target);
    refused(reach.ask("GET", &longer, &[], b""), "a longer life");
    let hours_ago = SystemTime::now() - Duration::from_secs(7200);
    let old = PresigningConfig::builder()
        .start_time(hours_ago)
        .expires_in(Duration::from_secs(60))
        .build()
        .unwrap();
    let old = client
        .get_object()
        .bucket(&bucket)
        .key("a b/ü.tar")
        .presigned(old)
        .await
        .unwrap();
    refused(
        reach.ask("GET", &reach.target(old.uri()), &[], b""),
        "expired",
    );
    support::check(&client, &bucket, "a b/ü.tar", content)
        .await
        .unwrap();
}

/// A presigned upload stores what is sent; headers that were not signed cannot make it do more.
async fn presigned_uploads_cannot_be_widened(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let secret = Content::new(10, 2_000);
    support::put(&client, &bucket, "secret", secret)
        .await
        .expect("the upload is accepted");
    let hour = PresigningConfig::expires_in(Duration::from_secs(3600)).unwrap();
    let put = client
        .put_object()
        .bucket(&bucket)
        .key("new")
        .presigned(hour)
        .await
        .unwrap();
    let target = reach.target(put.uri());
    let content = Content::new(11, 5_000);

    let copy = format!("/{bucket}/secret");
    for unsigned in [
        ("x-amz-copy-source", copy.as_str()),
        ("x-amz-meta-owner", "nobody"),
        ("x-amz-tagging", "a=b"),
    ] {
        let answer = reach.ask("PUT", &target, &[unsigned], &content.all());
        assert_eq!(answer.status, 403, "{unsigned:?}: {answer:?}");
    }
    let names = load::listed(&client, &bucket).await;
    assert_eq!(names, ["secret"], "a refused upload left something");

    let answer = reach.ask("PUT", &target, &[], &content.all());
    assert_eq!(answer.status, 200, "{answer:?}");
    support::check(&client, &bucket, "new", content)
        .await
        .unwrap();
}

/// Every answer, good or bad, carries a request id of its own.
async fn every_answer_has_its_own_request_id(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let mut ids = BTreeSet::new();
    for (bucket, key, code) in [
        (bucket.as_str(), "missing", "NoSuchKey"),
        ("no-such-bucket-here", "missing", "NoSuchBucket"),
    ] {
        for _ in 0..3 {
            let refused = support::get(&client, bucket, key).await;
            let refused = refused.expect_err("it is missing");
            assert!(refused.is(404, code), "{refused:?}");
            ids.insert(refused.request_id.expect("a refusal has a request id"));
        }
    }
    let hour = PresigningConfig::expires_in(Duration::from_secs(3600)).unwrap();
    support::put(&client, &bucket, "k", Content::new(1, 10))
        .await
        .expect("the upload is accepted");
    let signed = client
        .get_object()
        .bucket(&bucket)
        .key("k")
        .presigned(hour)
        .await
        .unwrap();
    for _ in 0..3 {
        let answer = reach.ask("GET", &reach.target(signed.uri()), &[], b"");
        assert_eq!(answer.status, 200, "{answer:?}");
        ids.insert(
            answer
                .header("x-amz-request-id")
                .expect("a success has a request id")
                .to_owned(),
        );
    }
    assert_eq!(ids.len(), 9, "{ids:?}");
}
