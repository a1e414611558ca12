//! What the Raft log holds: proposals.
//!
//! A proposal carries all that `apply` needs besides the state: the time on the proposer's wall, keys
//! wrapped, attributes sealed, ids drawn. Commands are in two halves, because one day they will live
//! in different Raft groups: `cluster` (disks, groups, keys, users) and `namespace` (sessions, buckets,
//! objects, epochs as commits see them). What one half needs of the other is carried in the command.
//!
//! Stored for ever: a variant or field may be added (with `#[serde(default)]`), none changed. Golden
//! files in `tests/golden` hold one of each.

mod upkeep;
mod upload;

use crate::tables::SweepKind;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::codec;
use types::id::{
    BlobId, BucketId, ChunkId, DiskId, GroupId, LeaseId, NodeId, RequestId, SessionId, TenantId,
    VersionId,
};
use types::placement::{Disk, Epoch, Group, Slot};
use types::size::{ByteCount, ByteOffset};
use types::wire::accounts::KeyState;
use types::wire::members::ServerRole;
use types::wire::metadata::{AbortUpload, CreateBucket, DeleteBucket, WallTime, WrittenRun};
use types::wire::upkeep::{Repaired, RunSlot};
use types::wire::usage::{Holder, QuotaChange};
use types::{Label, ObjectKey, Profile};

pub use upkeep::MemberSwap;
pub use upload::{CommitPart, CompleteUpload, CreateUpload};

/// No command encodes to more: the log, its peers and `apply` are sized for it.
pub const MAX_COMMAND_BYTES: usize = 256 << 10;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The proposer's wall clock: shown as an object's or bucket's time, decides nothing.
    pub wall: WallTime,
    /// What to do.
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Command {
    /// Cluster time moves on: every half and namespace shard has its own copy, moved by its own log.
    Tick(Tick),
    /// Disks, groups, keys, users.
    Cluster(ClusterCommand),
    /// Sessions, buckets, objects.
    Namespace(NamespaceCommand),
    /// What the log may hold grows: every half has its own copy of the level.
    Raise(Raise),
    /// Changes nothing: here the servers compare their rows. Of level 2.
    Audit,
}

/// The feature level rises (`level.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raise {
    /// To which.
    pub level: u32,
}

/// Cluster time moves on.
///
/// It names the time that it moves on from: of two proposers that both measured the same second, one
/// is refused, so that no second counts twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Cluster time when the proposer began to measure, in milliseconds.
    pub from_ms: u64,
    /// Monotonic time that it measured since; applied clamped.
    pub elapsed_ms: u64,
}

