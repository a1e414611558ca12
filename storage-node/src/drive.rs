//! One serving disk: its store, its open files, its writer.

use crate::condition::Watchdog;
use crate::delete::DeleteError;
use crate::gauges::label;
use crate::index::Location;
use crate::opening::{self, Acknowledged, Damage, OpenError};
use crate::plan::{Limits, Removed};
use crate::queue::QUEUE;
use crate::reading::Compared;
use crate::reclaim::{PATIENCE, Reclaiming};
use crate::slow::Latency;
use crate::store::Store;
use crate::ticket::{Refusal, Stored, Ticket};
use crate::tombstone::Tombstone;
use crate::unread::Unread;
use crate::volume::VolumeId;
use crate::writer::{self, WriteError};
use disk::{Disk, File, Metered};
use metrics::Histogram;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use types::wire::storage::{DiskReport, DiskState, PutError, PutShard, ReadError};
use types::{ByteCount, ChunkId, DiskId, GroupId};

/// How often a put looks at what stands under its key before it gives up: the record would have to be
/// removed and written again each time.
const ATTEMPTS: u32 = 5;
/// Reads of one disk that may be under way; more are told that it is busy.
const READS: usize = 512;

/// What a drive's reads and its writer share.
pub(crate) struct Drive {
    pub(crate) id: DiskId,
    pub(crate) disk: Arc<dyn Disk>,
    state: RwLock<State>,
    /// Why it serves no more.
    pub(crate) failed: OnceLock<WriteError>,
    /// Whether it is not to be opened anew, as one that failed is.
    pub(crate) retired: AtomicBool,
    /// What it failed to read.
    pub(crate) unread: Unread,
    /// How long its reads take, and why that is slow.
    pub(crate) latency: Latency,
    pub(crate) slow: Mutex<Option<String>>,
    pub(crate) stalled: Mutex<Option<String>>,
    /// Since when the writer is at one action.
    pub(crate) busy: Watchdog,
    /// Since when the disk is being checked.
    pub(crate) checked: Watchdog,
    pub(crate) reads: Semaphore,
    /// Records that are written before one sync, in bytes.
    pub(crate) batch: ByteCount,
    /// How many shared a sync.
    pub(crate) records_a_sync: Histogram,
}

/// Why a ticket was not queued.
enum Unsent {
    Busy,
    Stopped,
}

/// Locked for lookups and decisions, never across I/O.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) files: BTreeMap<VolumeId, Arc<dyn File>>,
}

/// The drive with its writer. Dropped, the writer serves what waits and ends.
pub(crate) struct ServingDrive {
    drive: Arc<Drive>,
    damage: Vec<Damage>,
    tickets: Mutex<Option<mpsc::Sender<Ticket>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    reclaiming: Reclaiming,
    /// Checks that were begun and were not seen to end.
    checks: tokio::sync::Mutex<JoinSet<()>>,
}

