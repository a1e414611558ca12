//! The places where disks may be: which of them hold a disk of ours that may be served.
//!
//! What counts is the stamp: disks that changed places are served all the same. A stamp that several
//! places show is served from none of them, except from one that was serving it already. Nothing here
//! ever stamps a disk.

use crate::drive::{Drive, ServingDrive};
use crate::opening::Acknowledged;
use crate::stamp::{self, Found, Stamp};
use crate::writer::WriteError;
use disk::{Choice, Disk};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;
use types::wire::storage::{DiskReport, DiskState};
use types::{ClusterId, DiskId, NodeId};

/// Where a disk may be.
#[derive(Clone)]
pub(crate) enum Source {
    /// In a folder.
    Folder(PathBuf, Choice),
    /// A device that is open already, such as a simulated one.
    Device(Arc<dyn Disk>),
}

/// One place.
pub(crate) struct Place {
    pub(crate) source: Source,
    /// Which disk should be there, so that an absent one can be reported.
    pub(crate) expected: Option<DiskId>,
    /// Which is served from there.
    pub(crate) serves: Option<DiskId>,
    /// Whether it is being looked at: a second look is not begun while one has not returned.
    pub(crate) looking: bool,
    /// A disk whose stamp was seen here while it was served from elsewhere: what is here is a copy, and may
    /// be older.
    copy_of: Option<DiskId>,
    /// What was served from there and is not closed yet.
    closing: Weak<Drive>,
}

/// How a disk failed that served.
#[derive(Clone, Copy)]
struct Failure {
    /// How often, with little time between.
    times: u32,
    at: Instant,
    acknowledged: Acknowledged,
    /// It failed too many reads: it is not opened anew.
    retired: bool,
}

/// All places, and the disks in them.
#[derive(Default)]
pub(crate) struct Disks {
    pub(crate) places: Vec<Place>,
    pub(crate) drives: BTreeMap<DiskId, Arc<ServingDrive>>,
    /// Those that are expected and not served, and why.
    pub(crate) away: BTreeMap<DiskId, DiskState>,
    /// Those that were replaced since the node was started.
    pub(crate) retired: BTreeSet<DiskId>,
    failures: BTreeMap<DiskId, Failure>,
}

/// A disk that failed so often, one time soon after the other, is left alone no longer than this many
/// periods.
const LONGEST_PAUSE: u32 = 64;

impl Place {
    pub(crate) fn new(source: Source, expected: Option<DiskId>) -> Self {
        Self {
            source,
            expected,
            serves: None,
            looking: false,
            copy_of: None,
            closing: Weak::new(),
        }
    }

    /// Whether it may be looked at for a disk.
    pub(crate) fn is_idle(&self) -> bool {
        self.serves.is_none() && !self.looking && self.closing.strong_count() == 0
    }
}

/// Why there is no disk of ours in a place.
#[derive(Debug)]
pub(crate) struct Obstacle {
    pub(crate) why: String,
    /// It is in use: by another process, or by a drive of ours that is not closed yet.
    pub(crate) in_use: bool,
}

/// What is in a place.
pub(crate) type Candidate = Result<(Arc<dyn Disk>, Stamp), Obstacle>;

impl Source {
    /// Opens what is there and reads whose it is. A folder without a stamp of ours is only looked at: an
    /// engine would write to it.
    pub(crate) async fn identify(&self, cluster: ClusterId, node: NodeId) -> Candidate {
        let disk = match self {
            Self::Device(disk) => Arc::clone(disk),
            Self::Folder(folder, engine) => {
                let (path, engine) = (folder.clone(), *engine);
                let opened = blocking(move || {
                    ours(stamp::peek(&path), cluster, node)?;
                    disk::open(&path, engine).map_err(Obstacle::from)
                });
                opened.await.map_err(|obstacle| obstacle.within(self))?
            }
        };
        let found = stamp::read_from(&*disk).await;
        let stamp = ours(found, cluster, node).map_err(|obstacle| obstacle.within(self))?;
        Ok((disk, stamp))
    }
}

