//! CRC-64/NVME over several pieces: guards headers, footers and stamps. Blocks have their own in `types::block`.

use crc_fast::{CrcAlgorithm, Digest};

/// Length of a checksum, stored big-endian.
pub(crate) const CHECKSUM: usize = 8;

/// The checksum of `pieces`, one behind the other. The first ones are usually not stored beside it:
/// they say where the bytes belong, so that bytes in the wrong place do not verify.
pub(crate) fn checksum(pieces: &[&[u8]]) -> [u8; CHECKSUM] {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    for piece in pieces {
        digest.update(piece);
    }
    digest.finalize().to_be_bytes()
}
