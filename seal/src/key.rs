//! The keys above the data keys, each of its own type, so that none is used in another's place.

use crate::commit::{self, Purpose};
use std::fmt;
use types::ClusterId;
use types::secret::DataKey;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 256 random bits.
///
/// # Panics
/// When the system has no randomness to give.
fn random() -> [u8; 32] {
    let mut raw = [0; 32];
    getrandom::fill(&mut raw).expect("the system has randomness");
    raw
}

/// A fresh key for one blob.
pub fn random_data_key() -> DataKey {
    DataKey::new(random())
}

macro_rules! wrapping_key {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
        pub struct $name {
            version: u32,
            raw: [u8; 32],
        }

        impl $name {
            /// Wraps 32 random bytes that are called by this version.
            pub fn new(version: u32, raw: [u8; 32]) -> Self {
                Self { version, raw }
            }

            /// A fresh one, of that version.
            ///
            /// # Panics
            /// When the system has no randomness to give.
            pub fn random(version: u32) -> Self {
                Self::new(version, random())
            }

            /// Which of the keys that had this role; a wrap says which one it takes.
            pub fn version(&self) -> u32 {
                self.version
            }

            /// The key itself, for a cipher or for the file that holds it.
            pub fn expose(&self) -> &[u8; 32] {
                &self.raw
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "(version {}, ..)"), self.version)
            }
        }
    )*};
}

wrapping_key! {
    /// Wraps the slot of a metadata server. Kept in a file, a vault or an HSM.
    RootKey;
    /// Wraps KEKs. Erased by every holder, it takes with it what it wrapped.
    RingKey;
    /// One per bucket and version: wraps the bucket's data keys.
    Kek;
}

/// One metadata server's own key, from which the keys of its log and snapshot files are derived.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct StorageKey([u8; 32]);

impl StorageKey {
    /// Wraps 32 random bytes.
    pub fn new(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// A fresh one.
    ///
    /// # Panics
    /// When the system has no randomness to give.
    pub fn random() -> Self {
        Self(random())
    }

    /// The key of a cluster's backups under a ring key: whoever holds that can open them.
    pub fn of_backups(ring: &RingKey, cluster: ClusterId) -> Self {
        let cluster = Some(&cluster.as_bytes()[..]);
        Self(*commit::derive(ring.expose(), cluster, Purpose::Backup))
    }

    /// The key itself.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StorageKey(..)")
    }
}
