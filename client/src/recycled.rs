//! Memory that is used again.
//!
//! Fresh memory of some size comes as pages that are filled with zeros and faulted in one by one, which costs
//! as much as filling it; used again, it is often still in a cache. What always holds: what is left in it of
//! an earlier use is shown to nobody, because a [`Segment`] is only handed on when all of it was written anew,
//! and a [`Chunk`] is empty at first.

use bytes::Bytes;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};
use types::block::SEGMENT;

/// Idle memory for opened segments.
static SEGMENTS: Idle = Idle::new(16 << 20);
/// Idle memory for chunks on their way to disks: a few of the usual profile's.
static CHUNKS: Idle = Idle::new(32 << 20);
/// A smaller chunk's memory is not worth keeping.
const LEAST: usize = 1 << 20;

/// Idle memory, bounded.
struct Idle {
    kept: Mutex<Kept>,
    most: usize,
}

struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Idle {
    const fn new(most: usize) -> Self {
        let kept = Kept {
            buffers: Vec::new(),
            bytes: 0,
        };
        Self {
            kept: Mutex::new(kept),
            most,
        }
    }

    /// Memory for `bytes`, and not for much more.
    fn take(&self, bytes: usize) -> Option<Vec<u8>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &Vec<u8>| (bytes..=2 * bytes).contains(&buffer.capacity());
        let at = kept.buffers.iter().rposition(fits)?;
        let buffer = kept.buffers.swap_remove(at);
        kept.bytes -= buffer.capacity();
        Some(buffer)
    }

    fn keep(&self, buffer: Vec<u8>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + buffer.capacity() <= self.most {
            kept.bytes += buffer.capacity();
            kept.buffers.push(buffer);
        }
    }
}

/// Room for the plaintext of one segment.
pub(crate) struct Segment(Vec<u8>);

impl Segment {
    /// Whatever an earlier segment left in it, for those who overwrite every byte.
    pub(crate) fn recycled() -> Self {
        Self(SEGMENTS.take(SEGMENT).unwrap_or_else(|| vec![0; SEGMENT]))
    }

    /// Where to open the segment into.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Hands it on without copying; it comes back when the last who has it lets go.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Segment {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        SEGMENTS.keep(std::mem::take(&mut self.0));
    }
}

/// A growing buffer for one chunk.
pub(crate) struct Chunk(Vec<u8>);

impl Chunk {
    /// Nothing, and room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let recycled = CHUNKS.take(bytes).map(|mut buffer| {
            buffer.clear();
            buffer
        });
        Self(recycled.unwrap_or_else(|| Vec::with_capacity(bytes)))
    }
}

impl Clone for Chunk {
    fn clone(&self) -> Self {
        let mut copy = Self::with_capacity(self.len());
        copy.extend_from_slice(self);
        copy
    }
}

impl Deref for Chunk {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Chunk {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if self.0.capacity() >= LEAST {
            CHUNKS.keep(std::mem::take(&mut self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is handed on stays as it was for as long as anybody has it, however much is opened meanwhile.
    /// Method: more segments than are kept, each filled with its number, some let go early.
    #[test]
    fn memory_comes_back_only_when_nobody_has_it() {
        let most = SEGMENTS.most / SEGMENT;
        let mut held = Vec::new();
        for number in 0..3 * most {
            let byte = u8::try_from(number % 251).unwrap();
            let mut segment = Segment::recycled();
            segment.room().fill(byte);
            let bytes = segment.freeze();
            assert_eq!(bytes.len(), SEGMENT);
            if number % 3 == 0 {
                held.push((byte, bytes.slice(5..900)));
            }
        }
        for (byte, bytes) in held {
            assert!(bytes.iter().all(|one| *one == byte));
        }
        let kept = SEGMENTS.kept.lock().unwrap();
        assert!(kept.bytes <= SEGMENTS.most && kept.bytes >= SEGMENT);
    }

    /// Memory is used again for what is about as long, and a chunk begins empty. Method: a pool of its own
    /// with room for two, and three that come back.
    #[test]
    fn idle_memory_is_bounded_and_fits() {
        let idle = Idle::new(5000);
        for length in [2000, 2500, 1000] {
            idle.keep(Vec::with_capacity(length));
        }
        assert!(idle.take(3000).is_none(), "none is as long");
        assert!(idle.take(900).is_none(), "the third did not fit");
        assert_eq!(idle.take(1500).map(|buffer| buffer.capacity()), Some(2500));
        assert_eq!(idle.take(1500).map(|buffer| buffer.capacity()), Some(2000));
        assert_eq!(idle.kept.lock().unwrap().bytes, 0);

        for _ in 0..2 {
            let mut chunk = Chunk::with_capacity(LEAST);
            assert!(chunk.is_empty() && chunk.capacity() >= LEAST);
            chunk.extend_from_slice(b"earlier");
        }
    }
}
