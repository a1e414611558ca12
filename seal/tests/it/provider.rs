//! Both providers are AES-256-GCM: they open published vectors, and each other's work.

use crate::{damaged, providers};
use proptest::prelude::*;
use seal::OpenError;
use std::collections::HashSet;
use types::block::SEAL_OVERHEAD;

/// Published vectors open, and in no other way.
/// Method: each vector of `vectors/aes256gcm.txt`, as `nonce ‖ ciphertext ‖ tag`; then every damage.
#[test]
fn published_vectors_open() {
    let unhex = |text: &str| hex::decode(text.trim_matches('-')).unwrap();
    let vectors = include_str!("../vectors/aes256gcm.txt");
    let lines: Vec<&str> = vectors
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(lines.len(), 54);
    for provider in providers() {
        for line in &lines {
            let fields: Vec<&str> = line.split(' ').collect();
            let [name, key, nonce, plain, associated, ciphertext, tag] = fields[..] else {
                panic!("malformed vector {line}");
            };
            let key = unhex(key).try_into().unwrap();
            let associated = unhex(associated);
            let sealed = [unhex(nonce), unhex(ciphertext), unhex(tag)].concat();
            let opened = provider.open(&key, &associated, &sealed);
            assert_eq!(opened, Ok(unhex(plain)), "{name} by {}", provider.name());
            for (what, bad) in damaged(&sealed) {
                assert!(
                    provider.open(&key, &associated, &bad).is_err(),
                    "{name}, {what}"
                );
            }
        }
    }
}

proptest! {
    /// Each provider opens what the other sealed, and refuses it under other associated data or keys.
    #[test]
    fn each_opens_what_the_other_sealed(
        key: [u8; 32],
        associated in prop::collection::vec(any::<u8>(), 0..64),
        plain in prop::collection::vec(any::<u8>(), 0..2000),
        at: prop::sample::Index,
        bit in 0u8..8,
    ) {
        for sealing in providers() {
            let mut out = b"before".to_vec();
            sealing.seal_into(&key, &associated, &plain, &mut out);
            let sealed = out.strip_prefix(b"before").unwrap();
            prop_assert_eq!(sealed.len(), plain.len() + SEAL_OVERHEAD);
            for opening in providers() {
                let opened = opening.open(&key, &associated, sealed);
                prop_assert_eq!(opened.as_ref(), Ok(&plain));

                let mut other_key = key;
                other_key[at.index(32)] ^= 1 << bit;
                prop_assert!(opening.open(&other_key, &associated, sealed).is_err());
                let mut other_data = associated.clone();
                other_data.push(0);
                prop_assert!(opening.open(&key, &other_data, sealed).is_err());
                let mut flipped = sealed.to_vec();
                flipped[at.index(sealed.len())] ^= 1 << bit;
                prop_assert!(opening.open(&key, &associated, &flipped).is_err());
            }
        }
    }
}

/// No plaintext is left where what was refused would have gone.
#[test]
fn a_refusal_leaves_zeros() {
    for provider in providers() {
        let mut sealed = Vec::new();
        provider.seal_into(&[1; 32], b"", &[0x5a; 1000], &mut sealed);
        let last = sealed.len() - 1;
        sealed[last] ^= 1;
        let mut plain = [7; 1000];
        let refused = provider
            .opener(&[1; 32])
            .open_into(b"", &sealed, &mut plain);
        assert_eq!(refused, Err(OpenError::Refused));
        assert_eq!(plain, [0; 1000], "{}", provider.name());
    }
}

/// The same plaintext sealed twice is sealed under two nonces, also by one sealer.
#[test]
fn no_nonce_comes_twice() {
    for provider in providers() {
        let sealer = provider.sealer(&[2; 32]);
        let nonces: HashSet<Vec<u8>> = (0..10_000)
            .map(|_| {
                let mut sealed = Vec::new();
                sealer.seal_into(b"", b"", &mut sealed);
                sealed[..12].to_vec()
            })
            .collect();
        assert_eq!(nonces.len(), 10_000, "{}", provider.name());
    }
}
