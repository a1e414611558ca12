//! HKDF-SHA-256 (RFC 5869): keys derived from keys, and commitments to keys.
//!
//! AES-GCM does not bind a ciphertext to one key: two keys can be made under which the same wrap opens
//! to different secrets. A commitment beside the wrap says which secret it is, and gives nothing of it
//! away. Each purpose has its own `info`, so that no derived value serves two.

use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a commitment.
pub(crate) const COMMITMENT: usize = 32;

/// What a derived value is for. The texts are part of the stored formats.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Commitment to a wrapped secret.
    Commitment,
    /// Key for a bucket's rows.
    Row,
    /// Key for the MACs of a bucket's manifest rows.
    Manifest,
    /// Key of one log or snapshot file.
    Frame,
    /// Key for the secrets of access keys.
    Account,
    /// Key of backups of the metadata.
    Backup,
}

impl Purpose {
    fn info(self) -> &'static [u8] {
        match self {
            Self::Commitment => b"strongroom wrap commitment v1",
            Self::Row => b"strongroom row key v1",
            Self::Manifest => b"strongroom manifest key v1",
            Self::Frame => b"strongroom frame key v1",
            Self::Account => b"strongroom access key secrets v1",
            Self::Backup => b"strongroom metadata backup v1",
        }
    }
}

/// Derives 32 bytes from secret input. No salt is RFC 5869's: as many zeros as the hash has bytes.
pub(crate) fn derive(secret: &[u8], salt: Option<&[u8]>, purpose: Purpose) -> Zeroizing<[u8; 32]> {
    let mut derived = Zeroizing::new([0; 32]);
    let (mut extracted, hkdf) = Hkdf::<Sha256>::extract(salt, secret);
    extracted.as_mut_slice().zeroize();
    hkdf.expand(purpose.info(), derived.as_mut())
        .expect("32 bytes are one block of SHA-256");
    derived
}

/// The commitment to a secret.
pub(crate) fn commitment(secret: &[u8]) -> [u8; COMMITMENT] {
    *derive(secret, None, Purpose::Commitment)
}

/// Whether a commitment is to that secret, in time that does not depend on either.
pub(crate) fn matches(commitment_found: &[u8], secret: &[u8]) -> bool {
    commitment(secret).ct_eq(commitment_found).into()
}
