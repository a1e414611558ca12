//! The layout is what a slow, obvious program would lay out.

use erasure::layout::{BlobLayout, BlockPlace, Layout};
use proptest::prelude::*;
use types::Profile;
use types::block::{SEAL_OVERHEAD, SEGMENT};
use types::profile::DiskClass;
use types::size::{ByteCount, ByteOffset};

/// A chunk as lists: for each shard the sealed length of each block, and which segment it is.
struct Naive {
    /// Data shards first; parity shards have no segments, only lengths.
    shards: Vec<Vec<usize>>,
    places: Vec<BlockPlace>,
}

impl Naive {
    /// Deals segments out one by one: a shard takes L of them, then the next shard does.
    fn new(profile: Profile, sealed: &[usize]) -> Self {
        let mut rows = 0;
        while rows * profile.data() < sealed.len() {
            rows += 1;
        }
        let mut shards = vec![Vec::new(); profile.data()];
        let mut places = Vec::new();
        let mut shard = 0;
        for length in sealed {
            if shards[shard].len() == rows {
                shard += 1;
            }
            places.push(BlockPlace {
                shard,
                block: shards[shard].len(),
            });
            shards[shard].push(*length);
        }
        for _ in 0..profile.parity() {
            shards.push(shards[0].clone());
        }
        Self { shards, places }
    }
}

fn profiles() -> impl Strategy<Value = Profile> {
    let class = prop_oneof![Just(DiskClass::Flash), Just(DiskClass::Spinning)];
    (1u8..=12, 1u8..=6, class).prop_map(|(k, m, class)| Profile::new(k, m, class).unwrap())
}

/// A profile, the segments of a chunk, and the plaintext bytes of its last.
fn chunks() -> impl Strategy<Value = (Profile, usize, usize)> {
    profiles().prop_flat_map(|profile| {
        let full = profile.segments_per_chunk();
        (Just(profile), 1..=full, 1..=SEGMENT)
    })
}

fn assert_as_naive(layout: Layout, naive: &Naive) {
    let profile = layout.profile();
    assert_eq!(layout.rows(), naive.shards[0].len());
    for (segment, place) in naive.places.iter().enumerate() {
        assert_eq!(layout.locate(segment), *place);
        let length = naive.shards[place.shard][place.block];
        assert_eq!(layout.segment_length(segment), length);
        assert!(layout.shard_segments(place.shard).contains(&segment));
    }
    for (shard, blocks) in naive.shards.iter().enumerate() {
        assert_eq!(layout.blocks(shard), blocks.len());
        assert_eq!(layout.sealed_length(shard).as_usize(), blocks.iter().sum());
        let framed = blocks.iter().map(|block| block + 8).sum();
        assert_eq!(layout.framed_length(shard).as_usize(), framed);
        for block in 0..=layout.rows() {
            let expected = blocks.get(block).copied().unwrap_or(0);
            assert_eq!(layout.block_length(shard, block), expected);
            assert!(
                expected <= layout.block_length(0, block),
                "no block passes shard 0's"
            );
        }
        if shard < profile.data() {
            assert_eq!(layout.data_lengths()[shard] as usize, blocks.iter().sum());
        }
    }
}

proptest! {
    /// Every segment is where dealing them out one by one puts it, and every length agrees.
    #[test]
    fn a_chunk_is_as_a_naive_model_lays_it_out((profile, segments, last) in chunks()) {
        let mut sealed = vec![SEGMENT + SEAL_OVERHEAD; segments];
        sealed[segments - 1] = last + SEAL_OVERHEAD;
        assert_as_naive(Layout::new(profile, segments, last), &Naive::new(profile, &sealed));
    }

    /// A blob is cut at every 64 KiB and its segments are grouped by k × S.
    /// Method: cut a blob of each length piece by piece, and compare chunks, segments and ranges.
    #[test]
    fn a_blob_is_as_a_naive_model_cuts_it(
        profile in profiles(),
        length in prop_oneof![0..5 * SEGMENT as u64, 0..300 * SEGMENT as u64],
        start in 0..301 * SEGMENT as u64,
        wanted in prop_oneof![0u64..3, 0..301 * SEGMENT as u64, Just(u64::MAX)],
    ) {
        let blob = BlobLayout::new(profile, ByteCount::new(length));
        let mut pieces = Vec::new();
        let mut left = usize::try_from(length).unwrap();
        while left > SEGMENT {
            pieces.push(SEGMENT);
            left -= SEGMENT;
        }
        pieces.push(left);

        prop_assert_eq!(blob.segments(), pieces.len() as u64);
        let cut: Vec<_> = pieces.chunks(profile.segments_per_chunk()).collect();
        prop_assert_eq!(blob.chunks(), cut.len() as u64);
        let mut first = 0;
        for (chunk, pieces) in (0u64..).zip(&cut) {
            prop_assert_eq!(blob.first_segment(chunk), first);
            let sealed: Vec<_> = pieces.iter().map(|piece| piece + SEAL_OVERHEAD).collect();
            assert_as_naive(blob.chunk(chunk), &Naive::new(profile, &sealed));
            for (within, piece) in pieces.iter().enumerate() {
                let segment = first + within as u64;
                prop_assert_eq!(blob.chunk_of(segment), (chunk, within));
                prop_assert_eq!(blob.segment_plain(segment), *piece);
                prop_assert_eq!(blob.is_last(segment), segment + 1 == blob.segments());
            }
            first += pieces.len() as u64;
        }

        let end = start.saturating_add(wanted).min(length);
        let touched: Vec<u64> = (0..blob.segments())
            .filter(|segment| {
                let from = segment * SEGMENT as u64;
                let to = (from + SEGMENT as u64).min(length);
                from.max(start) < to.min(end)
            })
            .collect();
        let range = blob.segment_range(ByteOffset::new(start), ByteCount::new(wanted));
        prop_assert_eq!(range.collect::<Vec<_>>(), touched);
    }
}

/// The example drawn in the crate's documentation.
#[test]
fn ten_segments_at_4_plus_2() {
    let layout = Layout::new("4+2".parse().unwrap(), 10, SEGMENT);
    let shards: Vec<_> = (0..4).map(|shard| layout.shard_segments(shard)).collect();
    assert_eq!(shards, [0..3, 3..6, 6..9, 9..10]);
    assert_eq!(layout.rows(), 3);
}

/// An object of one segment is 1 + m pieces; the other data shards are empty.
#[test]
fn one_segment_is_one_block_and_its_parities() {
    let layout = Layout::new("4+2".parse().unwrap(), 1, 5000);
    let lengths: Vec<_> = (0..6)
        .map(|shard| layout.sealed_length(shard).get())
        .collect();
    assert_eq!(lengths, [5028, 0, 0, 0, 5028, 5028]);
}
