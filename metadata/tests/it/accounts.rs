//! Users and access keys: what `apply` lets be, and the service over it.

use crate::fixture::{Machine, MemoryLog, Outage, bucket_name, profile};
use bytes::Bytes;
use std::sync::Arc;
use strongroom_metadata::command::{ClusterCommand, NamespaceCommand};
use strongroom_metadata::tables::{ACCESS_KEYS, AccessKeyRow, BUCKETS};
use strongroom_metadata::{Keyring, Refusal, Reply, Server, ServerConfig};
use types::Label;
use types::id::{BucketId, NodeId, RequestId, TenantId};
use types::wire::Metadata;
use types::wire::accounts::{Accounts, Credential, KeySecret, KeyState, NewKey};
use types::wire::metadata::{CreateBucket, MetadataError};

fn refused(machine: &Machine, command: ClusterCommand) -> Option<Refusal> {
    match machine.cluster(command) {
        Reply::Refused(refusal) => Some(refusal),
        _ => None,
    }
}

fn add_user(name: &str, id: &str) -> ClusterCommand {
    ClusterCommand::AddUser {
        name: name.to_owned(),
        id: id.to_owned(),
        tenant: TenantId::new(0),
    }
}

fn remove_user(name: &str, id: &str) -> ClusterCommand {
    ClusterCommand::RemoveUser {
        name: name.to_owned(),
        id: id.to_owned(),
    }
}

fn add_key(id: &str, user: &str, user_id: &str) -> ClusterCommand {
    ClusterCommand::AddKey {
        id: id.to_owned(),
        user: user.to_owned(),
        user_id: user_id.to_owned(),
        label: Label::default(),
        secret: Bytes::from_static(b"sealed"),
    }
}

fn set_state(id: &str, state: KeyState) -> ClusterCommand {
    let id = id.to_owned();
    ClusterCommand::SetKeyState { id, state }
}

fn remove_key(id: &str) -> ClusterCommand {
    ClusterCommand::RemoveKey { id: id.to_owned() }
}

/// A name is one user's; a key's user exists; an id is one key's for ever; a refusal changes nothing.
/// Method: a life of two users and their keys, with every refusal on the way.
#[test]
fn users_and_keys_live_and_die() {
    let machine = Machine::new();
    let digest = || machine.store.digest().unwrap();
    for (command, refusal) in [
        (add_key("K", "a", "1"), Some(Refusal::NoSuchUser)),
        (add_user("a", "1"), None),
        (add_user("a", "2"), Some(Refusal::UserExists)),
        // Names of which one begins with the other do not share keys.
        (add_user("ab", "2"), None),
        (add_key("K", "a", "9"), Some(Refusal::NoSuchUser)),
        (add_key("K", "ab", "2"), None),
        (add_key("K", "a", "1"), Some(Refusal::KeyExists)),
        (remove_user("ab", "2"), Some(Refusal::UserInUse)),
        (remove_user("ab", "9"), Some(Refusal::NoSuchUser)),
        (remove_user("a", "1"), None),
        (remove_user("a", "1"), Some(Refusal::NoSuchUser)),
        (set_state("K", KeyState::Disabled), None),
        (set_state("K", KeyState::Disabled), None),
        (set_state("X", KeyState::Active), Some(Refusal::NoSuchKey)),
        (remove_key("X"), Some(Refusal::NoSuchKey)),
        (remove_key("K"), None),
        (remove_key("K"), Some(Refusal::NoSuchKey)),
        (set_state("K", KeyState::Active), Some(Refusal::NoSuchKey)),
        (add_key("K", "ab", "2"), Some(Refusal::KeyExists)),
        (remove_user("ab", "2"), None),
        (add_user("ab", "3"), None),
        (remove_user("ab", "2"), Some(Refusal::NoSuchUser)),
        (add_key("K", "ab", "3"), Some(Refusal::KeyExists)),
    ] {
        let before = digest();
        let what = format!("{command:?}");
        assert_eq!(refused(&machine, command), refusal, "{what}");
        assert!(refusal.is_none() || digest() == before, "{what}");
    }
    let rows: Vec<_> = ACCESS_KEYS
        .scan(&machine.store, &[])
        .map(|row| row.unwrap().1)
        .collect();
    assert!(matches!(rows[..], [AccessKeyRow::Removed { .. }]));
}

