//! The state: everything that metadata, gateways, disks and messages under way remember.
//!
//! Fixed arrays of bytes, so that a state is copied and hashed in a hundred nanoseconds and equal
//! worlds are equal bytes. A code of k = 1 is enough: each shard then is the whole chunk, and what
//! is lost by a wrong delete does not depend on k.
//!
//! Messages are never used up. A write or a delete that was sent once may arrive at any later time,
//! any number of times, or never; so a set of what was sent is all there is to remember, and each
//! delay, loss, duplicate and reordering is among the explored runs.

use crate::scene::Scene;

/// Index of a group, slot of a group, disk, chunk id, or upload: positions in a world's arrays.
pub type Index = u8;

/// An epoch of a group; the first is 1.
pub type Epoch = u8;

/// A set of slots, uploads or epochs: one bit each.
pub type Bits = u8;

/// Chunks whose shards are needed to read one (k).
pub const NEEDED: usize = 1;
/// Intact shards below which one more lost disk loses the chunk (k + 1).
pub const SAFE: usize = 2;

pub(crate) const GROUPS: usize = 2;
pub(crate) const SLOTS: usize = 3;
pub(crate) const DISKS: usize = 5;
pub(crate) const CHUNKS: usize = 3;
pub(crate) const UPLOADS: usize = 3;
pub(crate) const LEASES: usize = 2;

/// What a disk holds under one shard key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Record {
    /// Nothing.
    #[default]
    None,
    /// The shard as its gateway sealed it.
    Good,
    /// Other bytes under the same key: sealed by another upload that used the same chunk id.
    Foreign,
    /// A copy that went wrong.
    Torn,
}

/// A write lease, as metadata sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lease {
    /// Not yet given out; nobody knows its ids.
    #[default]
    Unissued,
    /// Given to its gateway.
    Live,
    /// Over, for good.
    Expired,
}

/// How far an upload has come: first at its gateway, then as a blob in the namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not begun.
    #[default]
    Unused,
    /// Its shards are on their way.
    Writing,
    /// Its commit was refused.
    Refused,
    /// Committed and referenced.
    Live,
    /// Its reference count fell to zero.
    Dead,
    /// Its disks were told to delete it.
    Gone,
}

/// One upload of one chunk, and the blob that it becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Upload {
    /// How far it has come.
    pub phase: Phase,
    /// The acknowledged epoch, which its commit carries.
    pub epoch: Epoch,
    /// The group's epoch when writes were sent last.
    pub sent: Epoch,
    /// By slot, the disk to which the write was sent last.
    pub targets: [Index; SLOTS],
    /// Slots that have answered.
    pub acks: Bits,
    /// Slots recorded as missing, each with its durable repair task.
    pub missing: Bits,
    /// References to the blob.
    pub refs: u8,
    /// Whether a copy of the object was made.
    pub shared: bool,
    /// Per slot, the epoch of a repair's report under way; 0 for none.
    pub reports: [Epoch; SLOTS],
    /// Slots whose shard went bad; their disks know, and have not said so yet.
    pub rotten: Bits,
}

/// A placement group: the cluster's row, and what the namespace knows of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Group {
    /// Cluster: the epoch of these members.
    pub epoch: Epoch,
    /// Cluster: the disk of each slot.
    pub members: [Index; SLOTS],
    /// Cluster: whether new runs may begin here.
    pub open: bool,
    /// Namespace (`group_epochs`): the epoch with which each slot was last closed.
    pub closed: [Epoch; SLOTS],
}

/// What one disk remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Disk {
    /// By chunk and slot.
    pub records: [[Record; SLOTS]; CHUNKS],
    /// By group and slot: the epoch with which this disk joined it last; 0 for never.
    pub joined: [[Epoch; SLOTS]; GROUPS],
    /// By chunk and slot: the epochs of the deletes that were ever sent here.
    pub deletes: [[Bits; SLOTS]; CHUNKS],
}

/// The mover's task under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Move {
    /// The group and slot that move, from and to which disk.
    pub group: Index,
    /// The slot.
    pub slot: Index,
    /// Its member when the move began.
    pub source: Index,
    /// The disk that takes over.
    pub target: Index,
    /// The group's epoch when the move began: what its swap expects to replace.
    pub epoch: Epoch,
    /// Whether the namespace knows.
    pub raised: bool,
    /// Uploads to be copied, once listed.
    pub listed: Option<Bits>,
    /// Uploads whose copy counts as verified.
    pub verified: Bits,
    /// Whether the swap is committed.
    pub swapped: bool,
    /// Whether the source was told to delete too early.
    pub told: bool,
}

