//! The MAC of a manifest row: which blobs a completed multipart object is made of, in which order.
//!
//! ```text
//! stored   suite (1) ‖ KEK version (4) ‖ HMAC-SHA-256 (32) under a key derived from the KEK
//! over     suite (1) ‖ KEK version (4) ‖ H(bucket id, key, version id) (32)
//!          ‖ first offset (8) ‖ total length (8) ‖ last row (1)
//!          ‖ for each part: number (4) ‖ blob (8) ‖ offset in the blob (8) ‖ end in the object (8)
//! ```
//!
//! A reference binds a data key to its place; the MAC binds the places to one another. Parts that were
//! left out, repeated, reordered or taken from another object or version do not verify, and neither
//! does a list of rows that was cut short. A row is not secret: it has ids and offsets alone.

use crate::SUITE;
use crate::commit::{self, Purpose};
use crate::key::Kek;
use crate::wrap::object_digest;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use types::{BlobId, BucketId, ByteCount, ByteOffset, ObjectKey, VersionId};
use zeroize::Zeroizing;

/// Parts in one manifest row, at most.
pub const ROW_PARTS: usize = 256;

/// Bytes of a stored MAC.
pub const STORED: usize = 1 + 4 + 32;

/// One part as a row has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestPart {
    /// Its number.
    pub number: u32,
    /// Whose bytes.
    pub blob: BlobId,
    /// Where in the blob they begin.
    pub blob_offset: ByteOffset,
    /// Where in the object they end.
    pub object_end: ByteOffset,
}

/// What a MAC is over.
#[derive(Clone, Debug)]
pub struct ManifestRow<'a> {
    /// The bucket.
    pub bucket: BucketId,
    /// The object's key.
    pub key: &'a ObjectKey,
    /// The version.
    pub version: VersionId,
    /// Where in the object the row's first part begins.
    pub first_offset: ByteOffset,
    /// Length of the whole object.
    pub total: ByteCount,
    /// Whether the object ends with this row.
    pub last: bool,
    /// The parts, in order; at most [`ROW_PARTS`].
    pub parts: &'a [ManifestPart],
}

/// Why a row is not what it was. Only `Version` is cured by another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not as long as a MAC is.
    #[error("{length} bytes are no manifest MAC")]
    Malformed {
        /// How long it is.
        length: usize,
    },
    /// Made by a build that is too new.
    #[error("cipher suite {0} is not known to this build (it knows {SUITE})")]
    Suite(u8),
    /// Made under another version of the KEK, which must be fetched first.
    #[error("made under KEK version {made}, and version {given} was given")]
    Version {
        /// What the MAC says.
        made: u32,
        /// What it was tried with.
        given: u32,
    },
    /// The row was edited, or belongs elsewhere.
    #[error("the manifest row does not match its MAC")]
    Refused,
}

/// The version of the KEK under which a MAC was made.
///
/// # Errors
/// When it is no MAC of this build's suite.
pub fn kek_version(stored: &[u8]) -> Result<u32, ManifestError> {
    parse(stored).map(|(version, _)| version)
}

fn parse(stored: &[u8]) -> Result<(u32, &[u8]), ManifestError> {
    let malformed = ManifestError::Malformed {
        length: stored.len(),
    };
    let (&suite, rest) = stored.split_first().ok_or(malformed)?;
    if suite != SUITE {
        return Err(ManifestError::Suite(suite));
    }
    let (version, mac) = rest.split_first_chunk().ok_or(malformed)?;
    Ok((u32::from_be_bytes(*version), mac))
}

/// The key for a bucket's manifest rows under one KEK.
pub struct ManifestKey {
    version: u32,
    raw: Zeroizing<[u8; 32]>,
}

impl ManifestKey {
    /// Derives it.
    pub fn derive(kek: &Kek) -> Self {
        Self {
            version: kek.version(),
            raw: commit::derive(kek.expose(), None, Purpose::Manifest),
        }
    }

    /// The MAC to store with a row.
    ///
    /// # Panics
    /// When the row has more than [`ROW_PARTS`] parts.
    pub fn mac(&self, row: &ManifestRow<'_>) -> [u8; STORED] {
        let mut stored = [0; STORED];
        stored[0] = SUITE;
        stored[1..5].copy_from_slice(&self.version.to_be_bytes());
        let mac = self.over(row).finalize().into_bytes();
        stored[5..].copy_from_slice(&mac);
        stored
    }

    /// Checks a row against its stored MAC, in time that does not depend on where they differ.
    ///
    /// # Errors
    /// When the row is not as it was, or the MAC is of another KEK.
    ///
    /// # Panics
    /// When the row has more than [`ROW_PARTS`] parts.
    pub fn verify(&self, row: &ManifestRow<'_>, stored: &[u8]) -> Result<(), ManifestError> {
        let (made, mac) = parse(stored)?;
        if made != self.version {
            let given = self.version;
            return Err(ManifestError::Version { made, given });
        }
        self.over(row)
            .verify_slice(mac)
            .map_err(|_| ManifestError::Refused)
    }

    fn over(&self, row: &ManifestRow<'_>) -> Hmac<Sha256> {
        assert!(row.parts.len() <= ROW_PARTS, "{} parts", row.parts.len());
        let mut mac = Hmac::<Sha256>::new_from_slice(self.raw.as_ref()).expect("any key will do");
        mac.update(&[SUITE]);
        mac.update(&self.version.to_be_bytes());
        mac.update(&object_digest(row.bucket, row.key, row.version));
        mac.update(&row.first_offset.get().to_be_bytes());
        mac.update(&row.total.get().to_be_bytes());
        mac.update(&[u8::from(row.last)]);
        for part in row.parts {
            mac.update(&part.number.to_be_bytes());
            mac.update(&part.blob.to_be_bytes());
            mac.update(&part.blob_offset.get().to_be_bytes());
            mac.update(&part.object_end.get().to_be_bytes());
        }
        mac
    }
}
