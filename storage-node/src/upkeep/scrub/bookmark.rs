//! How far the scrub of a disk has come, in a file `scrub` on that disk.
//!
//! The file has two halves, written in turn and synced, so that a torn write leaves the one before. Nothing
//! depends on it: where it is missing, damaged or of another version, a round begins anew. So it is looked
//! for and made each time, and nobody keeps it open.
//!
//! `docs/formats/storage.md` draws every byte.

use crate::checksum::{CHECKSUM, checksum};
use crate::layout::{Reader, Writer};
use crate::writer::{WriteError, is_full};
use disk::{BLOCK, Buffer, Disk, File};
use std::io;
use std::sync::Arc;
use types::wire::metadata::WallTime;
use types::{ByteCount, ByteOffset, ChunkId, DiskId, GroupId, ShardKey};

/// The file's name.
pub const NAME: &str = "scrub";
/// The version that this build writes, and the only one so far.
pub const VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"STRSCRUB";
const CHECKSUM_AT: usize = BLOCK - CHECKSUM;
const HALF: ByteCount = ByteCount::new(BLOCK as u64);

/// What a disk's scrub is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// No round is under way: the next one is not due.
    #[default]
    Resting,
    /// A round is under way, as fast as the period asks for.
    Steady,
    /// An operator began a round, which goes as fast as it may.
    Hurried,
}

/// How far the scrub of a disk has come. Shards are visited in order of group, index and chunk, wherever on
/// the disk they lie and are moved to meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// Rises from write to write; the higher one of two halves counts.
    pub sequence: u64,
    /// What it is doing.
    pub phase: Phase,
    /// Which round is under way, or was last; counted from 1.
    pub round: u64,
    /// When that round began.
    pub began: WallTime,
    /// When a whole round ended last; 0: none did.
    pub ended: WallTime,
    /// Shards that this round has visited.
    pub shards: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// How many of them were not what they were.
    pub found: u64,
    /// Every shard before this one was visited.
    pub next: ShardKey,
}

impl Default for Bookmark {
    fn default() -> Self {
        Self {
            sequence: 0,
            phase: Phase::Resting,
            round: 0,
            began: WallTime(0),
            ended: WallTime(0),
            shards: 0,
            bytes: 0,
            found: 0,
            next: FIRST,
        }
    }
}

/// No shard comes before it.
pub(super) const FIRST: ShardKey = ShardKey {
    group: GroupId::new(0),
    chunk: ChunkId::new(0),
    index: 0,
};

impl Bookmark {
    /// The half's bytes on that disk: one block.
    pub fn encode(&self, disk: DiskId) -> Buffer {
        let phase: u8 = match self.phase {
            Phase::Resting => 0,
            Phase::Steady => 1,
            Phase::Hurried => 2,
        };
        let mut bytes = Buffer::zeroed(BLOCK);
        Writer::new(&mut bytes)
            .put(MAGIC)
            .put(&VERSION.to_be_bytes())
            .put(&[phase])
            .reserve(5)
            .put(&self.sequence.to_be_bytes())
            .put(&self.round.to_be_bytes())
            .put(&self.began.0.to_be_bytes())
            .put(&self.ended.0.to_be_bytes())
            .put(&self.shards.to_be_bytes())
            .put(&self.bytes.to_be_bytes())
            .put(&self.found.to_be_bytes())
            .put(&self.next.group.to_be_bytes())
            .put(&self.next.chunk.to_be_bytes())
            .put(&[self.next.index]);
        let sum = keyed(disk, &bytes);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum);
        bytes
    }

    /// Reads a half of that disk's file. `None` when it is none, damaged, another disk's, or of a build that
    /// means something else by it.
    pub fn decode(half: &[u8], disk: DiskId) -> Option<Self> {
        let whole = half.len() == BLOCK
            && half.starts_with(MAGIC)
            && keyed(disk, half) == half[CHECKSUM_AT..];
        let mut reader = Reader::new(half);
        if !whole || reader.skip(MAGIC.len()).u16() != VERSION {
            return None;
        }
        let phase = match reader.u8() {
            0 => Phase::Resting,
            1 => Phase::Steady,
            2 => Phase::Hurried,
            _ => return None,
        };
        Some(Self {
            phase,
            sequence: reader.skip(5).u64(),
            round: reader.u64(),
            began: WallTime(reader.u64()),
            ended: WallTime(reader.u64()),
            shards: reader.u64(),
            bytes: reader.u64(),
            found: reader.u64(),
            next: ShardKey {
                group: GroupId::new(reader.u64()),
                chunk: ChunkId::new(reader.u64()),
                index: reader.u8(),
            },
        })
    }

    /// Reads what a disk's file says, if there is one that says anything.
    ///
    /// # Errors
    /// When the device fails.
    pub(super) async fn read(device: &dyn Disk, disk: DiskId) -> io::Result<Option<Self>> {
        let file = match device.open(NAME).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if file.length().await? != HALF + HALF {
            return Ok(None);
        }
        let bytes = file.read(ByteOffset::ZERO, HALF + HALF).await?;
        let halves = bytes.chunks(BLOCK);
        let halves = halves.filter_map(|half| Self::decode(half, disk));
        Ok(halves.max_by_key(|half| half.sequence))
    }

    /// Makes it durable. A full disk keeps the one before.
    ///
    /// # Errors
    /// When the device fails: like any failed write or sync, it stops the disk.
    pub(super) async fn write(&self, device: &dyn Disk, disk: DiskId) -> Result<(), WriteError> {
        match self.write_half(device, disk).await {
            Err(WriteError::Write(error)) if is_full(&error) => {
                tracing::debug!(%disk, "the disk is full: where its scrub is was not noted");
                Ok(())
            }
            other => other,
        }
    }

    async fn write_half(&self, device: &dyn Disk, disk: DiskId) -> Result<(), WriteError> {
        let (file, made) = opened(device).await.map_err(WriteError::Write)?;
        let at = ByteOffset::new(self.sequence % 2 * HALF.get());
        let written = file.write(at, self.encode(disk)).await;
        written.map_err(WriteError::Write)?;
        file.sync().await.map_err(WriteError::Sync)?;
        if made {
            device.sync_folder().await.map_err(WriteError::Sync)?;
        }
        Ok(())
    }
}

/// The file with both halves, and whether it was made.
async fn opened(device: &dyn Disk) -> io::Result<(Arc<dyn File>, bool)> {
    let (file, made) = match device.open(NAME).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => (device.create(NAME).await?, true),
        other => (other?, false),
    };
    if file.length().await? != HALF + HALF {
        file.set_length(ByteCount::ZERO).await?;
        file.allocate(HALF + HALF).await?;
    }
    Ok((file, made))
}

fn keyed(disk: DiskId, half: &[u8]) -> [u8; CHECKSUM] {
    checksum(&[&disk.to_be_bytes(), &half[..CHECKSUM_AT]])
}
