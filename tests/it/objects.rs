//! What an object carries besides its bytes, overwriting, and deleting.

use crate::load;
use crate::scheme::{Reach, over_both};
use crate::support::{self, CHUNK};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};
use strongroom_tests::Content;

over_both![
    metadata_and_headers_come_back,
    the_etag_is_the_md5,
    overwrites_replace_and_deletes_end,
    many_are_deleted_at_once,
    racing_writers_never_mix,
];

/// User metadata and the standard content headers come back from GET and HEAD as they were given, and an
/// overwrite leaves none of the old ones.
async fn metadata_and_headers_come_back(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let expires = DateTime::from_secs(2_000_000_000);
    let long = "x".repeat(1500);
    let request = client
        .put_object()
        .bucket(&bucket)
        .key("k")
        .body(ByteStream::from_static(b"body"));
    request
        .content_type("application/x-tar")
        .content_encoding("gzip")
        .content_language("de-CH")
        .content_disposition("attachment; filename=\"a b.tar\"")
        .cache_control("max-age=60, private")
        .expires(expires)
        .metadata("data-set", "tank telemetry, 2026")
        .metadata("long", &long)
        .send()
        .await
        .map_err(support::refusal)
        .expect("the upload is accepted");

    let get = support::get(&client, &bucket, "k")
        .await
        .expect("it exists");
    let head = support::head(&client, &bucket, "k")
        .await
        .expect("it exists");
    let wanted = [
        (get.content_type(), head.content_type(), "application/x-tar"),
        (get.content_encoding(), head.content_encoding(), "gzip"),
        (get.content_language(), head.content_language(), "de-CH"),
        (
            get.content_disposition(),
            head.content_disposition(),
            "attachment; filename=\"a b.tar\"",
        ),
        (
            get.cache_control(),
            head.cache_control(),
            "max-age=60, private",
        ),
    ];
    for (got, told, expected) in wanted {
        assert_eq!((got, told), (Some(expected), Some(expected)));
    }
    assert_eq!(get.expires_string(), head.expires_string());
    assert!(
        get.expires_string()
            .is_some_and(|text| text.contains("2033")),
        "{:?}",
        get.expires_string()
    );
    for metadata in [get.metadata().unwrap(), head.metadata().unwrap()] {
        assert_eq!(metadata.len(), 2, "{metadata:?}");
        assert_eq!(metadata["data-set"], "tank telemetry, 2026");
        assert_eq!(metadata["long"], long);
    }

    support::put(&client, &bucket, "k", Content::new(3, 10))
        .await
        .expect("the overwrite is accepted");
    let head = support::head(&client, &bucket, "k")
        .await
        .expect("it exists");
    assert!(
        head.metadata().is_none_or(|metadata| metadata.is_empty()),
        "{:?}",
        head.metadata()
    );
    assert_eq!(
        (head.content_encoding(), head.cache_control()),
        (None, None)
    );
}

/// The ETag is the MD5 of the bytes, quoted, the same from PUT, HEAD, GET and LIST; the time is now.
async fn the_etag_is_the_md5(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let cases: [(&str, Vec<u8>, &str); 3] = [
        ("empty", Vec::new(), "\"d41d8cd98f00b204e9800998ecf8427e\""),
        (
            "abc",
            b"abc".to_vec(),
            "\"900150983cd24fb0d6963f7d28e17f72\"",
        ),
        // `yes | head -c 1000000 | md5sum`
        (
            "million",
            b"y\n".repeat(500_000),
            "\"08ae78c6517d89241208de2211996ae8\"",
        ),
    ];
    for (key, bytes, expected) in cases {
        let put = client
            .put_object()
            .bucket(&bucket)
            .key(key)
            .body(ByteStream::from(bytes));
        let put = put.send().await.expect("the upload is accepted");
        let head = support::head(&client, &bucket, key)
            .await
            .expect("it exists");
        let get = support::get(&client, &bucket, key)
            .await
            .expect("it exists");
        let list = support::list(&client, &bucket, key)
            .await
            .expect("it is listed");
        let tags = [
            put.e_tag(),
            head.e_tag(),
            get.e_tag(),
            list.contents()[0].e_tag(),
        ];
        assert_eq!(tags, [Some(expected); 4], "{key}");
        let modified = SystemTime::try_from(*head.last_modified().expect("a time")).unwrap();
        let age = SystemTime::now()
            .duration_since(modified)
            .unwrap_or(Duration::ZERO);
        assert!(
            age < Duration::from_secs(120),
            "{key} claims to be {age:?} old"
        );
    }
}

