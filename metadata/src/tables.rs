//! The tables: what is in a row, and under which key.
//!
//! All tables share one tree; the first byte of a key names the table. Integers in keys are
//! fixed-width and big-endian, so that rows lie in the order of their numbers. Values are
//! `types::codec`. A table's byte and name never change their meaning; a field may be added to a value
//! (with `#[serde(default)]`). `docs/formats/metadata.md` draws them all.
//!
//! Tables below 0x40 are the cluster half's, the others the namespace half's.

use crate::reply::Reply;
use crate::store::StoreError;
use crate::txn::{RowIter, Rows, Txn};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::marker::PhantomData;
use std::ops::Bound;
use types::codec;
use types::id::{
    BlobId, BucketId, ChunkId, DiskId, GroupId, LeaseId, NodeId, SessionId, VersionId,
};
use types::manifest::Run;
use types::name::{BucketName, ObjectKey};
use types::placement::{Disk, Epoch, Group, Slot};
use types::profile::Profile;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{Bucket, WallTime};

/// Counters of the cluster half's ids.
pub const CLUSTER_COUNTERS: Table<ClusterId, u64> = Table::new(0x01, "cluster counters");
/// Servers.
pub const NODES: Table<NodeId, NodeRow> = Table::new(0x02, "nodes");
/// Admitted disks.
pub const DISKS: Table<DiskId, Disk> = Table::new(0x03, "disks");
/// Placement groups.
pub const GROUPS: Table<GroupId, Group> = Table::new(0x04, "groups");
/// Version of the group table: of the rows in `disks` and `groups` together.
pub const GROUP_TABLE_VERSION: Table<(), u64> = Table::new(0x05, "group table version");
/// Buckets' keys, by version.
pub const KEKS: Table<(BucketId, u32), KekRow> = Table::new(0x06, "keks");

/// Cluster time.
pub const CLOCK: Table<(), ClockRow> = Table::new(0x40, "clock");
/// Counters of the namespace half's ids.
pub const NAMESPACE_COUNTERS: Table<NamespaceId, u64> = Table::new(0x41, "namespace counters");
/// The namespace's revision: raised by each command that changes an object.
pub const REVISION: Table<(), u64> = Table::new(0x42, "revision");
/// Sessions.
pub const SESSIONS: Table<SessionId, SessionRow> = Table::new(0x43, "sessions");
/// Sessions by the time at which they expire.
pub const SESSION_EXPIRY: Table<(u64, SessionId), SessionId> = Table::new(0x44, "session expiry");
/// Answers that a session may still ask for, by the request's number.
pub const REPLIES: Table<(SessionId, u64), Reply> = Table::new(0x45, "replies");
/// Leases, under their session, so that they end with it.
pub const LEASES: Table<(SessionId, LeaseId), LeaseRow> = Table::new(0x46, "leases");
/// Buckets.
pub const BUCKETS: Table<BucketId, BucketRow> = Table::new(0x47, "buckets");
/// Buckets by name and digest of their label: a name is unique per label.
pub const BUCKET_NAMES: Table<(BucketName, [u8; 32]), BucketId> = Table::new(0x48, "bucket names");
/// Current versions of objects: what GET and LIST see.
pub const HEADS: Table<(BucketId, ObjectKey), HeadRow> = Table::new(0x49, "heads");
/// Version ids in use, so that none is used twice.
pub const VERSIONS: Table<VersionId, VersionRow> = Table::new(0x4a, "versions");
/// Blobs.
pub const BLOBS: Table<BlobId, BlobRow> = Table::new(0x4b, "blobs");
/// Bytes of blobs that are kept inline, sealed.
pub const INLINE: Table<BlobId, Bytes> = Table::new(0x4c, "inline");
/// Runs by group and *last* chunk, so that one seek finds what a new run could overlap.
pub const GROUP_RUNS: Table<(GroupId, ChunkId), GroupRunRow> = Table::new(0x4d, "group runs");
/// Groups' epochs as commits see them.
pub const GROUP_EPOCHS: Table<GroupId, GroupEpochRow> = Table::new(0x4e, "group epochs");
/// Shards to be made again: group, first chunk of the run, slot.
pub const REPAIRS: Table<(GroupId, ChunkId, Slot), RepairRow> = Table::new(0x4f, "repairs");
/// Dead blobs by the time of their death.
pub const RECLAIMS: Table<(u64, BlobId), ReclaimRow> = Table::new(0x50, "reclaims");

