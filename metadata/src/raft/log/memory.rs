//! What the log keeps in memory: 16 bytes an entry that say where it is stored, and the payloads of
//! the last entries, up to a limit.
//!
//! ```text
//! purged | stored only . . . . | cached . . . . . . . (not yet durable) |
//!        ^ first                ^ last - cached + 1                 last ^
//! ```
//!
//! What always holds: indexes from `first` to `last` are without a hole; an entry leaves the cache
//! only once it is durable, since until then it can be read nowhere else. This module does no I/O.

use crate::raft::log::record::Checkpoint;
use crate::raft::types::{Entry, Payload, Position, StoredVote};
use std::collections::VecDeque;
use std::ops::Range;

/// Where an entry is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    /// The file's number; [`PENDING`] and [`ABSENT`] are none.
    pub(super) segment: u32,
    /// The block in which its frame begins; of a pending entry, the number of the append it came with.
    pub(super) block: u32,
    /// Where in the frame's plaintext its record begins.
    pub(super) offset: u32,
}

/// Not written yet.
const PENDING: u32 = u32::MAX;
/// In a file that was removed: a purge must follow.
const ABSENT: u32 = 0;

/// An entry to be appended would leave a hole.
#[derive(Debug, thiserror::Error)]
#[error("entry {index} cannot follow entry {last:?}: the log would have a hole")]
pub(crate) struct Hole {
    index: u64,
    last: Option<u64>,
}

/// An entry that was asked for.
pub(super) enum Found {
    /// Here it is.
    Cached(Entry),
    /// It has to be read from here.
    Stored(Location),
}

/// The log's state.
pub(super) struct Memory {
    pub(super) vote: Option<StoredVote>,
    pub(super) committed: Option<Position>,
    purged: Option<Position>,
    /// Index of the first of `locations`.
    first: u64,
    locations: VecDeque<Location>,
    /// Each leader's first entry among `locations`: (index, term, leader).
    leaders: VecDeque<Position>,
    /// The last entries.
    cache: VecDeque<Entry>,
    cached_bytes: usize,
    cache_limit: usize,
}

impl Memory {
    pub(super) fn new(cache_limit: usize) -> Self {
        Self {
            vote: None,
            committed: None,
            purged: None,
            first: 0,
            locations: VecDeque::new(),
            leaders: VecDeque::new(),
            cache: VecDeque::new(),
            cached_bytes: 0,
            cache_limit,
        }
    }

    /// The state at the beginning of the oldest file. Entries that removed files held are absent, and
    /// may not be live in the end.
    pub(super) fn resume(&mut self, from: &Checkpoint) {
        self.vote = from.vote;
        self.committed = from.committed;
        self.purged = from.purged;
        self.first = from.purged.map_or(0, |at| at.index + 1);
        if let Some(last) = from.last.filter(|last| last.index >= self.first) {
            let absent = Location {
                segment: ABSENT,
                block: 0,
                offset: 0,
            };
            self.locations
                .extend((self.first..=last.index).map(|_| absent));
            self.leaders.push_back(Position {
                index: self.first,
                ..last
            });
        }
    }

    /// The first live entry that no file holds.
    pub(super) fn first_absent(&self) -> Option<u64> {
        (self.first..)
            .zip(&self.locations)
            .find(|(_, location)| location.segment == ABSENT)
            .map(|(index, _)| index)
    }

    pub(super) fn purged(&self) -> Option<Position> {
        self.purged
    }

    /// The index of the first live entry, if there is one.
    pub(super) fn first_index(&self) -> Option<u64> {
        (!self.locations.is_empty()).then_some(self.first)
    }

    /// The last entry, or the last one purged where none is left.
    pub(super) fn last(&self) -> Option<Position> {
        match self.locations.len() {
            0 => self.purged,
            count => self.position_of(self.first + count as u64 - 1),
        }
    }

    /// The id of a live entry.
    pub(super) fn position_of(&self, index: u64) -> Option<Position> {
        let end = self.first + self.locations.len() as u64;
        if index < self.first || index >= end {
            return self.purged.filter(|at| at.index == index);
        }
        let after = self.leaders.partition_point(|leader| leader.index <= index);
        let leader = self.leaders[after.checked_sub(1)?];
        Some(Position { index, ..leader })
    }

    /// Adds an entry whose record is not written yet.
    pub(super) fn append(&mut self, entry: Entry, append: u32) -> Result<(), Hole> {
        let pending = Location {
            segment: PENDING,
            block: append,
            offset: 0,
        };
        self.push(entry, pending)
    }

