//! From a range of plaintext to the reads that cover it. Arithmetic only.
//!
//! A plan walks a blob's segments in order and cuts them into shard reads. What always holds:
//!
//! - the reads cover each segment of the range exactly once, in order, and no other;
//! - a read never leaves one data shard of one chunk: it is one request to one disk;
//! - nothing is held but two positions, so that a plan for terabytes costs what one for bytes does.

use erasure::BlobLayout;
use std::ops::{Range, RangeInclusive};
use types::block::SEGMENT;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::Wanted;

/// Consecutive blocks of one data shard of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardRead {
    /// The chunk, counted from the blob's first.
    pub(crate) chunk: u64,
    /// The data shard.
    pub(crate) shard: usize,
    /// The first block of it.
    pub(crate) first_block: usize,
    /// How many blocks; at least one.
    pub(crate) blocks: usize,
    /// The segment in the first block, counted from the blob's first.
    pub(crate) first_segment: u64,
}

impl ShardRead {
    /// The only block of an inline blob, which is in no chunk.
    pub(crate) const WHOLE: Self = Self {
        chunk: 0,
        shard: 0,
        first_block: 0,
        blocks: 1,
        first_segment: 0,
    };

    /// The block rows that it takes.
    pub(crate) fn rows(&self) -> Range<usize> {
        self.first_block..self.first_block + self.blocks
    }
}

/// The reads that are still to be made for a range of a blob.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    layout: BlobLayout,
    segments: Range<u64>,
}

impl Plan {
    /// A plan for `length` bytes of a blob from `start`.
    pub(crate) fn new(layout: BlobLayout, start: ByteOffset, length: ByteCount) -> Self {
        let segments = layout.segment_range(start, length);
        Self { layout, segments }
    }

    /// The next read, of at most `most` blocks (at least one), or `None` when the range is covered.
    pub(crate) fn next(&mut self, most: usize) -> Option<ShardRead> {
        if self.segments.is_empty() {
            return None;
        }
        let first_segment = self.segments.start;
        let (chunk, within) = self.layout.chunk_of(first_segment);
        let layout = self.layout.chunk(chunk);
        let place = layout.locate(within);
        let in_shard = layout.blocks(place.shard) - place.block;
        let wanted = usize::try_from(self.segments.end - first_segment).unwrap_or(usize::MAX);
        let blocks = in_shard.min(wanted).min(most.max(1));
        self.segments.start += blocks as u64;
        Some(ShardRead {
            chunk,
            shard: place.shard,
            first_block: place.block,
            blocks,
            first_segment,
        })
    }

    /// The chunks that are still to be read from, or `None` when the range is covered.
    pub(crate) fn chunks(&self) -> Option<RangeInclusive<u64>> {
        let last = self.segments.end.checked_sub(1)?;
        let chunk = |segment| self.layout.chunk_of(segment).0;
        (!self.segments.is_empty()).then(|| chunk(self.segments.start)..=chunk(last))
    }

    /// What is still to be read of one chunk, a read for each of its shards.
    pub(crate) fn of_chunk(&self, chunk: u64) -> impl Iterator<Item = ShardRead> + use<> {
        let mut plan = self.clone();
        let first = self.layout.first_segment(chunk);
        plan.segments.start = first.max(plan.segments.start);
        let reads = std::iter::from_fn(move || plan.next(usize::MAX));
        reads.take_while(move |read| read.chunk == chunk)
    }
}

/// Which bytes of a segment's plaintext belong to the blob range `wanted`.
pub(crate) fn trim(segment: u64, wanted: &Range<u64>) -> Range<usize> {
    let start = segment * SEGMENT as u64;
    let within = |position: u64| {
        let distance = position.saturating_sub(start).min(SEGMENT as u64);
        usize::try_from(distance).expect("at most a segment")
    };
    within(wanted.start)..within(wanted.end)
}

