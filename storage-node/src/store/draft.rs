//! What the next batch holds: requests are taken in order for as long as they may share one sync.
//!
//! No key is written and removed by the same batch: a power cut may keep any part of what was not synced,
//! so the two would have no order.

use super::{Action, Batch, Request, Store, Verdict, Write};
use crate::footer;
use crate::index::Location;
use crate::plan::Tail;
use crate::record::{self, Header};
use crate::tombstone::{self, Tombstone, Tombstones};
use std::collections::HashMap;
use types::wire::storage::{PutError, PutShard};
use types::{ByteCount, ByteOffset, ShardKey};

impl Store {
    /// Decides what to do for those that wait, at least one.
    pub fn next(&self, waiting: &[Request<'_>]) -> Action {
        let mut draft = Draft::at(
            self.tail.as_ref().map_or(ByteOffset::ZERO, |tail| tail.end),
            0,
        );
        for (position, request) in waiting.iter().enumerate() {
            let step = match request {
                Request::Put(put, damaged) => {
                    self.put(&mut draft, position, put, *damaged, waiting)
                }
                Request::Move(put, from) => self.relocate(&mut draft, position, put, *from),
                Request::Delete(dead) => self.delete(&mut draft, dead),
            };
            match step {
                Step::Verdict(verdict) => draft.batch.verdicts.push(verdict),
                Step::First(action) if draft.batch.verdicts.is_empty() => return action,
                Step::First(_) | Step::Later => break,
            }
        }
        Action::Append(self.finish(draft))
    }

    /// A batch that may be written while `pending` is synced: both hold shards alone, under other keys, and the new
    /// one so many that another would not fit. It would gain nothing by waiting for that sync.
    pub fn next_behind(&self, pending: &Batch, waiting: &[Request<'_>]) -> Option<Batch> {
        let written = &pending.writes;
        let end = written
            .last()
            .filter(|_| pending.tombstones.is_empty())?
            .end();
        let mut draft = Draft::at(end, written.len());
        let mut last = ByteCount::ZERO;
        for (position, request) in waiting.iter().enumerate() {
            let pends = |put: &PutShard| written.iter().any(|write| write.header.key == put.key);
            let put = match request {
                Request::Put(put, None) if !pends(put) => put,
                _ => break,
            };
            match self.put(&mut draft, position, put, None, waiting) {
                Step::Verdict(verdict @ Verdict::Append(_)) => draft.batch.verdicts.push(verdict),
                _ => break,
            }
            last = record::length(ByteCount::of(&put.payload));
        }
        let full = !draft.is_empty() && self.is_full_batch(&draft, last);
        full.then(|| self.finish(draft))
    }

    fn is_full_batch(&self, draft: &Draft, more: ByteCount) -> bool {
        (draft.behind() + more) - draft.begin > self.limits.batch
    }

    fn put(
        &self,
        draft: &mut Draft,
        request: usize,
        put: &PutShard,
        damaged: Option<Location>,
        waiting: &[Request<'_>],
    ) -> Step {
        let key = put.key;
        if draft.dead.iter().any(|dead| dead.names(key)) {
            return Step::Later;
        }
        if let Some(&write) = draft.keys.get(&key) {
            return match waiting[draft.batch.writes[write].request] {
                Request::Put(first, _) => Step::Verdict(join(first, put, write)),
                // It is compared with where it lies by then.
                _ => Step::Later,
            };
        }
        match self.index.get(key) {
            Some(location) if damaged != Some(location) => {
                return Step::Verdict(Verdict::Compare(location));
            }
            _ => {}
        }
        self.place(draft, request, put)
    }

    /// A shard that lies at `from` is to lie in the open volume.
    fn relocate(&self, draft: &mut Draft, request: usize, put: &PutShard, from: Location) -> Step {
        let dies = draft.dead.iter().any(|dead| dead.names(put.key));
        if dies || draft.keys.contains_key(&put.key) {
            return Step::Later;
        }
        if self.index.get(put.key) != Some(from) {
            return Step::Verdict(Verdict::Gone);
        }
        self.place(draft, request, put)
    }

    fn place(&self, draft: &mut Draft, request: usize, put: &PutShard) -> Step {
        let length = record::length(ByteCount::of(&put.payload));
        match self.room(draft, length, Purpose::Shard) {
            Room::Here(tail) => {
                if self.is_full_batch(draft, length) && !draft.is_empty() {
                    return Step::Later;
                }
                let write = draft.batch.writes.len();
                draft.batch.volume = Some(tail.volume);
                draft.batch.writes.push(Write {
                    request,
                    at: draft.end,
                    header: header(put, tail, draft.before + write),
                });
                draft.keys.insert(put.key, write);
                draft.end = draft.end + length;
                Step::Verdict(Verdict::Append(write))
            }
            Room::None => Step::Verdict(Verdict::Refuse(PutError::Full { disk: self.disk })),
            Room::After(action) => Step::First(action),
        }
    }

    fn delete(&self, draft: &mut Draft, dead: &Tombstone) -> Step {
        if draft.keys.keys().any(|key| dead.names(*key)) {
            return Step::Later;
        }
        if !self.index.any(dead) {
            return Step::Verdict(Verdict::Gone);
        }
        let another = draft.dead.len().is_multiple_of(tombstone::MAX);
        let length = if another {
            tombstone::LENGTH
        } else {
            ByteCount::ZERO
        };
        match self.room(draft, length, Purpose::Tombstone) {
            Room::Here(tail) => {
                draft.batch.volume = Some(tail.volume);
                draft.dead.push(*dead);
                Step::Verdict(Verdict::Bury(draft.dead.len() - 1))
            }
            Room::None => unreachable!("tombstones may take the reserve"),
            Room::After(action) => Step::First(action),
        }
    }

    /// Places the tombstones behind the shards.
    fn finish(&self, draft: Draft) -> Batch {
        let Draft {
            mut batch,
            mut end,
            dead,
            before,
            ..
        } = draft;
        for ranges in dead.chunks(tombstone::MAX) {
            let tail = self.tail.as_ref().expect("room was found in it");
            let batched = before + batch.writes.len() + batch.tombstones.len();
            let record = Tombstones {
                ranges: ranges.to_vec(),
                volume: tail.volume,
                sequence: tail.sequence + batched as u64,
                durable: tail.end,
                opened: tail.opened,
            };
            batch.tombstones.push((end, record));
            end = end + tombstone::LENGTH;
        }
        batch
    }

    /// Whether `length` more fits behind a draft.
    fn room(&self, draft: &Draft, length: ByteCount, purpose: Purpose) -> Room<'_> {
        let Some(tail) = &self.tail else {
            return self.grow(length, purpose, |_| Action::Create(self.next_volume));
        };
        let behind = (draft.behind() + length) - ByteOffset::ZERO;
        let spare = match purpose {
            Purpose::Shard => self.limits.spare(),
            Purpose::Tombstone => ByteCount::ZERO,
        };
        let reserved = behind <= tail.allocated;
        let entries =
            tail.entries.len() + draft.before + draft.batch.writes.len() + draft.dead.len();
        let with_footer = behind + spare + footer::length(entries + 1);
        let empty = entries == 0;
        // Where a new volume would not get its space, tombstones go on in this one.
        let stay = purpose == Purpose::Tombstone && reserved && self.is_full();
        if with_footer > self.limits.volume && !empty && !stay {
            return Room::After(self.seal(tail));
        }
        let needed = behind + spare;
        if needed > tail.allocated {
            return self.grow(needed - tail.allocated, purpose, |step| {
                let length = (tail.allocated + step).get().min(self.limits.volume.get());
                Action::Allocate(tail.volume, ByteCount::new(length.max(needed.get())))
            });
        }
        Room::Here(tail)
    }

    pub(super) fn seal(&self, tail: &Tail) -> Action {
        Action::Seal {
            volume: tail.volume,
            at: tail.end,
            footer: footer::encode(self.disk, tail.volume, tail.end, &tail.entries),
        }
    }

    /// An action that takes at least `missing` more of the disk, if the reserve allows.
    fn grow(
        &self,
        missing: ByteCount,
        purpose: Purpose,
        action: impl FnOnce(ByteCount) -> Action,
    ) -> Room<'_> {
        let step = missing.max(self.limits.allocate);
        match purpose {
            Purpose::Shard if self.free() < step => Room::None,
            Purpose::Tombstone if self.free() < step => Room::After(action(missing)),
            _ => Room::After(action(step)),
        }
    }

    /// Whether shards are refused.
    fn is_full(&self) -> bool {
        self.free() < self.limits.allocate
    }
}

/// A batch that is being put together.
struct Draft {
    batch: Batch,
    /// Where it begins.
    begin: ByteOffset,
    /// Records behind the durable ones that are written and not durable yet.
    before: usize,
    /// Behind its shards.
    end: ByteOffset,
    keys: HashMap<ShardKey, usize>,
    dead: Vec<Tombstone>,
}

impl Draft {
    fn at(begin: ByteOffset, before: usize) -> Self {
        Self {
            batch: Batch::default(),
            begin,
            before,
            end: begin,
            keys: HashMap::new(),
            dead: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.batch.writes.is_empty() && self.dead.is_empty()
    }

    /// Behind its shards and its tombstones.
    fn behind(&self) -> ByteOffset {
        let records = self.dead.len().div_ceil(tombstone::MAX) as u64;
        self.end + ByteCount::new(records * tombstone::LENGTH.get())
    }
}

/// What becomes of the next request of a draft.
enum Step {
    /// It belongs to the draft.
    Verdict(Verdict),
    /// This must be done first.
    First(Action),
    /// The draft must be durable first.
    Later,
}

/// For what room is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Shard,
    Tombstone,
}

/// Whether a record can be placed.
enum Room<'a> {
    Here(&'a Tail),
    After(Action),
    None,
}

/// The same key twice in a batch.
fn join(first: &PutShard, second: &PutShard, write: usize) -> Verdict {
    if first.chunk == second.chunk && first.payload == second.payload {
        return Verdict::Joined(write);
    }
    Verdict::Refuse(PutError::Conflict { key: second.key })
}

fn header(put: &PutShard, tail: &Tail, batched: usize) -> Header {
    Header {
        key: put.key,
        epoch: put.epoch,
        chunk: put.chunk.clone(),
        volume: tail.volume,
        sequence: tail.sequence + batched as u64,
        durable: tail.end,
        opened: tail.opened,
    }
}
