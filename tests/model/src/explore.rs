//! The search: every state that any interleaving of steps can reach, breadth first.
//!
//! Breadth first, so that the counter-example it prints is a shortest one. A visited state is kept
//! as a 64-bit fingerprint and a link to its parent (20 bytes or so); only the frontier holds whole
//! states. Two states with one fingerprint would hide the second: at five million states that
//! happens with a chance of about one in a million, and a counter-example is replayed, so what is
//! reported is real.
//!
//! This module knows nothing of shards or keys.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
};

/// A world with rules: what may happen next, what happens then, and what must hold.
pub trait Model {
    /// Everything that the future depends on, in one canonical form.
    type State: Clone + Hash;
    /// One atomic step of one actor; `Display` is one line of a counter-example.
    type Action: fmt::Display;
    /// What kind of thing a step did; counted, to show that a search was not vacuous.
    type Event: Copy + Ord;
    /// How the promise was broken.
    type Violation: Clone;

    /// The one state in which every run begins.
    fn initial(&self) -> Self::State;
    /// Appends every step that may come next, in an order that depends on `state` alone.
    fn actions(&self, state: &Self::State, next: &mut Vec<Self::Action>);
    /// Takes one of the steps that [`Model::actions`] offered.
    fn step(&self, state: &Self::State, action: &Self::Action) -> (Self::State, Self::Event);
    /// The promise, asked of each reachable state.
    fn check(&self, state: &Self::State) -> Result<(), Self::Violation>;
}

/// How a search ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<V> {
    /// Every reachable state was seen, and the promise holds in each.
    Safe,
    /// No violation among the states seen, but the limit came first: proves nothing.
    Unfinished,
    /// A shortest way to break the promise.
    Broken {
        /// What is broken in the last state.
        violation: V,
        /// The steps that lead there, in order.
        trace: Vec<String>,
    },
}

/// What a search saw.
#[derive(Clone, Debug)]
pub struct Report<E, V> {
    /// Distinct states visited.
    pub states: usize,
    /// Steps from the initial state to the farthest state visited.
    pub depth: usize,
    /// How often each kind of step was taken.
    pub events: BTreeMap<E, u64>,
    /// How it ended.
    pub verdict: Verdict<V>,
}

/// Where a state was first reached from: its parent's number and the number of the action there.
#[derive(Clone, Copy)]
struct Link {
    parent: u32,
    action: u32,
}

/// Visits every state reachable in `model`, until one breaks the promise or `limit` states are seen.
pub fn explore<M: Model>(model: &M, limit: usize) -> Report<M::Event, M::Violation> {
    let start = model.initial();
    let mut seen: HashSet<u64, BuildHasherDefault<AsIs>> = HashSet::default();
    seen.insert(fingerprint(&start));
    let mut links = vec![Link {
        parent: 0,
        action: 0,
    }];
    let mut events = BTreeMap::new();
    let mut frontier = vec![(0_u32, start)];
    let mut depth = 0;
    let mut actions = Vec::new();

    while !frontier.is_empty() {
        let mut next = Vec::new();
        for (number, state) in frontier {
            actions.clear();
            model.actions(&state, &mut actions);
            for (taken, action) in (0_u32..).zip(&actions) {
                let (after, event) = model.step(&state, action);
                *events.entry(event).or_insert(0) += 1;
                if !seen.insert(fingerprint(&after)) {
                    continue;
                }
                let child = u32::try_from(links.len()).expect("limit fits 32 bits");
                links.push(Link {
                    parent: number,
                    action: taken,
                });
                if let Err(violation) = model.check(&after) {
                    let trace = retrace(model, &links, child);
                    let verdict = Verdict::Broken { violation, trace };
                    return Report {
                        states: links.len(),
                        depth: depth + 1,
                        events,
                        verdict,
                    };
                }
                if links.len() >= limit {
                    let verdict = Verdict::Unfinished;
                    return Report {
                        states: links.len(),
                        depth: depth + 1,
                        events,
                        verdict,
                    };
                }
                next.push((child, after));
            }
        }
        depth += usize::from(!next.is_empty());
        frontier = next;
    }
    Report {
        states: links.len(),
        depth,
        events,
        verdict: Verdict::Safe,
    }
}

