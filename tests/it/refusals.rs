//! Who is turned away, and how: nobody without a signature, and every refusal has a request id.

use crate::support;
use aws_sdk_s3::presigning::PresigningConfig;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use strongroom_tests::Content;
use strongroom_tests::raw::{self, Answer};

/// Nothing is served to a request without a signature, whatever it asks, and nothing changes.
#[tokio::test]
async fn unsigned_requests_are_refused() {
    let (client, bucket) = support::shared_bucket("unsigned").await;
    let content = Content::new(5, 1_000);
    support::put(&client, &bucket, "secret", content)
        .await
        .expect("the upload is accepted");
    let server = support::cluster().endpoints().s3;
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
        let answer = raw::request(server, method, target, &[], b"").expect("an answer");
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
    let listed = client
        .list_objects_v2()
        .bucket(&bucket)
        .send()
        .await
        .expect("it is listed");
    assert_eq!(listed.key_count(), Some(1), "nothing was planted");
}

/// A wrong secret and an unknown key are refused, for reading and for writing.
#[tokio::test]
async fn bad_signatures_are_refused() {
    let (client, bucket) = support::shared_bucket("bad-signature").await;
    let content = Content::new(6, 100);
    support::put(&client, &bucket, "k", content)
        .await
        .expect("the upload is accepted");
    let keys = support::cluster().credentials().unwrap();
    let wrong = support::client_as(support::cluster(), &keys.access_key, &"w".repeat(40));
    let unknown = support::client_as(support::cluster(), "AKIAUNKNOWNUNKNOWN00", &keys.secret_key);
    for (client, code) in [
        (wrong, "SignatureDoesNotMatch"),
        (unknown, "InvalidAccessKeyId"),
    ] {
        for refused in [
            client
                .get_object()
                .bucket(&bucket)
                .key("k")
                .send()
                .await
                .map(drop)
                .map_err(support::refusal),
            client
                .list_buckets()
                .send()
                .await
                .map(drop)
                .map_err(support::refusal),
            client
                .delete_object()
                .bucket(&bucket)
                .key("k")
                .send()
                .await
                .map(drop)
                .map_err(support::refusal),
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
#[tokio::test]
async fn presigned_urls_do_what_was_signed() {
    let (client, bucket) = support::shared_bucket("presigned").await;
    let server = support::cluster().endpoints().s3;
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
    let target = path_and_query(server, get.uri());
    let answer = raw::request(server, "GET", &target, &[], b"").unwrap();
    assert_eq!(
        (answer.status, answer.body.len()),
        (200, 70_000),
        "{:?}",
        answer.headers
    );
    assert_eq!(content.first_wrong(0, &answer.body), None);
    let part = raw::request(
        server,
        "GET",
        &target,
        &[("range", "bytes=65530-65540")],
        b"",
    )
    .unwrap();
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
    refused(
        raw::request(server, "DELETE", &target, &[], b"").unwrap(),
        "another method",
    );
    let other = target.replacen("a%20b", "a%20c", 1);
    assert_ne!(other, target);
    refused(
        raw::request(server, "GET", &other, &[], b"").unwrap(),
        "another key",
    );
    let longer = target.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200");
    assert_ne!(longer, target);
    refused(
        raw::request(server, "GET", &longer, &[], b"").unwrap(),
        "a longer life",
    );
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
        raw::request(server, "GET", &path_and_query(server, old.uri()), &[], b"").unwrap(),
        "expired",
    );
    support::check(&client, &bucket, "a b/ü.tar", content)
        .await
        .unwrap();
}

/// A presigned upload stores what is sent; headers that were not signed cannot make it do more.
#[tokio::test]
async fn presigned_uploads_cannot_be_widened() {
    let (client, bucket) = support::shared_bucket("presigned-put").await;
    let server = support::cluster().endpoints().s3;
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
    let target = path_and_query(server, put.uri());
    let content = Content::new(11, 5_000);

    let copy = format!("/{bucket}/secret");
    for unsigned in [
        ("x-amz-copy-source", copy.as_str()),
        ("x-amz-meta-owner", "nobody"),
        ("x-amz-tagging", "a=b"),
    ] {
        let answer = raw::request(server, "PUT", &target, &[unsigned], &content.all()).unwrap();
        assert_eq!(answer.status, 403, "{unsigned:?}: {answer:?}");
    }
    let listed = client
        .list_objects_v2()
        .bucket(&bucket)
        .prefix("new")
        .send()
        .await
        .expect("it is listed");
    assert_eq!(
        listed.key_count(),
        Some(0),
        "a refused upload left something"
    );

    let answer = raw::request(server, "PUT", &target, &[], &content.all()).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    support::check(&client, &bucket, "new", content)
        .await
        .unwrap();
}

/// Every answer, good or bad, carries a request id of its own.
#[tokio::test]
async fn every_answer_has_its_own_request_id() {
    let (client, bucket) = support::shared_bucket("request-id").await;
    let mut ids = BTreeSet::new();
    let get = |bucket: &str, key: &str| client.get_object().bucket(bucket).key(key).send();
    for (bucket, key, code) in [
        (bucket.as_str(), "missing", "NoSuchKey"),
        ("no-such-bucket-here", "missing", "NoSuchBucket"),
    ] {
        for _ in 0..3 {
            let refused = support::refusal(get(bucket, key).await.expect_err("it is missing"));
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
    let server = support::cluster().endpoints().s3;
    for _ in 0..3 {
        let answer = raw::request(
            server,
            "GET",
            &path_and_query(server, signed.uri()),
            &[],
            b"",
        )
        .unwrap();
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

fn path_and_query(server: SocketAddr, url: &str) -> String {
    url.strip_prefix(&format!("http://{server}"))
        .expect("a URL of this server")
        .to_owned()
}
