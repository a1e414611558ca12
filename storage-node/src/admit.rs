//! Disks that come and go while the node runs.

use crate::drive::{ServingDrive, lock};
use crate::gauges;
use crate::places::{Candidate, Disks, Obstacle, Place, Source, blocking};
use crate::plan::Limits;
use crate::service::Node;
use crate::stamp::{self, FormatError, Stamp};
use crate::upkeep::Pace;
use crate::watch::Watch;
use disk::{Choice, Disk};
use futures::future::join_all;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use types::wire::storage::DiskState;
use types::{ClusterId, DiskId, NodeId, ShardKey};

/// Between two looks at a folder that is in use.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Shards that are remembered to be looked at.
const SUSPECTS: usize = 4096;

/// Why a folder was not admitted as a new disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdmitError {
    /// The node has a disk of that id, or had one: an id is used once.
    #[error("{0} is known here already")]
    Known(DiskId),
    /// It could not be made or opened.
    #[error("opening {folder}: {why}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        why: String,
    },
    /// It was not stamped: it holds something, or its device refused.
    #[error("{folder}: {source}")]
    Stamp {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: FormatError,
    },
}

impl Node {
    /// Stamps an empty folder, or one that is to be made, as a new disk, and serves it.
    ///
    /// # Errors
    /// When the id is known already, the folder holds anything, or its device refuses.
    pub async fn admit(&self, folder: PathBuf, disk: DiskId) -> Result<(), AdmitError> {
        self.shared.admit(folder, disk).await
    }

    /// Stops serving a disk that was replaced, and forgets it. Where its stamp is found later, it is not
    /// served.
    pub async fn retire(&self, disk: DiskId) {
        self.shared.retire(disk).await;
    }
}

/// What the node shares with its tasks.
pub(crate) struct Shared {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    engine: Choice,
    limits: Limits,
    pub(crate) watch: Watch,
    disks: RwLock<Disks>,
    pub(crate) changes: watch::Sender<u64>,
    /// Of background work: it gives way to the requests of others.
    pub(crate) pace: Pace,
    suspects: Mutex<BTreeSet<(DiskId, ShardKey)>>,
}

impl Shared {
    pub(crate) fn new(
        (cluster, node): (ClusterId, NodeId),
        engine: Choice,
        limits: Limits,
        watch: Watch,
        places: Vec<Place>,
    ) -> Self {
        Self {
            cluster,
            node,
            engine,
            limits,
            watch,
            disks: RwLock::new(Disks::at(places)),
            changes: watch::Sender::new(0),
            pace: Pace::default(),
            suspects: Mutex::default(),
        }
    }

    pub(crate) fn disks(&self) -> RwLockReadGuard<'_, Disks> {
        self.disks.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn disks_mut(&self) -> RwLockWriteGuard<'_, Disks> {
        self.disks.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes shards that may be missing, or damaged.
    pub(crate) fn suspect(&self, disk: DiskId, keys: impl IntoIterator<Item = ShardKey>) {
        let mut suspects = lock(&self.suspects);
        for key in keys {
            // What is forgotten is met again.
            if suspects.len() < SUSPECTS {
                suspects.insert((disk, key));
            }
        }
    }

    /// Those that were noted since this was asked last.
    pub(crate) fn take_suspects(&self) -> Vec<(DiskId, ShardKey)> {
        std::mem::take(&mut *lock(&self.suspects))
            .into_iter()
            .collect()
    }

    /// The set of disks that serve is another one.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Looks at the places from which no disk is served, and serves what may be. A place that does not
    /// answer is waited for only so long, and is left alone until it does.
    pub(crate) async fn look_for_disks(self: &Arc<Self>) {
        let mut looks = Vec::new();
        {
            let mut disks = self.disks_mut();
            disks.forgive(self.watch.every);
            let places = disks.places.iter_mut().enumerate();
            for (at, place) in places.filter(|(_, place)| place.is_idle()) {
                place.looking = true;
                looks.push((at, tokio::spawn(self.look_at(at, place.source.clone()))));
            }
        }
        let looked = looks.into_iter().map(async |(at, look)| {
            let found = timeout(self.watch.patience, look).await;
            let found =
                found.map(|done| done.unwrap_or_else(|_| Err(Obstacle::new("it broke off"))));
            (
                at,
                found.unwrap_or_else(|_| Err(Obstacle::new("it does not answer"))),
            )
        });
        let candidates = join_all(looked).await;
        let usable = self.disks_mut().judge(candidates, self.watch.every);
        let opening = usable.into_iter().map(async |(at, disk, id)| {
            self.disks_mut().places[at].looking = true;
            let opening = tokio::spawn(self.open_at(at, disk, id));
            if timeout(self.watch.patience, opening).await.is_err() {
                let why = "it does not answer while it is opened".to_owned();
                self.disks_mut().set_away(id, DiskState::Absent(why));
            }
        });
        join_all(opening).await;
    }