type Service = Arc<Server<MemoryLog>>;

fn service() -> Service {
    let keys = Keyring::new(seal::provider::default(), vec![seal::RingKey::random(1)]);
    let config = ServerConfig::new(profile());
    Server::start(MemoryLog(Machine::new(), Outage::default()), keys, config)
}

fn new_key(user: &str) -> NewKey {
    NewKey {
        user: user.to_owned(),
        label: Label::default(),
        given: None,
    }
}

async fn user_with_key(service: &Service, name: &str) -> Credential {
    let tenant = TenantId::new(7);
    let user = service.add_user(name.to_owned(), tenant).await.unwrap();
    assert_eq!((user.id.len(), user.tenant), (64, tenant));
    service.add_key(new_key(name)).await.unwrap()
}

/// A key's secret comes back to a gateway as it was made, for as long as there is the key; its state is
/// told with it.
#[tokio::test]
async fn secrets_come_back() {
    let service = service();
    let mut made = user_with_key(&service, "alice").await;
    let id = made.key.id.clone();
    assert_eq!((id.len(), made.secret.expose().len()), (20, 40));
    let told = || service.credential(id.clone());
    assert_eq!(told().await.unwrap(), Some(made.clone()));
    made.key.state = KeyState::Disabled;
    let disable = service.set_key_state(id.clone(), KeyState::Disabled);
    disable.await.unwrap();
    assert_eq!(told().await.unwrap(), Some(made.clone()));
    assert_eq!(service.keys(None).await.unwrap(), [made.key.clone()]);
    service.remove_key(id.clone()).await.unwrap();
    assert_eq!(told().await.unwrap(), None);
    assert_eq!(service.keys(None).await.unwrap(), []);
    assert_eq!(service.credential("none".into()).await.unwrap(), None);

    let given = (
        "GIVEN".to_owned(),
        KeySecret::new("0123456789abcdef".into()),
    );
    let mut new = new_key("alice");
    new.given = Some(given.clone());
    let taken = service.add_key(new.clone()).await.unwrap();
    assert_eq!((taken.key.id, taken.secret), given);
    assert_eq!(service.add_key(new).await, Err(MetadataError::KeyExists));
}

/// Keys are listed by user; names and secrets that cannot be are refused before the log.
#[tokio::test]
async fn what_is_malformed_is_refused() {
    let service = service();
    let alice = user_with_key(&service, "alice").await;
    let bob = user_with_key(&service, "bob").await;
    let keys = |user: &str| service.keys(Some(user.to_owned()));
    assert_eq!(keys("alice").await.unwrap(), [alice.key]);
    assert_eq!(keys("bob").await.unwrap(), [bob.key]);
    assert_eq!(keys("al").await, Err(MetadataError::NoSuchUser));
    let names: Vec<String> = service
        .users()
        .await
        .unwrap()
        .into_iter()
        .map(|user| user.name)
        .collect();
    assert_eq!(names, ["alice", "bob"]);
    let add = service.add_user("a b".into(), TenantId::new(0)).await;
    assert!(matches!(add, Err(MetadataError::Malformed(_))));
    for (id, secret) in [
        ("a/b", "0123456789abcdef"),
        ("GIVEN", "short"),
        ("GIVEN", "0123456789abcdef\n"),
    ] {
        let mut new = new_key("alice");
        new.given = Some((id.into(), KeySecret::new(secret.into())));
        let refused = service.add_key(new).await;
        assert!(
            matches!(refused, Err(MetadataError::Malformed(_))),
            "{id} {secret:?}"
        );
    }
    let mut new = new_key("alice");
    new.label.compartments = (0..2000).collect();
    let refused = service.add_key(new).await;
    assert!(matches!(refused, Err(MetadataError::Malformed(_))));
    assert_eq!(
        service.add_key(new_key("eve")).await,
        Err(MetadataError::NoSuchUser)
    );
}

