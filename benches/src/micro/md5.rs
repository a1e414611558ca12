//! How fast is the ETag of one stream, on one core?
//!
//! Estimate: MD5 takes 64 steps for 64 bytes, each behind the one before it, four cycles long: 5 cycles a byte with
//! loads, 0.9 GB/s at 4.5 GHz in assembly; a fifth less from a compiler. It cannot be split, so no upload in one
//! stream is faster.

use super::plaintext;
use crate::measure::{Figure, throughput};
use md5::Digest;
use seal::md5::Md5;
use std::hint::black_box;

pub(crate) fn figures() -> Vec<Figure> {
    let segments = plaintext();
    let bytes = segments.iter().map(Vec::len).sum();
    vec![
        throughput("aws-lc".to_owned(), Some(0.9), bytes, || {
            let mut md5 = Md5::new();
            for segment in &segments {
                md5.update(black_box(segment));
            }
            black_box(md5.finalize());
        }),
        throughput("md-5".to_owned(), Some(0.7), bytes, || {
            let mut md5 = md5::Md5::new();
            for segment in &segments {
                md5.update(black_box(segment));
            }
            black_box(md5.finalize());
        }),
    ]
}
