//! Ranged reads, which is how a training job reads.

use crate::scheme::{Reach, over_both};
use crate::support::{self, CHUNK, INLINE, MIB, SEGMENT};
use aws_sdk_s3::Client;
use strongroom_tests::Content;

over_both![
    ranges_across_every_boundary,
    odd_ranges_are_clamped_or_refused,
    shuffled_parallel_ranges,
];

/// Any range yields its bytes and no other, wherever it begins and ends.
/// Method: around each boundary of each object, ranges that touch, straddle and end at it.
async fn ranges_across_every_boundary(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let mut tried = 0;
    for length in [
        1,
        INLINE,
        INLINE + 1,
        SEGMENT + 1,
        MIB + 1,
        CHUNK + 1,
        2 * CHUNK + 777_777,
    ] {
        let (key, content) = (format!("object-{length}"), Content::new(length, length));
        support::put(&client, &bucket, &key, content)
            .await
            .expect("the upload is accepted");
        for (first, last) in around_boundaries(length) {
            let asked = format!("bytes={first}-{last}");
            let served = first..(last + 1).min(length);
            expect(&client, &bucket, &key, content, &asked, served).await;
            tried += 1;
        }
    }
    assert!(tried > 150, "only {tried} ranges were tried");
}

fn around_boundaries(length: u64) -> Vec<(u64, u64)> {
    let edges = [
        1,
        INLINE,
        SEGMENT,
        2 * SEGMENT,
        MIB,
        2 * MIB,
        CHUNK,
        CHUNK + MIB,
        2 * CHUNK,
        length,
    ];
    let mut ranges = vec![(0, 0), (0, length - 1), (length - 1, length - 1)];
    for edge in edges.into_iter().filter(|edge| *edge <= length) {
        let spans = [
            (edge - 1, edge - 1),
            (edge - 1, edge),
            (edge, edge),
            (edge.saturating_sub(100), edge + 100),
        ];
        ranges.extend(spans);
        ranges.push((0, edge - 1));
        ranges.push((edge.saturating_sub(SEGMENT + 1), edge + SEGMENT + 1));
    }
    ranges.retain(|(first, _)| *first < length);
    ranges
}

async fn expect(
    client: &Client,
    bucket: &str,
    key: &str,
    content: Content,
    asked: &str,
    served: std::ops::Range<u64>,
) {
    let answer = client
        .get_object()
        .bucket(bucket)
        .key(key)
        .range(asked)
        .send()
        .await;
    let answer = answer
        .map_err(support::refusal)
        .unwrap_or_else(|error| panic!("{key} {asked}: {error:?}"));
    let told = format!(
        "bytes {}-{}/{}",
        served.start,
        served.end - 1,
        content.length
    );
    assert_eq!(answer.content_range(), Some(told.as_str()), "{key} {asked}");
    let bytes = answer
        .body
        .collect()
        .await
        .unwrap_or_else(|error| panic!("{key} {asked}: {error}"))
        .to_vec();
    assert_eq!(
        bytes.len() as u64,
        served.end - served.start,
        "{key} {asked}"
    );
    assert_eq!(
        content.first_wrong(served.start, &bytes),
        None,
        "{key} {asked}: first wrong byte"
    );
}

/// Open-ended, suffix and overlong ranges are served as far as the object goes; one beyond it is refused.
async fn odd_ranges_are_clamped_or_refused(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    for length in [10, INLINE + 10, CHUNK + 10] {
        let (key, content) = (format!("object-{length}"), Content::new(length, length));
        support::put(&client, &bucket, &key, content)
            .await
            .expect("the upload is accepted");
        let last = length - 1;
        for (asked, served) in [
            ("bytes=0-".to_owned(), 0..length),
            (format!("bytes={last}-"), last..length),
            ("bytes=-1".to_owned(), last..length),
            ("bytes=-7".to_owned(), length - 7..length),
            (format!("bytes=-{}", length * 2), 0..length),
            ("bytes=3-99999999999".to_owned(), 3..length),
        ] {
            expect(&client, &bucket, &key, content, &asked, served).await;
        }
        for asked in [
            format!("bytes={length}-"),
            format!("bytes={}-{}", length + 5, length + 9),
        ] {
            let refused = client
                .get_object()
                .bucket(&bucket)
                .key(&key)
                .range(&asked)
                .send()
                .await;
            let refused = support::refusal(refused.expect_err("nothing is there"));
            assert!(
                refused.is(416, "InvalidRange"),
                "{key} {asked}: {refused:?}"
            );
        }
    }
}

/// A training job's way of reading: many ranges at once, in any order, each exact.
async fn shuffled_parallel_ranges(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let content = Content::new(77, 3 * CHUNK + 1);
    support::put(&client, &bucket, "shard.tar", content)
        .await
        .expect("the upload is accepted");
    let (mut dice, _) = strongroom_tests::Dice::announced("shuffled ranges");
    let reads = (0..8).map(|_| {
        let (client, bucket, mut dice) = (client.clone(), bucket.clone(), dice.split());
        tokio::spawn(async move {
            for _ in 0..40 {
                let start = dice.below(content.length);
                let end = (start + 1 + dice.below(200_000)).min(content.length);
                let asked = format!("bytes={start}-{}", end - 1);
                expect(&client, &bucket, "shard.tar", content, &asked, start..end).await;
            }
        })
    });
    let ended = futures::future::join_all(reads).await;
    assert_eq!(ended.iter().filter(|outcome| outcome.is_ok()).count(), 8);
}
