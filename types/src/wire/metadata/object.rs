//! Objects: written, deleted, found.

use super::{Condition, Tags, WallTime};
use crate::attributes::Attributes;
use crate::id::{BlobId, BucketId, ChunkId, GroupId, LeaseId, RequestId, VersionId};
use crate::manifest::LocatedExtent;
use crate::name::ObjectKey;
use crate::placement::{Epoch, Slot};
use crate::profile::Profile;
use crate::size::{ByteCount, ByteOffset};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A run as its writer commits it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenRun {
    /// The lease that its chunk ids are from.
    pub lease: LeaseId,
    /// The group.
    pub group: GroupId,
    /// The epoch under which its shards were acknowledged.
    pub epoch: Epoch,
    /// The first chunk id.
    pub first_chunk: ChunkId,
    /// How many.
    pub chunks: u32,
    /// Index in the blob of the first chunk.
    pub first_index: u64,
    /// Slots that did not acknowledge some chunk of the run. An empty shard is never missing.
    pub missing: Vec<Slot>,
}

/// Where the writer put a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WrittenPlace {
    /// Sealed as one segment, to be kept in a row.
    Inline {
        /// nonce ‖ ciphertext ‖ tag.
        sealed: Bytes,
    },
    /// In chunks.
    Runs {
        /// How they are coded.
        profile: Profile,
        /// Sorted by `first_index`, without gaps.
        runs: Vec<WrittenRun>,
    },
}

/// Make an object version visible: wholly, or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitObject {
    /// Applied once.
    pub request: RequestId,
    /// Where.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// The version's id, drawn at random by the gateway.
    pub version: VersionId,
    /// What HEAD will say.
    pub attributes: Attributes,
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
    /// Its tags.
    #[serde(default, skip_serializing_if = "crate::codec::is_default")]
    pub tags: Tags,
    /// What must hold of the version that it replaces.
    #[serde(default, skip_serializing_if = "crate::codec::is_default")]
    pub condition: Condition,
}

/// Delete an object. Deleting what is not there succeeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteObject {
    /// Applied once.
    pub request: RequestId,
    /// Where.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// What must hold of the version that is deleted.
    #[serde(default, skip_serializing_if = "crate::codec::is_default")]
    pub condition: Condition,
}

/// Set the tags of an object's current version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetTags {
    /// Applied once.
    pub request: RequestId,
    /// Where.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// All of its tags from now on.
    pub tags: Tags,
}

/// The part of an object that a reader wants located.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// Attributes and length alone: no key is unwrapped.
    Nothing,
    /// All of it.
    All,
    /// From a position to the end, or as far as there is.
    From(ByteOffset),
    /// `length` bytes from a position, or as far as there is.
    Range(ByteOffset, ByteCount),
    /// The last so many bytes, or all where there are fewer.
    Last(ByteCount),
    /// The bytes of the part of that number; a plain object is one part, number 1. `NoSuchPart` when
    /// there is none.
    Part(u32),
}

/// Look an object up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// Where.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// What of it.
    pub wanted: Wanted,
    /// This version, and no other: of one that was replaced or deleted meanwhile only extents are told, and
    /// only until the reclaim delay is over. `NoSuchObject` when it is not to be had.
    #[serde(default, skip_serializing_if = "crate::codec::is_default")]
    pub version: Option<VersionId>,
}

/// An object as a lookup found it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Located {
    /// The version.
    pub version: VersionId,
    /// Length of the object.
    pub length: ByteCount,
    /// When it was committed.
    pub modified: WallTime,
    /// What HEAD says.
    pub attributes: Attributes,
    /// Where what was wanted begins.
    #[serde(default, skip_serializing_if = "crate::codec::is_default")]
    pub first: ByteOffset,
    /// How long it is.
    #[serde(default, skip_serializing_if = "crate::codec::is_default")]
    pub wanted: ByteCount,
    /// How many parts it was uploaded in; 0 for a plain PUT.
    #[serde(default, skip_serializing_if = "crate::codec::is_default")]
    pub parts: u32,
    /// How many tags it has.
    #[serde(default, skip_serializing_if = "crate::codec::is_default")]
    pub tags: u32,
    /// The extents that cover what was wanted, in order; empty when that has no bytes. At most
    /// [`MAX_EXTENTS`]: when they end before what was wanted does, ask on from there for this version.
    pub extents: Vec<LocatedExtent>,
    /// For how long the extents may be read, in milliseconds, counted from when the lookup was *asked*; who
    /// reads longer looks this very version up again before that. 0: not said.
    #[serde(default, skip_serializing_if = "crate::codec::is_default")]
    pub valid_for_ms: u64,
}

/// Most extents that one lookup tells of.
pub const MAX_EXTENTS: usize = 128;

/// Most lookups in one call.
pub const MAX_LOOKUPS: usize = 64;
