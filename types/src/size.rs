//! Sizes and positions in bytes, so that one is never taken for the other.
//!
//! Position + count is a position; position - position is a count.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};

/// 1024 bytes.
pub const KIB: u64 = 1 << 10;
/// 1024 KiB.
pub const MIB: u64 = 1 << 20;
/// 1024 MiB.
pub const GIB: u64 = 1 << 30;

/// A number of bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteCount(u64);

/// A position in a file, blob or object.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteOffset(u64);

impl ByteCount {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// A count of `bytes`.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The length of something in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(bytes.len() as u64)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number, for indexing memory.
    ///
    /// # Panics
    /// On machines whose addresses are too short for it.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).expect("fits in memory")
    }
}

impl ByteOffset {
    /// The beginning.
    pub const ZERO: Self = Self(0);

    /// The position `bytes` from the beginning.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The distance from the beginning.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Add for ByteCount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for ByteCount {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl std::iter::Sum for ByteCount {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::ZERO, Add::add)
    }
}

impl Add<ByteCount> for ByteOffset {
    type Output = Self;
    fn add(self, count: ByteCount) -> Self {
        Self(self.0 + count.0)
    }
}

impl Sub for ByteOffset {
    type Output = ByteCount;
    fn sub(self, other: Self) -> ByteCount {
        ByteCount(self.0 - other.0)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, name) in [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")] {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{} {name}", self.0 / unit);
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl fmt::Display for ByteOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}", self.0)
    }
}
