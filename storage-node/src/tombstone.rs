//! Tombstones on disk: which shards of the volumes written so far are dead. One block holds up to 125
//! ranges of chunk ids, of whatever slots.
//!
//! A tombstone kills what lies before it: records of earlier volumes, and of its own volume with lower
//! sequence numbers. A shard that is written again under the same key lies behind it, and lives.
//!
//! The block's last byte is zero, as every record's is (see `footer`).
//!
//! `docs/formats/storage.md` draws every byte.

use crate::checksum::{CHECKSUM, checksum};
use crate::layout::{Reader, Writer};
use crate::record::HeaderError;
use crate::volume::VolumeId;
use disk::{BLOCK, Buffer};
use types::{ByteCount, ByteOffset, ChunkId, DiskId, GroupId, ShardKey};

/// The version that this build writes, and the only one so far.
pub const VERSION: u16 = 1;
/// Most ranges in one record.
pub const MAX: usize = 125;
/// Length of a record.
pub const LENGTH: ByteCount = ByteCount::new(BLOCK as u64);

const MAGIC: &[u8; 8] = b"STRTOMBS";
const HEADER: usize = 64;
const RANGE: usize = 32;
const CHECKSUM_AT: usize = BLOCK - 2 * CHECKSUM;

/// Consecutive chunk ids of one slot, all of whose shards are dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The group.
    pub group: GroupId,
    /// The slot: the shards' index.
    pub index: u8,
    /// The first chunk.
    pub first: ChunkId,
    /// The last one.
    pub last: ChunkId,
}

impl Tombstone {
    /// Whether it names that shard.
    pub fn names(&self, key: ShardKey) -> bool {
        let slot = (key.group, key.index) == (self.group, self.index);
        slot && (self.first..=self.last).contains(&key.chunk)
    }
}

/// A record of tombstones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstones {
    /// 1 to [`MAX`] of them.
    pub ranges: Vec<Tombstone>,
    /// The volume that it was written to.
    pub volume: VolumeId,
    /// As in a shard's header, and counted with them.
    pub sequence: u64,
    /// As in a shard's header.
    pub durable: ByteOffset,
    /// As in a shard's header.
    pub opened: ByteOffset,
}

impl Tombstones {
    /// The record's block on that disk.
    ///
    /// # Panics
    /// When there are too many ranges.
    pub fn encode(&self, disk: DiskId) -> Buffer {
        assert!((1..=MAX).contains(&self.ranges.len()));
        let count = u16::try_from(self.ranges.len()).expect("at most MAX");
        let mut block = Buffer::zeroed(BLOCK);
        Writer::new(&mut block)
            .put(MAGIC)
            .put(&VERSION.to_be_bytes())
            .put(&count.to_be_bytes())
            .reserve(4)
            .put(&u64::from(self.volume.0).to_be_bytes())
            .put(&self.sequence.to_be_bytes())
            .put(&self.durable.get().to_be_bytes())
            .put(&self.opened.get().to_be_bytes());
        let mut writer = Writer::new(&mut block[HEADER..]);
        for range in &self.ranges {
            writer
                .put(&range.group.to_be_bytes())
                .put(&range.first.to_be_bytes())
                .put(&range.last.to_be_bytes())
                .put(&[range.index])
                .reserve(7);
        }
        let sum = keyed(disk, self.volume, self.sequence, &block);
        block[CHECKSUM_AT..CHECKSUM_AT + CHECKSUM].copy_from_slice(&sum);
        block
    }

    /// Reads a record that should lie in that volume of that disk, from the beginning of `bytes`.
    ///
    /// # Errors
    /// When there is none that belongs there, and when a later build wrote it.
    pub fn decode(bytes: &[u8], disk: DiskId, volume: VolumeId) -> Result<Self, HeaderError> {
        let block = bytes
            .first_chunk::<BLOCK>()
            .filter(|block| block.starts_with(MAGIC))
            .ok_or(HeaderError::Invalid)?;
        let mut reader = Reader::new(block);
        let version = reader.skip(MAGIC.len()).u16();
        let count = usize::from(reader.u16());
        let named = reader.skip(4).u64();
        let sequence = reader.u64();
        // Magic, version, sequence and checksum stay where they are in every version.
        if keyed(disk, volume, sequence, block) != block[CHECKSUM_AT..CHECKSUM_AT + CHECKSUM] {
            return Err(HeaderError::Invalid);
        }
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let mut record = Self {
            ranges: Vec::with_capacity(count.min(MAX)),
            volume,
            sequence,
            durable: ByteOffset::new(reader.u64()),
            opened: ByteOffset::new(reader.u64()),
        };
        if !(1..=MAX).contains(&count) || named != u64::from(volume.0) {
            return Err(HeaderError::Invalid);
        }
        let mut reader = Reader::new(&block[HEADER..HEADER + count * RANGE]);
        for _ in 0..count {
            let range = Tombstone {
                group: GroupId::new(reader.u64()),
                first: ChunkId::new(reader.u64()),
                last: ChunkId::new(reader.u64()),
                index: reader.u8(),
            };
            reader.skip(7);
            if range.first > range.last {
                return Err(HeaderError::Invalid);
            }
            record.ranges.push(range);
        }
        Ok(record)
    }
}

/// The checksum of a block, keyed by where it belongs; with the zeros behind it, so that no bit flips
/// unnoticed.
fn keyed(disk: DiskId, volume: VolumeId, sequence: u64, block: &[u8]) -> [u8; CHECKSUM] {
    checksum(&[
        &disk.to_be_bytes(),
        &u64::from(volume.0).to_be_bytes(),
        &sequence.to_be_bytes(),
        &block[..CHECKSUM_AT],
        &block[CHECKSUM_AT + CHECKSUM..],
    ])
}
