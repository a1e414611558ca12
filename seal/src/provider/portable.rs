//! The `aes-gcm` crate: pure Rust, three to five GB/s a core where AES instructions are.

use super::{NONCE, OpenError, Opener, Provider, RawKey, Sealer, split};
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes256Gcm, KeyInit};
use types::block::SEAL_OVERHEAD;

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
    fn seal_into(&self, associated: &[u8], plain: &[u8], out: &mut Vec<u8>) {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).expect("the system has randomness");
        let start = out.len();
        out.reserve(plain.len() + SEAL_OVERHEAD);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        let tag = self
            .0
            .encrypt_inout_detached(
                (&nonce).into(),
                associated,
                InOutBuf::from(&mut out[start + NONCE..]),
            )
            .expect("the plaintext is short enough");
        out.extend_from_slice(&tag);
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
