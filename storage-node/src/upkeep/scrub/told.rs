//! What operators ask of the scrub, and what they are told.

use super::bookmark::{Bookmark, Phase};
use super::course::{Course, Step, Told};
use crate::upkeep::{Keeper, lock};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::time::Duration;
use types::DiskId;
use types::wire::metadata::WallTime;
use types::wire::scrub::{DiskScrub, NotScrubbed, Scrubbing};
use types::wire::storage::{DiskReport, DiskState};
use types::wire::{Scrubs, ShardStore};

impl Scrubs for Keeper {
    fn begin_scrub(&self, disk: Option<DiskId>) -> BoxFuture<'_, Result<(), NotScrubbed>> {
        async move {
            for disk in self.to_scrub(disk).await? {
                let scrub = self.scrubs.of(disk);
                let mut course = lock(&scrub.course);
                if course.bookmark.phase != Phase::Hurried {
                    course.asked = true;
                    scrub.asked.notify_one();
                }
            }
            Ok(())
        }
        .boxed()
    }

    fn scrubbed(&self) -> BoxFuture<'_, Vec<DiskScrub>> {
        async move {
            let (now, period) = (self.config.clock.now(), self.config.scrub);
            let reports = self.node.report().await;
            let told = reports.iter().map(|report| {
                let scrub = self.scrubs.of(report.disk);
                let course = lock(&scrub.course);
                course.report(report, now, period)
            });
            told.collect()
        }
        .boxed()
    }
}

impl Keeper {
    async fn to_scrub(&self, disk: Option<DiskId>) -> Result<Vec<DiskId>, NotScrubbed> {
        let serving = self.serving().await;
        match disk {
            None => Ok(serving),
            Some(disk) if serving.contains(&disk) => Ok(vec![disk]),
            Some(disk) => {
                let reports = self.node.report().await;
                let known = reports.iter().any(|report| report.disk == disk);
                Err(if known {
                    NotScrubbed::Away(disk)
                } else {
                    NotScrubbed::Unknown(disk)
                })
            }
        }
    }
}

impl Course {
    fn report(&self, disk: &DiskReport, now: WallTime, period: Option<Duration>) -> DiskScrub {
        let Told {
            all,
            bytes_a_second,
            left,
        } = self.told(now, period);
        let (doing, next) = match (&disk.state, self.bookmark.phase) {
            (DiskState::Serving, _) if self.asked => (Scrubbing::Hurried, None),
            (DiskState::Serving, Phase::Hurried) => (Scrubbing::Hurried, None),
            (DiskState::Serving, Phase::Steady) => (Scrubbing::Steady, None),
            (DiskState::Serving, Phase::Resting) => match self.step(now, period, 0) {
                Step::Rest(due) => (Scrubbing::Resting, due.filter(|due| *due > now)),
                _ => (Scrubbing::Resting, None),
            },
            _ => (Scrubbing::Away, None),
        };
        let Bookmark {
            round,
            shards,
            bytes,
            found,
            ended,
            ..
        } = self.bookmark;
        DiskScrub {
            disk: disk.disk,
            doing,
            round,
            shards,
            all_shards: all.shards,
            bytes,
            all_bytes: all.bytes,
            found,
            bytes_a_second,
            seconds_left: left.map(|left| left.as_secs_f64()),
            ended: (ended.0 > 0).then_some(ended),
            next,
        }
    }
}
