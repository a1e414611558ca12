//! How what is stored is kept whole, and how what is dead goes: what storage nodes pull from the metadata
//! service, and what they report to it.
//!
//! Tasks are about one slot of one run. A task may be handed out twice, and be done twice: each says by
//! which epoch of the group it was decided, and is refused by whoever knows better (decisions 0002, 0005).
//! Nothing here names an object or holds a key.

use super::metadata::Answer;
use crate::id::{ChunkId, DiskId, GroupId};
use crate::placement::{Disk, Epoch, GroupTable, Slot};
use crate::profile::Profile;
use crate::shard::ShardKey;
use serde::{Deserialize, Serialize};

/// Most tasks in one answer, and most reports in one request.
pub const MAX_TASKS: u32 = 256;
/// Most runs in one answer about what is covered.
pub const MAX_COVERED: u32 = 1024;

/// One slot of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunSlot {
    /// The group.
    pub group: GroupId,
    /// The run's first chunk.
    pub first_chunk: ChunkId,
    /// The slot.
    pub slot: Slot,
}

/// Shards of a dead blob that a disk is to remove. A shard that is not there is removed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTask {
    /// Where.
    pub at: RunSlot,
    /// How many chunks the run has.
    pub chunks: u32,
    /// The group's epoch when it was decided: older than the disk's joining of the slot, it is refused.
    pub epoch: Epoch,
}

/// Shards that may be missing or damaged on a disk. Those that are there and whole are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairTask {
    /// Where.
    pub at: RunSlot,
    /// How many chunks the run has.
    pub chunks: u32,
    /// How each is coded.
    pub profile: Profile,
    /// The group's epoch when it was decided: the report names it.
    pub epoch: Epoch,
}

/// Every shard of a task's run is whole and durable on the slot's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// Where.
    pub at: RunSlot,
    /// The task's. Refused when the slot was closed or moved since.
    pub epoch: Epoch,
}

/// Consecutive chunk ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChunkRange {
    /// The first.
    pub first: ChunkId,
    /// The last.
    pub last: ChunkId,
}

/// What a group's chunk ids belong to, read at one moment: leases no later than runs (decision 0006).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// The group's epoch.
    pub epoch: Epoch,
    /// Runs that end at or behind the first chunk asked for, in order: living and dead. At most
    /// [`MAX_COVERED`].
    pub runs: Vec<CoveredRun>,
    /// Behind this chunk nothing was looked at; none: everything was.
    pub up_to: Option<ChunkId>,
    /// Ranges of chunk ids that are leased: what is in them may be committed yet.
    pub leased: Vec<ChunkRange>,
    /// The first chunk id that was never leased. A shard at or behind it is damage, not an orphan.
    pub unissued: ChunkId,
}

/// A run of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoveredRun {
    /// Its chunks.
    pub chunks: ChunkRange,
    /// Segments in its last chunk; the others are full. A short one leaves data shards empty, and those are
    /// on no disk.
    pub last_segments: u32,
    /// Its blob is dead, and disks have been told: its shards may be gone.
    pub condemned: bool,
    /// Slots on which shards of it are known to be missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Slot>,
}

/// How safe the data is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// How many further disks may fail with everything still readable; negative: so many too few are
    /// there for some run. None while nothing is stored.
    pub tolerates: Option<i32>,
    /// What is to be made again, for each disk that lacks something.
    pub repairs: Vec<Backlog>,
    /// Slots of dead runs that disks are still to remove.
    pub deletes: u64,
    /// Dead blobs whose reclaim delay is not over.
    pub waiting: u64,
}

/// What is to be made again on one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Which.
    pub disk: DiskId,
    /// Repair tasks.
    pub runs: u64,
    /// Shards in them.
    pub shards: u64,
}

/// The service.
pub trait Upkeep: Send + Sync + 'static {
    /// The group table, unless its version is still `known`.
    fn table(&self, known: u64) -> Answer<'_, Option<GroupTable>>;
    /// What a disk is to remove: tasks behind `after`, in order; at most [`MAX_TASKS`].
    fn deletes(&self, disk: DiskId, after: Option<RunSlot>) -> Answer<'_, Vec<DeleteTask>>;
    /// These are removed from the disk, durably. What was reported before may be reported again.
    fn deleted(&self, disk: DiskId, done: Vec<RunSlot>) -> Answer<'_, ()>;
    /// What is to be made again on a disk: tasks behind `after`, in order; at most [`MAX_TASKS`].
    fn repairs(&self, disk: DiskId, after: Option<RunSlot>) -> Answer<'_, Vec<RepairTask>>;
    /// These are whole again. One that is refused is handed out anew.
    fn repaired(&self, disk: DiskId, done: Vec<Repaired>) -> Answer<'_, ()>;
    /// Shards that are missing or damaged on a disk: their runs become repair tasks. Those of no living
    /// run, and those whose slot the disk does not hold, are ignored. At most [`MAX_TASKS`]. A disk waits
    /// for the answer to its report of a repair before it reports the same shard bad, and the other way
    /// round: where a task is recorded already, a report changes nothing, and an older one that comes
    /// behind it would end the task (decision 0014).
    fn report_bad(&self, disk: DiskId, shards: Vec<ShardKey>) -> Answer<'_, ()>;
    /// What the chunk ids of a group from `from` on belong to. Linearizable.
    fn covered(&self, group: GroupId, from: ChunkId) -> Answer<'_, Covered>;
    /// How safe the data is while these disks are away. As of some seconds ago where there is much to count.
    fn health(&self, away: Vec<DiskId>) -> Answer<'_, Health>;
    /// Allocates an id for a disk; it is stamped with it before it is admitted.
    fn reserve_disk_id(&self) -> Answer<'_, DiskId>;
    /// Admits a disk under the id that is stamped on it. Admitting it again changes nothing. Groups that are
    /// laid out later may lie on it.
    fn admit_disk(&self, disk: Disk) -> Answer<'_, ()>;
    /// Admits a disk in the place of one that is lost for good: it takes over its slots, and all their
    /// shards become repair tasks. Broken off, it is to be asked again with the same disks.
    fn replace_disk(&self, lost: DiskId, new: Disk) -> Answer<'_, ()>;
}
