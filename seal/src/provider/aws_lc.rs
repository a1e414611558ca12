//! AWS-LC through `aws-lc-rs`.
//!
//! It seals with a `RandomizedNonceKey`, whose nonce is drawn inside the module: the one way of sealing
//! that a FIPS build reports as approved. It opens from shared bytes, without copying them first.

use super::{OpenError, Opener, Provider, RawKey, Room, Sealer, split};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, RandomizedNonceKey, UnboundKey};

#[derive(Debug)]
pub(super) struct AwsLc;

impl Provider for AwsLc {
    fn name(&self) -> &'static str {
        "aws-lc"
    }

    fn sealer(&self, key: &RawKey) -> Box<dyn Sealer> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, key).expect("a key of 256 bits");
        Box::new(AwsLcSealer(key))
    }

    fn opener(&self, key: &RawKey) -> Box<dyn Opener> {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("a key of 256 bits");
        Box::new(AwsLcOpener(LessSafeKey::new(key)))
    }
}

struct AwsLcSealer(RandomizedNonceKey);

impl Sealer for AwsLcSealer {
    fn seal_in_place(&self, associated: &[u8], room: &mut [u8]) {
        let room = Room::of(room);
        let (nonce, tag) = self
            .0
            .seal_in_place_separate_tag(Aad::from(associated), room.text)
            .expect("the module has randomness and the plaintext is short enough");
        room.nonce.copy_from_slice(nonce.as_ref());
        room.tag.copy_from_slice(tag.as_ref());
    }
}

struct AwsLcOpener(LessSafeKey);

impl Opener for AwsLcOpener {
    fn open_into(
        &self,
        associated: &[u8],
        sealed: &[u8],
        plain: &mut [u8],
    ) -> Result<(), OpenError> {
        let parts = split(sealed)?;
        assert_eq!(
            plain.len(),
            parts.ciphertext.len(),
            "room for the plaintext"
        );
        self.0
            .open_separate_gather(
                Nonce::assume_unique_for_key(*parts.nonce),
                Aad::from(associated),
                parts.ciphertext,
                parts.tag,
                plain,
            )
            .map_err(|_| {
                plain.fill(0);
                OpenError::Refused
            })
    }
}
