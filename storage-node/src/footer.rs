//! The end of a sealed volume: a list of what its records say, so that opening a disk need not read them.
//!
//! ```text
//! records … | entries, 48 bytes each | zeros | trailer, the file's last 64 bytes
//! ```
//!
//! A file of records always ends with a zero byte, a trailer with the last letter of its magic: nobody
//! who can only store shards can make an open volume look sealed and so hide the shards in it.

use crate::checksum::{CHECKSUM, checksum};
use crate::layout::{Reader, Writer};
use crate::record;
use crate::tombstone::{self, Tombstone};
use crate::volume::VolumeId;
use disk::{BLOCK, Buffer};
use types::{ByteCount, ByteOffset, ChunkId, DiskId, Epoch, GroupId, ShardKey};

/// The version that this build writes. Version 1 is the same without tombstones.
pub const VERSION: u16 = 2;

const MAGIC: &[u8; 8] = b"STRFOOTR";
const ENTRY: usize = 48;
/// What kind of entry it is; version 1 had one, and wrote zero.
const SHARD: u8 = 0;
const DEAD: u8 = 1;
const TRAILER: usize = 64;
const CHECKED_TRAILER: usize = TRAILER - MAGIC.len() - CHECKSUM;

/// What a volume says of one shard, or of one range of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where its record begins.
    pub at: ByteOffset,
    /// The record's sequence number. A record of tombstones has an entry for each.
    pub sequence: u64,
    /// What it says.
    pub what: What,
}

impl Entry {
    /// Whether its record may lie behind those of the entries so far, of which `last` is one, and the last of them
    /// ends at `end`. A record of tombstones has several entries.
    fn follows(&self, last: Option<&Self>, end: ByteOffset) -> bool {
        let sequence = last.map_or(0, |last| last.sequence);
        let beside = last.is_some_and(|last| {
            let dead = matches!((last.what, self.what), (What::Dead(_), What::Dead(_)));
            dead && (last.at, last.sequence) == (self.at, self.sequence)
        });
        beside || (self.at >= end && self.sequence > sequence)
    }

    /// Length of its record.
    fn length(&self) -> ByteCount {
        match self.what {
            What::Shard { payload, .. } => record::length(ByteCount::new(u64::from(payload))),
            What::Dead(_) => tombstone::LENGTH,
        }
    }
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Here is a shard.
    Shard {
        /// Which.
        key: ShardKey,
        /// The epoch that its header names.
        epoch: Epoch,
        /// Length of its blocks with their checksums.
        payload: u32,
    },
    /// These are dead, as far as they lie before it.
    Dead(Tombstone),
}

/// Where a footer lies, as its trailer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Where the footer begins: behind the last record.
    pub start: ByteOffset,
    /// How many entries it has.
    pub entries: u64,
}

/// Why bytes are not a footer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FooterError {
    /// The volume was not sealed.
    #[error("no footer")]
    None,
    /// It was sealed, and its footer is damaged or another volume's.
    #[error("the footer is damaged")]
    Damaged,
    /// From a later build: this one must leave the disk alone.
    #[error("footer version {0} is not known to this build (it knows {VERSION})")]
    Version(u16),
}

/// Length of a footer of so many entries.
pub fn length(entries: usize) -> ByteCount {
    let bytes = (entries * ENTRY + TRAILER).next_multiple_of(BLOCK);
    ByteCount::new(bytes as u64)
}

/// A whole footer, to be written at `start`.
pub fn encode(disk: DiskId, volume: VolumeId, start: ByteOffset, entries: &[Entry]) -> Buffer {
    let mut footer = Buffer::zeroed(length(entries.len()).as_usize());
    let mut writer = Writer::new(&mut footer);
    for entry in entries {
        match entry.what {
            What::Shard {
                key,
                epoch,
                payload,
            } => writer
                .put(&key.to_be_bytes())
                .put(&[SHARD])
                .reserve(2)
                .put(&payload.to_be_bytes())
                .put(&epoch.0.to_be_bytes()),
            What::Dead(range) => writer
                .put(&range.group.to_be_bytes())
                .put(&range.first.to_be_bytes())
                .put(&[range.index, DEAD])
                .reserve(6)
                .put(&range.last.to_be_bytes()),
        };
        writer
            .put(&entry.at.get().to_be_bytes())
            .put(&entry.sequence.to_be_bytes());
    }
    let trailer_at = footer.len() - TRAILER;
    Writer::new(&mut footer[trailer_at..])
        .put(&VERSION.to_be_bytes())
        .reserve(6)
        .put(&disk.to_be_bytes())
        .put(&u64::from(volume.0).to_be_bytes())
        .put(&(entries.len() as u64).to_be_bytes())
        .put(&start.get().to_be_bytes())
        .reserve(8);
    let checked = trailer_at + CHECKED_TRAILER;
    let sum = keyed(disk, volume, &footer[..checked]);
    Writer::new(&mut footer[checked..]).put(&sum).put(MAGIC);
    footer
}

