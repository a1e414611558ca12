//! What the store is asked for and what it decides: values that the writer carries between them.

use crate::footer::Entry;
use crate::index::Location;
use crate::record::Header;
use crate::tombstone::{Tombstone, Tombstones};
use crate::volume::VolumeId;
use disk::Buffer;
use types::wire::storage::{PutError, PutShard};
use types::{ByteCount, ByteOffset, size};

/// How a disk is cut up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A volume's length, footer included. A record that is longer gets a volume of its own.
    pub volume: ByteCount,
    /// Space is reserved ahead in steps of this, so that a record never meets a full file system.
    pub allocate: ByteCount,
    /// Records that are written before one sync, in bytes; a longer one goes alone. A disk's writer
    /// holds a copy of two batches at most, beside the client's memory budget.
    pub batch: ByteCount,
}

/// Shards leave at most this much of the open volume's space to tombstones.
const SPARE: u64 = 64 << 10;

/// A small disk has so many volumes at least: the open one's waste is not given back.
const VOLUMES: u64 = 64;
/// No volume is made shorter than this for it.
const SHORTEST: u64 = 16 * size::MIB;

impl Limits {
    /// The same for a disk that holds so much in all: shorter volumes on a small one, and smaller steps.
    pub(crate) fn on(self, disk: ByteCount) -> Self {
        let part = (disk.get() / VOLUMES / size::MIB * size::MIB).max(SHORTEST);
        if self.volume.get() <= part {
            return self;
        }
        Self {
            volume: ByteCount::new(part),
            allocate: self.allocate.min(ByteCount::new(part / 16)),
            ..self
        }
    }

    /// What shards leave to tombstones of the space that the open volume has reserved: room on a file
    /// system that others have filled.
    pub(crate) fn spare(&self) -> ByteCount {
        ByteCount::new(SPARE.min(self.allocate.get() / 4))
    }
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

/// What waits for a disk.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Store a well-formed shard. When a record stands at that location under its key, and nowhere
    /// else, it was found damaged: the new one takes its place.
    Put(&'a PutShard, Option<Location>),
    /// Store a shard anew that lies at that location, and nowhere else.
    Move(&'a PutShard, Location),
    /// Remove what it names.
    Delete(Tombstone),
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
#[derive(Debug, Default)]
pub struct Batch {
    /// One for each of the first waiting requests.
    pub verdicts: Vec<Verdict>,
    /// The open volume, when something is written.
    pub volume: Option<VolumeId>,
    /// Shards that are written.
    pub writes: Vec<Write>,
    /// Tombstones that are written, behind the shards. No key is in both.
    pub tombstones: Vec<(ByteOffset, Tombstones)>,
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
    /// The batch's range of that index, counted through all its tombstones, removes what it names.
    Bury(usize),
    /// Nothing that it names is there; or what is to be moved lies there no more.
    Gone,
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

impl Write {
    /// Behind it.
    pub(crate) fn end(&self) -> ByteOffset {
        self.at + self.header.length()
    }
}

/// What a tombstone removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many shards.
    pub shards: u64,
    /// The length of their records.
    pub bytes: ByteCount,
}

/// The open volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Which.
    pub volume: VolumeId,
    /// What its records say, durable all of them.
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

impl Tail {
    /// A volume that was just created.
    pub fn fresh(volume: VolumeId) -> Self {
        Self {
            volume,
            entries: Vec::new(),
            end: ByteOffset::ZERO,
            opened: ByteOffset::ZERO,
            allocated: ByteCount::ZERO,
            sequence: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A large disk has volumes as configured, a small one shorter ones; nothing is made longer.
    #[test]
    fn volumes_fit_the_disk() {
        let default = Limits::default();
        let on = |gibibytes| default.on(ByteCount::new(gibibytes * size::GIB));
        assert_eq!(on(1000), default);
        let small = on(2);
        let mebibytes = |count: ByteCount| count.get() / size::MIB;
        assert_eq!(
            (mebibytes(small.volume), mebibytes(small.allocate)),
            (32, 2)
        );
        assert_eq!(mebibytes(on(0).volume), 16);
        let tiny = Limits {
            volume: ByteCount::new(40 << 10),
            allocate: ByteCount::new(16 << 10),
            ..default
        };
        assert_eq!(tiny.on(ByteCount::new(size::GIB)), tiny);
    }
}
