//! One disk's decisions: where a shard goes, when a volume is sealed, what is refused. Pure: it takes
//! what waits, returns an [`Action`], and is told what came of it. The writer performs.
//!
//! ```text
//! next(waiting) -> Append  --written, synced-->  appended   its shards are live
//!                  Seal    --footer synced---->  sealed     no volume is open
//!                  Create  --name synced------>  created    a volume is open
//!                  Allocate ------------------>  allocated  the open volume has room
//! ```
//!
//! What always holds:
//! - a shard is in the index only after its record is durable;
//! - a position that was acknowledged is never written again;
//! - a sequence number is given out once, also when its write failed;
//! - the last twentieth of a disk is not given out: deletes, footers and repairs need room.

use crate::footer::{self, Entry};
use crate::index::{Index, Location};
use crate::record::{self, Header};
use crate::volume::VolumeId;
use disk::Buffer;
use std::collections::HashMap;
use types::wire::storage::{PutError, PutShard};
use types::{ByteCount, ByteOffset, DiskId, ShardKey, size};

/// How a disk is cut up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A volume's length, footer included. A record that is longer gets a volume of its own.
    pub volume: ByteCount,
    /// Space is reserved ahead in steps of this, so that a record never meets a full file system.
    pub allocate: ByteCount,
    /// Records that are written before one sync, in bytes; a longer one goes alone. A disk's writer
    /// holds a copy of them meanwhile, beside the client's memory budget.
    pub batch: ByteCount,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            volume: ByteCount::new(size::GIB),
            allocate: ByteCount::new(64 * size::MIB),
            batch: ByteCount::new(8 * size::MIB),
        }
    }
}

/// What to do next.
#[derive(Debug)]
pub enum Action {
    /// Write these records, sync once, and answer as many of the waiting as there are verdicts.
    Append(Batch),
    /// Write the footer at `at`, cut the file behind it, sync. Then nothing is open.
    Seal {
        /// Which volume.
        volume: VolumeId,
        /// Where the footer goes: behind the last record.
        at: ByteOffset,
        /// The footer.
        footer: Buffer,
    },
    /// Create a volume, and make its name durable.
    Create(VolumeId),
    /// Reserve space in the open volume up to this length.
    Allocate(VolumeId, ByteCount),
}

/// Records that one sync makes durable.
#[derive(Debug)]
pub struct Batch {
    /// One for each of the first waiting requests.
    pub verdicts: Vec<Verdict>,
    /// The open volume, when something is written.
    pub volume: Option<VolumeId>,
    /// What is written.
    pub writes: Vec<Write>,
}

/// What becomes of one waiting request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The batch's write of that index is its record.
    Append(usize),
    /// Its key is written by this batch already, with the same bytes: it shares that write's fate.
    Joined(usize),
    /// A record stands under its key: compare.
    Compare(Location),
    /// Refused.
    Refuse(PutError),
}

/// A record to write.
#[derive(Debug, PartialEq, Eq)]
pub struct Write {
    /// Which of the waiting requests.
    pub request: usize,
    /// Where it goes.
    pub at: ByteOffset,
    /// Its header.
    pub header: Header,
}

/// The open volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Which.
    pub volume: VolumeId,
    /// Its records, durable all of them.
    pub entries: Vec<Entry>,
    /// Where the next record goes.
    pub end: ByteOffset,
    /// Where it ended when it was opened last.
    pub opened: ByteOffset,
    /// The file's length: zeros from `end` on.
    pub allocated: ByteCount,
    /// The next record's number.
    pub sequence: u64,
}

/// One disk.
#[derive(Debug)]
pub struct Store {
    disk: DiskId,
    limits: Limits,
    index: Index,
    tail: Option<Tail>,
    next_volume: VolumeId,
    /// Bytes in sealed volumes.
    sealed: ByteCount,
    /// What the file system had left when it was last asked.
    free: ByteCount,
}

impl Store {
    /// A disk without volumes.
    pub fn new(disk: DiskId, limits: Limits) -> Self {
        Self {
            disk,
            limits,
            index: Index::default(),
            tail: None,
            next_volume: VolumeId::FIRST,
            sealed: ByteCount::ZERO,
            free: ByteCount::ZERO,
        }
    }

    /// Takes in a sealed volume at start, in order of ids. Returns keys that stood in the index before:
    /// the later record counts.
    pub fn adopt_sealed(
        &mut self,
        volume: VolumeId,
        entries: &[Entry],
        length: ByteCount,
    ) -> Vec<ShardKey> {
        self.next_volume = volume.next();
        self.sealed = self.sealed + length;
        self.admit(volume, entries)
    }

    /// Takes in the open volume at start, behind all sealed ones.
    pub fn adopt_tail(&mut self, tail: Tail) -> Vec<ShardKey> {
        self.next_volume = tail.volume.next();
        let twice = self.admit(tail.volume, &tail.entries);
        self.tail = Some(tail);
        twice
    }

    /// Where a shard lies.
    pub fn get(&self, key: ShardKey) -> Option<Location> {
        self.index.get(key)
    }

    /// How many shards are live.
    pub fn shards(&self) -> u64 {
        self.index.len()
    }

    /// Bytes of all volumes.
    pub fn used(&self) -> ByteCount {
        let tail = self.tail.as_ref();
        self.sealed + tail.map_or(ByteCount::ZERO, |tail| tail.allocated)
    }

    /// Bytes that may still be given out.
    pub fn free(&self) -> ByteCount {
        ByteCount::new(self.free.get().saturating_sub(self.reserve()))
    }

    /// Notes what the file system has left.
    pub fn measured(&mut self, free: ByteCount) {
        self.free = free;
    }

