//! Plaintext leaves only after its tag was checked (DESIGN §6.8): whatever disks and storage nodes say, a reader gets
//! the bytes that were written, or none. Bits flip on disks, and some storage node lies: other bytes, whose checksums
//! are right.

use super::{Holds, Invariant, Told};

pub(super) struct CheckedPlaintext;

impl Invariant for CheckedPlaintext {
    fn name(&self) -> &'static str {
        "checked plaintext"
    }

    fn told(&mut self, told: &Told) -> Holds {
        match told {
            Told::ReadWrongly { content, behind } => Err(format!(
                "a reader got a wrong byte of content {content} behind {behind}"
            )),
            _ => Ok(()),
        }
    }
}
