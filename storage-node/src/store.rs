//! One disk's decisions: where a shard goes, when a volume is sealed, what is refused. Pure: it takes
//! what waits, returns an [`Action`], and is told what came of it. The writer performs.
//!
//! ```text
//! next(waiting) -> Append  --written, synced-->  appended   its shards are live, what it names is not
//!                  Seal    --footer synced---->  sealed     no volume is open
//!                  Create  --name synced------>  created    a volume is open
//!                  Allocate ------------------>  allocated  the open volume has room
//! ```
//!
//! What always holds:
//! - a shard is in the index only after its record is durable, and leaves it only after its tombstone is;
//! - a position that was acknowledged is never written again;
//! - a sequence number is given out once, also when its write failed;
//! - the last twentieth of a disk is not given out to shards: tombstones and footers need room;
//! - nor is the last of what the open volume has reserved: tombstones find room on a file system that
//!   others have filled;
//! - a shard is moved only while it lies where the mover read it.

mod draft;
mod space;

use crate::footer::{self, Entry, What};
use crate::index::{Index, Location};
use crate::opening::Acknowledged;
use crate::plan::Tail;
pub use crate::plan::{Action, Batch, Limits, Removed, Request, Verdict, Write};
use crate::tombstone;
use crate::volume::VolumeId;
use crate::volumes::Volumes;
pub use space::Space;
use types::{ByteCount, ByteOffset, ChunkId, DiskId, GroupId, ShardKey};

