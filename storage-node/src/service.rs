//! A storage node: its disks behind the shard service.
//!
//! A disk that is missing, emptied, foreign, duplicated or unreadable is *absent*, with the reason in
//! the report; the node serves the others. Nothing here ever stamps a disk.

use crate::drive::ServingDrive;
use crate::opening::Damage;
use crate::record;
use crate::stamp::{self, Found, Stamp};
use crate::store::Limits;
use bytes::Bytes;
use disk::{Choice, Disk};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use types::placement::GroupTable;
use types::shard::ChunkDescription;
use types::wire::ShardStore;
use types::wire::storage::{DiskReport, DiskState, PutError, PutShard, ReadError, ReadShard};
use types::{ByteCount, ClusterId, DiskId, Epoch, GroupId, NodeId, ShardKey, block};

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
}

/// One disk's folder.
#[derive(Clone, Debug)]
pub struct DiskFolder {
    /// Where.
    pub folder: PathBuf,
    /// Which disk should be there, so that an absent one can be reported. What counts is the stamp:
    /// disks that changed places are served all the same.
    pub expected: Option<DiskId>,
}

/// One disk that is open already.
pub struct DiskDevice {
    /// The device.
    pub disk: Arc<dyn Disk>,
    /// As in [`DiskFolder`].
    pub expected: Option<DiskId>,
}

/// A storage node.
pub struct Node {
    drives: BTreeMap<DiskId, ServingDrive>,
    absent: BTreeMap<DiskId, String>,
    epochs: RwLock<HashMap<GroupId, Epoch>>,
}

/// A disk, or why there is none, and which was expected.
type Candidate = (Option<DiskId>, Result<(Arc<dyn Disk>, Stamp), String>);

impl Node {
    /// Opens every disk that can be opened. Needs a tokio runtime.
    pub async fn open(config: NodeConfig) -> Self {
        let mut candidates = Vec::new();
        for DiskFolder { folder, expected } in &config.disks {
            let candidate = match disk::open(folder, config.engine) {
                Ok(disk) => identify(disk, config.cluster, config.node).await,
                Err(error) => Err(error.to_string()),
            };
            let candidate = candidate.map_err(|why| format!("{}: {why}", folder.display()));
            candidates.push((*expected, candidate));
        }
        Self::serve(candidates, config.limits).await
    }

    /// Serves devices that are open already, such as simulated ones.
    pub async fn with_devices(
        cluster: ClusterId,
        node: NodeId,
        devices: Vec<DiskDevice>,
        limits: Limits,
    ) -> Self {
        let mut candidates = Vec::new();
        for DiskDevice { disk, expected } in devices {
            candidates.push((expected, identify(disk, cluster, node).await));
        }
        Self::serve(candidates, limits).await
    }

    async fn serve(candidates: Vec<Candidate>, limits: Limits) -> Self {
        let duplicates = duplicates(&candidates);
        let mut absent = BTreeMap::new();
        let mut usable = BTreeMap::new();
        for (expected, candidate) in candidates {
            match candidate {
                Ok((_, stamp)) if duplicates.contains(&stamp.disk) => {
                    let why = format!("several folders are stamped as {}", stamp.disk);
                    tracing::error!("{why}: none of them is served");
                    absent.extend(expected.map(|disk| (disk, why.clone())));
                    absent.insert(stamp.disk, why);
                }
                Ok((disk, stamp)) => {
                    usable.insert(stamp.disk, disk);
                }
                Err(why) => {
                    let disk = expected.map(tracing::field::display);
                    tracing::error!(disk, "a disk is absent: {why}");
                    absent.extend(expected.map(|disk| (disk, why)));
                }
            }
        }
        let opening = usable.into_iter().map(async |(id, disk)| {
            let opened = ServingDrive::open(disk, id, limits).await;
            (id, opened.map_err(|error| error.to_string()))
        });
        let mut drives = BTreeMap::new();
        for (id, opened) in join_all(opening).await {
            match opened {
                Ok(drive) => {
                    let report = drive.report();
                    tracing::info!(disk = %id, engine = report.engine, shards = report.shards, "serving");
                    absent.remove(&id);
                    drives.insert(id, drive);
                }
                Err(why) => {
                    tracing::error!(disk = %id, "a disk does not open: {why}");
                    absent.insert(id, why);
                }
            }
        }
        Self {
            drives,
            absent,
            epochs: RwLock::default(),
        }
    }

