//! The metadata service as a gateway sees it.
//!
//! A gateway opens a *session*, takes *write leases* (ranges of chunk ids) and *issued blobs* (an id
//! with its data key and a short-lived wrap), writes shards, and commits. Its commits are numbered: the
//! same number again gets the same answer and changes nothing.

use crate::attributes::Attributes;
use crate::id::{
    BlobId, BucketId, ChunkId, GroupId, LeaseId, NodeId, RequestId, SessionId, TenantId, VersionId,
};
use crate::label::Label;
use crate::manifest::LocatedExtent;
use crate::name::{BucketName, ObjectKey};
use crate::placement::{Epoch, GroupTable, Slot};
use crate::profile::Profile;
use crate::secret::DataKey;
use crate::size::{ByteCount, ByteOffset};
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Milliseconds since 1970, UTC. For display and signatures; it decides nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub u64);

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its id.
    pub id: BucketId,
    /// Whose.
    pub tenant: TenantId,
    /// The access key that made it.
    pub owner: String,
    /// Its name.
    pub name: BucketName,
    /// Its one label.
    pub label: Label,
    /// How its objects are coded.
    pub profile: Profile,
    /// When it was made.
    pub created: WallTime,
}

/// Make a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateBucket {
    /// Applied once.
    pub request: RequestId,
    /// Whose.
    pub tenant: TenantId,
    /// Who makes it.
    pub owner: String,
    /// Unique per label.
    pub name: BucketName,
    /// Its label.
    pub label: Label,
    /// How its objects are coded; none: the cluster's default.
    pub profile: Option<Profile>,
}

/// Delete a bucket, which must be empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteBucket {
    /// Applied once.
    pub request: RequestId,
    /// Which.
    pub bucket: BucketId,
}

/// A session: how long it lives without a renewal, in cluster time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Renew well before this has passed.
    pub ttl_ms: u64,
}

/// A range of chunk ids that this gateway alone may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteLease {
    /// Its id.
    pub id: LeaseId,
    /// The first chunk id.
    pub first: ChunkId,
    /// How many.
    pub count: u64,
    /// New uploads may begin on it for so long.
    pub opens_for_ms: u64,
    /// It ends after so long unless renewed.
    pub ttl_ms: u64,
}

/// A blob id with its fresh data key and the proof that the service issued it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedBlob {
    /// The id.
    pub blob: BlobId,
    /// Its key.
    pub key: DataKey,
    /// The key, wrapped for this bucket, blob, session and expiry. Returned at commit.
    pub wrap: Bytes,
    /// Cluster time at which the wrap is refused, in milliseconds.
    pub expires_ms: u64,
}

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
    /// The extents that cover what was wanted, in order; empty when that has no bytes.
    pub extents: Vec<LocatedExtent>,
}

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

/// Why a request had no effect. Each but `Unavailable` is final: the same request gets it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MetadataError {
    /// No leader, no quorum, shutting down, or too slow; whether a write took effect is unknown, and
    /// the same request id may be sent again.
    #[error("the metadata service is unavailable: {0}")]
    Unavailable(String),
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The name is taken.
    #[error("the bucket exists, owned by {owner}")]
    BucketExists {
        /// By whom.
        owner: String,
    },
    /// It holds objects.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// No such object.
    #[error("no such object")]
    NoSuchObject,
    /// The range begins at or behind the object's end.
    #[error("the range lies outside the object's {length} bytes")]
    RangeNotSatisfiable {
        /// The object's length.
        length: u64,
    },
    /// The session has expired: open another. What it wrote and did not commit is lost.
    #[error("the session has expired")]
    SessionExpired,
    /// The lease has ended, is another gateway's, or does not cover the run.
    #[error("the write lease does not cover the run")]
    LeaseInvalid,
    /// Chunk ids of the run were committed before.
    #[error("the run overlaps one that is committed")]
    RunOverlaps,
    /// Too many slots were closed or moved since the run was acknowledged. Nothing was committed: send
    /// the object again.
    #[error("too few of the run's shards are where they were acknowledged")]
    TooFewRemain,
    /// The wrap has expired, was issued for something else, or under a retired key.
    #[error("the data key's wrap is not valid any more")]
    WrapInvalid,
    /// The version id is in use.
    #[error("the version id is in use")]
    VersionExists,
    /// The request is not well-formed; a fault of the gateway.
    #[error("malformed request: {0}")]
    Malformed(String),
    /// A stored row does not open: damage, or an attack. Nothing of it is returned.
    #[error("a stored row does not open")]
    RowDamaged,
}

/// What the service answers with.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, MetadataError>>;

/// The service.
pub trait Metadata: Send + Sync + 'static {
    /// Opens a session for a gateway.
    fn open_session(&self, gateway: NodeId) -> Answer<'_, Session>;
    /// Keeps a session and all its leases alive.
    fn renew_session(&self, session: SessionId) -> Answer<'_, Session>;
    /// Takes a fresh range of chunk ids.
    fn open_lease(&self, session: SessionId) -> Answer<'_, WriteLease>;
    /// Gives a lease back: nothing in flight uses it.
    fn close_lease(&self, session: SessionId, lease: LeaseId) -> Answer<'_, ()>;
    /// Issues blob ids with data keys for one bucket; `count` at most 64.
    fn issue_blobs(
        &self,
        session: SessionId,
        bucket: BucketId,
        count: u32,
    ) -> Answer<'_, Vec<IssuedBlob>>;
    /// The group table, unless its version is still `known`.
    fn group_table(&self, known: u64) -> Answer<'_, Option<GroupTable>>;

    /// Makes a bucket.
    fn create_bucket(&self, request: CreateBucket) -> Answer<'_, Bucket>;
    /// Deletes an empty bucket.
    fn delete_bucket(&self, request: DeleteBucket) -> Answer<'_, ()>;
    /// Finds a bucket by name.
    fn bucket(&self, name: BucketName) -> Answer<'_, Bucket>;
    /// All buckets, by name.
    fn buckets(&self) -> Answer<'_, Vec<Bucket>>;

    /// Makes an object version visible. Answers with when.
    fn commit_object(&self, request: CommitObject) -> Answer<'_, WallTime>;
    /// Deletes an object. Whether there was one is not told.
    fn delete_object(&self, request: DeleteObject) -> Answer<'_, ()>;
    /// Locates an object. Linearizable.
    fn lookup(&self, request: Lookup) -> Answer<'_, Located>;
    /// Lists a bucket. Linearizable.
    fn list(&self, request: List) -> Answer<'_, ListPage>;
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
