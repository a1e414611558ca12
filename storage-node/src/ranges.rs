//! Ranges of a volume's bytes, merged where they touch: what is dead in it and not given back yet.

use std::collections::BTreeMap;
use types::{ByteCount, ByteOffset};

/// Disjoint ranges, none of which touches the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// Where each begins, and what is behind it.
    ranges: BTreeMap<ByteOffset, ByteOffset>,
}

impl Ranges {
    /// Adds a range that overlaps none.
    pub(crate) fn insert(&mut self, at: ByteOffset, length: ByteCount) {
        let (mut first, mut behind) = (at, at + length);
        if let Some(next) = self.ranges.remove(&behind) {
            behind = next;
        }
        let before = self.ranges.range(..first).next_back();
        if let Some((&start, _)) = before.filter(|(_, end)| **end == first) {
            first = start;
        }
        self.ranges.insert(first, behind);
    }

    /// Takes out at most so many, the first ones.
    pub(crate) fn take(&mut self, most: usize) -> Vec<(ByteOffset, ByteCount)> {
        let taken = (0..most).map_while(|_| self.ranges.pop_first());
        taken.map(|(at, behind)| (at, behind - at)).collect()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the order: the ranges cover what was added, once, and none touches another.
        #[test]
        fn ranges_cover_what_was_added(order in Just((0..40u64).collect::<Vec<_>>()).prop_shuffle(), some in 0..40usize) {
            let mut ranges = Ranges::default();
            let mut expected: Vec<u64> = order[..some].to_vec();
            for block in &expected {
                ranges.insert(ByteOffset::new(block * 4096), ByteCount::new(4096));
            }
            expected.sort_unstable();
            let mut covered = Vec::new();
            let mut last = None;
            while let [(at, length)] = ranges.take(1)[..] {
                prop_assert!(last.is_none_or(|behind| behind < at));
                last = Some(at + length);
                covered.extend((at.get() / 4096..).take(length.as_usize() / 4096));
            }
            prop_assert!(ranges.is_empty());
            prop_assert_eq!(covered, expected);
        }
    }
}
