//! The shard service of a storage node: numbered, opaque shards. It sees no key and no name.

use crate::id::DiskId;
use crate::placement::Epoch;
use crate::shard::{ChunkDescription, ShardKey};
use crate::size::ByteCount;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// Store one shard of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutShard {
    /// The disk that the writer's group table names.
    pub disk: DiskId,
    /// The shard.
    pub key: ShardKey,
    /// The group's epoch as the writer knows it.
    pub epoch: Epoch,
    /// What every shard of the chunk says of the chunk.
    pub chunk: ChunkDescription,
    /// The shard's blocks, each with its checksum. Never empty: an empty shard is not sent.
    pub payload: Bytes,
}

/// Read a range of blocks of one shard: one I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadShard {
    /// The disk that the reader's group table names.
    pub disk: DiskId,
    /// The shard.
    pub key: ShardKey,
    /// First block.
    pub first_block: u32,
    /// How many; at least 1. Blocks past the shard's end are an error, not a short answer.
    pub blocks: u32,
}

/// Why a shard was not stored. Only `Ok` means that it is durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PutError {
    /// The disk is not here: absent, stopped, or on another node. Write elsewhere.
    #[error("{disk} is not available")]
    DiskUnavailable {
        /// Which.
        disk: DiskId,
    },
    /// The disk has only its reserve left. Write elsewhere; deletes still work.
    #[error("{disk} is full")]
    Full {
        /// Which.
        disk: DiskId,
    },
    /// The group has moved on: fetch the group table again.
    #[error("epoch {sent:?} of the group is over: this node knows {current:?}")]
    StaleEpoch {
        /// The writer's.
        sent: Epoch,
        /// The node's.
        current: Epoch,
    },
    /// A different record stands under this key. A chunk id is written once: take a fresh one.
    #[error("shard {key} was written before with other bytes")]
    Conflict {
        /// Which.
        key: ShardKey,
    },
    /// The request contradicts itself: a wrong length, a block that fails its checksum.
    #[error("shard {key} arrived damaged")]
    Damaged {
        /// Which.
        key: ShardKey,
    },
    /// Too much is waiting for this disk. Retry later or elsewhere.
    #[error("{disk} is busy")]
    Busy {
        /// Which.
        disk: DiskId,
    },
    /// The disk failed the write and was stopped.
    #[error("{disk} failed")]
    DiskFailed {
        /// Which.
        disk: DiskId,
    },
    /// No answer came: it may be stored or not. Never sent: a caller's end says it of a call that broke.
    #[error("nobody knows whether {disk} has stored it")]
    Unanswered {
        /// Which.
        disk: DiskId,
    },
}

/// Why blocks could not be read. Each is answered by rebuilding the range from other shards.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ReadError {
    /// The disk is not here.
    #[error("{disk} is not available")]
    DiskUnavailable {
        /// Which.
        disk: DiskId,
    },
    /// The disk has no such shard: it starts a repair.
    #[error("shard {key} is not on this disk")]
    Missing {
        /// Which.
        key: ShardKey,
    },
    /// A block fails its checksum: it starts a repair.
    #[error("shard {key}: block {block} fails its checksum")]
    Corrupt {
        /// Which.
        key: ShardKey,
        /// Its number.
        block: u32,
    },
    /// The range reaches past the shard's end.
    #[error("shard {key} has fewer blocks than asked for")]
    OutOfRange {
        /// Which.
        key: ShardKey,
    },
    /// Too much is waiting for this disk.
    #[error("{disk} is busy")]
    Busy {
        /// Which.
        disk: DiskId,
    },
    /// The device failed the read: it counts against the disk.
    #[error("{disk} failed to read shard {key}")]
    Io {
        /// Which disk.
        disk: DiskId,
        /// Which shard.
        key: ShardKey,
    },
}

impl ReadError {
    /// Whether it is the shard that is not there or not what it was, so that it is to be made again; the disk
    /// may be well otherwise.
    pub fn is_of_the_shard(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. } | Self::Corrupt { .. } | Self::Io { .. }
        )
    }
}

/// State of one disk as its node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskReport {
    /// The disk.
    pub disk: DiskId,
    /// Whether it serves.
    pub state: DiskState,
    /// Why it is slow, compared with the node's other disks. It serves all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<String>,
    /// Which engine does its I/O, and why that one. Empty for a disk that does not serve.
    pub engine: String,
    /// Shards that live on it.
    pub shards: u64,
    /// Bytes in its volumes.
    pub used: ByteCount,
    /// Bytes that may still be written.
    pub free: ByteCount,
}

impl DiskReport {
    /// Of a disk that does not serve: of what it holds nothing is known.
    pub fn away(disk: DiskId, state: DiskState) -> Self {
        Self {
            disk,
            state,
            slow: None,
            engine: String::new(),
            shards: 0,
            used: ByteCount::ZERO,
            free: ByteCount::ZERO,
        }
    }
}

/// Whether a disk serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DiskState {
    /// Reads and writes.
    Serving,
    /// Its folder is empty, missing or unreadable; why.
    Absent(String),
    /// It failed while serving and was stopped; why.
    Failed(String),
    /// A call to it has not returned for too long; it serves again when its calls return.
    Stalled(String),
}

/// The service.
pub trait ShardStore: Send + Sync + 'static {
    /// Stores a shard; answers once it is durable. The same bytes again are an idempotent retry.
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>>;

    /// Reads framed blocks that the node has verified.
    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>>;

    /// What a shard's record says of its chunk, as read from the disk and checked.
    fn describe(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>>;

    /// The state of every disk of the node.
    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>>;
}
