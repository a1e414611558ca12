//! What may happen, one atomic step at a time, in words.

use std::fmt;

use crate::world::{Epoch, Index};

/// One step of one actor. Each field is an index into the world's arrays.
#[expect(
    missing_docs,
    reason = "Display says what each variant and field means"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Issue {
        gateway: Index,
    },
    Expire {
        gateway: Index,
    },
    Begin {
        upload: Index,
    },
    Land {
        upload: Index,
        slot: Index,
    },
    Resend {
        upload: Index,
    },
    Apply {
        upload: Index,
    },
    Share {
        upload: Index,
    },
    Unreference {
        upload: Index,
    },
    Look {
        upload: Index,
    },
    Finish,
    Close {
        group: Index,
        slot: Index,
        target: Index,
    },
    Raise,
    List,
    Copy {
        upload: Index,
    },
    Tear {
        upload: Index,
    },
    ProposeSwap,
    ApplySwap,
    GiveUp,
    DeleteSource,
    Repair {
        upload: Index,
        slot: Index,
    },
    Report {
        upload: Index,
        slot: Index,
    },
    Reclaim {
        upload: Index,
    },
    Inventory {
        disk: Index,
    },
    Read,
    Judge,
    Delete {
        disk: Index,
        chunk: Index,
        slot: Index,
        epoch: Epoch,
    },
    Collect,
    Fail {
        disk: Index,
    },
    Rot {
        upload: Index,
        slot: Index,
    },
    ReportBad {
        upload: Index,
        slot: Index,
    },
    Replace {
        at: Index,
        new: Index,
    },
    CloseLost {
        at: Index,
    },
    BeginWalk {
        at: Index,
    },
    Walk {
        at: Index,
    },
    BreakOff {
        at: Index,
    },
    TakeOver {
        at: Index,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Action::Issue { gateway } => write!(f, "gateway {gateway} is given its lease"),
            Action::Expire { gateway } => write!(f, "the lease of gateway {gateway} expires"),
            Action::Begin { upload } => write!(f, "upload {upload} begins and sends its shards"),
            Action::Land { upload, slot } => {
                write!(f, "upload {upload}: the write for slot {slot} arrives")
            }
            Action::Resend { upload } => {
                write!(
                    f,
                    "upload {upload}: what nobody acknowledged is sent to the new members"
                )
            }
            Action::Apply { upload } => write!(f, "upload {upload}: the commit is applied"),
            Action::Share { upload } => write!(f, "the object of upload {upload} is copied"),
            Action::Unreference { upload } => write!(f, "an object of upload {upload} is deleted"),
            Action::Look { upload } => write!(f, "a reader looks up upload {upload}"),
            Action::Finish => write!(f, "the reader is done"),
            Action::Close {
                group,
                slot,
                target,
            } => {
                write!(
                    f,
                    "group {group} closes: slot {slot} is to move to disk {target}"
                )
            }
            Action::Raise => write!(f, "the namespace learns the closed slot's epoch"),
            Action::List => write!(f, "the runs to be moved are listed"),
            Action::Copy { upload } => write!(f, "the target copies and verifies upload {upload}"),
            Action::Tear { upload } => write!(f, "the target's copy of upload {upload} goes wrong"),
            Action::ProposeSwap => write!(f, "the swap is proposed"),
            Action::ApplySwap => write!(f, "the swap is applied"),
            Action::GiveUp => write!(f, "the move is given up and the group reopened"),
            Action::DeleteSource => write!(f, "the source is told to delete"),
            Action::Repair { upload, slot } => {
                write!(f, "upload {upload}: slot {slot} is rebuilt on its member")
            }
            Action::Report { upload, slot } => {
                write!(f, "upload {upload}: the repair of slot {slot} is reported")
            }
            Action::Reclaim { upload } => write!(f, "disks are told to delete upload {upload}"),
            Action::Inventory { disk } => write!(f, "disk {disk} lists what it holds"),
            Action::Read => write!(f, "the collector reads metadata"),
            Action::Judge => write!(f, "the collector reads metadata and judges the inventory"),
            Action::Delete {
                disk,
                chunk,
                slot,
                epoch,
            } => write!(
                f,
                "the delete of chunk {chunk} slot {slot}, decided at epoch {epoch}, arrives at disk {disk}"
            ),
            Action::Collect => write!(f, "the disk deletes what it judged"),
            Action::Fail { disk } => write!(f, "disk {disk} fails"),
            Action::Rot { upload, slot } => {
                write!(f, "upload {upload}: the shard in slot {slot} goes bad")
            }
            Action::ReportBad { upload, slot } => {
                write!(f, "upload {upload}: slot {slot} is reported bad")
            }
            Action::Replace { at, new } => {
                write!(
                    f,
                    "the disk of replaceable slot {at} is lost: disk {new} is to take over"
                )
            }
            Action::CloseLost { at } => write!(f, "the namespace closes replaceable slot {at}"),
            Action::BeginWalk { at } => {
                write!(f, "the walk for replaceable slot {at} begins")
            }
            Action::Walk { at } => {
                write!(
                    f,
                    "the walk for replaceable slot {at} records the next chunk's run"
                )
            }
            Action::BreakOff { at } => {
                write!(f, "the walk for replaceable slot {at} is broken off")
            }
            Action::TakeOver { at } => write!(f, "replaceable slot {at} has its new disk"),
        }
    }
}

/// What kind of thing a step did.
#[expect(missing_docs, reason = "the names are the meaning")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    LeaseIssued,
    LeaseExpired,
    UploadBegun,
    WriteLanded,
    WriteLandedLate,
    WriteRefused,
    ShardsResent,
    CommittedWhole,
    CommittedShort,
    CommitRefused,
    Shared,
    Unreferenced,
    Died,
    ReadBegun,
    ReadDone,
    GroupClosed,
    EpochRaised,
    RunsListed,
    Copied,
    CopyTorn,
    SwapProposed,
    MoveCompleted,
    SwapRefused,
    MoveGivenUp,
    SourceToldToDelete,
    ShardRebuilt,
    RepairAccepted,
    RepairRefused,
    Reclaimed,
    Inventoried,
    MetadataRead,
    OrphanFound,
    LeftoverFound,
    NothingFound,
    DeleteExecuted,
    DeleteRefused,
    OrphansCollected,
    CollectionRefused,
    DiskFailed,
    ShardRotted,
    BadReported,
    ReplacementBegun,
    LostSlotClosed,
    WalkBegun,
    RunRecorded,
    WalkBrokenOff,
    TakenOver,
    TakeOverRefused,
}
