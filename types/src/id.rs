//! Ids. An id that the cluster allocates is 64 bits and is never used twice:
//!
//! ```text
//! incarnation 8 | namespace shard 8 | counter 48
//! ```
//!
//! The incarnation is raised by every restore from a backup, so that ids handed out after the backup
//! was taken can never be handed out again.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The largest value of an allocated id's counter.
pub const MAX_COUNTER: u64 = (1 << 48) - 1;

/// Composes an allocated id. `None` when the counter has run out of its 48 bits.
pub fn compose(incarnation: u8, namespace_shard: u8, counter: u64) -> Option<u64> {
    (counter <= MAX_COUNTER)
        .then(|| u64::from(incarnation) << 56 | u64::from(namespace_shard) << 48 | counter)
}

/// Incarnation, namespace shard and counter of an allocated id. `None` of what was never one: counters begin at 1.
pub fn parts(id: u64) -> Option<(u8, u8, u64)> {
    let [incarnation, shard, ..] = id.to_be_bytes();
    let counter = id & MAX_COUNTER;
    (counter > 0).then_some((incarnation, shard, counter))
}

macro_rules! allocated_id {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a value that was allocated, or read from where one was stored.
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// The 64 bits.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// As keys, associated data and checksums hold it: big-endian.
            pub const fn to_be_bytes(self) -> [u8; 8] {
                self.0.to_be_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "-{:x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

allocated_id! {
    /// The bytes of one upload, under one data key.
    BlobId, "blob";
    /// One bucket, whatever its name.
    BucketId, "bucket";
    /// One chunk; written once, inside a write lease.
    ChunkId, "chunk";
    /// One disk, as stamped on it. An emptied disk comes back under a new id.
    DiskId, "disk";
    /// A placement group.
    GroupId, "group";
    /// A gateway's range of chunk ids.
    LeaseId, "lease";
    /// One server process of any role.
    NodeId, "node";
    /// A gateway's session with the metadata service.
    SessionId, "session";
    /// Whom a bucket or principal belongs to.
    TenantId, "tenant";
}

impl ChunkId {
    /// The id `count` places further; ids of one run are consecutive.
    ///
    /// # Panics
    /// When the sum leaves 64 bits: a run never reaches past its lease.
    pub fn plus(self, count: u64) -> Self {
        Self(
            self.0
                .checked_add(count)
                .expect("a run stays inside its lease"),
        )
    }
}

/// A request of one session, numbered by the gateway from 1; applied at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// Whose request.
    pub session: SessionId,
    /// Its number within the session.
    pub sequence: u64,
    /// Every request of this session below this number has been answered: its reply may be forgotten.
    pub answered_below: u64,
}

macro_rules! random_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(#[serde(with = "serde_bytes")] [u8; 16]);

        impl $name {
            /// Wraps 16 random bytes.
            pub const fn new(raw: [u8; 16]) -> Self {
                Self(raw)
            }

            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Parses what `Display` printed. `None` when it is not 32 hex digits.
            pub fn parse(text: &str) -> Option<Self> {
                let mut raw = [0; 16];
                hex::decode_to_slice(text, &mut raw).ok().map(|()| Self(raw))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

random_id! {
    /// One Strongroom; stamped on every disk and server so that none serves another's data.
    ClusterId;
    /// One version of one object, chosen at random before its command is proposed, never reused.
    VersionId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocated_ids_keep_their_three_parts_apart() {
        assert_eq!(compose(1, 2, 3), Some(0x0102_0000_0000_0003));
        assert_eq!(compose(255, 255, MAX_COUNTER), Some(u64::MAX));
        assert_eq!(compose(0, 0, MAX_COUNTER + 1), None);
    }

    #[test]
    fn random_ids_print_and_parse() {
        let id = VersionId::new([0xab; 16]);
        assert_eq!(VersionId::parse(&id.to_string()), Some(id));
        assert_eq!(VersionId::parse("ab"), None);
    }
}
