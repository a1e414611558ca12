//! Shard index: where on this disk each shard lies.
//!
//! In memory, because a lookup must not cost a disk read. A shard takes 23 to 33 bytes (`chunks`); 10 M shards are 230 to
//! 330 MB.
//!
//! ```text
//! absent --appended and synced--> live --tombstone synced--> absent
//! ```
//!
//! A shard is live only after its bytes and its volume's length are durable. This module does no I/O.

mod chunks;

use crate::record;
use crate::tombstone::Tombstone;
use crate::volume::VolumeId;
use chunks::Chunks;
use disk::BLOCK;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use types::{ByteCount, ByteOffset, ChunkId, GroupId, ShardKey, block};

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The volume.
    pub volume: VolumeId,
    /// Where in it, in units of 4 KiB.
    block: u32,
    /// Length of the shard's blocks with their checksums.
    payload: u32,
}

impl Location {
    /// A record that begins at `at`.
    ///
    /// # Panics
    /// When `at` is not a multiple of 4 KiB, or lies behind 16 TiB.
    pub fn new(volume: VolumeId, at: ByteOffset, payload: u32) -> Self {
        assert!(at.get().is_multiple_of(BLOCK as u64));
        let block = u32::try_from(at.get() / BLOCK as u64).expect("volumes are below 16 TiB");
        Self {
            volume,
            block,
            payload,
        }
    }

    /// Where its record begins.
    pub fn at(self) -> ByteOffset {
        ByteOffset::new(u64::from(self.block) * BLOCK as u64)
    }

    /// Length of its whole record.
    pub fn length(self) -> ByteCount {
        record::length(ByteCount::new(u64::from(self.payload)))
    }

    /// Where in the volume some of its blocks lie, checksums included. `None` when it has fewer.
    pub fn blocks(self, first: u32, count: u32) -> Option<(ByteOffset, ByteCount)> {
        let framed = block::FRAMED_BLOCK as u64;
        let payload = u64::from(self.payload);
        let start = u64::from(first) * framed;
        let blocks_in_all = payload.div_ceil(framed);
        if count == 0 || u64::from(first) + u64::from(count) > blocks_in_all {
            return None;
        }
        let end = payload.min(start + u64::from(count) * framed);
        let at = self.at() + ByteCount::new(record::HEADER as u64 + start);
        Some((at, ByteCount::new(end - start)))
    }
}

/// All live shards of a disk.
#[derive(Debug, Default)]
pub struct Index {
    slots: HashMap<(GroupId, u8), Chunks>,
    shards: u64,
}

impl Index {
    /// Where a shard lies.
    pub fn get(&self, key: ShardKey) -> Option<Location> {
        self.slots.get(&(key.group, key.index))?.get(key.chunk)
    }

    /// Notes where a shard lies. Returns where it lay before.
    pub fn insert(&mut self, key: ShardKey, location: Location) -> Option<Location> {
        let slot = self.slots.entry((key.group, key.index)).or_default();
        let before = slot.insert(key.chunk, location);
        self.shards += u64::from(before.is_none());
        before
    }

    /// Forgets all that a tombstone names. Returns where they lay.
    pub fn remove(&mut self, dead: &Tombstone) -> Vec<Location> {
        let Entry::Occupied(mut slot) = self.slots.entry((dead.group, dead.index)) else {
            return Vec::new();
        };
        let removed = slot.get_mut().remove(&(dead.first..=dead.last));
        if slot.get().is_empty() {
            slot.remove();
        }
        self.shards -= removed.len() as u64;
        removed
    }

    /// Whether a tombstone names any.
    pub fn any(&self, dead: &Tombstone) -> bool {
        let slot = self.slots.get(&(dead.group, dead.index));
        slot.is_some_and(|chunks| chunks.any(&(dead.first..=dead.last)))
    }

    /// How many shards of each slot there are, in order.
    pub fn slots(&self) -> Vec<(GroupId, u8, u64)> {
        let counted = self.slots.iter();
        let mut slots: Vec<_> = counted
            .map(|(&(group, index), chunks)| (group, index, chunks.len()))
            .collect();
        slots.sort_unstable();
        slots
    }

    /// The shards of a slot with the lengths of their payloads, in order.
    pub fn slot(&self, group: GroupId, index: u8) -> Vec<(ChunkId, ByteCount)> {
        let chunks = self.slots.get(&(group, index)).into_iter();
        let listed = chunks.flat_map(Chunks::iter);
        listed
            .map(|(chunk, location)| (chunk, ByteCount::new(u64::from(location.payload))))
            .collect()
    }

    /// The shards of a slot that lie in a volume, in order of where they lie.
    pub fn in_volume(
        &self,
        group: GroupId,
        index: u8,
        volume: VolumeId,
    ) -> Vec<(ShardKey, Location)> {
        let chunks = self.slots.get(&(group, index)).into_iter();
        let listed = chunks.flat_map(Chunks::iter);
        let there = listed.filter(|(_, location)| location.volume == volume);
        let key = |chunk| ShardKey {
            group,
            chunk,
            index,
        };
        let mut found: Vec<_> = there.map(|(chunk, at)| (key(chunk), at)).collect();
        found.sort_unstable_by_key(|(_, location)| location.block);
        found
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.shards
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.shards == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any range of blocks is one contiguous range of bytes, and none reaches past the shard.
    #[test]
    fn blocks_lie_behind_the_header() {
        let framed = block::FRAMED_BLOCK as u64;
        let payload = u32::try_from(2 * framed + 100).unwrap();
        let location = Location::new(VolumeId(1), ByteOffset::new(8192), payload);
        let behind_header = 8192 + 1024;
        for (first, count, expected) in [
            (0, 1, Some((0, framed))),
            (1, 2, Some((framed, framed + 100))),
            (2, 1, Some((2 * framed, 100))),
            (0, 3, Some((0, 2 * framed + 100))),
            (0, 0, None),
            (0, 4, None),
            (3, 1, None),
            (u32::MAX, u32::MAX, None),
        ] {
            let expected = expected
                .map(|(at, length)| (ByteOffset::new(behind_header + at), ByteCount::new(length)));
            assert_eq!(location.blocks(first, count), expected, "{first} {count}");
        }
    }
}
