//! The upkeep as one storage node may ask for it: about its own disks.
//!
//! A node's certificate opens what the node needs, and nothing of its peers': one that was captured cannot end
//! their tasks, nor put itself in their place. Which disk is in which node never changes, so asking is enough.

use crate::log::Log;
use crate::server::Server;
use futures::FutureExt;
use std::sync::Arc;
use types::placement::{Disk, GroupTable};
use types::wire::Upkeep;
use types::wire::metadata::{Answer, MetadataError};
use types::wire::upkeep::{Covered, DeleteTask, Health, RepairTask, Repaired, RunSlot};
use types::{ChunkId, DiskId, GroupId, NodeId, ShardKey};

/// The upkeep of one node's disks.
pub(crate) struct Own<L: Log> {
    pub(crate) server: Arc<Server<L>>,
    pub(crate) node: NodeId,
}

impl<L: Log> Own<L> {
    async fn check(&self, disk: DiskId) -> Result<(), MetadataError> {
        let node = self.server.node_of(disk).await?;
        self.is_own(disk, node)
    }

    fn is_own(&self, disk: DiskId, node: Option<NodeId>) -> Result<(), MetadataError> {
        if node == Some(self.node) {
            return Ok(());
        }
        tracing::warn!(caller = %self.node, %disk, "a call was refused: the disk is not the caller's");
        let text = format!("{disk} is no disk of {}", self.node);
        Err(MetadataError::Malformed(text))
    }
}

impl<L: Log> Upkeep for Own<L> {
    fn table(&self, known: u64) -> Answer<'_, Option<GroupTable>> {
        self.server.table(known)
    }

    fn deletes(&self, disk: DiskId, after: Option<RunSlot>) -> Answer<'_, Vec<DeleteTask>> {
        async move {
            self.check(disk).await?;
            self.server.deletes(disk, after).await
        }
        .boxed()
    }

    fn deleted(&self, disk: DiskId, done: Vec<RunSlot>) -> Answer<'_, ()> {
        async move {
            self.check(disk).await?;
            self.server.deleted(disk, done).await
        }
        .boxed()
    }

    fn repairs(&self, disk: DiskId, after: Option<RunSlot>) -> Answer<'_, Vec<RepairTask>> {
        async move {
            self.check(disk).await?;
            self.server.repairs(disk, after).await
        }
        .boxed()
    }

    fn repaired(&self, disk: DiskId, done: Vec<Repaired>) -> Answer<'_, ()> {
        async move {
            self.check(disk).await?;
            self.server.repaired(disk, done).await
        }
        .boxed()
    }

    fn report_bad(&self, disk: DiskId, shards: Vec<ShardKey>) -> Answer<'_, ()> {
        async move {
            self.check(disk).await?;
            self.server.report_bad(disk, shards).await
        }
        .boxed()
    }

    fn covered(&self, group: GroupId, from: ChunkId) -> Answer<'_, Covered> {
        self.server.covered(group, from)
    }

    fn health(&self, away: Vec<DiskId>) -> Answer<'_, Health> {
        self.server.health(away)
    }

    fn reserve_disk_id(&self) -> Answer<'_, DiskId> {
        Upkeep::reserve_disk_id(&*self.server)
    }

    fn admit_disk(&self, disk: Disk) -> Answer<'_, ()> {
        async move {
            self.is_own(disk.id, Some(disk.node))?;
            Upkeep::admit_disk(&*self.server, disk).await
        }
        .boxed()
    }

    fn replace_disk(&self, lost: DiskId, new: Disk) -> Answer<'_, ()> {
        async move {
            self.check(lost).await?;
            self.is_own(new.id, Some(new.node))?;
            self.server.replace_disk(lost, new).await
        }
        .boxed()
    }
}
