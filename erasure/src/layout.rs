//! Which segment is in which block of which shard of which chunk. Arithmetic only.
//!
//! A chunk has n ≤ k × S segments; L = ⌈n / k⌉. Data shard i holds segments
//! [min(iL, n), min((i + 1)L, n)), parity shards are as long as shard 0. What always holds:
//!
//! - every segment is in exactly one block of one data shard, and order is kept;
//! - only a blob's last segment is short, so only the last block of a shard is;
//! - no block of a row is longer than shard 0's;
//! - all chunks of a blob but the last are full.
//!
//! Lengths are of sealed segments without block checksums, but where a name says *framed*.

use std::ops::Range;
use types::Profile;
use types::block::{self, SEAL_OVERHEAD, SEALED_SEGMENT, SEGMENT};
use types::size::{ByteCount, ByteOffset};

/// The layout of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    profile: Profile,
    segments: usize,
    rows: usize,
    last_sealed: usize,
}

/// A block of a data shard, and so a segment of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockPlace {
    /// Which data shard.
    pub shard: usize,
    /// Which of its blocks; also the row of the chunk.
    pub block: usize,
}

impl Layout {
    /// A chunk of `segments` segments, all full but for the last, which has `last_plain` bytes of
    /// plaintext.
    ///
    /// # Panics
    /// When there are no segments or more than k × S, or when the last is longer than a segment.
    pub fn new(profile: Profile, segments: usize, last_plain: usize) -> Self {
        assert!(
            (1..=profile.segments_per_chunk()).contains(&segments) && last_plain <= SEGMENT,
            "{segments} segments, the last of {last_plain} bytes, are no chunk at {profile}"
        );
        Self {
            profile,
            segments,
            rows: segments.div_ceil(profile.data()),
            last_sealed: last_plain + SEAL_OVERHEAD,
        }
    }

    /// The profile.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// n: segments in this chunk.
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// L: blocks of shard 0 and of each parity shard; rows of the code.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The segments of data shard `shard`, counted from the chunk's first. Empty for a data shard
    /// behind the last segment.
    ///
    /// # Panics
    /// When it is no data shard.
    pub fn shard_segments(&self, shard: usize) -> Range<usize> {
        assert!(shard < self.profile.data(), "shard {shard} holds parity");
        let start = (shard * self.rows).min(self.segments);
        start..(start + self.rows).min(self.segments)
    }

    /// Blocks of any shard, data or parity.
    pub fn blocks(&self, shard: usize) -> usize {
        self.shard_segments(self.as_long_as(shard)).len()
    }

    /// Sealed length of any shard.
    pub fn sealed_length(&self, shard: usize) -> ByteCount {
        let segments = self.shard_segments(self.as_long_as(shard));
        let missing = if segments.end == self.segments && !segments.is_empty() {
            SEALED_SEGMENT - self.last_sealed
        } else {
            0
        };
        ByteCount::new((segments.len() * SEALED_SEGMENT - missing) as u64)
    }

    /// Length of any shard with the checksums of its blocks, as it is sent and stored.
    pub fn framed_length(&self, shard: usize) -> ByteCount {
        block::framed_length(self.sealed_length(shard))
    }

    /// Sealed length of block `block` of any shard; 0 where there is none.
    pub fn block_length(&self, shard: usize, block: usize) -> usize {
        let mut segments = self.shard_segments(self.as_long_as(shard));
        segments
            .nth(block)
            .map_or(0, |segment| self.segment_length(segment))
    }

    /// Sealed length of a segment, counted from the chunk's first.
    pub fn segment_length(&self, segment: usize) -> usize {
        debug_assert!(segment < self.segments);
        if segment + 1 == self.segments {
            self.last_sealed
        } else {
            SEALED_SEGMENT
        }
    }

    /// Where a segment, counted from the chunk's first, is.
    ///
    /// # Panics
    /// When the chunk has no such segment.
    pub fn locate(&self, segment: usize) -> BlockPlace {
        assert!(segment < self.segments, "the chunk ends before {segment}");
        BlockPlace {
            shard: segment / self.rows,
            block: segment % self.rows,
        }
    }

    /// Sealed lengths of the k data shards, as a shard record's header holds them.
    pub fn data_lengths(&self) -> Vec<u32> {
        (0..self.profile.data())
            .map(|shard| {
                let length = self.sealed_length(shard).get();
                u32::try_from(length).expect("S segments are far below 4 GiB")
            })
            .collect()
    }

    fn as_long_as(&self, shard: usize) -> usize {
        assert!(shard < self.profile.shards(), "no shard {shard}");
        if shard < self.profile.data() {
            shard
        } else {
            0
        }
    }
}

/// The layout of a whole blob: its chunks, and which of them hold a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobLayout {
    profile: Profile,
    length: ByteCount,
}

impl BlobLayout {
    /// A blob of `length` bytes of plaintext.
    pub fn new(profile: Profile, length: ByteCount) -> Self {
        Self { profile, length }
    }

    /// Segments of the blob. An empty blob has one, which is empty.
    pub fn segments(&self) -> u64 {
        self.length.get().div_ceil(SEGMENT as u64).max(1)
    }

    /// Whether that segment, counted from the blob's first, is its last.
    pub fn is_last(&self, segment: u64) -> bool {
        segment + 1 == self.segments()
    }

    /// Plaintext bytes of a segment, counted from the blob's first.
    ///
    /// # Panics
    /// When the blob has no such segment.
    pub fn segment_plain(&self, segment: u64) -> usize {
        assert!(segment < self.segments(), "the blob ends before {segment}");
        if self.is_last(segment) {
            ByteCount::new(self.length.get() - segment * SEGMENT as u64).as_usize()
        } else {
            SEGMENT
        }
    }

    /// Chunks of the blob.
    pub fn chunks(&self) -> u64 {
        self.segments().div_ceil(self.per_chunk())
    }

    /// The layout of a chunk, counted from the blob's first.
    ///
    /// # Panics
    /// When the blob has no such chunk.
    pub fn chunk(&self, chunk: u64) -> Layout {
        let first = self.first_segment(chunk);
        let end = (first + self.per_chunk()).min(self.segments());
        assert!(first < end, "the blob ends before chunk {chunk}");
        let segments = usize::try_from(end - first).expect("at most k × S");
        Layout::new(self.profile, segments, self.segment_plain(end - 1))
    }

    /// Index in the blob of a chunk's first segment.
    pub fn first_segment(&self, chunk: u64) -> u64 {
        chunk * self.per_chunk()
    }

    /// The chunk that holds a segment of the blob, and which of the chunk's segments it is.
    pub fn chunk_of(&self, segment: u64) -> (u64, usize) {
        let within = segment % self.per_chunk();
        (
            segment / self.per_chunk(),
            usize::try_from(within).expect("less than k × S"),
        )
    }

    /// The segments that cover a range of plaintext, cut off at the blob's end. No bytes, no segments.
    pub fn segment_range(&self, start: ByteOffset, length: ByteCount) -> Range<u64> {
        let end = start
            .get()
            .saturating_add(length.get())
            .min(self.length.get());
        let first = start.get() / SEGMENT as u64;
        if start.get() >= end {
            return first..first;
        }
        first..end.div_ceil(SEGMENT as u64)
    }

    fn per_chunk(&self) -> u64 {
        self.profile.segments_per_chunk() as u64
    }
}
