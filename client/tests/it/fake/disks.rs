//! Disks in memory. They check what a storage node checks.

use super::service::LEASE_STRIDE;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use types::block::{self, FRAMED_BLOCK};
use types::placement::Epoch;
use types::shard::ChunkDescription;
use types::wire::ShardStore;
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::{ChunkId, DiskId, GroupId, ShardKey};

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not there.
    Absent,
    /// It takes no more.
    Full,
    /// It never answers, neither reads nor writes.
    Silent,
    /// It reads other bytes than were written, and says so.
    Corrupt,
    /// It reads other bytes than were written, and does not notice.
    Flips,
    /// It reads other bytes than were written, with checksums that match.
    Lies,
    /// It fails reads.
    Failing,
    /// It has too much to do.
    Busy,
}

#[derive(Default)]
pub(crate) struct Disks {
    state: Mutex<State>,
    /// Reads that were asked for.
    pub(crate) reads: AtomicU64,
}

#[derive(Default)]
struct State {
    shards: HashMap<(DiskId, ShardKey), PutShard>,
    faults: HashMap<DiskId, Fault>,
    /// Epochs that nodes know, where it is another than the writer's.
    epochs: HashMap<GroupId, Epoch>,
    /// The chunk whose first shard is refused, by its place in the lease.
    refuse: Option<u64>,
    refused: Option<(GroupId, ChunkId)>,
}

impl Disks {
    pub(crate) fn fault(&self, disk: u64, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        state.faults.insert(DiskId::new(disk), fault);
    }

    pub(crate) fn heal(&self) {
        let mut state = self.state.lock().unwrap();
        state.faults.clear();
        state.epochs.clear();
    }

    pub(crate) fn set_epoch(&self, group: u64, epoch: u64) {
        let mut state = self.state.lock().unwrap();
        state.epochs.insert(GroupId::new(group), Epoch(epoch));
    }

    /// Refuses shard 0 of the chunk with the n-th id of its lease.
    pub(crate) fn refuse_chunk(&self, nth: u64) {
        self.state.lock().unwrap().refuse = Some(nth);
    }

    /// The chunk that lost its first shard, and where that was.
    pub(crate) fn refused(&self) -> Option<(GroupId, ChunkId)> {
        self.state.lock().unwrap().refused
    }

    /// Shards of a group that are stored.
    pub(crate) fn shards_of(&self, group: u64) -> usize {
        let state = self.state.lock().unwrap();
        let keys = state.shards.keys();
        keys.filter(|(_, key)| key.group == GroupId::new(group))
            .count()
    }

    /// Bytes of all payloads, searched for `needle`.
    pub(crate) fn contain(&self, needle: &[u8]) -> bool {
        let state = self.state.lock().unwrap();
        let mut payloads = state.shards.values().map(|shard| &shard.payload);
        payloads.any(|payload| payload.windows(needle.len()).any(|window| window == needle))
    }

    /// Puts what one disk has onto another, under the same keys.
    pub(crate) fn move_disk(&self, from: u64, to: u64) {
        let (from, to) = (DiskId::new(from), DiskId::new(to));
        let mut state = self.state.lock().unwrap();
        let moved: Vec<_> = state
            .shards
            .extract_if(|(disk, _), _| *disk == from)
            .collect();
        let moved = moved
            .into_iter()
            .map(|((_, key), shard)| ((to, key), shard));
        state.shards.extend(moved);
    }

    /// Every stored chunk agrees with what its shards' headers say.
    pub(crate) fn check_digests(&self) {
        for ((_, key), shard) in &self.state.lock().unwrap().shards {
            let sealed = block::verify(*key, 0, &shard.payload).unwrap().concat();
            let digest = shard.chunk.digests[usize::from(key.index)];
            assert_eq!(blake3::hash(&sealed).as_bytes(), &digest.0, "{key}");
        }
    }
}

