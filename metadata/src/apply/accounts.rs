//! Users and access keys: commands of the cluster half.
//!
//! Always: a key's user exists; the id of a key that is gone is taken; a user's keys are those that
//! `user keys` names. Secrets pass through sealed. That a user owns no buckets is not judged here: buckets
//! are the other half's.

use super::{Applied, Stop};
use crate::reply::{Refusal, Reply};
use crate::tables::{ACCESS_KEYS, AccessKeyRow, TableKey, USER_KEYS, USERS, UserRow};
use crate::txn::Txn;
use bytes::Bytes;
use types::id::TenantId;
use types::wire::accounts::{KeyInfo, KeyState, User};
use types::wire::metadata::WallTime;

pub(super) fn add_user(
    txn: &mut Txn<'_>,
    wall: WallTime,
    name: &String,
    id: &str,
    tenant: TenantId,
) -> Applied {
    if USERS.contains(txn, name)? {
        return Err(Refusal::UserExists.into());
    }
    let user = User {
        name: name.clone(),
        id: id.to_owned(),
        tenant,
        created: wall,
    };
    let row = UserRow { user: user.clone() };
    USERS.put(txn, name, &row);
    Ok(Reply::User(user))
}

pub(super) fn remove_user(txn: &mut Txn<'_>, name: &String, id: &str) -> Applied {
    user(txn, name, id)?;
    let first = USER_KEYS.scan(txn, &name.bytes()).next().transpose()?;
    if first.is_some() {
        return Err(Refusal::UserInUse.into());
    }
    USERS.delete(txn, name);
    Ok(Reply::Done)
}

pub(super) fn add_key(txn: &mut Txn<'_>, key: KeyInfo, user_id: &str, secret: &Bytes) -> Applied {
    user(txn, &key.user, user_id)?;
    let id = key.id.clone();
    if ACCESS_KEYS.contains(txn, &id)? {
        return Err(Refusal::KeyExists.into());
    }
    USER_KEYS.put(txn, &(key.user.clone(), id.clone()), &id);
    let row = AccessKeyRow::Held {
        key: key.clone(),
        secret: secret.clone(),
    };
    ACCESS_KEYS.put(txn, &id, &row);
    Ok(Reply::Key(key))
}

pub(super) fn set_key_state(txn: &mut Txn<'_>, id: &String, state: KeyState) -> Applied {
    let (mut key, secret) = held(txn, id)?;
    key.state = state;
    ACCESS_KEYS.put(txn, id, &AccessKeyRow::Held { key, secret });
    Ok(Reply::Done)
}

pub(super) fn remove_key(txn: &mut Txn<'_>, wall: WallTime, id: &String) -> Applied {
    let (key, _) = held(txn, id)?;
    USER_KEYS.delete(txn, &(key.user, id.clone()));
    ACCESS_KEYS.put(txn, id, &AccessKeyRow::Removed { at: wall });
    Ok(Reply::Done)
}

/// Whether there is that user: of that name, and not another who has had it since.
fn user(txn: &Txn<'_>, name: &String, id: &str) -> Result<(), Stop> {
    match USERS.get(txn, name)? {
        Some(row) if row.user.id == id => Ok(()),
        _ => Err(Refusal::NoSuchUser.into()),
    }
}

fn held(txn: &Txn<'_>, id: &String) -> Result<(KeyInfo, Bytes), Stop> {
    match ACCESS_KEYS.get(txn, id)? {
        Some(AccessKeyRow::Held { key, secret }) => Ok((key, secret)),
        Some(AccessKeyRow::Removed { .. }) | None => Err(Refusal::NoSuchKey.into()),
    }
}
