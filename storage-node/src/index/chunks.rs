//! Where the shards of one slot lie, in order of their chunks.
//!
//! ```text
//! leaves  0 ..      first id ..      first id ..          a B-tree of two levels
//!         [entries] [entries, full]  [entries]            in order; up to LEAF of them, 20 bytes each
//! ```
//!
//! Ids of chunks count up, so what a gateway stores comes nearly in order: a full leaf is split near its end then, and
//! stays nearly full, 23 bytes an entry. With several gateways, each of which has a range of ids, it is some 30. Nothing ever holds twice what lives, as a hash table does that has just grown, and no insertion takes long.
//! And a tombstone's range is a piece of it.

use super::Location;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::RangeInclusive;
use types::ChunkId;

/// Entries of a leaf: 10 KiB, of which an insertion moves half.
const LEAF: usize = 512;

/// One slot's shards.
#[derive(Debug)]
pub(super) struct Chunks<const FULL: usize = LEAF> {
    /// By an id that none of its entries is below. The first is 0, and always there.
    leaves: BTreeMap<ChunkId, Vec<Entry>>,
    entries: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    chunk: Halves,
    location: Location,
}

/// An id in halves: with a `u64`, an entry would be padded by a fifth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Halves {
    high: u32,
    low: u32,
}

impl From<ChunkId> for Halves {
    fn from(id: ChunkId) -> Self {
        let [a, b, c, d, e, f, g, h] = id.to_be_bytes();
        Self {
            high: u32::from_be_bytes([a, b, c, d]),
            low: u32::from_be_bytes([e, f, g, h]),
        }
    }
}

impl Entry {
    fn id(&self) -> ChunkId {
        ChunkId::new(u64::from(self.chunk.high) << 32 | u64::from(self.chunk.low))
    }
}

impl<const FULL: usize> Default for Chunks<FULL> {
    fn default() -> Self {
        Self {
            leaves: BTreeMap::from([(ChunkId::new(0), Vec::new())]),
            entries: 0,
        }
    }
}

impl<const FULL: usize> Chunks<FULL> {
    pub(super) fn len(&self) -> u64 {
        self.entries
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    pub(super) fn get(&self, id: ChunkId) -> Option<Location> {
        let (_, leaf) = self.leaves.range(..=id).next_back()?;
        let at = find(leaf, id).ok()?;
        Some(leaf[at].location)
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ChunkId, Location)> {
        let entries = self.leaves.values().flatten();
        entries.map(|entry| (entry.id(), entry.location))
    }

    /// Whether any lies in a range.
    pub(super) fn any(&self, ids: &RangeInclusive<ChunkId>) -> bool {
        self.touched(ids)
            .any(|first| !within(&self.leaves[&first], ids).is_empty())
    }

    /// Notes where one lies. Returns where it lay before.
    pub(super) fn insert(&mut self, id: ChunkId, location: Location) -> Option<Location> {
        let first = self.leaf_of(id);
        let leaf = self.leaves.get_mut(&first).expect("it was found");
        let at = match find(leaf, id) {
            Ok(at) => return Some(std::mem::replace(&mut leaf[at].location, location)),
            Err(at) => at,
        };
        self.entries += 1;
        let entry = Entry {
            chunk: id.into(),
            location,
        };
        if leaf.len() < FULL {
            if leaf.len() == leaf.capacity() {
                // As a vector grows, but not past a full leaf.
                let room = (2 * leaf.len()).clamp(4, FULL);
                leaf.reserve_exact(room - leaf.len());
            }
            leaf.insert(at, entry);
            return None;
        }
        // Near the end: more will come behind it, and few before.
        let near_end = FULL - FULL / 8;
        let cut = if at >= near_end { near_end } else { FULL / 2 };
        let mut behind = leaf.split_off(cut);
        match at.checked_sub(cut) {
            Some(at) => behind.insert(at, entry),
            None => leaf.insert(at, entry),
        }
        self.leaves.insert(behind[0].id(), behind);
        None
    }

    /// Takes out those of a range. Returns where they lay.
    pub(super) fn remove(&mut self, ids: &RangeInclusive<ChunkId>) -> Vec<Location> {
        let touched: Vec<ChunkId> = self.touched(ids).collect();
        let mut removed = Vec::new();
        for first in &touched {
            let leaf = self.leaves.get_mut(first).expect("it was listed");
            let range = within(leaf, ids);
            removed.extend(leaf.drain(range).map(|entry| entry.location));
            // A vector never shrinks by itself.
            if leaf.len() < leaf.capacity() / 4 {
                leaf.shrink_to(2 * leaf.len());
            }
        }
        self.entries -= removed.len() as u64;
        // Behind a removal a leaf may be so empty that it and a neighbour can be one.
        let behind = touched
            .last()
            .and_then(|last| self.leaves.range((Excluded(*last), Unbounded)).next());
        let behind = behind.map(|(first, _)| *first);
        for first in touched.into_iter().chain(behind).rev() {
            self.merge(first);
        }
        removed
    }

    /// Puts a leaf into the one before it if together they are half full at most.
    fn merge(&mut self, first: ChunkId) {
        let Some((_, before)) = self.leaves.range(..first).next_back() else {
            return;
        };
        if before.len() + self.leaves[&first].len() > FULL / 2 {
            return;
        }
        let mut leaf = self.leaves.remove(&first).expect("it is there");
        let (_, before) = self.leaves.range_mut(..first).next_back().expect("as well");
        before.append(&mut leaf);
    }

    /// The first id of the leaf where an id belongs.
    fn leaf_of(&self, id: ChunkId) -> ChunkId {
        let leaf = self.leaves.range(..=id).next_back();
        *leaf.expect("the first leaf begins at 0").0
    }

    /// The leaves where ids of a range belong.
    fn touched(
        &self,
        ids: &RangeInclusive<ChunkId>,
    ) -> impl Iterator<Item = ChunkId> + use<'_, FULL> {
        let (first, last) = (self.leaf_of(*ids.start()), *ids.end());
        let leaves = self.leaves.range(first..).map(|(first, _)| *first);
        leaves.take_while(move |first| *first <= last)
    }
}

