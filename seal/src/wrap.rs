//! Wraps: a key sealed under the key above it.
//!
//! ```text
//! suite (1) ‖ version of the wrapping key (4) ‖ nonce (12) ‖ ciphertext ‖ tag (16) ‖ commitment (32)
//! ```
//!
//! The associated data begins with the suite and says for what the key was wrapped:
//!
//! ```text
//! a version's reference   blob id (8) ‖ label digest (32) ‖ H(bucket id, key, version id) (32)
//!                         ‖ part number (4) ‖ length (8)
//! issued to a gateway     bucket (8) ‖ blob (8) ‖ session (8) ‖ expiry (8)
//! a KEK                   bucket (8) ‖ KEK version (4)
//! a server's slot         cluster id (16) ‖ node id (8)
//! ```
//!
//! So a row that was edited, swapped with another or rolled back to another object's does not open. The
//! four differ in length and cannot be taken for one another. The commitment is HKDF-SHA-256 of the
//! wrapped secret (`commit.rs`): one wrap cannot be made to open to two keys.

use crate::SUITE;
use crate::commit::{self, COMMITMENT};
use crate::key::{Kek, RingKey, RootKey};
use crate::provider::{OpenError, Provider, RawKey};
use bytes::Bytes;
use types::label::LengthPrefixed;
use types::secret::DataKey;
use types::{BlobId, BucketId, ByteCount, ClusterId, NodeId, ObjectKey, SessionId, VersionId};
use zeroize::Zeroizing;

const HEAD: usize = 1 + 4;

/// Why a wrap does not give its key. Nothing but `Version` is cured by trying again with other means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnwrapError {
    /// It is shorter than any wrap, or its secret has another length than such a key.
    #[error("{length} bytes are no wrap of such a key")]
    Malformed {
        /// How long it is.
        length: usize,
    },
    /// Made by a build that is too new.
    #[error("cipher suite {0} is not known to this build (it knows {SUITE})")]
    Suite(u8),
    /// Made under another version of the wrapping key, which must be fetched first.
    #[error("wrapped under version {wrapped} of the key, and version {given} was given")]
    Version {
        /// What the wrap says.
        wrapped: u32,
        /// What it was tried with.
        given: u32,
    },
    /// Damaged, made for something else, or under another key.
    #[error("the wrap does not open")]
    Refused(#[from] OpenError),
    /// It opens to a secret that is not the one committed to: forged.
    #[error("the wrap opens to another key than it commits to")]
    Commitment,
}

/// What an object version's reference to a blob is bound to.
#[derive(Clone, Debug)]
pub struct ReferenceContext<'a> {
    /// The blob whose key is wrapped.
    pub blob: BlobId,
    /// Digest of the bucket's label.
    pub label_digest: [u8; 32],
    /// The bucket.
    pub bucket: BucketId,
    /// The object's key.
    pub key: &'a ObjectKey,
    /// The version that refers.
    pub version: VersionId,
    /// Which part of a multipart object; 0 for a plain PUT.
    pub part: u32,
    /// Plaintext length of what is referred to.
    pub length: ByteCount,
}

/// What a data key just issued to a gateway is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssueContext {
    /// The bucket that it may be committed to.
    pub bucket: BucketId,
    /// The blob.
    pub blob: BlobId,
    /// The gateway's session.
    pub session: SessionId,
    /// Cluster time after which it is refused, in milliseconds.
    pub expires_ms: u64,
}

impl ReferenceContext<'_> {
    fn associated(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(85);
        bytes.push(SUITE);
        bytes.extend_from_slice(&self.blob.to_be_bytes());
        bytes.extend_from_slice(&self.label_digest);
        bytes.extend_from_slice(&object_digest(self.bucket, self.key, self.version));
        bytes.extend_from_slice(&self.part.to_be_bytes());
        bytes.extend_from_slice(&self.length.get().to_be_bytes());
        bytes
    }
}

impl IssueContext {
    fn associated(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(33);
        bytes.push(SUITE);
        bytes.extend_from_slice(&self.bucket.to_be_bytes());
        bytes.extend_from_slice(&self.blob.to_be_bytes());
        bytes.extend_from_slice(&self.session.to_be_bytes());
        bytes.extend_from_slice(&self.expires_ms.to_be_bytes());
        bytes
    }
}

/// H(bucket id, key, version id): SHA-256 over length-prefixed fields.
pub(crate) fn object_digest(bucket: BucketId, key: &ObjectKey, version: VersionId) -> [u8; 32] {
    let mut hash = LengthPrefixed::default();
    hash.field(&bucket.to_be_bytes());
    hash.field(key.as_str().as_bytes());
    hash.field(version.as_bytes());
    hash.finish()
}

/// Wraps a blob's key for the version that refers to it.
pub fn wrap_reference(
    provider: &dyn Provider,
    kek: &Kek,
    key: &DataKey,
    context: &ReferenceContext<'_>,
) -> Bytes {
    wrap(
        provider,
        under_kek(kek),
        &context.associated(),
        key.expose(),
    )
}

/// Unwraps a blob's key for a version that refers to it.
///
/// # Errors
/// When the wrap was made for anything else, or under another KEK.
pub fn unwrap_reference(
    provider: &dyn Provider,
    kek: &Kek,
    wrapped: &[u8],
    context: &ReferenceContext<'_>,
) -> Result<DataKey, UnwrapError> {
    let secret = unwrap(provider, under_kek(kek), &context.associated(), wrapped)?;
    Ok(DataKey::new(*exactly_a_key(&secret, wrapped)?))
}

