//! The folders that play disks: `disk-0`, `disk-1` …
//!
//! A folder is stamped and admitted while the cluster is being made. Later one that is empty has lost its
//! shards, and is absent, until an operator has it replaced by a new disk in the same place.

use crate::cluster::NODE;
use crate::files::{self, Access};
use crate::settings::Settings;
use anyhow::{Context, Result, bail};
use metadata::{Log, Server};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use storage_node::DiskFolder;
use storage_node::stamp::{self, Found, Stamp};
use storage_node::volume::VolumeId;
use types::DiskId;
use types::placement::{Disk, GroupTable};

const KEPT: &str = "disks.toml";

/// Where the disks are.
pub(crate) fn folders(data: &Path, count: u16) -> Vec<PathBuf> {
    (0..count)
        .map(|index| data.join(format!("disk-{index}")))
        .collect()
}

/// Which disk should be in which folder: an empty folder cannot say itself.
pub(crate) struct Folders {
    disks: Mutex<Vec<(PathBuf, DiskId)>>,
    /// Where it is kept, as `disks.toml`; none where it is found out at each start.
    data: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFolders {
    /// Ids of the disks in `disk-0`, `disk-1` …
    disks: Vec<u64>,
}

impl Folders {
    /// Reads what is kept. Clusters of earlier builds kept nothing: their disks were admitted in order.
    pub(crate) fn load(data: &Path, folders: &[PathBuf], table: &GroupTable) -> Result<Self> {
        let path = data.join(KEPT);
        let ids: Vec<DiskId> = if path.exists() {
            let text = fs::read_to_string(&path)?;
            let raw: RawFolders = toml::from_str(&text).with_context(|| format!("in {KEPT}"))?;
            raw.disks.into_iter().map(DiskId::new).collect()
        } else {
            table.disks.iter().map(|disk| disk.id).collect()
        };
        if ids.len() != folders.len() {
            bail!(
                "{KEPT} names {} disks, and there are {} folders",
                ids.len(),
                folders.len()
            );
        }
        let ids = settled(ids, table);
        let of_folders = Self {
            disks: Mutex::new(folders.iter().cloned().zip(ids).collect()),
            data: Some(data.to_owned()),
        };
        of_folders.keep()?;
        Ok(of_folders)
    }

    /// What was found out at this start.
    pub(crate) fn found(disks: Vec<(PathBuf, DiskId)>) -> Self {
        Self {
            disks: Mutex::new(disks),
            data: None,
        }
    }

    /// As a storage node takes it.
    pub(crate) fn expected(&self) -> Vec<DiskFolder> {
        let folder = |(folder, disk): &(PathBuf, DiskId)| DiskFolder {
            folder: folder.clone(),
            expected: Some(*disk),
        };
        self.lock().iter().map(folder).collect()
    }

    /// The folder of a disk.
    pub(crate) fn of(&self, disk: DiskId) -> Option<PathBuf> {
        let folders = self.lock();
        let found = folders.iter().find(|(_, there)| *there == disk);
        found.map(|(folder, _)| folder.clone())
    }

    /// Another disk is in the folder of a lost one from now on.
    pub(crate) fn replace(&self, lost: DiskId, new: DiskId) -> Result<()> {
        for (_, disk) in self.lock().iter_mut() {
            if *disk == lost {
                *disk = new;
            }
        }
        self.keep()
    }

