//! The `aes-gcm` crate: pure Rust, three to five GB/s a core where AES instructions are.

use super::{OpenError, Opener, Provider, RawKey, Room, Sealer, split};
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes256Gcm, KeyInit};

#[derive(Debug)]
pub(super) struct Portable;

impl Provider for Portable {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn sealer(&self, key: &RawKey) -> Box<dyn Sealer> {
        Box::new(PortableKey(Aes256Gcm::new(key.into())))
    }

    fn opener(&self, key: &RawKey) -> Box<dyn Opener> {
        Box::new(PortableKey(Aes256Gcm::new(key.into())))
    }
}

struct PortableKey(Aes256Gcm);

impl Sealer for PortableKey {
    fn seal_in_place(&self, associated: &[u8], room: &mut [u8]) {
        let room = Room::of(room);
        getrandom::fill(room.nonce).expect("the system has randomness");
        let tag = self
            .0
            .encrypt_inout_detached((&*room.nonce).into(), associated, InOutBuf::from(room.text))
            .expect("the plaintext is short enough");
        room.tag.copy_from_slice(&tag);
    }
}

impl Opener for PortableKey {
    fn open_into(
        &self,
        associated: &[u8],
        sealed: &[u8],
        plain: &mut [u8],
    ) -> Result<(), OpenError> {
        let parts = split(sealed)?;
        let buffers = InOutBuf::new(parts.ciphertext, &mut *plain).expect("room for the plaintext");
        self.0
            .decrypt_inout_detached(parts.nonce.into(), associated, buffers, parts.tag.into())
            .map_err(|_| {
                plain.fill(0);
                OpenError::Refused
            })
    }
}
