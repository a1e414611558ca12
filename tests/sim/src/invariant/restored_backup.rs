//! What a restored backup does not know of stays until somebody has looked (DESIGN §6.4: after a restore collection
//! stops and asks): while deletions are held no shard leaves a disk, nothing is condemned and no disk is told.
//!
//! That all that the backup holds can be read, the run itself looks at.

use super::{Holds, Invariant, Stored};
use crate::chronicle::Entry;
use metadata::tables::{DELETES, HOLD};
use std::collections::{BTreeMap, BTreeSet};
use types::{DiskId, ShardKey};

#[derive(Default)]
pub(super) struct RestoredBackup {
    /// What disks have held since the restore.
    held: BTreeMap<DiskId, BTreeSet<ShardKey>>,
}

impl Invariant for RestoredBackup {
    fn name(&self) -> &'static str {
        "restored backup"
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Holds {
        let holds = HOLD.contains(entry.before, &()).expect("a row of ours");
        let told = entry.rows_of(&DELETES).any(|(_, row)| row.is_some());
        match holds && told {
            true => Err(format!("entry {} tells disks to delete", entry.at.index)),
            false => Ok(()),
        }
    }

    fn stored(&mut self, stored: &Stored<'_>) -> Holds {
        if !stored.holds {
            self.held.clear();
            return Ok(());
        }
        for (disk, holds) in stored.disks {
            let held = self.held.entry(*disk).or_default();
            let mut gone = held.difference(holds);
            if let Some(key) = gone.find(|key| !stored.spoilt.contains(&(*disk, **key))) {
                return Err(format!("{key} left {disk}, and nobody has looked yet"));
            }
            held.extend(holds);
        }
        Ok(())
    }
}
