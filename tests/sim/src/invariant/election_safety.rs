//! A leadership begins with everything that was committed under those before it, and begins once.
//!
//! openraft names a leadership by its term and its server, the term first: in one term two servers may be voted
//! for, the one of the greater id last. So it is not terms that have one leader, but leaderships that are in order:
//! whoever is voted in under a later one holds what any earlier one has committed, since most servers had it and
//! most have voted. A server that forgot a vote or an entry breaks just this.

use super::{Holds, Invariant, Seen};
use std::collections::BTreeMap;

/// Term and server.
type Leadership = (u64, u64);

#[derive(Default)]
pub(super) struct ElectionSafety {
    /// Where each leadership's first entry stands.
    began: BTreeMap<Leadership, u64>,
    /// Of each leadership the last entry that is known to be committed.
    committed: BTreeMap<Leadership, u64>,
    /// How many committed entries were looked at.
    known: usize,
}

impl Invariant for ElectionSafety {
    fn name(&self) -> &'static str {
        "election safety"
    }

    fn seen(&mut self, seen: &Seen<'_>) -> Holds {
        let committed = seen.committed.entries();
        for (entry, _) in &committed[self.known..] {
            let last = self.committed.entry((entry.at.term, entry.at.leader));
            *last.or_default() = entry.at.index;
        }
        self.known = committed.len();
        for server in seen.servers {
            let behind = server.log.windows(2);
            let firsts = behind.filter(|pair| leadership(&pair[0].at) != leadership(&pair[1].at));
            for first in firsts.map(|pair| pair[1].at) {
                self.begins(server.id, leadership(&first), first.index)?;
            }
        }
        Ok(())
    }
}

impl ElectionSafety {
    fn begins(&mut self, server: u64, new: Leadership, index: u64) -> Holds {
        let first = *self.began.entry(new).or_insert(index);
        if first != index {
            let why = "leads twice under one vote: its first entry is";
            return Err(format!(
                "{new:?} {why} {first}, and in server {server} {index}"
            ));
        }
        let mut before = self.committed.range(..new);
        let lost = before.rfind(|(_, last)| **last >= index);
        match lost {
            None => Ok(()),
            Some((old, last)) => Err(format!(
                "{new:?} began at entry {index} without entry {last}, which was committed under {old:?}"
            )),
        }
    }
}

fn leadership(at: &metadata::raft::Position) -> Leadership {
    (at.term, at.leader)
}
