//! One question per file.

pub(crate) mod blake3;
pub(crate) mod block_check;
pub(crate) mod encode;
pub(crate) mod md5;
pub(crate) mod open;
pub(crate) mod rebuild;
pub(crate) mod seal;

use crate::measure;
use types::Profile;
use types::block::{SEALED_SEGMENT, SEGMENT};

/// Plaintext segments worked through in turn, 4 MiB of them: a chunk at 4+2, more than the second-level
/// cache holds, as in a gateway that streams.
const SEGMENTS: usize = 64;

fn plaintext() -> Vec<Vec<u8>> {
    (0..SEGMENTS).map(|_| measure::random(SEGMENT)).collect()
}

/// A full chunk, coded: for each row its k + m blocks.
fn coded_chunk(profile: Profile) -> Vec<Vec<Vec<u8>>> {
    let coder = erasure::Coder::new(profile);
    (0..profile.segments_per_shard())
        .map(|_| {
            let mut row: Vec<Vec<u8>> = (0..profile.shards())
                .map(|_| measure::random(SEALED_SEGMENT))
                .collect();
            let (data, parity) = row.split_at_mut(profile.data());
            let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            let mut parity: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
            coder.encode_row(&data, &mut parity);
            row
        })
        .collect()
}

fn chunk_bytes(profile: Profile) -> usize {
    profile.segments_per_chunk() * SEALED_SEGMENT
}
