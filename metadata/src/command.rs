//! What the Raft log holds: proposals.
//!
//! A proposal carries all that `apply` needs besides the state: the time on the proposer's wall, keys
//! wrapped, attributes sealed, ids drawn. Commands are in two halves, because one day they will live
//! in different Raft groups: `cluster` (disks, groups, keys) and `namespace` (sessions, buckets,
//! objects, epochs as commits see them). What one half needs of the other is carried in the command.
//!
//! Stored for ever: a variant or field may be added (with `#[serde(default)]`), none changed. Golden
//! files in `tests/golden` hold one of each.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::id::{BlobId, BucketId, GroupId, LeaseId, NodeId, RequestId, SessionId, VersionId};
use types::placement::{Disk, Epoch, Group, Slot};
use types::size::ByteCount;
use types::wire::metadata::{CreateBucket, DeleteBucket, DeleteObject, WallTime, WrittenRun};
use types::{ObjectKey, Profile};

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
    /// Disks, groups, keys.
    Cluster(ClusterCommand),
    /// Sessions, buckets, objects.
    Namespace(NamespaceCommand),
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

/// Disks, groups, keys.
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
    /// Makes an object version visible.
    Commit(Commit),
    /// Deletes an object.
    DeleteObject(DeleteObject),
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
