//! Scrub: every shard of every disk is read and proved within a period, and what is not what it was is queued
//! for repair.
//!
//! ```text
//! recall bookmark --> rest --due, or asked for--> round: slot by slot, chunk by chunk --> rest …
//!                                                  |  shard by shard at the pace of upkeep, and when it is due
//!                                                  '- once a minute, and at a stop: note the bookmark
//! ```
//!
//! Shards are visited in order of their keys. So a bookmark keeps its meaning while shards come and go and are
//! moved inside the disk: each that was there when the round began and still lives is visited once, though on a
//! spinning disk it takes a seek. New ones may have to wait for the next round; they were proved when written.
//!
//! A disk that is away is waited for. Nothing of a drive is held between two shards: one that failed must be let
//! go of before it can be opened anew.

pub mod bookmark;
mod course;
mod told;

use super::{Keeper, ROUND, lock};
use crate::gauges::label;
use crate::record;
use crate::service::Node;
use bookmark::{Bookmark, Phase};
use course::{Amount, Course, Step, order};
use futures::StreamExt;
use metrics::{Counter, counter};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use types::placement::Slot;
use types::wire::metadata::WallTime;
use types::wire::storage::ReadError;
use types::{DiskId, GroupId, ShardKey};

/// Shards of one disk that are read at once in a hurried round, while nobody is served.
const AT_ONCE: usize = 2;
/// Between two bookmarks: so much is read again after a kill.
const NOTED: Duration = Duration::from_secs(60);
/// A disk that rests is looked at this often, in case it has shards by then.
const LOOK: Duration = Duration::from_secs(60);
/// When a disk has too many reads under way.
const BUSY: Duration = Duration::from_millis(100);

/// The scrubs of a node's disks.
#[derive(Default)]
pub(super) struct Scrubs(Mutex<BTreeMap<DiskId, Arc<Scrub>>>);

impl Scrubs {
    fn of(&self, disk: DiskId) -> Arc<Scrub> {
        let mut scrubs = lock(&self.0);
        let scrub = scrubs.entry(disk);
        Arc::clone(scrub.or_insert_with(|| Arc::new(Scrub::of(disk))))
    }
}

/// One disk's.
struct Scrub {
    course: Mutex<Course>,
    /// Woken when an operator asks for a round.
    asked: Notify,
    /// When its bookmark was noted last.
    noted: Mutex<Option<Instant>>,
    meters: Meters,
}

impl Scrub {
    fn of(disk: DiskId) -> Self {
        Self {
            course: Mutex::default(),
            asked: Notify::new(),
            noted: Mutex::default(),
            meters: Meters::of(disk),
        }
    }
}

/// What is counted of every shard: handles, since looking one up by its labels costs more than counting.
struct Meters {
    shards: Counter,
    bytes: Counter,
    found: Counter,
}

impl Meters {
    fn of(disk: DiskId) -> Self {
        Self {
            shards: counter!("strongroom_scrub_shards_total", "disk" => label(disk)),
            bytes: counter!("strongroom_scrub_bytes_total", "disk" => label(disk)),
            found: counter!("strongroom_scrub_found_total", "disk" => label(disk)),
        }
    }
}

/// How a round was left.
enum Left {
    /// Every shard was visited.
    Done,
    /// An operator wants one from the beginning.
    Asked,
    /// The disk does not serve.
    Away,
}

