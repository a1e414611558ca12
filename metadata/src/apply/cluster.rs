//! Commands of the cluster half: which function does which, and servers, disks, groups, buckets' keys.

use super::{Applied, accounts, handed_out, joining, replace, take_ids};
use crate::command::ClusterCommand;
use crate::reply::{Refusal, Reply};
use crate::store::StoreError;
use crate::tables::{
    CLUSTER_COUNTERS, ClusterId, DISKS, GROUP_TABLE_VERSION, GROUPS, INCARNATION, KEKS, KekRow,
    LAYOUTS, LayoutRow, NODES, NodeRow, REPLACEMENTS, TableKey,
};
use crate::txn::{Rows, Txn};
use bytes::Bytes;
use std::collections::BTreeSet;
use types::id::{BucketId, DiskId, NodeId};
use types::placement::{Admission, Disk, Epoch, Group};
use types::profile::Profile;
use types::wire::accounts::{KeyInfo, KeyState};
use types::wire::metadata::WallTime;

/// Most groups that one command makes.
pub const MAX_GROUPS: usize = 500;

pub(super) fn apply(txn: &mut Txn<'_>, wall: WallTime, command: &ClusterCommand) -> Applied {
    match command {
        ClusterCommand::AdmitNode => {
            let node = NodeId::new(take(txn, ClusterId::Node, 1)?);
            let row = NodeRow {
                admitted: wall,
                role: None,
                address: None,
                removed: None,
            };
            NODES.put(txn, &node, &row);
            Ok(Reply::Node(node))
        }
        ClusterCommand::ReserveDiskId => {
            Ok(Reply::Disk(DiskId::new(take(txn, ClusterId::Disk, 1)?)))
        }
        ClusterCommand::AdmitDisk { disk } => admit_disk(txn, disk),
        ClusterCommand::ReserveGroupIds { count } => {
            let first = take(txn, ClusterId::Group, u64::from(*count))?;
            Ok(Reply::Ids {
                first,
                count: *count,
            })
        }
        ClusterCommand::CreateGroups { groups, completes } => {
            create_groups(txn, wall, groups, *completes)
        }
        ClusterCommand::InstallKek {
            bucket,
            version,
            wrapped,
        } => install_kek(txn, *bucket, *version, wrapped),
        ClusterCommand::DestroyKeks { bucket } => destroy_keks(txn, *bucket),
        ClusterCommand::AddUser { name, id, tenant } => {
            accounts::add_user(txn, wall, name, id, *tenant)
        }
        ClusterCommand::RemoveUser { name, id } => accounts::remove_user(txn, name, id),
        ClusterCommand::AddKey {
            id,
            user,
            user_id,
            label,
            secret,
        } => {
            let key = KeyInfo {
                id: id.clone(),
                user: user.clone(),
                label: label.clone(),
                state: KeyState::Active,
                created: wall,
            };
            accounts::add_key(txn, key, user_id, secret)
        }
        ClusterCommand::SetKeyState { id, state } => accounts::set_key_state(txn, id, *state),
        ClusterCommand::RemoveKey { id } => accounts::remove_key(txn, wall, id),
        ClusterCommand::BeginReplacement { lost, new } => replace::begin(txn, *lost, new),
        ClusterCommand::SwapMembers { lost, swaps } => replace::swap(txn, *lost, swaps),
        ClusterCommand::EndReplacement { lost } => replace::end(txn, *lost),
        ClusterCommand::AddToken { role, lifetime_ms } => {
            joining::add_token(txn, *role, *lifetime_ms)
        }
        ClusterCommand::RemoveToken { token } => joining::remove_token(txn, *token),
        ClusterCommand::UseToken {
            token,
            key,
            address,
        } => joining::use_token(txn, wall, *token, key, address.as_ref()),
        ClusterCommand::RemoveNode { node } => joining::remove_node(txn, wall, *node),
    }
}

fn admit_disk(txn: &mut Txn<'_>, disk: &Disk) -> Applied {
    if DISKS.get(txn, &disk.id)?.is_some_and(|row| row == *disk) {
        return Ok(Reply::Done);
    }
    if DISKS.contains(txn, &disk.id)? || !admissible(txn, disk)? {
        return Err(Refusal::IdNotReserved.into());
    }
    DISKS.put(txn, &disk.id, disk);
    raise_table_version(txn)?;
    Ok(Reply::Done)
}

