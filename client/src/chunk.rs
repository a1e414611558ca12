//! A chunk in memory, from its first sealed segment to the shards that are sent.
//!
//! ```text
//! filling                            coded
//! block crc block crc … (data)  -->  the same bytes, checksums filled in, then parity blocks
//! ```
//!
//! Bytes gather straight where the data shards have them, and are sealed there: data shards are contiguous,
//! so the framed blocks of the chunk in order *are* the data shards one after the other, wherever each ends
//! will turn out to lie. Nothing else is copied on the way to a disk; payloads share the one buffer. What
//! always holds: the buffer is paid for, and stays so until the last payload that shares it is gone.

use crate::budget::{Budget, Exhausted, Reservation};
use crate::digest::Digester;
use crate::recycled;
use bytes::Bytes;
use erasure::{Coder, Layout};
use seal::provider::{NONCE, TAG};
use seal::segment::{Last, SegmentSealer};
use std::ops::Range;
use std::sync::Arc;
use types::block::{self, CHECKSUM, FRAMED_BLOCK, SEALED_SEGMENT, SEGMENT};
use types::id::{BlobId, ChunkId, GroupId};
use types::profile::Profile;
use types::shard::{ChunkDescription, ShardKey};

/// A chunk that takes bytes. The segment at its end is not sealed yet: whether it is the blob's last, only
/// the next byte tells, or that none comes.
pub(crate) struct Filling {
    framed: recycled::Chunk,
    /// Sealed ones.
    segments: usize,
    /// Where the segment at the end begins, with the room for its nonce; none has begun when nothing is there.
    begins: usize,
    last_plain: usize,
    memory: Reservation,
}

/// A chunk with its parity and digests, and checksums for one shard key each.
pub(crate) struct Coded {
    pub(crate) layout: Layout,
    pub(crate) description: ChunkDescription,
    framed: recycled::Chunk,
    memory: Reservation,
}

/// One shard's part of the buffer.
struct Payload {
    chunk: Arc<Coded>,
    range: Range<usize>,
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.chunk.framed[self.range.clone()]
    }
}

/// Bytes that a chunk takes in memory, data and parity and checksums.
pub(crate) fn footprint(layout: &Layout) -> usize {
    (0..layout.profile().shards())
        .map(|shard| layout.framed_length(shard).as_usize())
        .sum()
}

/// What a full chunk takes.
pub(crate) fn full_footprint(profile: Profile) -> usize {
    profile.shards() * profile.segments_per_shard() * FRAMED_BLOCK
}

impl Filling {
    /// A chunk that will take no more than `capacity` bytes, parity included.
    pub(crate) fn new(capacity: usize, memory: Reservation) -> Self {
        Self {
            framed: recycled::Chunk::with_capacity(capacity),
            segments: 0,
            begins: 0,
            last_plain: 0,
            memory,
        }
    }

    /// How many segments it has.
    pub(crate) fn segments(&self) -> usize {
        self.segments
    }

    /// Its layout, if nothing is added.
    pub(crate) fn layout(&self, profile: Profile) -> Layout {
        Layout::new(profile, self.segments, self.last_plain)
    }

    /// Takes as much of `data` as the segment at the end has room for.
    pub(crate) fn take(&mut self, data: &mut Bytes) {
        if self.framed.len() == self.begins {
            self.framed.extend_from_slice(&[0; NONCE]);
        }
        let room = SEGMENT - self.open().len();
        let piece = data.split_to(room.min(data.len()));
        self.framed.extend_from_slice(&piece);
    }

    /// The plaintext of the segment at the end, which is not sealed yet.
    pub(crate) fn open(&self) -> &[u8] {
        self.framed.get(self.begins + NONCE..).unwrap_or_default()
    }

    /// Seals the segment at the end. `index` counts from the blob's first.
    pub(crate) fn seal(&mut self, sealer: &SegmentSealer, index: u64, last: Last) {
        self.last_plain = self.open().len();
        self.framed.extend_from_slice(&[0; TAG]);
        sealer.seal_in_place(index, last, &mut self.framed[self.begins..]);
        self.framed.extend_from_slice(&[0; CHECKSUM]);
        self.begins = self.framed.len();
        self.segments += 1;
    }

