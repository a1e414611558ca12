//! What a cluster says of the scrub of its disks.

use serde::{Deserialize, Serialize};
use storage_node::upkeep::{Scrubbed, Scrubbing};
use types::DiskId;

/// How far the scrub of a disk is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ScrubStatus {
    /// Which.
    pub(crate) disk: DiskId,
    /// What it is doing.
    pub(crate) doing: Doing,
    /// The round that is under way, or was last; 0: there was none.
    pub(crate) round: u64,
    /// Shards that it has read and proved.
    pub(crate) shards: u64,
    /// Of so many.
    pub(crate) all_shards: u64,
    /// Bytes of their records.
    pub(crate) bytes: u64,
    /// Of so many.
    pub(crate) all_bytes: u64,
    /// Shards that were not what they were: each is made again.
    pub(crate) found: u64,
    /// How fast.
    pub(crate) bytes_a_second: f64,
    /// How long the round will take.
    pub(crate) seconds_left: Option<f64>,
    /// When the last whole round ended: seconds of Unix time.
    pub(crate) ended: Option<u64>,
    /// When the next round begins by itself: seconds of Unix time.
    pub(crate) next: Option<u64>,
}

/// What a disk's scrub is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Doing {
    /// No round is under way.
    Resting,
    /// One that takes the period.
    Steady,
    /// One that an operator asked for.
    Hurried,
    /// The disk is not served; it goes on when it is.
    Away,
}

impl From<Scrubbed> for ScrubStatus {
    fn from(scrubbed: Scrubbed) -> Self {
        let (doing, next) = match scrubbed.doing {
            Scrubbing::Resting(next) => (Doing::Resting, next),
            Scrubbing::Steady => (Doing::Steady, None),
            Scrubbing::Hurried => (Doing::Hurried, None),
            Scrubbing::Away => (Doing::Away, None),
        };
        Self {
            doing,
            disk: scrubbed.disk,
            round: scrubbed.round,
            shards: scrubbed.shards,
            all_shards: scrubbed.all_shards,
            bytes: scrubbed.bytes,
            all_bytes: scrubbed.all_bytes,
            found: scrubbed.found,
            bytes_a_second: scrubbed.bytes_a_second,
            seconds_left: scrubbed.left.map(|left| left.as_secs_f64()),
            ended: scrubbed.ended.map(|ended| ended.0 / 1000),
            next: next.map(|next| next.0 / 1000),
        }
    }
}