    /// Adds an entry that was read back from a file.
    pub(super) fn recover(&mut self, entry: Entry, location: Location) -> Result<(), Hole> {
        self.push(entry, location)?;
        self.evict();
        Ok(())
    }

    fn push(&mut self, entry: Entry, location: Location) -> Result<(), Hole> {
        let at = Position::from(entry.log_id);
        match self.last() {
            None => self.first = at.index,
            Some(last) if at.index == last.index + 1 => {
                if self.locations.is_empty() {
                    self.first = at.index;
                }
            }
            Some(last) => {
                return Err(Hole {
                    index: at.index,
                    last: Some(last.index),
                });
            }
        }
        let same_leader = self
            .leaders
            .back()
            .is_some_and(|leader| (leader.term, leader.leader) == (at.term, at.leader));
        if !same_leader {
            self.leaders.push_back(at);
        }
        self.locations.push_back(location);
        self.cached_bytes += weight(&entry);
        self.cache.push_back(entry);
        Ok(())
    }

    /// Notes where a record was written, unless the entry was truncated or purged meanwhile.
    pub(super) fn written(&mut self, index: u64, append: u32, location: Location) {
        let slot = index
            .checked_sub(self.first)
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| self.locations.get_mut(at));
        if let Some(slot) = slot.filter(|slot| slot.segment == PENDING && slot.block == append) {
            *slot = location;
        }
    }

    /// Drops payloads above the limit, oldest first, as far as they are durable.
    pub(super) fn evict(&mut self) {
        while self.cached_bytes > self.cache_limit {
            let oldest = self.locations.len() - self.cache.len();
            if self.locations[oldest].segment == PENDING {
                return;
            }
            let entry = self.cache.pop_front().expect("bytes are cached");
            self.cached_bytes -= weight(&entry);
        }
    }

    /// Drops the entries behind `after`, or all.
    pub(super) fn truncate(&mut self, after: Option<u64>) {
        let keep = after.map_or(0, |after| (after + 1).saturating_sub(self.first));
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        while self.locations.len() > keep {
            self.locations.pop_back();
            if let Some(entry) = self.cache.pop_back() {
                self.cached_bytes -= weight(&entry);
            }
        }
        let end = self.first + self.locations.len() as u64;
        while self
            .leaders
            .back()
            .is_some_and(|leader| leader.index >= end)
        {
            self.leaders.pop_back();
        }
    }

    /// Drops the entries up to `upto`, which may lie behind the last.
    pub(super) fn purge(&mut self, upto: Position) {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return;
        }
        self.purged = Some(upto);
        while self.first <= upto.index && self.locations.pop_front().is_some() {
            self.first += 1;
        }
        self.first = upto.index + 1;
        while self.cache.len() > self.locations.len() {
            let entry = self.cache.pop_front().expect("counted");
            self.cached_bytes -= weight(&entry);
        }
        if self.locations.is_empty() {
            self.leaders.clear();
        }
        while self
            .leaders
            .get(1)
            .is_some_and(|next| next.index <= self.first)
        {
            self.leaders.pop_front();
        }
        if let Some(leader) = self.leaders.front_mut() {
            leader.index = leader.index.max(self.first);
        }
    }

    /// The live entries among `range`, in order.
    pub(super) fn find(&self, range: Range<u64>) -> Vec<Found> {
        let end = self.first + self.locations.len() as u64;
        let cached_from = end - self.cache.len() as u64;
        (range.start.max(self.first)..range.end.min(end))
            .map(|index| match index.checked_sub(cached_from) {
                Some(at) => Found::Cached(self.cache[as_index(at)].clone()),
                None => Found::Stored(self.locations[as_index(index - self.first)]),
            })
            .collect()
    }

    /// Where the first live entry behind `index` is stored, if it is.
    pub(super) fn location_behind(&self, index: Option<u64>) -> Option<Location> {
        let index = index.map_or(self.first, |index| self.first.max(index + 1));
        self.locations
            .get(as_index(index - self.first))
            .filter(|location| location.segment != PENDING)
            .copied()
    }
}

fn as_index(count: u64) -> usize {
    usize::try_from(count).expect("entries are in memory")
}

/// Bytes that an entry holds beside its place.
fn weight(entry: &Entry) -> usize {
    let payload = match &entry.payload {
        Payload::Normal(proposal) => proposal.0.len(),
        Payload::Blank | Payload::Membership(_) => 0,
    };
    payload + size_of::<Entry>()
}
