//! Frames: pieces of a log or snapshot file, each sealed on its own under the file's key.
//!
//! ```text
//! sealed           nonce (12) ‖ ciphertext ‖ tag (16)
//! associated data  file id (16) ‖ frame number (8)
//! key              HKDF-SHA-256 of the storage key, salted with the 32 random bytes in the file's header
//! ```
//!
//! A frame moved within its file or into another does not open. The random salt gives each file a key
//! of its own, so that a file written anew under an old name shares nothing with its predecessor. That
//! a file was cut between two frames, its format must show by other means.

use crate::commit::{self, Purpose};
use crate::key::StorageKey;
use crate::provider::{OpenError, Opener, Provider, Sealer};

/// Random bytes in a file's header.
pub const SALT: usize = 32;

/// 16 bytes that say which file this is, as its header has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId(pub [u8; 16]);

/// The key of one file, set up.
pub struct FrameKey {
    file: FileId,
    sealer: Box<dyn Sealer>,
    opener: Box<dyn Opener>,
}

impl FrameKey {
    /// Derives the key of the file with that id and salt.
    pub fn derive(
        provider: &dyn Provider,
        storage: &StorageKey,
        file: FileId,
        salt: &[u8; SALT],
    ) -> Self {
        let key = commit::derive(storage.expose(), Some(salt), Purpose::Frame);
        Self {
            file,
            sealer: provider.sealer(&key),
            opener: provider.opener(&key),
        }
    }

    /// Appends the sealed frame to `out`: `plain.len() + SEAL_OVERHEAD` bytes.
    pub fn seal(&self, frame: u64, plain: &[u8], out: &mut Vec<u8>) {
        self.sealer.seal_into(&self.associated(frame), plain, out);
    }

    /// Opens a frame.
    ///
    /// # Errors
    /// When it is not that frame of that file as it was sealed.
    pub fn open(&self, frame: u64, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.opener.open(&self.associated(frame), sealed)
    }

    fn associated(&self, frame: u64) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&self.file.0);
        bytes[16..].copy_from_slice(&frame.to_be_bytes());
        bytes
    }
}

/// A fresh salt for a file about to be written.
///
/// # Panics
/// When the system has no randomness to give.
pub fn random_salt() -> [u8; SALT] {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).expect("the system has randomness");
    salt
}