/// An overwrite replaces the whole object, whichever of the two is larger and wherever each is kept; a
/// delete ends it, and deleting what is not there is no error.
async fn overwrites_replace_and_deletes_end(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    for (round, length) in [100, CHUNK + 5, 70_000, 0, 5_000, 4_096, 2 * CHUNK]
        .into_iter()
        .enumerate()
    {
        let content = Content::new(round as u64, length);
        support::put(&client, &bucket, "k", content)
            .await
            .expect("the upload is accepted");
        support::check(&client, &bucket, "k", content)
            .await
            .unwrap();
    }
    for _ in 0..2 {
        support::delete(&client, &bucket, "k")
            .await
            .expect("a delete succeeds");
        let gone = support::get(&client, &bucket, "k")
            .await
            .expect_err("it is gone");
        assert!(gone.is(404, "NoSuchKey"), "{gone:?}");
        let gone = support::head(&client, &bucket, "k")
            .await
            .expect_err("it is gone");
        assert_eq!(gone.status, Some(404));
    }
    assert_eq!(load::listed(&client, &bucket).await, [""; 0]);
}

/// DeleteObjects deletes exactly what it names, and reports each unless told to be quiet.
async fn many_are_deleted_at_once(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let keys: Vec<String> = (0..30).map(|number| format!("k&{number:02} <ü>")).collect();
    for key in &keys {
        support::put(&client, &bucket, key, Content::new(1, 20))
            .await
            .expect("the upload is accepted");
    }
    let request = |keys: &[String], quiet: bool| {
        let name = |key: &String| ObjectIdentifier::builder().key(key).build().expect("a key");
        let delete = Delete::builder()
            .quiet(quiet)
            .set_objects(Some(keys.iter().map(name).collect()));
        client
            .delete_objects()
            .bucket(&bucket)
            .delete(delete.build().expect("keys"))
            .send()
    };
    let mut first = keys[..10].to_vec();
    first.push("never there".to_owned());
    let loud = request(&first, false)
        .await
        .map_err(support::refusal)
        .expect("a delete succeeds");
    let told: BTreeSet<_> = loud
        .deleted()
        .iter()
        .filter_map(|deleted| deleted.key())
        .collect();
    assert_eq!(told, first.iter().map(String::as_str).collect());
    assert!(loud.errors().is_empty(), "{:?}", loud.errors());
    let quiet = request(&keys[10..20], true)
        .await
        .map_err(support::refusal)
        .expect("a delete succeeds");
    assert!(quiet.deleted().is_empty() && quiet.errors().is_empty());
    assert_eq!(load::listed(&client, &bucket).await, keys[20..]);
}

/// Of writers that race for one key, one wins whole: never a mixture.
async fn racing_writers_never_mix(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let contents: Vec<Content> = (0..8)
        .map(|seed| Content::new(seed, 600_000 + seed))
        .collect();
    for _ in 0..3 {
        let writers = contents
            .iter()
            .map(|content| support::put(&client, &bucket, "k", *content));
        let outcomes = futures::future::join_all(writers).await;
        assert_eq!(
            outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
            8,
            "{outcomes:?}"
        );
        let head = support::head(&client, &bucket, "k")
            .await
            .expect("it exists");
        let winner = contents
            .iter()
            .find(|content| i64::try_from(content.length).ok() == head.content_length());
        support::check(&client, &bucket, "k", *winner.expect("one of them"))
            .await
            .unwrap();
    }
}
