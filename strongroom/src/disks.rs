//! The folders that play disks: `disk-0`, `disk-1` …
//!
//! A folder is stamped and admitted while the cluster is being made, and never afterwards: one that is
//! empty later has lost its shards, and is absent.

use crate::cluster::NODE;
use crate::files;
use crate::settings::Settings;
use anyhow::{Context, Result, bail};
use metadata::{Log, Server};
use std::path::{Path, PathBuf};
use storage_node::DiskFolder;
use storage_node::stamp::{self, Found, Stamp};
use storage_node::volume::VolumeId;
use types::DiskId;
use types::placement::{Disk, GroupTable};

/// Where the disks are.
pub(crate) fn folders(data: &Path, count: u16) -> Vec<PathBuf> {
    (0..count)
        .map(|index| data.join(format!("disk-{index}")))
        .collect()
}

/// Which disk should be in which folder: they were admitted in order.
pub(crate) fn expected(folders: &[PathBuf], table: &GroupTable) -> Vec<DiskFolder> {
    let mut ids = table.disks.iter().map(|disk| disk.id);
    let folder = |folder: &PathBuf| DiskFolder {
        folder: folder.clone(),
        expected: ids.next(),
    };
    folders.iter().map(folder).collect()
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
fn refuse_shards(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        if VolumeId::of_file(&entry?.file_name().to_string_lossy()).is_some() {
            bail!(
                "it holds shards, and the metadata knows of none: metadata-0 is missing or was \
                 replaced; bring it back"
            );
        }
    }
    Ok(())
}
