//! How fast does one core prove shards?
//!
//! Estimate: 9.5 GB/s for long input (DESIGN §11). A shard is hashed block by block as its blocks are
//! made, without checksums; with input of 64 KiB at a time that should cost little. All k + m shards
//! are hashed: at 4+2 a byte of data costs one and a half of these.

use super::SEGMENTS;
use crate::measure::{Figure, random, throughput};
use std::hint::black_box;
use types::block::SEALED_SEGMENT;

pub(crate) fn figures() -> Vec<Figure> {
    let sealed = random(SEGMENTS * SEALED_SEGMENT);
    vec![
        throughput("a shard at once", Some(9.5), sealed.len(), || {
            black_box(blake3::hash(black_box(&sealed)));
        }),
        throughput("a shard block by block", None, sealed.len(), || {
            let mut hasher = blake3::Hasher::new();
            for block in sealed.chunks(SEALED_SEGMENT) {
                hasher.update(black_box(block));
            }
            black_box(hasher.finalize());
        }),
    ]
}
