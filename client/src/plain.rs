//! Memory for opened segments, which is used again.
//!
//! Fresh memory would be filled with zeros first, and its pages faulted in; used again, it is still in a cache.
//! It holds an earlier segment's plaintext until all of it is overwritten, so it is only handed out whole, for a
//! whole segment, and shown to nobody before that was opened into it.

use bytes::Bytes;
use std::sync::{Mutex, MutexGuard, PoisonError};
use types::block::SEGMENT;

/// Idle memory that is kept at most: 16 MiB.
const IDLE: usize = 256;

static POOL: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// Room for the plaintext of one segment.
pub(crate) struct Plain(Box<[u8]>);

impl Plain {
    /// Whatever an earlier segment left in it, for those who overwrite every byte.
    pub(crate) fn recycled() -> Self {
        let idle = pool().pop();
        Self(idle.unwrap_or_else(|| vec![0; SEGMENT].into()))
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

impl AsRef<[u8]> for Plain {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let mut pool = pool();
        if pool.len() < IDLE {
            pool.push(std::mem::take(&mut self.0));
        }
    }
}

fn pool() -> MutexGuard<'static, Vec<Box<[u8]>>> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is handed on stays as it was for as long as anybody has it, however much is opened meanwhile.
    /// Method: more segments than the pool keeps, each filled with its number, some let go early.
    #[test]
    fn memory_comes_back_only_when_nobody_has_it() {
        let mut kept = Vec::new();
        for number in 0..3 * IDLE {
            let byte = u8::try_from(number % 251).unwrap();
            let mut plain = Plain::recycled();
            plain.room().fill(byte);
            let bytes = plain.freeze();
            assert_eq!(bytes.len(), SEGMENT);
            if number % 3 == 0 {
                kept.push((byte, bytes.slice(5..900)));
            }
        }
        for (byte, bytes) in kept {
            assert!(bytes.iter().all(|one| *one == byte));
        }
        assert!(pool().len() <= IDLE);
    }
}
