//! A storage node: its disks behind the shard service.
//!
//! A disk that is missing, emptied, foreign, duplicated or unreadable is *absent*, with the reason in
//! the report; the node serves the others. Only [`Node::admit`] ever stamps a disk.

use crate::admit::Shared;
use crate::delete::{DeleteError, Deleted, Fences};
use crate::drive::{ServingDrive, lock};
use crate::opening::Damage;
use crate::places::{Disks, Place, Source};
use crate::plan::Limits;
use crate::record;
use crate::tombstone::Tombstone;
use crate::upkeep::Pace;
use crate::watch::{Watch, Watcher};
use bytes::Bytes;
use disk::{Choice, Disk};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::watch;
use tokio::time::timeout;
use types::placement::{GroupTable, Slot};
use types::shard::ChunkDescription;
use types::wire::ShardStore;
use types::wire::storage::{DiskReport, DiskState, PutError, PutShard, ReadError, ReadShard};
use types::{ByteCount, ChunkId, ClusterId, DiskId, Epoch, GroupId, NodeId, ShardKey, block};

/// What a node serves.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Whose data.
    pub cluster: ClusterId,
    /// Which server this is.
    pub node: NodeId,
    /// Its disks.
    pub disks: Vec<DiskFolder>,
    /// Which engine serves them.
    pub engine: Choice,
    /// How they are cut up.
    pub limits: Limits,
    /// How they are looked after.
    pub watch: Watch,
}

/// One disk's folder.
#[derive(Clone, Debug)]
pub struct DiskFolder {
    /// Where.
    pub folder: PathBuf,
    /// Which disk should be there, so that an absent one can be reported. What counts is the stamp:
    /// disks that changed places are served all the same. Where one is expected, none is served that is
    /// expected nowhere: it was replaced.
    pub expected: Option<DiskId>,
}

/// One disk that is open already.
pub struct DiskDevice {
    /// The device.
    pub disk: Arc<dyn Disk>,
    /// As in [`DiskFolder`].
    pub expected: Option<DiskId>,
}

/// A shard that lives on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedShard {
    /// Of which chunk.
    pub chunk: ChunkId,
    /// Length of its blocks with their checksums.
    pub payload: ByteCount,
}

/// A storage node.
pub struct Node {
    pub(crate) shared: Arc<Shared>,
    fences: RwLock<Fences>,
    watcher: Mutex<Option<Watcher>>,
}

impl Node {
    /// Opens every disk that can be opened, and looks after all of them from then on. Needs a tokio runtime
    /// with time.
    pub async fn open(config: NodeConfig) -> Self {
        let engine = config.engine;
        let places = config.disks.into_iter();
        let places =
            places.map(|disk| Place::new(Source::Folder(disk.folder, engine), disk.expected));
        let shared = Shared::new(
            (config.cluster, config.node),
            engine,
            config.limits,
            config.watch,
            places.collect(),
        );
        let node = Self::start(shared).await;
        *lock(&node.watcher) = Some(Watcher::start(Arc::clone(&node.shared)));
        node
    }

    /// Serves devices that are open already, such as simulated ones. They are looked after only by
    /// [`Node::check`].
    pub async fn with_devices(
        cluster: ClusterId,
        node: NodeId,
        devices: Vec<DiskDevice>,
        limits: Limits,
        watch: Watch,
    ) -> Self {
        let places = devices.into_iter();
        let places = places.map(|device| Place::new(Source::Device(device.disk), device.expected));
        let places = places.collect();
        Self::start(Shared::new(
            (cluster, node),
            Choice::Auto,
            limits,
            watch,
            places,
        ))
        .await
    }

    async fn start(shared: Shared) -> Self {
        let shared = Arc::new(shared);
        shared.look_for_disks().await;
        Self {
            shared,
            fences: RwLock::default(),
            watcher: Mutex::default(),
        }
    }

    /// Learns the group table: who holds which slot since when, and the groups' epochs. What was decided in
    /// older ones is refused from now on.
    pub fn learn(&self, table: &GroupTable) {
        let mut fences = self.fences.write().unwrap_or_else(PoisonError::into_inner);
        fences.learn(table);
    }

    /// What was found bad when the disks that serve were opened.
    pub fn damage(&self) -> impl Iterator<Item = (DiskId, Damage)> {
        let of = |drive: &Arc<ServingDrive>| {
            let damage = drive.damage().iter().cloned();
            damage
                .map(|damage| (drive.id(), damage))
                .collect::<Vec<_>>()
        };
        let damage: Vec<_> = self.disks().drives.values().flat_map(of).collect();
        damage.into_iter()
    }

    /// Removes shards of a slot; answers once their tombstones are durable. What is not there is removed
    /// already.
    ///
    /// # Errors
    /// When it was decided in an epoch before the disk joined the slot, or the disk does not hold the slot
    /// by the group table that the node has learnt; and when the disk cannot.
    pub async fn delete(
        &self,
        disk: DiskId,
        group: GroupId,
        slot: Slot,
        chunks: RangeInclusive<ChunkId>,
        epoch: Epoch,
    ) -> Result<Deleted, DeleteError> {
        let drive = self.drive(disk);
        let removed = {
            // Held until it is queued: what is stored once a newer joining was learnt is queued behind it.
            let fences = self.fences.read().unwrap_or_else(PoisonError::into_inner);
            fences.admit(disk, group, slot, epoch)?;
            let drive = drive.ok_or(DeleteError::DiskUnavailable { disk })?;
            drive.delete(Tombstone {
                group,
                index: slot.0,
                first: *chunks.start(),
                last: *chunks.end(),
            })?
        };
        let removed = removed.await?;
        Ok(Deleted {
            shards: removed.shards,
            bytes: removed.bytes,
        })
    }

