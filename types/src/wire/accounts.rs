//! Users and access keys, as gateways and stewards see them.
//!
//! A user owns buckets; an access key acts for one user, at one label. Secrets are kept sealed, and are
//! told twice: to the steward when the key is made, and to the gateways that check signatures.

use super::metadata::{Answer, WallTime};
use crate::id::TenantId;
use crate::label::Label;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The secret of an access key: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeySecret(String);

impl KeySecret {
    /// Wraps it.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for a signature.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret(..)")
    }
}

/// Longest user name.
pub const MAX_USER_NAME: usize = 64;
/// Longest id of an access key, and longest secret.
pub const MAX_KEY_TEXT: usize = 128;

/// Whether a user may have this name: 1 to 64 letters, digits and `+=,.@_-`.
pub fn is_user_name(name: &str) -> bool {
    (1..=MAX_USER_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte))
}

/// Whether an access key may have this id: 1 to 128 letters, digits, `_` and `-`. A signature names the
/// id between slashes and commas.
pub fn is_key_id(id: &str) -> bool {
    (1..=MAX_KEY_TEXT).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// 1 to 64 letters, digits and `+=,.@_-`; unique in the cluster.
    pub name: String,
    /// 64 hex digits, random; what S3 calls the canonical user id, and the owner of buckets.
    pub id: String,
    /// Whose.
    pub tenant: TenantId,
    /// When it was made.
    pub created: WallTime,
}

/// Whether a key may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum KeyState {
    /// It may.
    Active,
    /// Not until it is enabled again.
    Disabled,
}

/// An access key as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Its id, as [`is_key_id`] allows.
    pub id: String,
    /// The name of the user it acts for.
    pub user: String,
    /// The label it works at.
    pub label: Label,
    /// Whether it may be used.
    pub state: KeyState,
    /// When it was made.
    pub created: WallTime,
}

/// An access key as a gateway needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The key.
    pub key: KeyInfo,
    /// The user it acts for.
    pub user: User,
    /// Its secret.
    pub secret: KeySecret,
}

/// Make an access key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// The name of the user it acts for.
    pub user: String,
    /// The label it works at.
    pub label: Label,
    /// Its id and secret, where they exist already; none: both are drawn at random.
    pub given: Option<(String, KeySecret)>,
}

/// Users and access keys. Names and ids that are not there: `NoSuchUser`, `NoSuchKey`.
pub trait Accounts: Send + Sync + 'static {
    /// Makes a user. `UserExists` when the name is taken.
    fn add_user(&self, name: String, tenant: TenantId) -> Answer<'_, User>;
    /// All users, by name.
    fn users(&self) -> Answer<'_, Vec<User>>;
    /// Removes a user who has no keys and owns no buckets; else `UserInUse`.
    fn remove_user(&self, name: String) -> Answer<'_, ()>;
    /// Makes an access key; its secret is not told again. `KeyExists` when a given id is taken.
    fn add_key(&self, new: NewKey) -> Answer<'_, Credential>;
    /// All keys, or those of one user; by id.
    fn keys(&self, user: Option<String>) -> Answer<'_, Vec<KeyInfo>>;
    /// Disables or enables a key.
    fn set_key_state(&self, id: String, state: KeyState) -> Answer<'_, ()>;
    /// Removes a key for good; its id is never used again.
    fn remove_key(&self, id: String) -> Answer<'_, ()>;
    /// A key with its secret, for a gateway; none when there is no such key. Linearizable.
    fn credential(&self, id: String) -> Answer<'_, Option<Credential>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "root", "a.b@c+d=e,f_g-h", &"x".repeat(64)] {
            assert!(is_user_name(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "ä", "a\0", &"x".repeat(65)] {
            assert!(!is_user_name(bad), "{bad:?}");
        }
        for good in ["A", "SRAB-_9", &"x".repeat(128)] {
            assert!(is_key_id(good), "{good}");
        }
        for bad in ["", "a/b", "a,b", "a b", "a\0", &"x".repeat(129)] {
            assert!(!is_key_id(bad), "{bad:?}");
        }
    }

    /// A secret is never printed.
    #[test]
    fn secrets_do_not_print() {
        let secret = KeySecret::new("shown to nobody".to_owned());
        assert!(!format!("{secret:?}").contains("shown"));
    }
}
