//! Lookups of many requests at once: in few calls, each with its own answer.

use crate::fake::{World, noise};
use client::{Client, GetError, Head};
use futures::future::join_all;
use std::sync::Arc;
use types::wire::metadata::{Bucket, Wanted};

const OBJECTS: usize = 20;
const AT_ONCE: usize = 400;
/// Calls under way at a time, and lookups in one.
const CALLS: u64 = 4;
const LONGEST: u64 = 64;

fn name(number: usize) -> String {
    format!("object-{number}")
}

/// A world of objects, each as long as its number says.
async fn world() -> World {
    let world = World::new("4+2");
    for number in 0..OBJECTS {
        let bytes = noise(1000 + number, 1);
        world.put(&name(number), &bytes, 5000).await.unwrap();
    }
    world
}

async fn head(client: Arc<Client>, bucket: Bucket, number: usize) -> Result<Head, GetError> {
    let key = crate::fake::key(&name(number));
    client.head(&bucket, &key, Wanted::Nothing).await
}

/// Asks for as many at once, of which every second is not there; each must get its own answer.
async fn all_are_answered(world: &World) {
    let numbers: Vec<usize> = (0..AT_ONCE).map(|at| at % (2 * OBJECTS)).collect();
    let heads = numbers
        .iter()
        .map(|number| head(Arc::clone(&world.client), world.bucket.clone(), *number));
    let answers = join_all(heads).await;
    for (number, answer) in numbers.into_iter().zip(answers) {
        match answer {
            Ok(head) if number < OBJECTS => assert_eq!(head.length.get(), 1000 + number as u64),
            Err(GetError::NoSuchObject) if number >= OBJECTS => {}
            other => panic!("{number}: {other:?}"),
        }
    }
}

/// Many who ask at once share calls; who asks alone has a call of its own.
#[tokio::test]
async fn many_share_few_calls() {
    let world = world().await;
    for _ in 0..3 {
        let found = head(Arc::clone(&world.client), world.bucket.clone(), 3).await;
        assert_eq!(found.unwrap().length.get(), 1003);
    }
    assert_eq!(
        (
            world.service.calls("lookup"),
            world.service.calls("lookups")
        ),
        (3, 0)
    );
    all_are_answered(&world).await;
    let (alone, together) = (
        world.service.calls("lookup") - 3,
        world.service.calls("lookups"),
    );
    assert_eq!(alone, CALLS, "and {together} together");
    let waited = AT_ONCE as u64 - CALLS;
    assert_eq!(together, waited.div_ceil(LONGEST));
}

/// While the service is unavailable, all ask again; a server of an older build is asked for each by itself.
#[tokio::test]
async fn failed_calls_fail_nobody() {
    let world = world().await;
    world.service.fail_next(3);
    all_are_answered(&world).await;
    assert!(world.service.calls("lookups") > 1);

    let world = self::world().await;
    world.service.forget_lookups();
    all_are_answered(&world).await;
    let refused = world.service.calls("lookups");
    assert!((1..=CALLS).contains(&refused), "{refused}");
    all_are_answered(&world).await;
    assert_eq!(
        world.service.calls("lookups"),
        refused,
        "it is not asked again at once"
    );
}

/// Who gives up takes nobody along, whether it waits or its call is under way.
/// Method: the first who ask hang, and are dropped one after the other; who waits behind them is answered.
#[tokio::test]
async fn who_gives_up_stops_nobody() {
    let world = world().await;
    world.service.hold_lookups(true);
    let ask = |number| {
        tokio::spawn(head(
            Arc::clone(&world.client),
            world.bucket.clone(),
            number,
        ))
    };
    let hanging: Vec<_> = (0..CALLS).map(|_| ask(0)).collect();
    tokio::task::yield_now().await;
    let given_up: Vec<_> = (0..50).map(|_| ask(1)).collect();
    let waiting: Vec<_> = (0..10).map(ask).collect();
    while world.service.calls("lookup") < CALLS {
        tokio::task::yield_now().await;
    }
    for task in hanging.into_iter().chain(given_up) {
        task.abort();
    }
    world.service.hold_lookups(false);
    for (number, task) in waiting.into_iter().enumerate() {
        assert_eq!(
            task.await.unwrap().unwrap().length.get(),
            1000 + number as u64
        );
    }
    let asked: Vec<_> = world.service.lookups();
    let of_them = asked
        .iter()
        .filter(|one| one.key == crate::fake::key(&name(1)));
    assert_eq!(of_them.count(), 1, "who gave up is not asked for");
    all_are_answered(&world).await;
}
