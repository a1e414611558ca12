//! Golden files: what was written is readable for ever, and nothing else is read as it.
//!
//! A golden file that is missing is written, and the test fails: look at it, commit it, run again.

use crate::world::{CLUSTER, DISK, NODE, SMALL, delete, node, read_all, run, shard};
use disk::sim::SimDisk;
use disk::{Buffer, Disk};
use std::path::Path;
use strongroom_storage_node::footer::{self, Entry, FooterError, What};
use strongroom_storage_node::record::{self, Header, HeaderError};
use strongroom_storage_node::roster::{Roster, RosterError};
use strongroom_storage_node::stamp::{Stamp, StampError};
use strongroom_storage_node::tombstone::{self, Tombstone, Tombstones};
use strongroom_storage_node::upkeep::bookmark::{Bookmark, Phase};
use strongroom_storage_node::volume::VolumeId;
use types::wire::ShardStore;
use types::wire::metadata::WallTime;
use types::{ByteCount, ByteOffset, ChunkId, DiskId, Epoch, GroupId, ShardKey};

const VOLUME: VolumeId = VolumeId(9);

fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        panic!("{} was missing and has been written", path.display());
    }
    std::fs::read(path).unwrap()
}

fn header() -> Header {
    let put = shard(DISK, 3, 66_000, 0);
    Header {
        key: put.key,
        epoch: Epoch(11),
        chunk: put.chunk,
        volume: VOLUME,
        sequence: 12,
        durable: ByteOffset::new(8192),
        opened: ByteOffset::new(4096),
    }
}

fn entries() -> Vec<Entry> {
    let entry = |n: u64| Entry {
        at: ByteOffset::new(n * 8192),
        sequence: 2 * n + 1,
        what: What::Shard {
            key: shard(DISK, n, 1, 0).key,
            epoch: Epoch(n + 1),
            payload: 3008,
        },
    };
    (0..100).map(entry).collect()
}

fn tombstones(count: u64) -> Tombstones {
    let range = |n: u64| Tombstone {
        group: GroupId::new(5 + n),
        index: u8::try_from(n % 7).unwrap(),
        first: ChunkId::new(n << 40),
        last: ChunkId::new((n << 40) + n),
    };
    Tombstones {
        ranges: (0..count).map(range).collect(),
        volume: VOLUME,
        sequence: 13,
        durable: ByteOffset::new(8192),
        opened: ByteOffset::new(4096),
    }
}

fn roster() -> Roster {
    Roster {
        sequence: 9,
        next: 4000,
        volumes: (1..4000).filter(|id| id % 7 > 1).map(VolumeId).collect(),
    }
}

/// Shards, and tombstones of one record behind them.
fn entries_with_tombstones() -> Vec<Entry> {
    let dead = |range: &Tombstone| Entry {
        at: ByteOffset::new(100 * 8192),
        sequence: 201,
        what: What::Dead(*range),
    };
    let mut entries = entries();
    entries.extend(tombstones(5).ranges.iter().map(dead));
    entries
}

fn stamp() -> Stamp {
    Stamp {
        cluster: CLUSTER,
        node: NODE,
        disk: DISK,
    }
}

fn decode_footer(bytes: &[u8], disk: DiskId, volume: VolumeId) -> Result<Vec<Entry>, FooterError> {
    let start = 1_000 * 4096;
    let file = ByteCount::new(start + bytes.len() as u64);
    let trailer = footer::trailer(bytes, file)?;
    let footer = footer::decode(bytes, trailer, disk, volume)?;
    Ok(footer.entries().collect())
}

/// The record of a known shard, byte for byte.
#[test]
fn record_is_golden() {
    let payload = shard(DISK, 3, 66_000, 0).payload;
    let record = record::encode(DISK, &header(), &payload);
    assert_eq!(record.len(), 17 * 4096);
    let stored = golden("record.bin", &record);
    assert!(stored == record[..]);
    assert_eq!(Header::decode(&stored, DISK, VOLUME), Ok(header()));
    assert_eq!(stored[1024..1024 + payload.len()], payload);
    assert!(stored[1024 + payload.len()..].iter().all(|byte| *byte == 0));
}

/// The footer of a known volume, byte for byte; and as the version before wrote it, without tombstones.
#[test]
fn footer_is_golden() {
    let start = ByteOffset::new(1_000 * 4096);
    let entries = entries_with_tombstones();
    let footer = footer::encode(DISK, VOLUME, start, &entries);
    assert_eq!(ByteCount::of(&footer), footer::length(105));
    let stored = golden("footer-2.bin", &footer);
    assert!(stored == footer[..]);
    assert_eq!(decode_footer(&stored, DISK, VOLUME), Ok(entries));
    let before = golden("footer.bin", &[]);
    assert_eq!(decode_footer(&before, DISK, VOLUME), Ok(self::entries()));
}

