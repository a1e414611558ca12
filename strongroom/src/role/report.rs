//! What a process of one role says of itself.

use crate::status::Status;
use anyhow::{Result, bail};
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::Metrics;
use std::sync::Arc;
use storage_node::upkeep::Keeper;
use types::placement::GroupTable;
use types::wire::storage::DiskState;
use types::wire::{ShardStore, Upkeep};
use types::{ClusterId, Profile};

/// What a cluster is coded in before it has groups; said, and used for nothing.
const UNKNOWN: &str = "4+2";

/// Status and readiness.
pub(super) struct Report {
    pub(super) cluster: ClusterId,
    pub(super) upkeep: Arc<dyn Upkeep>,
    /// The disks that it tells of.
    pub(super) shards: Arc<dyn ShardStore>,
    /// All disks of the cluster: how safe the data is depends on each.
    pub(super) everywhere: Arc<dyn ShardStore>,
    /// Their upkeep, where it is in this process.
    pub(super) keeper: Option<Arc<Keeper>>,
    pub(super) metrics: Metrics,
    pub(super) ready: Ready,
}

/// What makes a process ready.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    /// A disk that serves.
    AnyDisk,
    /// Groups, and of their disks as many as reading takes.
    Enough,
}

impl Report {
    async fn table(&self) -> Result<GroupTable> {
        Ok(self.upkeep.table(0).await?.unwrap_or_default())
    }

    async fn gather(&self) -> Status {
        let disks = self.shards.report().await;
        let everywhere = self.everywhere.report().await;
        let away = everywhere
            .iter()
            .filter(|disk| disk.state != DiskState::Serving);
        let health = self.upkeep.health(away.map(|disk| disk.disk).collect());
        let health = health
            .await
            .inspect_err(|error| tracing::debug!(%error, "no health"));
        let table = self.table().await.unwrap_or_default();
        let done = self.keeper.as_ref().map(|keeper| keeper.done());
        let done = done.unwrap_or_default();
        Status {
            cluster: self.cluster,
            profile: profile(&table),
            metadata: Vec::new(),
            disks,
            health: health.ok(),
            upkeep: done.into(),
        }
    }

    async fn check(&self) -> Result<()> {
        let table = self.table().await?;
        let disks = self.shards.report().await;
        let serving = disks.iter().filter(|disk| disk.state == DiskState::Serving);
        let serving = serving.count();
        let needed = match self.ready {
            Ready::AnyDisk => 1,
            Ready::Enough if table.groups.is_empty() => bail!("no groups are laid out yet"),
            Ready::Enough => disks.len().saturating_sub(profile(&table).parity()),
        };
        if serving < needed {
            bail!(
                "{serving} of {} disks serve, and it takes {needed}",
                disks.len()
            );
        }
        Ok(())
    }
}

pub(super) fn profile(table: &GroupTable) -> Profile {
    let unknown = || UNKNOWN.parse().expect("it is one");
    table
        .groups
        .first()
        .map_or_else(unknown, |group| group.profile)
}

impl gateway::Report for Report {
    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        async { self.check().await.map_err(|error| format!("{error:#}")) }.boxed()
    }

    fn status(&self) -> BoxFuture<'_, serde_json::Value> {
        async {
            serde_json::to_value(self.gather().await).expect("a status has text keys and numbers")
        }
        .boxed()
    }

    fn metrics(&self) -> String {
        self.metrics.render()
    }
}
