//! Whether what clients saw of a few keys together is linearizable: writes, conditional writes, deletions, reads, and
//! lists, which read all keys at one moment.
//!
//! A pure function over a history: call and answer of each operation, in the order in which they happened. It keeps
//! every state that the keys may be in, with which of the operations under way have happened in it (Lowe, "Testing
//! for linearizability", 2017: just-in-time linearization):
//!
//! ```text
//! call      one more is under way
//! answer    only states stay in which it has happened, and with this answer; where it has not yet, others that are
//!           under way may happen first. None is left: no order explains what was seen
//! ```
//!
//! What was never answered may happen at any time after its call, or never. Of two states with equal keys, in which
//! the same answered operations have happened, the one in which fewer of these have can go on as the other can, and
//! is enough. Many of them make many states all the same: a history is that of a few keys for a few seconds.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

/// A value of a key; none: there is no such key.
pub type Value = Option<u64>;

/// What an operation did, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Wrote a value, whatever was there.
    Put(u64, u64),
    /// Was to write a value if this one was there; whether it did.
    PutIf(u64, Value, u64, bool),
    /// Deleted a key.
    Delete(u64),
    /// Found a value.
    Get(u64, Value),
    /// Found these keys and values, and no others.
    List(BTreeMap<u64, u64>),
}

/// One operation, by one clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What was done.
    pub act: Act,
    /// When it was called.
    pub called: u64,
    /// When it was answered; none: nobody knows whether it happened, and its answer is not looked at.
    pub answered: Option<u64>,
}

/// An answer that no order of operations explains, after all those that were answered before it were explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// The operation.
    pub event: Event,
    /// States that were possible just before it was answered.
    pub possible: Vec<BTreeMap<u64, u64>>,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, possible } = self;
        write!(f, "no order explains {event:?}; before it: {possible:?}")
    }
}

/// The keys, and which operations under way have happened.
#[derive(Clone, PartialEq, Eq)]
struct State {
    sure: Sure,
    /// Of those that were never answered.
    unanswered: Vec<usize>,
}

/// What must be equal, that two states can be compared.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Sure {
    keys: BTreeMap<u64, u64>,
    /// Of those that will be answered.
    happened: Vec<usize>,
}

/// States, none of which is as good as another.
#[derive(Default)]
struct States(HashMap<Sure, Vec<Vec<usize>>>);

impl States {
    /// Adds one; not if there is one that is as good.
    fn add(&mut self, state: &State) -> bool {
        let alike = self.0.entry(state.sure.clone()).or_default();
        let includes = |fewer: &[usize], more: &[usize]| {
            fewer.iter().all(|one| more.binary_search(one).is_ok())
        };
        if alike.iter().any(|other| includes(other, &state.unanswered)) {
            return false;
        }
        alike.retain(|other| !includes(&state.unanswered, other));
        alike.push(state.unanswered.clone());
        true
    }

    fn all(&self) -> impl Iterator<Item = State> {
        self.0.iter().flat_map(|(sure, alike)| {
            alike.iter().map(|unanswered| State {
                sure: sure.clone(),
                unanswered: unanswered.clone(),
            })
        })
    }
}

fn insert(list: &mut Vec<usize>, at: usize) {
    let place = list.binary_search(&at).unwrap_or_else(|place| place);
    list.insert(place, at);
}

impl State {
    fn has(&self, key: u64) -> Value {
        self.sure.keys.get(&key).copied()
    }

    fn set(&mut self, key: u64, value: Value) {
        match value {
            Some(value) => self.sure.keys.insert(key, value),
            None => self.sure.keys.remove(&key),
        };
    }

    /// The state after an operation, if it can happen in this one.
    fn after(&self, at: usize, event: &Event) -> Option<Self> {
        let mut next = self.clone();
        let known = event.answered.is_some();
        match &event.act {
            Act::Put(key, value) => next.set(*key, Some(*value)),
            Act::PutIf(key, expects, value, done) => {
                let holds = self.has(*key) == *expects;
                if known && holds != *done {
                    return None;
                }
                if holds {
                    next.set(*key, Some(*value));
                }
            }
            Act::Delete(key) => next.set(*key, None),
            Act::Get(key, found) => {
                if known && self.has(*key) != *found {
                    return None;
                }
            }
            Act::List(found) => {
                if known && self.sure.keys != *found {
                    return None;
                }
            }
        }
        if known {
            insert(&mut next.sure.happened, at);
        } else {
            insert(&mut next.unanswered, at);
        }
        Some(next)
    }

