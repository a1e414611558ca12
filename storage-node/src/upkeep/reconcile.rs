//! A disk looked through: each of its slots is compared with what the metadata says should be there.
//!
//! It is done when a disk begins to serve, since what happened while it did not is not known; and whenever
//! somebody asks (`strongroom check`), who may only want to be told.

use super::Keeper;
use super::compare::{Difference, compare};
use crate::service::Node;
use std::sync::atomic::Ordering;
use types::placement::{Group, Slot};
use types::wire::metadata::MetadataError;
use types::wire::storage::ReadError;
use types::wire::upkeep::Covered;
use types::{ChunkId, DiskId, ShardKey};

/// Of a disk's shards, at most one in so many is removed as an orphan in one look: more than that is not
/// left-overs but a mistake somewhere, and an operator has to look.
const ORPHANS: u64 = 100;
/// So many may always go.
const FEW: u64 = 1000;

/// What to do about orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Remove them, and have what is missing made again.
    Remove,
    /// Only count.
    Tell,
}

/// What was found on one disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Shards that are there.
    pub held: u64,
    /// Shards that should be there, and are not, without anybody having known.
    pub missing: Vec<ShardKey>,
    /// Shards that are not there, as the metadata knows: they are being made again.
    pub repairing: u64,
    /// Shards that no run covers and no lease.
    pub orphans: Vec<ShardKey>,
    /// Shards under ids that were never given out.
    pub strays: Vec<ShardKey>,
    /// Orphans that were removed.
    pub removed: u64,
}

/// Why a disk was not looked through.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The metadata service did not answer.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The disk did not.
    #[error(transparent)]
    Disk(#[from] ReadError),
}

impl Keeper {
    /// Compares a disk with the metadata.
    ///
    /// # Errors
    /// When the disk does not serve, or the metadata service does not answer.
    pub async fn reconcile(
        &self,
        disk: DiskId,
        removal: Removal,
    ) -> Result<Findings, ReconcileError> {
        let table = self.learn().await;
        let mut findings = Findings::default();
        for group in &table.groups {
            for (slot, member) in (0..).map(Slot).zip(&group.members) {
                if member.disk == disk {
                    self.reconcile_slot(disk, group, slot, removal, &mut findings)
                        .await?;
                }
            }
        }
        let Findings {
            held,
            missing,
            orphans,
            strays,
            removed,
            ..
        } = &findings;
        if missing.len() + orphans.len() + strays.len() > 0 {
            tracing::warn!(
                %disk, held, missing = missing.len(), orphans = orphans.len(), removed,
                strays = strays.len(), "the disk was looked through"
            );
        }
        if removal == Removal::Remove {
            self.make_again(disk, &findings.missing);
        }
        Ok(findings)
    }

    async fn reconcile_slot(
        &self,
        disk: DiskId,
        group: &Group,
        slot: Slot,
        removal: Removal,
        findings: &mut Findings,
    ) -> Result<(), ReconcileError> {
        let node: &Node = &self.node;
        let unavailable = || ReadError::DiskUnavailable { disk };
        let held = node.inventory(disk, group.id, slot);
        let held: Vec<ChunkId> = held
            .map_err(|_| unavailable())?
            .into_iter()
            .map(|shard| shard.chunk)
            .collect();
        findings.held += held.len() as u64;
        let key = |chunk| ShardKey {
            group: group.id,
            chunk,
            index: slot.0,
        };
        let mut from = Some(ChunkId::new(0));
        while let Some(start) = from {
            let covered = self.upkeep.covered(group.id, start).await?;
            from = covered.up_to.map(|upper| upper.plus(1));
            let compared = async { compare(&held, start, &covered, slot, group.profile) };
            let difference = node.pace().piece(compared).await;
            let Difference {
                missing,
                known,
                orphans,
                strays,
            } = difference;
            findings.repairing += known;
            if !missing.is_empty() {
                // What has landed since the inventory was taken is not missing.
                let now = node.inventory(disk, group.id, slot);
                let now = now.map_err(|_| unavailable())?;
                let landed = |chunk: &ChunkId| now.binary_search_by_key(chunk, |s| s.chunk).is_ok();
                let missing = missing.into_iter().filter(|chunk| !landed(chunk));
                findings.missing.extend(missing.map(key));
            }
            findings.strays.extend(strays.into_iter().map(key));
            if removal == Removal::Remove {
                self.remove_orphans(disk, group, slot, &orphans, &covered, findings)
                    .await;
            }
            findings.orphans.extend(orphans.into_iter().map(key));
        }
        Ok(())
    }

    async fn remove_orphans(
        &self,
        disk: DiskId,
        group: &Group,
        slot: Slot,
        orphans: &[ChunkId],
        covered: &Covered,
        findings: &mut Findings,
    ) {
        for &chunk in orphans {
            if findings.removed >= FEW.max(findings.held / ORPHANS) {
                tracing::error!(%disk, "too many orphans: none is removed any more, please look");
                return;
            }
            let chunks = chunk..=chunk;
            let node: &Node = &self.node;
            let deleted = node.delete(disk, group.id, slot, chunks, covered.epoch);
            match node.pace().piece(deleted).await {
                Ok(deleted) => {
                    findings.removed += deleted.shards;
                    let removed = &self.counted.removed;
                    removed.fetch_add(deleted.shards, Ordering::Relaxed);
                }
                Err(error) => tracing::debug!(%disk, %error, "an orphan is removed later"),
            }
        }
    }
}