/// Records of tombstones, byte for byte: a few, and as many as one holds.
#[test]
fn tombstones_are_golden() {
    for (name, count) in [("tombstones.bin", 3), ("tombstones-full.bin", 125)] {
        let record = tombstones(count).encode(DISK);
        assert_eq!(ByteCount::of(&record), tombstone::LENGTH);
        assert_eq!(record.last(), Some(&0), "no footer ends so");
        let stored = golden(name, &record);
        assert!(stored == record[..]);
        let read = Tombstones::decode(&stored, DISK, VOLUME);
        assert_eq!(read, Ok(tombstones(count)));
    }
}

/// The roster of a known disk, byte for byte: of several blocks.
#[test]
fn roster_is_golden() {
    let half = roster().encode(DISK);
    assert_eq!(half.len(), 2 * 4096);
    let stored = golden("volumes.bin", &half);
    assert!(stored == half[..]);
    assert_eq!(Roster::decode(&stored, DISK), Ok(roster()));
    let elsewhere = Roster::decode(&stored, DiskId::new(71));
    assert_eq!(elsewhere, Err(RosterError::Invalid));
    let short = Roster::decode(&stored[..4096], DISK);
    assert_eq!(short, Err(RosterError::Invalid));
}

fn bookmark() -> Bookmark {
    Bookmark {
        sequence: 3,
        phase: Phase::Hurried,
        round: 4,
        began: WallTime(1_800_000_000_001),
        ended: WallTime(1_799_000_000_002),
        shards: 5,
        bytes: 60_000,
        found: 7,
        next: ShardKey {
            group: GroupId::new(8),
            chunk: ChunkId::new(9 << 40),
            index: 10,
        },
    }
}

/// Where a known disk's scrub is, byte for byte; each phase reads back, and on another disk, or written by a
/// later build, it says nothing.
#[test]
fn bookmark_is_golden() {
    let half = bookmark().encode(DISK);
    let stored = golden("scrub.bin", &half);
    assert!(stored == half[..]);
    assert_eq!(Bookmark::decode(&stored, DISK), Some(bookmark()));
    assert_eq!(Bookmark::decode(&stored, DiskId::new(71)), None);
    assert_eq!(Bookmark::decode(&stored[..4095], DISK), None);
    for phase in [Phase::Resting, Phase::Steady, Phase::Hurried] {
        let other = Bookmark {
            phase,
            ..bookmark()
        };
        assert_eq!(Bookmark::decode(&other.encode(DISK), DISK), Some(other));
    }
}

/// What the version before tombstones wrote opens, and goes on. Method: its files, put on a simulated disk.
#[test]
fn a_disk_of_the_previous_version_opens() {
    run(async {
        let disk = SimDisk::new(1);
        for name in ["stamp", "volume-00000001", "volume-00000002"] {
            let bytes = golden(&format!("previous/{name}"), &[]);
            let file = disk.create(name).await.unwrap();
            let content = Buffer::copy_of(&bytes);
            file.write(ByteOffset::ZERO, content).await.unwrap();
            file.sync().await.unwrap();
        }
        disk.sync_folder().await.unwrap();
        let mut disk = disk;
        for seed in 0..4 {
            let serving = node(&disk, SMALL).await;
            assert_eq!(serving.damage().count(), 0);
            for chunk in seed..6 {
                let put = shard(DISK, chunk, 5000, 0);
                assert!(read_all(&serving, &put).await.unwrap() == put.payload);
            }
            let removed = delete(&serving, DISK, seed..=seed).await.unwrap();
            assert_eq!(removed.shards, 1);
            serving.put(shard(DISK, 10 + seed, 5000, 0)).await.unwrap();
            assert_eq!(serving.report().await[0].shards, 6);
            drop(serving);
            disk = disk.crash(seed);
        }
    });
}

/// The stamp of a known disk, byte for byte.
#[test]
fn stamp_is_golden() {
    let stored = golden("stamp.bin", &stamp().encode());
    assert!(stored == stamp().encode()[..]);
    assert_eq!(Stamp::decode(&stored), Ok(stamp()));
}

/// No bit of a header, a footer or a stamp can flip unnoticed.
#[test]
fn every_flipped_bit_is_noticed() {
    let header = header().encode(DISK);
    let start = ByteOffset::new(1_000 * 4096);
    let footer = footer::encode(DISK, VOLUME, start, &entries_with_tombstones());
    let tombstones = tombstones(3).encode(DISK);
    let stamp = stamp().encode();
    let each_flip = |bytes: &[u8], accepts: &dyn Fn(&[u8]) -> bool| {
        let mut bytes = bytes.to_vec();
        assert!(accepts(&bytes));
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!accepts(&bytes), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    };
    each_flip(&header, &|bytes| {
        Header::decode(bytes, DISK, VOLUME).is_ok()
    });
    each_flip(&footer, &|bytes| decode_footer(bytes, DISK, VOLUME).is_ok());
    each_flip(&tombstones, &|bytes| {
        Tombstones::decode(bytes, DISK, VOLUME).is_ok()
    });
    let roster = roster().encode(DISK);
    each_flip(&roster, &|bytes| Roster::decode(bytes, DISK).is_ok());
    let bookmark = bookmark().encode(DISK);
    each_flip(&bookmark, &|bytes| Bookmark::decode(bytes, DISK).is_some());
    each_flip(&stamp, &|bytes| Stamp::decode(bytes).is_ok());
}

