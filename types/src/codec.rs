//! How structured values are stored and sent: one version byte, then MessagePack with field names.
//!
//! Field names make a value readable by a build that has learnt new fields (`#[serde(default)]`) and
//! by one that has not. The version byte is for the change that names cannot express.

use serde::{Serialize, de::DeserializeOwned};

/// The only version so far.
pub const VERSION: u8 = 1;

/// Why bytes are not the value they should be.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Nothing at all, not even a version.
    #[error("the encoding is empty")]
    Empty,
    /// Written by a build that is too new.
    #[error("encoding version {0} is not known to this build (it knows {VERSION})")]
    Version(u8),
    /// Not MessagePack of this type.
    #[error("malformed encoding")]
    Malformed(#[from] rmp_serde::decode::Error),
}

/// Whether a value is its type's default. For `skip_serializing_if` on a field that was added later: what
/// does not use it encodes as it did before there was such a field.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Encodes a value.
///
/// # Panics
/// When the type cannot be serialised at all, which its golden test would have shown.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    rmp_serde::encode::write_named(&mut bytes, value).expect("the type serialises");
    bytes
}

/// Decodes what `encode` wrote.
///
/// # Errors
/// When the bytes are of another version or are not such a value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    match bytes.split_first() {
        None => Err(DecodeError::Empty),
        Some((&VERSION, body)) => Ok(rmp_serde::from_slice(body)?),
        Some((&version, _)) => Err(DecodeError::Version(version)),
    }
}
