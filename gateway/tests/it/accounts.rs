//! Users: each has its own buckets, and a key that is taken away opens nothing.

use crate::cluster::{ACCESS_KEY, FOREIGN_KEY, HIGH_KEY, OTHER_KEY, World};
use crate::wire::{Ask, Reply, ask};
use std::time::{Duration, Instant};
use types::wire::accounts::{Accounts, KeyState};

fn by(key: &str, mut ask: Ask) -> Ask {
    ask.access_key = key.into();
    ask
}

fn told(reply: &Reply) -> (u16, String) {
    let code = if reply.body.is_empty() {
        String::new()
    } else {
        reply.code()
    };
    (reply.status, code)
}

/// Another user of the same tenant and label is told that it may not, whatever it asks, and changes
/// nothing; it sees its own buckets alone, under its own name.
/// Method: every operation on another's bucket; then the owner's view of it.
#[tokio::test]
async fn a_bucket_is_its_owners() {
    let world = World::new().await;
    let at = world.address;
    for (key, bucket) in [(ACCESS_KEY, "mine"), (OTHER_KEY, "theirs")] {
        let made = by(key, ask("PUT", format!("/{bucket}"))).send(at).await;
        assert_eq!(made.status, 200);
    }
    let put = ask("PUT", "/mine/key").body("hello").send(at).await;
    assert_eq!(put.status, 200);
    for request in [
        ask("GET", "/mine/key"),
        ask("HEAD", "/mine/key"),
        ask("GET", "/mine"),
        ask("GET", "/mine").query("list-type", "2"),
        ask("GET", "/mine").query("location", ""),
        ask("HEAD", "/mine"),
        ask("PUT", "/mine/key").body("other"),
        ask("DELETE", "/mine/key"),
        ask("POST", "/mine")
            .query("delete", "")
            .body("<Delete><Object><Key>key</Key></Object></Delete>"),
        ask("DELETE", "/mine"),
    ] {
        let what = format!("{} {} {:?}", request.method, request.path, request.query);
        let reply = by(OTHER_KEY, request).send(at).await;
        let code = if reply.body.is_empty() {
            ""
        } else {
            "AccessDenied"
        };
        assert_eq!(told(&reply), (403, code.to_owned()), "{what}");
    }
    assert_eq!(ask("GET", "/mine/key").send(at).await.body, b"hello");
    for (key, names, name) in [
        (ACCESS_KEY, ["mine"], "tester"),
        (OTHER_KEY, ["theirs"], "neighbour"),
    ] {
        let listed = by(key, ask("GET", "/")).send(at).await;
        assert_eq!(listed.all("Name"), names);
        assert_eq!(listed.all("DisplayName"), [name]);
        assert_eq!(listed.all("ID"), [world.user_id(name).await]);
    }
}

/// One's own bucket is made again without complaint in the nameless region, and with one elsewhere;
/// another's name is taken.
/// Method: two regions; the owner and others.
#[tokio::test]
async fn buckets_are_made_twice_as_on_s3() {
    for (region, again) in [
        ("us-east-1", (200, "")),
        ("eu-1", (409, "BucketAlreadyOwnedByYou")),
    ] {
        let world = World::with(|config| config.region = region.into()).await;
        let at = world.address;
        assert_eq!(ask("PUT", "/bucket").send(at).await.status, 200);
        let kept = ask("PUT", "/bucket/key").body("kept").send(at).await;
        assert_eq!(kept.status, 200);
        let taken = (409, "BucketAlreadyExists");
        for (key, (status, code)) in [
            (ACCESS_KEY, again),
            (OTHER_KEY, taken),
            (FOREIGN_KEY, taken),
        ] {
            let reply = by(key, ask("PUT", "/bucket")).send(at).await;
            assert_eq!(told(&reply), (status, code.to_owned()), "{region} {key}");
        }
        assert_eq!(ask("GET", "/bucket/key").send(at).await.body, b"kept");
    }
}

/// The expected owner is a user's id.
#[tokio::test]
async fn the_expected_owner_is_the_user() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let user = world.user_id("tester").await;
    for (owner, status) in [(user.as_str(), 200), ("tester", 403), (ACCESS_KEY, 403)] {
        let head = ask("HEAD", "/bucket").header("x-amz-expected-bucket-owner", owner);
        assert_eq!(head.send(at).await.status, status, "{owner}");
    }
}

/// Within a second a disabled, a removed and an unknown key are refused alike, and an enabled one works;
/// other keys of the same user go on.
/// Method: change one key while it is in use, and ask until the answer changes.
#[tokio::test]
async fn keys_that_are_taken_away_open_nothing() {
    let world = World::new().await;
    let at = world.address;
    let list = async |key| by(key, ask("GET", "/")).send(at).await;
    let refused = (403, "InvalidAccessKeyId".to_owned());
    assert_eq!(told(&list("AKNOBODY").await), refused);
    let set = |state| world.service.set_key_state(ACCESS_KEY.to_owned(), state);
    for step in 0..3 {
        assert_eq!(list(ACCESS_KEY).await.status, 200);
        let expected = match step {
            0 => {
                set(KeyState::Disabled).await.expect("known");
                refused.clone()
            }
            1 => {
                set(KeyState::Disabled).await.expect("known");
                set(KeyState::Active).await.expect("known");
                (200, String::new())
            }
            _ => {
                let removed = world.service.remove_key(ACCESS_KEY.to_owned());
                removed.await.expect("known");
                refused.clone()
            }
        };
        let changed = Instant::now();
        while told(&list(ACCESS_KEY).await) != expected {
            assert!(changed.elapsed() < Duration::from_secs(1), "step {step}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(list(HIGH_KEY).await.status, 200);
        if step == 0 {
            set(KeyState::Active).await.expect("known");
            while list(ACCESS_KEY).await.status != 200 {
                assert!(changed.elapsed() < Duration::from_secs(2), "enabled again");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