/// Replays the steps from the initial state to state `last`, as text.
fn retrace<M: Model>(model: &M, links: &[Link], last: u32) -> Vec<String> {
    let mut path = Vec::new();
    let mut at = last;
    while at != 0 {
        let link = links[at as usize];
        path.push(link.action as usize);
        at = link.parent;
    }
    let mut state = model.initial();
    let mut trace = Vec::new();
    for choice in path.into_iter().rev() {
        let mut actions = Vec::new();
        model.actions(&state, &mut actions);
        trace.push(actions[choice].to_string());
        state = model.step(&state, &actions[choice]).0;
    }
    trace
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = Fold(0x9e37_79b9_7f4a_7c15);
    state.hash(&mut hasher);
    hasher.finish()
}

/// Multiply-and-fold, 8 bytes a step, as wyhash does. Fast, well mixed, not meant to resist anyone.
struct Fold(u64);

impl Fold {
    fn absorb(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0xa076_1d64_78bd_642f)
            * u128::from(0xe703_7ed1_a0b4_28db_u64);
        let bytes = product.to_le_bytes();
        let (low, high) = bytes.split_at(8);
        self.0 = word_of(low) ^ word_of(high).rotate_left(32);
    }
}

fn word_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        bytes
            .chunks(8)
            .for_each(|chunk| self.absorb(word_of(chunk)));
    }

    fn write_u8(&mut self, value: u8) {
        self.absorb(u64::from(value));
    }

    /// Lengths and enum tags. The arrays of a state are of fixed length, so only tags tell anything.
    fn write_usize(&mut self, value: usize) {
        self.absorb(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// For keys that are fingerprints already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, _: &[u8]) {
        unreachable!("fingerprints are hashed as one u64")
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two counters that go up one at a time to `TOP`; neither may be at `bad`.
    struct Grid {
        bad: Option<(u8, u8)>,
    }

    const TOP: u8 = 9;

    impl Model for Grid {
        type State = (u8, u8);
        type Action = &'static str;
        type Event = ();
        type Violation = (u8, u8);

        fn initial(&self) -> (u8, u8) {
            (0, 0)
        }

        fn actions(&self, &(x, y): &(u8, u8), next: &mut Vec<&'static str>) {
            next.extend((x < TOP).then_some("right"));
            next.extend((y < TOP).then_some("up"));
        }

        fn step(&self, &(x, y): &(u8, u8), action: &&'static str) -> ((u8, u8), ()) {
            (
                if *action == "up" {
                    (x, y + 1)
                } else {
                    (x + 1, y)
                },
                (),
            )
        }

        fn check(&self, at: &(u8, u8)) -> Result<(), (u8, u8)> {
            if Some(*at) == self.bad {
                Err(*at)
            } else {
                Ok(())
            }
        }
    }

    /// Each reachable state is visited once, each step taken once from each.
    /// Method: a grid, whose corners and edges can be counted by hand.
    #[test]
    fn visits_every_state_once() {
        let report = explore(&Grid { bad: None }, 1000);
        assert_eq!(
            (report.states, report.depth, report.events[&()]),
            (100, 18, 180)
        );
        assert_eq!(report.verdict, Verdict::Safe);
    }

    /// A counter-example is a shortest one, and its steps lead where it says.
    /// Method: one bad corner of a grid, three steps away.
    #[test]
    fn finds_a_shortest_counter_example() {
        let report = explore(&Grid { bad: Some((1, 2)) }, 1000);
        let Verdict::Broken { violation, trace } = report.verdict else {
            panic!("not found")
        };
        assert_eq!((violation, trace.len()), ((1, 2), 3));
        assert_eq!(trace.iter().filter(|step| *step == "up").count(), 2);
    }

    /// A search that was cut short never says that all is well.
    /// Method: a limit one below the number of states.
    #[test]
    fn a_cut_search_is_unfinished() {
        assert_eq!(
            explore(&Grid { bad: None }, 99).verdict,
            Verdict::Unfinished
        );
    }
}
