//! What an object holds. All objects repeat one random pattern, each from another place in it.
//!
//! The pattern's length is a prime just below 1 MiB. Stores move bytes in powers of two, so bytes from a wrong
//! place, or of another object, never fall on equal ones; and checking costs one comparison with memory that
//! the cache holds, some 0.1 s a GB. The reference pays it, too.

use std::ops::Range;

/// The largest prime below 2²⁰.
pub(crate) const PERIOD: usize = 1_048_573;
/// How far apart in the pattern two neighbouring objects begin.
const STEP: u64 = 65_537;

/// The bytes that repeat: the same in every process.
pub(crate) fn pattern() -> Vec<u8> {
    // xorshift64*, Vigna 2016: random enough that no compression and no coincidence helps.
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let words = (0..PERIOD.div_ceil(8)).flat_map(|_| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes()
    });
    words.take(PERIOD).collect()
}

/// An object, as its key tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Objects differ in it.
    pub(crate) seed: u64,
    /// In bytes.
    pub(crate) length: u64,
}

impl Object {
    /// Its name in a bucket.
    pub(crate) fn key(self) -> String {
        format!("{}-{}", self.length, self.seed)
    }

    /// What a key names.
    pub(crate) fn of(key: &str) -> Option<Self> {
        let (length, seed) = key.split_once('-')?;
        Some(Self {
            seed: seed.parse().ok()?,
            length: length.parse().ok()?,
        })
    }

    /// Where in the pattern the bytes of a range are, piece by piece.
    pub(crate) fn pieces(self, range: Range<u64>) -> impl Iterator<Item = Range<usize>> {
        let mut at = self.place(range.start);
        let mut left = range.end - range.start;
        std::iter::from_fn(move || {
            let piece = at..(PERIOD as u64).min(at + left);
            left -= piece.end - piece.start;
            at = 0;
            let small = |place| usize::try_from(place).expect("below the period");
            (!piece.is_empty()).then(|| small(piece.start)..small(piece.end))
        })
    }

    /// Whether these are its bytes from there on.
    pub(crate) fn holds(self, pattern: &[u8], from: u64, mut bytes: &[u8]) -> bool {
        let range = from..from + bytes.len() as u64;
        self.pieces(range).all(|piece| {
            let (head, rest) = bytes.split_at(piece.len());
            bytes = rest;
            head == &pattern[piece]
        })
    }

    fn place(self, offset: u64) -> u64 {
        // Seeds are counted from 0, so this does not overflow.
        (self.seed * STEP + offset) % PERIOD as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(object: Object, range: Range<u64>) -> Vec<u8> {
        let pattern = pattern();
        let pieces = object.pieces(range);
        pieces.flat_map(|piece| pattern[piece].to_vec()).collect()
    }

    /// A range is made and known again; a changed byte, another place and another object are noticed.
    /// Method: a range over two seams, then each fault that a store could have.
    #[test]
    fn wrong_bytes_are_noticed() {
        let (pattern, object) = (
            pattern(),
            Object {
                seed: 3,
                length: 1 << 30,
            },
        );
        let from = 5 << 20;
        let mut good = bytes(object, from..from + (2 << 20) + 7);
        assert_eq!(good.len(), (2 << 20) + 7);
        assert!(object.holds(&pattern, from, &good));
        for power in 0..29 {
            assert!(!object.holds(&pattern, from + (1 << power), &good));
        }
        for seed in (0..10_000).filter(|seed| *seed != object.seed) {
            let other = Object { seed, ..object };
            assert!(!other.holds(&pattern, from, &good[..64]), "{seed}");
        }
        good[1 << 20] ^= 1;
        assert!(!object.holds(&pattern, from, &good));
    }

    #[test]
    fn a_key_names_its_object() {
        let object = Object {
            seed: 7,
            length: 100_000,
        };
        assert_eq!(Object::of(&object.key()), Some(object));
        assert_eq!(Object::of("100000"), None);
    }
}
