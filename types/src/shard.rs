//! Shards as disks and wires name them.

use crate::block;
use crate::id::{BlobId, ChunkId, GroupId};
use crate::profile::Profile;
use crate::size::ByteCount;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which shard: the one at `index` of `chunk`, which lives in `group`. A disk holds at most one record
/// under a key, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardKey {
    /// The placement group; its slot `index` names the disk.
    pub group: GroupId,
    /// The chunk.
    pub chunk: ChunkId,
    /// 0..k are data shards, k..k+m parity.
    pub index: u8,
}

impl ShardKey {
    /// As checksums and headers hold it: group, chunk, index, big-endian.
    pub fn to_be_bytes(self) -> [u8; 17] {
        let mut bytes = [0; 17];
        bytes[..8].copy_from_slice(&self.group.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.chunk.to_be_bytes());
        bytes[16] = self.index;
        bytes
    }
}

impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.group, self.chunk, self.index)
    }
}

/// BLAKE3 of a shard's sealed bytes, without block checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardDigest(#[serde(with = "serde_bytes")] pub [u8; 32]);

/// What every shard of a chunk says about the whole chunk, in its record's header: enough to prove a
/// rebuilt shard, and to outvote a disk that lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkDescription {
    /// Whose bytes.
    pub blob: BlobId,
    /// Index in the blob of the chunk's first segment.
    pub first_segment: u64,
    /// How it is coded.
    pub profile: Profile,
    /// Sealed length of each of the k data shards, without block checksums; empty ones are 0.
    pub data_lengths: Vec<u32>,
    /// One digest for each of the k + m shards; an empty shard has BLAKE3 of nothing.
    pub digests: Vec<ShardDigest>,
}

impl ChunkDescription {
    /// Sealed length of the shard at `index`: parity shards are as long as shard 0.
    pub fn sealed_length(&self, index: u8) -> ByteCount {
        let at = if usize::from(index) < self.profile.data() {
            usize::from(index)
        } else {
            0
        };
        ByteCount::new(u64::from(self.data_lengths[at]))
    }

    /// Length of that shard as blocks, with their checksums.
    pub fn payload_length(&self, index: u8) -> ByteCount {
        block::framed_length(self.sealed_length(index))
    }
}