    fn look_at(
        self: &Arc<Self>,
        at: usize,
        source: Source,
    ) -> impl Future<Output = Candidate> + use<> {
        let shared = Arc::clone(self);
        async move {
            let found = source.identify(shared.cluster, shared.node).await;
            shared.disks_mut().places[at].looking = false;
            found
        }
    }

    fn open_at(
        self: &Arc<Self>,
        at: usize,
        device: Arc<dyn Disk>,
        disk: DiskId,
    ) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(self);
        async move {
            let failed_at = shared.disks().failed_at(disk);
            let opened = ServingDrive::open(device, disk, shared.limits, failed_at).await;
            shared.disks_mut().places[at].looking = false;
            match opened {
                // It was retired meanwhile.
                Ok(drive) if shared.disks().retired.contains(&disk) => drive.shutdown().await,
                Ok(drive) => shared.serve(at, disk, drive),
                Err(error) => {
                    let why = DiskState::Absent(error.to_string());
                    shared.disks_mut().set_away(disk, why);
                }
            }
        }
    }

    async fn admit(&self, folder: PathBuf, disk: DiskId) -> Result<(), AdmitError> {
        let known = {
            let disks = self.disks();
            let expected = disks
                .places
                .iter()
                .any(|place| place.expected == Some(disk));
            expected || disks.drives.contains_key(&disk) || disks.retired.contains(&disk)
        };
        if known {
            return Err(AdmitError::Known(disk));
        }
        let refused = |obstacle: Obstacle| AdmitError::Folder {
            folder: folder.clone(),
            why: obstacle.why,
        };
        let path = folder.clone();
        let opened = blocking(move || {
            make_folder(&path)?;
            let found = stamp::peek(&path)?;
            let path = path.canonicalize()?;
            Ok((path, found))
        });
        let (path, found) = opened.await.map_err(refused)?;
        if found != stamp::Found::Empty {
            return Err(AdmitError::Stamp {
                folder,
                source: FormatError::NotEmpty { found },
            });
        }
        let device = self.open_free(&path).await.map_err(refused)?;
        let stamp = Stamp {
            cluster: self.cluster,
            node: self.node,
            disk,
        };
        let stamped = stamp::write_to(&*device, &stamp).await;
        stamped.map_err(|source| AdmitError::Stamp {
            folder: folder.clone(),
            source,
        })?;
        let drive = ServingDrive::open(device, disk, self.limits, None).await;
        let drive = drive.map_err(|error| refused(Obstacle::new(error.to_string())))?;
        let place = self.place_at(path, disk);
        self.serve(place, disk, drive);
        Ok(())
    }

    /// Opens a folder. The disk that was served from there last may not have let go of it yet.
    async fn open_free(&self, path: &Path) -> Result<Arc<dyn Disk>, Obstacle> {
        let deadline = Instant::now() + self.watch.patience;
        loop {
            let (at, engine) = (path.to_owned(), self.engine);
            match blocking(move || Ok(disk::open(&at, engine)?)).await {
                Err(obstacle) if obstacle.in_use && Instant::now() < deadline => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                other => return other,
            }
        }
    }

    async fn retire(&self, disk: DiskId) {
        let drive = {
            let mut disks = self.disks_mut();
            disks.retired.insert(disk);
            disks.away.remove(&disk);
            for place in &mut disks.places {
                place.expected = place.expected.filter(|expected| *expected != disk);
                place.serves = place.serves.filter(|serves| *serves != disk);
            }
            disks.drives.remove(&disk)
        };
        if let Some(drive) = drive {
            self.changed();
            drive.shutdown().await;
        }
        gauges::forget(disk);
        tracing::info!(%disk, "the disk is retired");
    }

    fn serve(&self, place: usize, disk: DiskId, drive: ServingDrive) {
        let report = drive.report();
        tracing::info!(%disk, engine = report.engine, shards = report.shards, "serving");
        self.disks_mut().serve(place, disk, drive);
        self.changed();
    }

    /// The place of that folder, where that disk is expected from now on.
    fn place_at(&self, folder: PathBuf, disk: DiskId) -> usize {
        let mut disks = self.disks_mut();
        let same = |place: &Place| match &place.source {
            Source::Folder(known, _) => same_folder(known, &folder),
            Source::Device(_) => false,
        };
        let at = disks.places.iter().position(same).unwrap_or_else(|| {
            let source = Source::Folder(folder.clone(), self.engine);
            disks.places.push(Place::new(source, None));
            disks.places.len() - 1
        });
        if let Some(before) = disks.places[at].expected.replace(disk) {
            let why = format!("{} was admitted as {disk}", folder.display());
            disks.set_away(before, DiskState::Absent(why));
        }
        at
    }
}

/// Makes a folder whose parent is there.
fn make_folder(folder: &Path) -> io::Result<()> {
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            // Its name is to survive a power cut before the cluster counts on it.
            let parent = folder
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        }
    }
}

fn same_folder(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| one == *other)
}
