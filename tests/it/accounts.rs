//! Users and their keys, from the command line to S3.

use crate::scheme::{Reach, Scheme, over_both};
use crate::support::{self, Refusal};
use aws_sdk_s3::Client;
use serde_json::Value;
use std::fs;
use std::process::Output;
use std::time::{Duration, Instant};
use strongroom_tests::{Cluster, Content};

over_both!(users_are_apart, keys_that_are_taken_away_open_nothing);

/// An access key as `key add --json` and `key rotate --json` tell of it.
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Key {
    pub(crate) fn of(told: &Value) -> Self {
        let text = |name: &str| told[name].as_str().expect("a text").to_owned();
        Self {
            id: text("id"),
            secret: text("secret"),
        }
    }

    fn client(&self, cluster: &Cluster, scheme: Scheme) -> Client {
        support::client_as(cluster, scheme, &self.id, &self.secret)
    }
}

/// Runs a command that must succeed.
fn done(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.run(arguments).expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs a command that must succeed and print JSON.
pub(crate) fn json(cluster: &Cluster, arguments: &[&str]) -> Value {
    serde_json::from_str(&done(cluster, arguments)).expect("JSON")
}

/// Runs a command that must fail; its exit code, and what it said.
pub(crate) fn failed(cluster: &Cluster, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = cluster.run(arguments).expect("it runs");
    assert!(!status.success(), "{arguments:?}");
    (status.code(), String::from_utf8(stderr).expect("text"))
}

pub(crate) fn make_key(cluster: &Cluster, user: &str) -> Key {
    Key::of(&json(cluster, &["key", "add", user, "--json"]))
}

async fn listed(client: &Client) -> Result<Vec<String>, Refusal> {
    let answer = client
        .list_buckets()
        .send()
        .await
        .map_err(support::refusal)?;
    let names = answer.buckets().iter().filter_map(|bucket| bucket.name());
    Ok(names.map(str::to_owned).collect())
}

/// Asks until the answer is as it should be, for a second and no longer.
async fn within_a_second(client: &Client, works: bool) {
    let changed = Instant::now();
    loop {
        match listed(client).await {
            Ok(_) if works => return,
            Err(refused) if !works => {
                assert!(refused.is(403, "InvalidAccessKeyId"), "{refused:?}");
                return;
            }
            other => assert!(changed.elapsed() < Duration::from_secs(1), "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Each user has its own buckets and may nothing in another's; nobody's name can be taken twice; a user
/// goes when nothing is left of it.
/// Method: a user beside root; each tries everything on the other's bucket.
async fn users_are_apart(reach: Reach) {
    let cluster = support::cluster();
    let (root, roots) = reach.with_bucket().await;
    let name = format!("apart-{:?}", reach.scheme).to_lowercase();
    done(cluster, &["user", "add", &name]);
    let key = make_key(cluster, &name);
    let user = key.client(cluster, reach.scheme);
    assert_eq!(listed(&user).await.unwrap(), [""; 0]);
    let users = format!("{roots}-theirs");
    support::make_bucket(&user, &users).await;
    let content = Content::new(3, 10_000);
    for (client, bucket) in [(&root, &roots), (&user, &users)] {
        support::put(client, bucket, "key", content)
            .await
            .expect("its own");
    }
    for (client, bucket) in [(&root, &users), (&user, &roots)] {
        let create = client.create_bucket().bucket(bucket).send().await;
        let taken = support::refusal(create.expect_err("it is another's"));
        assert!(taken.is(409, "BucketAlreadyExists"), "{taken:?}");
        let head = client.head_bucket().bucket(bucket).send().await;
        let head = support::refusal(head.expect_err("it is another's"));
        assert_eq!(head.status, Some(403));
        let delete = client
            .delete_object()
            .bucket(bucket)
            .key("key")
            .send()
            .await;
        let get = support::get(client, bucket, "key").await;
        for refused in [
            support::put(client, bucket, "key", Content::new(4, 10)).await,
            get.map(drop),
            support::list(client, bucket, "").await.map(drop),
            delete.map(drop).map_err(support::refusal),
            client
                .delete_bucket()
                .bucket(bucket)
                .send()
                .await
                .map(drop)
                .map_err(support::refusal),
        ] {
            let refused = refused.expect_err("it is another's");
            assert!(refused.is(403, "AccessDenied"), "{refused:?}");
        }
    }
    for (client, bucket) in [(&root, &roots), (&user, &users)] {
        support::check(client, bucket, "key", content)
            .await
            .unwrap();
    }
    assert_eq!(listed(&user).await.unwrap(), std::slice::from_ref(&users));
    assert!(!listed(&root).await.unwrap().contains(&users));
    let owner = user
        .list_buckets()
        .send()
        .await
        .unwrap()
        .owner()
        .cloned()
        .unwrap();
    assert_eq!(owner.display_name(), Some(name.as_str()));
    assert_eq!(owner.id().map(str::len), Some(64));

    let (code, told) = failed(cluster, &["user", "rm", &name]);
    assert_eq!(code, Some(1));
    assert!(told.contains("access keys or owns buckets"), "{told}");
    user.delete_object()
        .bucket(&users)
        .key("key")
        .send()
        .await
        .expect("its own");
    user.delete_bucket()
        .bucket(&users)
        .send()
        .await
        .expect("its own");
    done(cluster, &["key", "rm", &key.id]);
    done(cluster, &["user", "rm", &name]);
    let (_, told) = failed(cluster, &["key", "ls", &name]);
    assert!(told.contains("no user of that name"), "{told}");
    within_a_second(&user, false).await;
}

/// A key that was disabled, rotated or removed is refused within a second, everywhere; one that is enabled
/// works again; keys beside it go on.
async fn keys_that_are_taken_away_open_nothing(reach: Reach) {
    let cluster = support::cluster();
    let name = format!("revoked-{:?}", reach.scheme).to_lowercase();
    done(cluster, &["user", "add", &name]);
    let (first, beside) = (make_key(cluster, &name), make_key(cluster, &name));
    let client = first.client(cluster, reach.scheme);
    let other = beside.client(cluster, reach.scheme);
    within_a_second(&client, true).await;
    done(cluster, &["key", "disable", &first.id]);
    within_a_second(&client, false).await;
    done(cluster, &["key", "enable", &first.id]);
    within_a_second(&client, true).await;

    let kept = json(
        cluster,
        &["key", "rotate", &first.id, "--keep-old", "--json"],
    );
    let kept = Key::of(&kept);
    within_a_second(&kept.client(cluster, reach.scheme), true).await;
    within_a_second(&client, true).await;
    let rotated = Key::of(&json(cluster, &["key", "rotate", &first.id, "--json"]));
    within_a_second(&client, false).await;
    let client = rotated.client(cluster, reach.scheme);
    within_a_second(&client, true).await;
    done(cluster, &["key", "rm", &rotated.id]);
    within_a_second(&client, false).await;
    let (code, told) = failed(cluster, &["key", "enable", &rotated.id]);
    assert_eq!(code, Some(1));
    assert!(told.contains("no access key of that id"), "{told}");
    within_a_second(&other, true).await;
}

/// A secret is shown once; what is asked wrongly exits with 2, what fails with 1; a dry run changes nothing.
/// Method: a table of commands.
#[test]
fn commands_say_what_they_did() {
    let cluster = support::cluster();
    done(cluster, &["user", "add", "told"]);
    let ini = done(cluster, &["key", "add", "told"]);
    let value = |name: &str| {
        let line = ini
            .lines()
            .find(|line| line.starts_with(name))
            .expect("a line");
        line.split_once(" = ").expect("a value").1.to_owned()
    };
    assert!(ini.starts_with("[told]\n"), "{ini}");
    let (id, secret) = (value("aws_access_key_id"), value("aws_secret_access_key"));
    for arguments in [
        vec!["key", "ls"],
        vec!["key", "ls", "told", "--json"],
        vec!["user", "ls"],
        vec!["user", "ls", "--json"],
        vec!["status", "--json"],
        vec!["key", "rm", &id, "--dry-run"],
        vec!["key", "disable", &id],
    ] {
        let told = done(cluster, &arguments);
        assert!(!told.contains(&secret), "{arguments:?}");
        assert!(told.contains(if arguments[0] == "key" { &id } else { "" }));
    }
    let keys = json(cluster, &["key", "ls", "told", "--json"]);
    assert_eq!(
        (keys[0]["id"].as_str(), keys[0]["state"].as_str()),
        (Some(&*id), Some("Disabled"))
    );
    for (arguments, code, said) in [
        (
            vec!["user", "add", "told"],
            1,
            "adding user told: there is a user of that name",
        ),
        (vec!["user", "add", "a b"], 2, "1 to 64 letters"),
        (vec!["user", "rm", "nobody"], 1, "strongroom user ls"),
        (vec!["user", "rm", "told", "--dry-run"], 1, id.as_str()),
        (vec!["key", "add", "nobody"], 1, "no user of that name"),
        (vec!["key", "rotate", "SRNONE"], 1, "strongroom key ls"),
        (vec!["key", "rm", "a/b"], 2, "letters, digits"),
        (
            vec!["key", "rm", "SRNONE", "--dry-run"],
            1,
            "no access key of that id",
        ),
        (vec!["key"], 2, "Usage"),
    ] {
        let (got, told) = failed(cluster, &arguments);
        assert_eq!(got, Some(code), "{arguments:?}: {told}");
        assert!(told.contains(said), "{arguments:?}: {told}");
    }
    done(cluster, &["key", "rm", &id]);
    done(cluster, &["user", "rm", "told", "--dry-run"]);
    assert!(done(cluster, &["user", "ls"]).contains("told"));
    done(cluster, &["user", "rm", "told"]);
    assert!(!done(cluster, &["user", "ls"]).contains("told"));
}

/// What was made lasts over a restart, and a later start adds nothing: a root key that was rotated away
/// stays away. Whoever has locked everybody out gets a new first key.
/// Method: restart after a rotation; then remove the last key and the credentials, and restart.
#[tokio::test]
async fn a_later_start_changes_nothing() {
    let mut cluster = Cluster::start("accounts-restart").unwrap();
    let first = cluster.credentials().unwrap();
    support::make_bucket(&support::client(&cluster), "kept").await;
    let users = json(&cluster, &["user", "ls", "--json"]);
    assert_eq!(users[0]["name"], "root");
    let rotated = Key::of(&json(
        &cluster,
        &["key", "rotate", &first.access_key, "--json"],
    ));
    assert!(cluster.stop().unwrap().success());
    cluster.start_again().unwrap();
    assert_eq!(json(&cluster, &["user", "ls", "--json"]), users);
    let client = rotated.client(&cluster, Scheme::Http);
    assert_eq!(listed(&client).await.unwrap(), ["kept"]);
    let old = listed(&support::client(&cluster)).await.unwrap_err();
    assert!(old.is(403, "InvalidAccessKeyId"), "{old:?}");

    done(&cluster, &["key", "rm", &rotated.id]);
    assert!(cluster.stop().unwrap().success());
    cluster.start_again().unwrap();
    assert_eq!(
        cluster.credentials().unwrap(),
        first,
        "it is nobody's, and left alone"
    );
    let keys = json(&cluster, &["key", "ls", "--json"]);
    assert_eq!(keys.as_array().map(Vec::len), Some(0));
    assert!(cluster.stop().unwrap().success());
    fs::remove_file(cluster.data().join("credentials")).unwrap();
    cluster.start_again().unwrap();
    assert_eq!(listed(&support::client(&cluster)).await.unwrap(), ["kept"]);
    assert_eq!(json(&cluster, &["user", "ls", "--json"]), users);
}
