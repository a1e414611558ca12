//! What disks hold, read without the code that is tried: field by field, where `docs/formats/storage.md` says.

use crc_fast::{CrcAlgorithm, Digest};
use storage_node::volume::VolumeId;
use types::{ByteOffset, DiskId, ShardKey};

/// A block with its checksum.
pub(crate) const FRAMED: usize = 65_564 + 8;

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(field(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(field(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(field(bytes, at))
}

pub(crate) fn offset_at(bytes: &[u8], at: usize) -> ByteOffset {
    ByteOffset::new(u64_at(bytes, at))
}

pub(crate) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("it is inside")
}

/// CRC-64/NVME of pieces, one behind the other.
pub(crate) fn crc(pieces: &[&[u8]]) -> [u8; 8] {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    pieces.iter().for_each(|piece| digest.update(piece));
    digest.finalize().to_be_bytes()
}

/// What the checksums of all that lies in a volume begin with.
pub(crate) fn place(disk: DiskId, volume: VolumeId) -> [u8; 16] {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&disk.to_be_bytes());
    place[8..].copy_from_slice(&u64::from(volume.0).to_be_bytes());
    place
}

/// Lays bytes over the beginning of others.
pub(crate) fn lay_over(bytes: &mut [u8], over: &[u8]) {
    let length = bytes.len().min(over.len());
    bytes[..length].copy_from_slice(&over[..length]);
}

/// Flips bits: four bytes a flip, where (three bytes) and which. Whether any differs then.
pub(crate) fn flip(bytes: &mut [u8], flips: &[u8]) -> bool {
    let before = bytes.to_vec();
    for flip in flips.chunks_exact(4) {
        let at = u32_at(&[0, flip[0], flip[1], flip[2]], 0) as usize % bytes.len();
        bytes[at] ^= flip[3];
    }
    before != bytes
}

/// Whether each block has its checksum behind it.
pub(crate) fn verifies(key: ShardKey, payload: &[u8]) -> bool {
    let mut blocks = (0_u32..).zip(payload.chunks(FRAMED));
    blocks.all(|(number, framed)| {
        framed.split_last_chunk::<8>().is_some_and(|(block, sum)| {
            !block.is_empty() && crc(&[&key.to_be_bytes(), &number.to_be_bytes(), block]) == *sum
        })
    })
}

/// Puts the checksum of each block behind it.
pub(crate) fn frame(key: ShardKey, payload: &mut [u8]) {
    for (number, framed) in (0_u32..).zip(payload.chunks_mut(FRAMED)) {
        if let Some((block, sum)) = framed.split_last_chunk_mut::<8>() {
            *sum = crc(&[&key.to_be_bytes(), &number.to_be_bytes(), block]);
        }
    }
}
