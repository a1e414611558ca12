//! The fences of the data path, each of which can be taken away.
//!
//! One variant is one clause of "What must always hold" in the design, or one that this model
//! added because the design as first written lost data without it (docs/decisions/0002 to 0006, 0014). A step
//! that a fence guards asks [`Fences::hold`]; nothing else in the model knows that fences can fall.

/// A clause that prevents a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Fence {
    /// A commit needs the ack rule's shards durable.
    AckRule,
    /// A shard that did not land is recorded as missing, with its repair task, in that same commit.
    ShortIsRecorded,
    /// `apply` records as missing every slot closed since the run's acknowledged epoch.
    CommitCarriesEpoch,
    /// Sharpened: that epoch is the least under which any of its shards was sent.
    LeastEpochCounts,
    /// Closing a group raises its epoch where commits see it: in the namespace.
    CloseRaisesNamespace,
    /// The runs to be moved are listed after that epoch was raised.
    ListAfterRaise,
    /// Added: `apply` refuses a run that fewer than k slots would still hold.
    EnoughRemain,
    /// Added: a repair's report names its epoch, and is refused when the slot was closed since.
    ReportCarriesEpoch,
    /// A node refuses a second, different record under one shard key.
    NodeWritesOnce,
    /// `apply` accepts a run only while the lease it names is live.
    LeaseLive,
    /// … and only if that lease was given to the very gateway that proposes.
    LeaseOwned,
    /// … and only if the run's ids are that lease's.
    RunInsideLease,
    /// `apply` refuses a run that overlaps another of its group.
    RunsDisjoint,
    /// Added: a reclaimed run still counts as one of its group's while its lease lives.
    RunsOutliveReclaim,
    /// A reference count never rises from zero.
    RefsNeverRise,
    /// Disks are told to delete only what is committed as dead.
    DeadBeforeTold,
    /// … and only when no read that looked the blob up before its death can be under way.
    ReclaimDelay,
    /// Added: dead runs move with the living until they are reclaimed.
    DeadStillMoves,
    /// A delete names its disk, and runs on no other.
    DeleteNamesDisk,
    /// A delete names its slot, and touches no other's shard.
    DeleteNamesSlot,
    /// A node refuses a delete older than its joining of the slot.
    DeleteAfterJoining,
    /// Sharpened: a node joins a slot before it takes the first copy, under the epoch that the
    /// move will commit; not when the move has been committed.
    JoinBeforeCopy,
    /// A shard that no run covers is an orphan only once its lease is expired.
    OrphanLeaseExpired,
    /// … by a read taken after the inventory.
    OrphanReadAfterInventory,
    /// Added: of that read, the lease comes no later than the runs.
    LeaseReadBeforeRuns,
    /// Added: a shard whose id no lease has covered yet is not an orphan but damage to be reported.
    UnissuedSpared,
    /// A shard left on a disk that is no longer its slot's goes only when the member has its copy.
    LeftoverVerified,
    /// A copy is verified before the member is swapped.
    CopyVerified,
    /// The swap is a compare-and-set.
    SwapCompares,
    /// Sharpened: … with the epoch at which its move closed the group.
    SwapExpectsItsClose,
    /// Sharpened: a group whose move was given up reopens under a new epoch.
    GiveUpRaisesEpoch,
    /// The source's shards are deleted only after the swap is committed.
    DeleteAfterSwap,
    /// A lost disk's slot is closed in the namespace before the group's runs are walked.
    LossClosesFirst,
    /// Every run is recorded as missing on a lost disk's slot before another disk takes the slot over.
    LossRecordsFirst,
    /// … which is a compare-and-set on the epoch that the group had when the walk began.
    LossSwapCompares,
    /// A repair's task names the epoch of the group table, not the namespace's, which may be ahead.
    TaskNamesTableEpoch,
    /// A disk's reports about one shard are sent one after the other.
    ReportsInOrder,
}

/// Which fences stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fences {
    removed: u64,
}

impl Fences {
    /// All of them.
    pub const ALL: Fences = Fences { removed: 0 };

    /// All but these.
    pub fn without(removed: &[Fence]) -> Fences {
        Fences {
            removed: removed.iter().fold(0, |bits, fence| bits | fence.bit()),
        }
    }

    /// Whether `fence` stands.
    pub fn hold(self, fence: Fence) -> bool {
        self.removed & fence.bit() == 0
    }
}

impl Fence {
    /// Every fence, in the order of the design's invariants.
    pub const ALL: [Fence; 37] = [
        Fence::AckRule,
        Fence::ShortIsRecorded,
        Fence::CommitCarriesEpoch,
        Fence::LeastEpochCounts,
        Fence::CloseRaisesNamespace,
        Fence::ListAfterRaise,
        Fence::EnoughRemain,
        Fence::ReportCarriesEpoch,
        Fence::NodeWritesOnce,
        Fence::LeaseLive,
        Fence::LeaseOwned,
        Fence::RunInsideLease,
        Fence::RunsDisjoint,
        Fence::RunsOutliveReclaim,
        Fence::RefsNeverRise,
        Fence::DeadBeforeTold,
        Fence::ReclaimDelay,
        Fence::DeadStillMoves,
        Fence::DeleteNamesDisk,
        Fence::DeleteNamesSlot,
        Fence::DeleteAfterJoining,
        Fence::JoinBeforeCopy,
        Fence::OrphanLeaseExpired,
        Fence::OrphanReadAfterInventory,
        Fence::LeaseReadBeforeRuns,
        Fence::UnissuedSpared,
        Fence::LeftoverVerified,
        Fence::CopyVerified,
        Fence::SwapCompares,
        Fence::SwapExpectsItsClose,
        Fence::GiveUpRaisesEpoch,
        Fence::DeleteAfterSwap,
        Fence::LossClosesFirst,
        Fence::LossRecordsFirst,
        Fence::LossSwapCompares,
        Fence::TaskNamesTableEpoch,
        Fence::ReportsInOrder,
    ];

    const fn bit(self) -> u64 {
        1 << self as u8
    }
}