/// What lies in the wrong volume or on the wrong disk does not verify.
#[test]
fn misplaced_headers_and_footers_are_refused() {
    let header = header().encode(DISK);
    let footer = footer::encode(DISK, VOLUME, ByteOffset::new(1_000 * 4096), &entries());
    for (disk, volume) in [(DiskId::new(71), VOLUME), (DISK, VolumeId(10))] {
        let refused = Header::decode(&header, disk, volume);
        assert_eq!(refused, Err(HeaderError::Invalid));
        let refused = Tombstones::decode(&tombstones(3).encode(DISK), disk, volume);
        assert_eq!(refused, Err(HeaderError::Invalid));
        let refused = decode_footer(&footer, disk, volume);
        assert_eq!(refused, Err(FooterError::Damaged));
    }
    let short = Header::decode(&header[..1023], DISK, VOLUME);
    assert_eq!(short, Err(HeaderError::Invalid));
}

/// A record's last byte is zero and a footer's is not, so no payload makes an open volume look sealed;
/// and a trailer that claims more than the file holds is no trailer.
#[test]
fn no_record_ends_like_a_footer() {
    for payload in (1..3 * 4096).map(ByteCount::new) {
        let length = record::length(payload).get();
        assert!(length.is_multiple_of(4096) && length > 1024 + payload.get());
    }
    let footer = footer::encode(DISK, VOLUME, ByteOffset::new(4096), &entries());
    assert_eq!(footer.last(), Some(&b'R'));
    for file in [0, 4096, footer.len() as u64, 1 << 40] {
        let trailer = footer::trailer(&footer, ByteCount::new(file));
        assert_eq!(trailer, Err(FooterError::Damaged), "{file}");
    }
}

/// What a later build wrote intact is told from damage: this build leaves such a disk alone.
#[test]
fn later_versions_are_not_damage() {
    // Rewrites the version and whatever checksum makes it intact again.
    let crc = |pieces: &[&[u8]]| {
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        pieces.iter().for_each(|piece| digest.update(piece));
        digest.finalize().to_be_bytes()
    };
    let disk = DISK.to_be_bytes();
    let volume = u64::from(VOLUME.0).to_be_bytes();

    let mut bytes = header().encode(DISK);
    bytes[9] = 2;
    let sequence = 12u64.to_be_bytes();
    let sum = crc(&[&disk, &volume, &sequence, &bytes[..1016]]);
    bytes[1016..].copy_from_slice(&sum);
    let later = Header::decode(&bytes, DISK, VOLUME);
    assert_eq!(later, Err(HeaderError::Version(2)));

    let start = ByteOffset::new(1_000 * 4096);
    let mut bytes = footer::encode(DISK, VOLUME, start, &entries()).to_vec();
    let end = bytes.len();
    bytes[end - 63] = 3;
    let sum = crc(&[&disk, &volume, &bytes[..end - 16]]);
    bytes[end - 16..end - 8].copy_from_slice(&sum);
    let later = decode_footer(&bytes, DISK, VOLUME);
    assert_eq!(later, Err(FooterError::Version(3)));

    let mut bytes = tombstones(3).encode(DISK).to_vec();
    bytes[9] = 2;
    let sequence = 13u64.to_be_bytes();
    let sum = crc(&[&disk, &volume, &sequence, &bytes[..4080], &bytes[4088..]]);
    bytes[4080..4088].copy_from_slice(&sum);
    let later = Tombstones::decode(&bytes, DISK, VOLUME);
    assert_eq!(later, Err(HeaderError::Version(2)));

    let mut bytes = roster().encode(DISK).to_vec();
    bytes[9] = 2;
    let sum = crc(&[&disk, &bytes[..56], &bytes[64..]]);
    bytes[56..64].copy_from_slice(&sum);
    let later = Roster::decode(&bytes, DISK);
    assert_eq!(later, Err(RosterError::Version(2)));

    let mut bytes = stamp().encode().to_vec();
    bytes[9] = 2;
    let sum = crc(&[&bytes[..4088]]);
    bytes[4088..].copy_from_slice(&sum);
    assert_eq!(Stamp::decode(&bytes), Err(StampError::Version(2)));
}
