//! Which slots a disk has: the group table turned round, kept until its version rises.

use super::{Inner, lock};
use crate::store::{Store, StoreError};
use crate::tables::{GROUP_TABLE_VERSION, GROUPS};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use types::id::{DiskId, GroupId};
use types::placement::{Group, Slot};
use types::wire::metadata::MetadataError;

/// The groups by id, and the slots of each disk, as of one version of the table.
#[derive(Debug, Default)]
pub(super) struct Placement {
    version: u64,
    /// By id.
    pub(super) groups: BTreeMap<GroupId, Group>,
    slots: HashMap<DiskId, Vec<(GroupId, Slot)>>,
}

impl Placement {
    /// The slots of a disk, by group; a group has at most one on a disk.
    pub(super) fn slots_of(&self, disk: DiskId) -> &[(GroupId, Slot)] {
        self.slots.get(&disk).map_or(&[], Vec::as_slice)
    }

    /// Whether a disk has a slot.
    pub(super) fn holds(&self, disk: DiskId, group: GroupId, slot: Slot) -> bool {
        let group = self.groups.get(&group);
        let member = group.and_then(|group| group.members.get(usize::from(slot.0)));
        member.is_some_and(|member| member.disk == disk)
    }

    fn read(store: &Store, version: u64) -> Result<Self, StoreError> {
        let mut placement = Self {
            version,
            ..Self::default()
        };
        for row in GROUPS.scan(store, &[]) {
            let (_, group) = row?;
            for (slot, member) in (0..).map(Slot).zip(&group.members) {
                let slots = placement.slots.entry(member.disk).or_default();
                slots.push((group.id, slot));
            }
            placement.groups.insert(group.id, group);
        }
        Ok(placement)
    }
}

impl Inner {
    /// Reads rows together with the placement of the same moment, linearizably.
    pub(super) async fn read_placed<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store, &Placement) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, MetadataError> {
        let held = lock(&self.placement).clone();
        let (placement, value) = self
            .read(move |store| {
                let version = GROUP_TABLE_VERSION.get(store, &())?.unwrap_or(0);
                let held = held.filter(|held| held.version == version);
                let placement = match held {
                    Some(held) => held,
                    None => Arc::new(Placement::read(store, version)?),
                };
                let value = read(store, &placement)?;
                Ok((placement, value))
            })
            .await?;
        let mut held = lock(&self.placement);
        if held
            .as_ref()
            .is_none_or(|held| held.version < placement.version)
        {
            *held = Some(placement);
        }
        Ok(value)
    }
}
