//! A lost disk's slots go to another disk, one compare-and-set a slot.
//!
//! ```text
//! begin: the new disk is admitted -> swap, swap, … -> end: the lost disk's row goes, its id stays used
//! ```
//!
//! What makes a swap safe is done before it, in the namespace half (docs/decisions/0014): the slot's epoch
//! is raised there, and every run that the group has is recorded as missing on the slot.

use super::Applied;
use super::cluster::{admissible, raise_table_version};
use crate::command::MemberSwap;
use crate::reply::{Refusal, Reply};
use crate::tables::{DISKS, GROUPS, REPLACEMENTS, ReplacementRow};
use crate::txn::Txn;
use types::id::DiskId;
use types::placement::{Disk, Group, Member};

/// Most slots that one command swaps.
pub const MAX_SWAPS: usize = 100;

/// Asked again for the same two disks, it changes nothing.
pub(super) fn begin(txn: &mut Txn<'_>, lost: DiskId, new: &Disk) -> Applied {
    if let Some(row) = REPLACEMENTS.get(txn, &lost)? {
        let known = DISKS.get(txn, &new.id)?.is_some_and(|row| row == *new);
        return if row.new == new.id && (known || row.done) {
            Ok(Reply::Done)
        } else {
            Err(Refusal::DiskInUse.into())
        };
    }
    let row = DISKS.get(txn, &lost)?.ok_or(Refusal::NoSuchDisk)?;
    if row.class != new.class {
        return Err(Refusal::OtherClass.into());
    }
    if DISKS.contains(txn, &new.id)? {
        return Err(Refusal::DiskInUse.into());
    }
    if !admissible(txn, new)? {
        return Err(Refusal::IdNotReserved.into());
    }
    DISKS.put(txn, &new.id, new);
    let (new, done) = (new.id, false);
    REPLACEMENTS.put(txn, &lost, &ReplacementRow { new, done });
    raise_table_version(txn)?;
    Ok(Reply::Done)
}

pub(super) fn swap(txn: &mut Txn<'_>, lost: DiskId, swaps: &[MemberSwap]) -> Applied {
    if swaps.len() > MAX_SWAPS {
        return Err(Refusal::TooLarge.into());
    }
    let row = REPLACEMENTS.get(txn, &lost)?.filter(|row| !row.done);
    let new = row.ok_or(Refusal::NoSuchDisk)?.new;
    let mut groups: Vec<Group> = Vec::with_capacity(swaps.len());
    for swap in swaps {
        let group = GROUPS.get(txn, &swap.group)?;
        let mut group = group.ok_or(Refusal::UnknownGroup)?;
        let rises = swap.expects == group.epoch && swap.epoch > group.epoch;
        let twice = group.members.iter().any(|member| member.disk == new);
        let member = group.members.get_mut(usize::from(swap.slot.0));
        let member = member.filter(|member| member.disk == lost && rises && !twice);
        *member.ok_or(Refusal::GroupChanged)? = Member {
            disk: new,
            joined: swap.epoch,
        };
        group.epoch = swap.epoch;
        groups.push(group);
    }
    for group in groups {
        GROUPS.put(txn, &group.id, &group);
    }
    raise_table_version(txn)?;
    Ok(Reply::Done)
}

pub(super) fn end(txn: &mut Txn<'_>, lost: DiskId) -> Applied {
    let row = REPLACEMENTS.get(txn, &lost)?;
    let row = row.ok_or(Refusal::NoSuchDisk)?;
    if row.done {
        return Ok(Reply::Done);
    }
    for group in GROUPS.scan(txn, &[]) {
        let (_, group) = group?;
        if group.members.iter().any(|member| member.disk == lost) {
            return Err(Refusal::DiskInUse.into());
        }
    }
    DISKS.delete(txn, &lost);
    REPLACEMENTS.put(txn, &lost, &ReplacementRow { done: true, ..row });
    raise_table_version(txn)?;
    Ok(Reply::Done)
}
