//! What a disk holds of one slot of a group, against what the metadata says it should: what is missing there,
//! and what nobody will ever ask for.
//!
//! The inventory is taken first, the answer is read after it (decision 0006): what the answer covers and the
//! inventory lacks may have landed in between, so it is looked at again before it is called missing.

use types::placement::Slot;
use types::wire::upkeep::{ChunkRange, Covered};
use types::{ChunkId, Profile};

/// What the two disagree about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Chunks of living runs whose shard is not there, and should be.
    pub missing: Vec<ChunkId>,
    /// How many shards are not there and recorded as missing.
    pub known: u64,
    /// Chunks that no run covers and no lease: the upload was given up.
    pub orphans: Vec<ChunkId>,
    /// Chunks under ids that were never given out: damage, or a foreign writer. Never removed by itself.
    pub strays: Vec<ChunkId>,
}

/// Compares the chunks of `slot` from `from` on, as far as the answer looked. Both are sorted.
pub fn compare(
    held: &[ChunkId],
    from: ChunkId,
    covered: &Covered,
    slot: Slot,
    profile: Profile,
) -> Difference {
    let mut difference = Difference::default();
    let upper = covered.up_to;
    let inside = |chunk: ChunkId| chunk >= from && upper.is_none_or(|upper| chunk <= upper);
    let mut held = held.iter().copied().filter(|c| inside(*c)).peekable();
    let uncovered = |chunk: ChunkId, difference: &mut Difference| {
        if chunk >= covered.unissued {
            difference.strays.push(chunk);
        } else if !covered.leased.iter().any(|lease| contains(lease, chunk)) {
            difference.orphans.push(chunk);
        }
    };
    for run in &covered.runs {
        while let Some(chunk) = held.next_if(|chunk| *chunk < run.chunks.first) {
            uncovered(chunk, &mut difference);
        }
        let known = run.missing.contains(&slot);
        for chunk in ids(&run.chunks) {
            let there = held.next_if(|there| *there == chunk).is_some();
            let last = chunk == run.chunks.last;
            let stored = !last || has_bytes(profile, run.last_segments, slot);
            if there || run.condemned || !stored || !inside(chunk) {
                continue;
            }
            if known {
                difference.known += 1;
            } else {
                difference.missing.push(chunk);
            }
        }
    }
    for chunk in held {
        uncovered(chunk, &mut difference);
    }
    difference
}

/// Whether a chunk of so many segments has bytes in a slot: a short one leaves data shards empty.
fn has_bytes(profile: Profile, segments: u32, slot: Slot) -> bool {
    let (segments, slot) = (segments as usize, usize::from(slot.0));
    let rows = segments.div_ceil(profile.data());
    slot >= profile.data() || slot * rows < segments
}

fn contains(range: &ChunkRange, chunk: ChunkId) -> bool {
    range.first <= chunk && chunk <= range.last
}

fn ids(range: &ChunkRange) -> impl Iterator<Item = ChunkId> + use<> {
    (range.first.get()..=range.last.get()).map(ChunkId::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use types::Epoch;
    use types::wire::upkeep::CoveredRun;

    const K: usize = 4;

    fn profile() -> Profile {
        "4+2".parse().unwrap()
    }

    fn range(first: u64, last: u64) -> ChunkRange {
        ChunkRange {
            first: ChunkId::new(first),
            last: ChunkId::new(last),
        }
    }

    /// Which of 100 chunks belong to what: gap, run, gap, run …
    fn runs() -> impl Strategy<Value = Vec<CoveredRun>> {
        let run = (0u64..5, 1u64..6, 1u32..65, any::<bool>(), any::<bool>());
        prop::collection::vec(run, 0..9).prop_map(|runs| {
            let mut at = 0;
            let mut covered = Vec::new();
            for (gap, length, last_segments, condemned, missing) in runs {
                let first = at + gap;
                at = first + length;
                covered.push(CoveredRun {
                    chunks: range(first, at - 1),
                    last_segments,
                    condemned,
                    missing: if missing { vec![Slot(1)] } else { Vec::new() },
                });
            }
            covered
        })
    }

    proptest! {
        /// Each chunk is judged as a look at it alone would judge it.
        #[test]
        fn chunks_are_judged_one_by_one(
            held in prop::collection::btree_set(0u64..100, 0..60),
            runs in runs(),
            leased in prop::collection::vec((0u64..100, 0u64..9), 0..3),
            unissued in 50u64..100,
            from in 0u64..60,
            up_to in prop::option::of(40u64..100),
            slot in 0u8..6,
        ) {
            let leased: Vec<_> = leased.into_iter().map(|(at, more)| range(at, at + more)).collect();
            let covered = Covered {
                epoch: Epoch(1),
                runs: runs.clone(),
                up_to: up_to.map(ChunkId::new),
                leased: leased.clone(),
                unissued: ChunkId::new(unissued),
            };
            let mut expected = Difference::default();
            for number in from..=up_to.unwrap_or(99) {
                let chunk = ChunkId::new(number);
                let there = held.contains(&number);
                match runs.iter().find(|run| contains(&run.chunks, chunk)) {
                    Some(run) => {
                        let segments = run.last_segments as usize;
                        let rows = segments.div_ceil(K);
                        let full = chunk < run.chunks.last;
                        // Data shard i has segments i × rows and on; parity has as many as shard 0.
                        let stored = full || usize::from(slot) >= K || usize::from(slot) * rows < segments;
                        let lacks = stored && !there && !run.condemned;
                        if lacks && run.missing.contains(&Slot(slot)) {
                            expected.known += 1;
                        } else if lacks {
                            expected.missing.push(chunk);
                        }
                    }
                    None if !there => {}
                    None if number >= unissued => expected.strays.push(chunk),
                    None if leased.iter().any(|lease| contains(lease, chunk)) => {}
                    None => expected.orphans.push(chunk),
                }
            }
            let held: Vec<_> = held.into_iter().map(ChunkId::new).collect();
            let found = compare(&held, ChunkId::new(from), &covered, Slot(slot), profile());
            prop_assert_eq!(found, expected);
        }
    }
}