/// Disks, groups, keys, users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ClusterCommand {
    /// Allocates an id for a server.
    AdmitNode,
    /// Allocates an id for a disk; it is stamped with it before it is admitted.
    ReserveDiskId,
    /// Admits a disk under the id that is stamped on it.
    AdmitDisk {
        /// The disk.
        disk: Disk,
    },
    /// Allocates consecutive group ids.
    ReserveGroupIds {
        /// How many.
        count: u32,
    },
    /// Makes groups, as the planner laid them out.
    CreateGroups {
        /// New groups at epoch 1, under reserved ids, over admitted disks.
        groups: Vec<Group>,
        /// The profile whose layout is complete with them.
        #[serde(default)]
        completes: Option<Profile>,
    },
    /// Records a bucket's key, before the bucket that uses it is made.
    InstallKek {
        /// Whose.
        bucket: BucketId,
        /// From 1.
        version: u32,
        /// Wrapped under the ring key.
        wrapped: Bytes,
    },
    /// Removes every version of the key of a bucket that is gone, or was never made: a retired id's.
    DestroyKeks {
        /// Whose.
        bucket: BucketId,
    },
    /// Makes a user.
    AddUser {
        /// Unique in the cluster.
        name: String,
        /// Drawn at random.
        id: String,
        /// Whose.
        tenant: TenantId,
    },
    /// Removes a user who has no access keys.
    RemoveUser {
        /// Who.
        name: String,
        /// The id that was looked at: not another user who has the name since.
        id: String,
    },
    /// Makes an access key.
    AddKey {
        /// Never used before, not even by a key that is gone.
        id: String,
        /// The name of the user it acts for.
        user: String,
        /// The id of the user that `secret` is sealed for.
        user_id: String,
        /// The label it works at.
        label: Label,
        /// Its secret, sealed under the ring key for this user, id and label.
        secret: Bytes,
    },
    /// Disables or enables an access key.
    SetKeyState {
        /// Which.
        id: String,
        /// From now on.
        state: KeyState,
    },
    /// Removes an access key for good.
    RemoveKey {
        /// Which.
        id: String,
    },
    /// Admits a disk that is to take the place of one that is lost for good.
    BeginReplacement {
        /// The lost one.
        lost: DiskId,
        /// A disk that has never held anything, under the id that is stamped on it.
        new: Disk,
    },
    /// Gives slots of a lost disk to the one that takes its place: all of these, or none.
    SwapMembers {
        /// The lost one.
        lost: DiskId,
        /// Its slots: at most [`crate::apply::MAX_SWAPS`].
        swaps: Vec<MemberSwap>,
    },
    /// Forgets a lost disk that has no slot left.
    EndReplacement {
        /// Which.
        lost: DiskId,
    },
    /// Allocates a number for a token with which one server may join.
    AddToken {
        /// What the server is for.
        role: ServerRole,
        /// It may be used for so much cluster time.
        lifetime_ms: u64,
    },
    /// Withdraws a token.
    RemoveToken {
        /// Which.
        token: u64,
    },
    /// A server joins by a token, which nobody else does after it: its id is allocated.
    UseToken {
        /// Which.
        token: u64,
        /// SHA-256 of its public key: the same server may ask again.
        #[serde(with = "serde_bytes")]
        key: [u8; 32],
        /// Where others will reach it.
        address: Option<String>,
    },
    /// A server is no more of the cluster.
    RemoveNode {
        /// Which.
        node: NodeId,
    },
}