impl Keeper {
    /// Scrubs the disks, each on its own, until it is stopped.
    pub(super) async fn scrub_all(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut changes = self.node.changes();
        let mut known = BTreeMap::new();
        let mut disks = JoinSet::new();
        loop {
            changes.borrow_and_update();
            for disk in self.serving().await {
                known.entry(disk).or_insert_with(|| {
                    let keeper = Arc::clone(&self);
                    disks.spawn(keeper.scrub_disk(disk, stopped.clone()));
                });
            }
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => break,
                changed = changes.changed() => if changed.is_err() { break },
            }
        }
        while disks.join_next().await.is_some() {}
    }

    async fn scrub_disk(self: Arc<Self>, disk: DiskId, mut stopped: watch::Receiver<bool>) {
        let scrub = self.scrubs.of(disk);
        tokio::select! {
            () = self.scrub_rounds(disk, &scrub) => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
        let patience = self.node.shared.watch.patience;
        let _lost = timeout(patience, self.note(disk, &scrub)).await;
    }

    /// Round after round.
    async fn scrub_rounds(&self, disk: DiskId, scrub: &Scrub) {
        let (clock, period) = (self.config.clock, self.config.scrub);
        while let Err(why) = self.recall(disk, scrub).await {
            tracing::debug!(%disk, why, "where its scrub is will be read later");
            sleep(ROUND).await;
        }
        while !self.node.is_retired(disk) {
            let slots = self.node.slots(disk).unwrap_or_default();
            let shards = slots.into_iter().map(|(_, _, shards)| shards).sum();
            let step = lock(&scrub.course).step(clock.now(), period, shards);
            match step {
                Step::Rest(until) => {
                    let wait = until.map_or(LOOK, |until| self.until(until));
                    let wait = wait.clamp(ROUND, LOOK);
                    let _either = timeout(wait, scrub.asked.notified()).await;
                    if lock(&scrub.course).is_held_back() {
                        self.note(disk, scrub).await;
                    }
                }
                Step::Begin(phase) => {
                    lock(&scrub.course).begin(clock.now(), phase);
                    self.note(disk, scrub).await;
                }
                Step::Visit => match self.visit_all(disk, scrub).await {
                    Left::Done => self.end_round(disk, scrub).await,
                    Left::Asked => {}
                    Left::Away => sleep(ROUND).await,
                },
            }
        }
    }

    async fn end_round(&self, disk: DiskId, scrub: &Scrub) {
        let now = self.config.clock.now();
        let Bookmark {
            shards,
            bytes,
            found,
            ..
        } = {
            let mut course = lock(&scrub.course);
            course.end(now);
            course.bookmark
        };
        tracing::info!(%disk, shards, bytes, found, "every shard was read and proved");
        metrics::gauge!("strongroom_scrub_last_round_end_seconds", "disk" => label(disk))
            .set(now.0 as f64 / 1000.0);
        self.note(disk, scrub).await;
    }

    /// Visits the shards from the bookmark on.
    async fn visit_all(&self, disk: DiskId, scrub: &Scrub) -> Left {
        let Ok(slots) = self.node.slots(disk) else {
            return Left::Away;
        };
        let next = lock(&scrub.course).bookmark.next;
        let ahead =
            |&(group, slot, _): &(GroupId, Slot, u64)| (group, slot.0) >= (next.group, next.index);
        lock(&scrub.course).forget_measure();
        for (group, slot, _) in slots.into_iter().filter(ahead) {
            if lock(&scrub.course).is_out_of_date() {
                let Ok(ahead) = self.measure(disk, scrub).await else {
                    return Left::Away;
                };
                lock(&scrub.course).measured(self.config.clock.now(), ahead);
            }
            match self.visit_slot(disk, group, slot, scrub).await {
                Left::Done => {}
                other => return other,
            }
        }
        Left::Done
    }

    /// What is ahead of the bookmark.
    async fn measure(&self, disk: DiskId, scrub: &Scrub) -> Result<Amount, ReadError> {
        let next = lock(&scrub.course).bookmark.next;
        let mut amount = Amount::default();
        for (group, slot, _) in self.node.slots(disk)? {
            for (_, bytes) in self.shards(disk, group, slot, next)? {
                amount.shards += 1;
                amount.bytes += bytes;
            }
            tokio::task::yield_now().await;
        }
        Ok(amount)
    }

    /// The shards of a slot from one on, and the lengths of their records.
    fn shards(
        &self,
        disk: DiskId,
        group: GroupId,
        slot: Slot,
        from: ShardKey,
    ) -> Result<Vec<(ShardKey, u64)>, ReadError> {
        let held = self.node.inventory(disk, group, slot)?.into_iter();
        let shards = held.map(|shard| {
            let key = ShardKey {
                group,
                chunk: shard.chunk,
                index: slot.0,
            };
            (key, record::length(shard.payload).get())
        });
        Ok(shards
            .filter(|(key, _)| order(*key) >= order(from))
            .collect())
    }

    async fn visit_slot(&self, disk: DiskId, group: GroupId, slot: Slot, scrub: &Scrub) -> Left {
        let (next, phase) = {
            let course = lock(&scrub.course);
            (course.bookmark.next, course.bookmark.phase)
        };
        let Ok(shards) = self.shards(disk, group, slot, next) else {
            return Left::Away;
        };
        let at_once = match phase {
            Phase::Hurried => AT_ONCE,
            _ => 1,
        };
        let visits = shards.into_iter().map(async |(key, bytes)| {
            if let Left::Asked = self.until_due(bytes, scrub).await {
                return (key, bytes, Err(Left::Asked));
            }
            (key, bytes, self.prove(disk, key).await)
        });
        // In order: the bookmark stands behind what was visited.
        let mut visits = futures::stream::iter(visits).buffered(at_once);
        while let Some((key, bytes, proved)) = visits.next().await {
            let found = match proved {
                Ok(found) => found,
                Err(left) => return left,
            };
            lock(&scrub.course).visited(key, bytes, found);
            let meters = &scrub.meters;
            if found {
                self.suspect([(disk, key)]);
                meters.found.increment(1);
            }
            meters.shards.increment(1);
            meters.bytes.increment(bytes);
            if lock(&scrub.noted).is_none_or(|at| at.elapsed() >= NOTED) {
                self.note(disk, scrub).await;
            }
        }
        Left::Done
    }

    /// Waits until the next shard is due, or somebody asks for a round.
    async fn until_due(&self, bytes: u64, scrub: &Scrub) -> Left {
        let due = {
            let course = lock(&scrub.course);
            if course.asked {
                return Left::Asked;
            }
            course.due(bytes, self.config.scrub)
        };
        let Some(due) = due else { return Left::Done };
        match timeout(self.until(due), scrub.asked.notified()).await {
            Ok(()) => Left::Asked,
            Err(_) => Left::Done,
        }
    }

    fn until(&self, moment: WallTime) -> Duration {
        let now = self.config.clock.now();
        Duration::from_millis(moment.0.saturating_sub(now.0))
    }

    /// Whether a shard is not what it was. One that was removed meanwhile is none.
    async fn prove(&self, disk: DiskId, key: ShardKey) -> Result<bool, Left> {
        let node: &Node = &self.node;
        loop {
            match node.verify(disk, key).await {
                Ok(()) | Err(ReadError::Missing { .. }) => return Ok(false),
                Err(ReadError::Busy { .. }) => sleep(BUSY).await,
                Err(ReadError::DiskUnavailable { .. }) => return Err(Left::Away),
                Err(_) => return Ok(true),
            }
        }
    }

    /// Reads where the disk's scrub is.
    async fn recall(&self, disk: DiskId, scrub: &Scrub) -> Result<(), String> {
        let drive = self.node.reading(disk);
        let drive = drive.map_err(|error| error.to_string())?;
        let read = Bookmark::read(&*drive.drive().disk, disk).await;
        let bookmark = read.map_err(|error| error.to_string())?.unwrap_or_default();
        lock(&scrub.course).bookmark = bookmark;
        if bookmark.ended.0 > 0 {
            metrics::gauge!("strongroom_scrub_last_round_end_seconds", "disk" => label(disk))
                .set(bookmark.ended.0 as f64 / 1000.0);
        }
        Ok(())
    }

    /// Notes where the disk's scrub is: not behind what it has found and nobody was told of yet, which would be
    /// forgotten with the process.
    async fn note(&self, disk: DiskId, scrub: &Scrub) {
        let Ok(drive) = self.node.reading(disk) else {
            return;
        };
        let drive = drive.drive();
        let begun = lock(&scrub.course).bookmark.round > 0;
        if !begun || drive.serving().is_err() {
            return;
        }
        let told = !self.has_suspects(disk);
        let bookmark = lock(&scrub.course).noted_as(told);
        if let Err(why) = bookmark.write(&*drive.disk, disk).await {
            drive.fail(why);
        }
        *lock(&scrub.noted) = Some(Instant::now());
    }
}
