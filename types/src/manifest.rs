//! Where the bytes of an object version are.
//!
//! An object version shows *extents* of blobs. A blob's *place* is a tagged union; the usual place is a
//! list of *runs*, consecutive chunk ids in one group.

use crate::id::{BlobId, ChunkId, GroupId};
use crate::placement::Slot;
use crate::profile::Profile;
use crate::secret::DataKey;
use crate::size::{ByteCount, ByteOffset};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// An object of at most this many bytes is sealed as one segment and kept in a metadata row.
pub const INLINE_LIMIT: u64 = 4 << 10;
/// A blob changes group every so many chunks, so that large blobs spread.
pub const CHUNKS_PER_RUN: u32 = 64;

/// Consecutive chunk ids of one blob in one group. Every chunk of it is full, but for the blob's last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The group that holds all of them.
    pub group: GroupId,
    /// Id of the first chunk.
    pub first_chunk: ChunkId,
    /// How many.
    pub chunks: u32,
    /// Index in the blob of the first chunk: it begins at plaintext offset `first_index × k × S × 64 KiB`.
    pub first_index: u64,
    /// Slots on which some chunk of this run may be missing; each is a repair task.
    #[serde(default)]
    pub missing: Vec<Slot>,
}

/// Where a blob's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Place {
    /// Sealed as one segment in a metadata row.
    Inline {
        /// nonce ‖ ciphertext ‖ tag.
        sealed: Bytes,
    },
    /// In chunks on disks.
    Runs {
        /// How each chunk is coded.
        profile: Profile,
        /// Sorted by `first_index`, without gaps; a lookup returns only those that it needs.
        runs: Vec<Run>,
    },
}

/// A piece of a blob as an object version shows it, with what it takes to open it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LocatedExtent {
    /// Where in the object it begins.
    pub object_offset: ByteOffset,
    /// Whose bytes.
    pub blob: BlobId,
    /// Where in the blob it begins.
    pub blob_offset: ByteOffset,
    /// How long it is.
    pub length: ByteCount,
    /// Length of the whole blob: it says which segment is the last.
    pub blob_length: ByteCount,
    /// The blob's data key.
    pub key: DataKey,
    /// Where the blob is.
    pub place: Place,
}
