//! What was sealed opens as what it was, and as nothing else; by either provider, and for ever.

extern crate strongroom_seal as seal;

mod account;
mod frame;
mod golden;
mod manifest;
mod md5;
mod provider;
mod row;
mod segment;
mod wrap;

use seal::Provider;
use seal::provider::{aws_lc, portable};
use std::sync::Arc;

fn providers() -> [Arc<dyn Provider>; 2] {
    [aws_lc(), portable()]
}

/// Everything that differs from `sealed` in one bit of each byte, in length, or by a piece cut out.
fn damaged(sealed: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for at in 0..sealed.len() {
        let mut flipped = sealed.to_vec();
        flipped[at] ^= 1 << (at % 8);
        all.push((format!("byte {at} flipped"), flipped));
        all.push((format!("cut to {at}"), sealed[..at].to_vec()));
        all.push((format!("begun at {}", at + 1), sealed[at + 1..].to_vec()));
    }
    for extra in [1, 16, 28] {
        all.push((
            format!("{extra} zeros longer"),
            [sealed, &vec![0; extra]].concat(),
        ));
    }
    all
}
