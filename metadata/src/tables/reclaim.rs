//! What is in the rows of what is dead, and of disks that are lost.

use super::ExtentRow;
use serde::{Deserialize, Serialize};
use types::id::DiskId;
use types::size::ByteCount;

/// A plain object that was replaced or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRow {
    /// Its length.
    pub length: ByteCount,
    /// What it showed, in order.
    pub extents: Vec<ExtentRow>,
}

/// Shards of one slot of a condemned run, still to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRow {
    /// How many chunks the run has.
    pub chunks: u32,
}

/// What becomes of a lost disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacementRow {
    /// The disk that takes over its slots.
    pub new: DiskId,
    /// Whether it has all of them: the lost one is forgotten, its id never used again.
    #[serde(default, skip_serializing_if = "types::codec::is_default")]
    pub done: bool,
}