impl Obstacle {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            in_use: false,
        }
    }

    /// Says where.
    fn within(mut self, source: &Source) -> Self {
        if let Source::Folder(folder, _) = source {
            self.why = format!("{}: {}", folder.display(), self.why);
        }
        self
    }
}

impl From<io::Error> for Obstacle {
    fn from(error: io::Error) -> Self {
        Self {
            in_use: error.kind() == io::ErrorKind::ResourceBusy,
            ..Self::new(error.to_string())
        }
    }
}

impl Disks {
    /// None of them looked at yet.
    pub(crate) fn at(places: Vec<Place>) -> Self {
        Self {
            places,
            ..Self::default()
        }
    }

    /// Which of these candidates may be served; the others' disks are away.
    pub(crate) fn judge(
        &mut self,
        candidates: Vec<(usize, Candidate)>,
        every: Duration,
    ) -> Vec<(usize, Arc<dyn Disk>, DiskId)> {
        let stamped = candidates
            .iter()
            .filter_map(|(_, found)| found.as_ref().ok());
        let mut seen = HashSet::new();
        let twice: HashSet<DiskId> = stamped
            .map(|(_, stamp)| stamp.disk)
            .filter(|disk| !seen.insert(*disk))
            .collect();
        let mut usable = Vec::new();
        for (place, candidate) in candidates {
            match candidate.and_then(|(disk, stamp)| {
                self.admissible(place, stamp.disk, &twice)?;
                Ok((disk, stamp.disk))
            }) {
                Ok((_, id)) if self.failed_for_good(id) => {}
                Ok((_, id)) if self.pauses(id, every) => {}
                Ok((disk, id)) => usable.push((place, disk, id)),
                Err(obstacle) => self.absent(place, obstacle),
            }
        }
        usable
    }

    fn admissible(
        &mut self,
        place: usize,
        disk: DiskId,
        twice: &HashSet<DiskId>,
    ) -> Result<(), Obstacle> {
        if twice.contains(&disk) {
            let why = format!("several folders are stamped as {disk}");
            self.set_away(disk, DiskState::Absent(why.clone()));
            return Err(Obstacle::new(why));
        }
        if self.drives.contains_key(&disk) {
            self.places[place].copy_of = Some(disk);
        }
        if self.places[place].copy_of == Some(disk) {
            let why = format!("several folders are stamped as {disk}, and another one was served");
            return Err(Obstacle::new(why));
        }
        let anywhere = self.places.iter().any(|place| place.expected == Some(disk));
        if !anywhere && self.retired.contains(&disk) {
            return Err(Obstacle::new(format!(
                "it holds {disk}, which was replaced"
            )));
        }
        if !anywhere && self.places[place].expected.is_some() {
            let why =
                format!("it holds {disk}, which is not expected here: it may have been replaced");
            return Err(Obstacle::new(why));
        }
        Ok(())
    }

    /// Notes why there is no disk in a place.
    pub(crate) fn absent(&mut self, place: usize, obstacle: Obstacle) {
        let Some(disk) = self.places[place].expected else {
            tracing::warn!("a place has no disk: {}", obstacle.why);
            return;
        };
        let served = self.drives.contains_key(&disk);
        let known = obstacle.in_use && self.away.contains_key(&disk);
        if !served && !known {
            self.set_away(disk, DiskState::Absent(obstacle.why));
        }
    }

    /// Notes why a disk is not served; says so when that is new.
    pub(crate) fn set_away(&mut self, disk: DiskId, state: DiskState) {
        if self.away.get(&disk) != Some(&state) {
            tracing::error!(%disk, "the disk is not served: {state:?}");
            self.away.insert(disk, state);
        }
    }

    /// How every disk is, in order of ids.
    pub(crate) fn reports(&self) -> Vec<DiskReport> {
        let away = self.away.iter();
        let away = away.map(|(disk, state)| DiskReport::away(*disk, state.clone()));
        let serving = self.drives.values().map(|drive| drive.report());
        let mut reports: Vec<DiskReport> = away.chain(serving).collect();
        reports.sort_by_key(|report| report.disk);
        reports
    }

