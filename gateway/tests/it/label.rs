//! Tenants and labels: what a key may not read does not exist, and it writes at its own label only.

use crate::cluster::{FOREIGN_KEY, HIGH_KEY, OTHER_KEY, World};
use crate::wire::{Ask, Reply, ask};

const DELETIONS: &str = "<Delete><Object><Key>key</Key></Object></Delete>";

fn by(key: &str, mut ask: Ask) -> Ask {
    ask.access_key = key.into();
    ask
}

/// A bucket of the default label, one above it, and one of another tenant; an object in each.
async fn world() -> World {
    let world = World::new().await;
    let at = world.address;
    for (key, bucket) in [
        (crate::cluster::ACCESS_KEY, "low"),
        (HIGH_KEY, "high"),
        (FOREIGN_KEY, "foreign"),
    ] {
        let made = by(key, ask("PUT", format!("/{bucket}"))).send(at).await;
        assert_eq!(made.status, 200);
        let put = ask("PUT", format!("/{bucket}/key")).body("hello");
        assert_eq!(by(key, put).send(at).await.status, 200);
    }
    world
}

fn reads(bucket: &str) -> Vec<Ask> {
    vec![
        ask("GET", format!("/{bucket}/key")),
        ask("HEAD", format!("/{bucket}/key")),
        ask("GET", format!("/{bucket}")),
        ask("GET", format!("/{bucket}")).query("list-type", "2"),
        ask("GET", format!("/{bucket}")).query("location", ""),
        ask("HEAD", format!("/{bucket}")),
    ]
}

fn writes(bucket: &str) -> Vec<Ask> {
    vec![
        ask("PUT", format!("/{bucket}/key")).body("other"),
        ask("DELETE", format!("/{bucket}/key")),
        ask("POST", format!("/{bucket}"))
            .query("delete", "")
            .body(DELETIONS),
        ask("DELETE", format!("/{bucket}")),
    ]
}

fn told(reply: &Reply) -> (u16, String) {
    let code = if reply.body.is_empty() {
        String::new()
    } else {
        reply.code()
    };
    (reply.status, code)
}

/// What a key may not read does not exist for it, whatever it asks.
/// Method: every operation on a bucket of another tenant and on one above its label, answered like
/// one on a bucket that there is not, with and without an expected owner.
#[tokio::test]
async fn what_may_not_be_read_does_not_exist() {
    let world = world().await;
    let at = world.address;
    for bucket in ["foreign", "high"] {
        let hidden = reads(bucket).into_iter().chain(writes(bucket));
        let absent = reads("absent").into_iter().chain(writes("absent"));
        for (hidden, absent) in hidden.zip(absent) {
            let what = format!("{} {} {:?}", hidden.method, hidden.path, hidden.query);
            let expected = told(&absent.send(at).await);
            assert_eq!(expected.0, 404, "{what}");
            assert_eq!(told(&hidden.clone().send(at).await), expected, "{what}");
            let owned = hidden.header("x-amz-expected-bucket-owner", "someone");
            assert_eq!(told(&owned.send(at).await), expected, "{what}");
        }
    }
    let listed = |key| async move { by(key, ask("GET", "/")).send(at).await };
    assert_eq!(
        listed(crate::cluster::ACCESS_KEY).await.all("Name"),
        ["low"]
    );
    assert_eq!(listed(HIGH_KEY).await.all("Name"), ["high", "low"]);
    assert_eq!(listed(FOREIGN_KEY).await.all("Name"), ["foreign"]);
    for (key, bucket) in [(FOREIGN_KEY, "foreign"), (HIGH_KEY, "high")] {
        let kept = by(key, ask("GET", format!("/{bucket}/key"))).send(at).await;
        assert_eq!(kept.body, b"hello");
    }
}

/// A key reads below its label and does not write there.
/// Method: every operation on a bucket below; then its object is as it was.
#[tokio::test]
async fn nothing_is_written_down() {
    let world = world().await;
    let at = world.address;
    for read in reads("low") {
        assert_eq!(by(HIGH_KEY, read).send(at).await.status, 200);
    }
    for write in writes("low") {
        let reply = by(HIGH_KEY, write).send(at).await;
        assert_eq!(told(&reply), (403, "AccessDenied".to_owned()));
    }
    assert_eq!(ask("GET", "/low/key").send(at).await.body, b"hello");
}

/// Of a name that is taken by what the caller may not see it is told that, and no more.
/// Method: make each bucket again under each key.
#[tokio::test]
async fn a_taken_name_tells_nothing_else() {
    let world = world().await;
    let at = world.address;
    for (key, bucket, code) in [
        (crate::cluster::ACCESS_KEY, "foreign", "BucketAlreadyExists"),
        (FOREIGN_KEY, "low", "BucketAlreadyExists"),
        (OTHER_KEY, "low", "BucketAlreadyExists"),
    ] {
        let reply = by(key, ask("PUT", format!("/{bucket}"))).send(at).await;
        assert_eq!(told(&reply), (409, code.to_owned()), "{bucket} by {key}");
        for owner in ["tester", "foreigner"] {
            assert!(!reply.text().contains(owner), "{}", reply.text());
        }
    }
}
