//! Which disk is in which folder of a storage process.
//!
//! A stamp says it. What the group table has of this node and no stamp shows is lost: it is looked for in the
//! folders that show none, and told as absent. A folder whose stamp is not in the table is left alone: its disk
//! was replaced, or is not admitted yet.
//!
//! An empty folder becomes a disk only when an operator says so (`--admit-disks`), before the groups are laid out.

use crate::disks::{Folders, refuse_shards};
use crate::files;
use anyhow::{Context, Result, bail};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use storage_node::DiskFolder;
use storage_node::stamp::{self, Found, Stamp};
use types::placement::{Disk, GroupTable};
use types::profile::DiskClass;
use types::wire::Upkeep;
use types::{ClusterId, DiskId, NodeId};

/// The node whose folders these are.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) cluster: ClusterId,
    pub(super) node: NodeId,
}

/// What the folders hold, and which disk is expected in which.
pub(super) async fn find(
    folders: &[PathBuf],
    owner: Owner,
    table: &GroupTable,
) -> (Vec<DiskFolder>, Folders) {
    let ours = |disk: &&Disk| disk.node == owner.node;
    let ours: Vec<DiskId> = table
        .disks
        .iter()
        .filter(ours)
        .map(|disk| disk.id)
        .collect();
    let mut places = Vec::new();
    let mut shown = Vec::new();
    for folder in folders {
        let stamped = match stamp::read(folder).await {
            Ok(Found::Stamp(stamp)) if owner.is(&stamp) => Some(stamp.disk),
            _ => None,
        };
        match stamped {
            Some(disk) if !ours.contains(&disk) => {
                let folder = folder.display();
                tracing::error!(%folder, %disk, "the disk is not served: it was replaced, or it is to be admitted with --admit-disks");
            }
            stamped => {
                shown.extend(stamped);
                places.push((folder.clone(), stamped));
            }
        }
    }
    let mut lost: VecDeque<DiskId> = ours
        .into_iter()
        .filter(|disk| !shown.contains(disk))
        .collect();
    for (_, disk) in &mut places {
        if disk.is_none() {
            *disk = lost.pop_front();
        }
    }
    let found = places
        .iter()
        .filter_map(|(folder, disk)| Some((folder.clone(), (*disk)?)));
    let found = Folders::found(found.collect());
    let place = |(folder, expected)| DiskFolder { folder, expected };
    (places.into_iter().map(place).collect(), found)
}

/// Makes every empty folder a new disk of the cluster. Folders that are disks already stay what they are.
pub(super) async fn admit(
    folders: &[PathBuf],
    owner: Owner,
    upkeep: &dyn Upkeep,
) -> Result<Vec<DiskId>> {
    let table = upkeep.table(0).await?.unwrap_or_default();
    let mut admitted = Vec::new();
    for folder in folders {
        let context = || format!("admitting {}", folder.display());
        let disk = prepare(folder, owner, upkeep).await.with_context(context)?;
        if table.disks.iter().any(|known| known.id == disk) {
            continue;
        }
        refuse_shards(folder).with_context(context)?;
        let new = Disk {
            id: disk,
            node: owner.node,
            class: DiskClass::Flash,
        };
        upkeep.admit_disk(new).await.with_context(context)?;
        admitted.push(disk);
    }
    Ok(admitted)
}

/// The id of the disk in a folder; an empty one is stamped.
async fn prepare(folder: &Path, owner: Owner, upkeep: &dyn Upkeep) -> Result<DiskId> {
    files::make_folder(folder)?;
    match stamp::read(folder).await? {
        Found::Stamp(stamp) if owner.is(&stamp) => Ok(stamp.disk),
        Found::Stamp(Stamp {
            cluster,
            node,
            disk,
        }) => {
            bail!("it is {disk} of {node} of cluster {cluster}")
        }
        Found::Foreign => bail!("it holds files that are not Strongroom's"),
        Found::Damaged(error) => Err(error.into()),
        Found::Empty => {
            let Owner { cluster, node } = owner;
            let disk = upkeep.reserve_disk_id().await?;
            stamp::format(
                folder,
                &Stamp {
                    cluster,
                    node,
                    disk,
                },
            )
            .await?;
            Ok(disk)
        }
    }
}

impl Owner {
    fn is(&self, stamp: &Stamp) -> bool {
        stamp.cluster == self.cluster && stamp.node == self.node
    }
}
