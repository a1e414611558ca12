//! Repair tasks: every shard of a run's slot that is not there, or not whole, is made again.
//!
//! A task is a suspicion. Each of its shards is read first, all of it, and only what does not verify is
//! rebuilt; a straggler that landed after all costs one read. A task is reported as done when all of its
//! shards are whole and durable; until then it stays a task.

use super::Keeper;
use super::rebuild::RebuildError;
use crate::service::Node;
use futures::StreamExt;
use types::placement::GroupTable;
use types::wire::storage::PutShard;
use types::wire::upkeep::{RepairTask, Repaired, RunSlot};
use types::{ByteCount, ChunkId, DiskId, ShardKey};

/// Shards of one disk that are made again at once, while nobody is served.
const AT_ONCE: usize = 4;

/// What became of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shard {
    /// It is there and whole.
    Whole,
    /// It cannot be made again now.
    Later,
}

impl Keeper {
    /// Works off what is to be made again on a disk, and says whether some of it has to wait.
    pub(super) async fn repair(&self, disk: DiskId, table: &GroupTable) -> bool {
        let mut after: Option<RunSlot> = None;
        let mut waits = false;
        loop {
            let tasks = match self.upkeep.repairs(disk, after).await {
                Ok(tasks) => tasks,
                Err(error) => {
                    tracing::debug!(%disk, %error, "repairs are asked for again later");
                    return true;
                }
            };
            let Some(last) = tasks.last() else {
                return waits;
            };
            after = Some(last.at);
            for task in tasks {
                let report = Repaired {
                    at: task.at,
                    epoch: task.epoch,
                };
                if !self.repair_run(disk, task, table).await {
                    waits = true;
                } else if let Err(error) = self.upkeep.repaired(disk, vec![report]).await {
                    tracing::debug!(%disk, %error, "a repair is reported again later");
                    waits = true;
                }
            }
        }
    }

    /// Whether every shard of the run's slot is whole on the disk now.
    async fn repair_run(&self, disk: DiskId, task: RepairTask, table: &GroupTable) -> bool {
        let first = task.at.first_chunk;
        let shards = (0..u64::from(task.chunks)).map(|n| first.plus(n));
        let shards = shards.map(|chunk| self.repair_shard(disk, task, chunk, table));
        let done = futures::stream::iter(shards).buffer_unordered(AT_ONCE);
        done.all(async |shard| shard == Shard::Whole).await
    }

    async fn repair_shard(
        &self,
        disk: DiskId,
        task: RepairTask,
        chunk: ChunkId,
        table: &GroupTable,
    ) -> Shard {
        let key = ShardKey {
            group: task.at.group,
            chunk,
            index: task.at.slot.0,
        };
        match self.make_whole(disk, task, key, table).await {
            Ok(made) => {
                if made > ByteCount::ZERO {
                    self.counted.repaired(made);
                }
                Shard::Whole
            }
            Err(why) => {
                tracing::debug!(%disk, %key, why, "a shard is made again later");
                Shard::Later
            }
        }
    }

    /// Makes a shard again unless it is whole. How many bytes were written; the error says why it waits.
    async fn make_whole(
        &self,
        disk: DiskId,
        task: RepairTask,
        key: ShardKey,
        table: &GroupTable,
    ) -> Result<ByteCount, String> {
        let node: &Node = &self.node;
        match node.verify(disk, key).await {
            Ok(()) => return Ok(ByteCount::ZERO),
            Err(error) if error.is_of_the_shard() => {}
            Err(error) => return Err(error.to_string()),
        }
        let group = table.group(key.group).ok_or("the group is not known yet")?;
        let member = group.members.get(usize::from(key.index));
        if member.is_none_or(|member| member.disk != disk) || group.epoch < task.epoch {
            return Err("the slot has moved".into());
        }
        let mut bad = Vec::new();
        let (rebuilder, pace) = (&self.rebuilder, node.pace());
        let rebuilt = rebuilder
            .rebuild(group, key.chunk, key.index, pace, &mut bad)
            .await;
        self.suspect(bad);
        let rebuilt = rebuilt.map_err(|error| {
            if error == RebuildError::NoMajority {
                tracing::error!(%key, "{error}");
            }
            error.to_string()
        })?;
        let length = ByteCount::of(&rebuilt.payload);
        if length == ByteCount::ZERO {
            return Ok(length);
        }
        let put = PutShard {
            disk,
            key,
            epoch: group.epoch,
            chunk: rebuilt.chunk,
            payload: rebuilt.payload,
        };
        let stored = pace.piece(node.put_shard(put)).await;
        stored.map(|()| length).map_err(|error| error.to_string())
    }
}
