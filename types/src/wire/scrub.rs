//! The scrub of a storage node's disks, as operators have it done and told. The node does it by itself; a gateway
//! carries the question and the answer.

use super::metadata::WallTime;
use crate::id::DiskId;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// How far the scrub of a disk is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiskScrub {
    /// Which.
    pub disk: DiskId,
    /// What it is doing.
    pub doing: Scrubbing,
    /// The round that is under way, or was last; 0: there was none.
    pub round: u64,
    /// Shards that it has read and proved.
    pub shards: u64,
    /// Of so many.
    pub all_shards: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Of so many.
    pub all_bytes: u64,
    /// Shards that were not what they were: each is made again.
    pub found: u64,
    /// How fast.
    pub bytes_a_second: f64,
    /// How long the round will take, as far as that can be told.
    pub seconds_left: Option<f64>,
    /// When the last whole round ended.
    pub ended: Option<WallTime>,
    /// When the next round begins by itself.
    pub next: Option<WallTime>,
}

impl DiskScrub {
    /// Of a disk that is not served: of its rounds nothing is known.
    pub fn away(disk: DiskId) -> Self {
        Self {
            disk,
            doing: Scrubbing::Away,
            round: 0,
            shards: 0,
            all_shards: 0,
            bytes: 0,
            all_bytes: 0,
            found: 0,
            bytes_a_second: 0.0,
            seconds_left: None,
            ended: None,
            next: None,
        }
    }
}

/// What a disk's scrub is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Scrubbing {
    /// No round is under way.
    Resting,
    /// A round that takes the period.
    Steady,
    /// A round that an operator asked for, as fast as it may go.
    Hurried,
    /// The disk is not served: it goes on when it is.
    Away,
}

/// Why a scrub was not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NotScrubbed {
    /// There is no such disk.
    #[error("there is no disk {}", .0.get())]
    Unknown(DiskId),
    /// It would have to be read.
    #[error("disk {} does not serve; its scrub goes on by itself once it does", .0.get())]
    Away(DiskId),
}

/// The service.
pub trait Scrubs: Send + Sync + 'static {
    /// Begins a round of a disk, or of all that serve, which goes as fast as it may. One that an operator asked
    /// for before, and that is under way, goes on: asked twice, nothing is done twice.
    fn begin_scrub(&self, disk: Option<DiskId>) -> BoxFuture<'_, Result<(), NotScrubbed>>;

    /// How far the scrub of each disk is.
    fn scrubbed(&self) -> BoxFuture<'_, Vec<DiskScrub>>;
}