/// Reads the trailer at the end of a file's last block. What it says is proved by [`decode`] only.
///
/// # Errors
/// When there is none, and when it contradicts the file's length.
pub fn trailer(last_block: &[u8], file: ByteCount) -> Result<Trailer, FooterError> {
    let trailer = last_block
        .last_chunk::<TRAILER>()
        .ok_or(FooterError::None)?;
    if !trailer.ends_with(MAGIC) {
        return Err(FooterError::None);
    }
    let mut reader = Reader::new(trailer);
    let entries = reader.skip(2 + 6 + 8 + 8).u64();
    let start = reader.u64();
    let footer = usize::try_from(entries)
        .ok()
        .filter(|entries| *entries as u64 <= file.get() / ENTRY as u64)
        .map(length);
    if footer.and_then(|footer| file.get().checked_sub(footer.get())) != Some(start) {
        return Err(FooterError::Damaged);
    }
    Ok(Trailer {
        start: ByteOffset::new(start),
        entries,
    })
}

/// A footer that was proved, as it was written: a decoded list of a quarter of a million entries would be there
/// besides.
#[derive(Clone, Copy, Debug)]
pub struct Footer<B> {
    bytes: B,
    entries: usize,
    version: u16,
}

impl<B: AsRef<[u8]>> Footer<B> {
    /// What it lists, in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let entries = self.bytes.as_ref()[..self.entries * ENTRY].chunks_exact(ENTRY);
        entries.map(|entry| decode_entry(entry, self.version).expect("it was proved"))
    }
}

/// Reads a whole footer: from where its trailer says to the end of the file.
///
/// # Errors
/// When any byte of it is not what was written for this volume, when it lists what cannot lie there, and when a later
/// build wrote it.
pub fn decode<B: AsRef<[u8]>>(
    bytes: B,
    trailer: Trailer,
    disk: DiskId,
    volume: VolumeId,
) -> Result<Footer<B>, FooterError> {
    let footer = bytes.as_ref();
    let checked = footer
        .len()
        .checked_sub(CHECKSUM + MAGIC.len())
        .ok_or(FooterError::Damaged)?;
    if footer[checked..checked + CHECKSUM] != keyed(disk, volume, &footer[..checked]) {
        return Err(FooterError::Damaged);
    }
    // Version, checksum and magic stay where they are in every version, so that a later one can be
    // told from damage.
    let mut reader = Reader::new(&footer[footer.len() - TRAILER..]);
    let version = reader.u16();
    if !(1..=VERSION).contains(&version) {
        return Err(FooterError::Version(version));
    }
    let named = (DiskId::new(reader.skip(6).u64()), reader.u64());
    if named != (disk, u64::from(volume.0)) {
        return Err(FooterError::Damaged);
    }
    let entries = usize::try_from(trailer.entries).unwrap_or(usize::MAX);
    let listed = entries
        .checked_mul(ENTRY)
        .and_then(|length| footer.get(..length));
    let (mut last, mut end) = (None, ByteOffset::ZERO);
    for bytes in listed.ok_or(FooterError::Damaged)?.chunks_exact(ENTRY) {
        let entry = decode_entry(bytes, version).ok_or(FooterError::Damaged)?;
        let aligned = entry.at.get().is_multiple_of(BLOCK as u64);
        let inside = entry.at < trailer.start && entry.length() <= trailer.start - entry.at;
        if !aligned || !inside || !entry.follows(last.as_ref(), end) {
            return Err(FooterError::Damaged);
        }
        end = entry.at + entry.length();
        last = Some(entry);
    }
    Ok(Footer {
        bytes,
        entries,
        version,
    })
}

fn decode_entry(bytes: &[u8], version: u16) -> Option<Entry> {
    let mut reader = Reader::new(bytes);
    let (group, chunk) = (GroupId::new(reader.u64()), ChunkId::new(reader.u64()));
    let (index, kind) = (reader.u8(), reader.u8());
    let payload = reader.skip(2).u32();
    let field = reader.u64();
    let what = match kind {
        SHARD => What::Shard {
            key: ShardKey {
                group,
                chunk,
                index,
            },
            epoch: Epoch(field),
            payload,
        },
        DEAD if version > 1 && chunk.get() <= field => What::Dead(Tombstone {
            group,
            index,
            first: chunk,
            last: ChunkId::new(field),
        }),
        _ => return None,
    };
    Some(Entry {
        at: ByteOffset::new(reader.u64()),
        sequence: reader.u64(),
        what,
    })
}

fn keyed(disk: DiskId, volume: VolumeId, footer: &[u8]) -> [u8; CHECKSUM] {
    checksum(&[
        &disk.to_be_bytes(),
        &u64::from(volume.0).to_be_bytes(),
        footer,
    ])
}
