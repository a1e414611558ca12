//! What clients did and saw, key by key, by one clock that counts calls and answers.

use crate::bay::lock;
use crate::judge::{Did, Operation, linearizable};
use crate::trace::Trace;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// The history of one run.
pub(crate) struct History {
    inner: Mutex<Inner>,
    trace: Trace,
}

#[derive(Default)]
struct Inner {
    now: u64,
    keys: BTreeMap<u64, Vec<Option<Operation>>>,
    wrong: Vec<String>,
}

/// An operation under way. Dropped, nobody knows its outcome.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    key: u64,
    at: usize,
}

impl History {
    /// Nothing happened yet.
    pub(crate) fn new(trace: Trace) -> Self {
        let inner = Mutex::default();
        Self { inner, trace }
    }

    /// Something is called that may change a key.
    pub(crate) fn begin(&self, key: u64, did: Did) -> Begun {
        self.trace.note(format_args!("a client: {key} {did:?}"));
        let mut inner = lock(&self.inner);
        inner.now += 1;
        let called = inner.now;
        let operations = inner.keys.entry(key).or_default();
        operations.push(Some(Operation {
            did,
            called,
            answered: None,
        }));
        let at = operations.len() - 1;
        Begun { key, at }
    }

    /// It was answered: this is what it did, or nothing.
    pub(crate) fn end(&self, begun: Begun, did: Option<Did>) {
        let Begun { key, at } = begun;
        self.trace
            .note(format_args!("a client: {key} {at} ended: {did:?}"));
        let mut inner = lock(&self.inner);
        inner.now += 1;
        let now = inner.now;
        let operation = inner.keys.get_mut(&begun.key).map(|all| &mut all[begun.at]);
        let operation = operation.expect("it was begun");
        match (did, operation.as_mut()) {
            (Some(did), Some(operation)) => {
                (operation.did, operation.answered) = (did, Some(now));
            }
            _ => *operation = None,
        }
    }

    /// Something was seen that cannot be, whatever happened.
    pub(crate) fn wrong(&self, what: String) {
        lock(&self.inner).wrong.push(what);
    }

    /// How many operations there were, and of how many nobody knows the outcome.
    pub(crate) fn count(&self) -> (usize, usize) {
        let inner = lock(&self.inner);
        let all = || inner.keys.values().flatten().flatten();
        (
            all().count(),
            all().filter(|one| one.answered.is_none()).count(),
        )
    }

    /// # Errors
    /// What was wrong.
    pub(crate) fn judge(&self) -> Result<(), String> {
        let inner = lock(&self.inner);
        if let Some(wrong) = inner.wrong.first() {
            return Err(wrong.clone());
        }
        for (key, operations) in &inner.keys {
            let operations: Vec<Operation> = operations.iter().flatten().copied().collect();
            if !linearizable(&operations) {
                let lines = operations.iter().map(|one| format!("\n  {one:?}"));
                let lines: String = lines.collect();
                return Err(format!("key {key} is not linearizable:{lines}"));
            }
        }
        Ok(())
    }
}
