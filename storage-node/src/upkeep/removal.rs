//! Deletion tasks: shards of dead blobs go, and that they are gone is reported.

use super::Keeper;
use std::sync::atomic::Ordering;
use types::DiskId;
use types::wire::upkeep::{DeleteTask, RunSlot};

impl Keeper {
    /// Removes what a disk is to remove.
    pub(super) async fn remove_from(&self, disk: DiskId) {
        let mut after: Option<RunSlot> = None;
        loop {
            let tasks = match self.upkeep.deletes(disk, after).await {
                Ok(tasks) => tasks,
                Err(error) => {
                    tracing::debug!(%disk, %error, "deletions are asked for again later");
                    return;
                }
            };
            let Some(last) = tasks.last() else { return };
            after = Some(last.at);
            let removals = tasks.iter().map(|task| self.remove(disk, task));
            let removals = futures::future::join_all(removals);
            let removed = self.node.pace().piece(removals).await;
            let done: Vec<RunSlot> = removed.into_iter().flatten().collect();
            if done.is_empty() {
                continue;
            }
            if let Err(error) = self.upkeep.deleted(disk, done).await {
                tracing::debug!(%disk, %error, "deletions are reported again later");
            }
        }
    }

    async fn remove(&self, disk: DiskId, task: &DeleteTask) -> Option<RunSlot> {
        let RunSlot {
            group,
            first_chunk,
            slot,
        } = task.at;
        let chunks = first_chunk..=first_chunk.plus(u64::from(task.chunks).max(1) - 1);
        match self
            .node
            .delete(disk, group, slot, chunks, task.epoch)
            .await
        {
            Ok(deleted) => {
                let removed = &self.counted.removed;
                removed.fetch_add(deleted.shards, Ordering::Relaxed);
                Some(task.at)
            }
            Err(error) => {
                tracing::debug!(%disk, %error, "shards are removed later");
                None
            }
        }
    }
}
