//! What storage nodes pull and report: how data is kept whole, and how what is dead goes.
//!
//! Tasks carry the epoch that the group *table* has at the moment of asking, never the namespace's: a slot
//! that is about to move is closed there first, so that what its old disk reports is refused from then on
//! (docs/decisions/0005, 0014). What a report does not change is not proposed, so that reports which are sent
//! again and again cost no log entries.

use super::{Inner, Server};
use crate::command::{Command, NamespaceCommand};
use crate::log::Log;
use crate::store::{Store, StoreError};
use crate::tables::{BLOBS, DELETES, GROUP_RUNS, HOLD, REPAIRS, TableKey};
use std::collections::BTreeSet;
use types::id::{ChunkId, DiskId, GroupId};
use types::placement::{Disk, GroupTable, Slot};
use types::shard::ShardKey;
use types::wire::Upkeep;
use types::wire::metadata::{Answer, MetadataError};
use types::wire::upkeep::{Covered, DeleteTask, Health, MAX_TASKS, RepairTask, Repaired, RunSlot};

impl Inner {
    async fn deletes(
        &self,
        disk: DiskId,
        after: Option<RunSlot>,
    ) -> Result<Vec<DeleteTask>, MetadataError> {
        self.read_placed(move |store, placement| {
            let mut tasks = Vec::new();
            let held = HOLD.contains(store, &())?;
            if held || DELETES.scan(store, &[]).next().transpose()?.is_none() {
                return Ok(tasks);
            }
            for (group, slot) in from_group(placement.slots_of(disk), after) {
                let epoch = placement.groups[&group].epoch;
                let from = (group, slot, first_behind(group, after)).bytes();
                let to = (group, slot, ChunkId::new(u64::MAX)).bytes();
                let most = MAX_TASKS as usize - tasks.len();
                for row in DELETES.range(store, &from, &to).take(most) {
                    let (row_key, row) = row?;
                    let first_chunk = trailing_chunk(&row_key)?;
                    let at = RunSlot {
                        group,
                        first_chunk,
                        slot,
                    };
                    let chunks = row.chunks;
                    tasks.push(DeleteTask { at, chunks, epoch });
                }
            }
            Ok(tasks)
        })
        .await
    }

    async fn deleted(&self, disk: DiskId, done: Vec<RunSlot>) -> Result<(), MetadataError> {
        bounded(done.len())?;
        let slots = self
            .read_placed(move |store, placement| {
                let mut pending = BTreeSet::new();
                for at in done {
                    if placement.holds(disk, at.group, at.slot)
                        && DELETES.contains(store, &(at.group, at.slot, at.first_chunk))?
                    {
                        pending.insert(at);
                    }
                }
                Ok(Vec::from_iter(pending))
            })
            .await?;
        self.propose_some(slots, |slots| NamespaceCommand::Deleted { slots })
            .await
    }

    async fn repaired(&self, disk: DiskId, done: Vec<Repaired>) -> Result<(), MetadataError> {
        bounded(done.len())?;
        let done = self
            .read_placed(move |store, placement| {
                let mut recorded = Vec::new();
                for report in done {
                    let at = report.at;
                    if placement.holds(disk, at.group, at.slot)
                        && REPAIRS.contains(store, &(at.group, at.first_chunk, at.slot))?
                    {
                        recorded.push(report);
                    }
                }
                Ok(recorded)
            })
            .await?;
        self.propose_some(done, |done| NamespaceCommand::ClearRepairs { done })
            .await
    }

    async fn report_bad(&self, disk: DiskId, shards: Vec<ShardKey>) -> Result<(), MetadataError> {
        bounded(shards.len())?;
        let slots = self
            .read_placed(move |store, placement| {
                let mut slots = BTreeSet::new();
                for shard in shards {
                    if placement.holds(disk, shard.group, Slot(shard.index)) {
                        slots.extend(unrecorded(store, &shard)?);
                    }
                }
                Ok(Vec::from_iter(slots))
            })
            .await?;
        if slots.is_empty() {
            return Ok(());
        }
        self.propose_some(slots, |slots| NamespaceCommand::RecordMissing { slots })
            .await?;
        self.count_anew().await;
        Ok(())
    }

