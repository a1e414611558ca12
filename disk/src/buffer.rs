//! Aligned buffers.
//!
//! A buffer's memory begins on a [`BLOCK`] boundary and is whole blocks long, as O_DIRECT wants it.
//! Memory of dropped buffers is kept in a bounded pool of the process: fresh pages cost a fault for
//! every 4 KiB, which is as much as the copy into them. What was not needed for a while is given back
//! ([`give_back_idle`]). Pooled memory holds earlier contents, so it is handed out only where every byte is
//! about to be overwritten.

use crate::device::BLOCK;
use crate::pool::Pool;
use bytes::Bytes;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Idle memory that the pool keeps at most.
const POOL_BYTES: usize = 64 << 20;

/// Aligned memory of a whole number of blocks.
pub struct Buffer {
    /// At least `length` long; its size is one of the pool's classes.
    blocks: Vec<Aligned>,
    /// In blocks.
    length: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Aligned([u8; BLOCK]);

impl Buffer {
    /// Zeros: `length` rounded up to whole blocks.
    pub fn zeroed(length: usize) -> Self {
        let mut buffer = Self::recycled(length);
        buffer.fill(0);
        buffer
    }

    /// A copy of `bytes`, padded with zeros to whole blocks.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Self::recycled(bytes.len());
        let (content, padding) = buffer.split_at_mut(bytes.len());
        content.copy_from_slice(bytes);
        padding.fill(0);
        buffer
    }

    /// Whatever an earlier buffer held, for those who overwrite every byte: `length` rounded up to
    /// whole blocks.
    pub fn recycled(length: usize) -> Self {
        let length = length.div_ceil(BLOCK);
        let class = class_of(length);
        let blocks = POOL
            .take(class)
            .unwrap_or_else(|| vec![Aligned([0; BLOCK]); class]);
        Self { blocks, length }
    }

    /// Hands the memory on without copying.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `Aligned` is `repr(C)` over exactly BLOCK bytes without padding (its size is its
        // alignment), so the vector's elements are one run of initialised bytes, and there are at
        // least `length` of them.
        unsafe { std::slice::from_raw_parts(self.blocks.as_ptr().cast(), self.length * BLOCK) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let length = self.length * BLOCK;
        // SAFETY: as in `deref`; the borrow is unique because `self` is.
        unsafe { std::slice::from_raw_parts_mut(self.blocks.as_mut_ptr().cast(), length) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} blocks)", self.length)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let blocks = std::mem::take(&mut self.blocks);
        if !blocks.is_empty() {
            let _freed_if_full = POOL.give(blocks.len(), blocks);
        }
    }
}

/// Sizes are rounded up by at most an eighth, so that few of them exist.
fn class_of(blocks: usize) -> usize {
    let step = (blocks.next_power_of_two() / 8).max(1);
    blocks.div_ceil(step) * step
}

/// Frees the idle memory that no buffer needed since this was called last. Called every second or so, a process
/// keeps what its load of the last seconds needs, and one that rests keeps none.
pub fn give_back_idle() {
    drop(POOL.unused());
}

/// By class, in blocks.
static POOL: Pool<Vec<Aligned>> = Pool::new(POOL_BYTES / BLOCK);

#[cfg(test)]
mod tests {
    use super::*;

    /// O_DIRECT takes any buffer, and no earlier content shows in one that promises zeros.
    #[test]
    fn buffers_are_aligned_whole_blocks_and_clean() {
        for length in [
            0,
            1,
            BLOCK,
            BLOCK + 1,
            17 * BLOCK,
            1 << 20,
            (1 << 20) + 5000,
        ] {
            let mut dirty = Buffer::recycled(length);
            dirty.fill(0xaa);
            drop(dirty);
            let zeros = Buffer::zeroed(length);
            assert_eq!(zeros.as_ptr() as usize % BLOCK, 0);
            assert_eq!(zeros.len(), length.next_multiple_of(BLOCK));
            assert!(zeros.iter().all(|byte| *byte == 0));
            drop(zeros);

            let mut dirty = Buffer::recycled(length);
            dirty.fill(0xaa);
            drop(dirty);
            let content = vec![7; length];
            let copy = Buffer::copy_of(&content);
            assert_eq!(copy[..length], content);
            assert!(copy[length..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn classes_waste_at_most_a_quarter() {
        for blocks in 1..5000 {
            let class = class_of(blocks);
            assert!(
                class >= blocks && class * 4 <= blocks * 5,
                "{blocks} -> {class}"
            );
        }
    }
}
