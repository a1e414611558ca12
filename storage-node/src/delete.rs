//! Removing shards: who may, and what came of it.
//!
//! A delete names disk, slot and the epoch that decided it. It is refused when the disk joined the slot
//! later: what it was decided about is not what lies there now (decision 0002).

use std::collections::HashMap;
use types::placement::{GroupTable, Member, Slot};
use types::{ByteCount, DiskId, Epoch, GroupId};

/// What was removed: only what was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// How many shards.
    pub shards: u64,
    /// The length of their records. The space comes back with the volumes that they lay in.
    pub bytes: ByteCount,
}

/// Why nothing was removed; after `DiskFailed`, `DiskUnavailable` and `Full` it may turn out to have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// It was decided before the disk joined the slot: not about what lies there now. Drop it.
    #[error("the delete was decided in {sent:?}, and the disk joined the slot in {joined:?}")]
    StaleEpoch {
        /// The delete's.
        sent: Epoch,
        /// The joining's.
        joined: Epoch,
    },
    /// By the group table that this node has learnt, another disk holds the slot; or it has learnt none.
    #[error("{disk} does not hold {slot:?} of {group}, as far as this node knows")]
    NotHeld {
        /// The disk.
        disk: DiskId,
        /// The group.
        group: GroupId,
        /// The slot.
        slot: Slot,
    },
    /// The disk is not here: absent, stopped, or on another node.
    #[error("{disk} is not available")]
    DiskUnavailable {
        /// Which.
        disk: DiskId,
    },
    /// Even the space that is kept back for this is used up.
    #[error("{disk} has no room for a tombstone")]
    Full {
        /// Which.
        disk: DiskId,
    },
    /// Too much is waiting for this disk. Retry later.
    #[error("{disk} is busy")]
    Busy {
        /// Which.
        disk: DiskId,
    },
    /// The disk failed and was stopped.
    #[error("{disk} failed")]
    DiskFailed {
        /// Which.
        disk: DiskId,
    },
}

/// What the node has learnt of groups: it refuses what was decided by older knowledge.
#[derive(Debug, Default)]
pub(crate) struct Fences {
    groups: HashMap<GroupId, Known>,
}

#[derive(Debug)]
struct Known {
    epoch: Epoch,
    members: Vec<Member>,
}

impl Fences {
    /// Takes in what is newer than what is known.
    pub(crate) fn learn(&mut self, table: &GroupTable) {
        for group in &table.groups {
            let known = self.groups.get(&group.id);
            if known.is_none_or(|known| known.epoch <= group.epoch) {
                let known = Known {
                    epoch: group.epoch,
                    members: group.members.clone(),
                };
                self.groups.insert(group.id, known);
            }
        }
    }

    /// A group's epoch; of one that is not known, the oldest.
    pub(crate) fn epoch(&self, group: GroupId) -> Epoch {
        let known = self.groups.get(&group);
        known.map_or_else(Epoch::default, |known| known.epoch)
    }

    /// Whether a delete that was decided in that epoch is about what lies in the slot now.
    pub(crate) fn admit(
        &self,
        disk: DiskId,
        group: GroupId,
        slot: Slot,
        sent: Epoch,
    ) -> Result<(), DeleteError> {
        let members = self.groups.get(&group).map(|known| &known.members);
        let member = members.and_then(|members| members.get(usize::from(slot.0)));
        match member.filter(|member| member.disk == disk) {
            None => Err(DeleteError::NotHeld { disk, group, slot }),
            Some(&Member { joined, .. }) if sent < joined => {
                Err(DeleteError::StaleEpoch { sent, joined })
            }
            Some(_) => Ok(()),
        }
    }
}
