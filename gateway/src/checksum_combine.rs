//! The CRC of two pieces, one behind the other, out of the CRC of each.
//!
//! A CRC is the remainder of a polynomial over GF(2). Appending n bytes to a piece multiplies its polynomial
//! by x^8n; so the remainder of the whole is `crc(first) × x^8n mod P + crc(second)`. (Initial value and
//! final inversion, both all ones in the CRCs of S3, cancel out.) x^8n is found by squaring, about 2 log n
//! multiplications of 64 steps; and since the parts of an upload are mostly of one length, the last one is
//! kept. 10 000 parts take some milliseconds: `crc_fast::checksum_combine`, by matrices, takes over a second.
//!
//! Method: Mark Adler, `crc32_combine` of zlib 1.2.12 and later.

use types::attributes::ChecksumAlgorithm;

/// A CRC with its bits reflected: the coefficient of x^0 is the highest of `width` bits.
#[derive(Clone, Copy)]
struct Field {
    width: u32,
    /// The polynomial without its highest term.
    polynomial: u64,
}

/// The CRC of pieces of which only lengths and CRCs are known.
pub(crate) struct Combined {
    field: Field,
    crc: u64,
    /// A length, and x to the power of that many bytes.
    shift: (u64, u64),
}

impl Combined {
    /// Of no pieces yet. None: the algorithm is not a CRC, and cannot be combined.
    pub(crate) fn new(algorithm: ChecksumAlgorithm) -> Option<Self> {
        let field = match algorithm {
            ChecksumAlgorithm::Crc32 => Field {
                width: 32,
                polynomial: 0xEDB8_8320,
            },
            ChecksumAlgorithm::Crc32c => Field {
                width: 32,
                polynomial: 0x82F6_3B78,
            },
            ChecksumAlgorithm::Crc64Nvme => Field {
                width: 64,
                polynomial: 0x9A6C_9329_AC4B_C9B5,
            },
            _ => return None,
        };
        Some(Self {
            field,
            crc: 0,
            shift: (0, field.power(0)),
        })
    }

    /// Appends a piece of `length` bytes whose CRC, big-endian, is `crc`.
    pub(crate) fn append(&mut self, crc: &[u8], length: u64) {
        if self.shift.0 != length {
            self.shift = (length, self.field.shift(length));
        }
        let crc = crc.iter().fold(0, |crc, byte| crc << 8 | u64::from(*byte));
        self.crc = self.field.multiply(self.shift.1, self.crc) ^ crc;
    }

    /// The CRC of all pieces, big-endian, as long as the algorithm's are.
    pub(crate) fn finish(self) -> Vec<u8> {
        let bytes = self.field.width as usize / 8;
        self.crc.to_be_bytes()[8 - bytes..].to_vec()
    }
}

impl Field {
    /// x^n, for n below the width.
    fn power(self, n: u32) -> u64 {
        1 << (self.width - 1 - n)
    }

    /// a × b mod P.
    fn multiply(self, a: u64, mut b: u64) -> u64 {
        let mut product = 0;
        for n in 0..self.width {
            if a & self.power(n) != 0 {
                product ^= b;
            }
            b = (b >> 1) ^ (self.polynomial & (b & 1).wrapping_neg());
        }
        product
    }

    /// x^(8 × bytes) mod P.
    fn shift(self, mut bytes: u64) -> u64 {
        let mut shift = self.power(0);
        let mut square = self.power(8);
        while bytes > 0 {
            if bytes & 1 == 1 {
                shift = self.multiply(shift, square);
            }
            square = self.multiply(square, square);
            bytes >>= 1;
        }
        shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digests;
    use proptest::prelude::*;

    const CRCS: [ChecksumAlgorithm; 3] = [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32c,
        ChecksumAlgorithm::Crc64Nvme,
    ];

    fn crc(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Vec<u8> {
        let mut digests = Digests::new(&[algorithm]);
        digests.update(bytes);
        digests.finish().of(algorithm).value.clone()
    }

    fn combined<'a>(
        algorithm: ChecksumAlgorithm,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Vec<u8> {
        let mut combined = Combined::new(algorithm).expect("a CRC");
        for piece in pieces {
            combined.append(&crc(algorithm, piece), piece.len() as u64);
        }
        combined.finish()
    }

    proptest! {
        /// However bytes are cut into pieces, empty ones too, the pieces combine to the CRC of the whole.
        /// Method: random bytes and cuts, against one pass over all of them.
        #[test]
        fn pieces_combine_to_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000),
            cuts in proptest::collection::vec(0..3000usize, 0..8),
        ) {
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
            ends.push(bytes.len());
            ends.sort_unstable();
            let starts = std::iter::once(0).chain(ends.iter().copied());
            for algorithm in CRCS {
                let pieces = starts.clone().zip(&ends).map(|(start, end)| &bytes[start..*end]);
                prop_assert_eq!(combined(algorithm, pieces), crc(algorithm, &bytes));
            }
        }
    }

    /// Lengths of many bits are shifted by as far as they say.
    /// Method: many zeros behind one byte, combined in one step, against a pass over all of them.
    #[test]
    fn long_pieces_combine() {
        const LENGTH: usize = (64 << 20) - 1;
        let zeros = vec![0; 1 << 20];
        for algorithm in CRCS {
            let mut digests = Digests::new(&[algorithm]);
            let mut whole = Digests::new(&[algorithm]);
            whole.update(b"x");
            let mut left = LENGTH;
            while left > 0 {
                let piece = &zeros[..left.min(zeros.len())];
                digests.update(piece);
                whole.update(piece);
                left -= piece.len();
            }
            let mut combined = Combined::new(algorithm).expect("a CRC");
            combined.append(&crc(algorithm, b"x"), 1);
            combined.append(&digests.finish().of(algorithm).value, LENGTH as u64);
            assert_eq!(combined.finish(), whole.finish().of(algorithm).value);
        }
    }

    /// What is no CRC does not combine.
    /// Method: the two hashes.
    #[test]
    fn hashes_do_not_combine() {
        assert!(Combined::new(ChecksumAlgorithm::Sha1).is_none());
        assert!(Combined::new(ChecksumAlgorithm::Sha256).is_none());
    }
}
