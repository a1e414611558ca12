//! Racing conditional writers: whoever asks for the version that it saw wins alone.

use crate::scheme::{Reach, over_both};
use crate::support::{self, Refusal};
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use futures::future::join_all;
use strongroom_tests::Content;

over_both![
    one_of_many_creates,
    no_increment_is_lost,
    a_write_or_a_deletion_wins,
];

/// Whether a conditional request lost against another: nothing else may stop one here.
fn lost(refused: &Refusal) -> bool {
    refused.is(412, "PreconditionFailed") || refused.is(409, "ConditionalRequestConflict")
}

/// Of many who create one key at once exactly one does, and what is there is what it wrote.
/// Method: twelve writers with `If-None-Match: *`, each with bytes of its own, small ones that lie in
/// metadata and others on disks; several keys.
async fn one_of_many_creates(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    for (round, length) in [100, 5_000, 70_000, 300_000].into_iter().enumerate() {
        let key = format!("key-{round}");
        let writers = (0..12u64).map(|writer| {
            let content = Content::new(writer, length + writer);
            let put = client.put_object().bucket(&bucket).key(&key);
            let put = put.if_none_match("*").body(ByteStream::from(content.all()));
            async move { put.send().await.map(|_| content).map_err(support::refusal) }
        });
        let (won, refused): (Vec<_>, Vec<_>) =
            join_all(writers).await.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "{key}: {refused:?}");
        for refused in refused.into_iter().filter_map(Result::err) {
            assert!(lost(&refused), "{key}: {refused:?}");
        }
        let content = won.into_iter().find_map(Result::ok).expect("one");
        support::check(&client, &bucket, &key, content)
            .await
            .unwrap();
    }
}

/// A counter that is read and written under its ETag loses no increment, however many add to it.
/// Method: four adders of ten, who look again when they lose.
async fn no_increment_is_lost(reach: Reach) {
    const EACH: u64 = 10;
    const ADDERS: u64 = 4;
    let (client, bucket) = reach.with_bucket().await;
    write(&client, &bucket, 0, None)
        .await
        .expect("nobody else writes");
    let add = async || {
        let mut races = 0;
        for _ in 0..EACH {
            loop {
                let (count, etag) = read(&client, &bucket).await;
                match write(&client, &bucket, count + 1, Some(&etag)).await {
                    Ok(()) => break,
                    Err(refused) => assert!(lost(&refused), "{refused:?}"),
                }
                races += 1;
                assert!(races < 10_000, "a writer never wins");
            }
        }
    };
    join_all((0..ADDERS).map(|_| add())).await;
    assert_eq!(read(&client, &bucket).await.0, EACH * ADDERS);
}

async fn read(client: &Client, bucket: &str) -> (u64, String) {
    let answer = support::get(client, bucket, "counter").await;
    let answer = answer.expect("it is there");
    let etag = answer.e_tag().expect("an ETag").to_owned();
    let bytes = answer.body.collect().await.expect("all of it").to_vec();
    let text = String::from_utf8(bytes).expect("digits");
    (text.parse().expect("a number"), etag)
}

async fn write(
    client: &Client,
    bucket: &str,
    count: u64,
    over: Option<&str>,
) -> Result<(), Refusal> {
    let put = client.put_object().bucket(bucket).key("counter");
    let put = put.set_if_match(over.map(str::to_owned));
    let put = put.body(ByteStream::from(count.to_string().into_bytes()));
    put.send().await.map(drop).map_err(support::refusal)
}

/// Of a write and a deletion that ask for the same version one happens. The loser says so, or, as a
/// deletion may, finds nothing left to delete.
/// Method: both at once, many times.
async fn a_write_or_a_deletion_wins(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    for round in 0..20u64 {
        let (old, new) = (Content::new(round, 500), Content::new(round, 600));
        support::put(&client, &bucket, "k", old)
            .await
            .expect("the upload is accepted");
        let head = support::head(&client, &bucket, "k")
            .await
            .expect("it is there");
        let etag = head.e_tag().expect("an ETag");
        let put = client.put_object().bucket(&bucket).key("k").if_match(etag);
        let put = put.body(ByteStream::from(new.all())).send();
        let delete = client
            .delete_object()
            .bucket(&bucket)
            .key("k")
            .if_match(etag);
        let (put, delete) = futures::join!(put, delete.send());
        let put = put.map(drop).map_err(support::refusal);
        let delete = delete.map(drop).map_err(support::refusal);
        match (put, delete) {
            (Ok(()), Err(refused)) => {
                assert!(refused.is(412, "PreconditionFailed"), "{refused:?}");
                support::check(&client, &bucket, "k", new).await.unwrap();
            }
            (Err(refused), Ok(())) => {
                assert!(
                    lost(&refused) || refused.is(404, "NoSuchKey"),
                    "{refused:?}"
                );
                let gone = support::head(&client, &bucket, "k")
                    .await
                    .expect_err("deleted");
                assert_eq!(gone.status, Some(404));
            }
            both => panic!("round {round}: {both:?}"),
        }
    }
}
