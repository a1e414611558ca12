//! A request has one effect, however often it is sent: also across a leader's change, a snapshot, a late duplicate.
//!
//! Objects' heads are what a numbered request changes; an entry that changes one carries a number that its gateway
//! asked under, and is the only one of that number that does.

use super::{Holds, Invariant, Told};
use crate::chronicle::{Entry, number};
use metadata::tables::HEADS;
use std::collections::{BTreeMap, BTreeSet};
use types::SessionId;

#[derive(Default)]
pub(super) struct ExactlyOnce {
    asked: BTreeSet<(SessionId, u64)>,
    /// By which entry.
    carried_out: BTreeMap<(SessionId, u64), u64>,
}

impl Invariant for ExactlyOnce {
    fn name(&self) -> &'static str {
        "exactly once"
    }

    fn told(&mut self, told: &Told) -> Holds {
        if let Told::Asked(request) = told {
            self.asked.insert((request.session, request.sequence));
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Holds {
        if !entry.changed(&HEADS) {
            return Ok(());
        }
        let index = entry.at.index;
        let Some(request) = number(entry.proposal) else {
            return Err(format!("entry {index} changes an object without a number"));
        };
        let number = (request.session, request.sequence);
        if !self.asked.contains(&number) {
            let why = "which its gateway did not ask under";
            return Err(format!(
                "entry {index} was carried out under {number:?}, {why}"
            ));
        }
        match self.carried_out.insert(number, index) {
            None => Ok(()),
            Some(first) => Err(format!(
                "{number:?} was carried out twice, by entries {first} and {index}"
            )),
        }
    }
}