    fn has_seen(&self, at: usize) -> bool {
        self.sure.happened.binary_search(&at).is_ok() || self.unanswered.binary_search(&at).is_ok()
    }
}

/// Checks a history, in any order, of keys that did not exist before it. How many operations were explained.
///
/// # Errors
/// The first answer that no order explains.
pub fn check(history: &[Event]) -> Result<usize, Anomaly> {
    // A call before an answer of the same moment: they may have overlapped.
    let calls = history.iter().enumerate();
    let calls = calls.map(|(at, event)| (event.called, 0, at));
    let answers = history.iter().enumerate();
    let answers = answers.filter_map(|(at, event)| Some((event.answered?, 1, at)));
    let mut moments: Vec<(u64, u8, usize)> = calls.chain(answers).collect();
    moments.sort_unstable();

    let mut under_way: Vec<usize> = Vec::new();
    let mut states = States::default();
    states.add(&State {
        sure: Sure {
            keys: BTreeMap::new(),
            happened: Vec::new(),
        },
        unanswered: Vec::new(),
    });
    let mut explained = 0;
    for (_, kind, at) in moments {
        if kind == 0 {
            under_way.push(at);
            continue;
        }
        let next = answered(history, &under_way, &states, at);
        if next.0.is_empty() {
            let mut possible: Vec<_> = states.all().map(|state| state.sure.keys).collect();
            possible.sort_unstable();
            possible.dedup();
            return Err(Anomaly {
                event: history[at].clone(),
                possible,
            });
        }
        states = next;
        under_way.retain(|other| *other != at);
        explained += 1;
    }
    Ok(explained)
}

