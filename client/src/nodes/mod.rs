//! The storage nodes of a cluster as one shard service: each disk is asked where it is.
//!
//! ```text
//! disk --group table--> node --own? --> by function call
//!                            `--------> over the wire (remote.rs)
//! their scrub (scrub.rs): every node is asked
//! ```
//!
//! A disk stays in the node that it was admitted in, so what was learnt once stays true; a disk that is not
//! known is looked for in a newer table, once in a while. What always holds: an answer comes from the node that
//! the table names, which TLS proves it to be; who does not answer has no disks, and nobody waits for him longer
//! than the limits say.

mod remote;
mod scrub;

use bytes::Bytes;
use ca::Credentials;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use rpc::Addresses;
use rpc::bulk::PoolLimits;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use types::placement::GroupTable;
use types::shard::ChunkDescription;
use types::wire::storage::{DiskReport, DiskState, PutError, PutShard, ReadError, ReadShard};
use types::wire::{ShardStore, Upkeep};
use types::{ClusterId, DiskId, NodeId, ShardKey};

pub use remote::RemoteNode;
pub use scrub::{NotBegun, ScrubReport, SilentNode};

/// Between two looks into the group table for a disk that is not in it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long the metadata service may take for the table: a read must not wait for it for long.
const TABLE_WITHIN: Duration = Duration::from_secs(2);
/// How long a node may take to say how its disks are, or to begin what takes its time.
const REPORT_WITHIN: Duration = Duration::from_secs(3);

/// The storage nodes of a cluster.
pub struct Nodes {
    cluster: ClusterId,
    credentials: Credentials,
    addresses: Arc<dyn Addresses>,
    limits: PoolLimits,
    upkeep: Arc<dyn Upkeep>,
    own: Option<(NodeId, Arc<dyn ShardStore>)>,
    others: RwLock<BTreeMap<NodeId, Arc<RemoteNode>>>,
    known: RwLock<Known>,
    looked: tokio::sync::Mutex<Option<Instant>>,
    silent: Mutex<BTreeSet<NodeId>>,
}

#[derive(Default)]
struct Known {
    version: u64,
    disks: HashMap<DiskId, NodeId>,
}

impl Nodes {
    /// The nodes that the group table of `upkeep` names, at `addresses`. Nothing is connected yet.
    pub fn new(
        credentials: Credentials,
        cluster: ClusterId,
        addresses: Arc<dyn Addresses>,
        limits: PoolLimits,
        upkeep: Arc<dyn Upkeep>,
    ) -> Self {
        Self {
            cluster,
            credentials,
            addresses,
            limits,
            upkeep,
            own: None,
            others: RwLock::default(),
            known: RwLock::default(),
            looked: tokio::sync::Mutex::default(),
            silent: Mutex::default(),
        }
    }

    /// The same, one of which is in this process.
    #[must_use]
    pub fn with_own(self, node: NodeId, shards: Arc<dyn ShardStore>) -> Self {
        Self {
            own: Some((node, shards)),
            ..self
        }
    }

