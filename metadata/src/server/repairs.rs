//! What a disk is to make again.
//!
//! Repair rows lie by group and run, not by slot, and there may be a million of them: they are looked at in
//! pages, so that no read holds up applying for long. Where the first page does not reach, the tally says
//! which groups are worth a look; it may be some seconds old.

use super::Inner;
use super::health::Tally;
use super::placement::Placement;
use super::upkeep::{first_behind, trailing_chunk};
use crate::store::{Store, StoreError};
use crate::tables::{REPAIRS, TableKey};
use std::sync::Arc;
use types::id::{ChunkId, DiskId, GroupId};
use types::wire::metadata::MetadataError;
use types::wire::upkeep::{MAX_TASKS, RepairTask, RunSlot};

/// Most rows that one read looks at.
pub(super) const PAGE_ROWS: usize = 4096;

/// How far a disk's tasks have been looked for.
struct Search {
    disk: DiskId,
    /// Where to go on: a group and a chunk in it.
    from: (GroupId, ChunkId),
    tally: Option<Arc<Tally>>,
    tasks: Vec<RepairTask>,
    done: bool,
}

impl Inner {
    pub(super) async fn repairs(
        &self,
        disk: DiskId,
        after: Option<RunSlot>,
    ) -> Result<Vec<RepairTask>, MetadataError> {
        let group = after.map_or(GroupId::new(0), |at| at.group);
        let mut search = Search {
            disk,
            from: (group, first_behind(group, after)),
            tally: None,
            tasks: Vec::new(),
            done: false,
        };
        loop {
            search = self
                .read_placed(move |store, placement| search.page(store, placement, PAGE_ROWS))
                .await?;
            if search.done {
                return Ok(search.tasks);
            }
            if search.tally.is_none() {
                search.tally = Some(self.tally().await?);
            }
        }
    }
}

impl Search {
    /// Looks at the next rows.
    fn page(
        mut self,
        store: &Store,
        placement: &Placement,
        mut rows_left: usize,
    ) -> Result<Self, StoreError> {
        let (first_group, mut from) = self.from;
        let empty = REPAIRS.scan(store, &[]).next().transpose()?.is_none();
        for (group, slot) in placement.slots_of(self.disk).iter().copied() {
            let known = self.tally.as_ref();
            let skipped = known.is_some_and(|tally| !tally.lacks(group, slot));
            if empty || group < first_group || skipped {
                continue;
            }
            if group > first_group {
                from = ChunkId::new(0);
            }
            let to = (group, ChunkId::new(u64::MAX)).bytes();
            for row in REPAIRS.range(store, &(group, from).bytes(), &to) {
                let (row_key, row) = row?;
                let (of_slot, run) = row_key.split_last().ok_or(StoreError::Damaged)?;
                let first_chunk = trailing_chunk(run)?;
                if rows_left == 0 {
                    self.from = (group, first_chunk);
                    return Ok(self);
                }
                rows_left -= 1;
                if *of_slot != slot.0 {
                    continue;
                }
                let at = RunSlot {
                    group,
                    first_chunk,
                    slot,
                };
                let of = &placement.groups[&group];
                self.tasks.push(RepairTask {
                    at,
                    chunks: row.chunks,
                    profile: of.profile,
                    epoch: of.epoch,
                });
                if self.tasks.len() == MAX_TASKS as usize {
                    self.done = true;
                    return Ok(self);
                }
            }
        }
        self.done = true;
        Ok(self)
    }
}
