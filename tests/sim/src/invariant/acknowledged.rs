//! No acknowledged command is lost: what was answered as done is committed, and every leader has it ever after.
//!
//! What a leader has is looked at once it has applied an entry of its own: before that it answers nobody. A leader of
//! before, who has not heard of the next one, need not have what that one has acknowledged.

use super::{Holds, Invariant, Seen, Told};
use crate::chronicle::{Entry, number};
use metadata::Reply;
use metadata::raft::Position;
use std::collections::{BTreeMap, BTreeSet};
use types::SessionId;

type Number = (SessionId, u64);

#[derive(Default)]
pub(super) struct Acknowledged {
    /// Requests that were done, and by which entry.
    committed: BTreeMap<Number, Position>,
    /// Requests that were acknowledged, and are not known to be committed yet.
    open: BTreeSet<Number>,
    /// The last entry that was acknowledged, under each term and leader.
    last: BTreeMap<(u64, u64), u64>,
}

impl Invariant for Acknowledged {
    fn name(&self) -> &'static str {
        "acknowledged"
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Holds {
        let done = !matches!(entry.reply, Some(Reply::Refused(_)));
        if let Some(request) = number(entry.proposal)
            && done
        {
            let number = (request.session, request.sequence);
            let at = *self.committed.entry(number).or_insert(entry.at);
            if self.open.remove(&number) {
                self.is_acknowledged(at);
            }
        }
        Ok(())
    }

    fn told(&mut self, told: &Told) -> Holds {
        if let Told::Done(request) = told {
            let number = (request.session, request.sequence);
            match self.committed.get(&number).copied() {
                Some(at) => self.is_acknowledged(at),
                None => drop(self.open.insert(number)),
            }
        }
        Ok(())
    }

    fn seen(&mut self, seen: &Seen<'_>) -> Holds {
        for server in seen.servers {
            let (Some(term), Some(applied)) = (server.leads, server.applied) else {
                continue;
            };
            if (applied.term, applied.leader) != (term, server.id) {
                continue;
            }
            let before = self.last.range(..=(term, server.id));
            let last = before.map(|(_, last)| *last).max().unwrap_or(0);
            if applied.index < last {
                let id = server.id;
                return Err(format!(
                    "server {id} leads in term {term} and has applied {applied}: entry {last}, which was \
                     acknowledged, is lost"
                ));
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Holds {
        match self.open.first() {
            None => Ok(()),
            Some((session, sequence)) => Err(format!(
                "request {sequence} of {session} was acknowledged, and is in no log"
            )),
        }
    }
}

impl Acknowledged {
    fn is_acknowledged(&mut self, at: Position) {
        let last = self.last.entry((at.term, at.leader)).or_default();
        *last = at.index.max(*last);
    }
}
