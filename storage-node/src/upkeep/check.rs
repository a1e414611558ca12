//! Every shard of a disk read and proved.

use super::Keeper;
use super::reconcile::ReconcileError;
use crate::service::Node;
use futures::StreamExt;
use types::placement::Slot;
use types::wire::storage::ReadError;
use types::{DiskId, ShardKey};

/// Shards that are read at once, while nobody is served.
const AT_ONCE: usize = 4;

impl Keeper {
    /// Reads every shard of a disk and proves it by its record. Those that are not what they were; each that
    /// was read is told to `read`.
    ///
    /// # Errors
    /// When the disk does not serve.
    pub async fn verify_all(
        &self,
        disk: DiskId,
        read: impl Fn() + Send + Sync,
    ) -> Result<Vec<ShardKey>, ReconcileError> {
        let table = self.table();
        let node: &Node = &self.node;
        let mut corrupt = Vec::new();
        for group in &table.groups {
            for (slot, member) in (0..).map(Slot).zip(&group.members) {
                if member.disk != disk {
                    continue;
                }
                let held = node.inventory(disk, group.id, slot);
                let held = held.map_err(|_| ReadError::DiskUnavailable { disk })?;
                let verified = held.into_iter().map(|shard| ShardKey {
                    group: group.id,
                    chunk: shard.chunk,
                    index: slot.0,
                });
                let verified = verified.map(async |key| {
                    let answer = node.verify(disk, key).await;
                    read();
                    (key, answer)
                });
                let mut verified = futures::stream::iter(verified).buffer_unordered(AT_ONCE);
                while let Some((key, answer)) = verified.next().await {
                    match answer {
                        Ok(()) | Err(ReadError::Missing { .. }) => {}
                        Err(error @ ReadError::DiskUnavailable { .. }) => return Err(error.into()),
                        Err(_) => corrupt.push(key),
                    }
                }
            }
        }
        Ok(corrupt)
    }

    /// Has shards of a disk made again.
    pub fn make_again(&self, disk: DiskId, shards: &[ShardKey]) {
        self.suspect(shards.iter().map(|key| (disk, *key)));
    }
}
