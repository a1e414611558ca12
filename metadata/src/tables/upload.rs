//! What is in the rows of multipart uploads, and of objects of several pieces.
//!
//! ```text
//! upload --parts come, in any order--> completed: the part rows stay, head and manifest are written
//!    |                                     `-- replaced or deleted --> swept, after a while
//!    `-- aborted, expired, its bucket deleted -----------------------> swept
//! ```
//!
//! A part row is under the upload's id, which is the id of the version that it becomes: completing
//! rewrites none. A manifest row is what its MAC is over (`seal::manifest`), and nothing of it is
//! secret; what belongs to a part's ETag, or to a name, is sealed.

use super::unescape;
use crate::command::SealedTags;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::id::{BlobId, BucketId, VersionId};
use types::name::ObjectKey;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::WallTime;

/// A multipart upload under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRow {
    /// Its id.
    pub upload: VersionId,
    /// When it began, for display.
    pub initiated: WallTime,
    /// Cluster time at which it began, in milliseconds.
    pub began_ms: u64,
    /// Owner, attributes and choice of checksum, sealed.
    pub sealed: Bytes,
    /// The object's tags, sealed as the object will keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<SealedTags>,
}

/// A part of an upload, or of the object that it has become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRow {
    /// The revision that made it.
    pub born: u64,
    /// When it was committed, for display.
    pub modified: WallTime,
    /// Its length: the pieces' together.
    pub length: ByteCount,
    /// ETag and checksums, sealed.
    pub sealed: Bytes,
    /// What it shows, in order: one piece where it was uploaded, up to 256 where it was copied. Only
    /// the one piece of an empty part is empty.
    pub pieces: Vec<PieceRow>,
}

/// A piece of a blob that a part shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceRow {
    /// Whose bytes.
    pub blob: BlobId,
    /// Where in the blob it begins.
    pub offset: ByteOffset,
    /// How long it is.
    pub length: ByteCount,
    /// The blob's key, wrapped for this reference: version, part number and length.
    pub wrap: Bytes,
}

/// What a head says of its manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestHead {
    /// How many parts the object has.
    pub parts: u32,
}

/// Some consecutive pieces of an object; where the last of them ends is in the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRow {
    /// Where in the object the first piece begins.
    pub first: ByteOffset,
    /// The MAC of `seal::manifest`.
    pub mac: Bytes,
    /// The pieces, in order: 1 to 256.
    pub entries: Vec<ManifestEntry>,
}

/// A piece as a manifest row has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Number of the part that it belongs to; a part of several pieces repeats it.
    pub part: u32,
    /// Whose bytes.
    pub blob: BlobId,
    /// Where in the blob it begins.
    pub offset: ByteOffset,
    /// Where in the object it ends.
    pub end: ByteOffset,
}

/// Parts to be swept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepRow {
    /// The revision of their death.
    pub born: u64,
    /// Of which numbers, rising; none: all that the version has, and its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Vec<u32>>,
}

/// The key of an upload, as [`super::UPLOADS`] has it. `None` when it is none.
pub fn unupload(row_key: &[u8]) -> Option<(BucketId, ObjectKey, u64)> {
    let (bucket, rest) = row_key.split_first_chunk()?;
    let (escaped, began) = rest.split_last_chunk()?;
    Some((
        BucketId::new(u64::from_be_bytes(*bucket)),
        unescape(escaped)?,
        u64::from_be_bytes(*began),
    ))
}