/// Sessions, buckets, objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NamespaceCommand {
    /// Opens a session.
    OpenSession {
        /// The gateway's node.
        gateway: NodeId,
    },
    /// Keeps a session and its leases alive.
    RenewSession {
        /// Which.
        session: SessionId,
    },
    /// Takes a range of chunk ids.
    OpenLease {
        /// Whose.
        session: SessionId,
    },
    /// Ends a lease.
    CloseLease {
        /// Whose.
        session: SessionId,
        /// Which.
        lease: LeaseId,
    },
    /// Allocates consecutive blob ids, to be issued.
    ReserveBlobIds {
        /// How many.
        count: u32,
    },
    /// Allocates an id for a bucket, so that its key can be installed first.
    ReserveBucketId,
    /// Ends the reservation of a bucket's id: no bucket is made under it any more.
    RetireBucketId {
        /// Which.
        bucket: BucketId,
    },
    /// Forgets a retired id, whose keys are destroyed.
    ForgetBucketId {
        /// Which.
        bucket: BucketId,
    },
    /// Deletions were held since a restore, and are no more.
    ReleaseDeletions,
    /// Tells the namespace of groups that commits may name.
    LearnGroups {
        /// The groups; those that are known are left alone.
        groups: Vec<LearntGroup>,
    },
    /// Raises a group's epoch as commits see it, before anything in it is moved.
    RaiseEpoch {
        /// Which.
        group: GroupId,
        /// The new epoch.
        epoch: Epoch,
        /// Slots that are closed or moved by it: what was acknowledged earlier may be missing there.
        slots: Vec<Slot>,
    },
    /// Makes a bucket.
    MakeBucket(MakeBucket),
    /// Deletes an empty bucket.
    DeleteBucket(DeleteBucket),
    /// Gives a bucket to another owner.
    ChangeOwner {
        /// Which.
        bucket: BucketId,
        /// Who must own it until now.
        from: String,
        /// Who owns it from now on.
        to: String,
    },
    /// Makes an object version visible.
    Commit(Commit),
    /// Begins a multipart upload.
    CreateUpload(CreateUpload),
    /// Makes a blob a part of an upload.
    CommitPart(CommitPart),
    /// Makes an object of an upload's parts.
    CompleteUpload(CompleteUpload),
    /// Gives an upload up.
    AbortUpload(AbortUpload),
    /// Gives up uploads that began before a time, the oldest first, as many as one command may.
    ExpireUploads {
        /// Cluster time, in milliseconds.
        began_before_ms: u64,
    },
    /// Gives up uploads into a bucket that is gone, as many as one command may.
    ClearBucket {
        /// Which.
        bucket: BucketId,
    },
    /// Lets go of dead parts of a version, as many as one command may.
    Sweep {
        /// Why they are dead.
        kind: SweepKind,
        /// Cluster time of their death, in milliseconds.
        since_ms: u64,
        /// Whose.
        version: VersionId,
    },
    /// Deletes an object.
    DeleteObject(Delete),
    /// Sets the tags of an object's current version.
    SetTags(SetTags),
    /// Sets a bucket's tags.
    SetBucketTags(SetBucketTags),
    /// Makes an object version visible that shows what another one shows.
    CopyObject(CopyObject),
    /// Makes a range of an object a part of an upload.
    CopyPart(CopyPart),
    /// Condemns what died before a time, the oldest first, as much as one command may: inline bytes go,
    /// disks are told to remove shards.
    Condemn {
        /// Cluster time, in milliseconds.
        died_before_ms: u64,
    },
    /// Disks have removed shards of condemned runs.
    Deleted {
        /// Which: at most [`types::wire::upkeep::MAX_TASKS`].
        slots: Vec<RunSlot>,
    },
    /// Forgets runs that all disks have removed and no lease covers, and blobs whose wraps have expired
    /// and that have no runs, as many as one command may.
    Forget {
        /// Wraps of blobs that died before this cluster time have expired.
        died_before_ms: u64,
    },
    /// Records shards of living runs as missing.
    RecordMissing {
        /// Which: at most [`types::wire::upkeep::MAX_TASKS`].
        slots: Vec<RunSlot>,
    },
    /// Records the runs of a group as missing on a slot, as many as one command may: the reply says where
    /// to go on.
    RecordSlot {
        /// The group.
        group: GroupId,
        /// The slot.
        slot: Slot,
        /// Runs that end at or behind this chunk.
        from: ChunkId,
    },
    /// Shards that were missing have been made again.
    ClearRepairs {
        /// Which: at most [`types::wire::upkeep::MAX_TASKS`]. One whose slot was closed or moved since is
        /// passed over.
        done: Vec<Repaired>,
    },
    /// Usage is kept from now on; what there is already is to be counted. Done before, it does nothing.
    KeepUsage,
    /// Counts what there was before usage was kept.
    CountUsage {
        /// Most rows that it looks at: at least [`crate::apply::COUNTED_AT_LEAST`], at most
        /// [`crate::apply::COUNTED_AT_MOST`], whatever this says.
        rows: u32,
    },
    /// Sets or removes a quota.
    SetQuota {
        /// Whose.
        holder: Holder,
        /// What of it.
        change: QuotaChange,
    },
}

/// A group as the namespace learns of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearntGroup {
    /// Its id.
    pub group: GroupId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The profile of its chunks.
    pub profile: Profile,
}

/// Make a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeBucket {
    /// As the gateway asked.
    pub request: CreateBucket,
    /// Reserved for it.
    pub bucket: BucketId,
    /// How its objects are coded, where the request leaves it open.
    pub default_profile: Profile,
    /// The version of its key that is installed.
    pub kek_version: u32,
}

/// Make an object version visible: wholly, or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Applied once.
    pub request: RequestId,
    /// Where.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// Never used before.
    pub version: VersionId,
    /// Plaintext length of the object.
    pub length: ByteCount,
    /// The version of the bucket's key that `attributes` and `wrap` are sealed under.
    pub kek_version: u32,
    /// `types::Attributes`, sealed for this bucket, key and version.
    pub attributes: Bytes,
    /// The blob that it shows.
    pub blob: BlobId,
    /// The blob's data key, wrapped for this reference.
    pub wrap: Bytes,
    /// Cluster time at which the wrap that the gateway showed is refused.
    pub wrap_expires_ms: u64,
    /// Where the blob's bytes are.
    pub place: CommittedPlace,
    /// Its tags, if it has any.
    #[serde(default, skip_serializing_if = "codec::is_default")]
    pub tags: Option<SealedTags>,
    /// What it replaces; none: whatever there is.
    #[serde(default, skip_serializing_if = "codec::is_default")]
    pub expected: Option<Expected>,
}

