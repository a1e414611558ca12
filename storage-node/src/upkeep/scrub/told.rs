//! What operators ask of the scrub, and what they are told.

use super::bookmark::{Bookmark, Phase};
use super::course::{Step, Told};
use crate::upkeep::{Keeper, lock};
use std::time::Duration;
use types::DiskId;
use types::wire::ShardStore;
use types::wire::metadata::WallTime;
use types::wire::storage::DiskState;

/// Why a scrub was not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotScrubbed {
    /// There is no such disk.
    #[error("there is no disk {}", .0.get())]
    Unknown(DiskId),
    /// It would have to be read.
    #[error("disk {} does not serve; its scrub goes on by itself once it does", .0.get())]
    Away(DiskId),
}

/// What a disk's scrub is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scrubbing {
    /// No round is under way; when the next one begins by itself, if that is known.
    Resting(Option<WallTime>),
    /// A round of the period.
    Steady,
    /// A round that an operator asked for, as fast as it may go.
    Hurried,
    /// The disk is not served: it goes on when it is.
    Away,
}

/// How far the scrub of a disk is.
#[derive(Clone, Debug, PartialEq)]
pub struct Scrubbed {
    /// Which disk.
    pub disk: DiskId,
    /// What it is doing.
    pub doing: Scrubbing,
    /// The round that is under way, or was last; 0: there was none.
    pub round: u64,
    /// Shards that it has visited.
    pub shards: u64,
    /// Of so many.
    pub all_shards: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Of so many.
    pub all_bytes: u64,
    /// How many shards were not what they were.
    pub found: u64,
    /// Bytes a second.
    pub bytes_a_second: f64,
    /// How long the round will take, as far as that can be told.
    pub left: Option<Duration>,
    /// When a whole round ended last.
    pub ended: Option<WallTime>,
}

impl Keeper {
    /// Begins a round of a disk, or of all that serve, which goes as fast as it may. One that an operator asked
    /// for before, and that is under way, goes on.
    ///
    /// # Errors
    /// When there is no such disk, or it does not serve.
    pub async fn begin_scrub(&self, disk: Option<DiskId>) -> Result<(), NotScrubbed> {
        let serving = self.serving().await;
        let disks = match disk {
            None => serving,
            Some(disk) if serving.contains(&disk) => vec![disk],
            Some(disk) => {
                let reports = self.node.report().await;
                let known = reports.iter().any(|report| report.disk == disk);
                let why = if known {
                    NotScrubbed::Away
                } else {
                    NotScrubbed::Unknown
                };
                return Err(why(disk));
            }
        };
        for disk in disks {
            let scrub = self.scrubs.of(disk);
            let mut course = lock(&scrub.course);
            if course.bookmark.phase != Phase::Hurried {
                course.asked = true;
                scrub.asked.notify_one();
            }
        }
        Ok(())
    }

    /// How far the scrub of each disk is.
    pub async fn scrubbed(&self) -> Vec<Scrubbed> {
        let reports = self.node.report().await;
        let told = reports.into_iter().map(|report| {
            let scrub = self.scrubs.of(report.disk);
            let course = lock(&scrub.course);
            let period = self.config.scrub;
            let now = self.config.clock.now();
            let Told {
                all,
                bytes_a_second,
                left,
            } = course.told(now, period);
            let doing = match (&report.state, course.bookmark.phase) {
                (DiskState::Serving, _) if course.asked => Scrubbing::Hurried,
                (DiskState::Serving, Phase::Hurried) => Scrubbing::Hurried,
                (DiskState::Serving, Phase::Steady) => Scrubbing::Steady,
                (DiskState::Serving, Phase::Resting) => match course.step(now, period, 0) {
                    Step::Rest(due) => Scrubbing::Resting(due.filter(|due| *due > now)),
                    _ => Scrubbing::Resting(None),
                },
                _ => Scrubbing::Away,
            };
            let Bookmark {
                round,
                shards,
                bytes,
                found,
                ended,
                ..
            } = course.bookmark;
            Scrubbed {
                disk: report.disk,
                doing,
                round,
                shards,
                all_shards: all.shards,
                bytes,
                all_bytes: all.bytes,
                found,
                bytes_a_second,
                left,
                ended: (ended.0 > 0).then_some(ended),
            }
        });
        told.collect()
    }
}
