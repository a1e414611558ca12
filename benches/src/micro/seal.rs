//! How fast does one core seal segments, and is a key worth keeping set up?
//!
//! Estimate: aws-lc 21 GB/s, portable 3 (DESIGN §11), in place. Sealing into a shard's buffer copies
//! each segment first, at some 20 GB/s: that should halve aws-lc and hardly show in portable. Setting a
//! key up takes well under a microsecond, against three for a segment: some per cent, and at 4 KiB, as
//! for inline objects, as much as the sealing.

use super::{SEGMENTS, plaintext};
use crate::measure::{Figure, random, throughput};
use seal::provider::{aws_lc, portable};
use seal::segment::{Last, SegmentId, SegmentSealer, seal};
use std::hint::black_box;
use types::BlobId;
use types::block::{SEALED_SEGMENT, SEGMENT};
use types::secret::DataKey;

pub(crate) fn figures() -> Vec<Figure> {
    let plain = plaintext();
    let key = DataKey::new([7; 32]);
    let blob = BlobId::new(1);
    let rooms = vec![random(SEALED_SEGMENT); SEGMENTS];
    let mut out = Vec::with_capacity(SEGMENTS * SEALED_SEGMENT);
    let mut figures = Vec::new();
    for (provider, estimate) in [(aws_lc(), 21.0), (portable(), 3.0)] {
        let provider = &*provider;
        let name = provider.name();
        let sealer = SegmentSealer::new(provider, blob, &key);
        let bytes = SEGMENTS * SEGMENT;
        let mut room = rooms.clone();
        let case = format!("{name}, in place");
        figures.push(throughput(case, Some(estimate), bytes, || {
            for (index, room) in (0..).zip(&mut room) {
                sealer.seal_in_place(index, Last::No, black_box(room));
            }
        }));
        let case = format!("{name}, into a buffer");
        figures.push(throughput(case, None, bytes, || {
            out.clear();
            for (index, plain) in (0..).zip(&plain) {
                sealer.seal(index, Last::No, black_box(plain), &mut out);
            }
        }));
        for (what, length) in [("64 KiB", SEGMENT), ("4 KiB", 4096)] {
            let case = format!("{name}, a key set up for each {what}");
            figures.push(throughput(case, None, SEGMENTS * length, || {
                out.clear();
                for (index, plain) in (0..).zip(&plain) {
                    let last = Last::Yes;
                    let id = SegmentId { blob, index, last };
                    seal(provider, &key, id, black_box(&plain[..length]), &mut out);
                }
            }));
        }
    }
    figures
}
