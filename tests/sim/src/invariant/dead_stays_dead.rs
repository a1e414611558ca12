//! Dead stays dead (DESIGN §6.3): a count of references never rises from zero, and disks are told only once a blob
//! is committed as dead and the reclaim delay is over, by cluster time.

use super::shards::trailing;
use super::{Holds, Invariant};
use crate::chronicle::Entry;
use metadata::tables::{BLOBS, CLOCK, DELETES};
use std::time::Duration;
use types::BlobId;

pub(super) struct DeadStaysDead {
    /// As the cluster was told.
    pub(super) reclaim_after: Duration,
}

impl Invariant for DeadStaysDead {
    fn name(&self) -> &'static str {
        "dead stays dead"
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Holds {
        let now_ms = CLOCK.get(entry.before, &()).expect("a row of ours");
        let now_ms = now_ms.unwrap_or_default().now_ms;
        let mut condemned = false;
        for (key, row) in entry.rows_of(&BLOBS) {
            let id = BlobId::new(trailing(key));
            let before = BLOBS.get(entry.before, &id).expect("a row of ours");
            let (Some(before), Some(after)) = (before, row) else {
                continue;
            };
            if before.references == 0 && after.references > 0 {
                return Err(format!("{id} was dead, and is shown again"));
            }
            let Some(died) = after.condemned else {
                continue;
            };
            condemned = true;
            let kept = Duration::from_millis(now_ms.saturating_sub(died));
            if after.references > 0 || before.condemned.is_none() && kept < self.reclaim_after {
                let due = self.reclaim_after;
                return Err(format!("{id} was condemned after {kept:?}, not {due:?}"));
            }
        }
        let told = entry.rows_of(&DELETES).any(|(_, row)| row.is_some());
        if told && !condemned {
            let index = entry.at.index;
            return Err(format!(
                "disks are told by entry {index} of what is not dead"
            ));
        }
        Ok(())
    }
}