/// Ids that the cluster half allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ClusterId {
    /// Servers.
    Node = 1,
    /// Disks.
    Disk = 2,
    /// Placement groups.
    Group = 3,
}

/// Ids that the namespace half allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NamespaceId {
    /// Sessions.
    Session = 1,
    /// Leases.
    Lease = 2,
    /// Chunks: all groups share one counter.
    Chunk = 3,
    /// Blobs.
    Blob = 4,
    /// Buckets.
    Bucket = 5,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// When it was admitted, as the proposer's wall had it.
    pub admitted: WallTime,
}

/// A bucket's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KekRow {
    /// Wrapped under the ring key.
    pub wrapped: Bytes,
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
    /// What it shows, in order.
    pub extents: Vec<ExtentRow>,
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

/// A version id in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    /// The revision that made it.
    pub born: u64,
    /// The revision that replaced or deleted it.
    pub superseded: Option<u64>,
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
    /// Where it is.
    pub place: BlobPlace,
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

/// A dead blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReclaimRow {
    /// The revision of its death.
    pub born: u64,
}

/// A table of rows of type `V` under keys of type `K`.
pub struct Table<K, V> {
    prefix: u8,
    name: &'static str,
    rows: PhantomData<fn(&K) -> V>,
}

impl<K: TableKey, V: Serialize + DeserializeOwned> Table<K, V> {
    const fn new(prefix: u8, name: &'static str) -> Self {
        Self {
            prefix,
            name,
            rows: PhantomData,
        }
    }

    /// The row under `key`, if there is one.
    ///
    /// # Errors
    /// When the store is broken.
    pub fn get(&self, rows: &impl Rows, key: &K) -> Result<Option<V>, StoreError> {
        let value = rows.get(&self.key(key))?;
        value.map(|value| self.decode(&value)).transpose()
    }

    /// Whether there is a row under `key`.
    ///
    /// # Errors
    /// When the store is broken.
    pub fn contains(&self, rows: &impl Rows, key: &K) -> Result<bool, StoreError> {
        Ok(rows.get(&self.key(key))?.is_some())
    }

    /// Sets a row.
    pub fn put(&self, txn: &mut Txn<'_>, key: &K, value: &V) {
        txn.put(self.key(key), codec::encode(value));
    }

    /// Removes a row, if it is there.
    pub fn delete(&self, txn: &mut Txn<'_>, key: &K) {
        txn.delete(self.key(key));
    }

    /// The rows whose keys, less the table's byte, begin with `prefix`, in order, with their keys.
    pub fn scan<'r, R: Rows>(
        &self,
        rows: &'r R,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<(Vec<u8>, V), StoreError>> + use<'r, K, V, R> {
        let from = [&[self.prefix], prefix].concat();
        let to = after_all(&from);
        self.decoded(rows.scan(Bound::Included(from), Bound::Excluded(to)))
    }

    /// The rows from `from` to `to`, in order, with their keys less the table's byte.
    pub fn range<'r, R: Rows>(
        &self,
        rows: &'r R,
        from: &[u8],
        to: &[u8],
    ) -> impl Iterator<Item = Result<(Vec<u8>, V), StoreError>> + use<'r, K, V, R> {
        let from = [&[self.prefix], from].concat();
        let to = [&[self.prefix], to].concat();
        self.decoded(rows.scan(Bound::Included(from), Bound::Excluded(to)))
    }

    fn decoded<'r>(
        &self,
        rows: RowIter<'r>,
    ) -> impl Iterator<Item = Result<(Vec<u8>, V), StoreError>> + use<'r, K, V> {
        let table = Self { ..*self };
        rows.map(move |row| {
            let (mut key, value) = row?;
            let value = table.decode(&value)?;
            key.remove(0);
            Ok((key, value))
        })
    }

    fn key(&self, key: &K) -> Vec<u8> {
        let mut bytes = vec![self.prefix];
        key.write(&mut bytes);
        bytes
    }

    fn decode(&self, value: &[u8]) -> Result<V, StoreError> {
        codec::decode(value).map_err(|source| StoreError::Malformed {
            table: self.name,
            source,
        })
    }
}

