//! Whether what clients saw of registers is linearizable: as if each operation had happened at one moment
//! between its call and its answer.
//!
//! A pure function over a history in which no value is written twice to one register. Then it is enough to
//! look at each value's *cluster*, its write and all reads of it (Gibbons and Korach, "Testing shared
//! memories", 1997). With `f` the earliest answer in a cluster and `s` the latest call:
//!
//! ```text
//! forward   f < s   the register held the value from f to s at least: nothing else may have been held then
//! backward  s <= f  there is a moment at which all of the cluster may have happened
//! ```
//!
//! The history is linearizable exactly when every value that was read was written, no read was answered
//! before its write was called, no two forward zones overlap, and no backward zone lies inside a forward
//! one.

pub mod namespace;

use std::collections::BTreeMap;
use std::fmt;

/// One operation on one register, with when it was called and answered, by one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which register.
    pub register: u64,
    /// What was done.
    pub did: Did,
    /// When it was called.
    pub called: u64,
    /// When it was answered; none: nobody knows whether it took effect.
    pub answered: Option<u64>,
}

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// Wrote a value, which no other operation writes to this register.
    Wrote(u64),
    /// Found a value, or that nothing was ever written.
    Read(Option<u64>),
}

/// Why a history is not linearizable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A value was read that nobody wrote, or that was only written later.
    FromNowhere {
        /// Of which register.
        register: u64,
        /// Which value.
        value: u64,
    },
    /// Two values were held in turns: what was seen of one is stale, or was lost.
    Stale {
        /// Of which register.
        register: u64,
        /// One value; none is that of the beginning.
        one: Option<u64>,
        /// The other.
        other: Option<u64>,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromNowhere { register, value } => {
                write!(
                    f,
                    "register {register}: {value} was read and not written before"
                )
            }
            Self::Stale {
                register,
                one,
                other,
            } => write!(
                f,
                "register {register}: {one:?} and {other:?} were seen in turns"
            ),
        }
    }
}

/// How many operations a history holds that was found linearizable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Writes, and those of them of which nobody knows the outcome.
    pub writes: usize,
    /// Of which.
    pub unknown: usize,
    /// Reads.
    pub reads: usize,
}

/// All operations of one value.
#[derive(Clone, Copy)]
struct Cluster {
    written: Option<u64>,
    /// The earliest answer: before it the write must have happened.
    finish: u64,
    /// The latest call.
    start: u64,
    first_read_answered: u64,
}

impl Cluster {
    const EMPTY: Self = Self {
        written: None,
        finish: u64::MAX,
        start: 0,
        first_read_answered: u64::MAX,
    };

    fn forward(&self) -> bool {
        self.finish < self.start
    }
}

/// Checks a history, in any order. A read that was not answered says nothing and is left out.
///
/// # Errors
/// The first violation that was found.
///
/// # Panics
/// When a value is written twice to one register.
pub fn check(history: &[Operation]) -> Result<Checked, Violation> {
    let mut checked = Checked::default();
    let mut registers: BTreeMap<u64, BTreeMap<Option<u64>, Cluster>> = BTreeMap::new();
    for operation in history {
        let clusters = registers.entry(operation.register).or_default();
        let answered = operation.answered.unwrap_or(u64::MAX);
        match operation.did {
            Did::Wrote(value) => {
                let cluster = clusters.entry(Some(value)).or_insert(Cluster::EMPTY);
                assert!(cluster.written.is_none(), "{value} is written twice");
                cluster.written = Some(operation.called);
                cluster.finish = cluster.finish.min(answered);
                cluster.start = cluster.start.max(operation.called);
                checked.writes += 1;
                checked.unknown += usize::from(operation.answered.is_none());
            }
            Did::Read(value) if operation.answered.is_some() => {
                let cluster = clusters.entry(value).or_insert(Cluster::EMPTY);
                cluster.finish = cluster.finish.min(answered);
                cluster.start = cluster.start.max(operation.called);
                cluster.first_read_answered = cluster.first_read_answered.min(answered);
                checked.reads += 1;
            }
            Did::Read(_) => {}
        }
    }
    for (register, mut clusters) in registers {
        // What was there in the beginning was written before everything.
        let beginning = clusters.entry(None).or_insert(Cluster::EMPTY);
        (beginning.written, beginning.finish) = (Some(0), 0);
        check_register(register, &clusters)?;
    }
    Ok(checked)
}

fn check_register(
    register: u64,
    clusters: &BTreeMap<Option<u64>, Cluster>,
) -> Result<(), Violation> {
    for (value, cluster) in clusters {
        let before_it_was_written = cluster
            .written
            .is_none_or(|written| cluster.first_read_answered < written);
        if let (Some(value), true) = (*value, before_it_was_written) {
            return Err(Violation::FromNowhere { register, value });
        }
    }
    let stale = |one: Option<u64>, other: Option<u64>| Violation::Stale {
        register,
        one,
        other,
    };
    let (mut forward, backward): (Vec<_>, Vec<_>) =
        clusters.iter().partition(|(_, cluster)| cluster.forward());
    forward.sort_by_key(|(_, cluster)| cluster.finish);
    for pair in forward.windows(2) {
        let [(one, first), (other, second)] = pair else {
            unreachable!("windows of two")
        };
        if second.finish < first.start {
            return Err(stale(**one, **other));
        }
    }
    for (value, cluster) in backward {
        // Forward zones do not overlap by now: only the last that begins before can hold it.
        let at = forward.partition_point(|(_, zone)| zone.finish < cluster.start);
        if let Some((outer, zone)) = at.checked_sub(1).map(|at| forward[at])
            && cluster.finish < zone.start
        {
            return Err(stale(*outer, *value));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