    async fn propose_some<T>(
        &self,
        items: Vec<T>,
        command: impl FnOnce(Vec<T>) -> NamespaceCommand,
    ) -> Result<(), MetadataError> {
        if items.is_empty() {
            return Ok(());
        }
        let command = Command::Namespace(command(items));
        self.propose(command).await.map(drop)
    }
}

/// The slots of groups from that of `after` on.
fn from_group(
    slots: &[(GroupId, Slot)],
    after: Option<RunSlot>,
) -> impl Iterator<Item = (GroupId, Slot)> {
    let from = after.map(|at| at.group);
    let begins = move |slot: &&(GroupId, Slot)| from.is_none_or(|from| slot.0 >= from);
    slots.iter().filter(begins).copied()
}

/// The first chunk in a group that a task behind `after` may begin with. A disk has one slot of a group.
pub(super) fn first_behind(group: GroupId, after: Option<RunSlot>) -> ChunkId {
    let after = after.filter(|at| at.group == group);
    let next = after.map_or(0, |at| at.first_chunk.get().saturating_add(1));
    ChunkId::new(next)
}

fn bounded(reports: usize) -> Result<(), MetadataError> {
    if reports > MAX_TASKS as usize {
        let text = format!("{reports} reports in one; {MAX_TASKS} are allowed");
        return Err(MetadataError::Malformed(text));
    }
    Ok(())
}

pub(super) fn trailing_chunk(row_key: &[u8]) -> Result<ChunkId, StoreError> {
    let chunk = row_key.last_chunk().ok_or(StoreError::Damaged)?;
    Ok(ChunkId::new(u64::from_be_bytes(*chunk)))
}

/// The slot of a living run that a bad shard is in, unless that is recorded.
fn unrecorded(store: &Store, shard: &ShardKey) -> Result<Option<RunSlot>, StoreError> {
    let from = (shard.group, shard.chunk).bytes();
    let to = (shard.group, ChunkId::new(u64::MAX)).bytes();
    let row = GROUP_RUNS.range(store, &from, &to).next().transpose()?;
    let Some((_, row)) = row.filter(|(_, row)| row.first <= shard.chunk) else {
        return Ok(None);
    };
    let slot = Slot(shard.index);
    if REPAIRS.contains(store, &(shard.group, row.first, slot))? {
        return Ok(None);
    }
    let blob = BLOBS.get(store, &row.blob)?;
    let living = blob.is_some_and(|blob| blob.references > 0);
    Ok(living.then_some(RunSlot {
        group: shard.group,
        first_chunk: row.first,
        slot,
    }))
}

impl<L: Log> Upkeep for Server<L> {
    fn table(&self, known: u64) -> Answer<'_, Option<GroupTable>> {
        Box::pin(self.inner.group_table(known))
    }

    fn deletes(&self, disk: DiskId, after: Option<RunSlot>) -> Answer<'_, Vec<DeleteTask>> {
        Box::pin(self.inner.deletes(disk, after))
    }

    fn deleted(&self, disk: DiskId, done: Vec<RunSlot>) -> Answer<'_, ()> {
        Box::pin(self.inner.deleted(disk, done))
    }

    fn repairs(&self, disk: DiskId, after: Option<RunSlot>) -> Answer<'_, Vec<RepairTask>> {
        Box::pin(self.inner.repairs(disk, after))
    }

    fn repaired(&self, disk: DiskId, done: Vec<Repaired>) -> Answer<'_, ()> {
        Box::pin(self.inner.repaired(disk, done))
    }

    fn report_bad(&self, disk: DiskId, shards: Vec<ShardKey>) -> Answer<'_, ()> {
        Box::pin(self.inner.report_bad(disk, shards))
    }

    fn covered(&self, group: GroupId, from: ChunkId) -> Answer<'_, Covered> {
        Box::pin(self.inner.covered(group, from))
    }

    fn health(&self, away: Vec<DiskId>) -> Answer<'_, Health> {
        Box::pin(self.inner.health(away))
    }

    fn reserve_disk_id(&self) -> Answer<'_, DiskId> {
        Box::pin(Server::reserve_disk_id(self))
    }

    fn admit_disk(&self, disk: Disk) -> Answer<'_, ()> {
        Box::pin(Server::admit_disk(self, disk))
    }

    fn replace_disk(&self, lost: DiskId, new: Disk) -> Answer<'_, ()> {
        Box::pin(self.inner.replace_disk(lost, new))
    }
}
