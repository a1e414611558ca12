//! Randomness for tests: one seed, printed, and given again with `STRONGROOM_SEED=N`.

use crate::content::mix;
use std::time::SystemTime;

/// A small generator (SplitMix64): the same seed makes the same choices on every machine.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// From `STRONGROOM_SEED`, or from the clock; says which, so that a failure can be replayed.
    pub fn announced(what: &str) -> (Self, u64) {
        let given = std::env::var("STRONGROOM_SEED").ok();
        let seed = match &given {
            Some(text) => text.parse().expect("STRONGROOM_SEED is a number"),
            None => {
                mix(SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .map_or(0, |age| age.as_secs()))
                    >> 32
            }
        };
        eprintln!("{what}: seed {seed} (replay with STRONGROOM_SEED={seed})");
        (Self::new(seed), seed)
    }

    /// Another generator that shares nothing with this one: each task gets its own.
    pub fn split(&mut self) -> Self {
        Self::new(mix(self.next_word()))
    }

    /// 64 bits.
    pub fn next_word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(1);
        mix(self.state)
    }

    /// A number below `bound`, which is not 0. The bias is far below what a test can see.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_word() % bound
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let index = self.below(choices.len() as u64);
        &choices[usize::try_from(index).expect("an index of a slice")]
    }
}
