//! Disks that come and go while the node runs.

use crate::drive::ServingDrive;
use crate::places::{Obstacle, Place, Source, blocking};
use crate::service::Node;
use crate::stamp::{self, FormatError, Stamp};
use futures::future::join_all;
use std::io;
use std::path::{Path, PathBuf};
use types::DiskId;
use types::wire::storage::DiskState;

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
    /// Looks at the places from which no disk is served, and serves what may be.
    pub(crate) async fn look_for_disks(&self) {
        let idle: Vec<(usize, Source)> = {
            let disks = self.disks();
            let places = disks.places.iter().enumerate();
            let idle = places.filter(|(_, place)| place.serves.is_none());
            idle.map(|(at, place)| (at, place.source.clone())).collect()
        };
        let looked = idle
            .into_iter()
            .map(async |(at, source)| (at, source.identify(self.cluster, self.node).await));
        let candidates = join_all(looked).await;
        let usable = self.disks_mut().judge(candidates);
        let opening = usable.into_iter().map(async |(place, disk, id)| {
            (
                place,
                id,
                ServingDrive::open(disk, id, self.limits, None).await,
            )
        });
        for (place, id, opened) in join_all(opening).await {
            match opened {
                Ok(drive) => self.serve(place, id, drive),
                Err(error) => {
                    let why = DiskState::Absent(error.to_string());
                    self.disks_mut().set_away(id, why);
                }
            }
        }
    }

    /// Stamps an empty folder, or one that is to be made, as a new disk, and serves it.
    ///
    /// # Errors
    /// When the id is known already, the folder holds anything, or its device refuses.
    pub async fn admit(&self, folder: PathBuf, disk: DiskId) -> Result<(), AdmitError> {
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
        let (path, engine) = (folder.clone(), self.engine);
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
        let at = path.clone();
        let device = blocking(move || Ok(disk::open(&at, engine)?)).await;
        let device = device.map_err(refused)?;
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

    /// Stops serving a disk that was replaced, and forgets it. Where its stamp is found later, it is not
    /// served.
    pub async fn retire(&self, disk: DiskId) {
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
            disks.places.push(Place {
                source: Source::Folder(folder.clone(), self.engine),
                expected: None,
                serves: None,
            });
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
