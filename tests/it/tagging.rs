//! Tags, as an SDK sets and reads them.

use crate::scheme::{Reach, over_both};
use crate::support;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Tag, Tagging};

over_both![objects_keep_their_tags, buckets_keep_their_tags];

fn tagging(tags: &[(&str, &str)]) -> Tagging {
    let tag = |(key, value): &(&str, &str)| Tag::builder().key(*key).value(*value).build();
    let tags = tags.iter().map(|pair| tag(pair).expect("whole")).collect();
    let tagging = Tagging::builder().set_tag_set(Some(tags)).build();
    tagging.expect("a tag set")
}

fn shown(tags: &[Tag]) -> Vec<(&str, &str)> {
    tags.iter().map(|tag| (tag.key(), tag.value())).collect()
}

/// An object has the tags of its upload until it is given others; its bytes, ETag and time stay as they are.
/// An overwrite has none, and what is not there has none to give.
async fn objects_keep_their_tags(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let put = client.put_object().bucket(&bucket).key("k");
    let put = put.tagging("data-set=tank%20telemetry&split=train");
    put.body(ByteStream::from_static(b"body"))
        .send()
        .await
        .expect("the upload is accepted");
    let tags = async || {
        let request = client.get_object_tagging().bucket(&bucket).key("k");
        request.send().await.expect("it is there").tag_set
    };
    let first = [("data-set", "tank telemetry"), ("split", "train")];
    assert_eq!(shown(&tags().await), first);
    let before = support::get(&client, &bucket, "k")
        .await
        .expect("it is there");
    assert_eq!(before.tag_count(), Some(2));

    let ten: Vec<(String, String)> = (0..10)
        .map(|n| (format!("ü{n}"), "v".repeat(256)))
        .collect();
    let ten: Vec<(&str, &str)> = ten.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let set = client.put_object_tagging().bucket(&bucket).key("k");
    set.tagging(tagging(&ten))
        .send()
        .await
        .expect("ten are allowed");
    assert_eq!(shown(&tags().await), ten);
    let after = support::get(&client, &bucket, "k")
        .await
        .expect("it is there");
    assert_eq!(after.tag_count(), Some(10));
    assert_eq!(
        (after.e_tag(), after.last_modified(), after.content_length()),
        (
            before.e_tag(),
            before.last_modified(),
            before.content_length()
        )
    );
    let twice = client.put_object_tagging().bucket(&bucket).key("k");
    let twice = twice
        .tagging(tagging(&[("a", "1"), ("a", "2")]))
        .send()
        .await;
    let refused = support::refusal(twice.expect_err("two of one name"));
    assert!(refused.is(400, "InvalidTag"), "{refused:?}");
    assert_eq!(shown(&tags().await), ten);

    let delete = client.delete_object_tagging().bucket(&bucket).key("k");
    delete.send().await.expect("they are deleted");
    assert_eq!(shown(&tags().await), []);
    let set = client.put_object_tagging().bucket(&bucket).key("none");
    let refused = set.tagging(tagging(&[("a", "1")])).send().await;
    let refused = support::refusal(refused.expect_err("there is no such object"));
    assert!(refused.is(404, "NoSuchKey"), "{refused:?}");
}

/// A bucket has no tag set, one that was given to it, or none again.
async fn buckets_keep_their_tags(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let get = async || {
        let answer = client.get_bucket_tagging().bucket(&bucket).send().await;
        answer
            .map(|answer| answer.tag_set)
            .map_err(support::refusal)
    };
    for round in ["one", "two"] {
        let none = get().await.expect_err("it has none");
        assert!(none.is(404, "NoSuchTagSet"), "{none:?}");
        let tags = [("round", round), ("unit", "1. Panzer")];
        let set = client.put_bucket_tagging().bucket(&bucket);
        set.tagging(tagging(&tags))
            .send()
            .await
            .expect("it is allowed");
        assert_eq!(shown(&get().await.expect("it has tags")), tags);
        let delete = client.delete_bucket_tagging().bucket(&bucket);
        delete.send().await.expect("they are deleted");
    }
}