    /// Codes it, as chunk `chunk` of `group`. `first_segment` counts from the blob's first. Takes about
    /// a millisecond of one core for each 4 MiB.
    pub(crate) fn code(
        self,
        coder: &Coder,
        blob: BlobId,
        first_segment: u64,
        (group, chunk): (GroupId, ChunkId),
    ) -> Coded {
        let profile = coder.profile();
        let layout = self.layout(profile);
        let data_end = self.framed.len();
        let mut framed = self.framed;
        framed.resize(footprint(&layout), 0);
        let mut memory = self.memory;
        memory.shrink_to(framed.len());
        let (data, parity) = framed.split_at_mut(data_end);

        let mut digests = vec![Digester::default(); profile.shards()];
        let parity_length = layout.framed_length(0).as_usize();
        for row in 0..layout.rows() {
            let length = layout.block_length(0, row);
            let blocks: Vec<&[u8]> = (0..profile.data())
                .map(|shard| &data[data_block(&layout, shard, row)])
                .collect();
            let mut parities: Vec<&mut [u8]> = parity
                .chunks_exact_mut(parity_length)
                .map(|shard| &mut shard[row * FRAMED_BLOCK..][..length])
                .collect();
            coder.encode_row(&blocks, &mut parities);
            let parities = parities.iter().map(|block| &**block);
            for (digest, block) in digests.iter_mut().zip(blocks.into_iter().chain(parities)) {
                digest.update(block);
            }
        }

        let mut coded = Coded {
            layout,
            description: ChunkDescription {
                blob,
                first_segment,
                profile,
                data_lengths: layout.data_lengths(),
                digests: digests.into_iter().map(Digester::finish).collect(),
            },
            framed,
            memory,
        };
        coded.stamp(group, chunk);
        coded
    }
}

/// Where the sealed bytes of a data block lie among framed blocks; nowhere for a block that does not exist.
fn data_block(layout: &Layout, shard: usize, row: usize) -> Range<usize> {
    let start = (shard * layout.rows() + row) * FRAMED_BLOCK;
    match layout.block_length(shard, row) {
        0 => 0..0,
        length => start..start + length,
    }
}

impl Coded {
    /// Computes the checksums of all blocks for the shard keys of `chunk` in `group`.
    fn stamp(&mut self, group: GroupId, chunk: ChunkId) {
        for shard in 0..self.layout.profile().shards() {
            let key = shard_key(group, chunk, shard);
            let range = self.range(shard);
            let blocks = self.framed[range].chunks_mut(FRAMED_BLOCK);
            for (number, framed) in (0..).zip(blocks) {
                let (block, checksum) = framed.split_at_mut(framed.len() - CHECKSUM);
                checksum.copy_from_slice(&block::checksum(key, number, block));
            }
        }
    }

    /// The same sealed bytes under another chunk id. Its buffer is used again if nobody shares it any
    /// more, and copied otherwise.
    pub(crate) async fn restamp(
        this: Arc<Self>,
        budget: &Budget,
        group: GroupId,
        chunk: ChunkId,
    ) -> Result<Self, Exhausted> {
        let mut coded = match Arc::try_unwrap(this) {
            Ok(coded) => coded,
            Err(shared) => Self {
                layout: shared.layout,
                description: shared.description.clone(),
                memory: budget.rescue(shared.framed.len()).await?,
                framed: shared.framed.clone(),
            },
        };
        coded.stamp(group, chunk);
        Ok(coded)
    }

    /// A shard as it is sent; `None` for an empty one.
    pub(crate) fn payload(self: &Arc<Self>, shard: usize) -> Option<Bytes> {
        let range = self.range(shard);
        debug_assert!(self.framed.len() <= self.memory.bytes());
        (!range.is_empty()).then(|| {
            Bytes::from_owner(Payload {
                chunk: Arc::clone(self),
                range,
            })
        })
    }

    fn range(&self, shard: usize) -> Range<usize> {
        let profile = self.layout.profile();
        let length = self.layout.framed_length(shard).as_usize();
        let start = match shard.checked_sub(profile.data()) {
            None => shard * self.layout.rows() * FRAMED_BLOCK,
            Some(parity) => {
                let of_parity = profile.parity() * self.layout.framed_length(0).as_usize();
                let data_end = self.framed.len() - of_parity;
                data_end + parity * length
            }
        };
        if length == 0 {
            return 0..0;
        }
        start..start + length
    }
}

/// The key of a shard by its number.
pub(crate) fn shard_key(group: GroupId, chunk: ChunkId, shard: usize) -> ShardKey {
    ShardKey {
        group,
        chunk,
        index: u8::try_from(shard).expect("a profile has few shards"),
    }
}

const _: () = assert!(FRAMED_BLOCK == SEALED_SEGMENT + CHECKSUM);
