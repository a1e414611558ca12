//! Reading one volume: its footer, or record by record.
//!
//! Walking goes from header to header, block by block where there is none, and reads the blocks of those
//! records that were not known to be durable when the last header was written.

use crate::footer::{self, Entry, Footer, FooterError, What};
use crate::opening::{Damage, OpenError};
use crate::record::{self, Header, HeaderError};
use crate::tombstone::{self, Tombstones};
use crate::volume::VolumeId;
use bytes::Bytes;
use disk::{BLOCK, File};
use std::io;
use types::{ByteCount, ByteOffset, DiskId, Epoch, ShardKey, block};

/// Read at once while walking: a few small records, or one header and little waste.
const WINDOW: u64 = 128 << 10;
const BLOCK_BYTES: u64 = BLOCK as u64;
/// No record has such a number: a volume has room for 2^32 of them, and the next one must have a number, too.
const UNUSED: u64 = 1 << 48;

/// One volume that is being opened.
pub(crate) struct VolumeReader<'a> {
    pub(crate) file: &'a dyn File,
    pub(crate) disk: DiskId,
    pub(crate) volume: VolumeId,
    pub(crate) length: ByteCount,
}

/// What walking a volume found.
pub(crate) struct Walk {
    pub(crate) entries: Vec<Entry>,
    pub(crate) damage: Vec<Damage>,
    /// Behind the last good record.
    pub(crate) end: ByteOffset,
}

