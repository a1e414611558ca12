//! Users and access keys: secrets are sealed on their way into the log, and opened for gateways alone.
//!
//! A user is removed only without keys and without buckets. Keys are of the same half as users, so `apply`
//! judges them; buckets are of the other half, so they are looked at here, before the removal is proposed. A
//! bucket can therefore appear in between: of a request that was let in before the user's last key was
//! removed, that is within the half second for which gateways keep what they know, or while that request
//! lasts. It is nobody's then, and no later user's, since ids of users are drawn at random; its owner is
//! changed with [`Server::change_owner`].

use super::{Inner, Server, unexpected};
use crate::command::{ClusterCommand, Command, NamespaceCommand};
use crate::log::Log;
use crate::reply::Reply;
use crate::store::{Store, StoreError};
use crate::tables::{ACCESS_KEYS, AccessKeyRow, BUCKETS, TableKey, USER_KEYS, USERS};
use bytes::Bytes;
use seal::account::{SecretContext, random_access_key};
use types::id::{BucketId, TenantId};
use types::wire::accounts::{
    Accounts, Credential, KeyInfo, KeySecret, KeyState, MAX_KEY_TEXT, NewKey, User, is_key_id,
    is_user_name,
};
use types::wire::metadata::{Answer, MetadataError};

/// A secret that is given must be as hard to guess as this many characters can be.
const LEAST_SECRET: usize = 16;

fn cluster(command: ClusterCommand) -> Command {
    Command::Cluster(command)
}

impl<L: Log> Accounts for Server<L> {
    fn add_user(&self, name: String, tenant: TenantId) -> Answer<'_, User> {
        Box::pin(self.inner.add_user(name, tenant))
    }

    fn users(&self) -> Answer<'_, Vec<User>> {
        Box::pin(self.inner.read(all_users))
    }

    fn remove_user(&self, name: String) -> Answer<'_, ()> {
        Box::pin(self.inner.remove_user(name))
    }

    fn add_key(&self, new: NewKey) -> Answer<'_, Credential> {
        Box::pin(self.inner.add_key(new))
    }

    fn keys(&self, user: Option<String>) -> Answer<'_, Vec<KeyInfo>> {
        Box::pin(async { self.inner.read(move |store| keys(store, user)).await? })
    }

    fn set_key_state(&self, id: String, state: KeyState) -> Answer<'_, ()> {
        Box::pin(async move {
            let set = ClusterCommand::SetKeyState { id, state };
            self.inner.propose(cluster(set)).await.map(drop)
        })
    }

    fn remove_key(&self, id: String) -> Answer<'_, ()> {
        Box::pin(async move {
            let remove = ClusterCommand::RemoveKey { id };
            self.inner.propose(cluster(remove)).await.map(drop)
        })
    }

    fn credential(&self, id: String) -> Answer<'_, Option<Credential>> {
        Box::pin(self.inner.credential(id))
    }
}

impl<L: Log> Server<L> {
    /// Gives every bucket that `from` owns to `to`; how many there were. Both are the texts in
    /// `Bucket::owner`.
    ///
    /// # Errors
    /// When the service does not answer. Some are changed then; again, it does the rest.
    pub async fn change_owner(&self, from: String, to: String) -> Result<usize, MetadataError> {
        let owner = from.clone();
        let owned = self
            .inner
            .read(move |store| owned_by(store, &owner))
            .await?;
        for bucket in &owned {
            let change = NamespaceCommand::ChangeOwner {
                bucket: *bucket,
                from: from.clone(),
                to: to.clone(),
            };
            self.inner.propose(Command::Namespace(change)).await?;
        }
        Ok(owned.len())
    }
}

impl Inner {
    async fn add_user(&self, name: String, tenant: TenantId) -> Result<User, MetadataError> {
        if !is_user_name(&name) {
            let text = "a user's name has 1 to 64 letters, digits and +=,.@_-";
            return Err(MetadataError::Malformed(text.to_owned()));
        }
        let id = random_user_id();
        let add = ClusterCommand::AddUser { name, id, tenant };
        match self.propose(cluster(add)).await? {
            Reply::User(user) => Ok(user),
            _ => Err(unexpected()),
        }
    }

    async fn remove_user(&self, name: String) -> Result<(), MetadataError> {
        let asked = name.clone();
        let (user, buckets) = self
            .read(move |store| {
                let Some(row) = USERS.get(store, &asked)? else {
                    return Ok(Err(MetadataError::NoSuchUser));
                };
                let buckets = owned_by(store, &row.user.id)?;
                Ok(Ok((row.user, buckets)))
            })
            .await??;
        if !buckets.is_empty() {
            return Err(MetadataError::UserInUse);
        }
        let remove = ClusterCommand::RemoveUser { name, id: user.id };
        self.propose(cluster(remove)).await.map(drop)
    }