/// The states in which one has happened, which is forgotten then.
fn answered(history: &[Event], under_way: &[usize], states: &States, at: usize) -> States {
    let mut seen = States::default();
    let mut open: VecDeque<State> = states.all().filter(|state| seen.add(state)).collect();
    let mut next = States::default();
    while let Some(state) = open.pop_front() {
        if let Ok(place) = state.sure.happened.binary_search(&at) {
            let mut forgot = state;
            forgot.sure.happened.remove(place);
            next.add(&forgot);
            continue;
        }
        for other in under_way {
            if !state.has_seen(*other)
                && let Some(after) = state.after(*other, &history[*other])
                && seen.add(&after)
            {
                open.push_back(after);
            }
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(act: Act, called: u64, answered: u64) -> Event {
        Event {
            act,
            called,
            answered: Some(answered),
        }
    }

    fn unknown(act: Act, called: u64) -> Event {
        Event {
            act,
            called,
            answered: None,
        }
    }

    fn list(found: &[(u64, u64)]) -> Act {
        Act::List(found.iter().copied().collect())
    }

    /// What happened one after the other is explained in that order, and in no other.
    #[test]
    fn one_after_the_other() {
        let good = [
            event(Act::Get(1, None), 0, 1),
            event(Act::Put(1, 10), 2, 3),
            event(Act::PutIf(1, Some(10), 11, true), 4, 5),
            event(Act::PutIf(1, Some(10), 12, false), 6, 7),
            event(Act::PutIf(2, None, 20, true), 8, 9),
            event(list(&[(1, 11), (2, 20)]), 10, 11),
            event(Act::Delete(1), 12, 13),
            event(list(&[(2, 20)]), 14, 15),
        ];
        assert_eq!(check(&good), Ok(good.len()));
        // Each answer in turn is changed to a wrong one.
        let wrong = [
            Act::Get(1, Some(10)),
            Act::PutIf(1, None, 10, false),
            Act::PutIf(1, Some(10), 11, false),
            Act::PutIf(1, Some(10), 12, true),
            Act::PutIf(2, None, 20, false),
            list(&[(1, 11)]),
            Act::PutIf(1, Some(12), 1, true),
            list(&[(1, 11), (2, 20)]),
        ];
        for (at, act) in wrong.into_iter().enumerate() {
            let mut bad = good.to_vec();
            bad[at].act = act;
            let anomaly = check(&bad).unwrap_err();
            assert_eq!(anomaly.event, bad[at], "{anomaly}");
        }
    }

    /// A stale read, a lost write, and a list of two moments are caught, though each key alone is explained.
    #[test]
    fn what_is_wrong_is_caught() {
        let stale = [
            event(Act::Put(1, 10), 0, 1),
            event(Act::Put(1, 11), 2, 3),
            event(Act::Get(1, Some(10)), 4, 5),
        ];
        assert_eq!(check(&stale).unwrap_err().event, stale[2]);
        let lost = [event(Act::Put(1, 10), 0, 1), event(Act::Get(1, None), 2, 3)];
        assert_eq!(check(&lost).unwrap_err().event, lost[1]);
        // Key 1 was written before key 2; the list has seen only the later one.
        let torn = [
            event(list(&[(2, 20)]), 0, 9),
            event(Act::Put(1, 10), 1, 2),
            event(Act::Put(2, 20), 3, 4),
        ];
        assert_eq!(check(&torn).unwrap_err().event, torn[0]);
        let whole = [
            event(list(&[(1, 10)]), 0, 9),
            torn[1].clone(),
            torn[2].clone(),
        ];
        assert_eq!(check(&whole), Ok(3));
        // Two lists that saw two writes in different orders.
        let crossed = [
            event(Act::Put(1, 10), 0, 9),
            event(Act::Put(2, 20), 0, 9),
            event(list(&[(1, 10)]), 1, 8),
            event(list(&[(2, 20)]), 1, 8),
        ];
        assert!(check(&crossed).is_err());
    }

    /// Many that were never answered cost little, whatever came of them.
    /// Method: thirty writes and deletions of three keys that nobody knows the outcome of, then some reads.
    #[test]
    fn the_unanswered_are_cheap() {
        let mut history = Vec::new();
        for number in 0..30 {
            let key = number % 3;
            let act = match number % 5 {
                0 => Act::Delete(key),
                1 => Act::PutIf(key, None, 100 + number, false),
                _ => Act::Put(key, 100 + number),
            };
            history.push(unknown(act, number));
        }
        for number in 0..20 {
            let called = 100 + 2 * number;
            history.push(event(Act::Get(1, None), called, called + 1));
        }
        assert_eq!(check(&history), Ok(20));
        history.push(event(Act::Get(2, Some(7)), 900, 901));
        assert!(check(&history).is_err());
    }

    /// What overlaps may have happened in either order; what was never answered at any time later, once, or never.
    #[test]
    fn what_may_have_been_is_explained() {
        let either = |found| {
            [
                event(Act::Put(1, 10), 0, 5),
                event(Act::Put(1, 11), 0, 5),
                event(Act::Get(1, Some(found)), 6, 7),
            ]
        };
        assert!(check(&either(10)).is_ok() && check(&either(11)).is_ok());
        let late = |first: Value, second: Value| {
            [
                event(Act::Put(1, 10), 0, 1),
                unknown(Act::Put(1, 11), 2),
                event(Act::Get(1, first), 8, 9),
                event(Act::Get(1, second), 10, 11),
            ]
        };
        assert!(check(&late(Some(10), Some(10))).is_ok());
        assert!(check(&late(Some(10), Some(11))).is_ok());
        assert!(check(&late(Some(11), Some(11))).is_ok());
        assert!(check(&late(Some(11), Some(10))).is_err());
        // Nobody knows whether its condition held.
        let maybe = [
            unknown(Act::PutIf(1, None, 10, false), 0),
            event(Act::Get(1, Some(10)), 1, 2),
        ];
        assert!(check(&maybe).is_ok());
        let cannot = [
            event(Act::Put(1, 9), 0, 1),
            unknown(Act::PutIf(1, None, 10, false), 2),
            event(Act::Get(1, Some(10)), 3, 4),
        ];
        assert!(check(&cannot).is_err());
    }
}
