//! What waits for a disk's writer, and how it is answered.

use crate::drive::Drive;
use crate::index::Location;
use crate::plan::{Removed, Request, Verdict};
use crate::tombstone::Tombstone;
use tokio::sync::oneshot;
use types::wire::storage::{PutError, PutShard};

/// A request that waits until it is durable.
pub(crate) enum Ticket {
    /// A shard, and where its damaged record was found.
    Put(
        PutShard,
        Option<Location>,
        oneshot::Sender<Result<Stored, PutError>>,
    ),
    /// A shard that is to be moved, where it lies, and whether it was.
    Move(PutShard, Location, oneshot::Sender<Result<bool, Refusal>>),
    /// What is to be removed.
    Delete(Tombstone, oneshot::Sender<Result<Removed, Refusal>>),
    /// What is not needed any more is to be removed: of the open volume too, when nothing was written since
    /// the last time.
    Look(oneshot::Sender<()>),
}

/// What happened to a shard.
#[derive(Debug)]
pub(crate) enum Stored {
    /// It is durable.
    Durable,
    /// A durable record stands under its key already: compare.
    Before(Location),
}

/// Why what waited was refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// The file system has no room.
    Full,
    /// The disk was stopped.
    Failed,
}

impl Ticket {
    pub(crate) fn is_look(&self) -> bool {
        matches!(self, Self::Look(_))
    }

    pub(crate) fn looked(self) {
        if let Self::Look(answer) = self {
            let _abandoned = answer.send(());
        }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        match self {
            Self::Put(put, damaged, _) => Request::Put(put, *damaged),
            Self::Move(put, from, _) => Request::Move(put, *from),
            Self::Delete(dead, _) => Request::Delete(*dead),
            Self::Look(_) => unreachable!("a look waits for nothing durable"),
        }
    }

    /// What is to be written.
    pub(crate) fn shard(&self) -> Option<&PutShard> {
        match self {
            Self::Put(put, ..) | Self::Move(put, ..) => Some(put),
            Self::Delete(..) | Self::Look(_) => None,
        }
    }

    /// Whoever waited may have given up; what was done stands all the same.
    pub(crate) fn refuse(self, drive: &Drive, why: Refusal) {
        let disk = drive.id;
        match self {
            Self::Put(_, _, answer) => {
                let error = match why {
                    Refusal::Full => PutError::Full { disk },
                    Refusal::Failed => PutError::DiskFailed { disk },
                };
                let _abandoned = answer.send(Err(error));
            }
            Self::Move(_, _, answer) => {
                let _abandoned = answer.send(Err(why));
            }
            Self::Delete(_, answer) => {
                let _abandoned = answer.send(Err(why));
            }
            Self::Look(_) => {}
        }
    }

    pub(crate) fn answer(self, verdict: Verdict, removed: &[Removed]) {
        match (self, verdict) {
            (Self::Put(_, _, answer), verdict) => {
                let _abandoned = answer.send(match verdict {
                    Verdict::Compare(location) => Ok(Stored::Before(location)),
                    Verdict::Refuse(error) => Err(error),
                    _ => Ok(Stored::Durable),
                });
            }
            (Self::Move(_, _, answer), verdict) => {
                let _abandoned = answer.send(match verdict {
                    Verdict::Append(_) => Ok(true),
                    Verdict::Refuse(_) => Err(Refusal::Full),
                    _ => Ok(false),
                });
            }
            (Self::Delete(_, answer), verdict) => {
                let _abandoned = answer.send(match verdict {
                    Verdict::Bury(range) => Ok(removed[range]),
                    _ => Ok(Removed::default()),
                });
            }
            (Self::Look(_), _) => {}
        }
    }
}
