//! What commands that keep data whole carry.

use serde::{Deserialize, Serialize};
use types::id::GroupId;
use types::placement::{Epoch, Slot};

/// A slot that a lost disk gives to another: compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberSwap {
    /// The group.
    pub group: GroupId,
    /// The slot, which must be the lost disk's.
    pub slot: Slot,
    /// The group's epoch while every run of it was recorded as missing on the slot: it must still be.
    pub expects: Epoch,
    /// From now on: the one with which the namespace closed the slot.
    pub epoch: Epoch,
}
