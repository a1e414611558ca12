//! The roster: which volumes there should be, in a file `volumes`. It tells a volume that was unlinked on
//! purpose from one that was lost, and keeps volume ids from being used twice.
//!
//! The file has two halves, written in turn and synced, so that a torn write leaves the one before; it is
//! overwritten in place, for a full file system has no room for another one. It changes when a volume is
//! created or unlinked:
//!
//! ```text
//! create:  file created, synced  -> on the roster  -> written to
//! unlink:  off the roster        -> file removed
//! ```
//!
//! So a file that is not on the roster is a fresh one when its id is from `next` on, else one whose removal
//! a power cut undid; it is wholly dead.
//!
//! `docs/formats/storage.md` draws every byte.

use crate::checksum::{CHECKSUM, checksum};
use crate::layout::{Reader, Writer};
use crate::volume::VolumeId;
use disk::{BLOCK, Buffer};
use std::collections::BTreeSet;
use types::{ByteCount, DiskId};

/// The file's name.
pub(crate) const NAME: &str = "volumes";
/// One that was not finished.
pub(crate) const UNFINISHED: &str = "volumes.new";
/// The version that this build writes, and the only one so far.
pub const VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"STRVOLMS";
const HEADER: usize = 64;
const CHECKSUM_AT: usize = HEADER - CHECKSUM;
const RANGE: usize = 8;

/// What one half says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Rises from write to write; the higher one of two halves counts.
    pub sequence: u64,
    /// Ids below this were given out.
    pub next: u32,
    /// Volumes that were created and not unlinked since.
    pub volumes: BTreeSet<VolumeId>,
}

/// Why bytes are not a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// Never written, torn or damaged.
    #[error("no list of volumes, or a damaged one")]
    Invalid,
    /// From a later build: this one must leave the disk alone.
    #[error("version {0} of the list of volumes is not known to this build (it knows {VERSION})")]
    Version(u16),
}

impl Roster {
    /// Consecutive ids count once, so it is short.
    fn ranges(&self) -> Vec<(u32, u32)> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for &VolumeId(id) in &self.volumes {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == id => *last = id,
                _ => ranges.push((id, id)),
            }
        }
        ranges
    }

    /// The half's bytes on that disk: whole blocks.
    pub fn encode(&self, disk: DiskId) -> Buffer {
        let ranges = self.ranges();
        let mut bytes = Buffer::zeroed(HEADER + ranges.len() * RANGE);
        Writer::new(&mut bytes)
            .put(MAGIC)
            .put(&VERSION.to_be_bytes())
            .reserve(6)
            .put(&self.sequence.to_be_bytes())
            .put(&u64::from(self.next).to_be_bytes())
            .put(&(ranges.len() as u64).to_be_bytes());
        let mut writer = Writer::new(&mut bytes[HEADER..]);
        for (first, last) in ranges {
            writer.put(&first.to_be_bytes()).put(&last.to_be_bytes());
        }
        let sum = keyed(disk, &bytes);
        bytes[CHECKSUM_AT..HEADER].copy_from_slice(&sum);
        bytes
    }

    /// Reads a half of that disk's roster.
    ///
    /// # Errors
    /// When it is not whole, and when a later build wrote it.
    pub fn decode(half: &[u8], disk: DiskId) -> Result<Self, RosterError> {
        if half.len() < BLOCK || !half.starts_with(MAGIC) {
            return Err(RosterError::Invalid);
        }
        let mut reader = Reader::new(half);
        let version = reader.skip(MAGIC.len()).u16();
        let sequence = reader.skip(6).u64();
        let next = reader.u64();
        let count = reader.u64();
        let length = usize::try_from(count).ok().and_then(|count| {
            let length = count.checked_mul(RANGE)?.checked_add(HEADER)?;
            length.checked_next_multiple_of(BLOCK)
        });
        let bytes = length.and_then(|length| half.get(..length));
        let bytes = bytes.ok_or(RosterError::Invalid)?;
        if keyed(disk, bytes) != bytes[CHECKSUM_AT..HEADER] {
            return Err(RosterError::Invalid);
        }
        // Magic, version, number of ranges, their size and the checksum stay in every version.
        if version != VERSION {
            return Err(RosterError::Version(version));
        }
        let mut reader = Reader::new(&bytes[HEADER..]);
        let mut volumes = BTreeSet::new();
        for _ in 0..count {
            volumes.extend((reader.u32()..=reader.u32()).map(VolumeId));
        }
        Ok(Self {
            sequence,
            next: u32::try_from(next).map_err(|_| RosterError::Invalid)?,
            volumes,
        })
    }

    /// Of a file with two halves the one that counts.
    pub(crate) fn latest(file: &[u8], disk: DiskId) -> Result<Self, RosterError> {
        let (one, other) = file.split_at(file.len() / 2);
        match (Self::decode(one, disk), Self::decode(other, disk)) {
            (Ok(one), Ok(other)) if one.sequence > other.sequence => Ok(one),
            (Ok(_), Ok(other)) => Ok(other),
            (Err(version @ RosterError::Version(_)), _)
            | (_, Err(version @ RosterError::Version(_))) => Err(version),
            (one, other) => one.or(other),
        }
    }

    /// How long a half must be.
    pub(crate) fn length(&self) -> ByteCount {
        let bytes = HEADER + self.ranges().len() * RANGE;
        ByteCount::new(bytes.next_multiple_of(BLOCK) as u64)
    }
}

fn keyed(disk: DiskId, bytes: &[u8]) -> [u8; CHECKSUM] {
    let (before, behind) = (&bytes[..CHECKSUM_AT], &bytes[HEADER..]);
    checksum(&[&disk.to_be_bytes(), before, behind])
}