impl ServingDrive {
    /// Opens a stamped disk and starts its writer on the current tokio runtime.
    pub(crate) async fn open(
        disk: Arc<dyn Disk>,
        id: DiskId,
        limits: Limits,
        failed_at: Option<Acknowledged>,
    ) -> Result<Self, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(Metered::new(disk, id));
        let opened = opening::open(&*disk, id, limits, failed_at).await?;
        for damage in &opened.damage {
            tracing::error!(disk = %id, "damage: {damage}; it is to be repaired from other disks");
        }
        let drive = Arc::new(Drive {
            id,
            disk,
            state: RwLock::new(State {
                store: opened.store,
                files: opened.files,
            }),
            failed: OnceLock::new(),
            retired: AtomicBool::new(false),
            unread: Unread::default(),
            latency: Latency::default(),
            slow: Mutex::default(),
            stalled: Mutex::default(),
            busy: Watchdog::default(),
            checked: Watchdog::default(),
            reads: Semaphore::new(READS),
            batch: limits.batch,
            records_a_sync: metrics::histogram!("strongroom_disk_records_per_sync", "disk" => label(id)),
        });
        let (tickets, queue) = mpsc::channel(QUEUE);
        let ledger = opened.ledger.expect("an open disk has one");
        let writer = tokio::spawn(writer::run(Arc::clone(&drive), ledger, queue));
        Ok(Self {
            drive,
            damage: opened.damage,
            tickets: Mutex::new(Some(tickets)),
            writer: Mutex::new(Some(writer)),
            reclaiming: Reclaiming::default(),
            checks: tokio::sync::Mutex::default(),
        })
    }

    /// What was found bad when the disk was opened.
    pub(crate) fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Stores a well-formed shard.
    pub(crate) async fn put(&self, put: PutShard) -> Result<(), PutError> {
        let drive = &*self.drive;
        let disk = drive.id;
        let mut damaged = None;
        // Each turn finds another record under the key than the one before: one that was damaged, or was
        // removed meanwhile.
        for _ in 0..ATTEMPTS {
            match drive.condition() {
                DiskState::Serving => {}
                DiskState::Failed(_) => return Err(PutError::DiskFailed { disk }),
                _ => return Err(PutError::DiskUnavailable { disk }),
            }
            let (answer, stored) = oneshot::channel();
            // The payload is shared, not copied.
            self.send(Ticket::Put(put.clone(), damaged, answer))
                .map_err(|unsent| match unsent {
                    Unsent::Busy => PutError::Busy { disk },
                    Unsent::Stopped => PutError::DiskUnavailable { disk },
                })?;
            let stored = stored.await;
            match stored.unwrap_or(Err(PutError::DiskUnavailable { disk }))? {
                Stored::Durable => return Ok(()),
                Stored::Before(location) => match drive.settle(location, &put).await? {
                    Compared::Same => return Ok(()),
                    Compared::Other => return Err(PutError::Conflict { key: put.key }),
                    Compared::Damaged => {
                        tracing::warn!(%disk, key = %put.key, "a damaged record is written anew");
                        damaged = Some(location);
                    }
                    Compared::Gone => damaged = None,
                },
            }
        }
        Err(PutError::Busy { disk })
    }

    /// Queues a removal. What it returns waits for it; it is done even if nobody does.
    pub(crate) fn delete(
        &self,
        dead: Tombstone,
    ) -> Result<impl Future<Output = Result<Removed, DeleteError>> + use<>, DeleteError> {
        let disk = self.drive.id;
        match self.drive.condition() {
            DiskState::Serving => {}
            DiskState::Failed(_) => return Err(DeleteError::DiskFailed { disk }),
            _ => return Err(DeleteError::DiskUnavailable { disk }),
        }
        let (answer, removed) = oneshot::channel();
        self.send(Ticket::Delete(dead, answer))
            .map_err(|unsent| match unsent {
                Unsent::Busy => DeleteError::Busy { disk },
                Unsent::Stopped => DeleteError::DiskUnavailable { disk },
            })?;
        Ok(async move {
            match removed.await {
                Ok(Ok(removed)) => Ok(removed),
                Ok(Err(Refusal::Full)) => Err(DeleteError::Full { disk }),
                Ok(Err(Refusal::Failed)) => Err(DeleteError::DiskFailed { disk }),
                Err(_stopped) => Err(DeleteError::DiskUnavailable { disk }),
            }
        })
    }

    /// Removes what is not needed any more; returns when that is done.
    pub(crate) async fn tidy(&self) {
        let (answer, looked) = oneshot::channel();
        if self.send(Ticket::Look(answer)).is_ok() {
            let _stopped = looked.await;
        }
    }

    /// Stores a shard anew that lies at `from`; no sooner than it is durable there is it found there. Whether
    /// it still lay at `from`.
    pub(crate) async fn send_move(&self, put: PutShard, from: Location) -> Result<bool, Refusal> {
        let (answer, moved) = oneshot::channel();
        let sent = self.send(Ticket::Move(put, from, answer));
        sent.map_err(|_| Refusal::Full)?;
        moved.await.unwrap_or(Err(Refusal::Failed))
    }

    /// For giving back space.
    pub(crate) fn reclaiming(&self) -> &Reclaiming {
        &self.reclaiming
    }

    fn send(&self, ticket: Ticket) -> Result<(), Unsent> {
        let tickets = lock(&self.tickets);
        let tickets = tickets.as_ref().ok_or(Unsent::Stopped)?;
        tickets.try_send(ticket).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unsent::Busy,
            mpsc::error::TrySendError::Closed(_) => Unsent::Stopped,
        })
    }

    /// Which disk.
    pub(crate) fn id(&self) -> DiskId {
        self.drive.id
    }

    /// The slots that have live shards, and how many each.
    pub(crate) fn slots(&self) -> Result<Vec<(GroupId, u8, u64)>, ReadError> {
        self.drive.answering()?;
        Ok(self.drive.state().store.slots())
    }

    /// The live shards of a slot with the lengths of their payloads.
    pub(crate) fn slot(
        &self,
        group: GroupId,
        index: u8,
    ) -> Result<Vec<(ChunkId, ByteCount)>, ReadError> {
        self.drive.answering()?;
        Ok(self.drive.state().store.slot(group, index))
    }

    /// For its reads.
    pub(crate) fn drive(&self) -> &Arc<Drive> {
        &self.drive
    }

    /// How the disk is.
    pub(crate) fn report(&self) -> DiskReport {
        let drive = &*self.drive;
        let state = drive.state();
        let condition = drive.condition();
        DiskReport {
            disk: drive.id,
            engine: match condition {
                DiskState::Serving => drive.disk.engine(),
                _ => String::new(),
            },
            slow: lock(&drive.slow).clone(),
            state: condition,
            shards: state.store.shards(),
            used: state.store.used(),
            free: state.store.free(),
        }
    }

    /// Begins a check of the disk by a task of its own, unless one has not returned yet.
    pub(crate) fn check<F>(self: &Arc<Self>, check: impl FnOnce(Arc<Self>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Ok(mut checks) = self.checks.try_lock()
            && self.drive.checked.begin()
        {
            checks.spawn(check(Arc::clone(self)));
        }
    }

    /// Returns when the checks have ended that were begun.
    pub(crate) async fn checked(&self) {
        let mut checks = self.checks.lock().await;
        while checks.join_next().await.is_some() {}
    }

    /// Takes no more writes, and returns when those that wait are answered and nothing looks at the disk any more.
    pub(crate) async fn shutdown(&self) {
        drop(lock(&self.tickets).take());
        let writer = lock(&self.writer).take();
        if let Some(writer) = writer
            && let Err(error) = writer.await
        {
            tracing::error!(disk = %self.drive.id, "its writer broke off: {error}");
        }
        self.reclaiming.stop().await;
        let _hangs = timeout(PATIENCE, self.checked()).await;
    }
}

