//! Footers: one that is sealed lists what the format says, of records that lie in its volume, or is refused; one whose
//! checksum does not match, or that belongs elsewhere, is refused; and under one on a disk nothing is shown but what
//! lies where it says and is proved.

use crate::disks::{self, DISK, GROUP, goes_on, holding, read, run, serve};
use crate::plain::{crc, flip, lay_over, offset_at, place, u16_at, u32_at, u64_at, verifies};
use std::collections::HashMap;
use std::sync::LazyLock;
use storage_node::Damage;
use storage_node::footer::{self, Entry, FooterError, What};
use storage_node::tombstone::{Tombstone, Tombstones};
use storage_node::volume::VolumeId;
use types::wire::ShardStore;
use types::wire::storage::DiskState;
use types::{ByteCount, ByteOffset, ChunkId, DiskId, Epoch, GroupId, ShardKey};

const BLOCK: usize = 4096;
/// From the footer's end.
const TRAILER: usize = 64;
/// Checksum and magic.
const SEALED_BY: usize = 16;
const VOLUME: VolumeId = VolumeId::FIRST;
/// A record whose payload has two blocks.
const LONG: usize = 70_000;

/// The first byte says what becomes of the others: laid over a footer that is sealed then, flips of one that is not
/// sealed again, laid over one that is sealed for elsewhere, a footer on a disk.
pub(crate) fn try_one(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    match how % 4 {
        0 => sealed(rest),
        1 => changed(rest),
        2 => elsewhere(rest),
        _ => run(stored(rest)),
    }
}

/// What is laid over a footer, as it is: the trailer's fields, and the others.
#[cfg(test)]
pub(crate) fn valid() -> Vec<u8> {
    let (entries, trailer) = WRITTEN.footer.split_at(BLOCK - TRAILER);
    [&trailer[..TRAILER - SEALED_BY], entries].concat()
}

fn sealed(over: &[u8]) {
    let mut bytes = WRITTEN.laid_over(over);
    seal(&mut bytes, DISK, VOLUME);
    let decoded = WRITTEN.decode(&bytes);
    assert_eq!(decoded, WRITTEN.plain(&bytes));
    if let Ok(entries) = decoded {
        let trailer = bytes.len() - TRAILER;
        for (n, entry) in entries.iter().enumerate() {
            let end = if matches!(entry.what, What::Dead(_)) {
                24
            } else {
                20
            };
            bytes[48 * n..][18..end].fill(0);
        }
        for later in [
            48 * entries.len()..trailer,
            trailer + 2..trailer + 8,
            trailer + 40..trailer + 48,
        ] {
            bytes[later].fill(0);
        }
        // Version 1 is the same without tombstones.
        bytes[trailer + 1] = 2;
        seal(&mut bytes, DISK, VOLUME);
        let start = ByteOffset::new(WRITTEN.start());
        let again = footer::encode(DISK, VOLUME, start, &entries);
        assert!(again[..] == bytes, "{entries:?}");
    }
}

fn changed(flips: &[u8]) {
    let mut bytes = WRITTEN.footer.clone();
    if flip(&mut bytes, flips) {
        let refused = WRITTEN.decode(&bytes);
        assert!(
            matches!(refused, Err(FooterError::None | FooterError::Damaged)),
            "{refused:?}"
        );
    }
}

fn elsewhere(over: &[u8]) {
    let mut bytes = WRITTEN.laid_over(over);
    for (disk, volume) in [(DiskId::new(8), VOLUME), (DISK, VOLUME.next())] {
        seal(&mut bytes, disk, volume);
        assert_eq!(WRITTEN.decode(&bytes), Err(FooterError::Damaged));
    }
}

/// A volume with that footer, and an open one behind it.
async fn stored(over: &[u8]) {
    let mut bytes = WRITTEN.laid_over(over);
    seal(&mut bytes, DISK, VOLUME);
    let told = WRITTEN.plain(&bytes);
    let volume = [&WRITTEN.records[..], &bytes].concat();
    let open = disks::shard(4, 100);
    let behind = disks::record(&open, VOLUME.next(), 1);
    let disk = holding(&[&volume, &behind]).await;
    let node = serve(&disk).await;
    let report = &node.report().await[0];
    if let Err(FooterError::Version(_)) = told {
        assert_ne!(report.state, DiskState::Serving);
        return;
    }
    assert_eq!(report.state, DiskState::Serving);
    let damage: Vec<Damage> = node.damage().map(|(_, damage)| damage).collect();
    let expected = told.is_err().then_some(Damage::Footer(VOLUME));
    assert_eq!(damage, Vec::from_iter(expected));

    // Without a footer its records say the same as the one that was written.
    let entries = told.unwrap_or_else(|_| WRITTEN.entries.clone());
    let mut live: HashMap<ShardKey, &[u8]> = HashMap::new();
    for entry in &entries {
        match entry.what {
            What::Shard { key, payload, .. } => {
                let begin = (entry.at - ByteOffset::ZERO).as_usize() + 1024;
                live.insert(key, &volume[begin..begin + payload as usize]);
            }
            What::Dead(range) => live.retain(|key, _| {
                let chunks = range.first..=range.last;
                (key.group, key.index) != (range.group, range.index) || !chunks.contains(&key.chunk)
            }),
        }
    }
    live.insert(open.key, &open.payload);
    assert_eq!(report.shards, live.len() as u64);
    for (key, payload) in live {
        let shown = read(&node, key, payload.len()).await;
        let whole = !payload.is_empty() && verifies(key, payload);
        assert_eq!(shown.ok().as_deref(), whole.then_some(payload), "{key}");
    }
    goes_on(&node).await;
    node.shutdown().await;
}

