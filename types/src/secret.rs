//! Key material on its way through memory: wiped when dropped, never printed.

use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A blob's 256-bit data key (DEK). On a wire it travels over mutual TLS only; it is stored wrapped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DataKey(#[serde(with = "serde_bytes")] [u8; 32]);

impl DataKey {
    /// Wraps 32 random bytes.
    pub fn new(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The key itself, for a cipher.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}
