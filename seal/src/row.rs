//! Sealed row values, as metadata rows keep them: attributes and tags of an object version, what belongs
//! to a multipart upload or a part of it, a bucket's tags.
//!
//! ```text
//! sealed row       suite (1) ‖ KEK version (4) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
//! associated data  suite (1) ‖ KEK version (4) ‖ kind (1) ‖ H(bucket id, key, version id) (32)
//!   a part's       … ‖ part number (4)
//!   a bucket's     suite (1) ‖ KEK version (4) ‖ kind (1) ‖ bucket id (8)
//! key              HKDF-SHA-256 of the bucket's KEK
//! ```
//!
//! A value copied into another object's row, another version's or another kind of row does not open.

use crate::SUITE;
use crate::commit::{self, Purpose};
use crate::key::Kek;
use crate::provider::{OpenError, Provider};
use crate::wrap::object_digest;
use bytes::Bytes;
use types::block::SEAL_OVERHEAD;
use types::{BucketId, ObjectKey, VersionId};
use zeroize::Zeroizing;

const HEAD: usize = 1 + 4;
/// Of a bucket's tags; beside the ids of [`RowKind`].
const BUCKET_TAGS: u8 = 3;

/// Why a row does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// Shorter than any sealed row.
    #[error("{length} bytes are no sealed row")]
    Malformed {
        /// How long it is.
        length: usize,
    },
    /// Written by a build that is too new.
    #[error("cipher suite {0} is not known to this build (it knows {SUITE})")]
    Suite(u8),
    /// Sealed under another version of the KEK, which must be fetched first.
    #[error("sealed under KEK version {sealed}, and version {given} was given")]
    Version {
        /// What the row says.
        sealed: u32,
        /// What it was tried with.
        given: u32,
    },
    /// Damaged, another row's, or under another key.
    #[error("the row does not open")]
    Refused(#[from] OpenError),
}

/// What a sealed value holds. An id never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RowKind {
    /// `types::Attributes`.
    Attributes,
    /// The tags of an object version.
    Tags,
    /// What is sealed of a multipart upload.
    Upload,
    /// What is sealed of a part of that number.
    Part(u32),
}

impl RowKind {
    fn id(self) -> u8 {
        match self {
            Self::Attributes => 1,
            Self::Tags => 2,
            Self::Upload => 4,
            Self::Part(_) => 5,
        }
    }

    /// The part's number, of a part.
    fn number(self) -> Option<u32> {
        match self {
            Self::Part(number) => Some(number),
            Self::Attributes | Self::Tags | Self::Upload => None,
        }
    }
}

/// Where a sealed value belongs.
#[derive(Clone, Debug)]
pub struct RowContext<'a> {
    /// What it holds.
    pub kind: RowKind,
    /// The bucket.
    pub bucket: BucketId,
    /// The object's key.
    pub key: &'a ObjectKey,
    /// The version.
    pub version: VersionId,
}

/// The key for a bucket's rows under one KEK. Kept beside the KEK: deriving costs some microseconds.
pub struct RowKey {
    version: u32,
    raw: Zeroizing<[u8; 32]>,
}

impl RowKey {
    /// Derives it.
    pub fn derive(kek: &Kek) -> Self {
        Self {
            version: kek.version(),
            raw: commit::derive(kek.expose(), None, Purpose::Row),
        }
    }

    /// The KEK's version.
    pub fn version(&self) -> u32 {
        self.version
    }

    fn associated(&self, context: &RowContext<'_>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + 1 + 32);
        bytes.push(SUITE);
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.push(context.kind.id());
        let object = object_digest(context.bucket, context.key, context.version);
        bytes.extend_from_slice(&object);
        if let Some(number) = context.kind.number() {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes
    }
}

/// What the tags of a bucket are bound to: shorter than what belongs to an object version.
fn of_bucket(key: &RowKey, bucket: BucketId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + 1 + 8);
    bytes.push(SUITE);
    bytes.extend_from_slice(&key.version.to_be_bytes());
    bytes.push(BUCKET_TAGS);
    bytes.extend_from_slice(&bucket.to_be_bytes());
    bytes
}

/// Seals a value for its row.
pub fn seal_row(
    provider: &dyn Provider,
    key: &RowKey,
    context: &RowContext<'_>,
    plain: &[u8],
) -> Bytes {
    seal(provider, key, &key.associated(context), plain)
}

/// Seals the tags of a bucket.
pub fn seal_bucket_tags(
    provider: &dyn Provider,
    key: &RowKey,
    bucket: BucketId,
    plain: &[u8],
) -> Bytes {
    seal(provider, key, &of_bucket(key, bucket), plain)
}

fn seal(provider: &dyn Provider, key: &RowKey, associated: &[u8], plain: &[u8]) -> Bytes {
    let mut sealed = Vec::with_capacity(HEAD + plain.len() + SEAL_OVERHEAD);
    sealed.push(SUITE);
    sealed.extend_from_slice(&key.version.to_be_bytes());
    provider.seal_into(&key.raw, associated, plain, &mut sealed);
    sealed.into()
}

/// Opens a row's value.
///
/// # Errors
/// When it is not that row's value as it was sealed, or was sealed under another KEK.
pub fn open_row(
    provider: &dyn Provider,
    key: &RowKey,
    context: &RowContext<'_>,
    sealed: &[u8],
) -> Result<Vec<u8>, RowError> {
    open(provider, key, &key.associated(context), sealed)
}

/// Opens the tags of a bucket.
///
/// # Errors
/// When they are not that bucket's as they were sealed, or were sealed under another KEK.
pub fn open_bucket_tags(
    provider: &dyn Provider,
    key: &RowKey,
    bucket: BucketId,
    sealed: &[u8],
) -> Result<Vec<u8>, RowError> {
    open(provider, key, &of_bucket(key, bucket), sealed)
}

fn open(
    provider: &dyn Provider,
    key: &RowKey,
    associated: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, RowError> {
    let (version, body) = parse(sealed)?;
    if version != key.version {
        return Err(RowError::Version {
            sealed: version,
            given: key.version,
        });
    }
    Ok(provider.open(&key.raw, associated, body)?)
}

/// The version of the KEK under which a row was sealed.
///
/// # Errors
/// When it is no sealed row of this build's suite.
pub fn kek_version(sealed: &[u8]) -> Result<u32, RowError> {
    parse(sealed).map(|(version, _)| version)
}

fn parse(sealed: &[u8]) -> Result<(u32, &[u8]), RowError> {
    let malformed = RowError::Malformed {
        length: sealed.len(),
    };
    let (&suite, rest) = sealed.split_first().ok_or(malformed)?;
    if suite != SUITE {
        return Err(RowError::Suite(suite));
    }
    let (version, body) = rest.split_first_chunk().ok_or(malformed)?;
    Ok((u32::from_be_bytes(*version), body))
}
