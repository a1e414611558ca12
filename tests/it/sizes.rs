//! Objects of every size that some layer treats differently.

use crate::scheme::{Reach, Scheme, over_both};
use crate::support::{self, CHUNK, INLINE, MIB, SEGMENT};
use strongroom_tests::Content;

over_both![
    every_boundary_comes_back_exact,
    concurrent_uploads_do_not_mix,
];

/// Around each place where the layout changes: inline, segment, shard, chunk, run of chunks.
pub(crate) fn boundaries() -> Vec<u64> {
    let edges = [INLINE, SEGMENT, 4 * SEGMENT, MIB, CHUNK];
    let around = edges
        .into_iter()
        .flat_map(|edge| [edge - 1, edge, edge + 1]);
    [0, 1]
        .into_iter()
        .chain(around)
        .chain([3 * CHUNK + 12_345])
        .collect()
}

/// An object of any size comes back as it went in, and HEAD tells its size.
/// Method: sizes around each boundary, uploaded, downloaded whole, compared byte by byte.
async fn every_boundary_comes_back_exact(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let sizes = boundaries();
    assert_eq!(sizes.len(), 18, "the boundaries are tried");
    for length in sizes {
        let (key, content) = (format!("object-{length}"), Content::new(length, length));
        support::put(&client, &bucket, &key, content)
            .await
            .expect("the upload is accepted");
        support::check(&client, &bucket, &key, content)
            .await
            .unwrap();
        let head = support::head(&client, &bucket, &key)
            .await
            .expect("it exists");
        assert_eq!(head.content_length(), i64::try_from(length).ok(), "{key}");
    }
}

/// A gibibyte goes in and comes out in one request each, and its far end is reached by a range.
/// Method: the bytes are made while they are sent, over https, and compared while they arrive, over http;
/// the range takes https again.
#[tokio::test]
async fn a_gibibyte_comes_back_exact() {
    let reach = Reach::new(Scheme::Https, "gibibyte");
    let (client, bucket) = reach.with_bucket().await;
    let content = Content::new(30, 1024 * MIB);
    support::put(&client, &bucket, "big", content)
        .await
        .expect("the upload is accepted");
    let over_http = Scheme::Http.client(support::cluster());
    support::check(&over_http, &bucket, "big", content)
        .await
        .unwrap();
    let tail = content.length - 70_000;
    let request = client
        .get_object()
        .bucket(&bucket)
        .key("big")
        .range(format!("bytes={tail}-"));
    let bytes = request
        .send()
        .await
        .expect("the range is served")
        .body
        .collect()
        .await
        .unwrap()
        .to_vec();
    assert_eq!(
        (bytes.len(), content.first_wrong(tail, &bytes)),
        (70_000, None)
    );
    support::delete(&client, &bucket, "big")
        .await
        .expect("it is deleted");
}

/// Many clients at once, each with its own object, do not mix them up.
async fn concurrent_uploads_do_not_mix(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let work = (0..32_u64).map(|number| {
        let (client, bucket) = (client.clone(), bucket.clone());
        tokio::spawn(async move {
            let (key, content) = (
                format!("{number}"),
                Content::new(900 + number, number * 150_001),
            );
            support::put(&client, &bucket, &key, content)
                .await
                .expect("the upload is accepted");
            support::check(&client, &bucket, &key, content)
                .await
                .unwrap();
        })
    });
    let ended = futures::future::join_all(work).await;
    assert_eq!(ended.iter().filter(|outcome| outcome.is_ok()).count(), 32);
}