    async fn add_key(&self, new: NewKey) -> Result<Credential, MetadataError> {
        let (id, secret) = new.given.unwrap_or_else(random_access_key);
        well_formed(&id, &secret)?;
        super::write::bounded_label(&new.label)?;
        let name = new.user.clone();
        let row = self.read(move |store| USERS.get(store, &name)).await?;
        let user = row.ok_or(MetadataError::NoSuchUser)?.user;
        let context = SecretContext {
            user: &user.id,
            key: &id,
            label_digest: new.label.digest(),
        };
        let sealed = self.keys.seal_secret(&context, &secret);
        let add = ClusterCommand::AddKey {
            id,
            user: new.user,
            user_id: user.id.clone(),
            label: new.label,
            secret: sealed,
        };
        match self.propose(cluster(add)).await? {
            Reply::Key(key) => Ok(Credential { key, user, secret }),
            _ => Err(unexpected()),
        }
    }

    async fn credential(&self, id: String) -> Result<Option<Credential>, MetadataError> {
        let found = self.read(move |store| key_and_user(store, &id)).await?;
        let Some((key, user, sealed)) = found else {
            return Ok(None);
        };
        let context = SecretContext {
            user: &user.id,
            key: &key.id,
            label_digest: key.label.digest(),
        };
        let secret = self.keys.open_secret(&context, &sealed).map_err(|error| {
            tracing::error!(key = key.id, %error, "the secret of an access key does not open");
            MetadataError::RowDamaged
        })?;
        Ok(Some(Credential { key, user, secret }))
    }
}

fn well_formed(id: &str, secret: &KeySecret) -> Result<(), MetadataError> {
    let secret = secret.expose();
    let printable = secret.bytes().all(|byte| byte.is_ascii_graphic());
    let text = if !is_key_id(id) {
        format!("an access key's id has 1 to {MAX_KEY_TEXT} letters, digits, _ and -")
    } else if !printable || !(LEAST_SECRET..=MAX_KEY_TEXT).contains(&secret.len()) {
        format!("a secret has {LEAST_SECRET} to {MAX_KEY_TEXT} visible characters of ASCII")
    } else {
        return Ok(());
    };
    Err(MetadataError::Malformed(text))
}

/// 256 random bits, in hex: what S3 calls a canonical user id.
fn random_user_id() -> String {
    let mut id = [0; 32];
    getrandom::fill(&mut id).expect("the system has randomness");
    hex::encode(id)
}

fn all_users(store: &Store) -> Result<Vec<User>, StoreError> {
    let rows = USERS.scan(store, &[]);
    rows.map(|row| row.map(|(_, row)| row.user)).collect()
}

type Keys = Result<Vec<KeyInfo>, MetadataError>;

/// The keys that are held, of everybody or of one user.
fn keys(store: &Store, user: Option<String>) -> Result<Keys, StoreError> {
    let mut keys = Vec::new();
    let mut tell = |row| match row {
        Some(AccessKeyRow::Held { key, .. }) => keys.push(key),
        Some(AccessKeyRow::Removed { .. }) | None => {}
    };
    match user {
        None => {
            for row in ACCESS_KEYS.scan(store, &[]) {
                tell(Some(row?.1));
            }
        }
        Some(user) if !USERS.contains(store, &user)? => return Ok(Err(MetadataError::NoSuchUser)),
        Some(user) => {
            for row in USER_KEYS.scan(store, &user.bytes()) {
                tell(ACCESS_KEYS.get(store, &row?.1)?);
            }
        }
    }
    Ok(Ok(keys))
}

/// A key that is held, its user, and its sealed secret.
fn key_and_user(store: &Store, id: &String) -> Result<Option<(KeyInfo, User, Bytes)>, StoreError> {
    let Some(AccessKeyRow::Held { key, secret }) = ACCESS_KEYS.get(store, id)? else {
        return Ok(None);
    };
    let row = USERS.get(store, &key.user)?.ok_or(StoreError::Damaged)?;
    Ok(Some((key, row.user, secret)))
}

fn owned_by(store: &Store, owner: &str) -> Result<Vec<BucketId>, StoreError> {
    let mut owned = Vec::new();
    for row in BUCKETS.scan(store, &[]) {
        let bucket = row?.1.bucket;
        if bucket.owner == owner {
            owned.push(bucket.id);
        }
    }
    Ok(owned)
}
