//! Commands of multipart uploads.

use super::{CommittedPlace, Expected, SealedTags};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::ObjectKey;
use types::codec;
use types::id::{BlobId, BucketId, RequestId, VersionId};
use types::size::ByteCount;

/// Begin a multipart upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateUpload {
    /// Applied once.
    pub request: RequestId,
    /// Where.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// Never used before, by an upload or a version.
    pub upload: VersionId,
    /// The version of the bucket's key that all of this is sealed under.
    pub kek_version: u32,
    /// Owner, attributes and choice of checksum, sealed for this bucket, key and upload.
    pub sealed: Bytes,
    /// The object's tags, if it is to have any.
    pub tags: Option<SealedTags>,
}

/// Make a blob a part of an upload, in place of the part of that number if there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitPart {
    /// Applied once.
    pub request: RequestId,
    /// Where.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: VersionId,
    /// From 1.
    pub number: u32,
    /// Plaintext length of the part.
    pub length: ByteCount,
    /// The version of the bucket's key that `sealed` and `wrap` are sealed under.
    pub kek_version: u32,
    /// ETag and checksums, sealed for this bucket, key, upload and number.
    pub sealed: Bytes,
    /// The blob that it shows.
    pub blob: BlobId,
    /// The blob's data key, wrapped for this reference.
    pub wrap: Bytes,
    /// Cluster time at which the wrap that the gateway showed is refused.
    pub wrap_expires_ms: u64,
    /// Where the blob's bytes are.
    pub place: CommittedPlace,
}

/// Make an object of an upload's parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompleteUpload {
    /// Applied once.
    pub request: RequestId,
    /// Where.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: VersionId,
    /// The version of the bucket's key that `attributes` are sealed under, and `macs` made.
    pub kek_version: u32,
    /// `types::Attributes`, sealed for this bucket, key and version.
    pub attributes: Bytes,
    /// Number and revision of each part, by rising number. In pairs, not under names: 10 000 of them
    /// fit in a command.
    pub parts: Vec<(u32, u64)>,
    /// The MAC of each row of the manifest, as the proposer laid it out from the same parts.
    pub macs: Vec<Bytes>,
    /// What it replaces; none: whatever there is.
    #[serde(default, skip_serializing_if = "codec::is_default")]
    pub expected: Option<Expected>,
}
