//! How fast does one core make parity?
//!
//! Estimate: 28 GB/s of data at 4+2, 18 at 8+3, 13 at 10+4 (DESIGN §11, library alone). Each byte of
//! data is multiplied m times with 32-byte shuffles; work per byte of data grows with m, so the
//! figures should fall about as 2 : 3 : 4 rises. Counted are bytes of data, whole chunks, row by row.

use super::{chunk_bytes, coded_chunk};
use crate::measure::{Figure, throughput};
use erasure::Coder;
use std::hint::black_box;
use types::Profile;

pub(crate) fn figures() -> Vec<Figure> {
    [("4+2", 28.0), ("8+3", 18.0), ("10+4", 13.0)]
        .map(|(name, estimate)| {
            let profile: Profile = name.parse().expect("a profile");
            let coder = Coder::new(profile);
            let mut chunk = coded_chunk(profile);
            throughput(name, Some(estimate), chunk_bytes(profile), || {
                for row in &mut chunk {
                    let (data, parity) = row.split_at_mut(profile.data());
                    let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
                    let mut parity: Vec<&mut [u8]> =
                        parity.iter_mut().map(Vec::as_mut_slice).collect();
                    coder.encode_row(black_box(&data), &mut parity);
                }
            })
        })
        .into()
}
