//! The keys of a metadata server in memory: ring keys, and the buckets' keys (KEKs) unsealed with them.
//!
//! A KEK is unsealed when first needed and kept, until its bucket is gone or this server leads no more:
//! no lookup waits for a key service. Data keys pass through here and are not kept. Nothing of a key is ever printed, stored or sent but wrapped; the one
//! exception is the data key that a gateway is given for what it asked.

mod bucket;

use bytes::Bytes;
use seal::account::{self, AccountKey, SecretContext};
use seal::wrap;
use seal::{Kek, Provider, RingKey};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use types::id::BucketId;
use types::wire::accounts::KeySecret;

pub use bucket::BucketKey;

/// Why something stored does not give what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No ring key of that version is held here.
    #[error("ring key {version} is not held by this server")]
    NoRingKey {
        /// Which.
        version: u32,
    },
    /// It does not open: damaged, moved, forged, or under a key that was destroyed.
    #[error("it does not open")]
    Refused,
}

/// Ring keys and unsealed KEKs.
pub struct Keyring {
    provider: Arc<dyn Provider>,
    /// The last is what new KEKs are wrapped under.
    ring: Vec<RingKey>,
    /// Of the same versions, in the same order.
    accounts: Vec<AccountKey>,
    keks: Mutex<HashMap<(BucketId, u32), Arc<BucketKey>>>,
}

impl Keyring {
    /// A keyring over the ring keys that this server holds: one at least, the current one last.
    ///
    /// # Panics
    /// When there is none: a server without one cannot serve.
    pub fn new(provider: Arc<dyn Provider>, ring: Vec<RingKey>) -> Self {
        assert!(!ring.is_empty(), "a metadata server holds a ring key");
        Self {
            provider,
            accounts: ring.iter().map(AccountKey::derive).collect(),
            ring,
            keks: Mutex::default(),
        }
    }

    /// A fresh KEK, wrapped under the current ring key.
    pub fn fresh_kek(&self, bucket: BucketId, version: u32) -> Bytes {
        let ring = self.ring.last().expect("there is one");
        let kek = Kek::random(version);
        wrap::wrap_kek(&*self.provider, ring, &kek, bucket)
    }

    /// A bucket's key, if it was unsealed before.
    pub fn held(&self, bucket: BucketId, version: u32) -> Option<Arc<BucketKey>> {
        let keks = self.keks.lock().unwrap_or_else(PoisonError::into_inner);
        keks.get(&(bucket, version)).cloned()
    }

    /// Unseals a bucket's key, and keeps it.
    ///
    /// # Errors
    /// When it does not open under a ring key that is held here.
    pub fn unseal(
        &self,
        bucket: BucketId,
        version: u32,
        wrapped: &[u8],
    ) -> Result<Arc<BucketKey>, KeyError> {
        let under = wrap::wrapping_version(wrapped).map_err(|_| KeyError::Refused)?;
        let ring = self.ring.iter().find(|key| key.version() == under);
        let ring = ring.ok_or(KeyError::NoRingKey { version: under })?;
        let kek = wrap::unwrap_kek(&*self.provider, ring, wrapped, bucket, version)
            .map_err(|_| KeyError::Refused)?;
        let key = Arc::new(BucketKey::new(self.provider.clone(), bucket, kek));
        let mut keks = self.keks.lock().unwrap_or_else(PoisonError::into_inner);
        keks.insert((bucket, version), key.clone());
        Ok(key)
    }

    /// Seals the secret of an access key under the current ring key.
    pub fn seal_secret(&self, context: &SecretContext<'_>, secret: &KeySecret) -> Bytes {
        let key = self.accounts.last().expect("there is one");
        account::seal_secret(&*self.provider, key, context, secret.expose().as_bytes())
    }

    /// Opens the secret of an access key. It is not kept.
    ///
    /// # Errors
    /// When it is not that key's, or does not open under a ring key that is held here.
    pub fn open_secret(
        &self,
        context: &SecretContext<'_>,
        sealed: &[u8],
    ) -> Result<KeySecret, KeyError> {
        let under = account::sealing_version(sealed).map_err(|_| KeyError::Refused)?;
        let key = self.accounts.iter().find(|key| key.version() == under);
        let key = key.ok_or(KeyError::NoRingKey { version: under })?;
        let secret = account::open_secret(&*self.provider, key, context, sealed)
            .map_err(|_| KeyError::Refused)?;
        let text = std::str::from_utf8(&secret).map_err(|_| KeyError::Refused)?;
        Ok(KeySecret::new(text.to_owned()))
    }

    /// Drops every version of a bucket's key.
    pub fn forget(&self, bucket: BucketId) {
        let mut keks = self.keks.lock().unwrap_or_else(PoisonError::into_inner);
        keks.retain(|(held, _), _| *held != bucket);
    }

    /// Drops every bucket's keys; they are unsealed again when needed.
    pub fn forget_all(&self) {
        let mut keks = self.keks.lock().unwrap_or_else(PoisonError::into_inner);
        keks.clear();
    }
}
