//! One serving disk: its store, its open files, its writer.

use crate::index::Location;
use crate::opening::{self, Damage, OpenError};
use crate::record::{self, Header};
use crate::store::{Limits, Store};
use crate::volume::VolumeId;
use crate::writer::{self, QUEUE, Stored, Ticket, WriteError};
use bytes::Bytes;
use disk::{BLOCK, Disk, File};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use types::shard::{ChunkDescription, ShardKey};
use types::wire::storage::{DiskReport, DiskState, PutError, PutShard, ReadError, ReadShard};
use types::{ByteCount, ByteOffset, DiskId, block};

/// Reads of one disk that may be under way; more are told that it is busy.
const READS: usize = 512;

/// What a drive's reads and its writer share.
pub(crate) struct Drive {
    pub(crate) id: DiskId,
    pub(crate) disk: Arc<dyn Disk>,
    state: RwLock<State>,
    failed: OnceLock<String>,
    reads: Semaphore,
}

/// Locked for lookups and decisions, never across I/O.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) files: HashMap<VolumeId, Arc<dyn File>>,
}

/// The drive with its writer. Dropped, the writer serves what waits and ends.
pub(crate) struct ServingDrive {
    drive: Arc<Drive>,
    damage: Vec<Damage>,
    tickets: Mutex<Option<mpsc::Sender<Ticket>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl ServingDrive {
    /// Opens a stamped disk and starts its writer on the current tokio runtime.
    pub(crate) async fn open(
        disk: Arc<dyn Disk>,
        id: DiskId,
        limits: Limits,
    ) -> Result<Self, OpenError> {
        let opened = opening::open(&*disk, id, limits).await?;
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
            reads: Semaphore::new(READS),
        });
        let (tickets, queue) = mpsc::channel(QUEUE);
        let writer = tokio::spawn(writer::run(Arc::clone(&drive), queue));
        Ok(Self {
            drive,
            damage: opened.damage,
            tickets: Mutex::new(Some(tickets)),
            writer: Mutex::new(Some(writer)),
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
        if drive.serving().is_err() {
            return Err(PutError::DiskFailed { disk });
        }
        // Kept for the comparison; `payload` is shared, not copied.
        let retry = put.clone();
        let (answer, stored) = oneshot::channel();
        let tickets = lock(&self.tickets).clone();
        let tickets = tickets.ok_or(PutError::DiskUnavailable { disk })?;
        tickets
            .try_send(Ticket { put, answer })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => PutError::Busy { disk },
                mpsc::error::TrySendError::Closed(_) => PutError::DiskUnavailable { disk },
            })?;
        drop(tickets);
        match stored.await {
            Ok(Ok(Stored::Durable)) => Ok(()),
            Ok(Ok(Stored::Before(location))) => drive.compare(location, &retry).await,
            Ok(Err(error)) => Err(error),
            Err(_stopped) => Err(PutError::DiskUnavailable { disk }),
        }
    }

    /// Reads blocks of a shard.
    pub(crate) async fn read(&self, request: ReadShard) -> Result<Bytes, ReadError> {
        self.drive.read(request).await
    }

    /// What a shard's record says of its chunk.
    pub(crate) async fn describe(&self, key: ShardKey) -> Result<ChunkDescription, ReadError> {
        self.drive.describe(key).await
    }

    /// How the disk is.
    pub(crate) fn report(&self) -> DiskReport {
        let drive = &*self.drive;
        let state = drive.state();
        DiskReport {
            disk: drive.id,
            state: match drive.failed.get() {
                Some(why) => DiskState::Failed(why.clone()),
                None => DiskState::Serving,
            },
            engine: match drive.failed.get() {
                Some(_) => String::new(),
                None => drive.disk.engine(),
            },
            shards: state.store.shards(),
            used: state.store.used(),
            free: state.store.free(),
        }
    }

    /// Takes no more writes, and returns when those that wait are answered.
    pub(crate) async fn shutdown(&self) {
        drop(lock(&self.tickets).take());
        let writer = lock(&self.writer).take();
        if let Some(writer) = writer
            && let Err(error) = writer.await
        {
            tracing::error!(disk = %self.drive.id, "its writer broke off: {error}");
        }
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

    /// Whether the disk has not failed.
    pub(crate) fn serving(&self) -> Result<(), WriteError> {
        match self.failed.get() {
            None => Ok(()),
            Some(_) => Err(WriteError::Stopped),
        }
    }

    /// Stops the disk for good.
    pub(crate) fn fail(&self, why: &WriteError) {
        if self.failed.set(why.to_string()).is_ok() {
            tracing::error!(disk = %self.id, "the disk failed and was stopped: {why}");
        }
    }

    async fn read(&self, request: ReadShard) -> Result<Bytes, ReadError> {
        let ReadShard { disk, key, .. } = request;
        if self.serving().is_err() {
            return Err(ReadError::DiskUnavailable { disk });
        }
        let Ok(_permit) = self.reads.try_acquire() else {
            return Err(ReadError::Busy { disk });
        };
        let (location, file) = {
            let state = self.state();
            let location = state.store.get(key).ok_or(ReadError::Missing { key })?;
            (location, Arc::clone(&state.files[&location.volume]))
        };
        let (at, length) = location
            .blocks(request.first_block, request.blocks)
            .ok_or(ReadError::OutOfRange { key })?;
        let framed = read_range(&*file, at, length).await.map_err(|error| {
            tracing::warn!(%disk, %key, "reading a shard: {error}");
            ReadError::Io { disk, key }
        })?;
        match block::verify(key, request.first_block, &framed) {
            Ok(_) => Ok(framed),
            Err(corrupt) => {
                let block = corrupt.block;
                tracing::warn!(%disk, %key, block, "a block fails its checksum");
                Err(ReadError::Corrupt { key, block })
            }
        }
    }

    async fn describe(&self, key: ShardKey) -> Result<ChunkDescription, ReadError> {
        let disk = self.id;
        if self.serving().is_err() {
            return Err(ReadError::DiskUnavailable { disk });
        }
        let Ok(_permit) = self.reads.try_acquire() else {
            return Err(ReadError::Busy { disk });
        };
        let (location, file) = {
            let state = self.state();
            let location = state.store.get(key).ok_or(ReadError::Missing { key })?;
            (location, Arc::clone(&state.files[&location.volume]))
        };
        let header = ByteCount::new(BLOCK as u64);
        let bytes = file.read(location.at(), header).await.map_err(|error| {
            tracing::warn!(%disk, %key, "reading a shard's header: {error}");
            ReadError::Io { disk, key }
        })?;
        match Header::decode(&bytes, disk, location.volume) {
            Ok(header) if header.key == key => Ok(header.chunk),
            _ => Err(ReadError::Corrupt { key, block: 0 }),
        }
    }

    /// Answers a retry whose key has a durable record: the same bytes are stored already.
    async fn compare(&self, location: Location, put: &PutShard) -> Result<(), PutError> {
        let disk = self.id;
        let Ok(_permit) = self.reads.try_acquire() else {
            return Err(PutError::Busy { disk });
        };
        let file = self.file(location.volume);
        let held = self.holds(&*file, location, put).await;
        let named = writer::named(location.volume, &file).await;
        if let Err(why) = named.and_then(|()| self.serving()) {
            self.fail(&why);
            return Err(PutError::DiskFailed { disk });
        }
        let key = put.key;
        held.then_some(()).ok_or(PutError::Conflict { key })
    }

    /// Whether the record there is what a retry sent. One that cannot be read, or was damaged since, is
    /// not: the writer takes a fresh chunk id.
    async fn holds(&self, file: &dyn File, location: Location, put: &PutShard) -> bool {
        let Ok(bytes) = file.read(location.at(), location.length()).await else {
            return false;
        };
        let Ok(header) = Header::decode(&bytes, self.id, location.volume) else {
            return false;
        };
        // Equal descriptions have shards of equal lengths, so the range is inside the record.
        header.key == put.key
            && header.chunk == put.chunk
            && bytes[record::HEADER..].starts_with(&put.payload)
    }
}

/// Reads any range: whole blocks around it, of which the answer is a slice.
async fn read_range(file: &dyn File, at: ByteOffset, length: ByteCount) -> io::Result<Bytes> {
    let block = BLOCK as u64;
    let start = ByteOffset::new(at.get() / block * block);
    let before = at - start;
    let whole = (before + length).get().next_multiple_of(block);
    let bytes = file.read(start, ByteCount::new(whole)).await?;
    Ok(bytes.slice(before.as_usize()..(before + length).as_usize()))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::sim::SimDisk;
    use types::shard::{ChunkDescription, ShardDigest};
    use types::{BlobId, ChunkId, Epoch, GroupId, ShardKey};

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

    /// A comparison reads a whole record, so it counts as a read: too many are told so.
    #[tokio::test]
    async fn a_comparison_takes_a_permit() {
        let id = DiskId::new(1);
        let disk = Arc::new(SimDisk::new(1));
        let serving = ServingDrive::open(disk, id, Limits::default()).await;
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
