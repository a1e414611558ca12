//! Whether what clients saw of one key is linearizable, deletions and conditions included.
//!
//! A search (Wing and Gong, "Testing and verifying concurrent objects", 1993): from a state take any
//! operation that was called before every answer yet to come, if its outcome fits the state; until none is
//! left. What has no answer may take effect at any moment after its call, or never.

use std::collections::HashSet;

/// What an operation on one key did, or may have done. Values are numbers; none: there is no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// Made this the value, or removed it.
    Wrote(Option<u64>),
    /// Made the second the value where it was the first.
    Swapped(Option<u64>, u64),
    /// Found this value.
    Found(Option<u64>),
    /// Found another value than this, whichever.
    FoundNot(Option<u64>),
}

/// An operation, with when it was called and answered; none: nobody knows whether it took effect.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// What.
    pub did: Did,
    /// When it was called.
    pub called: u64,
    /// When it was answered.
    pub answered: Option<u64>,
}

/// Whether these could have happened one after the other, beginning without an object.
///
/// # Panics
/// When there are more than 128 operations.
pub fn linearizable(history: &[Operation]) -> bool {
    assert!(history.len() <= 128, "{} operations", history.len());
    let due = |taken: u128| {
        let left = history.iter().enumerate();
        let left = left.filter(move |(at, _)| taken & (1 << at) == 0);
        left.filter_map(|(_, one)| one.answered).min()
    };
    let mut seen = HashSet::new();
    let mut open = vec![(0_u128, None)];
    while let Some((taken, state)) = open.pop() {
        let Some(deadline) = due(taken) else {
            return true;
        };
        for (at, one) in history.iter().enumerate() {
            if taken & (1 << at) != 0 || one.called > deadline {
                continue;
            }
            let next = match one.did {
                Did::Wrote(value) => Some(value),
                Did::Swapped(from, to) => (state == from).then_some(Some(to)),
                Did::Found(value) => (state == value).then_some(state),
                Did::FoundNot(value) => (state != value).then_some(state),
            };
            if let Some(next) = next
                && seen.insert((taken | (1 << at), next))
            {
                open.push((taken | (1 << at), next));
            }
        }
    }
    false
}