/// Whether a disk's id was handed out and is not one that was lost, and its server is known.
pub(super) fn admissible(txn: &Txn<'_>, disk: &Disk) -> Result<bool, StoreError> {
    let next = CLUSTER_COUNTERS.get(txn, &ClusterId::Disk)?;
    Ok(handed_out(incarnation(txn)?, next, disk.id.get())
        && !REPLACEMENTS.contains(txn, &disk.id)?
        && NODES.contains(txn, &disk.node)?)
}

fn create_groups(
    txn: &mut Txn<'_>,
    wall: WallTime,
    groups: &[Group],
    completes: Option<Profile>,
) -> Applied {
    if groups.len() > MAX_GROUPS {
        return Err(Refusal::TooLarge.into());
    }
    let next = CLUSTER_COUNTERS.get(txn, &ClusterId::Group)?;
    let incarnation = incarnation(txn)?;
    let mut ids = BTreeSet::new();
    for group in groups {
        let fresh = handed_out(incarnation, next, group.id.get())
            && !GROUPS.contains(txn, &group.id)?
            && ids.insert(group.id);
        if !fresh {
            return Err(Refusal::IdNotReserved.into());
        }
        if !well_formed(txn, group)? {
            return Err(Refusal::BadGroup.into());
        }
    }
    for group in groups {
        GROUPS.put(txn, &group.id, group);
    }
    if let Some(profile) = completes {
        let completed = wall;
        LAYOUTS.put(txn, &profile, &LayoutRow { completed });
    }
    raise_table_version(txn)?;
    Ok(Reply::Done)
}

/// A new group is open, at epoch 1, and has a slot for each shard on a disk of its own, all admitted,
/// none lost, and of the profile's class.
fn well_formed(txn: &Txn<'_>, group: &Group) -> Result<bool, StoreError> {
    let first = Epoch(1);
    let disks: BTreeSet<DiskId> = group.members.iter().map(|member| member.disk).collect();
    let shape = group.epoch == first
        && group.admission == Admission::Open
        && group.members.len() == group.profile.shards()
        && disks.len() == group.members.len()
        && group.members.iter().all(|member| member.joined == first);
    if !shape {
        return Ok(false);
    }
    for disk in disks {
        let class = DISKS.get(txn, &disk)?.map(|disk| disk.class);
        if class != Some(group.profile.class()) || REPLACEMENTS.contains(txn, &disk)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn install_kek(txn: &mut Txn<'_>, bucket: BucketId, version: u32, wrapped: &Bytes) -> Applied {
    let key = (bucket, version);
    if KEKS.contains(txn, &key)? {
        return Err(Refusal::KekExists.into());
    }
    let wrapped = wrapped.clone();
    KEKS.put(txn, &key, &KekRow { wrapped });
    Ok(Reply::Done)
}

fn destroy_keks(txn: &mut Txn<'_>, bucket: BucketId) -> Applied {
    let prefix = bucket.bytes();
    let versions: Vec<_> = KEKS.scan(txn, &prefix).collect::<Result<_, _>>()?;
    for (key, _) in versions {
        let version = key.last_chunk().expect("the key ends with a version");
        KEKS.delete(txn, &(bucket, u32::from_be_bytes(*version)));
    }
    Ok(Reply::Done)
}

pub(super) fn take(txn: &mut Txn<'_>, kind: ClusterId, count: u64) -> Result<u64, super::Stop> {
    let next = CLUSTER_COUNTERS.get(txn, &kind)?;
    let (first, after) = take_ids(incarnation(txn)?, next, count)?;
    CLUSTER_COUNTERS.put(txn, &kind, &after);
    Ok(first)
}

/// How many restores from a backup the cluster has seen.
fn incarnation(rows: &impl Rows) -> Result<u8, StoreError> {
    Ok(INCARNATION.get(rows, &())?.unwrap_or(0))
}

pub(super) fn raise_table_version(txn: &mut Txn<'_>) -> Result<(), StoreError> {
    let version = GROUP_TABLE_VERSION.get(txn, &())?.unwrap_or(0);
    GROUP_TABLE_VERSION.put(txn, &(), &(version + 1));
    Ok(())
}
