//! Writes under a condition: of racing writers exactly one succeeds.

use crate::service::Gateway;
use futures::future::join_all;
use types::size::ByteCount;
use types::wire::Metadata;
use types::wire::metadata::{
    CommitObject, Condition, DeleteObject, EtagMatch, MetadataError, WallTime, Wanted,
};

const WRITERS: usize = 16;

fn absent() -> Condition {
    Condition {
        differs: Some(EtagMatch::Any),
        ..Condition::default()
    }
}

fn matching(etag: &str) -> Condition {
    Condition {
        matches: Some(EtagMatch::OneOf(vec![etag.to_owned()])),
        ..Condition::default()
    }
}

async fn put(gateway: &mut Gateway, name: &str, etag: &str, condition: Condition) -> CommitObject {
    let (mut commit, _) = gateway.inline(name, 1).await;
    // Its answer may still be asked for, and those of all before it.
    commit.request.answered_below = 1;
    commit.attributes.etag = etag.to_owned();
    commit.condition = condition;
    commit
}

fn delete(gateway: &mut Gateway, name: &str, condition: Condition) -> DeleteObject {
    let mut request = gateway.request();
    request.answered_below = 1;
    DeleteObject {
        request,
        bucket: gateway.bucket.id,
        key: crate::fixture::key(name),
        condition,
    }
}

/// Sends all at once, twice. The one that succeeded.
async fn one_wins(gateway: &Gateway, commits: &[CommitObject]) -> usize {
    let send = || {
        commits
            .iter()
            .map(|commit| gateway.server.commit_object(commit.clone()))
    };
    let answers = join_all(send()).await;
    let won: Vec<_> = (0..)
        .zip(&answers)
        .filter(|(_, answer)| answer.is_ok())
        .collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    let winner = won[0].0;
    let lost = answers
        .iter()
        .filter(|answer| **answer == Err(MetadataError::ConditionFailed));
    assert_eq!(lost.count(), commits.len() - 1);
    let shown = gateway.lookup("object", Wanted::All).await.unwrap();
    assert_eq!(shown.version, commits[winner].version);
    assert_eq!(join_all(send()).await, answers, "sent again");
    winner
}

/// Of many that may only create an object one does, of many that may only replace a version one does.
/// Method: all are judged before any is proposed, since the log lets others go first; then all are sent
/// again, and get the answers that they had.
#[tokio::test]
async fn one_of_many_racing_writers_wins() {
    let mut gateway = Gateway::new().await;
    let mut commits = Vec::new();
    for number in 0..WRITERS {
        let etag = format!("etag-{number}");
        commits.push(put(&mut gateway, "object", &etag, absent()).await);
    }
    let mut winner = one_wins(&gateway, &commits).await;
    for round in 0..3 {
        let current = commits[winner].attributes.etag.clone();
        commits.clear();
        for number in 0..WRITERS {
            let etag = format!("etag-{round}-{number}");
            commits.push(put(&mut gateway, "object", &etag, matching(&current)).await);
        }
        winner = one_wins(&gateway, &commits).await;
    }
}

/// A head that moved to a version of which the condition holds as well refuses nobody for good.
#[tokio::test]
async fn a_condition_that_goes_on_to_hold_is_judged_again() {
    let mut gateway = Gateway::new().await;
    let first = put(&mut gateway, "object", "same", absent()).await;
    gateway.server.commit_object(first).await.unwrap();
    let mut commits = Vec::new();
    for _ in 0..8 {
        commits.push(put(&mut gateway, "object", "same", matching("same")).await);
    }
    let all = commits
        .into_iter()
        .map(|commit| gateway.server.commit_object(commit));
    for answer in join_all(all).await {
        answer.unwrap();
    }
}

/// Who sends a request again gets its answer, though its own write or a later one made its condition
/// fail; and who was refused is not let in later by the same condition, which still fails.
#[tokio::test]
async fn a_request_that_is_sent_again_gets_its_own_answer() {
    let mut gateway = Gateway::new().await;
    let created = put(&mut gateway, "object", "one", absent()).await;
    let time = gateway.server.commit_object(created.clone()).await;
    let replaced = put(&mut gateway, "object", "two", matching("one")).await;
    let replaced_at = gateway.server.commit_object(replaced.clone()).await;
    let late = put(&mut gateway, "object", "three", matching("one")).await;
    let refused = Err(MetadataError::ConditionFailed);
    for _ in 0..2 {
        assert_eq!(gateway.server.commit_object(created.clone()).await, time);
        assert_eq!(
            gateway.server.commit_object(replaced.clone()).await,
            replaced_at
        );
        assert_eq!(gateway.server.commit_object(late.clone()).await, refused);
    }
    let shown = gateway.lookup("object", Wanted::Nothing).await.unwrap();
    assert_eq!(shown.version, replaced.version);

    let gone = delete(&mut gateway, "object", matching("two"));
    gateway.server.delete_object(gone.clone()).await.unwrap();
    gateway.server.delete_object(gone).await.unwrap();
    assert!(gateway.lookup("object", Wanted::Nothing).await.is_err());
}

/// Deletes are conditional on ETag, second and length; a condition on what is not there finds no object.
#[tokio::test]
async fn deletes_are_conditional() {
    let mut gateway = Gateway::new().await;
    let commit = put(&mut gateway, "object", "one", absent()).await;
    let modified = gateway.server.commit_object(commit).await.unwrap();
    let failed = Err(MetadataError::ConditionFailed);
    let shifted = |ms: u64| Condition {
        modified: Some(WallTime(modified.0 + ms)),
        ..Condition::default()
    };
    let long = |bytes| Condition {
        length: Some(ByteCount::new(bytes)),
        ..Condition::default()
    };
    for condition in [matching("two"), shifted(2000), long(2), absent()] {
        let refused = delete(&mut gateway, "object", condition);
        assert_eq!(gateway.server.delete_object(refused).await, failed);
    }
    let both = Condition {
        modified: Some(modified),
        length: Some(ByteCount::new(1)),
        ..matching("one")
    };
    let done = delete(&mut gateway, "object", both);
    gateway.server.delete_object(done).await.unwrap();
    let none = Err(MetadataError::NoSuchObject);
    for condition in [matching("one"), shifted(0), long(1)] {
        let refused = delete(&mut gateway, "object", condition);
        assert_eq!(gateway.server.delete_object(refused).await, none);
    }
    let harmless = delete(&mut gateway, "object", absent());
    gateway.server.delete_object(harmless).await.unwrap();
}

/// Of many conditional deletes and writes of one version exactly one does something.
#[tokio::test]
async fn deletes_race_with_writes() {
    let mut gateway = Gateway::new().await;
    let first = put(&mut gateway, "object", "one", absent()).await;
    gateway.server.commit_object(first).await.unwrap();
    let mut commits = Vec::new();
    let mut deletes = Vec::new();
    for _ in 0..4 {
        commits.push(put(&mut gateway, "object", "two", matching("one")).await);
        deletes.push(delete(&mut gateway, "object", matching("one")));
    }
    let server = &gateway.server;
    let commits = join_all(
        commits
            .into_iter()
            .map(|commit| server.commit_object(commit)),
    );
    let deletes = join_all(
        deletes
            .into_iter()
            .map(|delete| server.delete_object(delete)),
    );
    let (committed, deleted) = futures::future::join(commits, deletes).await;
    let done = committed.iter().filter(|answer| answer.is_ok()).count()
        + deleted.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(done, 1, "{committed:?} {deleted:?}");
}
