//! Records of tombstones: one that is sealed means what the format says, or is refused; one whose checksum does not
//! match, or that belongs elsewhere, is refused; and one on a disk kills what it names before it, and nothing else.

use crate::disks::{self, DISK, GROUP, goes_on, holding, key, read_all, run, serve};
use crate::plain::{crc, field, flip, lay_over, offset_at, place, u16_at, u64_at};
use storage_node::record::HeaderError;
use storage_node::tombstone::{Tombstone, Tombstones};
use storage_node::volume::VolumeId;
use types::wire::ShardStore;
use types::wire::storage::{DiskState, ReadError};
use types::{ByteOffset, ChunkId, DiskId, GroupId};

const BLOCK: usize = 4096;
const SEALED_AT: usize = BLOCK - 16;
const VOLUME: VolumeId = VolumeId::FIRST;
/// The sequence number of the record behind.
const LAST: u64 = 1 << 40;

/// The first byte says what becomes of the others: laid over a record that is sealed then, flips of one that is not
/// sealed again, laid over one that is sealed for elsewhere, a record on a disk.
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

fn sealed(over: &[u8]) {
    let mut bytes = laid_over(over);
    seal(&mut bytes, DISK, VOLUME);
    let decoded = Tombstones::decode(&bytes, DISK, VOLUME);
    assert_eq!(decoded, plain(&bytes));
    if let Ok(record) = decoded {
        let ranges = record.ranges.len();
        for later in [12..16, 48..64, 64 + 32 * ranges..4080, 4088..4096] {
            bytes[later].fill(0);
        }
        for n in 0..ranges {
            bytes[64 + 32 * n..][25..32].fill(0);
        }
        seal(&mut bytes, DISK, VOLUME);
        assert!(record.encode(DISK)[..] == bytes, "{record:?}");
    }
}

fn changed(flips: &[u8]) {
    let mut bytes = valid();
    if flip(&mut bytes, flips) {
        let decoded = Tombstones::decode(&bytes, DISK, VOLUME);
        assert_eq!(decoded, Err(HeaderError::Invalid));
    }
}

fn elsewhere(over: &[u8]) {
    let mut bytes = laid_over(over);
    for (disk, volume) in [(DiskId::new(8), VOLUME), (DISK, VOLUME.next())] {
        seal(&mut bytes, disk, volume);
        let decoded = Tombstones::decode(&bytes, DISK, VOLUME);
        assert_eq!(decoded, Err(HeaderError::Invalid));
    }
}

/// Behind two shards and before one.
async fn stored(over: &[u8]) {
    let puts = [1, 2, 3].map(|number| disks::shard(number, 100));
    let [one, two, three] = [(1, &puts[0]), (2, &puts[1]), (LAST, &puts[2])]
        .map(|(sequence, put)| disks::record(put, VOLUME, sequence));
    let mut bytes = laid_over(over);
    seal(&mut bytes, DISK, VOLUME);
    let told = plain(&bytes);
    let disk = holding(&[&[one, two, bytes, three].concat()]).await;
    let node = serve(&disk).await;
    let report = &node.report().await[0];
    if let Err(HeaderError::Version(_)) = told {
        assert_ne!(report.state, DiskState::Serving);
        return;
    }
    assert_eq!(report.state, DiskState::Serving);

    let fits = |record: &Tombstones| {
        (3..1 << 48).contains(&record.sequence)
            && record.opened <= record.durable
            && record.durable.get() <= 2 * BLOCK as u64
    };
    let record = told.ok().filter(fits);
    let names = |record: &Tombstones, number| {
        let key = key(number);
        let mut ranges = record.ranges.iter();
        ranges.any(|range| {
            let chunks = range.first.get()..=range.last.get();
            range.group == key.group && range.index == key.index && chunks.contains(&number)
        })
    };
    let dead = |number| record.as_ref().is_some_and(|record| names(record, number));
    let passed = record
        .as_ref()
        .is_some_and(|record| record.sequence >= LAST);
    for (put, lives) in puts.iter().zip([!dead(1), !dead(2), !passed]) {
        let missing = Err(ReadError::Missing { key: put.key });
        let expected = if lives {
            Ok(put.payload.clone())
        } else {
            missing
        };
        assert_eq!(read_all(&node, put).await, expected);
    }
    assert_eq!(node.damage().count() > 0, record.is_none());
    goes_on(&node).await;
    node.shutdown().await;
}

/// A record that names the second shard, and others.
pub(crate) fn valid() -> Vec<u8> {
    let range = |group, first, last| Tombstone {
        group,
        index: 0,
        first: ChunkId::new(first),
        last: ChunkId::new(last),
    };
    let record = Tombstones {
        ranges: vec![
            range(GROUP, 2, 2),
            range(GroupId::new(5), 1, 9),
            range(GROUP, 20, u64::MAX),
        ],
        volume: VOLUME,
        sequence: 3,
        durable: ByteOffset::new(4096),
        opened: ByteOffset::ZERO,
    };
    record.encode(DISK).to_vec()
}

fn laid_over(over: &[u8]) -> Vec<u8> {
    let mut bytes = valid();
    lay_over(&mut bytes, over);
    bytes
}

fn seal(block: &mut [u8], disk: DiskId, volume: VolumeId) {
    let (place, sequence) = (place(disk, volume), field::<8>(block, 24));
    let sum = crc(&[
        &place,
        &sequence,
        &block[..SEALED_AT],
        &block[SEALED_AT + 8..],
    ]);
    block[SEALED_AT..SEALED_AT + 8].copy_from_slice(&sum);
}

/// What a sealed record says.
fn plain(bytes: &[u8]) -> Result<Tombstones, HeaderError> {
    let invalid = Err(HeaderError::Invalid);
    if !bytes.starts_with(b"STRTOMBS") {
        return invalid;
    }
    let version = u16_at(bytes, 8);
    if version != 1 {
        return Err(HeaderError::Version(version));
    }
    let count = usize::from(u16_at(bytes, 10));
    if !(1..=125).contains(&count) || u64_at(bytes, 16) != u64::from(VOLUME.0) {
        return invalid;
    }
    let ranges = bytes[64..].chunks_exact(32).take(count);
    let ranges: Vec<Tombstone> = ranges
        .map(|range| Tombstone {
            group: GroupId::new(u64_at(range, 0)),
            first: ChunkId::new(u64_at(range, 8)),
            last: ChunkId::new(u64_at(range, 16)),
            index: range[24],
        })
        .collect();
    if ranges.iter().any(|range| range.first > range.last) {
        return invalid;
    }
    Ok(Tombstones {
        ranges,
        volume: VOLUME,
        sequence: u64_at(bytes, 24),
        durable: offset_at(bytes, 32),
        opened: offset_at(bytes, 40),
    })
}