/// A swap in the log, not yet applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Swap {
    /// The group.
    pub group: Index,
    /// The slot.
    pub slot: Index,
    /// Its new disk.
    pub target: Index,
    /// The epoch it expects to replace.
    pub expects: Epoch,
}

/// A lost disk's slot that another disk takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Replacement {
    /// The lost disk.
    pub lost: Index,
    /// The disk that takes over.
    pub new: Index,
    /// The walk over the group's runs under way.
    pub walk: Option<Walk>,
}

/// A walk over the runs of a group, in order of their chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Walk {
    /// The table's epoch of the group when it began: what the swap expects.
    pub expects: Epoch,
    /// The next chunk.
    pub next: Index,
}

/// The orphan collector's round under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sweep {
    /// None.
    #[default]
    Idle,
    /// A disk has said what it holds: slots by chunk.
    Inventoried {
        /// The disk.
        disk: Index,
        /// What it held.
        held: [Bits; CHUNKS],
        /// Wrong way round: chunks that no run covered, read before their leases.
        bare: Option<Bits>,
    },
    /// A disk has judged what it holds by itself, and deletes that next: slots by chunk.
    Judged {
        /// The disk.
        disk: Index,
        /// What it will delete.
        doomed: [Bits; CHUNKS],
        /// The groups' epochs when it read metadata.
        epochs: [Epoch; GROUPS],
    },
    /// Wrong way round: metadata was read before any inventory.
    ReadFirst {
        /// Chunks that no run and no live lease covered.
        free: Bits,
        /// Slots, by chunk, whose member had the shard.
        kept: [Bits; CHUNKS],
        /// The groups' epochs then.
        epochs: [Epoch; GROUPS],
        /// And their members.
        members: [[Index; SLOTS]; GROUPS],
    },
}

/// One state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// By gateway.
    pub leases: [Lease; LEASES],
    /// By upload.
    pub uploads: [Upload; UPLOADS],
    /// By group.
    pub groups: [Group; GROUPS],
    /// By disk.
    pub disks: [Disk; DISKS],
    /// What the mover does.
    pub task: Option<Move>,
    /// Moves that may still begin.
    pub moves: u8,
    /// The swap under way.
    pub swap: Option<Swap>,
    /// What the collector does.
    pub sweep: Sweep,
    /// Rounds that the collector may still begin.
    pub sweeps: u8,
    /// The upload that a reader looked up and still reads.
    pub reading: Option<Index>,
    /// Reads that may still begin.
    pub reads: u8,
    /// By replaceable slot of the scene: its replacement, once begun.
    pub replacements: [Option<Replacement>; 2],
    /// Disks that failed for good.
    pub failed: Bits,
    /// Faults, of disks and of single shards, that have happened.
    pub faults: u8,
}

impl World {
    /// Empty disks, no leases, every slot joined at epoch 1.
    pub fn new(scene: &Scene) -> World {
        let mut disks = [Disk::default(); DISKS];
        let mut groups = [Group::default(); GROUPS];
        for (g, group) in groups.iter_mut().enumerate() {
            *group = Group {
                epoch: 1,
                members: scene.members[g],
                open: true,
                closed: [0; SLOTS],
            };
            for slot in 0..usize::from(scene.slots) {
                disks[usize::from(group.members[slot])].joined[g][slot] = 1;
            }
        }
        World {
            leases: [Lease::Unissued; LEASES],
            uploads: [Upload::default(); UPLOADS],
            groups,
            disks,
            task: None,
            moves: scene.moves,
            swap: None,
            sweep: Sweep::Idle,
            sweeps: scene.sweeps,
            reading: None,
            reads: scene.reads,
            replacements: [None; 2],
            failed: 0,
            faults: 0,
        }
    }
}

/// The set with one member.
pub fn bit(index: Index) -> Bits {
    1 << index
}

/// Whether `set` has `index`.
pub fn has(set: Bits, index: Index) -> bool {
    set & bit(index) != 0
}