/// Delete an object. Deleting what is not there succeeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    /// Applied once.
    pub request: RequestId,
    /// Where.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// What it deletes; none: whatever there is.
    #[serde(default, skip_serializing_if = "codec::is_default")]
    pub expected: Option<Expected>,
}

/// What a key must show for a command to be done: compare-and-set on the version id. A proposer has
/// judged by it what `apply`, which opens no attributes, cannot judge (docs/decisions/0011).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expected {
    /// No version.
    Absent,
    /// This version.
    Version(VersionId),
}

/// Tags of an object version: one at least.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedTags {
    /// How many.
    pub count: u32,
    /// `types::wire::metadata::Tags`, sealed for bucket, key and version.
    pub sealed: Bytes,
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
    /// The version that the tags are sealed for.
    pub version: VersionId,
    /// The version of the bucket's key that they are sealed under.
    pub kek_version: u32,
    /// All of its tags from now on, if it has any.
    pub tags: Option<SealedTags>,
}

/// Set a bucket's tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetBucketTags {
    /// Applied once.
    pub request: RequestId,
    /// Which.
    pub bucket: BucketId,
    /// The version of its key that they are sealed under.
    pub kek_version: u32,
    /// `types::wire::metadata::Tags`, sealed for the bucket; none: it has no tag set.
    pub sealed: Option<Bytes>,
}

/// The version that is copied: the current one of its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// From which bucket.
    pub bucket: BucketId,
    /// From which object.
    pub key: ObjectKey,
    /// Which version.
    pub version: VersionId,
}

/// Make an object version visible that shows the very pieces of blobs that another one shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyObject {
    /// Applied once.
    pub request: RequestId,
    /// What is copied, whole.
    pub source: Copied,
    /// Where to.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// Never used before.
    pub version: VersionId,
    /// The version of the bucket's key that all of this is sealed and wrapped under.
    pub kek_version: u32,
    /// `types::Attributes`, sealed for this bucket, key and version.
    pub attributes: Bytes,
    /// Its tags, if it has any.
    #[serde(default, skip_serializing_if = "codec::is_default")]
    pub tags: Option<SealedTags>,
    /// What it replaces; none: whatever there is.
    #[serde(default, skip_serializing_if = "codec::is_default")]
    pub expected: Option<Expected>,
    /// For each piece that the source shows, in order, its data key wrapped for this reference.
    pub wraps: Vec<Bytes>,
    /// What it has of parts, if the source has any.
    #[serde(default, skip_serializing_if = "codec::is_default")]
    pub manifest: Option<CopiedManifest>,
}

/// What is sealed or bound to the new version of a copied multipart object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedManifest {
    /// For each part, in order, its ETag and checksums, sealed.
    pub parts: Vec<Bytes>,
    /// The MAC of each row of its manifest.
    pub macs: Vec<Bytes>,
}

/// Make a range of an object a part of an upload, in place of the part of that number if there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyPart {
    /// Applied once.
    pub request: RequestId,
    /// Of what.
    pub source: Copied,
    /// Where in it the copied bytes begin.
    pub first: ByteOffset,
    /// How many.
    pub length: ByteCount,
    /// The upload's bucket.
    pub bucket: BucketId,
    /// The upload's key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: VersionId,
    /// From 1.
    pub number: u32,
    /// The version of the bucket's key that `sealed` and `wraps` are sealed under.
    pub kek_version: u32,
    /// ETag and checksums, sealed for this bucket, key, upload and number.
    pub sealed: Bytes,
    /// For each piece in the range, in order, its data key wrapped for this reference.
    pub wraps: Vec<Bytes>,
}

/// Where a blob's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CommittedPlace {
    /// Sealed as one segment.
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
