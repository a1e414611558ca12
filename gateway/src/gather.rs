//! Small pieces of a body, gathered to larger ones.
//!
//! A client may send a body byte by byte, and each would travel as a piece of its own, with 32 bytes
//! and more of handles beside it, in every buffer on its way. So what is small is copied together
//! until it is worth a handle; what is not small passes uncopied.

use bytes::{Bytes, BytesMut};

/// What is worth a handle of its own.
const WORTH: usize = 4 << 10;

/// The pieces of one body, at most two of them held.
#[derive(Default)]
pub(crate) struct Gather {
    small: BytesMut,
    /// A large piece, behind the small ones.
    large: Option<Bytes>,
}

impl Gather {
    /// Takes the body's next piece. Whatever [`Gather::next`] has must have been taken before.
    pub(crate) fn add(&mut self, piece: Bytes) {
        if piece.len() >= WORTH {
            self.large = Some(piece);
            return;
        }
        if self.small.capacity() == 0 {
            self.small.reserve(2 * WORTH);
        }
        self.small.extend_from_slice(&piece);
    }

    /// The next piece that is worth a handle.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        if self.small.len() >= WORTH || (self.large.is_some() && !self.small.is_empty()) {
            return self.rest();
        }
        self.large.take()
    }

    /// What is small and last, once the body has ended.
    pub(crate) fn rest(&mut self) -> Option<Bytes> {
        let rest = std::mem::take(&mut self.small);
        (!rest.is_empty()).then(|| rest.freeze())
    }

    /// How many bytes are held.
    pub(crate) fn held(&self) -> usize {
        self.small.len() + self.large.as_ref().map_or(0, Bytes::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes come out as they went in, in pieces that are worth it, the large ones uncopied.
    /// Method: bodies cut in sizes around the threshold; one mixed.
    #[test]
    fn pieces_are_worth_their_handles() {
        let mixed: Vec<usize> = [1, WORTH, 5, WORTH - 1, 1, 3 * WORTH, 7].into();
        let even = [1, 7, WORTH - 1, WORTH, WORTH + 1].map(|size| vec![size; 3 * WORTH / size]);
        for sizes in even.into_iter().chain([mixed, vec![]]) {
            let (mut gather, mut sent, mut received) = (Gather::default(), Vec::new(), Vec::new());
            let mut small = 0;
            for (size, byte) in sizes.iter().zip((0..=250).cycle()) {
                let piece = Bytes::from(vec![byte; *size]);
                sent.extend_from_slice(&piece);
                let at = piece.as_ptr();
                gather.add(piece);
                while let Some(next) = gather.next() {
                    small += usize::from(next.len() < WORTH);
                    assert!(*size < WORTH || next.len() < *size || next.as_ptr() == at);
                    received.extend_from_slice(&next);
                }
                assert!(gather.held() < WORTH);
            }
            received.extend(gather.rest().into_iter().flatten());
            assert!(received == sent);
            let large = sizes.iter().filter(|size| **size >= WORTH).count();
            assert!(small <= large, "{small} small pieces of {sizes:?}");
            assert_eq!(gather.held(), 0);
        }
    }
}
