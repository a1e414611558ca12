//! Multipart uploads.
//!
//! An upload's id is the id of the version that it becomes, so that a part's data key is wrapped once
//! and for all: completing moves no data and wraps nothing again. Parts are blobs like any other.

use super::{Condition, Tags, WallTime, WrittenPlace};
use crate::attributes::{Attributes, Checksum, ChecksumAlgorithm, ChecksumKind};
use crate::id::{BlobId, BucketId, RequestId, VersionId};
use crate::name::ObjectKey;
use crate::size::ByteCount;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Begin an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateUpload {
    /// Applied once.
    pub request: RequestId,
    /// Where.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// Its id, drawn at random by the gateway.
    pub upload: VersionId,
    /// The user who begins it.
    pub owner: String,
    /// Content headers and user metadata of the object to be; no ETag yet.
    pub attributes: Attributes,
    /// The checksum that every part must have, and how those of the parts become the object's.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
    /// The object's tags.
    pub tags: Tags,
}

/// An upload under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Its id.
    pub id: VersionId,
    /// Under which key.
    pub key: ObjectKey,
    /// When it began.
    pub initiated: WallTime,
    /// Who began it.
    pub owner: String,
    /// As it was created.
    pub attributes: Attributes,
    /// As it was created.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
}

/// Make a blob a part of an upload, in place of the part of that number if there is one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitPart {
    /// Applied once.
    pub request: RequestId,
    /// Where.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: VersionId,
    /// 1 to 10 000.
    pub number: u32,
    /// The part's ETag, without quotes: the hex MD5 of its bytes.
    pub etag: String,
    /// Checksums over its bytes.
    pub checksums: Vec<Checksum>,
    /// The blob that was issued.
    pub blob: BlobId,
    /// Its wrap, as issued.
    pub wrap: Bytes,
    /// The `expires_ms` that the wrap was issued with.
    pub wrap_expires_ms: u64,
    /// Plaintext length.
    pub length: ByteCount,
    /// Where its bytes are.
    pub place: WrittenPlace,
}

/// An ETag is kept sealed: it never prints by accident.
impl fmt::Debug for CommitPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitPart")
            .field("request", &self.request)
            .field("upload", &self.upload)
            .field("number", &self.number)
            .field("blob", &self.blob)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// The parts of an upload, or of the object that it has become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListParts {
    /// Where.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// The upload, or the current version of the object. `NoSuchUpload` when it is neither.
    pub upload: VersionId,
    /// Only parts of a higher number.
    pub after: u32,
    /// At most so many; 0 to 10 000.
    pub limit: u32,
}

/// A part.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its number.
    pub number: u32,
    /// How long it is.
    pub length: ByteCount,
    /// When it was committed.
    pub modified: WallTime,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its checksums.
    pub checksums: Vec<Checksum>,
    /// The revision that made it: a part that is uploaded again has another one.
    pub born: u64,
}

/// An ETag is kept sealed: it never prints by accident.
impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("number", &self.number)
            .field("length", &self.length)
            .field("born", &self.born)
            .finish_non_exhaustive()
    }
}

/// One page of parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartPage {
    /// The upload; none when it has become an object.
    pub upload: Option<Upload>,
    /// In order of number; of an object only those that it shows.
    pub parts: Vec<Part>,
    /// Whether more follow.
    pub truncated: bool,
}

/// Make an object of an upload's parts: one command, whatever their number.
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
    /// The parts that it shows, by rising number; 1 to 10 000 of them. Parts that are not named are
    /// dead.
    pub parts: Vec<ChosenPart>,
    /// What HEAD will say: the upload's, with ETag and checksums.
    pub attributes: Attributes,
    /// What must hold of the version that it replaces.
    pub condition: Condition,
}

/// A part as the gateway saw it. `PartChanged` when it has been uploaded again since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenPart {
    /// Its number.
    pub number: u32,
    /// Its revision.
    pub born: u64,
}

/// Give an upload up: its parts are dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbortUpload {
    /// Applied once.
    pub request: RequestId,
    /// Where.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: VersionId,
}

/// List the uploads under way in a bucket, by key, those of one key by the time they began.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListUploads {
    /// Which.
    pub bucket: BucketId,
    /// Only keys that begin with this.
    pub prefix: String,
    /// As in [`super::List`].
    pub delimiter: Option<String>,
    /// Only behind this key (all its uploads), or common prefix.
    pub after: Option<String>,
    /// With `after`: of that key, too, the uploads behind this one.
    pub after_upload: Option<VersionId>,
    /// At most so many entries; 0 to 1000.
    pub limit: u32,
}

/// What is asked for are beginnings of keys: like keys they never print.
impl fmt::Debug for ListUploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListUploads")
            .field("bucket", &self.bucket)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// One entry of a listing of uploads.
#[allow(clippy::large_enum_variant, reason = "nearly all entries are uploads")]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UploadEntry {
    /// An upload.
    Upload(Upload),
    /// All keys that begin so.
    CommonPrefix(String),
}

/// Beginnings of keys never print.
impl fmt::Debug for UploadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upload(upload) => write!(f, "Upload({})", upload.id),
            Self::CommonPrefix(_) => f.write_str("CommonPrefix(..)"),
        }
    }
}

/// One page of uploads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadPage {
    /// In order.
    pub entries: Vec<UploadEntry>,
    /// Whether more follow.
    pub truncated: bool,
}
