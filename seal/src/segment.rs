//! Segments: 64 KiB of a blob's plaintext, each sealed on its own under the blob's data key.
//!
//! ```text
//! sealed           nonce (12) ‖ ciphertext ‖ tag (16)
//! associated data  suite (1) ‖ blob id (8) ‖ segment index in the blob (8) ‖ last (1)
//! ```
//!
//! A segment that was swapped, reordered, cut or replayed from another blob does not open, and a blob
//! whose last segment is missing shows it: the one before does not open as the last. Chunks, groups and
//! codes are *not* in the associated data, so that who holds no key can re-encode, move and replicate.

use crate::SUITE;
use crate::provider::{OpenError, Opener, Provider, Sealer};
use bytes::Bytes;
use types::BlobId;
use types::block::{SEAL_OVERHEAD, SEGMENT};
use types::secret::DataKey;

/// Bytes of associated data.
const ASSOCIATED: usize = 1 + 8 + 8 + 1;

/// Whether a segment is the last of its blob. Only the last may be short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Last {
    /// Others follow.
    No,
    /// The blob ends with it.
    Yes,
}

impl From<bool> for Last {
    fn from(last: bool) -> Self {
        if last { Self::Yes } else { Self::No }
    }
}

/// Which segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentId {
    /// Of which blob.
    pub blob: BlobId,
    /// Counted from the blob's first.
    pub index: u64,
    /// Whether the blob ends with it.
    pub last: Last,
}

impl SegmentId {
    fn associated(self) -> [u8; ASSOCIATED] {
        let mut bytes = [0; ASSOCIATED];
        bytes[0] = SUITE;
        bytes[1..9].copy_from_slice(&self.blob.to_be_bytes());
        bytes[9..17].copy_from_slice(&self.index.to_be_bytes());
        bytes[17] = u8::from(self.last == Last::Yes);
        bytes
    }
}

/// Seals the segments of one blob.
pub struct SegmentSealer {
    blob: BlobId,
    sealer: Box<dyn Sealer>,
}

impl SegmentSealer {
    /// Sets the blob's key up.
    pub fn new(provider: &dyn Provider, blob: BlobId, key: &DataKey) -> Self {
        Self {
            blob,
            sealer: provider.sealer(key.expose()),
        }
    }

    /// Appends the sealed segment to `out`: `plain.len() + SEAL_OVERHEAD` bytes.
    ///
    /// # Panics
    /// When `plain` is longer than a segment, or shorter and not the last.
    pub fn seal(&self, index: u64, last: Last, plain: &[u8], out: &mut Vec<u8>) {
        let associated = self.associated(index, last, plain.len());
        self.sealer.seal_into(&associated, plain, out);
    }

    /// Turns `room (12) ‖ plaintext ‖ room (16)` into the sealed segment, without a copy.
    ///
    /// # Panics
    /// When there is no such room, or the plaintext is longer than a segment, or shorter and not the
    /// last.
    pub fn seal_in_place(&self, index: u64, last: Last, room: &mut [u8]) {
        let plain = room.len().checked_sub(SEAL_OVERHEAD);
        let plain = plain.expect("room for nonce and tag");
        let associated = self.associated(index, last, plain);
        self.sealer.seal_in_place(&associated, room);
    }

    fn associated(&self, index: u64, last: Last, plain: usize) -> [u8; ASSOCIATED] {
        assert!(
            plain == SEGMENT || (last == Last::Yes && plain < SEGMENT),
            "{plain} bytes are no segment"
        );
        let blob = self.blob;
        SegmentId { blob, index, last }.associated()
    }
}

/// Opens the segments of one blob.
pub struct SegmentOpener {
    blob: BlobId,
    opener: Box<dyn Opener>,
}

impl SegmentOpener {
    /// Sets the blob's key up.
    pub fn new(provider: &dyn Provider, blob: BlobId, key: &DataKey) -> Self {
        Self {
            blob,
            opener: provider.opener(key.expose()),
        }
    }

    /// Opens a segment.
    ///
    /// # Errors
    /// When it is not that segment of that blob as it was sealed.
    pub fn open(&self, index: u64, last: Last, sealed: &[u8]) -> Result<Bytes, OpenError> {
        let blob = self.blob;
        let id = SegmentId { blob, index, last };
        self.opener.open(&id.associated(), sealed).map(Bytes::from)
    }

    /// Opens a segment into `plain`, which is exactly as long as its plaintext.
    ///
    /// # Errors
    /// When it is not that segment of that blob as it was sealed; `plain` holds zeros then.
    ///
    /// # Panics
    /// When `plain` has another length than the plaintext.
    pub fn open_into(
        &self,
        index: u64,
        last: Last,
        sealed: &[u8],
        plain: &mut [u8],
    ) -> Result<(), OpenError> {
        let blob = self.blob;
        let id = SegmentId { blob, index, last };
        self.opener.open_into(&id.associated(), sealed, plain)
    }
}

/// Seals a single segment, such as an inline object's. Who has several keeps a [`SegmentSealer`].
pub fn seal(
    provider: &dyn Provider,
    key: &DataKey,
    id: SegmentId,
    plain: &[u8],
    out: &mut Vec<u8>,
) {
    SegmentSealer::new(provider, id.blob, key).seal(id.index, id.last, plain, out);
}

/// Opens a single segment. Who has several keeps a [`SegmentOpener`].
///
/// # Errors
/// When it is not that segment of that blob as it was sealed.
pub fn open(
    provider: &dyn Provider,
    key: &DataKey,
    id: SegmentId,
    sealed: &[u8],
) -> Result<Bytes, OpenError> {
    SegmentOpener::new(provider, id.blob, key).open(id.index, id.last, sealed)
}
