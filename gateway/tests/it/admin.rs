//! Users, access keys and disks over the admin API.

use crate::cluster::{World, service};
use crate::memory_log::MemoryLog;
use crate::server::Tls;
use metadata::Server;
use std::net::SocketAddr;
use std::sync::Arc;
use strongroom_gateway::{Complaint, MadeKey};
use types::id::RequestId;
use types::wire::Metadata;
use types::wire::accounts::{KeyInfo, KeyState, User};
use types::wire::metadata::CreateBucket;
use types::wire::usage::{BucketUsage, Count, Quota, TenantUsage};
use types::{BucketName, Label, NodeId, TenantId};

/// The admin door of a gateway.
struct Door {
    tls: Tls,
    at: SocketAddr,
    service: Arc<Server<MemoryLog>>,
    node: NodeId,
    _world: World,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Door {
    async fn new() -> Self {
        let tls = Tls::new();
        let (service, node) = service().await;
        let admin = tls.admin(Arc::clone(&service));
        let world = World::with(|config| config.admin = Some(admin)).await;
        let at = world.gateway.addresses().admin.expect("listens");
        Self {
            tls,
            at,
            service,
            node,
            _world: world,
        }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = self.tls.exchange(self.at, true, &request).await;
        let answer = answer.expect("let in");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        Answer {
            status: head[9..12].parse().expect("a status"),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    async fn complaint(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let answer = self.ask(method, path, body).await;
        let complaint: Complaint = serde_json::from_str(&answer.body).expect("a complaint");
        assert!(!complaint.message.is_empty());
        (answer.status, complaint.error)
    }
}

/// Users and keys come, are shown and go; the secret is in the one answer that made it, which is not to
/// be cached.
#[tokio::test]
async fn users_and_keys_come_and_go() {
    let door = Door::new().await;
    let made = door.ask("POST", "/users", r#"{"name":"alice"}"#).await;
    assert_eq!(made.status, 200);
    let alice: User = serde_json::from_str(&made.body).expect("a user");
    let made = door.ask("POST", "/keys", r#"{"user":"alice"}"#).await;
    assert_eq!(made.status, 200);
    assert!(
        made.head.contains("cache-control: no-store"),
        "{}",
        made.head
    );
    let key: MadeKey = serde_json::from_str(&made.body).expect("a key");
    let id = key.key.id.clone();

    let users = door.ask("GET", "/users", "").await;
    let users: Vec<User> = serde_json::from_str(&users.body).expect("users");
    assert_eq!(users, [alice]);
    for path in ["/keys", "/keys?user=alice"] {
        let keys = door.ask("GET", path, "").await;
        assert!(!keys.body.contains(key.secret.expose()));
        let keys: Vec<KeyInfo> = serde_json::from_str(&keys.body).expect("keys");
        assert_eq!(keys, std::slice::from_ref(&key.key));
    }
    let state = format!("/keys/{id}/state");
    assert_eq!(door.ask("PUT", &state, r#""Disabled""#).await.status, 204);
    let keys = door.ask("GET", "/keys", "").await;
    let keys: Vec<KeyInfo> = serde_json::from_str(&keys.body).expect("keys");
    assert_eq!(keys[0].state, KeyState::Disabled);

    let in_use = door.complaint("DELETE", "/users/alice", "").await;
    assert_eq!(in_use, (409, "UserInUse".to_owned()));
    assert_eq!(
        door.ask("DELETE", &format!("/keys/{id}"), "").await.status,
        204
    );
    assert_eq!(door.ask("DELETE", "/users/alice", "").await.status, 204);
    assert_eq!(door.ask("GET", "/users", "").await.body, "[]");
}

/// What cannot be done is answered with a complaint that programs and people can read; a body is bounded.
/// Method: a table of requests.
#[tokio::test]
async fn complaints_say_why() {
    let door = Door::new().await;
    door.ask("POST", "/users", r#"{"name":"alice"}"#).await;
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(17 << 10));
    for (method, path, body, status, error) in [
        ("POST", "/users", r#"{"name":"alice"}"#, 409, "UserExists"),
        ("POST", "/users", r#"{"name":"a b"}"#, 400, "Malformed"),
        ("POST", "/users", r#"{"name":"a","x":1}"#, 422, "Malformed"),
        ("POST", "/users", "{", 400, "Malformed"),
        ("POST", "/users", &long, 413, "Malformed"),
        ("DELETE", "/users/bob", "", 404, "NoSuchUser"),
        ("GET", "/keys?user=bob", "", 404, "NoSuchUser"),
        ("GET", "/keys?who=bob", "", 400, "Malformed"),
        ("POST", "/keys", r#"{"user":"bob"}"#, 404, "NoSuchUser"),
        ("DELETE", "/keys/AK", "", 404, "NoSuchKey"),
        ("PUT", "/keys/AK/state", r#""Active""#, 404, "NoSuchKey"),
        ("PUT", "/keys/AK/state", r#""Asleep""#, 422, "Malformed"),
    ] {
        let told = door.complaint(method, path, body).await;
        assert_eq!(
            told,
            (status, error.to_owned()),
            "{method} {path} {body:.40}"
        );
    }
}

/// A disk is replaced, a check is begun and followed; what cannot be done is said why.
#[tokio::test]
async fn disks_are_replaced_and_checked() {
    let door = Door::new().await;
    let replaced = door.ask("POST", "/disks/4/replace", "").await;
    assert_eq!((replaced.status, &*replaced.body), (200, r#"{"disk":9}"#));
    let serves = door.complaint("POST", "/disks/5/replace", "").await;
    assert_eq!(serves, (409, "NotReplaced".to_owned()));
    let begun = door.ask("POST", "/check", r#"{"deep":true}"#).await;
    assert_eq!((begun.status, &*begun.body), (202, ""));
    let runs = door.complaint("POST", "/check", "{}").await;
    assert_eq!(runs, (409, "NotChecked".to_owned()));
    let unknown = door.ask("POST", "/check", r#"{"shallow":true}"#).await;
    assert_eq!(unknown.status, 422);
    for body in ["{}", r#"{"disk":4}"#] {
        let begun = door.ask("POST", "/scrub", body).await;
        assert_eq!(begun.status, 202, "{body}");
    }
    let unknown = door.complaint("POST", "/scrub", r#"{"disk":5}"#).await;
    assert_eq!(unknown, (409, "NotScrubbed".to_owned()));
    let scrub = door.ask("GET", "/scrub", "").await;
    assert_eq!((scrub.status, &*scrub.body), (200, r#"[{"disk":4}]"#));
    let check = door.ask("GET", "/check", "").await;
    assert_eq!((check.status, &*check.body), (200, r#"{"done":true}"#));
}

/// A process is given an id; what is for another process to do is said so.
#[tokio::test]
async fn processes_are_given_ids() {
    let door = Door::new().await;
    let added = door.ask("POST", "/nodes", "").await;
    assert_eq!((added.status, &*added.body), (200, r#"{"node":12}"#));
    let elsewhere = door.complaint("POST", "/groups", "").await;
    assert_eq!(elsewhere, (409, "NotLaidOut".to_owned()));
}

impl Door {
    /// Makes a bucket at a level; its id.
    async fn make_bucket(&self, name: &str, level: u16) -> u64 {
        let session = self
            .service
            .open_session(self.node)
            .await
            .expect("opened")
            .id;
        let create = CreateBucket {
            request: RequestId {
                session,
                sequence: 1,
                answered_below: 1,
            },
            tenant: TenantId::new(1),
            owner: "owner".into(),
            name: BucketName::try_from(name.to_owned()).expect("a name"),
            label: Label {
                level,
                ..Label::default()
            },
            profile: None,
        };
        let made = self.service.create_bucket(create).await;
        made.expect("made").id.get()
    }

    async fn buckets(&self, query: &str) -> Vec<BucketUsage> {
        let answer = self.ask("GET", &format!("/buckets{query}"), "").await;
        assert!(
            answer.head.contains("cache-control: no-store"),
            "{}",
            answer.head
        );
        serde_json::from_str(&answer.body).expect("buckets")
    }
}

/// Buckets and tenants are shown with what is in them; quotas are set, kept where they are not named, and removed;
/// what is not there or not well-formed is said so.
/// Method: two buckets of one name; a table of requests.
#[tokio::test]
async fn usage_is_shown_and_quotas_are_set() {
    let door = Door::new().await;
    let (open, secret) = (
        door.make_bucket("data", 0).await,
        door.make_bucket("data", 3).await,
    );
    door.make_bucket("more", 0).await;
    while door
        .buckets("")
        .await
        .iter()
        .any(|of| of.usage == Count::Counting)
    {
        tokio::task::yield_now().await;
    }
    assert_eq!(door.buckets("").await.len(), 3);
    let named = door.buckets("?name=data").await;
    let ids: Vec<u64> = named.iter().map(|of| of.bucket.id.get()).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&open) && ids.contains(&secret));
    assert_eq!(door.buckets("?name=nothing").await, []);

    let path = format!("/buckets/{open}/quota");
    for (body, bytes, objects) in [
        (r#"{"bytes":{"AtMost":5}}"#, Some(5), None),
        (r#"{"objects":{"AtMost":7}}"#, Some(5), Some(7)),
        (r#"{"bytes":"Unlimited"}"#, None, Some(7)),
        (r#"{"bytes":"Keep","objects":"Keep"}"#, None, Some(7)),
    ] {
        let set = door.ask("PUT", &path, body).await;
        assert_eq!(set.status, 200, "{}", set.body);
        let quota: Quota = serde_json::from_str(&set.body).expect("a quota");
        assert_eq!((quota.bytes, quota.objects), (bytes, objects), "{body}");
        let shown = door.buckets("?name=data").await;
        let shown = shown.iter().find(|of| of.bucket.id.get() == open);
        assert_eq!(shown.expect("shown").quota, quota);
    }
    let set = door
        .ask("PUT", "/tenants/1/quota", r#"{"bytes":{"AtMost":9}}"#)
        .await;
    assert_eq!(set.status, 200);
    let tenants = door.ask("GET", "/tenants", "").await;
    let tenants: Vec<TenantUsage> = serde_json::from_str(&tenants.body).expect("tenants");
    let told = (
        tenants[0].tenant.get(),
        tenants[0].buckets,
        tenants[0].quota.bytes,
    );
    assert_eq!((tenants.len(), told), (1, (1, 3, Some(9))));

    for (method, path, body, status, error) in [
        ("PUT", "/buckets/999/quota", "{}", 404, "NoSuchBucket"),
        ("PUT", "/tenants/999/quota", "{}", 404, "NoSuchTenant"),
        ("PUT", &path, r#"{"byte":"Keep"}"#, 422, "Malformed"),
        ("PUT", &path, r#"{"bytes":-1}"#, 400, "Malformed"),
        ("PUT", &path, "{", 400, "Malformed"),
        ("GET", "/buckets?name=Bad_Name", "", 400, "Malformed"),
        ("GET", "/buckets?nom=data", "", 400, "Malformed"),
    ] {
        let told = door.complaint(method, path, body).await;
        assert_eq!(told, (status, error.to_owned()), "{method} {path} {body}");
    }
}
