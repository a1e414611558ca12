//! A bucket's life.

use crate::support;
use strongroom_tests::Content;

/// A bucket is there from its creation to its deletion and not a moment longer, in every call that tells.
#[tokio::test]
async fn a_bucket_is_born_and_dies() {
    let client = support::client(support::cluster());
    let listed = async || {
        let answer = client
            .list_buckets()
            .send()
            .await
            .expect("buckets are listed");
        let names = answer
            .buckets()
            .iter()
            .filter_map(|bucket| bucket.name())
            .map(str::to_owned);
        names.collect::<Vec<_>>()
    };
    for round in 0..2 {
        let missing = client
            .head_bucket()
            .bucket("life")
            .send()
            .await
            .map(drop)
            .map_err(support::refusal);
        assert_eq!(
            missing.expect_err("not yet").status,
            Some(404),
            "round {round}"
        );
        assert!(!listed().await.contains(&"life".to_owned()));

        support::make_bucket(&client, "life").await;
        client
            .head_bucket()
            .bucket("life")
            .send()
            .await
            .expect("it exists");
        assert!(listed().await.contains(&"life".to_owned()));
        let place = client
            .get_bucket_location()
            .bucket("life")
            .send()
            .await
            .expect("it has a location");
        assert!(
            place
                .location_constraint()
                .is_none_or(|place| place.as_str().is_empty() || place.as_str() == "us-east-1")
        );
        let empty = client
            .list_objects_v2()
            .bucket("life")
            .send()
            .await
            .expect("it is listed");
        assert_eq!(
            empty.key_count(),
            Some(0),
            "a new bucket is empty in round {round}"
        );

        support::put(&client, "life", "inhabitant", Content::new(1, 100))
            .await
            .expect("it takes objects");
        let refused = client
            .delete_bucket()
            .bucket("life")
            .send()
            .await
            .expect_err("it is not empty");
        let refused = support::refusal(refused);
        assert!(refused.is(409, "BucketNotEmpty"), "{refused:?}");
        client
            .delete_object()
            .bucket("life")
            .key("inhabitant")
            .send()
            .await
            .expect("it is emptied");
        client
            .delete_bucket()
            .bucket("life")
            .send()
            .await
            .expect("it is deleted");
    }
    for refused in [
        client
            .list_objects_v2()
            .bucket("life")
            .send()
            .await
            .map(drop)
            .map_err(support::refusal),
        client
            .get_object()
            .bucket("life")
            .key("inhabitant")
            .send()
            .await
            .map(drop)
            .map_err(support::refusal),
        client
            .delete_bucket()
            .bucket("life")
            .send()
            .await
            .map(drop)
            .map_err(support::refusal),
        support::put(&client, "life", "late", Content::new(1, 5)).await,
        support::put(&client, "life", "late", Content::new(1, 500_000)).await,
    ] {
        let refused = refused.expect_err("the bucket is gone");
        assert!(refused.is(404, "NoSuchBucket"), "{refused:?}");
    }
}

/// Creating a bucket that one owns already changes nothing in it.
#[tokio::test]
async fn creating_twice_keeps_what_is_there() {
    let (client, bucket) = support::shared_bucket("twice").await;
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
#[tokio::test]
async fn racing_creations_leave_one_bucket() {
    let client = support::client(support::cluster());
    let racers = (0..8).map(|_| client.create_bucket().bucket("race").send());
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
    let answer = client
        .list_buckets()
        .send()
        .await
        .expect("buckets are listed");
    assert_eq!(
        answer
            .buckets()
            .iter()
            .filter(|bucket| bucket.name() == Some("race"))
            .count(),
        1
    );
}

/// Names that S3 does not allow are refused, so that no client ever holds one that another cannot use.
#[tokio::test]
async fn bad_names_are_refused() {
    let client = support::client(support::cluster());
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