impl State {
    fn put(&mut self, request: PutShard) -> Result<(), PutError> {
        let (disk, key) = (request.disk, request.key);
        if key.index == 0 && self.refuse == Some(key.chunk.get() % LEASE_STRIDE) {
            self.refused = Some((key.group, key.chunk));
            return Err(PutError::DiskFailed { disk });
        }
        match self.faults.get(&disk) {
            Some(Fault::Absent) => return Err(PutError::DiskUnavailable { disk }),
            Some(Fault::Full) => return Err(PutError::Full { disk }),
            Some(Fault::Busy) => return Err(PutError::Busy { disk }),
            _ => {}
        }
        if let Some(current) = self.epochs.get(&key.group).copied()
            && current > request.epoch
        {
            let sent = request.epoch;
            return Err(PutError::StaleEpoch { sent, current });
        }
        let expected = request.chunk.payload_length(key.index).as_usize();
        if request.payload.len() != expected || block::verify(key, 0, &request.payload).is_err() {
            return Err(PutError::Damaged { key });
        }
        match self.shards.get(&(disk, key)) {
            Some(there) if *there != request => Err(PutError::Conflict { key }),
            _ => {
                // A disk keeps bytes, not the writer's memory.
                let payload = Bytes::copy_from_slice(&request.payload);
                let shard = PutShard { payload, ..request };
                self.shards.insert((disk, key), shard);
                Ok(())
            }
        }
    }

    fn read(&self, request: ReadShard) -> Result<Bytes, ReadError> {
        let ReadShard { disk, key, .. } = request;
        let fault = self.faults.get(&disk);
        let block = request.first_block;
        match fault {
            Some(Fault::Absent) => return Err(ReadError::DiskUnavailable { disk }),
            Some(Fault::Failing) => return Err(ReadError::Io { disk, key }),
            Some(Fault::Busy) => return Err(ReadError::Busy { disk }),
            Some(Fault::Corrupt) => return Err(ReadError::Corrupt { key, block }),
            _ => {}
        }
        let shard = self.shards.get(&(disk, key));
        let payload = &shard.ok_or(ReadError::Missing { key })?.payload;
        let start = request.first_block as usize * FRAMED_BLOCK;
        let end = start + request.blocks as usize * FRAMED_BLOCK;
        let blocks = payload.len().div_ceil(FRAMED_BLOCK);
        if (request.first_block + request.blocks) as usize > blocks {
            return Err(ReadError::OutOfRange { key });
        }
        let framed = payload.slice(start..end.min(payload.len()));
        Ok(match fault {
            Some(Fault::Flips) => flipped(&framed),
            Some(Fault::Lies) => {
                let sealed = block::verify(key, block, &framed).unwrap().concat();
                let mut lie = Vec::new();
                block::frame(key, block, &flipped(&sealed), &mut lie);
                lie.into()
            }
            _ => framed,
        })
    }
}

fn flipped(bytes: &[u8]) -> Bytes {
    let mut bytes = bytes.to_vec();
    for at in (100.min(bytes.len() - 1)..bytes.len()).step_by(FRAMED_BLOCK) {
        bytes[at] ^= 0x10;
    }
    bytes.into()
}

impl ShardStore for Disks {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        async move {
            if self.silent(request.disk) {
                return std::future::pending().await;
            }
            // Answers come later than calls, as they do.
            tokio::task::yield_now().await;
            self.state.lock().unwrap().put(request)
        }
        .boxed()
    }

    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        async move {
            if self.silent(request.disk) {
                return std::future::pending().await;
            }
            tokio::task::yield_now().await;
            self.state.lock().unwrap().read(request)
        }
        .boxed()
    }

    fn describe(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        let state = self.state.lock().unwrap();
        let shard = state.shards.get(&(disk, key));
        let found = shard.map(|shard| shard.chunk.clone());
        std::future::ready(found.ok_or(ReadError::Missing { key })).boxed()
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        async { Vec::new() }.boxed()
    }
}

impl Disks {
    fn silent(&self, disk: DiskId) -> bool {
        self.state.lock().unwrap().faults.get(&disk) == Some(&Fault::Silent)
    }
}
