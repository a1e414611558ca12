//! Nothing visible is missing (DESIGN §6.1): of each committed chunk every shard is on its slot's disk, or the rows
//! record it as missing. Looked at in the rows and on the disks themselves.
//!
//! The rows that are known here lag a little behind the servers' while none of them answers: what is missing must
//! still be while cluster time went on. Disks that do not serve are not asked, and damage is told in its own way.

use super::shards::{due, is_recorded};
use super::{Holds, Invariant, Stored};
use std::collections::BTreeMap;
use types::{DiskId, ShardKey};

/// Cluster time after which nobody can say any more that it has just happened, in milliseconds.
const SETTLED: u64 = 4000;

#[derive(Default)]
pub(super) struct NothingMissing {
    /// What is missing, and since when, by cluster time.
    since: BTreeMap<(DiskId, ShardKey), u64>,
}

impl Invariant for NothingMissing {
    fn name(&self) -> &'static str {
        "nothing missing"
    }

    fn stored(&mut self, stored: &Stored<'_>) -> Holds {
        let mut missing = BTreeMap::new();
        for shard in due(stored.rows) {
            let at = (shard.disk, shard.key);
            let Some(held) = stored.disks.get(&shard.disk) else {
                continue;
            };
            let recorded = || {
                let ShardKey { group, index, .. } = shard.key;
                is_recorded(stored.rows, group, shard.run, index)
            };
            if held.contains(&shard.key) || stored.spoilt.contains(&at) || recorded() {
                continue;
            }
            let since = self.since.get(&at).copied().unwrap_or(stored.now_ms);
            if stored.now_ms >= since + SETTLED {
                let (disk, key) = at;
                return Err(format!("{key} is not on {disk}, and nothing records it"));
            }
            missing.insert(at, since);
        }
        self.since = missing;
        Ok(())
    }
}