/// The bytes of an object of `length` that are served for `wanted`. `None` when it asks only for bytes
/// that are not there, or for a part: only the service knows where these lie. The whole of an empty
/// object is served as no bytes.
pub(crate) fn served(wanted: Wanted, length: ByteCount) -> Option<Range<u64>> {
    let end = length.get();
    let from = |start: u64, stop: u64| (start < stop).then_some(start..stop);
    match wanted {
        Wanted::Part(_) => None,
        Wanted::Nothing => Some(0..0),
        Wanted::All => Some(0..end),
        Wanted::From(start) => from(start.get(), end),
        Wanted::Range(start, count) => from(
            start.get(),
            start.get().saturating_add(count.get()).min(end),
        ),
        Wanted::Last(count) => from(end.saturating_sub(count.get()), end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use types::Profile;

    fn bytes(count: u64) -> ByteCount {
        ByteCount::new(count)
    }

    fn at(position: u64) -> ByteOffset {
        ByteOffset::new(position)
    }

    /// Where each segment of a blob is, by handing segments out one at a time.
    fn naive(profile: Profile, segments: u64) -> Vec<(u64, usize, usize)> {
        let per_chunk = profile.segments_per_chunk() as u64;
        let mut places = Vec::new();
        let mut left = segments;
        for chunk in 0.. {
            if left == 0 {
                return places;
            }
            let here = left.min(per_chunk);
            let rows = usize::try_from(here.div_ceil(profile.data() as u64)).unwrap();
            let (mut shard, mut block) = (0, 0);
            for _ in 0..here {
                places.push((chunk, shard, block));
                block += 1;
                if block == rows {
                    (shard, block) = (shard + 1, 0);
                }
            }
            left -= here;
        }
        places
    }

    proptest! {
        /// The reads cover the wanted segments once each, in order, where a naive layout has them.
        #[test]
        fn reads_are_where_a_naive_layout_has_the_segments(
            profile in prop::sample::select(vec!["4+2", "8+3", "2+1", "1+2", "3+2"]),
            length in 1u64..30_000_000,
            start in 0u64..30_000_000,
            count in 0u64..30_000_000,
            most in 1usize..20,
        ) {
            let profile: Profile = profile.parse().unwrap();
            let layout = BlobLayout::new(profile, bytes(length));
            let mut plan = Plan::new(layout, at(start), bytes(count));
            let segment = SEGMENT as u64;
            let places = naive(profile, length.div_ceil(segment));
            let end = (start + count).min(length);
            let mut expected = start / segment;
            let mut covered = 0;
            while let Some(read) = plan.next(most) {
                prop_assert!((1..=most).contains(&read.blocks));
                prop_assert_eq!(read.first_segment, expected);
                for i in 0..read.blocks {
                    let place = (read.chunk, read.shard, read.first_block + i);
                    prop_assert_eq!(places[usize::try_from(expected).unwrap()], place);
                    covered += trim(expected, &(start..end)).len() as u64;
                    expected += 1;
                }
            }
            prop_assert_eq!(covered, end.saturating_sub(start));
        }
    }

    #[test]
    fn what_is_served_for_each_kind_of_range() {
        let cases = [
            (Wanted::Nothing, 10, Some(0..0)),
            (Wanted::All, 10, Some(0..10)),
            (Wanted::All, 0, Some(0..0)),
            (Wanted::From(at(3)), 10, Some(3..10)),
            (Wanted::From(at(10)), 10, None),
            (Wanted::Range(at(2), bytes(3)), 10, Some(2..5)),
            (Wanted::Range(at(9), bytes(u64::MAX)), 10, Some(9..10)),
            (Wanted::Range(at(10), bytes(1)), 10, None),
            (Wanted::Range(at(0), bytes(1)), 0, None),
            (Wanted::Last(bytes(4)), 10, Some(6..10)),
            (Wanted::Last(bytes(40)), 10, Some(0..10)),
            (Wanted::Last(bytes(0)), 10, None),
            (Wanted::Last(bytes(1)), 0, None),
        ];
        for (wanted, length, expected) in cases {
            assert_eq!(
                served(wanted, bytes(length)),
                expected,
                "{wanted:?} of {length}"
            );
        }
    }
}