    /// A disk that failed is served no more; it may be again once it is closed. `false` when it was stopped
    /// before.
    pub(crate) fn stop(&mut self, drive: &Arc<ServingDrive>, why: String) -> bool {
        let disk = drive.id();
        if !self
            .drives
            .get(&disk)
            .is_some_and(|known| Arc::ptr_eq(known, drive))
        {
            return false;
        }
        self.drives.remove(&disk);
        for place in &mut self.places {
            if place.serves == Some(disk) {
                place.serves = None;
                place.closing = Arc::downgrade(drive.drive());
            }
        }
        let before = self.failures.get(&disk).map_or(0, |failure| failure.times);
        // A disk that went away, with its folder, did nothing wrong.
        let away = matches!(drive.drive().failed.get(), Some(WriteError::Away));
        let failure = Failure {
            times: before + u32::from(!away),
            at: Instant::now(),
            acknowledged: drive.drive().acknowledged(),
            retired: drive.drive().retired.load(Ordering::Acquire),
        };
        self.failures.insert(disk, failure);
        self.set_away(disk, DiskState::Failed(why));
        true
    }

    /// How far a disk had come that failed since it was opened last.
    pub(crate) fn failed_at(&self, disk: DiskId) -> Option<Acknowledged> {
        let failure = self.failures.get(&disk);
        failure.map(|failure| failure.acknowledged)
    }

    /// Whether a disk that failed is left alone until an operator replaces it, or the process is started again.
    fn failed_for_good(&self, disk: DiskId) -> bool {
        let failure = self.failures.get(&disk);
        failure.is_some_and(|failure| failure.retired)
    }

    /// Until when a disk that fails again and again is left alone.
    fn pauses(&self, disk: DiskId, every: Duration) -> bool {
        let failure = self.failures.get(&disk);
        failure.is_some_and(|failure| {
            let periods = 1 << failure.times.saturating_sub(1).min(LONGEST_PAUSE.ilog2());
            failure.times > 1 && failure.at.elapsed() < every * periods
        })
    }

    /// Disks that have served for long enough have not failed, as far as their next failure is concerned.
    pub(crate) fn forgive(&mut self, every: Duration) {
        let (drives, longest) = (&self.drives, every * 2 * LONGEST_PAUSE);
        self.failures
            .retain(|disk, failure| !drives.contains_key(disk) || failure.at.elapsed() < longest);
    }

    /// A disk is served.
    pub(crate) fn serve(&mut self, place: usize, disk: DiskId, drive: ServingDrive) {
        self.places[place].serves = Some(disk);
        self.away.remove(&disk);
        self.drives.insert(disk, Arc::new(drive));
    }
}

/// Whether what a folder says of itself makes it one of ours.
fn ours(found: io::Result<Found>, cluster: ClusterId, node: NodeId) -> Result<Stamp, Obstacle> {
    match found {
        Ok(Found::Stamp(stamp)) if stamp.cluster != cluster => {
            let why = format!("it belongs to cluster {}", stamp.cluster);
            Err(Obstacle::new(why))
        }
        Ok(Found::Stamp(stamp)) if stamp.node != node => {
            let why = format!("it belongs to {} of this cluster", stamp.node);
            Err(Obstacle::new(why))
        }
        Ok(Found::Stamp(stamp)) => Ok(stamp),
        Ok(Found::Empty) => Err(Obstacle::new("it is empty; admit it as a new disk")),
        Ok(Found::Foreign) => Err(Obstacle::new("it holds files, but no stamp")),
        Ok(Found::Damaged(why)) => Err(Obstacle::new(why.to_string())),
        Err(error) => Err(Obstacle::new(format!("reading its stamp: {error}"))),
    }
}

/// Runs calls that may block on a thread for them.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, Obstacle> + Send + 'static,
) -> Result<T, Obstacle> {
    let done = tokio::task::spawn_blocking(call).await;
    done.unwrap_or_else(|broken| Err(Obstacle::new(format!("opening it broke off: {broken}"))))
}
