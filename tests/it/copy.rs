//! Copies with a real client: whatever is shared below, each is an object of its own.

use crate::multipart::Upload;
use crate::scheme::{Reach, over_both};
use crate::support::{self, CHUNK, INLINE, MIB};
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{CompletedPart, MetadataDirective};
use strongroom_tests::Content;

over_both![
    copies_outlive_their_sources,
    copies_of_copies_are_whole,
    ranges_of_objects_become_parts,
    objects_change_their_metadata_in_place,
];

async fn copy(client: &Client, from: &str, bucket: &str, key: &str) {
    let copy = client
        .copy_object()
        .copy_source(from)
        .bucket(bucket)
        .key(key);
    let copied = copy.send().await.map_err(support::refusal);
    let copied = copied.expect("it is copied");
    let result = copied.copy_object_result().expect("a result");
    let head = support::head(client, bucket, key).await.expect("there");
    assert_eq!(result.e_tag(), head.e_tag());
}

async fn delete(client: &Client, bucket: &str, key: &str) {
    let deleted = client.delete_object().bucket(bucket).key(key).send().await;
    deleted
        .map_err(support::refusal)
        .expect("a delete succeeds");
}

/// A copy is the source's bytes, and stays what it is whatever becomes of the source.
/// Method: sizes that are shared and not, across buckets; the source deleted, overwritten, deleted again.
async fn copies_outlive_their_sources(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let other = format!("{bucket}-other");
    support::make_bucket(&client, &other).await;
    for length in [
        0,
        1,
        INLINE,
        INLINE + 1,
        MIB - 1,
        MIB,
        CHUNK + 1,
        5 * CHUNK + 77,
    ] {
        let content = Content::new(length, length);
        support::put(&client, &bucket, "source", content)
            .await
            .expect("the upload is accepted");
        let from = format!("{bucket}/source");
        copy(&client, &from, &bucket, "near").await;
        copy(&client, &from, &other, "far").await;
        delete(&client, &bucket, "source").await;
        let newer = Content::new(length + 1, 2 * MIB);
        support::put(&client, &bucket, "source", newer)
            .await
            .expect("the upload is accepted");
        for (bucket, key) in [(&bucket, "near"), (&other, "far")] {
            let checked = support::check(&client, bucket, key, content).await;
            checked.unwrap_or_else(|wrong| panic!("{length}: {wrong}"));
        }
        delete(&client, &bucket, "near").await;
        support::check(&client, &other, "far", content)
            .await
            .unwrap();
    }
}

/// However long the line of copies, and whichever of them are gone, the last is whole.
/// Method: eight copies in a row, of an object of parts, each source deleted; then the next to the last read
/// and deleted, too.
async fn copies_of_copies_are_whole(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let content = Content::new(8, 3 * CHUNK + 5);
    support::put(&client, &bucket, "copy-0", content)
        .await
        .expect("the upload is accepted");
    for turn in 0..8 {
        let from = format!("{bucket}/copy-{turn}");
        copy(&client, &from, &bucket, &format!("copy-{}", turn + 1)).await;
        delete(&client, &bucket, &format!("copy-{turn}")).await;
    }
    support::check(&client, &bucket, "copy-8", content)
        .await
        .unwrap();
}

/// Ranges of plain objects and of objects of parts, of any size and place, become parts of another.
/// Method: an object put together from ranges of two, the second made of ranges itself.
async fn ranges_of_objects_become_parts(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let content = Content::new(9, 4 * CHUNK + 1000);
    support::put(&client, &bucket, "plain", content)
        .await
        .expect("the upload is accepted");
    let made = assemble(
        &client,
        &bucket,
        "parted",
        &[
            ("plain", content.range(0..content.length), 3, 5 * MIB + 2),
            (
                "plain",
                content.range(0..content.length),
                CHUNK - 1,
                6 * MIB,
            ),
            ("plain", content.range(0..content.length), 999, 10),
        ],
    )
    .await;
    let whole = content.all();
    assemble(
        &client,
        &bucket,
        "again",
        &[
            ("parted", made.clone(), 5 * MIB - 1, 5 * MIB + 3),
            ("plain", whole, 0, 8 * MIB),
            ("parted", made.clone(), 0, made.len() as u64),
        ],
    )
    .await;
}

/// Makes an object of ranges: from which key, its bytes, from where on, how many. Its bytes, which are
/// compared.
async fn assemble(
    client: &Client,
    bucket: &str,
    key: &str,
    ranges: &[(&str, Vec<u8>, u64, u64)],
) -> Vec<u8> {
    let upload = Upload::begin(client, bucket, key, None).await;
    let mut parts = Vec::new();
    let mut expected = Vec::new();
    for (number, (from, bytes, first, length)) in (1..).zip(ranges) {
        let last = first + length - 1;
        let copied = client
            .upload_part_copy()
            .copy_source(format!("{bucket}/{from}"))
            .copy_source_range(format!("bytes={first}-{last}"))
            .bucket(bucket)
            .key(key)
            .upload_id(&upload.id)
            .part_number(number)
            .send()
            .await
            .map_err(support::refusal)
            .expect("the range is copied");
        let result = copied.copy_part_result().expect("a result");
        let part = CompletedPart::builder().part_number(number);
        parts.push(part.set_e_tag(result.e_tag().map(str::to_owned)).build());
        let (first, end) = (index(*first), index(last) + 1);
        expected.extend_from_slice(&bytes[first..end]);
    }
    upload.complete(parts).await.expect("it is completed");
    let got = support::get(client, bucket, key).await.expect("there");
    let got = got.body.collect().await.expect("it arrives").into_bytes();
    assert!(got == expected, "{key} is not what it was made of");
    expected
}

fn index(place: u64) -> usize {
    usize::try_from(place).expect("a place in memory")
}

/// An object is copied onto itself to change its metadata, and its bytes stay.
/// Method: small and large; then without a change.
async fn objects_change_their_metadata_in_place(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    for length in [100, 2 * CHUNK] {
        let content = Content::new(1, length);
        support::put(&client, &bucket, "k", content)
            .await
            .expect("the upload is accepted");
        let itself = || {
            let source = format!("{bucket}/k");
            client
                .copy_object()
                .copy_source(source)
                .bucket(&bucket)
                .key("k")
        };
        itself()
            .metadata_directive(MetadataDirective::Replace)
            .metadata("epoch", "7")
            .content_type("application/x-tar")
            .send()
            .await
            .map_err(support::refusal)
            .expect("it is copied");
        let head = support::head(&client, &bucket, "k").await.expect("there");
        assert_eq!(head.content_type(), Some("application/x-tar"));
        assert_eq!(head.metadata().expect("metadata")["epoch"], "7");
        support::check(&client, &bucket, "k", content)
            .await
            .unwrap();
        let refused = itself().send().await.map_err(support::refusal);
        let refused = refused.expect_err("nothing changes");
        assert!(refused.is(400, "InvalidRequest"), "{refused:?}");
    }
}
