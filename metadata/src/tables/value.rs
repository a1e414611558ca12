//! What is in a row.

use super::upload::ManifestHead;
use crate::asked::Asked;
use crate::reply::Reply;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::id::{BlobId, ChunkId, NodeId, VersionId};
use types::manifest::Run;
use types::placement::Epoch;
use types::profile::Profile;
use types::size::{ByteCount, ByteOffset};
use types::wire::members::ServerRole;
use types::wire::metadata::{Bucket, WallTime};

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// When it was admitted, as the proposer's wall had it.
    pub admitted: WallTime,
    /// What it is for, where it joined by a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<ServerRole>,
    /// Where others reach it, as it said when it joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Since when it is no more of the cluster, as the proposer's wall had it. Its row stays: its id is not used
    /// again, and its certificate opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<WallTime>,
}

/// A token with which one server may join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// What the server is for.
    pub role: ServerRole,
    /// Cluster time from which it is expired.
    pub expires_ms: u64,
    /// Who joined by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<TokenUse>,
}

/// Who joined by a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUse {
    /// SHA-256 of the public key.
    #[serde(with = "serde_bytes")]
    pub key: [u8; 32],
    /// The id.
    pub node: NodeId,
}

/// A bucket's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KekRow {
    /// Wrapped under the ring key.
    pub wrapped: Bytes,
}

/// A profile whose groups are all made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutRow {
    /// When the last was, as the proposer's wall had it.
    pub completed: WallTime,
}

/// Cluster time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockRow {
    /// Milliseconds of running since the cluster was made.
    pub now_ms: u64,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Whose.
    pub gateway: NodeId,
    /// Cluster time from which it is expired.
    pub expires_ms: u64,
    /// Requests below this have been answered.
    pub answered_below: u64,
    /// No answer below this is stored any more.
    #[serde(default, skip_serializing_if = "types::codec::is_default")]
    pub forgotten_below: u64,
}

/// The answer to a numbered request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyRow {
    /// To what.
    pub asked: Asked,
    /// The answer.
    pub reply: Reply,
}

/// A range of chunk ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRow {
    /// The first.
    pub first: ChunkId,
    /// How many.
    pub count: u64,
    /// Cluster time at which it was taken.
    pub opened_ms: u64,
}

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketRow {
    /// As the service tells of it.
    pub bucket: Bucket,
    /// The version of its key that new objects use.
    pub kek_version: u32,
    /// Versions of its key that commits may still be sealed under.
    pub live_keks: Vec<u32>,
    /// The revision that made it.
    pub born: u64,
}

/// A bucket's id while there is no bucket of that id.
///
/// ```text
/// reserved --MakeBucket--> a bucket's --DeleteBucket--> retired --its keys destroyed--> forgotten
///     `--------------RetireBucketId----------------------^
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BucketIdRow {
    /// A key may be installed and the bucket made.
    Reserved {
        /// Cluster time at which it was.
        since_ms: u64,
    },
    /// No bucket is made under it any more: its keys are to be destroyed.
    Retired,
}

/// The current version of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRow {
    /// Its id.
    pub version: VersionId,
    /// The revision that made it.
    pub born: u64,
    /// When it was committed, for display.
    pub modified: WallTime,
    /// Length of the object.
    pub length: ByteCount,
    /// `types::Attributes`, sealed; it names the version of the bucket's key.
    pub attributes: Bytes,
    /// What it shows, in order; empty where a manifest says it.
    pub extents: Vec<ExtentRow>,
    /// What it was uploaded or copied as in parts: then table `manifests` says what it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestHead>,
    /// How many tags it has, in table `tags`.
    #[serde(default, skip_serializing_if = "types::codec::is_default")]
    pub tag_count: u32,
}

/// A piece of a blob that a version shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtentRow {
    /// Whose bytes.
    pub blob: BlobId,
    /// Where in the blob it begins.
    pub offset: ByteOffset,
    /// How long it is.
    pub length: ByteCount,
    /// Number of the part that it came from; 0 for a plain PUT.
    pub part: u32,
    /// The blob's key, wrapped for this reference; it names the version of the bucket's key.
    pub wrap: Bytes,
}

/// A version id in use: an object version's, or an upload's that may become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    /// The revision that made it.
    pub born: u64,
    /// The revision that replaced or deleted it, or gave the upload up.
    pub superseded: Option<u64>,
    /// The revision at which it began as an upload: it finds the upload's row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<u64>,
    /// Length of a replaced or deleted object that has a manifest, until that is swept: a reader that
    /// names the version may go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<ByteCount>,
    /// Cluster time at which a plain object was replaced or deleted: it finds the row in table `pasts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_ms: Option<u64>,
}

/// A blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRow {
    /// Plaintext length.
    pub length: ByteCount,
    /// How many extents show it. It never rises from zero.
    pub references: u32,
    /// Raised by each change of place.
    pub generation: u64,
    /// Where it is. Of a condemned blob: where some of it may still be.
    pub place: BlobPlace,
    /// Cluster time of its death, once it is condemned: nobody may read it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condemned: Option<u64>,
}

/// Where a blob is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BlobPlace {
    /// In table `inline`.
    Inline,
    /// In chunks.
    Runs {
        /// How they are coded.
        profile: Profile,
        /// Sorted by `first_index`, without gaps.
        runs: Vec<Run>,
    },
}

/// A run as its group sees it. Its last chunk is in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRunRow {
    /// Its first chunk.
    pub first: ChunkId,
    /// Whose bytes.
    pub blob: BlobId,
    /// Disks are told to remove it.
    #[serde(default, skip_serializing_if = "types::codec::is_default")]
    pub condemned: bool,
}

/// A group as commits see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupEpochRow {
    /// Its epoch.
    pub epoch: Epoch,
    /// The profile of its chunks.
    pub profile: Profile,
    /// For each slot the epoch that last closed or moved it.
    pub changed: Vec<Epoch>,
}

/// Shards of one slot of a run that may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairRow {
    /// How many chunks the run has.
    pub chunks: u32,
    /// Whose bytes.
    pub blob: BlobId,
    /// The revision that recorded it.
    pub born: u64,
}

/// Deletions are held: what the backup does not know of is not taken for dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRow {
    /// When the metadata was restored, for display.
    pub since: WallTime,
    /// The last entry of the log that the backup holds.
    pub entry: u64,
}

/// A dead blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReclaimRow {
    /// The revision of its death.
    pub born: u64,
}
