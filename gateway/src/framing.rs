//! The framing of a body in aws-chunks.
//!
//! ```text
//! body  = { head  CR LF  size bytes  CR LF }  head of size 0  CR LF  trailers
//! head  = size in hexadecimal  [ ";chunk-signature=" signature ]
//! ```
//!
//! s3s reads it, too, and passes the bytes of a chunk without a signature on as they come. But where a
//! chunk's head bears a signature, which no client sends in that mode, s3s holds the whole chunk back to
//! verify it, outside every budget. And it takes a body for whole that ends behind any chunk, the empty
//! last one missing. So the heads are read here first: any that is not of its mode is refused, as is a body
//! without its last chunk. This reading is the stricter one, so that s3s cannot see a head where none is
//! seen here.

/// What ends a chunk.
const CR_LF: u64 = 2;
/// s3s reads sizes of 32 bits.
const DIGITS: u8 = 8;

/// More than a signature and its name.
const SIGNATURE: u8 = 96;

/// Whether heads bear signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heads {
    /// None does.
    Plain,
    /// Each does.
    Signed,
}

/// Why a framing is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFraming {
    /// The head of a chunk is not its size, and behind that its signature where heads have one.
    #[error("the head of a chunk is malformed")]
    Head,
    /// The body ends before its last chunk.
    #[error("the body ends before its last chunk")]
    Unfinished,
}

/// Follows the framing of one body through its pieces, however it is cut. Holds no bytes.
pub(crate) struct Framing {
    heads: Heads,
    at: Position,
}

#[derive(Clone, Copy)]
enum Position {
    /// In a chunk's head, behind so many digits of its size.
    Size { size: u64, digits: u8 },
    /// In the signature of a chunk's head, behind so many bytes of it.
    Signature { size: u64, bytes: u8 },
    /// Behind the CR of a chunk's head.
    Cr { size: u64 },
    /// So many bytes before the next head.
    Chunk(u64),
    /// In the trailers.
    Trailers,
}

impl Framing {
    /// At the beginning of a body.
    pub(crate) fn new(heads: Heads) -> Self {
        Self {
            heads,
            at: Position::HEAD,
        }
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    /// A chunk's head is malformed.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) -> Result<(), BadFraming> {
        while let Some((&first, behind)) = bytes.split_first() {
            (self.at, bytes) = match self.at {
                Position::Size { size, digits } => (self.head(size, digits, first)?, behind),
                Position::Signature { size, bytes: 1.. } if first == b'\r' => {
                    (Position::Cr { size }, behind)
                }
                Position::Signature { size, bytes } if bytes < SIGNATURE && first != b'\n' => {
                    let bytes = bytes + 1;
                    (Position::Signature { size, bytes }, behind)
                }
                Position::Signature { .. } => return Err(BadFraming::Head),
                Position::Cr { size: 0 } if first == b'\n' => (Position::Trailers, behind),
                Position::Cr { size } if first == b'\n' => (Position::Chunk(size + CR_LF), behind),
                Position::Cr { .. } => return Err(BadFraming::Head),
                Position::Chunk(left) => {
                    let skipped = left.min(bytes.len() as u64);
                    let rest = &bytes[usize::try_from(skipped).expect("at most a piece")..];
                    match left - skipped {
                        0 => (Position::HEAD, rest),
                        left => (Position::Chunk(left), rest),
                    }
                }
                Position::Trailers => return Ok(()),
            };
        }
        Ok(())
    }

    /// Whether the body may end here.
    ///
    /// # Errors
    /// Its last chunk has not come.
    pub(crate) fn end(&self) -> Result<(), BadFraming> {
        match self.at {
            Position::Trailers => Ok(()),
            _ => Err(BadFraming::Unfinished),
        }
    }

    /// Where the next byte of a size leads.
    fn head(&self, size: u64, digits: u8, byte: u8) -> Result<Position, BadFraming> {
        match char::from(byte).to_digit(16) {
            Some(digit) if digits < DIGITS => Ok(Position::Size {
                size: size * 16 + u64::from(digit),
                digits: digits + 1,
            }),
            None if digits > 0 && byte == b'\r' && self.heads == Heads::Plain => {
                Ok(Position::Cr { size })
            }
            None if digits > 0 && byte == b';' && self.heads == Heads::Signed => {
                Ok(Position::Signature { size, bytes: 0 })
            }
            _ => Err(BadFraming::Head),
        }
    }
}

impl Position {
    const HEAD: Self = Self::Size { size: 0, digits: 0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(heads: Heads, body: &str, piece: usize) -> Result<(), BadFraming> {
        let mut framing = Framing::new(heads);
        body.as_bytes()
            .chunks(piece)
            .try_for_each(|piece| framing.pass(piece))
    }

    /// Only heads are judged, whatever the chunks and trailers hold, and however the body is cut.
    /// Method: bodies with an extension in a head and elsewhere, in pieces of several sizes.
    #[test]
    fn extensions_are_found_in_heads_alone() {
        let good = "3\r\na;b\r\n00000A\r\n;;;;;;;;;;\r\n0\r\nx-amz-checksum-crc32:a;b\r\n\r\n";
        for (body, expected) in [
            ("", Ok(())),
            ("0\r\n\r\n", Ok(())),
            (good, Ok(())),
            ("ffffffff\r\n;;;", Ok(())),
            ("3;chunk-signature=00\r\n", Err(BadFraming::Head)),
            (
                "3\r\nabc\r\n3;chunk-signature=00\r\nabc",
                Err(BadFraming::Head),
            ),
            ("0;chunk-signature=00\r\n\r\n", Err(BadFraming::Head)),
            ("\r\n", Err(BadFraming::Head)),
            ("3\n", Err(BadFraming::Head)),
            ("3\r;", Err(BadFraming::Head)),
            // s3s would read a size out of these.
            ("3x\r\n", Err(BadFraming::Head)),
            ("3 \r\n", Err(BadFraming::Head)),
            ("100000003\r\n", Err(BadFraming::Head)),
        ] {
            for piece in 1..=body.len().max(1) {
                assert_eq!(
                    pass(Heads::Plain, body, piece),
                    expected,
                    "{body:?} by {piece}"
                );
            }
        }
    }

    /// A signed body has a signature in each head, and nothing longer than one.
    /// Method: heads with a signature, without, with an endless one.
    #[test]
    fn signed_heads_bear_a_signature() {
        let signature = ";chunk-signature=".to_owned() + &"a".repeat(64);
        let good = format!("3{signature}\r\nabc\r\n0{signature}\r\n\r\n");
        let endless = format!("3;{}", "a".repeat(1000));
        for (body, expected) in [
            (good.as_str(), Ok(())),
            ("3\r\nabc\r\n", Err(BadFraming::Head)),
            ("3;\r\nabc\r\n", Err(BadFraming::Head)),
            ("3;a\nabc", Err(BadFraming::Head)),
            (endless.as_str(), Err(BadFraming::Head)),
        ] {
            for piece in [1, 2, 5, body.len()] {
                assert_eq!(pass(Heads::Signed, body, piece), expected, "{body:?}");
            }
        }
    }

    /// A body ends behind its last chunk and nowhere else.
    /// Method: a body cut at each byte.
    #[test]
    fn a_body_ends_behind_its_last_chunk() {
        let body = "3\r\nabc\r\n0\r\n";
        for end in 0..=body.len() {
            let mut framing = Framing::new(Heads::Plain);
            framing.pass(&body.as_bytes()[..end]).expect("well-formed");
            assert_eq!(framing.end().is_ok(), end == body.len(), "cut at {end}");
        }
    }
}
