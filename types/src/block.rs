//! Blocks: what a disk verifies.
//!
//! ```text
//! block                                              checksum
//! one sealed segment, or parity over one row         CRC-64/NVME(shard key ‖ block number ‖ block)
//! 65564 bytes (a blob's last segment may be short)   8 bytes, big-endian
//! ```
//!
//! The checksum covers the shard's key and the block's number, so that a misdirected write or read
//! shows. It is made by the gateway, checked by the storage node on write and on each read, and again
//! by the gateway. Any range of blocks is one read. Only the last block of a shard is short.

use crate::shard::ShardKey;
use crate::size::ByteCount;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};

/// Plaintext bytes of a full segment.
pub const SEGMENT: usize = 64 << 10;
/// What sealing adds to a segment: nonce (12) and tag (16).
pub const SEAL_OVERHEAD: usize = 12 + 16;
/// A full sealed segment.
pub const SEALED_SEGMENT: usize = SEGMENT + SEAL_OVERHEAD;
/// The checksum behind each block.
pub const CHECKSUM: usize = 8;
/// A full block with its checksum.
pub const FRAMED_BLOCK: usize = SEALED_SEGMENT + CHECKSUM;

/// A block whose checksum does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shard {key}: block {block} fails its checksum")]
pub struct CorruptBlock {
    /// The shard.
    pub key: ShardKey,
    /// The block, counted from the shard's first.
    pub block: u32,
}

/// The checksum of one block.
pub fn checksum(key: ShardKey, number: u32, block: &[u8]) -> [u8; CHECKSUM] {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    digest.update(&key.to_be_bytes());
    digest.update(&number.to_be_bytes());
    digest.update(block);
    digest.finalize().to_be_bytes()
}

/// How many blocks a shard of `sealed` bytes has.
pub fn count(sealed: ByteCount) -> u32 {
    let blocks = sealed.get().div_ceil(SEALED_SEGMENT as u64);
    u32::try_from(blocks).expect("a shard has few blocks")
}

/// Length of a shard of `sealed` bytes with the checksums of its blocks.
pub fn framed_length(sealed: ByteCount) -> ByteCount {
    ByteCount::new(sealed.get() + u64::from(count(sealed)) * CHECKSUM as u64)
}

/// Appends every block of a shard and its checksum to `out`; block numbers count from `first`.
pub fn frame(key: ShardKey, first: u32, sealed: &[u8], out: &mut Vec<u8>) {
    for (number, block) in (first..).zip(sealed.chunks(SEALED_SEGMENT)) {
        out.extend_from_slice(block);
        out.extend_from_slice(&checksum(key, number, block));
    }
}

/// Framed blocks without their checksums, which nobody looks at: for those who prove each block by its tag.
/// The returned pieces share `framed`'s memory.
pub fn split(framed: &Bytes) -> Vec<Bytes> {
    let starts = (0..framed.len()).step_by(FRAMED_BLOCK);
    let ends = starts.map(|start| (start, framed.len().min(start + FRAMED_BLOCK)));
    ends.map(|(start, end)| framed.slice(start..end.saturating_sub(CHECKSUM).max(start)))
        .collect()
}

/// Checks framed blocks, whose numbers count from `first`.
///
/// # Errors
/// At the first block that does not match, or that is too short to hold a checksum.
pub fn check(key: ShardKey, first: u32, framed: &[u8]) -> Result<(), CorruptBlock> {
    for (block, piece) in (first..).zip(framed.chunks(FRAMED_BLOCK)) {
        let sound = piece
            .split_last_chunk::<CHECKSUM>()
            .is_some_and(|(sealed, sum)| {
                !sealed.is_empty() && checksum(key, block, sealed) == *sum
            });
        if !sound {
            return Err(CorruptBlock { key, block });
        }
    }
    Ok(())
}

/// Checks framed blocks, whose numbers count from `first`, and returns them without checksums.
/// The returned pieces share `framed`'s memory.
///
/// # Errors
/// As [`check`].
pub fn verify(key: ShardKey, first: u32, framed: &Bytes) -> Result<Vec<Bytes>, CorruptBlock> {
    check(key, first, framed)?;
    Ok(split(framed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ChunkId, GroupId};

    fn key() -> ShardKey {
        ShardKey {
            group: GroupId::new(1),
            chunk: ChunkId::new(2),
            index: 3,
        }
    }

    /// Stored for ever: the checksum of a known block under a known key.
    #[test]
    fn checksum_is_golden() {
        // The catalogue's check value says that this is CRC-64/NVME.
        let check = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, b"123456789");
        assert_eq!(check, 0xae8b_1486_0a79_9888);
        assert_eq!(
            u64::from_be_bytes(checksum(key(), 4, b"block")),
            0x7c04_e78f_6525_376b
        );
    }

    /// Any flipped byte, another shard's blocks and blocks in another place are refused.
    #[test]
    fn only_the_right_blocks_in_the_right_place_verify() {
        let sealed: Vec<u8> = (0..251).cycle().take(SEALED_SEGMENT + 100).collect();
        let mut framed = Vec::new();
        frame(key(), 7, &sealed, &mut framed);
        assert_eq!(
            framed.len() as u64,
            framed_length(ByteCount::of(&sealed)).get()
        );
        let good = Bytes::from(framed);
        let blocks = verify(key(), 7, &good).unwrap();
        assert_eq!(blocks.concat(), sealed);
        assert_eq!(split(&good), blocks);
        assert_eq!(split(&good.slice(..3)), [Bytes::new()]);

        for at in [
            0,
            1,
            SEALED_SEGMENT,
            FRAMED_BLOCK - 1,
            FRAMED_BLOCK,
            good.len() - 1,
        ] {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            assert!(verify(key(), 7, &bad.into()).is_err(), "byte {at}");
        }
        assert!(verify(key(), 8, &good).is_err());
        assert!(verify(ShardKey { index: 4, ..key() }, 7, &good).is_err());
        assert!(verify(key(), 7, &good.slice(..good.len() - 1)).is_err());
        assert!(verify(key(), 7, &good.slice(..FRAMED_BLOCK + CHECKSUM)).is_err());
    }
}
