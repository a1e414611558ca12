//! Listings of objects.

use super::WallTime;
use crate::attributes::{ChecksumAlgorithm, ChecksumKind};
use crate::id::BucketId;
use crate::name::ObjectKey;
use crate::size::ByteCount;
use serde::{Deserialize, Serialize};
use std::fmt;

/// List a bucket in byte order of its keys.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Which.
    pub bucket: BucketId,
    /// Only keys that begin with this.
    pub prefix: String,
    /// Keys that share prefix up to and including the first delimiter behind `prefix` are one entry.
    pub delimiter: Option<String>,
    /// Only entries behind this key or common prefix (a common prefix given here skips all it covers).
    pub after: Option<String>,
    /// At most so many entries, objects and common prefixes together; 0 to 1000.
    pub limit: u32,
}

/// What is asked for are beginnings of keys: like keys they never print.
impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List")
            .field("bucket", &self.bucket)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// One entry of a listing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListEntry {
    /// An object.
    Object {
        /// Its key.
        key: ObjectKey,
        /// Its length.
        length: ByteCount,
        /// When it was committed.
        modified: WallTime,
        /// Its ETag, without quotes.
        etag: String,
        /// The checksums that it is stored with.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        checksums: Vec<(ChecksumAlgorithm, ChecksumKind)>,
    },
    /// All keys that begin so.
    CommonPrefix(String),
}

/// A common prefix is the beginning of a key: like keys it never prints; nor does an ETag, which is kept
/// sealed.
impl fmt::Debug for ListEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { length, .. } => f
                .debug_struct("Object")
                .field("length", length)
                .finish_non_exhaustive(),
            Self::CommonPrefix(_) => f.write_str("CommonPrefix(..)"),
        }
    }
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPage {
    /// In byte order.
    pub entries: Vec<ListEntry>,
    /// Whether more follow. `after` = the last entry's key or prefix goes on there.
    pub truncated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names may be classified above whoever reads a log: nothing that is listed prints by accident.
    #[test]
    fn listings_print_no_name() {
        let planted = || "planted".to_owned();
        let list = List {
            bucket: BucketId::new(1),
            prefix: planted(),
            delimiter: Some(planted()),
            after: Some(planted()),
            limit: 7,
        };
        let object = ListEntry::Object {
            key: planted().try_into().unwrap(),
            length: ByteCount::new(5),
            modified: WallTime(0),
            etag: planted(),
            checksums: Vec::new(),
        };
        let page = ListPage {
            entries: vec![object, ListEntry::CommonPrefix(planted())],
            truncated: false,
        };
        for text in [format!("{list:?}"), format!("{page:?}")] {
            assert!(!text.contains("planted"), "{text}");
        }
    }
}