impl Drive {
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of a volume that the store knows.
    pub(crate) fn file(&self, volume: VolumeId) -> Arc<dyn File> {
        Arc::clone(&self.state().files[&volume])
    }

    /// As [`Drive::file`], of a volume that may be gone.
    pub(crate) fn file_of(&self, volume: VolumeId) -> Option<Arc<dyn File>> {
        self.state().files.get(&volume).map(Arc::clone)
    }

    /// Whether the disk has not failed.
    pub(crate) fn serving(&self) -> Result<(), WriteError> {
        match self.failed.get() {
            None => Ok(()),
            Some(_) => Err(WriteError::Stopped),
        }
    }

    /// How far it has come: what lies behind was not acknowledged.
    pub(crate) fn acknowledged(&self) -> Acknowledged {
        self.state().store.acknowledged()
    }

    /// Stops the disk, and has it not opened anew.
    pub(crate) fn retire(&self, why: String) {
        self.retired.store(true, Ordering::Release);
        self.fail(WriteError::Lost(why));
    }

    /// Stops the disk for good.
    pub(crate) fn fail(&self, why: WriteError) {
        let told = why.to_string();
        if self.failed.set(why).is_ok() {
            tracing::error!(disk = %self.id, "the disk failed and was stopped: {told}");
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::sim::SimDisk;
    use types::shard::{ChunkDescription, ShardDigest};
    use types::{BlobId, Epoch, ShardKey, block};

    fn shard(disk: DiskId) -> PutShard {
        let key = ShardKey {
            group: GroupId::new(1),
            chunk: ChunkId::new(2),
            index: 0,
        };
        let mut payload = Vec::new();
        block::frame(key, 0, b"sealed", &mut payload);
        PutShard {
            disk,
            key,
            epoch: Epoch(1),
            chunk: ChunkDescription {
                blob: BlobId::new(3),
                first_segment: 0,
                profile: "1+1".parse().unwrap(),
                data_lengths: vec![6],
                digests: vec![ShardDigest([0; 32]); 2],
            },
            payload: payload.into(),
        }
    }

    /// What a served disk does is counted under its number.
    #[test]
    fn a_served_disk_is_counted() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        metrics::with_local_recorder(&recorder, || {
            runtime.block_on(async {
                let id = DiskId::new(7);
                let disk = Arc::new(SimDisk::new(1));
                let serving = ServingDrive::open(disk, id, Limits::default(), None).await;
                let serving = serving.unwrap();
                serving.put(shard(id)).await.unwrap();
                serving.shutdown().await;
            });
        });
        let text = recorder.handle().render();
        for line in [
            "strongroom_disk_operations_total{disk=\"7\",operation=\"sync\"} ",
            "strongroom_disk_bytes_total{disk=\"7\",operation=\"write\"} ",
            "strongroom_disk_engine{disk=\"7\",engine=\"simulated\"} 1",
        ] {
            assert!(
                text.contains(line) && !text.contains(&format!("{line}0\n")),
                "{text}"
            );
        }
    }

    /// A comparison reads a whole record, so it counts as a read: too many are told so.
    #[tokio::test]
    async fn a_comparison_takes_a_permit() {
        let id = DiskId::new(1);
        let disk = Arc::new(SimDisk::new(1));
        let serving = ServingDrive::open(disk, id, Limits::default(), None).await;
        let serving = serving.unwrap();
        serving.put(shard(id)).await.unwrap();
        {
            let all = u32::try_from(READS).unwrap();
            let _reads = serving.drive.reads.try_acquire_many(all).unwrap();
            let busy = PutError::Busy { disk: id };
            assert_eq!(serving.put(shard(id)).await, Err(busy));
        }
        assert_eq!(serving.put(shard(id)).await, Ok(()));
        serving.shutdown().await;
    }
}
