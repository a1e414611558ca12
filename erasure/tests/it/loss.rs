//! A chunk with losses, and the property that a decoder must have. The property takes the decoder as an
//! argument, so that it can be shown to fail for broken ones.

use erasure::{Coder, TooFewShards};
use proptest::prelude::*;
use std::ops::Range;
use types::Profile;
use types::profile::DiskClass;

/// One row of a chunk: k data blocks of which the later ones may be short or empty, coded.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) profile: Profile,
    /// k + m blocks.
    pub(crate) blocks: Vec<Vec<u8>>,
    /// At most m of them.
    pub(crate) lost: Vec<usize>,
    /// The bytes of each block that were read.
    pub(crate) range: Range<usize>,
}

/// What rebuilds bytes: the blocks at hand, which one is wanted, where to.
pub(crate) trait Decoder:
    Fn(&[Option<&[u8]>], usize, &mut [u8]) -> Result<(), TooFewShards>
{
}
impl<F: Fn(&[Option<&[u8]>], usize, &mut [u8]) -> Result<(), TooFewShards>> Decoder for F {}

impl Row {
    /// Codes a row of pseudo-random data.
    pub(crate) fn new(
        profile: Profile,
        lengths: &[usize],
        seed: u64,
        lost: Vec<usize>,
        range: Range<usize>,
    ) -> Self {
        let mut blocks: Vec<Vec<u8>> = (0u64..)
            .zip(lengths)
            .map(|(shard, length)| noise(seed ^ shard << 32, *length))
            .collect();
        let mut parity = vec![vec![0xee; lengths[0]]; profile.parity()];
        let data: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        let mut out: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
        Coder::new(profile).encode_row(&data, &mut out);
        blocks.extend(parity);
        Self {
            profile,
            blocks,
            lost,
            range,
        }
    }

    /// Each lost block, as far as the range shows it, comes back from the same range of the others.
    pub(crate) fn holds(&self, decode: impl Decoder) -> Result<(), String> {
        let cut = |block: &[u8]| {
            let end = self.range.end.min(block.len());
            self.range.start.min(end)..end
        };
        let present: Vec<Option<&[u8]>> = (self.blocks.iter().enumerate())
            .map(|(shard, block)| (!self.lost.contains(&shard)).then(|| &block[cut(block)]))
            .collect();
        for wanted in &self.lost {
            let block = &self.blocks[*wanted];
            let expected = &block[cut(block)];
            let mut out = vec![0xaa; expected.len()];
            decode(&present, *wanted, &mut out).map_err(|error| error.to_string())?;
            if out != expected {
                return Err(format!("shard {wanted} comes back wrong"));
            }
        }
        Ok(())
    }
}

/// Any profile, any shape of a row, any at most m blocks lost, any range.
pub(crate) fn rows(longest: usize) -> impl Strategy<Value = Row> {
    let profile = (1u8..=10, 1u8..=5).prop_map(|(k, m)| Profile::new(k, m, DiskClass::Flash));
    (profile, 1..=longest).prop_flat_map(move |(profile, length)| {
        let profile = profile.unwrap();
        let shards: Vec<usize> = (0..profile.shards()).collect();
        (
            Just(profile),
            Just(length),
            // Behind `full` blocks comes a short one, and behind that there are none.
            1..=profile.data(),
            0..=length,
            any::<u64>(),
            prop::sample::subsequence(shards, 0..=profile.parity()),
            0..length,
            1..=length,
        )
            .prop_map(|(profile, length, full, short, seed, lost, start, count)| {
                let mut lengths = vec![length; full];
                lengths.resize(profile.data().min(full + 1), short);
                lengths.resize(profile.data(), 0);
                let range = start..(start + count).min(length);
                Row::new(profile, &lengths, seed, lost, range)
            })
    })
}

/// Bytes without a pattern (xorshift64*).
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}
