//! A delete is fenced (DESIGN §6.4): a shard that was acknowledged leaves a disk only when its run is condemned, when
//! its slot is another disk's, or when no run has it and no lease that could still be committed.
//!
//! As with what is missing, the rows that are known here may lag: a shard that went is judged once cluster time went
//! on.

use super::shards::{holder, is_leased, run_of};
use super::{Holds, Invariant, Stored, Told};
use std::collections::{BTreeMap, BTreeSet};
use types::{DiskId, ShardKey};

/// Cluster time after which what decided it is known here, in milliseconds.
const SETTLED: u64 = 4000;

#[derive(Default)]
pub(super) struct FencedDeletes {
    /// What disks have acknowledged.
    acknowledged: BTreeSet<(DiskId, ShardKey)>,
    /// What went, and when, by cluster time.
    gone: BTreeMap<(DiskId, ShardKey), u64>,
}

impl Invariant for FencedDeletes {
    fn name(&self) -> &'static str {
        "fenced deletes"
    }

    fn told(&mut self, told: &Told) -> Holds {
        if let Told::Stored { disk, key, .. } = told {
            self.acknowledged.insert((*disk, *key));
        }
        Ok(())
    }

    fn stored(&mut self, stored: &Stored<'_>) -> Holds {
        let is_gone = |(disk, key): &(DiskId, ShardKey)| {
            let held = stored.disks.get(disk);
            held.is_some_and(|held| !held.contains(key))
        };
        let new = self.acknowledged.extract_if(.., |shard| is_gone(shard));
        self.gone.extend(new.map(|shard| (shard, stored.now_ms)));
        self.gone
            .retain(|shard, _| !stored.spoilt.contains(shard) && is_needed(stored, shard));
        let settled = |since: u64| stored.now_ms >= since + SETTLED;
        let wrong = self.gone.iter().find(|(_, since)| settled(**since));
        match wrong {
            None => Ok(()),
            Some(((disk, key), _)) => Err(format!("{key} left {disk}, and is needed there")),
        }
    }
}

/// Whether somebody may ask the disk for it, now or later.
fn is_needed(stored: &Stored<'_>, (disk, key): &(DiskId, ShardKey)) -> bool {
    if holder(stored.rows, key.group, key.index) != Some(*disk) {
        return false;
    }
    match run_of(stored.rows, key.group, key.chunk) {
        Some(run) => !run.condemned,
        None => is_leased(stored.rows, key.chunk),
    }
}