/// Wraps a fresh blob's key for the gateway's way back at commit.
pub fn wrap_issued(
    provider: &dyn Provider,
    kek: &Kek,
    key: &DataKey,
    context: &IssueContext,
) -> Bytes {
    wrap(
        provider,
        under_kek(kek),
        &context.associated(),
        key.expose(),
    )
}

/// Unwraps what `wrap_issued` wrapped. Whether it has expired is the caller's to judge.
///
/// # Errors
/// When the wrap was issued for anything else, or under another KEK.
pub fn unwrap_issued(
    provider: &dyn Provider,
    kek: &Kek,
    wrapped: &[u8],
    context: &IssueContext,
) -> Result<DataKey, UnwrapError> {
    let secret = unwrap(provider, under_kek(kek), &context.associated(), wrapped)?;
    Ok(DataKey::new(*exactly_a_key(&secret, wrapped)?))
}

/// Wraps a bucket's KEK.
pub fn wrap_kek(provider: &dyn Provider, ring: &RingKey, kek: &Kek, bucket: BucketId) -> Bytes {
    let associated = kek_associated(bucket, kek.version());
    wrap(provider, under_ring(ring), &associated, kek.expose())
}

/// Unwraps version `version` of a bucket's KEK.
///
/// # Errors
/// When the wrap is of another bucket's or version's KEK, or under another ring key.
pub fn unwrap_kek(
    provider: &dyn Provider,
    ring: &RingKey,
    wrapped: &[u8],
    bucket: BucketId,
    version: u32,
) -> Result<Kek, UnwrapError> {
    let associated = kek_associated(bucket, version);
    let secret = unwrap(provider, under_ring(ring), &associated, wrapped)?;
    Ok(Kek::new(version, *exactly_a_key(&secret, wrapped)?))
}

/// Wraps the contents of a metadata server's slot: its storage key and ring keys, as it lays them out.
pub fn wrap_slot(
    provider: &dyn Provider,
    root: &RootKey,
    cluster: ClusterId,
    node: NodeId,
    contents: &[u8],
) -> Bytes {
    let associated = slot_associated(cluster, node);
    wrap(provider, under_root(root), &associated, contents)
}

/// Unwraps the contents of a metadata server's slot.
///
/// # Errors
/// When it is another server's or cluster's slot, or under another root key.
pub fn unwrap_slot(
    provider: &dyn Provider,
    root: &RootKey,
    wrapped: &[u8],
    cluster: ClusterId,
    node: NodeId,
) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
    let associated = slot_associated(cluster, node);
    unwrap(provider, under_root(root), &associated, wrapped)
}

/// The version of the key under which something was wrapped.
///
/// # Errors
/// When it is no wrap of this build's suite.
pub fn wrapping_version(wrapped: &[u8]) -> Result<u32, UnwrapError> {
    parse(wrapped).map(|wrap| wrap.version)
}

fn kek_associated(bucket: BucketId, version: u32) -> Vec<u8> {
    let mut bytes = vec![SUITE];
    bytes.extend_from_slice(&bucket.to_be_bytes());
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes
}

fn slot_associated(cluster: ClusterId, node: NodeId) -> Vec<u8> {
    let mut bytes = vec![SUITE];
    bytes.extend_from_slice(cluster.as_bytes());
    bytes.extend_from_slice(&node.to_be_bytes());
    bytes
}

/// A wrapping key with its version.
type Under<'a> = (u32, &'a RawKey);

fn under_kek(kek: &Kek) -> Under<'_> {
    (kek.version(), kek.expose())
}

fn under_ring(ring: &RingKey) -> Under<'_> {
    (ring.version(), ring.expose())
}

fn under_root(root: &RootKey) -> Under<'_> {
    (root.version(), root.expose())
}

fn wrap(provider: &dyn Provider, under: Under<'_>, associated: &[u8], secret: &[u8]) -> Bytes {
    let (version, key) = under;
    let mut wrapped =
        Vec::with_capacity(HEAD + secret.len() + types::block::SEAL_OVERHEAD + COMMITMENT);
    wrapped.push(SUITE);
    wrapped.extend_from_slice(&version.to_be_bytes());
    provider.seal_into(key, associated, secret, &mut wrapped);
    wrapped.extend_from_slice(&commit::commitment(secret));
    wrapped.into()
}

fn unwrap(
    provider: &dyn Provider,
    under: Under<'_>,
    associated: &[u8],
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
    let (given, key) = under;
    let wrap = parse(wrapped)?;
    if wrap.version != given {
        return Err(UnwrapError::Version {
            wrapped: wrap.version,
            given,
        });
    }
    let secret = Zeroizing::new(provider.open(key, associated, wrap.sealed)?);
    if commit::matches(wrap.commitment, &secret) {
        Ok(secret)
    } else {
        Err(UnwrapError::Commitment)
    }
}

struct Wrap<'a> {
    version: u32,
    sealed: &'a [u8],
    commitment: &'a [u8; COMMITMENT],
}

fn parse(wrapped: &[u8]) -> Result<Wrap<'_>, UnwrapError> {
    let malformed = UnwrapError::Malformed {
        length: wrapped.len(),
    };
    let (&suite, rest) = wrapped.split_first().ok_or(malformed)?;
    if suite != SUITE {
        return Err(UnwrapError::Suite(suite));
    }
    let (version, rest) = rest.split_first_chunk().ok_or(malformed)?;
    let (sealed, commitment) = rest.split_last_chunk().ok_or(malformed)?;
    Ok(Wrap {
        version: u32::from_be_bytes(*version),
        sealed,
        commitment,
    })
}

fn exactly_a_key<'a>(secret: &'a [u8], wrapped: &[u8]) -> Result<&'a RawKey, UnwrapError> {
    secret.try_into().map_err(|_| UnwrapError::Malformed {
        length: wrapped.len(),
    })
}
