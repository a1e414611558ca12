//! Bytes of an upload that are not sealed yet: at most a segment.
//!
//! A segment is sealed only when a byte behind it has come, or none will: that says whether it is the
//! blob's last. A piece that came alone is not copied.

use bytes::Bytes;
use types::block::SEGMENT;

#[derive(Debug, Default)]
pub(crate) struct Tail {
    whole: Bytes,
    joined: Vec<u8>,
}

impl Tail {
    pub(crate) fn bytes(&self) -> &[u8] {
        if self.joined.is_empty() {
            &self.whole
        } else {
            &self.joined
        }
    }

    pub(crate) fn full(&self) -> bool {
        self.bytes().len() == SEGMENT
    }

    /// Takes as much of `data` as there is room for.
    pub(crate) fn take(&mut self, data: &mut Bytes) {
        let room = SEGMENT - self.bytes().len();
        let piece = data.split_to(room.min(data.len()));
        if self.bytes().is_empty() {
            self.whole = piece;
            return;
        }
        if self.joined.is_empty() {
            self.joined
                .extend_from_slice(&std::mem::take(&mut self.whole));
        }
        self.joined.extend_from_slice(&piece);
    }

    pub(crate) fn clear(&mut self) {
        self.whole = Bytes::new();
        self.joined.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the pieces, segments come out whole and in order, and a piece that fills one by itself
    /// is not copied.
    #[test]
    fn pieces_become_segments() {
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * SEGMENT).collect();
        for piece in [1000, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT] {
            let source = Bytes::from(bytes.clone());
            let (mut tail, mut sealed) = (Tail::default(), Vec::new());
            for start in (0..source.len()).step_by(piece) {
                let mut data = source.slice(start..source.len().min(start + piece));
                while !data.is_empty() {
                    if tail.full() {
                        sealed.extend_from_slice(tail.bytes());
                        tail.clear();
                    }
                    tail.take(&mut data);
                }
            }
            assert!(tail.full());
            if piece % SEGMENT == 0 {
                assert_eq!(tail.bytes().as_ptr(), source[2 * SEGMENT..].as_ptr());
            }
            sealed.extend_from_slice(tail.bytes());
            assert!(sealed == bytes, "pieces of {piece}");
        }
    }
}
