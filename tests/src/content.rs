//! The bytes of test objects. Any range of any object can be made anew from its seed, so a gigabyte is
//! checked without being held, and a byte from another object, or another place in the same one, differs.

use std::ops::Range;

const WORD: u64 = 8;

/// What an object holds: `length` bytes that follow from `seed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Two seeds share no run of bytes that a test would meet.
    pub seed: u64,
    /// In bytes.
    pub length: u64,
}

impl Content {
    /// An object's bytes.
    pub fn new(seed: u64, length: u64) -> Self {
        Self { seed, length }
    }

    /// All of it.
    pub fn all(&self) -> Vec<u8> {
        self.range(0..self.length)
    }

    /// A range of it.
    pub fn range(&self, range: Range<u64>) -> Vec<u8> {
        assert!(
            range.start <= range.end && range.end <= self.length,
            "{range:?} of {}",
            self.length
        );
        let (first, last) = (range.start / WORD, range.end.div_ceil(WORD));
        let mut bytes: Vec<u8> = (first..last)
            .flat_map(|word| self.word(word).to_le_bytes())
            .collect();
        bytes.truncate(index(range.end - first * WORD));
        bytes.drain(..index(range.start - first * WORD));
        bytes
    }

    /// The place of the first byte that is wrong when `bytes` should stand at `at`; none when all are right.
    pub fn first_wrong(&self, at: u64, bytes: &[u8]) -> Option<u64> {
        let end = at + bytes.len() as u64;
        if end > self.length {
            return Some(self.length);
        }
        let expected = self.range(at..end);
        let wrong = || {
            expected
                .iter()
                .zip(bytes)
                .position(|(expected, byte)| expected != byte)
        };
        (expected != bytes)
            .then(wrong)
            .flatten()
            .map(|offset| at + offset as u64)
    }

    fn word(&self, number: u64) -> u64 {
        mix(self
            .seed
            .wrapping_mul(0xd134_2543_de82_ef95)
            .wrapping_add(mix(number)))
    }
}

/// The finalizer of SplitMix64: every output bit hangs on every input bit.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn index(value: u64) -> usize {
    usize::try_from(value).expect("a range of a test object fits into memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A range is what the whole has there, wherever it begins and ends.
    #[test]
    fn ranges_are_cut_from_the_whole() {
        let content = Content::new(7, 61);
        let all = content.all();
        assert_eq!(all.len(), 61);
        for start in 0..=61_u64 {
            for end in start..=61 {
                let expected = &all[index(start)..index(end)];
                assert_eq!(content.range(start..end), expected, "{start}..{end}");
                assert_eq!(content.first_wrong(start, expected), None);
            }
        }
    }

    /// One flipped bit is found, and so are bytes of another object or of another place.
    #[test]
    fn wrong_bytes_are_found() {
        let content = Content::new(7, 4096);
        let mut bytes = content.all();
        bytes[1000] ^= 1;
        assert_eq!(content.first_wrong(0, &bytes), Some(1000));
        assert!(
            Content::new(8, 4096)
                .first_wrong(0, &content.all())
                .is_some()
        );
        assert!(content.first_wrong(8, &content.range(0..64)).is_some());
        assert_eq!(
            content.first_wrong(4090, &[0; 10]),
            Some(4096),
            "longer than the object"
        );
    }
}
