//! The group table: which disk holds which slot of which group.

use crate::id::{DiskId, GroupId, NodeId};
use crate::profile::{DiskClass, Profile};
use serde::{Deserialize, Serialize};

/// Raised whenever a group is closed or a slot of it moves. Who holds an older one is refused.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// A place in a group: shard `i` of each of its chunks lies on the disk in slot `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u8);

/// Whether a group takes new runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Admission {
    /// Takes new runs.
    Open,
    /// A slot of it is being moved.
    Closed,
}

/// Who holds a slot, and since which epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The disk.
    pub disk: DiskId,
    /// The epoch at which it joined the slot; it refuses deletes decided before that.
    pub joined: Epoch,
}

/// A placement group: k + m slots, each on a disk of its own failure domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// The profile of every chunk in it.
    pub profile: Profile,
    /// Its epoch.
    pub epoch: Epoch,
    /// Whether it takes new runs.
    pub admission: Admission,
    /// One member a slot, in slot order.
    pub members: Vec<Member>,
}

/// A disk that an operator admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// As stamped on it.
    pub id: DiskId,
    /// The server that it is in.
    pub node: NodeId,
    /// Its class.
    pub class: DiskClass,
}

/// The group table as of one version. A few MB at 10 000 disks; clients cache it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupTable {
    /// Raised by each change.
    pub version: u64,
    /// Sorted by id.
    pub disks: Vec<Disk>,
    /// Sorted by id.
    pub groups: Vec<Group>,
}

impl GroupTable {
    /// The group of that id.
    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups
            .binary_search_by_key(&id, |group| group.id)
            .ok()
            .map(|at| &self.groups[at])
    }
}