    fn keep(&self) -> Result<()> {
        let Some(data) = &self.data else {
            return Ok(());
        };
        let disks = self.lock().iter().map(|(_, disk)| disk.get()).collect();
        let text = toml::to_string(&RawFolders { disks })?;
        files::write(&data.join(KEPT), text.as_bytes(), Access::Public)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(PathBuf, DiskId)>> {
        self.disks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A replacement that was cut short is in the table and not in the file: the disks that have no folder take
/// those of disks that are not in the table any more.
fn settled(mut ids: Vec<DiskId>, table: &GroupTable) -> Vec<DiskId> {
    let known: BTreeSet<DiskId> = table.disks.iter().map(|disk| disk.id).collect();
    let placed: BTreeSet<DiskId> = ids.iter().copied().collect();
    let mut unplaced = known.difference(&placed);
    for id in ids.iter_mut().filter(|id| !known.contains(id)) {
        if let Some(new) = unplaced.next() {
            *id = *new;
        }
    }
    ids
}

/// Refuses a folder that holds anything; makes one that is not there.
pub(crate) fn ensure_empty(folder: &Path) -> Result<()> {
    files::make_folder(folder)?;
    let mut entries =
        fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    if entries.next().is_some() {
        bail!(
            "{} is not empty: put an empty disk there, or empty this one",
            folder.display()
        );
    }
    Ok(())
}

/// Stamps and admits every folder of a cluster that has no groups yet, and so no data.
pub(crate) async fn admit<L: Log>(
    folders: &[PathBuf],
    settings: &Settings,
    metadata: &Server<L>,
    table: &GroupTable,
) -> Result<()> {
    // The metadata servers have the first ids, and this process the first of them. Run again after a start
    // that was cut short, it hands out numbers that nobody uses.
    for _ in 0..settings.metadata {
        let admitted = metadata.admit_node().await;
        admitted.context("admitting this server")?;
    }
    let mut found = 0;
    for folder in folders {
        let context = || format!("admitting {}", folder.display());
        let id = prepare(folder, settings, metadata)
            .await
            .with_context(context)?;
        found += usize::from(table.disks.iter().any(|disk| disk.id == id));
        let class = settings.profile.class();
        metadata
            .admit_disk(Disk {
                id,
                node: NODE,
                class,
            })
            .await
            .with_context(context)?;
    }
    if found < table.disks.len() {
        bail!(
            "the first start was cut short and {} of the disks that it admitted are gone; \
             nothing was stored yet: remove the data folder and start again",
            table.disks.len() - found
        );
    }
    Ok(())
}

/// The id of the disk in a folder; an empty one is stamped.
async fn prepare<L: Log>(
    folder: &Path,
    settings: &Settings,
    metadata: &Server<L>,
) -> Result<DiskId> {
    files::make_folder(folder)?;
    match stamp::read(folder).await? {
        Found::Stamp(stamp) if stamp.cluster == settings.cluster && stamp.node == NODE => {
            refuse_shards(folder)?;
            Ok(stamp.disk)
        }
        Found::Stamp(stamp) => bail!("it is {} of cluster {}", stamp.disk, stamp.cluster),
        Found::Foreign => bail!("it holds files that are not Strongroom's"),
        Found::Damaged(error) => Err(error.into()),
        Found::Empty => {
            let disk = metadata.reserve_disk_id().await?;
            let stamp = Stamp {
                cluster: settings.cluster,
                node: NODE,
                disk,
            };
            stamp::format(folder, &stamp).await?;
            Ok(disk)
        }
    }
}

/// Shards cannot be older than the groups they belong to: whoever finds some where there are no groups
/// has lost the metadata, and must not begin a new cluster over the data of the old one.
pub(crate) fn refuse_shards(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        if VolumeId::of_file(&entry?.file_name().to_string_lossy()).is_some() {
            bail!(
                "it holds shards, and the metadata knows of none: metadata-0 is missing or was \
                 replaced; bring it back"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::profile::DiskClass;

    fn table(ids: &[u64]) -> GroupTable {
        let disk = |id: &u64| Disk {
            id: DiskId::new(*id),
            node: NODE,
            class: DiskClass::Flash,
        };
        GroupTable {
            version: 1,
            disks: ids.iter().map(disk).collect(),
            groups: Vec::new(),
        }
    }

    fn ids(folders: &Folders) -> Vec<u64> {
        let expected = folders.expected();
        let ids = expected.iter().filter_map(|folder| folder.expected);
        ids.map(DiskId::get).collect()
    }

    /// Which disk is in which folder survives a restart, also when a replacement was cut short.
    #[test]
    fn folders_keep_their_disks() {
        let scratch = tempfile::tempdir().unwrap();
        let data = scratch.path();
        let places = folders(data, 3);
        let first = Folders::load(data, &places, &table(&[1, 2, 3])).unwrap();
        assert_eq!(ids(&first), [1, 2, 3]);
        first.replace(DiskId::new(2), DiskId::new(4)).unwrap();
        let second = Folders::load(data, &places, &table(&[1, 3, 4])).unwrap();
        assert_eq!(ids(&second), [1, 4, 3]);
        assert_eq!(second.of(DiskId::new(4)), Some(places[1].clone()));
        let cut_short = Folders::load(data, &places, &table(&[3, 4, 5])).unwrap();
        assert_eq!(ids(&cut_short), [5, 4, 3]);
        assert!(Folders::load(data, &folders(data, 4), &table(&[3, 4, 5])).is_err());
    }

    /// Only a folder with nothing in it takes a new disk.
    #[test]
    fn only_an_empty_folder_is_used() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("disk-0");
        ensure_empty(&folder).unwrap();
        ensure_empty(&folder).unwrap();
        fs::write(folder.join("mail"), "private").unwrap();
        assert!(ensure_empty(&folder).is_err());
    }
}
