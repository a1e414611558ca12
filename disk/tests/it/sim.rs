//! The simulated disk loses what a real one may lose, and nothing else.

use futures::FutureExt;
use futures::executor::block_on;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use strongroom_disk::sim::{Call, Fate, Operation, SimDisk};
use strongroom_disk::{BLOCK, Buffer, Disk, File};
use types::{ByteCount, ByteOffset};

const SEEDS: u64 = 400;

fn at(block: u64) -> ByteOffset {
    ByteOffset::new(block * BLOCK as u64)
}

fn filled(blocks: usize, byte: u8) -> Buffer {
    Buffer::copy_of(&vec![byte; blocks * BLOCK])
}

/// A disk with one durable file of eight blocks of ones.
fn settled(seed: u64) -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new(seed);
    let file = block_on(async {
        let file = disk.create("file").await.unwrap();
        file.write(at(0), filled(8, 1)).await.unwrap();
        file.sync().await.unwrap();
        disk.sync_folder().await.unwrap();
        file
    });
    (disk, file)
}

/// What was synced survives every crash; what was not is, over many seeds, kept, lost, torn inside a
/// block, and overtaken by a later write.
#[test]
fn unsynced_writes_are_kept_lost_torn_and_reordered() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let (disk, file) = settled(seed);
        block_on(async {
            file.write(at(2), filled(2, 2)).await.unwrap();
            file.write(at(2), filled(1, 3)).await.unwrap();
            file.write(at(8), filled(1, 4)).await.unwrap();
        });
        let content = disk.crash(seed).content("file").unwrap();
        let block = |n: usize| &content[n * BLOCK..(n + 1) * BLOCK];
        for synced in [0, 1, 4, 5, 6, 7] {
            assert_eq!(block(synced), [1; BLOCK], "seed {seed}");
        }
        let uniform = block(2).iter().all(|byte| *byte == block(2)[0]);
        seen.insert(match (uniform, block(2)[0], block(3)[0]) {
            (false, ..) => "torn inside a block",
            (_, 1, 1) => "lost",
            (_, 3, 2) => "kept",
            (_, 2, 2) => "overtaken or second lost",
            (_, 3, 1) => "first lost",
            _ => "torn between blocks",
        });
        seen.insert(match content.len() / BLOCK {
            8 => "did not grow",
            _ if block(8) == [4; BLOCK] => "grew",
            _ if block(8) == [0; BLOCK] => "grew without its bytes",
            _ => "grew torn",
        });
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
}

/// A created name needs `sync_folder`; a rename is atomic and may be lost.
#[test]
fn unsynced_names_are_kept_or_lost() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let (disk, _file) = settled(seed);
        block_on(async {
            disk.create("new").await.unwrap();
            disk.rename("file", "renamed").await.unwrap();
        });
        let names = block_on(disk.crash(seed).list()).unwrap();
        let names: Vec<_> = names.into_iter().map(|entry| entry.name).collect();
        seen.insert(names.join(" "));
    }
    let all = ["file", "file new", "new renamed", "renamed"];
    assert_eq!(seen, all.map(str::to_owned).into());
}

/// The same seed gives the same disk: a failing seed is a test.
#[test]
fn a_crash_is_repeatable() {
    let run = |seed| {
        let (disk, file) = settled(seed);
        block_on(file.write(at(1), filled(6, 2))).unwrap();
        disk.crash(seed).content("file").unwrap()
    };
    assert!((0..20).all(|seed| run(seed) == run(seed)));
    assert!((0..20).any(|seed| run(seed) != run(seed + 1)));
}

/// After the cut every call fails, also those of handles opened before it.
#[test]
fn after_the_cut_nothing_works() {
    let (disk, file) = settled(0);
    let calls = disk.calls();
    disk.cut_at(calls + 1);
    block_on(async {
        file.write(at(0), filled(1, 2)).await.unwrap();
        assert!(file.sync().await.is_err());
        assert!(disk.is_cut());
        assert!(file.read(at(0), ByteCount::new(4096)).await.is_err());
        assert!(file.links().await.is_err());
        assert!(disk.create("other").await.is_err());
        assert!(disk.list().await.is_err());
    });
    let after = disk.crash(1);
    assert_eq!(block_on(after.list()).unwrap().len(), 1);
}

