//! The keys of a metadata server in memory: ring keys, and the buckets' keys (KEKs) unsealed with them.
//!
//! A KEK is unsealed when first needed and kept, until its bucket is gone or this server leads no more:
//! no lookup waits for a key service. Data keys pass through here and are not kept. Nothing of a key is ever printed, stored or sent but wrapped; the one
//! exception is the data key that a gateway is given for what it asked.

use crate::sealed::{PartFacts, UploadFacts};
use crate::tables::{ManifestEntry, ManifestRow};
use bytes::Bytes;
use seal::account::{self, AccountKey, SecretContext};
use seal::key::random_data_key;
use seal::manifest::{self, ManifestKey, ManifestPart, ROW_PARTS};
use seal::row::{self, RowContext, RowKey, RowKind};
use seal::wrap::{self, IssueContext, ReferenceContext};
use seal::{Kek, Provider, RingKey};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use types::attributes::Attributes;
use types::codec;
use types::id::{BucketId, VersionId};
use types::name::ObjectKey;
use types::secret::DataKey;
use types::size::{ByteCount, ByteOffset};
use types::wire::accounts::KeySecret;
use types::wire::metadata::Tags;

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
        let key = Arc::new(BucketKey {
            provider: self.provider.clone(),
            bucket,
            row: RowKey::derive(&kek),
            manifest: ManifestKey::derive(&kek),
            kek,
        });
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

/// One version of one bucket's key.
pub struct BucketKey {
    provider: Arc<dyn Provider>,
    bucket: BucketId,
    kek: Kek,
    row: RowKey,
    manifest: ManifestKey,
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
        self.seal(RowKind::Attributes, key, version, attributes)
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
        self.open(RowKind::Attributes, key, version, sealed)
    }

    /// Seals a version's tags for their row.
    pub fn seal_tags(&self, key: &ObjectKey, version: VersionId, tags: &Tags) -> Bytes {
        self.seal(RowKind::Tags, key, version, tags)
    }

    /// Opens a version's tags.
    ///
    /// # Errors
    /// When the row is not that version's.
    pub fn open_tags(
        &self,
        key: &ObjectKey,
        version: VersionId,
        sealed: &[u8],
    ) -> Result<Tags, KeyError> {
        self.open(RowKind::Tags, key, version, sealed)
    }

    /// Seals what is sealed of an upload.
    pub fn seal_upload(&self, key: &ObjectKey, upload: VersionId, facts: &UploadFacts) -> Bytes {
        self.seal(RowKind::Upload, key, upload, facts)
    }

    /// Opens what is sealed of an upload.
    ///
    /// # Errors
    /// When the row is not that upload's.
    pub fn open_upload(
        &self,
        key: &ObjectKey,
        upload: VersionId,
        sealed: &[u8],
    ) -> Result<UploadFacts, KeyError> {
        self.open(RowKind::Upload, key, upload, sealed)
    }

    /// Seals what is sealed of a part.
    pub fn seal_part(
        &self,
        key: &ObjectKey,
        upload: VersionId,
        number: u32,
        facts: &PartFacts,
    ) -> Bytes {
        self.seal(RowKind::Part(number), key, upload, facts)
    }

    /// Opens what is sealed of a part.
    ///
    /// # Errors
    /// When the row is not that part's.
    pub fn open_part(
        &self,
        key: &ObjectKey,
        upload: VersionId,
        number: u32,
        sealed: &[u8],
    ) -> Result<PartFacts, KeyError> {
        self.open(RowKind::Part(number), key, upload, sealed)
    }

    /// The MAC of a manifest row that begins at `first`, of an object of `total` bytes.
    pub fn mac(
        &self,
        key: &ObjectKey,
        version: VersionId,
        total: ByteCount,
        first: ByteOffset,
        entries: &[ManifestEntry],
    ) -> Bytes {
        let parts = mac_parts(entries);
        let row = self.mac_row(key, version, total, first, &parts);
        Bytes::copy_from_slice(&self.manifest.mac(&row))
    }

    /// Verifies a manifest row.
    ///
    /// # Errors
    /// When it is not that version's as it was made.
    pub fn verify(
        &self,
        key: &ObjectKey,
        version: VersionId,
        total: ByteCount,
        row: &ManifestRow,
    ) -> Result<(), KeyError> {
        if row.entries.len() > ROW_PARTS {
            return Err(KeyError::Refused);
        }
        let parts = mac_parts(&row.entries);
        let over = self.mac_row(key, version, total, row.first, &parts);
        let verified = self.manifest.verify(&over, &row.mac);
        verified.map_err(|_| KeyError::Refused)
    }

    fn mac_row<'a>(
        &self,
        key: &'a ObjectKey,
        version: VersionId,
        total: ByteCount,
        first_offset: ByteOffset,
        parts: &'a [ManifestPart],
    ) -> manifest::ManifestRow<'a> {
        let end = parts.last().map(|part| part.object_end);
        manifest::ManifestRow {
            bucket: self.bucket,
            key,
            version,
            first_offset,
            total,
            last: end == Some(ByteOffset::ZERO + total),
            parts,
        }
    }

    /// Seals the bucket's tags for their row.
    pub fn seal_bucket_tags(&self, tags: &Tags) -> Bytes {
        row::seal_bucket_tags(
            &*self.provider,
            &self.row,
            self.bucket,
            &codec::encode(tags),
        )
    }

    /// Opens the bucket's tags.
    ///
    /// # Errors
    /// When the row is not that bucket's.
    pub fn open_bucket_tags(&self, sealed: &[u8]) -> Result<Tags, KeyError> {
        let plain = row::open_bucket_tags(&*self.provider, &self.row, self.bucket, sealed);
        let plain = plain.map_err(|_| KeyError::Refused)?;
        codec::decode(&plain).map_err(|_| KeyError::Refused)
    }

    fn seal<T: Serialize>(
        &self,
        kind: RowKind,
        key: &ObjectKey,
        version: VersionId,
        value: &T,
    ) -> Bytes {
        let context = self.context(kind, key, version);
        row::seal_row(&*self.provider, &self.row, &context, &codec::encode(value))
    }

    fn open<T: DeserializeOwned>(
        &self,
        kind: RowKind,
        key: &ObjectKey,
        version: VersionId,
        sealed: &[u8],
    ) -> Result<T, KeyError> {
        let context = self.context(kind, key, version);
        let plain = row::open_row(&*self.provider, &self.row, &context, sealed);
        let plain = plain.map_err(|_| KeyError::Refused)?;
        codec::decode(&plain).map_err(|_| KeyError::Refused)
    }

    fn context<'a>(&self, kind: RowKind, key: &'a ObjectKey, version: VersionId) -> RowContext<'a> {
        RowContext {
            kind,
            bucket: self.bucket,
            key,
            version,
        }
    }
}

fn mac_parts(entries: &[ManifestEntry]) -> Vec<ManifestPart> {
    let part = |entry: &ManifestEntry| ManifestPart {
        number: entry.part,
        blob: entry.blob,
        blob_offset: entry.offset,
        object_end: entry.end,
    };
    entries.iter().map(part).collect()
}
