//! The framing of a body in aws-chunks that carry no signatures.
//!
//! ```text
//! body  = { size in hexadecimal  CR LF  size bytes  CR LF }  "0" CR LF  trailers
//! ```
//!
//! s3s passes the bytes of such a chunk on as they come. But where a chunk's head bears a signature,
//! which no client sends in this mode, s3s holds the whole chunk back to verify it, outside every
//! budget. So the heads are read here first, and any that holds more than its size is refused: this
//! reading is the stricter one, so that s3s cannot see a head where none is seen here.

/// What ends a chunk.
const CR_LF: u64 = 2;
/// s3s reads sizes of 32 bits.
const DIGITS: u8 = 8;

/// The head of a chunk holds more, or less, than its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the head of an unsigned chunk is not its size alone")]
pub(crate) struct BadHead;

/// Follows the framing of one body through its pieces, however it is cut. Holds no bytes.
pub(crate) struct Framing(Position);

#[derive(Clone, Copy)]
enum Position {
    /// In a chunk's head, behind so many digits of its size.
    Size { size: u64, digits: u8 },
    /// Behind the CR of a chunk's head.
    Cr { size: u64 },
    /// So many bytes before the next head.
    Chunk(u64),
    /// In the trailers.
    Trailers,
}

impl Framing {
    /// At the beginning of a body.
    pub(crate) fn new() -> Self {
        Self(Position::HEAD)
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    /// A chunk's head is not its size alone.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) -> Result<(), BadHead> {
        while let Some((&first, behind)) = bytes.split_first() {
            (self.0, bytes) = match self.0 {
                Position::Size { size, digits } => (head(size, digits, first)?, behind),
                Position::Cr { size: 0 } if first == b'\n' => (Position::Trailers, behind),
                Position::Cr { size } if first == b'\n' => (Position::Chunk(size + CR_LF), behind),
                Position::Cr { .. } => return Err(BadHead),
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
}

impl Position {
    const HEAD: Self = Self::Size { size: 0, digits: 0 };
}

/// Where the next byte of a size leads.
fn head(size: u64, digits: u8, byte: u8) -> Result<Position, BadHead> {
    match char::from(byte).to_digit(16) {
        Some(digit) if digits < DIGITS => Ok(Position::Size {
            size: size * 16 + u64::from(digit),
            digits: digits + 1,
        }),
        None if byte == b'\r' && digits > 0 => Ok(Position::Cr { size }),
        _ => Err(BadHead),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(body: &str, piece: usize) -> Result<(), BadHead> {
        let mut framing = Framing::new();
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
            ("3;chunk-signature=00\r\n", Err(BadHead)),
            ("3\r\nabc\r\n3;chunk-signature=00\r\nabc", Err(BadHead)),
            ("0;chunk-signature=00\r\n\r\n", Err(BadHead)),
            ("\r\n", Err(BadHead)),
            ("3\n", Err(BadHead)),
            ("3\r;", Err(BadHead)),
            // s3s would read a size out of these.
            ("3x\r\n", Err(BadHead)),
            ("3 \r\n", Err(BadHead)),
            ("100000003\r\n", Err(BadHead)),
        ] {
            for piece in 1..=body.len().max(1) {
                assert_eq!(pass(body, piece), expected, "{body:?} by {piece}");
            }
        }
    }
}
