//! Are block checks free?
//!
//! Estimate: 63 GB/s for the CRC alone (DESIGN §11): a few per cent of what a core spends on a block
//! anywhere else. Checking framed blocks as a storage node and a gateway do (`verify`) adds a slice of
//! shared memory for each. Framing copies each block once, at some 20 GB/s.

use super::SEGMENTS;
use crate::measure::{Figure, random, throughput};
use bytes::Bytes;
use std::hint::black_box;
use types::block::{self, SEALED_SEGMENT};
use types::{ChunkId, GroupId, ShardKey};

pub(crate) fn figures() -> Vec<Figure> {
    let key = ShardKey {
        group: GroupId::new(1),
        chunk: ChunkId::new(2),
        index: 3,
    };
    let sealed = random(SEGMENTS * SEALED_SEGMENT);
    let mut framed = Vec::new();
    block::frame(key, 0, &sealed, &mut framed);
    let mut out = Vec::with_capacity(framed.len());
    let framed = Bytes::from(framed);
    vec![
        throughput("checksum", Some(63.0), sealed.len(), || {
            for (number, block) in (0..).zip(sealed.chunks(SEALED_SEGMENT)) {
                black_box(block::checksum(key, number, black_box(block)));
            }
        }),
        throughput("verify", None, sealed.len(), || {
            let blocks = block::verify(key, 0, black_box(&framed));
            black_box(blocks.expect("they were framed so"));
        }),
        throughput("frame", None, sealed.len(), || {
            out.clear();
            block::frame(key, 0, black_box(&sealed), &mut out);
        }),
    ]
}
