//! A bucket's life.

use crate::scheme::{Reach, over_both};
use crate::support;
use aws_sdk_s3::Client;
use strongroom_tests::Content;

over_both![
    a_bucket_is_born_and_dies,
    creating_twice_keeps_what_is_there,
    racing_creations_leave_one_bucket,
    bad_names_are_refused,
];

/// A bucket is there from its creation to its deletion and not a moment longer, in every call that tells.
async fn a_bucket_is_born_and_dies(reach: Reach) {
    let (client, bucket) = (reach.client, reach.bucket.as_str());
    for round in 0..2 {
        let missing = client
            .head_bucket()
            .bucket(bucket)
            .send()
            .await
            .map(drop)
            .map_err(support::refusal);
        assert_eq!(
            missing.expect_err("not yet").status,
            Some(404),
            "round {round}"
        );
        assert!(!buckets(&client).await.iter().any(|name| name == bucket));

        support::make_bucket(&client, bucket).await;
        client
            .head_bucket()
            .bucket(bucket)
            .send()
            .await
            .expect("it exists");
        assert!(buckets(&client).await.iter().any(|name| name == bucket));
        let place = client
            .get_bucket_location()
            .bucket(bucket)
            .send()
            .await
            .expect("it has a location");
        assert!(
            place
                .location_constraint()
                .is_none_or(|place| place.as_str().is_empty() || place.as_str() == "us-east-1")
        );
        let empty = support::list(&client, bucket, "")
            .await
            .expect("it is listed");
        assert_eq!(
            empty.key_count(),
            Some(0),
            "a new bucket is empty in round {round}"
        );

        support::put(&client, bucket, "inhabitant", Content::new(1, 100))
            .await
            .expect("it takes objects");
        let refused = client
            .delete_bucket()
            .bucket(bucket)
            .send()
            .await
            .expect_err("it is not empty");
        let refused = support::refusal(refused);
        assert!(refused.is(409, "BucketNotEmpty"), "{refused:?}");
        support::delete(&client, bucket, "inhabitant")
            .await
            .expect("it is emptied");
        client
            .delete_bucket()
            .bucket(bucket)
            .send()
            .await
            .expect("it is deleted");
    }
    for refused in [
        support::list(&client, bucket, "").await.map(drop),
        support::get(&client, bucket, "inhabitant").await.map(drop),
        client
            .delete_bucket()
            .bucket(bucket)
            .send()
            .await
            .map(drop)
            .map_err(support::refusal),
        support::put(&client, bucket, "late", Content::new(1, 5)).await,
        support::put(&client, bucket, "late", Content::new(1, 500_000)).await,
    ] {
        let refused = refused.expect_err("the bucket is gone");
        assert!(refused.is(404, "NoSuchBucket"), "{refused:?}");
    }
}

/// Creating a bucket that one owns already changes nothing in it.
async fn creating_twice_keeps_what_is_there(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let content = Content::new(2, 5_000);
    support::put(&client, &bucket, "kept", content)
        .await
        .expect("the upload is accepted");
    let again = client
        .create_bucket()
        .bucket(&bucket)
        .send()
        .await
        .map(drop)
        .map_err(support::refusal);
    if let Err(refused) = again {
        assert!(refused.is(409, "BucketAlreadyOwnedByYou"), "{refused:?}");
    }
    support::check(&client, &bucket, "kept", content)
        .await
        .unwrap();
}

/// Of many who create one bucket at once, none breaks it, and it exists once.
async fn racing_creations_leave_one_bucket(reach: Reach) {
    let (client, bucket) = (reach.client, reach.bucket.as_str());
    let racers = (0..8).map(|_| client.create_bucket().bucket(bucket).send());
    let outcomes = futures::future::join_all(racers).await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(won >= 1, "nobody created it");
    for refused in outcomes
        .into_iter()
        .filter_map(Result::err)
        .map(support::refusal)
    {
        assert_eq!(refused.status, Some(409), "{refused:?}");
    }
    let names = buckets(&client).await;
    assert_eq!(names.iter().filter(|name| *name == bucket).count(), 1);
}

/// Names that S3 does not allow are refused, so that no client ever holds one that another cannot use.
async fn bad_names_are_refused(Reach { client, .. }: Reach) {
    for name in [
        "b",
        "ab",
        "Upper",
        "under_score",
        "-dash",
        "dash-",
        "a..b",
        "192.168.1.1",
        "ü-umlaut",
    ] {
        let refused = client.create_bucket().bucket(name).send().await;
        let refused = support::refusal(refused.expect_err("the name is bad"));
        assert!(refused.is(400, "InvalidBucketName"), "{name}: {refused:?}");
    }
}

async fn buckets(client: &Client) -> Vec<String> {
    let answer = client.list_buckets().send().await;
    let answer = answer.expect("buckets are listed");
    let names = answer.buckets().iter().filter_map(|bucket| bucket.name());
    names.map(str::to_owned).collect()
}
