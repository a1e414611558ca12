//! The digest of all rows, kept up to date row by row.
//!
//! Four 64-bit lanes, each the wrapping sum of its part of a SHA-256 of each row: a row that changes is
//! taken out and put in again, and the sum equals the one computed from the stored rows.

use types::label::LengthPrefixed;

/// A sum of row hashes; the order in which rows came and went does not show in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest([u64; 4]);

impl Digest {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.each(key, value, u64::wrapping_add);
    }

    pub(super) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.each(key, value, u64::wrapping_sub);
    }

    fn each(&mut self, key: &[u8], value: &[u8], step: fn(u64, u64) -> u64) {
        let mut hash = LengthPrefixed::default();
        hash.field(key);
        hash.field(value);
        let hash = Self::from_bytes(hash.finish());
        for (lane, part) in self.0.iter_mut().zip(hash.0) {
            *lane = step(*lane, part);
        }
    }

    pub(super) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (to, lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            to.copy_from_slice(&lane.to_be_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut lanes = [0; 4];
        for (lane, from) in lanes.iter_mut().zip(bytes.as_chunks().0) {
            *lane = u64::from_be_bytes(*from);
        }
        Self(lanes)
    }
}
