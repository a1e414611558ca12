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
    let shown = shown(folders, owner).await;
    let mut lost = VecDeque::from(owner.lost(table, &shown));
    let mut places = Vec::new();
    for (folder, stamped) in folders.iter().zip(shown) {
        match stamped {
            Some(disk) if !owner.has(table, disk) => {
                let folder = folder.display();
                tracing::error!(%folder, %disk, "the disk is not served: it was replaced, or it is to be admitted with --admit-disks");
            }
            Some(disk) => places.push((folder.clone(), Some(disk))),
            None => places.push((folder.clone(), lost.pop_front())),
        }
    }
    let found = places.iter();
    let found = found.filter_map(|(folder, disk)| Some((folder.clone(), (*disk)?)));
    let found = Folders::found(found.collect());
    let place = |(folder, expected)| DiskFolder { folder, expected };
    (places.into_iter().map(place).collect(), found)
}

/// Which disk of ours each folder shows.
async fn shown(folders: &[PathBuf], owner: Owner) -> Vec<Option<DiskId>> {
    let mut shown = Vec::new();
    for folder in folders {
        shown.push(match stamp::read(folder).await {
            Ok(Found::Stamp(stamp)) if owner.is(&stamp) => Some(stamp.disk),
            _ => None,
        });
    }
    shown
}

/// Makes every empty folder a new disk of the cluster. Folders that are disks already stay what they are. While
/// a disk is lost, an empty folder may be its own, and a new disk there would be in no group: that is for
/// `disk replace`.
pub(super) async fn admit(
    folders: &[PathBuf],
    owner: Owner,
    upkeep: &dyn Upkeep,
) -> Result<Vec<DiskId>> {
    let table = upkeep.table(0).await?.unwrap_or_default();
    if let Some(lost) = owner.lost(&table, &shown(folders, owner).await).first() {
        bail!(
            "no folder holds {lost}, which this node had; bring it back, or start the node and replace it: \
             strongroom disk replace {}",
            lost.get()
        );
    }
    let mut admitted = Vec::new();
    for folder in folders {
        let context = || format!("admitting {}", folder.display());
        let disk = prepare(folder, owner, upkeep).await.with_context(context)?;
        if owner.has(&table, disk) {
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

    /// Whether a disk was admitted in this node.
    fn has(&self, table: &GroupTable, disk: DiskId) -> bool {
        let mut disks = table.disks.iter();
        disks.any(|known| known.id == disk && known.node == self.node)
    }

    /// The disks that were admitted in this node and are in no folder.
    fn lost(&self, table: &GroupTable, shown: &[Option<DiskId>]) -> Vec<DiskId> {
        let disks = table.disks.iter();
        let ours = disks
            .filter(|disk| disk.node == self.node)
            .map(|disk| disk.id);
        ours.filter(|disk| !shown.contains(&Some(*disk))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner {
        cluster: ClusterId::new([7; 16]),
        node: NodeId::new(4),
    };

    fn table(disks: &[(u64, u64)]) -> GroupTable {
        let disk = |(id, node): &(u64, u64)| Disk {
            id: DiskId::new(*id),
            node: NodeId::new(*node),
            class: DiskClass::Flash,
        };
        GroupTable {
            version: 1,
            disks: disks.iter().map(disk).collect(),
            groups: Vec::new(),
        }
    }

    /// A disk is expected where its stamp is; a lost one in a folder that shows none, so that it is told as absent;
    /// one that the table does not have here, nowhere.
    #[tokio::test]
    async fn disks_are_expected_where_they_may_be() {
        let scratch = tempfile::tempdir().unwrap();
        let folders: Vec<PathBuf> = (0..5)
            .map(|n| scratch.path().join(format!("{n}")))
            .collect();
        for (folder, disk) in folders.iter().zip([11, 0, 12, 13]) {
            std::fs::create_dir(folder).unwrap();
            if disk > 0 {
                let Owner { cluster, node } = OWNER;
                let disk = DiskId::new(disk);
                let stamp = Stamp {
                    cluster,
                    node,
                    disk,
                };
                stamp::format(folder, &stamp).await.unwrap();
            }
        }
        // 12 was replaced by 15, which is lost like 14; 16 is another node's.
        let table = table(&[(11, 4), (13, 4), (14, 4), (15, 4), (16, 5)]);
        let (places, found) = find(&folders, OWNER, &table).await;
        let at = |n: usize| folders[n].clone();
        let expected = [(at(0), 11), (at(1), 14), (at(3), 13), (at(4), 15)];
        let places = places
            .into_iter()
            .map(|place| (place.folder, place.expected));
        let expected = expected.map(|(folder, disk)| (folder, Some(DiskId::new(disk))));
        assert!(places.eq(expected));
        assert_eq!(found.of(DiskId::new(14)), Some(at(1)));
        assert_eq!(found.of(DiskId::new(12)), None);
    }
}