    /// The slots of which shards live on a disk, in order, and how many each.
    ///
    /// # Errors
    /// `DiskUnavailable`.
    pub fn slots(&self, disk: DiskId) -> Result<Vec<(GroupId, Slot, u64)>, ReadError> {
        let drive = self.reading(disk)?;
        let slots = drive.slots()?.into_iter();
        Ok(slots
            .map(|(group, index, shards)| (group, Slot(index), shards))
            .collect())
    }

    /// The shards of a slot that live on a disk at one moment, in order of their chunks.
    ///
    /// # Errors
    /// `DiskUnavailable`.
    pub fn inventory(
        &self,
        disk: DiskId,
        group: GroupId,
        slot: Slot,
    ) -> Result<Vec<ListedShard>, ReadError> {
        let drive = self.reading(disk)?;
        let shards = drive.slot(group, slot.0)?.into_iter();
        Ok(shards
            .map(|(chunk, payload)| ListedShard { chunk, payload })
            .collect())
    }

    /// Reads a shard's whole record from the disk and proves it: its header, every block's checksum, and
    /// the digest of its bytes that the header names. In pieces, at the pace of upkeep.
    ///
    /// # Errors
    /// `Corrupt` when something does not verify (block 0 also stands for the header and the digest), and
    /// what reading meets.
    pub async fn verify(&self, disk: DiskId, key: ShardKey) -> Result<(), ReadError> {
        self.reading(disk)?.drive().verify(key, self.pace()).await
    }

    /// Looks after the disks once, as the node does by itself every second: those that serve are checked and
    /// rid of volumes that nobody needs any more, the others are opened if they can be.
    pub async fn check(&self) {
        self.shared.look_after().await;
    }

    /// Raised whenever a disk begins or ceases to be served: the worker looks through one that came back.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// At which upkeep goes: it gives way to the requests of others.
    pub(crate) fn pace(&self) -> &Pace {
        &self.shared.pace
    }

    /// Shards that readers asked for and did not get, since this was asked last: they may be missing, or
    /// damaged.
    pub(crate) fn take_suspects(&self) -> Vec<(DiskId, ShardKey)> {
        self.shared.take_suspects()
    }

    /// As [`ShardStore::read`], but not as a request of others.
    pub(crate) async fn read_shard(&self, request: ReadShard) -> Result<Bytes, ReadError> {
        self.reading(request.disk)?.drive().read(request).await
    }

    /// As [`ShardStore::describe`], but not as a request of others.
    pub(crate) async fn describe_shard(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> Result<ChunkDescription, ReadError> {
        self.reading(disk)?.drive().describe(key).await
    }

    /// Takes no more writes, answers those that wait, and stops. Reads under way end by themselves, and so do
    /// the calls of a disk that is stalled.
    pub async fn shutdown(&self) {
        let watcher = lock(&self.watcher).take();
        if let Some(watcher) = watcher {
            watcher.stop().await;
        }
        let drives: Vec<_> = self.disks().drives.values().map(Arc::clone).collect();
        let patience = self.shared.watch.patience;
        let stopping = drives
            .iter()
            .map(async |drive| match drive.drive().condition() {
                DiskState::Stalled(_) => drop(timeout(patience, drive.shutdown()).await),
                _ => drive.shutdown().await,
            });
        join_all(stopping).await;
    }

    /// Whether a disk was replaced.
    pub(crate) fn is_retired(&self, disk: DiskId) -> bool {
        self.disks().retired.contains(&disk)
    }

    fn disks(&self) -> RwLockReadGuard<'_, Disks> {
        self.shared.disks()
    }

    fn drive(&self, disk: DiskId) -> Option<Arc<ServingDrive>> {
        self.disks().drives.get(&disk).map(Arc::clone)
    }

    pub(crate) fn reading(&self, disk: DiskId) -> Result<Arc<ServingDrive>, ReadError> {
        self.drive(disk).ok_or(ReadError::DiskUnavailable { disk })
    }

    /// As [`ShardStore::put`], but not as a request of others.
    pub(crate) async fn put_shard(&self, put: PutShard) -> Result<(), PutError> {
        let PutShard { disk, key, .. } = put;
        let drive = self.drive(disk).ok_or(PutError::DiskUnavailable { disk })?;
        if !well_formed(&put) {
            return Err(PutError::Damaged { key });
        }
        let current = {
            let fences = self.fences.read().unwrap_or_else(PoisonError::into_inner);
            fences.epoch(key.group)
        };
        if put.epoch < current {
            return Err(PutError::StaleEpoch {
                sent: put.epoch,
                current,
            });
        }
        drive.put(put).await
    }
}

impl ShardStore for Node {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        self.pace().note();
        self.put_shard(request).boxed()
    }

    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        self.pace().note();
        async move {
            let answer = self.read_shard(request).await;
            if answer.as_ref().is_err_and(ReadError::is_of_the_shard) {
                self.shared.suspect(request.disk, [request.key]);
            }
            answer
        }
        .boxed()
    }

    fn describe(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        self.pace().note();
        self.describe_shard(disk, key).boxed()
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        std::future::ready(self.disks().reports()).boxed()
    }
}

/// Whether a request agrees with itself, and every block with its checksum.
fn well_formed(put: &PutShard) -> bool {
    record::check(&put.chunk, put.key.index).is_ok()
        && put.chunk.payload_length(put.key.index) == ByteCount::of(&put.payload)
        && block::check(put.key, 0, &put.payload).is_ok()
}
