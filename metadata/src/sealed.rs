//! What is inside the sealed values of rows that belong to uploads.
//!
//! Encoded by `types::codec`, then sealed under the bucket's key for one upload or part: stored for ever,
//! so a field may be added (with `#[serde(default)]`), none changed.

use serde::{Deserialize, Serialize};
use std::fmt;
use types::attributes::{Attributes, Checksum, ChecksumAlgorithm, ChecksumKind};
use types::size::ByteCount;

/// What is sealed of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadFacts {
    /// The user who began it.
    pub owner: String,
    /// Of the object to be; no ETag yet.
    pub attributes: Attributes,
    /// The checksum that every part must have, and how those of the parts become the object's.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
}

/// What is sealed of a part.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFacts {
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its checksums.
    pub checksums: Vec<Checksum>,
    /// Its length: the row's must be the same.
    pub length: ByteCount,
}

/// An ETag never prints by accident.
impl fmt::Debug for PartFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartFacts")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
