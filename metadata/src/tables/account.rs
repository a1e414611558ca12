//! What is in the rows of users and access keys.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::wire::accounts::{KeyInfo, User};
use types::wire::metadata::WallTime;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// As the service tells of it.
    pub user: User,
}

/// An access key's id, from its first use on.
///
/// ```text
/// unknown --AddKey--> held --RemoveKey--> removed
/// ```
///
/// A removed one stays, so that no later key has its id: what was allowed to the one, in a policy or in an
/// audit record, must not be read as the other's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AccessKeyRow {
    /// It is a key's.
    Held {
        /// As the service tells of it.
        key: KeyInfo,
        /// Its secret, sealed (`seal::account`); it names the ring key.
        secret: Bytes,
    },
    /// It was a key's.
    Removed {
        /// Until when, as the proposer's wall had it.
        at: WallTime,
    },
}