/// Why a volume has no footer that counts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsealed {
    #[error(transparent)]
    Footer(#[from] FooterError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A record whose header is good.
enum Record {
    Shard(Shard),
    Tombstones(Tombstones),
}

/// What counts of a shard's header. A volume has up to a quarter of a million of them, and they are all held at once.
struct Shard {
    key: ShardKey,
    epoch: Epoch,
    payload: u32,
    sequence: u64,
    opened: ByteOffset,
    durable: ByteOffset,
}

impl From<Header> for Shard {
    fn from(header: Header) -> Self {
        Self {
            key: header.key,
            epoch: header.epoch,
            payload: u32::try_from(header.payload().get()).expect("checked when it was decoded"),
            sequence: header.sequence,
            opened: header.opened,
            durable: header.durable,
        }
    }
}

impl Record {
    fn decode(bytes: &[u8], disk: DiskId, volume: VolumeId) -> Result<Self, HeaderError> {
        match Header::decode(bytes, disk, volume) {
            Err(HeaderError::Invalid) => {
                Tombstones::decode(bytes, disk, volume).map(Self::Tombstones)
            }
            header => header.map(|header| Self::Shard(header.into())),
        }
    }

    fn sequence(&self) -> u64 {
        match self {
            Self::Shard(shard) => shard.sequence,
            Self::Tombstones(record) => record.sequence,
        }
    }

    /// What was durable when it was written: from where the volume was opened on, and in all.
    fn proves(&self) -> (ByteOffset, ByteOffset) {
        match self {
            Self::Shard(shard) => (shard.opened, shard.durable),
            Self::Tombstones(record) => (record.opened, record.durable),
        }
    }

    fn length(&self) -> ByteCount {
        match self {
            Self::Shard(shard) => record::length(ByteCount::new(u64::from(shard.payload))),
            Self::Tombstones(_) => tombstone::LENGTH,
        }
    }

    fn entries(&self, at: ByteOffset) -> Vec<Entry> {
        let sequence = self.sequence();
        let entry = |what| Entry { at, sequence, what };
        match self {
            Self::Shard(shard) => vec![entry(What::Shard {
                key: shard.key,
                epoch: shard.epoch,
                payload: shard.payload,
            })],
            Self::Tombstones(record) => {
                let ranges = record.ranges.iter();
                ranges.map(|range| entry(What::Dead(*range))).collect()
            }
        }
    }
}

impl VolumeReader<'_> {
    /// Its footer.
    pub(crate) async fn footer(&self) -> Result<Footer<Bytes>, Unsealed> {
        let Some(last) = self.length.get().checked_sub(BLOCK_BYTES) else {
            return Err(FooterError::None.into());
        };
        if !self.length.get().is_multiple_of(BLOCK_BYTES) {
            return Err(FooterError::None.into());
        }
        let block = self.read(ByteOffset::new(last), BLOCK_BYTES).await?;
        let trailer = footer::trailer(&block, self.length)?;
        let length = (ByteOffset::ZERO + self.length) - trailer.start;
        let footer = self.file.read(trailer.start, length).await?;
        Ok(footer::decode(footer, trailer, self.disk, self.volume)?)
    }

    /// All good records, wherever they are.
    pub(crate) async fn walk(&self) -> Result<Walk, OpenError> {
        let mut found = self.records().await?;
        let durable = found.iter().map(|(_, record)| record.proves().1).max();
        let durable = durable.unwrap_or(ByteOffset::ZERO);
        let first_unsure = found.partition_point(|(at, _)| *at < durable);
        for (at, record) in found.split_off(first_unsure) {
            if self.verify(at, &record).await? {
                found.push((at, record));
            }
        }
        Ok(self.assemble(&found))
    }

    async fn records(&self) -> Result<Vec<(ByteOffset, Record)>, OpenError> {
        let mut found: Vec<(ByteOffset, Record)> = Vec::new();
        let end = ByteOffset::new(self.length.get() / BLOCK_BYTES * BLOCK_BYTES);
        let mut window = (ByteOffset::ZERO, Bytes::new());
        let mut at = ByteOffset::ZERO;
        let mut last_sequence = 0;
        while at < end {
            let behind = window.0 + ByteCount::of(&window.1);
            if at < window.0 || at >= behind {
                let length = WINDOW.min((end - at).get());
                window = (at, self.read(at, length).await?);
            }
            let bytes = &window.1[(at - window.0).as_usize()..];
            match Record::decode(bytes, self.disk, self.volume) {
                Ok(record) if record.sequence() > last_sequence && fits(&record, at, end) => {
                    last_sequence = record.sequence();
                    let next = at + record.length();
                    found.push((at, record));
                    at = next;
                }
                Err(source @ HeaderError::Version(_)) => {
                    let volume = self.volume;
                    return Err(OpenError::Header { volume, source });
                }
                Ok(_) | Err(HeaderError::Invalid) => at = at + ByteCount::new(BLOCK_BYTES),
            }
        }
        Ok(found)
    }

    /// Whether all of a record is as it was written. Tombstones were proved when they were decoded.
    async fn verify(&self, at: ByteOffset, record: &Record) -> io::Result<bool> {
        let Record::Shard(shard) = record else {
            return Ok(true);
        };
        let bytes = self.read(at, record.length().get()).await?;
        let payload = record::HEADER..record::HEADER + shard.payload as usize;
        Ok(block::check(shard.key, 0, &bytes[payload]).is_ok())
    }

    fn assemble(&self, found: &[(ByteOffset, Record)]) -> Walk {
        let was_durable = |gap: ByteOffset| {
            let proofs = found.iter().map(|(_, record)| record.proves());
            proofs
                .into_iter()
                .any(|(opened, durable)| opened <= gap && gap < durable)
        };
        let mut walk = Walk {
            entries: Vec::new(),
            damage: Vec::new(),
            end: ByteOffset::ZERO,
        };
        for (at, record) in found {
            if *at > walk.end {
                walk.damage.push(Damage::Record {
                    volume: self.volume,
                    at: walk.end,
                    length: *at - walk.end,
                    durable: was_durable(walk.end),
                });
            }
            walk.entries.extend(record.entries(*at));
            walk.end = *at + record.length();
        }
        walk
    }

    /// Whether damage is a gap of zeros alone, as where dead records were punched out.
    pub(crate) async fn is_hole(&self, damage: &Damage) -> io::Result<bool> {
        let Damage::Record { at, length, .. } = *damage else {
            return Ok(false);
        };
        let behind = at + length;
        let mut at = at;
        while at < behind {
            let bytes = self.read(at, WINDOW.min((behind - at).get())).await?;
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at = at + ByteCount::of(&bytes);
        }
        Ok(true)
    }

    async fn read(&self, at: ByteOffset, length: u64) -> io::Result<Bytes> {
        self.file.read(at, ByteCount::new(length)).await
    }
}

/// Whether a record may lie there, and what it says was durable lies before it.
fn fits(record: &Record, at: ByteOffset, end: ByteOffset) -> bool {
    let (opened, durable) = record.proves();
    let place = opened <= durable && durable <= at && at + record.length() <= end;
    place && record.sequence() < UNUSED
}
