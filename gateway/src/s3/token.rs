//! Continuation tokens: where a listing goes on.
//!
//! ```text
//! base64url( version 1 | the first 8 bytes of SHA-256 over what is listed and the last entry | last entry )
//! ```
//!
//! Opaque to clients, and nothing a gateway would have to remember: any of them can go on. A token goes
//! with its bucket, prefix and delimiter; with others, or altered, it is refused and not answered with some
//! other page. It keeps no secret: whoever may list may begin anywhere.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::S3Result;
use s3s::crypto::{Checksum as _, Sha256};
use s3s::s3_error;
use types::BucketId;

const VERSION: u8 = 1;
/// Bytes of the hash that are kept.
const PROOF: usize = 8;

/// Makes and opens the tokens of one listing.
pub(super) struct Token {
    /// What is listed, unambiguously.
    listed: Vec<u8>,
}

impl Token {
    /// Of the listing of a bucket's keys under `prefix`.
    pub(super) fn of(bucket: BucketId, prefix: Option<&str>, delimiter: Option<&str>) -> Self {
        let mut listed = bucket.get().to_be_bytes().to_vec();
        for text in [prefix, delimiter] {
            let text = text.unwrap_or_default();
            listed.extend((text.len() as u64).to_be_bytes());
            listed.extend(text.as_bytes());
        }
        Self { listed }
    }

    /// The token that goes on behind `last`.
    pub(super) fn write(&self, last: &str) -> String {
        let proof = self.proof(last);
        URL_SAFE_NO_PAD.encode([&[VERSION], &proof[..], last.as_bytes()].concat())
    }

    /// The entry behind which a token goes on.
    ///
    /// # Errors
    /// It is no token of this listing.
    pub(super) fn open(&self, token: &str) -> S3Result<String> {
        let bytes = URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
        let last = match bytes.split_first() {
            Some((&VERSION, rest)) if rest.len() > PROOF => {
                let (proof, last) = rest.split_at(PROOF);
                let last = std::str::from_utf8(last).ok();
                last.filter(|last| self.proof(last) == proof)
            }
            _ => None,
        };
        last.map(str::to_owned).ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "The continuation token provided is incorrect."
            )
        })
    }

    fn proof(&self, last: &str) -> [u8; PROOF] {
        let mut hash = Sha256::new();
        hash.update(&self.listed);
        hash.update(last.as_bytes());
        let mut kept = [0; PROOF];
        kept.copy_from_slice(&hash.finalize()[..PROOF]);
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(bucket: u64, prefix: &str, delimiter: &str) -> Token {
        Token::of(BucketId::new(bucket), Some(prefix), Some(delimiter))
    }

    /// A token leads back to exactly where it was made.
    /// Method: entries of all kinds of letters.
    #[test]
    fn tokens_lead_back() {
        for last in ["a\u{1}/ä+%2F", "🗄", "x", "\r\n"] {
            let token = listing(1, "a", "/").write(last);
            assert_eq!(listing(1, "a", "/").open(&token).expect("ours"), last);
        }
    }

    /// What is no token of this listing is refused.
    /// Method: tokens of others, tokens of which one letter was changed or the end was cut, and none.
    #[test]
    fn other_tokens_are_refused() {
        let token = listing(1, "ab", "c").write("abx");
        for other in [
            listing(2, "ab", "c"),
            listing(1, "a", "bc"),
            listing(1, "abc", ""),
        ] {
            assert!(other.open(&token).is_err());
        }
        let ours = listing(1, "ab", "c");
        for at in 0..token.len() {
            assert!(ours.open(&token[..at]).is_err(), "cut at {at}");
            let mut altered = token.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).expect("ASCII");
            assert!(ours.open(&altered).is_err(), "{altered}");
        }
        for none in ["", "?", "a b", "_w", "AQ"] {
            assert!(ours.open(none).is_err(), "{none}");
        }
    }
}