    /// Learns where disks are.
    pub fn learn(&self, table: &GroupTable) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if table.version > known.version {
            known.version = table.version;
            known.disks = table.disks.iter().map(|d| (d.id, d.node)).collect();
        }
    }

    /// The node that a disk is in.
    async fn node_of(&self, disk: DiskId) -> Option<Arc<dyn ShardStore>> {
        if let Some(node) = self.known_node(disk) {
            return self.node(node);
        }
        self.look(Some(disk)).await;
        self.node(self.known_node(disk)?)
    }

    fn known_node(&self, disk: DiskId) -> Option<NodeId> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.disks.get(&disk).copied()
    }

    /// Asks for a newer table, unless somebody did a moment ago.
    async fn look(&self, wanted: Option<DiskId>) {
        let mut looked = self.looked.lock().await;
        let found = wanted.is_some_and(|disk| self.known_node(disk).is_some());
        if found || looked.is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
            return;
        }
        let version = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.version
        };
        match timeout(TABLE_WITHIN, self.upkeep.table(version)).await {
            Ok(Ok(Some(table))) => self.learn(&table),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the group table is asked for again later"),
            Err(_) => tracing::debug!("the group table is asked for again later"),
        }
        *looked = Some(Instant::now());
    }

    /// The disks that each node should have, by the newest table that is at hand.
    async fn expected(&self) -> BTreeMap<NodeId, Vec<DiskId>> {
        self.look(None).await;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut expected: BTreeMap<NodeId, Vec<DiskId>> = BTreeMap::new();
        for (disk, node) in &known.disks {
            expected.entry(*node).or_default().push(*disk);
        }
        for disks in expected.values_mut() {
            disks.sort_unstable();
        }
        expected
    }

    fn node(&self, id: NodeId) -> Option<Arc<dyn ShardStore>> {
        match &self.own {
            Some((own, shards)) if *own == id => Some(Arc::clone(shards)),
            _ => self.other(id).map(|node| node as Arc<dyn ShardStore>),
        }
    }

    fn other(&self, id: NodeId) -> Option<Arc<RemoteNode>> {
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = others.get(&id) {
            return Some(Arc::clone(node));
        }
        drop(others);
        let addresses = Arc::clone(&self.addresses);
        let limits = self.limits.clone();
        match RemoteNode::new(&self.credentials, self.cluster, id, addresses, limits) {
            Ok(node) => {
                let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
                Some(Arc::clone(
                    others.entry(id).or_insert_with(|| Arc::new(node)),
                ))
            }
            Err(error) => {
                tracing::error!(node = %id, %error, "this process's certificate cannot be used");
                None
            }
        }
    }

    /// What a node says of its disks; none when it does not answer.
    async fn report_of(&self, id: NodeId) -> Option<Vec<DiskReport>> {
        if let Some((own, shards)) = &self.own
            && *own == id
        {
            return Some(shards.report().await);
        }
        let node = self.other(id)?;
        timeout(REPORT_WITHIN, node.disks()).await.ok()?
    }

    /// What a node says of its disks, and of those that it should have and does not speak of, that they are away.
    fn complete<T>(
        &self,
        node: NodeId,
        expected: &[DiskId],
        mut said: Vec<T>,
        of: impl Fn(&T) -> DiskId,
        away: impl Fn(DiskId) -> T,
    ) -> Vec<T> {
        // Nobody speaks for the disks of others.
        said.retain(|one| self.known_node(of(one)).is_none_or(|home| home == node));
        for disk in expected {
            if said.iter().all(|one| of(one) != *disk) {
                said.push(away(*disk));
            }
        }
        said
    }

    /// Says once that a node does not answer, and once that it does again.
    fn tell(&self, node: NodeId, answers: bool) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if answers && silent.remove(&node) {
            tracing::info!(%node, "the storage node answers again");
        }
        if !answers && silent.insert(node) {
            tracing::warn!(%node, "a storage node does not answer: its disks are away");
        }
    }
}

impl ShardStore for Nodes {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        async move {
            let disk = request.disk;
            let node = self.node_of(disk).await;
            let node = node.ok_or(PutError::DiskUnavailable { disk })?;
            node.put(request).await
        }
        .boxed()
    }

    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        async move {
            let disk = request.disk;
            let node = self.node_of(disk).await;
            let node = node.ok_or(ReadError::DiskUnavailable { disk })?;
            node.read(request).await
        }
        .boxed()
    }

    fn describe(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        async move {
            let node = self.node_of(disk).await;
            let node = node.ok_or(ReadError::DiskUnavailable { disk })?;
            node.describe(disk, key).await
        }
        .boxed()
    }

    /// Every disk in the group table, and what nodes say of others. Disks of a node that does not answer are
    /// absent, and so are those that a node does not know.
    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        async move {
            let asked = self
                .expected()
                .await
                .into_iter()
                .map(async |(node, disks)| {
                    let said = self.report_of(node).await;
                    self.tell(node, said.is_some());
                    let why = match &said {
                        Some(_) => format!("{node} does not have it"),
                        None => format!("{node} does not answer"),
                    };
                    let away = |disk| DiskReport::away(disk, DiskState::Absent(why.clone()));
                    let said = said.unwrap_or_default();
                    self.complete(node, &disks, said, |report| report.disk, away)
                });
            let mut reports: Vec<DiskReport> =
                join_all(asked).await.into_iter().flatten().collect();
            reports.sort_by_key(|report| report.disk);
            reports
        }
        .boxed()
    }
}
