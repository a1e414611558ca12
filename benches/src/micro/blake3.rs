//! How fast does one core prove shards?
//!
//! Estimate: 9.5 GB/s for long input (DESIGN §11). Blocks lie between their checksums, so a shard is
//! hashed block by block. A block of 65 564 bytes is no multiple of the pieces that BLAKE3 works
//! through abreast, so this should cost some per cent, as 64 KiB at a time would not. All k + m shards
//! are hashed: at 4+2 a byte of data costs one and a half of these.

use super::SEGMENTS;
use crate::measure::{Figure, random, throughput};
use std::hint::black_box;
use types::block::{SEALED_SEGMENT, SEGMENT};

pub(crate) fn figures() -> Vec<Figure> {
    let sealed = random(SEGMENTS * SEALED_SEGMENT);
    vec![
        throughput("a shard at once", Some(9.5), sealed.len(), || {
            black_box(blake3::hash(black_box(&sealed)));
        }),
        by_pieces("a shard block by block", &sealed, SEALED_SEGMENT),
        by_pieces("a shard 64 KiB at a time", &sealed, SEGMENT),
    ]
}

fn by_pieces(case: &str, sealed: &[u8], piece: usize) -> Figure {
    throughput(case, None, sealed.len(), || {
        let mut hasher = blake3::Hasher::new();
        for piece in sealed.chunks(piece) {
            hasher.update(black_box(piece));
        }
        black_box(hasher.finalize());
    })
}