fn find(leaf: &[Entry], id: ChunkId) -> Result<usize, usize> {
    leaf.binary_search_by_key(&Halves::from(id), |entry| entry.chunk)
}

/// Which entries of a leaf lie in a range.
fn within(leaf: &[Entry], ids: &RangeInclusive<ChunkId>) -> std::ops::Range<usize> {
    let (first, last) = (Halves::from(*ids.start()), Halves::from(*ids.end()));
    let start = leaf.partition_point(|entry| entry.chunk < first);
    let end = leaf.partition_point(|entry| entry.chunk <= last);
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::VolumeId;
    use proptest::prelude::*;
    use types::ByteOffset;

    fn at(block: u32) -> Location {
        Location::new(VolumeId(1), ByteOffset::new(u64::from(block) * 4096), 1)
    }

    #[test]
    fn an_entry_takes_20_bytes() {
        assert_eq!(size_of::<Entry>(), 20);
    }

    /// What is stored nearly in order takes little more than its entries, also once most of it was removed.
    #[test]
    fn leaves_are_nearly_full() {
        let bytes = |chunks: &Chunks| -> usize {
            let leaves = chunks.leaves.values();
            leaves
                .map(|leaf| leaf.capacity() * size_of::<Entry>())
                .sum()
        };
        let mut chunks: Chunks = Chunks::default();
        let many = 100_000;
        for n in 0..many {
            // Writers that overtake each other.
            chunks.insert(ChunkId::new((n ^ 0x1f) << 20), at(1));
        }
        assert_eq!(chunks.len(), many);
        let taken = bytes(&chunks) as u64 / many;
        assert!(taken <= 24, "{taken} bytes an entry");
        for n in (0..many).filter(|n| n % 10 != 0) {
            let id = ChunkId::new(n << 20);
            assert_eq!(chunks.remove(&(id..=id)).len(), 1);
        }
        let taken = bytes(&chunks) as u64 / chunks.len();
        assert!(taken <= 80, "{taken} bytes an entry when a tenth is left");
    }

    proptest! {
        /// It is a map, whatever comes and goes in which order.
        /// Method: leaves of eight entries, beside the standard library's map.
        #[test]
        fn it_is_a_map(
            steps in prop::collection::vec((0..5_u8, 0..200_u64, 0..60_u64), 1..400),
        ) {
            let mut chunks: Chunks<8> = Chunks::default();
            let mut model = BTreeMap::new();
            for (block, (what, id, length)) in (1..).zip(steps) {
                // The ends of ids count as well.
                let id = if id == 199 { u64::MAX } else { id };
                let ids = ChunkId::new(id)..=ChunkId::new(id.saturating_add(length));
                let inside: Vec<ChunkId> = model.range(ids.clone()).map(|(id, _)| *id).collect();
                if what > 0 {
                    let id = *ids.start();
                    prop_assert_eq!(chunks.insert(id, at(block)), model.insert(id, at(block)));
                } else {
                    prop_assert_eq!(chunks.any(&ids), !inside.is_empty());
                    let lay: Vec<Location> = inside.iter().filter_map(|id| model.remove(id)).collect();
                    prop_assert_eq!(chunks.remove(&ids), lay);
                }
                prop_assert_eq!(chunks.get(*ids.end()), model.get(ids.end()).copied());
                let expected: Vec<_> = model.iter().map(|(id, at)| (*id, *at)).collect();
                prop_assert_eq!(chunks.len(), expected.len() as u64);
                prop_assert_eq!(chunks.iter().collect::<Vec<_>>(), expected);
            }
        }
    }
}
