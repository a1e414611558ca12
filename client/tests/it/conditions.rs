//! Conditions and tags: what the service says of them reaches the caller as what it is.

use crate::fake::{World, key, noise};
use client::{BucketError, DeleteError, GetError, PutError, Stored};
use futures::future::join_all;
use types::Attributes;
use types::size::ByteCount;
use types::wire::metadata::{Condition, EtagMatch, Tags, Wanted};

fn matches(etag: EtagMatch) -> Condition {
    Condition {
        matches: Some(etag),
        ..Condition::default()
    }
}

fn absent() -> Condition {
    Condition {
        differs: Some(EtagMatch::Any),
        ..Condition::default()
    }
}

fn one(etag: &str) -> EtagMatch {
    EtagMatch::OneOf(vec![etag.into()])
}

async fn put(world: &World, etag: &str, condition: Condition) -> Result<Stored, PutError> {
    let upload = world.client.put(&world.bucket, key("object"), None);
    let mut upload = upload.await.unwrap();
    upload.write(noise(5_000, 1).into()).await.unwrap();
    let attributes = Attributes {
        etag: etag.into(),
        ..Attributes::default()
    };
    upload.finish(attributes, Tags::default(), condition).await
}

/// Each kind of write tells a condition that does not hold from an object that is not there.
#[tokio::test]
async fn conditions_by_cases() {
    let world = World::new("4+2");
    let delete = |condition| world.delete("object", condition);
    let nothing = put(&world, "a", matches(EtagMatch::Any)).await;
    assert_eq!(nothing, Err(PutError::NoSuchObject));
    let nothing = delete(matches(one("a"))).await;
    assert_eq!(nothing, Err(DeleteError::NoSuchObject));
    put(&world, "a", absent()).await.unwrap();
    let there = put(&world, "b", absent()).await;
    assert_eq!(there, Err(PutError::ConditionFailed));
    let other = put(&world, "b", matches(one("b"))).await;
    assert_eq!(other, Err(PutError::ConditionFailed));
    put(&world, "b", matches(one("a"))).await.unwrap();

    let upload = world.begin("object").await;
    world.put_part("object", upload, 1, b"small").await.unwrap();
    let there = world.complete("object", upload, absent()).await;
    assert_eq!(there, Err(PutError::ConditionFailed));
    world
        .complete("object", upload, matches(one("b")))
        .await
        .unwrap();
    assert_eq!(world.get("object", Wanted::All).await.unwrap(), b"small");

    let other = delete(matches(one("b"))).await;
    assert_eq!(other, Err(DeleteError::ConditionFailed));
    let length = Condition {
        length: Some(ByteCount::new(5)),
        ..Condition::default()
    };
    delete(length).await.unwrap();
    delete(Condition::default()).await.unwrap();
}

/// Of racing writers that ask for the same version one wins, and the others are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_wins() {
    let world = World::new("4+2");
    let etags: Vec<String> = (0..20).map(|i| i.to_string()).collect();
    let puts = etags.iter().map(|etag| put(&world, etag, absent()));
    let (won, lost): (Vec<_>, Vec<_>) = join_all(puts).await.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 19));
    assert!(
        lost.iter()
            .all(|lost| *lost == Err(PutError::ConditionFailed))
    );
    let head = world.head("object", Wanted::Nothing);
    assert_eq!(
        Ok(head.await.unwrap().version),
        won[0].clone().map(|won| won.version)
    );
}

/// A lost answer to a write with a condition is no failed condition: the same number gets the same
/// answer, although the object is there by then.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_no_failed_condition() {
    let world = World::new("4+2");
    world.service.lose_answers(2);
    put(&world, "a", absent()).await.unwrap();
    assert_eq!(world.service.calls("commit_object"), 3);
}

/// Tags of objects and buckets are set as a whole, and go with what they were set on.
#[tokio::test]
async fn tags_are_set_as_a_whole() {
    let world = World::new("4+2");
    let (client, bucket) = (&world.client, &world.bucket);
    let object = key("object");
    let tags = |count: usize| Tags((0..count).map(|i| (i.to_string(), "v".into())).collect());
    let nothing = client.set_tags(bucket, object.clone(), tags(1)).await;
    assert_eq!(nothing, Err(PutError::NoSuchObject));
    assert_eq!(
        client.tags(bucket, &object).await,
        Err(GetError::NoSuchObject)
    );

    put(&world, "a", Condition::default()).await.unwrap();
    assert_eq!(client.tags(bucket, &object).await, Ok(tags(0)));
    for count in [10, 2] {
        client
            .set_tags(bucket, object.clone(), tags(count))
            .await
            .unwrap();
        assert_eq!(client.tags(bucket, &object).await, Ok(tags(count)));
    }
    put(&world, "b", Condition::default()).await.unwrap();
    assert_eq!(client.tags(bucket, &object).await, Ok(tags(0)));

    assert_eq!(client.bucket_tags(bucket).await, Ok(None));
    for set in [Some(tags(3)), None] {
        client.set_bucket_tags(bucket, set.clone()).await.unwrap();
        assert_eq!(client.bucket_tags(bucket).await, Ok(set));
    }
}

/// Tags that nobody answers for may be set: that is what their sender is told.
#[tokio::test(start_paused = true)]
async fn tags_may_be_set() {
    let world = World::new("4+2");
    let object = key("object");
    put(&world, "a", Condition::default()).await.unwrap();
    world.service.fail_next(1_000_000);
    let unknown = world
        .client
        .set_tags(&world.bucket, object, Tags::default())
        .await;
    assert!(
        matches!(unknown, Err(PutError::OutcomeUnknown(_))),
        "{unknown:?}"
    );
    let away = world.client.set_bucket_tags(&world.bucket, None).await;
    assert!(matches!(away, Err(BucketError::SlowDown(_))), "{away:?}");
}
