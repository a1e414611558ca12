//! Secrets of access keys, as a metadata row keeps them.
//!
//! ```text
//! sealed secret    suite (1) ‖ ring key version (4) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
//! associated data  suite (1) ‖ ring key version (4) ‖ H(user id, key id, label digest) (32)
//! key              HKDF-SHA-256 of the ring key
//! ```
//!
//! The label is in the associated data because it says what the key may read: a row whose label was raised
//! does not open, nor does one that was moved to another user or key. Whether a key is disabled is not: that
//! changes without the secret at hand. The plaintext is the secret's text; nothing here prints it.

use crate::SUITE;
use crate::commit::{self, Purpose};
use crate::key::RingKey;
use crate::provider::{OpenError, Provider};
use bytes::Bytes;
use types::block::SEAL_OVERHEAD;
use types::label::LengthPrefixed;
use types::wire::accounts::KeySecret;
use zeroize::Zeroizing;

const HEAD: usize = 1 + 4;

/// Of an id: what reads well aloud.
const ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Of a secret: none that a shell or a URL takes for something else, but `+`.
const SECRET_ALPHABET: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";

/// A fresh access key: an id of 20 characters and a secret of 40, as long as AWS's are. They hold 90 and
/// 240 random bits.
///
/// # Panics
/// When the system has no randomness to give.
pub fn random_access_key() -> (String, KeySecret) {
    let id = format!("SR{}", random_text::<18>(ID_ALPHABET));
    (id, KeySecret::new(random_text::<40>(SECRET_ALPHABET)))
}

/// `N` characters drawn evenly from an alphabet whose size divides 256.
fn random_text<const N: usize>(alphabet: &[u8]) -> String {
    assert!(
        256 % alphabet.len() == 0,
        "each character is equally likely"
    );
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut()).expect("the system has randomness");
    let mut text = String::with_capacity(N);
    text.extend(
        bytes
            .iter()
            .map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])),
    );
    text
}

/// Why a secret does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Shorter than any sealed secret.
    #[error("{length} bytes are no sealed secret")]
    Malformed {
        /// How long it is.
        length: usize,
    },
    /// Written by a build that is too new.
    #[error("cipher suite {0} is not known to this build (it knows {SUITE})")]
    Suite(u8),
    /// Sealed under another ring key, which must be fetched first.
    #[error("sealed under ring key {sealed}, and {given} was given")]
    Version {
        /// What the row says.
        sealed: u32,
        /// What it was tried with.
        given: u32,
    },
    /// Damaged, another key's, or under another ring key.
    #[error("the secret does not open")]
    Refused(#[from] OpenError),
}

/// Whose secret it is.
#[derive(Clone, Copy, Debug)]
pub struct SecretContext<'a> {
    /// The user's id (not the name, which another user may have later).
    pub user: &'a str,
    /// The access key's id.
    pub key: &'a str,
    /// Digest of the label that the key works at.
    pub label_digest: [u8; 32],
}

/// The key for the secrets of access keys under one ring key.
pub struct AccountKey {
    version: u32,
    raw: Zeroizing<[u8; 32]>,
}

impl AccountKey {
    /// Derives it.
    pub fn derive(ring: &RingKey) -> Self {
        Self {
            version: ring.version(),
            raw: commit::derive(ring.expose(), None, Purpose::Account),
        }
    }

    /// The ring key's version.
    pub fn version(&self) -> u32 {
        self.version
    }

    fn associated(&self, context: &SecretContext<'_>) -> Vec<u8> {
        let mut hash = LengthPrefixed::default();
        hash.field(context.user.as_bytes());
        hash.field(context.key.as_bytes());
        hash.field(&context.label_digest);
        let mut bytes = Vec::with_capacity(HEAD + 32);
        bytes.push(SUITE);
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&hash.finish());
        bytes
    }
}

/// Seals an access key's secret for its row.
pub fn seal_secret(
    provider: &dyn Provider,
    key: &AccountKey,
    context: &SecretContext<'_>,
    secret: &[u8],
) -> Bytes {
    let mut sealed = Vec::with_capacity(HEAD + secret.len() + SEAL_OVERHEAD);
    sealed.push(SUITE);
    sealed.extend_from_slice(&key.version.to_be_bytes());
    provider.seal_into(&key.raw, &key.associated(context), secret, &mut sealed);
    sealed.into()
}

/// Opens an access key's secret.
///
/// # Errors
/// When it is not that key's secret as it was sealed, or was sealed under another ring key.
pub fn open_secret(
    provider: &dyn Provider,
    key: &AccountKey,
    context: &SecretContext<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let (version, body) = parse(sealed)?;
    if version != key.version {
        return Err(SecretError::Version {
            sealed: version,
            given: key.version,
        });
    }
    let secret = provider.open(&key.raw, &key.associated(context), body)?;
    Ok(Zeroizing::new(secret))
}

/// The version of the ring key under which a secret was sealed.
///
/// # Errors
/// When it is no sealed secret of this build's suite.
pub fn sealing_version(sealed: &[u8]) -> Result<u32, SecretError> {
    parse(sealed).map(|(version, _)| version)
}

fn parse(sealed: &[u8]) -> Result<(u32, &[u8]), SecretError> {
    let malformed = SecretError::Malformed {
        length: sealed.len(),
    };
    let (&suite, rest) = sealed.split_first().ok_or(malformed)?;
    if suite != SUITE {
        return Err(SecretError::Suite(suite));
    }
    let (version, body) = rest.split_first_chunk().ok_or(malformed)?;
    Ok((u32::from_be_bytes(*version), body))
}
