//! MD5, which an ETag is: AWS-LC's, in assembly.
//!
//! It is one chain of dependent steps, so it bounds how fast one stream is taken in; the portable one of the
//! `md-5` crate gives 0.74 GB/s where this gives 0.93. `aws-lc-rs` leaves MD5 out, since it protects nothing;
//! here it protects nothing either.

#![allow(unsafe_code)]

use aws_lc_sys::{MD5_CTX, MD5_Final, MD5_Init, MD5_Update};
use std::mem::MaybeUninit;

/// The MD5 of what it has taken.
pub(crate) struct Md5(MD5_CTX);

impl Md5 {
    /// Of no bytes yet.
    pub(crate) fn new() -> Self {
        let mut context = MaybeUninit::uninit();
        // SAFETY: `MD5_Init` writes every field of the context, and cannot fail.
        let context = unsafe {
            MD5_Init(context.as_mut_ptr());
            context.assume_init()
        };
        Self(context)
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        // SAFETY: the context was initialised, and `bytes` is as long as it says. It cannot fail.
        unsafe { MD5_Update(&raw mut self.0, bytes.as_ptr().cast(), bytes.len()) };
    }

    /// The sum of all bytes taken.
    pub(crate) fn finalize(mut self) -> [u8; 16] {
        let mut sum = [0; 16];
        // SAFETY: the context was initialised, and `sum` has the 16 bytes that are written. It cannot fail.
        unsafe { MD5_Final(sum.as_mut_ptr(), &raw mut self.0) };
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use s3s::crypto::Checksum as _;

    proptest! {
        /// It is MD5, however the bytes come. Method: against s3s's, bytes cut in two.
        #[test]
        fn it_is_md5(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut ours = Md5::new();
            ours.update(first);
            ours.update(second);
            let mut theirs = s3s::crypto::Md5::new();
            theirs.update(&bytes);
            prop_assert_eq!(ours.finalize(), theirs.finalize());
        }
    }
}
