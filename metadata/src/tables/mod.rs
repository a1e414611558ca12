//! The tables: what is in a row, and under which key.
//!
//! All tables share one tree; the first byte of a key names the table. Integers in keys are
//! fixed-width and big-endian, so that rows lie in the order of their numbers. Values are
//! `types::codec`. A table's byte and name never change their meaning; a field may be added to a value
//! (with `#[serde(default)]`). `docs/formats/metadata.md` draws them all.
//!
//! Tables below 0x40 are the cluster half's, the others the namespace half's.

mod account;
mod key;
mod reclaim;
mod upload;
mod usage;
mod value;

use crate::store::StoreError;
use crate::txn::{RowIter, Rows, Txn};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::marker::PhantomData;
use std::ops::Bound;
use types::codec;
use types::id::{
    BlobId, BucketId, ChunkId, DiskId, GroupId, LeaseId, NodeId, SessionId, TenantId, VersionId,
};
use types::name::{BucketName, ObjectKey};
use types::placement::{Disk, Group, Slot};
use types::profile::Profile;

pub use account::{AccessKeyRow, UserRow};
pub use key::{ClusterId, KEY_END, NamespaceId, SweepKind, TableKey, after_all, escape, unescape};
pub use reclaim::{DeleteRow, PastRow, ReplacementRow};
pub use upload::{
    ManifestEntry, ManifestHead, ManifestRow, PartRow, PieceRow, SweepRow, UploadRow, unupload,
};
pub use usage::{BucketUsageRow, CountRow, Place, TenantUsageRow};
pub use value::{
    BlobPlace, BlobRow, BucketIdRow, BucketRow, ClockRow, ExtentRow, GroupEpochRow, GroupRunRow,
    HeadRow, HoldRow, KekRow, LayoutRow, LeaseRow, NodeRow, ReclaimRow, RepairRow, ReplyRow,
    SessionRow, TokenRow, TokenUse, VersionRow,
};

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
/// Profiles whose groups are all made.
pub const LAYOUTS: Table<Profile, LayoutRow> = Table::new(0x07, "layouts");
/// Users, by name.
pub const USERS: Table<String, UserRow> = Table::new(0x08, "users");
/// Access keys, by id; those that are gone leave a row behind.
pub const ACCESS_KEYS: Table<String, AccessKeyRow> = Table::new(0x09, "access keys");
/// Ids of access keys by the name of their user.
pub const USER_KEYS: Table<(String, String), String> = Table::new(0x0a, "user keys");

/// Disks that were lost, and what took or takes their place; kept, so that no id is used again.
pub const REPLACEMENTS: Table<DiskId, ReplacementRow> = Table::new(0x0b, "replacements");

/// Tokens with which servers may join, until they expire.
pub const TOKENS: Table<u64, TokenRow> = Table::new(0x0c, "tokens");

/// The feature level, as the cluster half has it (`level.rs`).
pub const LEVEL: Table<(), u32> = Table::new(0x0d, "level");
/// How many restores from a backup there were, as the cluster half has it: ids begin with it.
pub const INCARNATION: Table<(), u8> = Table::new(0x0e, "incarnation");

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
/// Sessions by their gateway.
pub const GATEWAY_SESSIONS: Table<(NodeId, SessionId), SessionId> =
    Table::new(0x51, "gateway sessions");
