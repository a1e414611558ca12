//! Quotas: what does not fit is refused before its bytes are taken where that saves anything, and at its commit
//! otherwise.

use crate::fake::{World, key, noise};
use client::PutError;
use types::size::ByteCount;
use types::wire::usage::Exceeded;

const MIB: usize = 1 << 20;

fn full<T>() -> Result<T, PutError> {
    Err(PutError::QuotaExceeded(Exceeded::BucketBytes))
}

/// A long body is refused before any of it is taken, as an object and as a part; a short one, or one whose length
/// nobody says, when it is committed.
#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let world = World::new("4+2");
    world.service.leave_room(1000);
    let long = noise(2 * MIB, 1);
    let declared = Some(ByteCount::of(&long));
    let put = world.client.put(&world.bucket, key("object"), declared);
    assert_eq!(put.await.map(drop), full());
    let upload = world.begin("object").await;
    let part = world
        .client
        .put_part(&world.bucket, key("object"), upload, 1, declared);
    assert_eq!(part.await.map(drop), full());
    assert_eq!(world.service.calls("fits"), 2);
    assert_eq!(world.service.calls("commit_object"), 0);
    assert_eq!(world.service.calls("commit_part"), 0);

    assert_eq!(world.put_as("object", &long, MIB, None).await, full());
    let short = noise(MIB - 1, 2);
    assert_eq!(world.put("object", &short, MIB).await, full());
    assert_eq!(world.put("object", &noise(1001, 3), MIB).await, full());
    let part = world.put_part("object", upload, 1, &short).await;
    assert_eq!(part.map(drop), full());
    assert_eq!(world.service.calls("fits"), 2);
    assert_eq!(world.service.calls("commit_object"), 3);
    assert_eq!(world.service.calls("commit_part"), 1);

    world.put("object", &noise(1000, 4), MIB).await.unwrap();
    world.service.leave_room(u64::MAX);
    world.put("object", &long, MIB).await.unwrap();
    assert_eq!(world.service.calls("fits"), 3);
}

/// A service that does not say whether it fits holds nobody up for long: the commit decides.
#[tokio::test]
async fn what_is_not_told_is_left_to_the_commit() {
    let world = World::new("4+2");
    let long = noise(2 * MIB, 1);
    world.put("object", &long, MIB).await.unwrap();
    for _ in 0..5 {
        world.service.fail_next(1);
        world.put("object", &long, MIB).await.unwrap();
    }
    assert_eq!(world.service.calls("fits"), 6);
}
