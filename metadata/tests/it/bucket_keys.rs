//! A bucket's key is there as long as the bucket is.

use crate::service::Gateway;
use std::time::Duration;
use strongroom_metadata::tables::{BUCKET_IDS, KEKS};
use types::id::{BucketId, NodeId, SessionId};
use types::wire::Metadata;
use types::wire::metadata::{DeleteBucket, MetadataError};

/// The buckets that have a key, and how many ids have no bucket.
fn keys_and_idle_ids(gateway: &Gateway) -> (Vec<u64>, usize) {
    let store = &gateway.server.log().0.store;
    let number = |row: Vec<u8>| u64::from_be_bytes(row[..8].try_into().unwrap());
    let keys = KEKS.scan(store, &[]).map(|row| number(row.unwrap().0));
    (keys.collect(), BUCKET_IDS.scan(store, &[]).count())
}

async fn delete(gateway: &mut Gateway, bucket: BucketId) -> Result<(), MetadataError> {
    let request = gateway.request();
    let delete = DeleteBucket { request, bucket };
    gateway.server.delete_bucket(delete).await
}

/// Long enough for every id that nobody came back to; ends between two ticks.
async fn wait() {
    tokio::time::sleep(Duration::from_millis(620_500)).await;
}

/// What is refused for its session or number leaves no key, not even an id.
#[tokio::test]
async fn a_request_without_a_session_makes_no_key() {
    let mut gateway = Gateway::new().await;
    let before = gateway.server.log().0.store.running_digest();
    let good = gateway.create("another");
    let mut invented = good.clone();
    invented.request.session = SessionId::new(999);
    let mut answered = good.clone();
    answered.request.sequence = 0;
    let mut ahead = good;
    (ahead.request.sequence, ahead.request.answered_below) = (u64::MAX, 0);
    let refused = gateway.server.create_bucket(invented).await;
    assert_eq!(refused, Err(MetadataError::SessionExpired));
    for request in [answered, ahead] {
        let refused = gateway.server.create_bucket(request).await;
        assert!(matches!(refused, Err(MetadataError::Malformed(_))));
    }
    assert_eq!(gateway.server.log().0.store.running_digest(), before);
}

/// Of two who ask for one name at once one has the bucket, and the other's key goes; and so when both
/// are one request that was sent twice.
#[tokio::test]
async fn who_comes_second_leaves_no_key() {
    let mut gateway = Gateway::new().await;
    let (one, mut other) = (gateway.create("another"), gateway.create("another"));
    other.request.answered_below = one.request.sequence;
    let server = &gateway.server;
    let answers = tokio::join!(server.create_bucket(one), server.create_bucket(other));
    let (made, refused) = match answers {
        (Ok(made), refused) | (refused, Ok(made)) => (made, refused),
        neither => panic!("{neither:?}"),
    };
    assert!(matches!(refused, Err(MetadataError::BucketExists { .. })));
    let expected = vec![gateway.bucket.id.get(), made.id.get()];
    assert_eq!(keys_and_idle_ids(&gateway), (expected.clone(), 0));

    let twice = gateway.create("third");
    let server = &gateway.server;
    let (made, again) = tokio::join!(
        server.create_bucket(twice.clone()),
        server.create_bucket(twice)
    );
    let made = made.unwrap();
    assert_eq!(again, Ok(made.clone()));
    let expected = [expected, vec![made.id.get()]].concat();
    assert_eq!(keys_and_idle_ids(&gateway), (expected, 0));
}

/// With a bucket goes its key, before the deletion is answered; and deleting it again is answered too.
#[tokio::test]
async fn a_deleted_bucket_has_no_key() {
    let mut gateway = Gateway::new().await;
    let request = gateway.request();
    let bucket = gateway.bucket.id;
    for _ in 0..2 {
        let delete = DeleteBucket { request, bucket };
        gateway.server.delete_bucket(delete).await.unwrap();
        assert_eq!(keys_and_idle_ids(&gateway), (vec![], 0));
    }
}

/// However far a creation or a deletion comes before the log stops to answer, a key without a bucket is
/// destroyed later, and a bucket is never without its key.
/// Method: an outage after each proposal in turn; then time passes.
#[tokio::test(start_paused = true)]
async fn keys_that_were_left_are_destroyed() {
    for proposals in 0..4 {
        let mut gateway = Gateway::new().await;
        let create = gateway.create("another");
        gateway.server.log().1.after(proposals);
        let made = gateway.server.create_bucket(create.clone()).await;
        assert_eq!(made.is_ok(), proposals >= 3);
        gateway.server.log().1.ends();
        let made = gateway.server.create_bucket(create).await.unwrap();
        wait().await;
        let expected = vec![gateway.bucket.id.get(), made.id.get()];
        assert_eq!(keys_and_idle_ids(&gateway), (expected, 0), "{proposals}");

        let server = &gateway.server;
        gateway.session = server.open_session(NodeId::new(1)).await.unwrap().id;
        server.log().1.after(proposals);
        let deleted = delete(&mut gateway, made.id).await;
        assert_eq!(deleted.is_ok(), proposals >= 1);
        gateway.server.log().1.ends();
        wait().await;
        let mut expected = vec![gateway.bucket.id.get()];
        expected.extend((proposals == 0).then_some(made.id.get()));
        assert_eq!(keys_and_idle_ids(&gateway), (expected, 0), "{proposals}");
        gateway.server.shutdown().await;
    }
}
