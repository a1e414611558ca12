//! Sessions, leases and issued blobs, and a metadata service that is away for a while.

use crate::fake::{World, config, eventually, finish, key, noise};
use bytes::Bytes;
use client::{Client, GetError, Pressure, PutError};
use std::time::Duration;
use types::wire::metadata::{Condition, MetadataError, Wanted};

/// An expired session fails the upload that began under it, with a request to try again, and the next
/// one has a new session.
#[tokio::test]
async fn an_expired_session_is_replaced() {
    let world = World::new("4+2");
    let bytes = noise(100_000, 1);
    world.put("before", &bytes, 1 << 20).await.unwrap();
    let mut upload = world
        .client
        .put(&world.bucket, key("during"), None)
        .await
        .unwrap();
    upload.write(Bytes::from(bytes.clone())).await.unwrap();
    world.service.expire_sessions();
    let failed = finish(upload).await;
    let expected = PutError::SlowDown(Pressure::Metadata(MetadataError::SessionExpired));
    assert_eq!(failed, Err(expected));
    world.put("after", &bytes, 1 << 20).await.unwrap();
    assert!(world.get("after", Wanted::All).await.unwrap() == bytes);
    assert!(world.service.committed("during").is_none());
    assert_eq!(world.service.calls("open_session"), 2);
}

/// A deletion that meets an expired session is sent again under a new one.
#[tokio::test]
async fn a_deletion_survives_an_expired_session() {
    let world = World::new("4+2");
    world.put("object", b"small", 1 << 20).await.unwrap();
    world.service.expire_sessions();
    world.delete("object", Condition::default()).await.unwrap();
    let gone = world.get("object", Wanted::All).await;
    assert_eq!(gone, Err(GetError::NoSuchObject));
}

/// An answer that is lost is asked for again under the same number: one commit, one version.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_commits_once() {
    let world = World::new("4+2");
    let bytes = noise(100_000, 1);
    world.service.lose_answers(2);
    let stored = world.put("object", &bytes, 1 << 20).await.unwrap();
    assert_eq!(world.service.calls("commit_object"), 3);
    let committed = world.service.committed("object").unwrap();
    assert_eq!(committed.version, stored.version);
    assert!(world.get("object", Wanted::All).await.unwrap() == bytes);
}

/// A service that stays away makes an outcome unknown, and says so; one that is back in time is not
/// noticed.
#[tokio::test(start_paused = true)]
async fn patience_has_an_end() {
    let world = World::new("4+2");
    world.put("object", b"small", 1 << 20).await.unwrap();
    world.service.fail_next(4);
    assert_eq!(world.get("object", Wanted::All).await.unwrap(), b"small");

    let upload = world
        .client
        .put(&world.bucket, key("other"), None)
        .await
        .unwrap();
    world.service.fail_next(1_000_000);
    let before = tokio::time::Instant::now();
    let unknown = finish(upload).await;
    assert!(
        matches!(unknown, Err(PutError::OutcomeUnknown(_))),
        "{unknown:?}"
    );
    let away = world.get("object", Wanted::All).await;
    assert!(matches!(away, Err(GetError::SlowDown(_))), "{away:?}");
    assert!(before.elapsed() <= Duration::from_secs(5));
}

/// Small uploads do not wait for a round to get a key: many are fetched at once.
#[tokio::test]
async fn blobs_and_leases_are_taken_ahead() {
    let world = World::new("4+2");
    for i in 0..200 {
        let bytes = noise(5_000, i);
        world.put(&i.to_string(), &bytes, 1 << 20).await.unwrap();
    }
    let issued = world.service.calls("issue_blobs");
    assert!((3..=6).contains(&issued), "{issued}");
    let leases = world.service.calls("open_lease");
    assert!((2..=4).contains(&leases), "{leases}");
}

/// A wrap that the service calls expired fails one upload; those kept beside it are not tried.
#[tokio::test]
async fn an_expired_wrap_is_not_used_twice() {
    let world = World::new("4+2");
    world.put("before", b"small", 1 << 20).await.unwrap();
    world.service.expire_wraps(true);
    let failed = world.put("object", b"small", 1 << 20).await;
    let expected = PutError::SlowDown(Pressure::Metadata(MetadataError::WrapInvalid));
    assert_eq!(failed, Err(expected));
    world.service.expire_wraps(false);
    let issued = world.service.calls("issue_blobs");
    world.put("object", b"small", 1 << 20).await.unwrap();
    assert_eq!(world.service.calls("issue_blobs"), issued + 1);
}

/// Sessions are renewed as long as the client lives, and leases given back when it shuts down.
#[tokio::test(start_paused = true)]
async fn sessions_are_renewed_and_leases_given_back() {
    let world = World::new("4+2");
    world
        .put("object", &noise(100_000, 1), 1 << 20)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(world.service.calls("open_session"), 1);
    assert!(world.service.calls("renew_session") >= 14);
    assert_eq!(world.service.leases(), 1);
    world.client.shutdown().await;
    assert_eq!(world.service.leases(), 0);
    let renewals = world.service.calls("renew_session");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(world.service.calls("renew_session"), renewals);
}

/// A client may start before the service does.
#[tokio::test(start_paused = true)]
async fn a_client_waits_for_its_service() {
    let world = World::new("4+2");
    world.service.fail_next(8);
    world.put("object", b"small", 1 << 20).await.unwrap();
    let second: std::sync::Arc<Client> =
        Client::start(config(), world.service.clone(), world.disks.clone());
    eventually(|| world.service.calls("open_session") > 1).await;
    drop(second);
}
