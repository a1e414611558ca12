//! The metadata service as calls: how arguments and answers are encoded, and that they arrive.

use super::{golden, types};
use ::golden::check;
use futures::FutureExt;
use futures::executor::block_on;
use futures::future::BoxFuture;
use std::sync::Mutex;
use types::wire::accounts::*;
use types::wire::calls::*;
use types::wire::metadata::*;
use types::*;

/// Notes each call and answers the service that it was made with.
struct Line {
    asked: Mutex<Vec<Call>>,
    service: Box<dyn Accounts>,
}

impl Carrier for &'static Line {
    fn carry(&self, call: Call) -> BoxFuture<'_, Result<Vec<u8>, MetadataError>> {
        async move {
            self.asked.lock().unwrap().push(call.clone());
            let name = call.path.strip_prefix(ACCOUNTS).expect("of the accounts");
            let answered = answer_accounts(&*self.service, name, &call.body);
            Ok(answered.expect("there is such a call").unwrap().await)
        }
        .boxed()
    }
}

/// Says what it was asked.
struct Echo;

fn user(name: String, tenant: TenantId) -> User {
    User {
        name,
        id: "ab".repeat(32),
        tenant,
        created: WallTime(7),
    }
}

fn credential(id: String, secret: KeySecret, user_name: String) -> Credential {
    let key = KeyInfo {
        id,
        user: user_name.clone(),
        label: Label::default(),
        state: KeyState::Active,
        created: WallTime(8),
    };
    Credential {
        key,
        user: user(user_name, TenantId::new(0)),
        secret,
    }
}

fn now<'a, T: Send + 'a>(answer: Result<T, MetadataError>) -> Answer<'a, T> {
    std::future::ready(answer).boxed()
}

impl Accounts for Echo {
    fn add_user(&self, name: String, tenant: TenantId) -> Answer<'_, User> {
        now(Ok(user(name, tenant)))
    }
    fn users(&self) -> Answer<'_, Vec<User>> {
        now(Ok(vec![user("ada".into(), TenantId::new(1))]))
    }
    fn remove_user(&self, _: String) -> Answer<'_, ()> {
        now(Err(MetadataError::UserInUse))
    }
    fn add_key(&self, new: NewKey) -> Answer<'_, Credential> {
        let (id, secret) = new.given.expect("given");
        now(Ok(credential(id, secret, new.user)))
    }
    fn keys(&self, _: Option<String>) -> Answer<'_, Vec<KeyInfo>> {
        now(Ok(Vec::new()))
    }
    fn set_key_state(&self, _: String, _: KeyState) -> Answer<'_, ()> {
        now(Ok(()))
    }
    fn remove_key(&self, _: String) -> Answer<'_, ()> {
        now(Err(MetadataError::Unavailable("no leader".into())))
    }
    fn credential(&self, id: String) -> Answer<'_, Option<Credential>> {
        let secret = KeySecret::new("whispered".into());
        now(Ok(Some(credential(id, secret, "ada".into()))))
    }
}

/// What goes out arrives, and so does what comes back, errors too; the bytes are as they always were.
/// Method: accounts behind a line that carries what an echo answers; each call's path and body, and each
/// answer, against golden files.
#[test]
fn calls_arrive() {
    let line: &'static Line = Box::leak(Box::new(Line {
        asked: Mutex::default(),
        service: Box::new(Echo),
    }));
    let remote = Remote(line);
    let tenant = TenantId::new(5);
    let added = block_on(remote.add_user("ada".into(), tenant)).unwrap();
    assert_eq!(added, user("ada".into(), tenant));
    assert_eq!(block_on(remote.users()).unwrap().len(), 1);
    let refused = block_on(remote.remove_user("ada".into()));
    assert_eq!(refused, Err(MetadataError::UserInUse));
    let new = NewKey {
        user: "ada".into(),
        label: Label::default(),
        given: Some(("AK".into(), KeySecret::new("secret".into()))),
    };
    let made = block_on(remote.add_key(new)).unwrap();
    assert_eq!(
        (made.key.id.as_str(), made.secret.expose()),
        ("AK", "secret")
    );
    assert_eq!(block_on(remote.keys(Some("ada".into()))), Ok(Vec::new()));
    assert_eq!(block_on(remote.keys(None)), Ok(Vec::new()));
    let disable = remote.set_key_state("AK".into(), KeyState::Disabled);
    assert_eq!(block_on(disable), Ok(()));
    let removed = block_on(remote.remove_key("AK".into()));
    assert_eq!(removed, Err(MetadataError::Unavailable("no leader".into())));
    let found = block_on(remote.credential("AK".into())).unwrap().unwrap();
    assert_eq!(found.secret.expose(), "whispered");

    let asked = line.asked.lock().unwrap();
    let paths: Vec<&str> = asked.iter().map(|call| call.path).collect();
    assert_eq!(paths.len(), 9);
    for (at, call) in asked.iter().enumerate() {
        let name = call.path.replace('/', "-");
        check(
            env!("CARGO_MANIFEST_DIR"),
            &format!("call{name}-{at}.mp"),
            &call.body,
        );
        let read = matches!(at, 1 | 4 | 5 | 6 | 8);
        assert_eq!(call.repeat == Repeat::Harmless, read, "{name}");
    }
    let told: Result<Vec<User>, MetadataError> = Ok(vec![added]);
    golden("answer-users", &told);
    let refused: Result<(), MetadataError> = Err(MetadataError::Unavailable("why".into()));
    golden("answer-refused", &refused);
    let leadership = Leadership {
        term: 3,
        leader: Some(NodeId::new(2)),
    };
    golden("leadership", &leadership);
}

/// What is no call is answered as such, and so are arguments of another call.
#[test]
fn rubbish_is_no_call() {
    assert!(answer_accounts(&Echo, "open_session", &[]).is_none());
    assert!(answer_accounts(&Echo, "", &[]).is_none());
    for body in [&b""[..], b"\x01", b"\x02\x80", b"\x01\x80", b"\x01\x81"] {
        let answered = answer_accounts(&Echo, "add_user", body);
        assert!(answered.expect("there is such a call").is_err(), "{body:?}");
    }
}