/// What comes behind a table's byte in a key.
pub trait TableKey {
    /// Appends it.
    fn write(&self, out: &mut Vec<u8>);

    /// It alone.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }
}

impl TableKey for () {
    fn write(&self, _: &mut Vec<u8>) {}
}

macro_rules! integer_keys {
    ($($type:ty),*) => {$(
        impl TableKey for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}

integer_keys!(
    u32, u64, BlobId, BucketId, ChunkId, DiskId, GroupId, LeaseId, NodeId, SessionId
);

impl TableKey for ClusterId {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
}

impl TableKey for NamespaceId {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
}

impl TableKey for Slot {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.0);
    }
}

impl TableKey for VersionId {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl TableKey for [u8; 32] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

/// A bucket's name has no zero byte, and ends with one here.
impl TableKey for BucketName {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_str().as_bytes());
        out.push(0);
    }
}

impl TableKey for ObjectKey {
    fn write(&self, out: &mut Vec<u8>) {
        escape(self.as_str(), out);
        out.extend_from_slice(&END);
    }
}

impl<A: TableKey, B: TableKey> TableKey for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
}

impl<A: TableKey, B: TableKey, C: TableKey> TableKey for (A, B, C) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
        self.2.write(out);
    }
}

/// Ends an object's key.
const END: [u8; 2] = [0x00, 0x01];

/// Appends the beginning of an object's key: 00 becomes 00 FF. What begins with the text, and nothing
/// else, begins with these bytes.
pub fn escape(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
}

/// The object key that `escaped`, ending included, holds. `None` when it is none.
pub fn unescape(escaped: &[u8]) -> Option<ObjectKey> {
    let body = escaped.strip_suffix(&END)?;
    let mut text = Vec::with_capacity(body.len());
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        if *byte == 0 && bytes.next() != Some(&0xff) {
            return None;
        }
        text.push(*byte);
    }
    String::from_utf8(text).ok()?.try_into().ok()
}

/// The least key above all that begin with `prefix`, which is not empty and does not begin with FF.
pub fn after_all(prefix: &[u8]) -> Vec<u8> {
    let end = prefix
        .iter()
        .rposition(|byte| *byte != 0xff)
        .expect("a table's byte is not FF");
    let mut after = prefix[..=end].to_vec();
    after[end] += 1;
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(key: &str) -> Vec<u8> {
        ObjectKey::try_from(key.to_owned()).unwrap().bytes()
    }

    /// Byte order of table keys is byte order of object keys, whatever they hold.
    #[test]
    fn escaped_keys_keep_their_order_and_come_back() {
        let keys = [
            "\0",
            "\0\0",
            "\0\u{1}",
            "\u{1}",
            "a",
            "a\0",
            "a\0b",
            "a\u{1}",
            "ab",
            "ÿ",
            "\u{10ffff}",
        ];
        let mut sorted = keys.to_vec();
        sorted.sort_by_key(|key| key.as_bytes().to_vec());
        let mut by_row = keys.to_vec();
        by_row.sort_by_key(|key| head(key));
        assert_eq!(sorted, by_row);
        for key in keys {
            assert_eq!(unescape(&head(key)).unwrap().as_str(), key);
        }
        for bad in [&b"a"[..], b"\0\x01", b"a\0b\0\x01", b"\xff\0\x01"] {
            assert_eq!(unescape(bad), None);
        }
    }

    #[test]
    fn after_all_carries_over_ff() {
        assert_eq!(after_all(&[1, 2]), [1, 3]);
        assert_eq!(after_all(&[1, 0xff, 0xff]), [2]);
    }
}
