//! When bytes may be shared by reference instead of being written again.
//!
//! A shared blob has one data key: who may open one of its references could open all. So only equal labels
//! share. And a reference costs rows and a wrap, whatever it refers to: small or many pieces are cheaper
//! written again (docs/decisions/0011).

use types::size::{ByteCount, MIB};

/// No piece that is shared is smaller.
pub const MIN_PIECE: ByteCount = ByteCount::new(MIB);
/// One copy shares at most so many pieces: each is a wrap in its command, and up to two rows.
pub const MAX_PIECES: usize = 256;

/// Whether pieces of these lengths, of an object under the label with digest `from`, may be shared with one
/// under the label with digest `to`.
pub fn shareable(
    from: &[u8; 32],
    to: &[u8; 32],
    mut pieces: impl ExactSizeIterator<Item = ByteCount>,
) -> bool {
    from == to && (1..=MAX_PIECES).contains(&pieces.len()) && pieces.all(|piece| piece >= MIN_PIECE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Label;

    /// Equal labels, pieces of 1 MiB and more, 256 of them at most, are shared; nothing else is.
    #[test]
    fn only_large_pieces_of_one_label_are_shared() {
        let low = Label::default().digest();
        let high = Label {
            level: 1,
            ..Label::default()
        }
        .digest();
        let large = MIN_PIECE.get();
        for (from, to, pieces, expected) in [
            (low, low, vec![large], true),
            (low, low, vec![large, u64::MAX, large], true),
            (high, high, vec![large], true),
            (low, high, vec![large], false),
            (high, low, vec![large], false),
            (low, low, vec![large - 1], false),
            (low, low, vec![large, large - 1], false),
            (low, low, vec![0], false),
            (low, low, vec![], false),
            (low, low, vec![large; MAX_PIECES], true),
            (low, low, vec![large; MAX_PIECES + 1], false),
        ] {
            let lengths = pieces.iter().copied().map(ByteCount::new);
            assert_eq!(shareable(&from, &to, lengths), expected, "{pieces:?}");
        }
    }
}
