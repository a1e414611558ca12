//! AES-256-GCM behind one small trait, so that the module below it can be exchanged.
//!
//! A provider makes a *sealer* or an *opener* for one key; whoever seals many things under one key
//! keeps it, since setting a key up costs about as much as sealing a few KiB.

mod aws_lc;
mod portable;

use std::fmt;
use std::sync::Arc;
use types::block::SEAL_OVERHEAD;

/// Bytes of a nonce, which comes first.
pub const NONCE: usize = 12;
/// Bytes of a tag, which comes last.
pub const TAG: usize = 16;

const _: () = assert!(NONCE + TAG == SEAL_OVERHEAD);

/// A 256-bit key as a cipher takes it.
pub type RawKey = [u8; 32];

/// Why something sealed does not open. The bytes are damaged, belong elsewhere or were sealed under
/// another key: the same bytes never open later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Not even a nonce and a tag.
    #[error("{length} bytes are too few to hold a nonce and a tag")]
    Short {
        /// How many there were.
        length: usize,
    },
    /// The tag is not that of these bytes, this key and this associated data.
    #[error("the tag does not match: damaged, out of place, or under another key")]
    Refused,
}

/// Seals under one key.
pub trait Sealer: Send + Sync {
    /// Turns `room (12) ‖ plaintext ‖ room (16)` into `nonce ‖ ciphertext ‖ tag`. Who gathers plaintext
    /// where it is to be sealed saves a copy, which costs about half of what sealing does.
    ///
    /// # Panics
    /// When there is no room for nonce and tag, when the system has no randomness to give, or when the
    /// plaintext is longer than the 64 GiB of the mode.
    fn seal_in_place(&self, associated: &[u8], room: &mut [u8]);

    /// Appends `nonce ‖ ciphertext ‖ tag` of `plain` to `out`: `plain.len() + SEAL_OVERHEAD` bytes.
    ///
    /// # Panics
    /// As [`Sealer::seal_in_place`].
    fn seal_into(&self, associated: &[u8], plain: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.reserve(plain.len() + SEAL_OVERHEAD);
        out.extend_from_slice(&[0; NONCE]);
        out.extend_from_slice(plain);
        out.extend_from_slice(&[0; TAG]);
        self.seal_in_place(associated, &mut out[start..]);
    }
}

/// Opens under one key.
pub trait Opener: Send + Sync {
    /// Opens `nonce ‖ ciphertext ‖ tag` into `plain`, which is exactly as long as the plaintext
    /// ([`plain_length`]).
    ///
    /// # Errors
    /// When it does not open. `plain` holds zeros then.
    ///
    /// # Panics
    /// When `plain` has another length.
    fn open_into(
        &self,
        associated: &[u8],
        sealed: &[u8],
        plain: &mut [u8],
    ) -> Result<(), OpenError>;

    /// Opens into fresh memory.
    ///
    /// # Errors
    /// When it does not open.
    fn open(&self, associated: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut plain = vec![0; plain_length(sealed)?];
        self.open_into(associated, sealed, &mut plain)?;
        Ok(plain)
    }
}

/// An implementation of AES-256-GCM.
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// Its name, as configuration and logs have it.
    fn name(&self) -> &'static str;
    /// Sets a key up for sealing.
    fn sealer(&self, key: &RawKey) -> Box<dyn Sealer>;
    /// Sets a key up for opening.
    fn opener(&self, key: &RawKey) -> Box<dyn Opener>;

    /// Seals one thing; see [`Sealer::seal_into`].
    fn seal_into(&self, key: &RawKey, associated: &[u8], plain: &[u8], out: &mut Vec<u8>) {
        self.sealer(key).seal_into(associated, plain, out);
    }

    /// Opens one thing.
    ///
    /// # Errors
    /// When it does not open.
    fn open(&self, key: &RawKey, associated: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.opener(key).open(associated, sealed)
    }
}

/// AWS-LC: the fastest, and the module of a FIPS build.
pub fn aws_lc() -> Arc<dyn Provider> {
    Arc::new(aws_lc::AwsLc)
}

/// Pure Rust, for where AWS-LC does not build.
pub fn portable() -> Arc<dyn Provider> {
    Arc::new(portable::Portable)
}

/// What is used unless configured otherwise: AWS-LC.
pub fn default() -> Arc<dyn Provider> {
    aws_lc()
}

/// Length of what is sealed in so many bytes.
///
/// # Errors
/// When they cannot hold a nonce and a tag.
pub fn plain_length(sealed: &[u8]) -> Result<usize, OpenError> {
    sealed
        .len()
        .checked_sub(SEAL_OVERHEAD)
        .ok_or(OpenError::Short {
            length: sealed.len(),
        })
}

/// What will be `nonce ‖ ciphertext ‖ tag`.
struct Room<'a> {
    nonce: &'a mut [u8; NONCE],
    text: &'a mut [u8],
    tag: &'a mut [u8; TAG],
}

impl<'a> Room<'a> {
    fn of(room: &'a mut [u8]) -> Self {
        let (nonce, rest) = room.split_first_chunk_mut().expect("room for a nonce");
        let (text, tag) = rest.split_last_chunk_mut().expect("room for a tag");
        Self { nonce, text, tag }
    }
}

/// What `nonce ‖ ciphertext ‖ tag` is made of.
struct Parts<'a> {
    nonce: &'a [u8; NONCE],
    ciphertext: &'a [u8],
    tag: &'a [u8; TAG],
}

fn split(sealed: &[u8]) -> Result<Parts<'_>, OpenError> {
    let short = OpenError::Short {
        length: sealed.len(),
    };
    let (nonce, rest) = sealed.split_first_chunk().ok_or(short)?;
    let (ciphertext, tag) = rest.split_last_chunk().ok_or(short)?;
    Ok(Parts {
        nonce,
        ciphertext,
        tag,
    })
}
