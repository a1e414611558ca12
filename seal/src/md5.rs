//! MD5, which an ETag is: AWS-LC's, in assembly.
//!
//! It protects nothing. It is one chain of dependent steps, so it bounds how fast one stream is taken in, and the
//! portable one of the `md-5` crate gives four fifths of this one's speed (`cargo xtask bench micro md5`,
//! decision 0020). `aws-lc-rs` leaves it out.

#![allow(
    unsafe_code,
    reason = "aws-lc-rs has no MD5, so AWS-LC's own functions are called: decision 0020"
)]

use aws_lc_sys::{MD5_CTX, MD5_Final, MD5_Init, MD5_Update};
use std::mem::MaybeUninit;

/// The MD5 of what it has taken.
pub struct Md5(MD5_CTX);

impl Default for Md5 {
    fn default() -> Self {
        Self::new()
    }
}

impl Md5 {
    /// Of no bytes yet.
    pub fn new() -> Self {
        let mut context = MaybeUninit::uninit();
        // SAFETY: `MD5_Init` writes every field of the context, and cannot fail.
        let context = unsafe {
            MD5_Init(context.as_mut_ptr());
            context.assume_init()
        };
        Self(context)
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        // SAFETY: the context was initialised, and `bytes` is as long as it says. It cannot fail.
        unsafe { MD5_Update(&raw mut self.0, bytes.as_ptr().cast(), bytes.len()) };
    }

    /// The sum of all bytes taken.
    pub fn finalize(mut self) -> [u8; 16] {
        let mut sum = [0; 16];
        // SAFETY: the context was initialised, and `sum` has the 16 bytes that are written. It cannot fail.
        unsafe { MD5_Final(sum.as_mut_ptr(), &raw mut self.0) };
        sum
    }
}
