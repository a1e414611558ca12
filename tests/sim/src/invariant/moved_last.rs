//! A move deletes last (DESIGN §6.5), as far as there are moves: a lost disk's slot goes to another only once every
//! living run is recorded as missing on it, and a shard counts as made again only once it is on the new disk.

use super::shards::{due, is_recorded};
use super::{Holds, Invariant, Stored};
use crate::chronicle::Entry;
use metadata::command::{ClusterCommand, NamespaceCommand};
use metadata::tables::{GROUP_RUNS, TableKey};
use metadata::{Command, Reply};
use std::collections::BTreeSet;
use types::placement::Slot;
use types::{ChunkId, GroupId};

#[derive(Default)]
pub(super) struct MovedLast {
    /// Slots of runs that were said to be whole since disks were looked at last.
    whole: BTreeSet<(GroupId, ChunkId, Slot)>,
}

impl Invariant for MovedLast {
    fn name(&self) -> &'static str {
        "moved last"
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Holds {
        let done = matches!(entry.reply, Some(Reply::Done));
        match &entry.proposal.command {
            Command::Cluster(ClusterCommand::SwapMembers { swaps, .. }) if done => {
                for swap in swaps {
                    all_recorded(entry, swap.group, swap.slot)?;
                }
            }
            Command::Namespace(NamespaceCommand::ClearRepairs { done }) => {
                let at = done.iter().map(|done| done.at);
                let at = at.map(|at| (at.group, at.first_chunk, at.slot));
                self.whole.extend(at);
            }
            _ => {}
        }
        Ok(())
    }

    fn stored(&mut self, stored: &Stored<'_>) -> Holds {
        for shard in due(stored.rows) {
            let key = shard.key;
            let at = (key.group, shard.run, Slot(key.index));
            let held = stored.disks.get(&shard.disk);
            let lacks = held.is_some_and(|held| !held.contains(&key));
            if lacks
                && self.whole.contains(&at)
                && !stored.spoilt.contains(&(shard.disk, key))
                && !is_recorded(stored.rows, key.group, shard.run, key.index)
            {
                let disk = shard.disk;
                return Err(format!("{key} was said to be whole, and is not on {disk}"));
            }
        }
        self.whole.clear();
        Ok(())
    }
}

fn all_recorded(entry: &Entry<'_>, group: GroupId, slot: Slot) -> Holds {
    for row in GROUP_RUNS.scan(entry.before, &group.bytes()) {
        let (_, run) = row.expect("a row of ours");
        if !run.condemned && !is_recorded(entry.before, group, run.first, slot.0) {
            let first = run.first;
            return Err(format!(
                "{slot:?} of {group} moved, and nothing says that {first} is missing there"
            ));
        }
    }
    Ok(())
}
