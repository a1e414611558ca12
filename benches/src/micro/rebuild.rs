//! How fast does one core read on with two disks lost?
//!
//! Estimate: 24 GB/s of data at 4+2 (DESIGN §11). Two lost data blocks are two sums of k products, as
//! two parities are, so 4+2 should come close to its encoding; with more parity than losses (8+3,
//! 10+4) it should be faster than encoding. Counted are all bytes of data of the chunk, of which the
//! two lost blocks of each row are rebuilt.

use super::{chunk_bytes, coded_chunk};
use crate::measure::{Figure, throughput};
use erasure::Coder;
use std::hint::black_box;
use types::Profile;
use types::block::SEALED_SEGMENT;

const LOST: [usize; 2] = [0, 1];

pub(crate) fn figures() -> Vec<Figure> {
    [("4+2", Some(24.0)), ("8+3", None), ("10+4", None)]
        .map(|(name, estimate)| {
            let profile: Profile = name.parse().expect("a profile");
            let coder = Coder::new(profile);
            let chunk = coded_chunk(profile);
            let mut out = vec![0; SEALED_SEGMENT];
            let case = format!("{name}, data shards 0 and 1 lost");
            throughput(case, estimate, chunk_bytes(profile), || {
                for row in &chunk {
                    let mut present: Vec<Option<&[u8]>> =
                        row.iter().map(|block| Some(block.as_slice())).collect();
                    for lost in LOST {
                        present[lost] = None;
                    }
                    for lost in LOST {
                        coder
                            .rebuild_row(black_box(&present), lost, black_box(&mut out))
                            .expect("k blocks are present");
                    }
                }
            })
        })
        .into()
}
