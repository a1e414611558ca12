//! Of two logs that hold an entry of one place and one leadership, both hold the same there, and the same before it.
//! And what is committed stays, in every log and for ever.
//!
//! The first is looked at entry by entry: whatever was ever seen under a place and a leadership carries one thing and
//! follows one entry. From that the rest follows.

use super::{Holds, Invariant, Seen, Server};
use metadata::raft::{Carries, Logged, Position};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct LogMatching {
    /// What was seen: what it carries, and what it follows where that was seen.
    entries: BTreeMap<(u64, u64, u64), (Carries, Option<Position>)>,
}

impl Invariant for LogMatching {
    fn name(&self) -> &'static str {
        "log matching"
    }

    fn seen(&mut self, seen: &Seen<'_>) -> Holds {
        for server in seen.servers {
            self.matches(server)?;
            is_kept(server, seen)?;
        }
        Ok(())
    }
}

impl LogMatching {
    fn matches(&mut self, server: &Server) -> Holds {
        let mut follows = None;
        for entry in &server.log {
            let Logged { at, carries } = entry;
            let key = (at.index, at.term, at.leader);
            let known = self.entries.entry(key);
            let known = known.or_insert_with(|| (carries.clone(), follows));
            let same_before = known.1.is_none() || follows.is_none() || known.1 == follows;
            if known.0 != *carries || !same_before {
                let was = known.1;
                return Err(format!(
                    "{at} is another in server {}, or follows {follows:?} and not {was:?}",
                    server.id
                ));
            }
            known.1 = known.1.or(follows);
            follows = Some(*at);
        }
        Ok(())
    }
}

/// What a server has applied is what was committed there.
fn is_kept(server: &Server, seen: &Seen<'_>) -> Holds {
    let applied = server.applied.map_or(0, |at| at.index + 1);
    for entry in server.log.iter().filter(|entry| entry.at.index < applied) {
        let committed = seen.committed.at(entry.at.index).map(|(entry, _)| entry);
        if committed.is_some_and(|committed| committed != entry) {
            let (at, was) = (entry.at, committed.map(|committed| committed.at));
            return Err(format!(
                "server {} applied {at}, and committed was {was:?}",
                server.id
            ));
        }
    }
    Ok(())
}