static WRITTEN: LazyLock<Written> = LazyLock::new(Written::make);

/// A volume's records and the footer that was written behind them.
struct Written {
    records: Vec<u8>,
    entries: Vec<Entry>,
    footer: Vec<u8>,
}

impl Written {
    /// Two shards, tombstones of the first one and of what was never there, another shard.
    fn make() -> Self {
        let range = |first, last| Tombstone {
            group: GROUP,
            index: 0,
            first: ChunkId::new(first),
            last: ChunkId::new(last),
        };
        let tombstones = Tombstones {
            ranges: vec![range(1, 1), range(20, 30)],
            volume: VOLUME,
            sequence: 3,
            durable: ByteOffset::ZERO,
            opened: ByteOffset::ZERO,
        };
        let (mut records, mut entries) = (Vec::new(), Vec::new());
        let store = |records: &mut Vec<u8>, sequence, number, length| {
            let put = disks::shard(number, length);
            let what = What::Shard {
                key: put.key,
                epoch: put.epoch,
                payload: u32::try_from(put.payload.len()).expect("it is short"),
            };
            let at = ByteOffset::new(records.len() as u64);
            records.extend(disks::record(&put, VOLUME, sequence));
            Entry { at, sequence, what }
        };
        entries.push(store(&mut records, 1, 1, 100));
        entries.push(store(&mut records, 2, 2, LONG));
        let dead = tombstones.ranges.iter().map(|range| Entry {
            at: ByteOffset::new(records.len() as u64),
            sequence: 3,
            what: What::Dead(*range),
        });
        entries.extend(dead);
        records.extend_from_slice(&tombstones.encode(DISK));
        entries.push(store(&mut records, 4, 3, 5000));
        let start = ByteOffset::new(records.len() as u64);
        let footer = footer::encode(DISK, VOLUME, start, &entries).to_vec();
        assert_eq!(footer.len(), BLOCK);
        Self {
            records,
            entries,
            footer,
        }
    }

    fn start(&self) -> u64 {
        self.records.len() as u64
    }

    /// The first bytes over the trailer's fields, the others over the entries.
    fn laid_over(&self, over: &[u8]) -> Vec<u8> {
        let mut bytes = self.footer.clone();
        let (trailer, entries) = over.split_at(over.len().min(TRAILER - SEALED_BY));
        let at = bytes.len() - TRAILER;
        lay_over(&mut bytes[at..], trailer);
        lay_over(&mut bytes[..at], entries);
        bytes
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<Entry>, FooterError> {
        let file = ByteCount::new(self.start() + bytes.len() as u64);
        let trailer = footer::trailer(bytes, file)?;
        let footer = footer::decode(bytes, trailer, DISK, VOLUME)?;
        Ok(footer.entries().collect())
    }

    /// What a sealed footer lists.
    fn plain(&self, bytes: &[u8]) -> Result<Vec<Entry>, FooterError> {
        let damaged = Err(FooterError::Damaged);
        let trailer = &bytes[bytes.len() - TRAILER..];
        let (count, start) = (u64_at(trailer, 24), u64_at(trailer, 32));
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        // One block holds so many.
        if count > (BLOCK - TRAILER) / 48 || start != self.start() {
            return damaged;
        }
        let version = u16_at(trailer, 0);
        if !(1..=2).contains(&version) {
            return Err(FooterError::Version(version));
        }
        if trailer[8..24] != place(DISK, VOLUME) {
            return damaged;
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut end = 0;
        for bytes in bytes.chunks_exact(48).take(count) {
            let Some((entry, length)) = plain_entry(bytes, version) else {
                return damaged;
            };
            let at = entry.at.get();
            let beside = entries.last().is_some_and(|last| {
                let tombstones = [last.what, entry.what].map(|what| matches!(what, What::Dead(_)));
                tombstones == [true; 2] && (last.at, last.sequence) == (entry.at, entry.sequence)
            });
            let rises = entries.last().map_or(0, |last| last.sequence) < entry.sequence;
            let inside = at.is_multiple_of(BLOCK as u64) && at <= start && length <= start - at;
            if !inside || !(beside || (rises && at >= end)) {
                return damaged;
            }
            end = at + length;
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// An entry, and how long its record is.
fn plain_entry(bytes: &[u8], version: u16) -> Option<(Entry, u64)> {
    let (group, chunk) = (
        GroupId::new(u64_at(bytes, 0)),
        ChunkId::new(u64_at(bytes, 8)),
    );
    let index = bytes[16];
    let (what, length) = match (bytes[17], version) {
        (0, _) => {
            let payload = u32_at(bytes, 20);
            let key = ShardKey {
                group,
                chunk,
                index,
            };
            let epoch = Epoch(u64_at(bytes, 24));
            let length = (1024 + u64::from(payload) + 1).next_multiple_of(4096);
            (
                What::Shard {
                    key,
                    epoch,
                    payload,
                },
                length,
            )
        }
        (1, 2) => {
            let last = ChunkId::new(u64_at(bytes, 24));
            let range = Tombstone {
                group,
                index,
                first: chunk,
                last,
            };
            (chunk <= last).then_some((What::Dead(range), 4096))?
        }
        _ => return None,
    };
    let entry = Entry {
        at: offset_at(bytes, 32),
        sequence: u64_at(bytes, 40),
        what,
    };
    Some((entry, length))
}

fn seal(footer: &mut [u8], disk: DiskId, volume: VolumeId) {
    let checked = footer.len() - SEALED_BY;
    let sum = crc(&[&place(disk, volume), &footer[..checked]]);
    footer[checked..checked + 8].copy_from_slice(&sum);
}