    /// Learns the groups' epochs; older ones are refused from now on.
    pub fn learn(&self, table: &GroupTable) {
        let mut epochs = self.epochs.write().unwrap_or_else(PoisonError::into_inner);
        for group in &table.groups {
            let known = epochs.entry(group.id).or_default();
            *known = group.epoch.max(*known);
        }
    }

    /// What was found bad when the disks were opened.
    pub fn damage(&self) -> impl Iterator<Item = (DiskId, &Damage)> {
        self.drives
            .iter()
            .flat_map(|(id, drive)| drive.damage().iter().map(move |damage| (*id, damage)))
    }

    /// Takes no more writes, answers those that wait, and stops. Reads under way end by themselves.
    pub async fn shutdown(&self) {
        join_all(self.drives.values().map(ServingDrive::shutdown)).await;
    }

    async fn put_shard(&self, put: PutShard) -> Result<(), PutError> {
        let PutShard { disk, key, .. } = put;
        let drive = self
            .drives
            .get(&disk)
            .ok_or(PutError::DiskUnavailable { disk })?;
        if !well_formed(&put) {
            return Err(PutError::Damaged { key });
        }
        let current = {
            let epochs = self.epochs.read().unwrap_or_else(PoisonError::into_inner);
            epochs.get(&key.group).copied().unwrap_or_default()
        };
        if put.epoch < current {
            return Err(PutError::StaleEpoch {
                sent: put.epoch,
                current,
            });
        }
        drive.put(put).await
    }

    async fn read_shard(&self, request: ReadShard) -> Result<Bytes, ReadError> {
        let disk = request.disk;
        let drive = self
            .drives
            .get(&disk)
            .ok_or(ReadError::DiskUnavailable { disk })?;
        drive.read(request).await
    }

    async fn describe_shard(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> Result<ChunkDescription, ReadError> {
        let drive = self
            .drives
            .get(&disk)
            .ok_or(ReadError::DiskUnavailable { disk })?;
        drive.describe(key).await
    }
}

impl ShardStore for Node {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        self.put_shard(request).boxed()
    }

    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        self.read_shard(request).boxed()
    }

    fn describe(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        self.describe_shard(disk, key).boxed()
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        let absent = self.absent.iter().map(|(disk, why)| DiskReport {
            disk: *disk,
            state: DiskState::Absent(why.clone()),
            engine: String::new(),
            shards: 0,
            used: ByteCount::ZERO,
            free: ByteCount::ZERO,
        });
        let serving = self.drives.values().map(ServingDrive::report);
        let mut reports: Vec<DiskReport> = absent.chain(serving).collect();
        reports.sort_by_key(|report| report.disk);
        std::future::ready(reports).boxed()
    }
}

/// Whether a request agrees with itself, and every block with its checksum.
fn well_formed(put: &PutShard) -> bool {
    record::check(&put.chunk, put.key.index).is_ok()
        && put.chunk.payload_length(put.key.index) == ByteCount::of(&put.payload)
        && block::verify(put.key, 0, &put.payload).is_ok()
}

/// Whose disk it is; the error says why it is not ours.
async fn identify(
    disk: Arc<dyn Disk>,
    cluster: ClusterId,
    node: NodeId,
) -> Result<(Arc<dyn Disk>, Stamp), String> {
    match stamp::read_from(&*disk).await {
        Ok(Found::Stamp(stamp)) if stamp.cluster != cluster => {
            Err(format!("it belongs to cluster {}", stamp.cluster))
        }
        Ok(Found::Stamp(stamp)) if stamp.node != node => {
            Err(format!("it belongs to {} of this cluster", stamp.node))
        }
        Ok(Found::Stamp(stamp)) => Ok((disk, stamp)),
        Ok(Found::Empty) => Err("it is empty; admit it as a new disk".to_owned()),
        Ok(Found::Foreign) => Err("it holds files, but no stamp".to_owned()),
        Ok(Found::Damaged(why)) => Err(why.to_string()),
        Err(error) => Err(format!("reading its stamp: {error}")),
    }
}

/// Ids that more than one disk claims.
fn duplicates(candidates: &[Candidate]) -> HashSet<DiskId> {
    let mut seen = HashSet::new();
    let stamps = candidates
        .iter()
        .filter_map(|(_, found)| found.as_ref().ok());
    stamps
        .map(|(_, stamp)| stamp.disk)
        .filter(|disk| !seen.insert(*disk))
        .collect()
}