    /// Decides what to do for those that wait, at least one. Their requests are well-formed.
    pub fn next(&self, waiting: &[&PutShard]) -> Action {
        let mut batch = Batch {
            verdicts: Vec::new(),
            volume: None,
            writes: Vec::new(),
        };
        let mut keys: HashMap<ShardKey, usize> = HashMap::new();
        let mut end = self.tail.as_ref().map_or(ByteOffset::ZERO, |tail| tail.end);
        for (request, put) in waiting.iter().enumerate() {
            let verdict = if let Some(location) = self.index.get(put.key) {
                Verdict::Compare(location)
            } else if let Some(&write) = keys.get(&put.key) {
                join(waiting[batch.writes[write].request], put, write)
            } else {
                let length = record::length(ByteCount::of(&put.payload));
                match self.room(end, length, batch.writes.len()) {
                    Room::Here(tail) => {
                        let full_batch = (end + length) - tail.end > self.limits.batch;
                        if full_batch && !batch.writes.is_empty() {
                            return Action::Append(batch);
                        }
                        let write = batch.writes.len();
                        batch.volume = Some(tail.volume);
                        batch.writes.push(Write {
                            request,
                            at: end,
                            header: header(put, tail, write),
                        });
                        keys.insert(put.key, write);
                        end = end + length;
                        Verdict::Append(write)
                    }
                    Room::None => Verdict::Refuse(PutError::Full { disk: self.disk }),
                    Room::After(action) if batch.verdicts.is_empty() => return action,
                    Room::After(_) => return Action::Append(batch),
                }
            };
            batch.verdicts.push(verdict);
        }
        Action::Append(batch)
    }

    /// The batch is durable.
    pub fn appended(&mut self, batch: &Batch) {
        for write in &batch.writes {
            let header = &write.header;
            let payload = u32::try_from(header.payload().get()).expect("a shard is small");
            let tail = self.tail.as_mut().expect("a batch is written to a tail");
            tail.end = write.at + header.length();
            tail.sequence = header.sequence + 1;
            tail.entries.push(Entry {
                key: header.key,
                epoch: header.epoch,
                at: write.at,
                payload,
                sequence: header.sequence,
            });
            let location = Location::new(header.volume, write.at, payload);
            let before = self.index.insert(header.key, location);
            debug_assert_eq!(before, None, "a key is written once");
        }
    }

    /// The batch was refused by the file system. Its place is written again, its numbers are not: what
    /// it left behind the next record cannot pass for that record's successor.
    pub fn abandoned(&mut self, batch: &Batch) {
        if let (Some(tail), Some(last)) = (&mut self.tail, batch.writes.last()) {
            tail.sequence = last.header.sequence + 1;
        }
    }

    /// The footer is durable.
    pub fn sealed(&mut self) {
        let tail = self.tail.take().expect("the open volume was sealed");
        let length = (tail.end + footer::length(tail.entries.len())) - ByteOffset::ZERO;
        self.sealed = self.sealed + length;
    }

    /// A new volume's name is durable.
    pub fn created(&mut self, volume: VolumeId) {
        self.next_volume = volume.next();
        self.tail = Some(Tail {
            volume,
            entries: Vec::new(),
            end: ByteOffset::ZERO,
            opened: ByteOffset::ZERO,
            allocated: ByteCount::ZERO,
            sequence: 1,
        });
    }

    /// The open volume has that length.
    pub fn allocated(&mut self, length: ByteCount) {
        let tail = self.tail.as_mut().expect("the open volume was extended");
        let grown = length.get().saturating_sub(tail.allocated.get());
        tail.allocated = length;
        self.free = ByteCount::new(self.free.get().saturating_sub(grown));
    }

    fn admit(&mut self, volume: VolumeId, entries: &[Entry]) -> Vec<ShardKey> {
        let mut twice = Vec::new();
        for entry in entries {
            let location = Location::new(volume, entry.at, entry.payload);
            if self.index.insert(entry.key, location).is_some() {
                twice.push(entry.key);
            }
        }
        twice
    }

    /// Whether a record of that length fits at `end`, behind `batched` others of its batch.
    fn room(&self, end: ByteOffset, length: ByteCount, batched: usize) -> Room<'_> {
        let Some(tail) = &self.tail else {
            return self.grow(length, |_| Action::Create(self.next_volume));
        };
        let behind = (end + length) - ByteOffset::ZERO;
        let with_footer = behind + footer::length(tail.entries.len() + batched + 1);
        let empty = tail.entries.is_empty() && batched == 0;
        if with_footer > self.limits.volume && !empty {
            return Room::After(Action::Seal {
                volume: tail.volume,
                at: tail.end,
                footer: footer::encode(self.disk, tail.volume, tail.end, &tail.entries),
            });
        }
        if behind > tail.allocated {
            let missing = behind - tail.allocated;
            return self.grow(missing, |step| {
                let length = (tail.allocated + step).get().min(self.limits.volume.get());
                Action::Allocate(tail.volume, ByteCount::new(length.max(behind.get())))
            });
        }
        Room::Here(tail)
    }

    /// An action that takes at least `missing` more of the disk, if the reserve allows.
    fn grow(&self, missing: ByteCount, action: impl FnOnce(ByteCount) -> Action) -> Room<'_> {
        let step = missing.get().max(self.limits.allocate.get());
        if self.free.get() < self.reserve() + step {
            return Room::None;
        }
        Room::After(action(ByteCount::new(step)))
    }

    /// The twentieth that is kept back.
    fn reserve(&self) -> u64 {
        (self.used() + self.free).get() / 20
    }
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
