//! The keys of a metadata server in memory: ring keys, and the buckets' keys (KEKs) unsealed with them.
//!
//! A KEK is unsealed when first needed and kept, until its bucket is gone or this server leads no more:
//! no lookup waits for a key service. Data keys pass through here and are not kept. Nothing of a key is ever printed, stored or sent but wrapped; the one
//! exception is the data key that a gateway is given for what it asked.

use bytes::Bytes;
use seal::key::random_data_key;
use seal::row::{self, RowContext, RowKey, RowKind};
use seal::wrap::{self, IssueContext, ReferenceContext};
use seal::{Kek, Provider, RingKey};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use types::attributes::Attributes;
use types::codec;
use types::id::{BucketId, VersionId};
use types::name::ObjectKey;
use types::secret::DataKey;

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
        let key = Arc::new(BucketKey {
            provider: self.provider.clone(),
            bucket,
            row: RowKey::derive(&kek),
            kek,
        });
        let mut keks = self.keks.lock().unwrap_or_else(PoisonError::into_inner);
        keks.insert((bucket, version), key.clone());
        Ok(key)
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

/// One version of one bucket's key.
pub struct BucketKey {
    provider: Arc<dyn Provider>,
    bucket: BucketId,
    kek: Kek,
    row: RowKey,
}

impl BucketKey {
    /// A fresh data key and its wrap for the way back at commit.
    pub fn issue(&self, context: &IssueContext) -> (DataKey, Bytes) {
        let key = random_data_key();
        let wrap = wrap::wrap_issued(&*self.provider, &self.kek, &key, context);
        (key, wrap)
    }

    /// The data key in an issued wrap that came back.
    ///
    /// # Errors
    /// When the wrap was not issued for just this.
    pub fn take_back(&self, wrapped: &[u8], context: &IssueContext) -> Result<DataKey, KeyError> {
        wrap::unwrap_issued(&*self.provider, &self.kek, wrapped, context)
            .map_err(|_| KeyError::Refused)
    }

    /// Wraps a data key for the version that refers to it.
    pub fn refer(&self, key: &DataKey, context: &ReferenceContext<'_>) -> Bytes {
        wrap::wrap_reference(&*self.provider, &self.kek, key, context)
    }

    /// The data key in a version's reference.
    ///
    /// # Errors
    /// When the reference is not that version's.
    pub fn follow(
        &self,
        wrapped: &[u8],
        context: &ReferenceContext<'_>,
    ) -> Result<DataKey, KeyError> {
        wrap::unwrap_reference(&*self.provider, &self.kek, wrapped, context)
            .map_err(|_| KeyError::Refused)
    }

    /// Seals a version's attributes for its row.
    pub fn seal_attributes(
        &self,
        key: &ObjectKey,
        version: VersionId,
        attributes: &Attributes,
    ) -> Bytes {
        let plain = codec::encode(attributes);
        row::seal_row(
            &*self.provider,
            &self.row,
            &self.context(key, version),
            &plain,
        )
    }

    /// Opens a version's attributes.
    ///
    /// # Errors
    /// When the row is not that version's.
    pub fn open_attributes(
        &self,
        key: &ObjectKey,
        version: VersionId,
        sealed: &[u8],
    ) -> Result<Attributes, KeyError> {
        let context = self.context(key, version);
        let plain = row::open_row(&*self.provider, &self.row, &context, sealed)
            .map_err(|_| KeyError::Refused)?;
        codec::decode(&plain).map_err(|_| KeyError::Refused)
    }

    fn context<'a>(&self, key: &'a ObjectKey, version: VersionId) -> RowContext<'a> {
        RowContext {
            kind: RowKind::Attributes,
            bucket: self.bucket,
            key,
            version,
        }
    }
}
