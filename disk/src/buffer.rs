//! Aligned buffers.
//!
//! A buffer's memory begins on a [`BLOCK`] boundary and is whole blocks long, as O_DIRECT wants it.

use crate::device::BLOCK;
use bytes::Bytes;
use std::ops::{Deref, DerefMut};

/// Zeroed, aligned memory of a whole number of blocks.
pub struct Buffer {
    blocks: Vec<Aligned>,
}

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Aligned([u8; BLOCK]);

impl Buffer {
    /// Zeros: `length` rounded up to whole blocks.
    pub fn zeroed(length: usize) -> Self {
        Self {
            blocks: vec![Aligned([0; BLOCK]); length.div_ceil(BLOCK)],
        }
    }

    /// A copy of `bytes`, padded with zeros to whole blocks.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Self::zeroed(bytes.len());
        buffer[..bytes.len()].copy_from_slice(bytes);
        buffer
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
        // alignment), so the vector's elements are one run of initialised bytes.
        unsafe {
            std::slice::from_raw_parts(self.blocks.as_ptr().cast(), self.blocks.len() * BLOCK)
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let length = self.blocks.len() * BLOCK;
        // SAFETY: as in `deref`; the borrow is unique because `self` is.
        unsafe { std::slice::from_raw_parts_mut(self.blocks.as_mut_ptr().cast(), length) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
