//! One bucket's key: what it seals, wraps and verifies.
//!
//! Each thing is bound to the place that it is for: a value opens in its own row alone, a data key by its own
//! reference, a manifest row verifies as its own version's.

use super::KeyError;
use crate::sealed::{PartFacts, UploadFacts};
use crate::tables::{ManifestEntry, ManifestRow};
use bytes::Bytes;
use seal::key::random_data_key;
use seal::manifest::{self, ManifestKey, ManifestPart, ROW_PARTS};
use seal::row::{self, RowContext, RowKey, RowKind};
use seal::wrap::{self, IssueContext, ReferenceContext};
use seal::{Kek, Provider};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;
use types::attributes::Attributes;
use types::codec;
use types::id::{BucketId, VersionId};
use types::name::ObjectKey;
use types::secret::DataKey;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::Tags;

/// One version of one bucket's key.
pub struct BucketKey {
    provider: Arc<dyn Provider>,
    bucket: BucketId,
    kek: Kek,
    row: RowKey,
    manifest: ManifestKey,
}

impl BucketKey {
    pub(super) fn new(provider: Arc<dyn Provider>, bucket: BucketId, kek: Kek) -> Self {
        Self {
            provider,
            bucket,
            row: RowKey::derive(&kek),
            manifest: ManifestKey::derive(&kek),
            kek,
        }
    }

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