/// One disk.
#[derive(Debug)]
pub struct Store {
    disk: DiskId,
    limits: Limits,
    index: Index,
    volumes: Volumes,
    tail: Option<Tail>,
    next_volume: VolumeId,
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
            volumes: Volumes::default(),
            tail: None,
            next_volume: VolumeId::FIRST,
            free: ByteCount::ZERO,
        }
    }

    /// Takes in a sealed volume at start, in order of ids.
    pub fn adopt_sealed(
        &mut self,
        volume: VolumeId,
        entries: impl IntoIterator<Item = Entry>,
        length: ByteCount,
    ) {
        self.next_volume = volume.next();
        self.admit(volume, entries);
        self.volumes.sealed(volume, length);
    }

    /// Takes in the open volume at start, behind all sealed ones.
    pub fn adopt_tail(&mut self, tail: Tail) {
        self.next_volume = tail.volume.next();
        self.admit(tail.volume, tail.entries.iter().copied());
        self.tail = Some(tail);
    }

    /// Where a shard lies.
    pub fn get(&self, key: ShardKey) -> Option<Location> {
        self.index.get(key)
    }

    /// How many shards are live.
    pub fn shards(&self) -> u64 {
        self.index.len()
    }

    /// The slots that have live shards, and how many each.
    pub fn slots(&self) -> Vec<(GroupId, u8, u64)> {
        self.index.slots()
    }

    /// The live shards of a slot with the lengths of their payloads, in order.
    pub fn slot(&self, group: GroupId, index: u8) -> Vec<(ChunkId, ByteCount)> {
        self.index.slot(group, index)
    }

    /// What lives and what is dead in each volume.
    pub fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// To note what was given back.
    pub(crate) fn volumes_mut(&mut self) -> &mut Volumes {
        &mut self.volumes
    }

    /// The live shards of a slot that lie in a volume.
    pub(crate) fn in_volume(
        &self,
        group: GroupId,
        index: u8,
        volume: VolumeId,
    ) -> Vec<(ShardKey, Location)> {
        self.index.in_volume(group, index, volume)
    }

    /// The open volume is to be sealed although it has room: nobody writes to it, and it holds so little that
    /// lives that moving it gives back what the rest takes.
    pub fn seal_thin(&self) -> Option<Action> {
        let tail = self.tail.as_ref()?;
        let account = self.volumes.get(tail.volume)?;
        let length = tail.end - ByteOffset::ZERO;
        let thin = account.live > 0 && self.volumes.is_thin(account.living, Some(length));
        (thin && account.dead >= self.limits.allocate).then(|| self.seal(tail))
    }

    /// The open volume is to be sealed although it has room: the disk stops, and to walk it would make the next start
    /// long.
    pub fn seal_to_stop(&self) -> Option<Action> {
        let tail = self.tail.as_ref()?;
        let length = tail.end - ByteOffset::ZERO;
        (length > self.limits.allocate).then(|| self.seal(tail))
    }

    /// Bytes of all volumes.
    pub fn used(&self) -> ByteCount {
        let tail = self.tail.as_ref();
        self.volumes.sealed_bytes() + tail.map_or(ByteCount::ZERO, |tail| tail.allocated)
    }

    /// Bytes that may still be given out.
    pub fn free(&self) -> ByteCount {
        ByteCount::new(self.free.get().saturating_sub(self.reserve()))
    }

    /// Notes what the file system has left.
    pub fn measured(&mut self, free: ByteCount) {
        self.free = free;
    }

    /// The batch is durable. Returns what each of its tombstones removed.
    pub fn appended(&mut self, batch: &Batch) -> Vec<Removed> {
        let mut removed = Vec::new();
        let Some(volume) = batch.volume else {
            return removed;
        };
        for write in &batch.writes {
            let header = &write.header;
            let payload = u32::try_from(header.payload().get()).expect("a shard is small");
            let what = What::Shard {
                key: header.key,
                epoch: header.epoch,
                payload,
            };
            self.note(volume, write.at, header.sequence, what);
            self.tail().end = write.end();
        }
        for (at, record) in &batch.tombstones {
            for range in &record.ranges {
                removed.push(self.note(volume, *at, record.sequence, What::Dead(*range)));
            }
            self.tail().end = *at + tombstone::LENGTH;
        }
        self.abandoned(batch);
        removed
    }

    /// An entry of the open volume is durable.
    fn note(&mut self, volume: VolumeId, at: ByteOffset, sequence: u64, what: What) -> Removed {
        let entry = Entry { at, sequence, what };
        self.tail().entries.push(entry);
        self.apply(volume, &entry)
    }

    /// The batch's numbers are used up. If the file system refused it, its place is written again: what it
    /// left behind the next record cannot pass for that record's successor.
    pub fn abandoned(&mut self, batch: &Batch) {
        let writes = batch.writes.iter().map(|write| write.header.sequence);
        let tombstones = batch.tombstones.iter().map(|(_, record)| record.sequence);
        if let (Some(tail), Some(last)) = (&mut self.tail, writes.chain(tombstones).last()) {
            tail.sequence = last + 1;
        }
    }

    /// The footer is durable.
    pub fn sealed(&mut self) {
        let tail = self.tail.take().expect("the open volume was sealed");
        let length = (tail.end + footer::length(tail.entries.len())) - ByteOffset::ZERO;
        self.volumes.sealed(tail.volume, length);
    }

    /// A new volume's name is durable.
    pub fn created(&mut self, volume: VolumeId) {
        self.next_volume = volume.next();
        self.volumes.created(volume);
        self.tail = Some(Tail::fresh(volume));
    }

    /// Which volumes nobody needs any more. `quiet`: nobody writes to the open one.
    pub fn disposable(&mut self, quiet: bool) -> Vec<VolumeId> {
        let tail = self.tail.as_ref().filter(|_| quiet);
        let tail = tail.filter(|tail| !tail.entries.is_empty());
        let open = tail.map(|tail| tail.volume);
        self.volumes.disposable(open)
    }

    /// These are off the roster, and about to be removed.
    pub fn unlinked(&mut self, volumes: &[VolumeId]) {
        self.volumes.gone(volumes);
        let kept = |tail: &Tail| !volumes.contains(&tail.volume);
        self.tail = self.tail.take().filter(kept);
    }

    /// How far the disk has come: everything before was acknowledged, or dropped.
    pub(crate) fn acknowledged(&self) -> Acknowledged {
        match &self.tail {
            Some(tail) => Acknowledged {
                volume: tail.volume,
                end: tail.end,
            },
            None => Acknowledged {
                volume: self.next_volume,
                end: ByteOffset::ZERO,
            },
        }
    }

    /// Volume ids below this were given out.
    pub fn begin_at(&mut self, next: VolumeId) {
        self.next_volume = self.next_volume.max(next);
    }

    /// The open volume has that length.
    pub fn allocated(&mut self, length: ByteCount) {
        let tail = self.tail.as_mut().expect("the open volume was extended");
        let grown = length.get().saturating_sub(tail.allocated.get());
        tail.allocated = length;
        self.free = ByteCount::new(self.free.get().saturating_sub(grown));
    }

    fn tail(&mut self) -> &mut Tail {
        self.tail.as_mut().expect("a batch is written to a tail")
    }

    fn admit(&mut self, volume: VolumeId, entries: impl IntoIterator<Item = Entry>) {
        self.volumes.created(volume);
        for entry in entries {
            self.apply(volume, &entry);
        }
    }

    /// Entries count in order of volumes and sequence numbers, when they are written as at start.
    fn apply(&mut self, volume: VolumeId, entry: &Entry) -> Removed {
        let dead = match entry.what {
            What::Shard { key, payload, .. } => {
                let location = Location::new(volume, entry.at, payload);
                self.volumes.lives(location);
                Vec::from_iter(self.index.insert(key, location))
            }
            What::Dead(range) => {
                self.volumes.buries(volume, entry.at);
                self.index.remove(&range)
            }
        };
        let mut removed = Removed::default();
        for location in dead {
            self.volumes.died(location, volume);
            removed.shards += 1;
            removed.bytes = removed.bytes + location.length();
        }
        removed
    }

    /// The twentieth that is kept back.
    fn reserve(&self) -> u64 {
        (self.used() + self.free).get() / 20
    }
}