/// Answers that a session may still ask for, by the request's number.
pub const REPLIES: Table<(SessionId, u64), ReplyRow> = Table::new(0x45, "replies");
/// Leases, under their session, so that they end with it.
pub const LEASES: Table<(SessionId, LeaseId), LeaseRow> = Table::new(0x46, "leases");
/// Buckets.
pub const BUCKETS: Table<BucketId, BucketRow> = Table::new(0x47, "buckets");
/// Ids of buckets that are not made yet, or are gone.
pub const BUCKET_IDS: Table<BucketId, BucketIdRow> = Table::new(0x52, "bucket ids");
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
/// Multipart uploads under way, by key, those of one key by the revision at which they began.
pub const UPLOADS: Table<UploadKey, UploadRow> = Table::new(0x53, "uploads");
/// Uploads under way by the cluster time at which they began: old ones expire.
pub const UPLOAD_AGES: Table<(u64, UploadKey), ()> = Table::new(0x54, "upload ages");
/// Parts of uploads, and of the objects that they have become, by number.
pub const PARTS: Table<(VersionId, u32), PartRow> = Table::new(0x55, "parts");
/// What objects of several pieces show: rows by where in the object they *end*, so that one seek finds
/// the row of an offset.
pub const MANIFESTS: Table<(VersionId, u64), ManifestRow> = Table::new(0x56, "manifests");
/// Versions whose parts are dead, by the cluster time of their death.
pub const SWEEPS: Table<(SweepKind, u64, VersionId), SweepRow> = Table::new(0x57, "sweeps");
/// Buckets that were deleted while uploads into them were under way.
pub const GONE_BUCKETS: Table<BucketId, ()> = Table::new(0x58, "gone buckets");
/// Tags of a version, sealed; no row where it has none.
pub const TAGS: Table<VersionId, Bytes> = Table::new(0x59, "tags");
/// Tags of a bucket, sealed; no row where it has no tag set.
pub const BUCKET_TAGS: Table<BucketId, Bytes> = Table::new(0x5a, "bucket tags");

/// What plain objects showed that were replaced or deleted, by the cluster time of that: for those who
/// read them, until it is dead for so long that disks are told.
pub const PASTS: Table<(u64, VersionId), PastRow> = Table::new(0x5b, "pasts");
/// Slots of condemned runs whose disk is still to remove its shards: group, slot, first chunk of the run,
/// so that one scan finds what a disk has to do.
pub const DELETES: Table<(GroupId, Slot, ChunkId), DeleteRow> = Table::new(0x5c, "deletes");
/// Condemned runs that every disk has removed, by last chunk: their rows go when no lease covers them.
pub const SPENT_RUNS: Table<(ChunkId, GroupId), ()> = Table::new(0x5d, "spent runs");
/// Blobs that are condemned wholly, by the time of their death: a wrap of theirs may still be valid.
pub const CONDEMNED: Table<(u64, BlobId), ()> = Table::new(0x5e, "condemned");

/// The feature level, as the namespace half has it.
pub const NAMESPACE_LEVEL: Table<(), u32> = Table::new(0x5f, "namespace level");

/// How many restores from a backup there were, as the namespace half has it.
pub const NAMESPACE_INCARNATION: Table<(), u8> = Table::new(0x64, "namespace incarnation");
/// Deletions are held since a restore, until an operator releases them.
pub const HOLD: Table<(), HoldRow> = Table::new(0x65, "hold");

/// Under which key an upload is: bucket, object key, the revision at which it began.
pub type UploadKey = (BucketId, ObjectKey, u64);

/// That usage is kept, and how far it is counted.
pub const USAGE_COUNT: Table<(), CountRow> = Table::new(0x60, "usage count");
/// Usage and quotas of buckets.
pub const BUCKET_USAGE: Table<BucketId, BucketUsageRow> = Table::new(0x61, "bucket usage");
/// Usage and quotas of tenants.
pub const TENANT_USAGE: Table<TenantId, TenantUsageRow> = Table::new(0x62, "tenant usage");
/// Bytes of the parts of uploads under way, as far as they are counted; no row where they are none.
pub const UPLOAD_BYTES: Table<VersionId, u64> = Table::new(0x63, "upload bytes");

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

    /// What the keys of its rows begin with, as stored.
    pub const fn prefix(&self) -> u8 {
        self.prefix
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

    /// Removes all rows.
    ///
    /// # Errors
    /// When the store is broken.
    pub(crate) fn clear(&self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        let keys: Vec<Vec<u8>> = self
            .scan(txn, &[])
            .map(|row| row.map(|(key, _)| key))
            .collect::<Result<_, _>>()?;
        for key in keys {
            txn.delete([&[self.prefix], &key[..]].concat());
        }
        Ok(())
    }

    /// The rows whose keys, less the table's byte, begin with `prefix`, in order, with their keys.
    pub fn scan<'r, R: Rows>(
        &self,
        rows: &'r R,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<(Vec<u8>, V), StoreError>> + use<'r, K, V, R> {
        let from = [&[self.prefix], prefix].concat();
        let to = after_all(&from).expect("a table's byte is not FF");
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