/// A failed sync is never made good by the next one, though reads go on showing the bytes.
#[test]
fn a_failed_sync_loses_what_was_pending() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let (disk, file) = settled(seed);
        let mut failed = false;
        disk.script(move |call: &Call| {
            if call.operation == Operation::Sync && !std::mem::replace(&mut failed, true) {
                return Fate::Fail(5);
            }
            Fate::Proceed
        });
        block_on(async {
            file.write(at(0), filled(1, 2)).await.unwrap();
            assert!(file.sync().await.is_err());
            file.sync().await.unwrap();
            let shown = file.read(at(0), ByteCount::new(4096)).await.unwrap();
            assert_eq!(shown, [2; BLOCK][..]);
        });
        lost += u64::from(disk.crash(seed).content("file").unwrap()[..BLOCK] != [2; BLOCK]);
    }
    assert!(lost > SEEDS / 4, "{lost}");
}

/// A stalled sync makes durable what was written before it, and only once it is released.
#[test]
fn a_sync_stalls_until_it_is_released() {
    let (disk, file) = settled(0);
    disk.script(|call| match call.operation {
        Operation::Sync => Fate::Stall,
        _ => Fate::Proceed,
    });
    let mut sync = file.sync();
    block_on(file.write(at(1), filled(1, 2))).unwrap();
    assert!((&mut sync).now_or_never().is_none());
    assert_eq!(disk.stalled(), 1);
    disk.release();
    block_on(sync).unwrap();
    assert_eq!(disk.crash(0).content("file").unwrap()[BLOCK], 2);
}

/// A stalled sync can fail, and then is as bad as one that failed at once.
#[test]
fn a_stalled_sync_can_fail() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let (disk, file) = settled(seed);
        let mut stalled = false;
        disk.script(move |call| match call.operation {
            Operation::Sync if !std::mem::replace(&mut stalled, true) => Fate::Stall,
            _ => Fate::Proceed,
        });
        block_on(file.write(at(1), filled(1, 2))).unwrap();
        let mut sync = file.sync();
        assert!((&mut sync).now_or_never().is_none());
        disk.fail_stalled(5);
        assert_eq!(block_on(sync).unwrap_err().raw_os_error(), Some(5));
        block_on(file.sync()).unwrap();
        let content = disk.crash(seed).content("file").unwrap();
        lost += u64::from(content[BLOCK..2 * BLOCK] != [2; BLOCK]);
    }
    assert!(lost > SEEDS / 4, "{lost}");
}

/// Full is ENOSPC, a failing call carries its errno, a removed name leaves an open file without links.
#[test]
fn scripted_faults_look_like_the_kernels() {
    let (disk, file) = settled(0);
    disk.set_capacity(ByteCount::new(9 * BLOCK as u64));
    block_on(async {
        file.write(at(8), filled(1, 2)).await.unwrap();
        let error = file.write(at(9), filled(1, 2)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(disk.free().await.unwrap(), ByteCount::ZERO);
        file.write(at(0), filled(1, 2)).await.unwrap();
        disk.snatch("file");
        assert_eq!(file.links().await.unwrap(), 0);
        disk.script(|_| Fate::Fail(5));
        let error = file.write(at(0), filled(1, 3)).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5));
    });
}

/// A killed process loses nothing that it wrote; a power cut after its restart still may.
#[test]
fn a_restart_keeps_what_is_pending_pending() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let (disk, file) = settled(seed);
        block_on(file.write(at(0), filled(1, 2))).unwrap();
        let disk = disk.restart();
        assert_eq!(disk.content("file").unwrap()[0], 2);
        lost += u64::from(disk.crash(seed).content("file").unwrap()[0] != 2);
    }
    assert!(lost > 0);
}