/// A row whose label was raised, or that was moved to another key, gives no secret.
/// Method: edit the rows below the service.
#[tokio::test]
async fn an_edited_row_gives_no_secret() {
    let service = service();
    let made = user_with_key(&service, "alice").await;
    let other = user_with_key(&service, "bob").await;
    let machine = &service.log().0;
    let row = |id: &String| ACCESS_KEYS.get(&machine.store, id).unwrap().unwrap();
    let put = |id: &String, row: &AccessKeyRow| {
        let mut txn = machine.store.begin();
        ACCESS_KEYS.put(&mut txn, id, row);
        machine.store.commit(txn.into_changes(), b"mark").unwrap();
    };
    let (id, good) = (made.key.id.clone(), row(&made.key.id));
    let AccessKeyRow::Held { key, secret } = good.clone() else {
        panic!("it is held");
    };
    let mut raised = key.clone();
    raised.label.level = 9;
    let mut moved = key.clone();
    moved.user = "bob".into();
    let AccessKeyRow::Held { secret: stolen, .. } = row(&other.key.id) else {
        panic!("it is held");
    };
    for (key, secret) in [(raised, secret.clone()), (moved, secret), (key, stolen)] {
        put(&id, &AccessKeyRow::Held { key, secret });
        let refused = service.credential(id.clone()).await;
        assert_eq!(refused, Err(MetadataError::RowDamaged));
    }
    put(&id, &good);
    assert_eq!(service.credential(id).await.unwrap(), Some(made));
}

/// A user who owns a bucket stays; a bucket can be given to another.
#[tokio::test]
async fn owners_stay() {
    let service = service();
    let made = user_with_key(&service, "alice").await;
    let session = service.open_session(NodeId::new(1)).await.unwrap().id;
    let request = CreateBucket {
        request: RequestId {
            session,
            sequence: 1,
            answered_below: 1,
        },
        tenant: made.user.tenant,
        owner: made.user.id.clone(),
        name: bucket_name("bucket"),
        label: Label::default(),
        profile: None,
    };
    service.create_bucket(request).await.unwrap();
    service.remove_key(made.key.id).await.unwrap();
    let remove = || service.remove_user("alice".into());
    assert_eq!(remove().await, Err(MetadataError::UserInUse));
    let change = |from: &str, to: &str| service.change_owner(from.to_owned(), to.to_owned());
    assert_eq!(change("nobody", "bob").await, Ok(0));
    assert_eq!(change(&made.user.id, "bob").await, Ok(1));
    assert_eq!(change(&made.user.id, "bob").await, Ok(0));
    assert_eq!(remove().await, Ok(()));
    assert_eq!(
        service.bucket(bucket_name("bucket")).await.unwrap().owner,
        "bob"
    );
    // Who sends the same again is answered again; who believes in another owner is not.
    let machine = &service.log().0;
    let bucket = BUCKETS
        .scan(&machine.store, &[])
        .next()
        .unwrap()
        .unwrap()
        .1
        .bucket
        .id;
    let change = |bucket, from: &str| {
        let (from, to) = (from.to_owned(), "bob".to_owned());
        machine.namespace(NamespaceCommand::ChangeOwner { bucket, from, to })
    };
    assert_eq!(change(bucket, "alice"), Reply::Done);
    let elsewhere = change(BucketId::new(9999), "alice");
    assert_eq!(elsewhere, Reply::Refused(Refusal::NoSuchBucket));
    let wrong = machine.namespace(NamespaceCommand::ChangeOwner {
        bucket,
        from: "alice".into(),
        to: "carol".into(),
    });
    assert_eq!(wrong, Reply::Refused(Refusal::OwnerChanged));
}
