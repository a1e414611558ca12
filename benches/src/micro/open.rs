//! How fast does one core open segments, and what does fresh memory for each cost?
//!
//! Estimate: as sealing, aws-lc 21 GB/s, portable 3 (DESIGN §11). aws-lc opens from shared bytes
//! without a copy; fresh memory for each segment (`open`) is zeroed first, so that `open_into` a buffer
//! at hand should be faster, by a fifth where zeroing runs at some 60 GB/s.

use super::{SEGMENTS, plaintext};
use crate::measure::{Figure, throughput};
use seal::provider::{aws_lc, portable};
use seal::segment::{Last, SegmentOpener, SegmentSealer};
use std::hint::black_box;
use types::BlobId;
use types::block::SEGMENT;
use types::secret::DataKey;

pub(crate) fn figures() -> Vec<Figure> {
    let plain = plaintext();
    let key = DataKey::new([7; 32]);
    let blob = BlobId::new(1);
    let mut figures = Vec::new();
    for (provider, estimate) in [(aws_lc(), 21.0), (portable(), 3.0)] {
        let provider = &*provider;
        let name = provider.name();
        let sealer = SegmentSealer::new(provider, blob, &key);
        let sealed: Vec<Vec<u8>> = (0..)
            .zip(&plain)
            .map(|(index, plain)| {
                let mut out = Vec::new();
                sealer.seal(index, Last::No, plain, &mut out);
                out
            })
            .collect();
        let opener = SegmentOpener::new(provider, blob, &key);
        let bytes = SEGMENTS * SEGMENT;
        let case = format!("{name}, fresh memory");
        figures.push(throughput(case, Some(estimate), bytes, || {
            for (index, sealed) in (0..).zip(&sealed) {
                let opened = opener.open(index, Last::No, black_box(sealed));
                black_box(opened.expect("it was sealed so"));
            }
        }));
        let mut buffer = vec![0; SEGMENT];
        let case = format!("{name}, memory at hand");
        figures.push(throughput(case, None, bytes, || {
            for (index, sealed) in (0..).zip(&sealed) {
                opener
                    .open_into(index, Last::No, black_box(sealed), black_box(&mut buffer))
                    .expect("it was sealed so");
            }
        }));
    }
    figures
}
