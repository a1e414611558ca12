//! Reading with disks lost, lying or silent.

use crate::fake::{Fault, World, collect, config, noise, range};
use client::{ClientConfig, GetError, Pressure};
use futures::TryStreamExt;
use std::sync::atomic::Ordering;
use std::time::Duration;
use types::placement::Admission;
use types::size::{ByteCount, MIB};
use types::wire::metadata::{Condition, Wanted};

/// Sizes whose last chunk is one segment, short of shards, ragged, and full.
const SIZES: [usize; 5] = [4097, 70_000, 700_001, 4 << 20, (4 << 20) + 1_000_000];

const TOO_FEW: GetError = GetError::Unavailable {
    available: 3,
    needed: 4,
};

async fn filled(profile: &str, config: ClientConfig) -> (World, Vec<(String, Vec<u8>)>) {
    let world = World::with(profile, 1, config);
    let mut objects = Vec::new();
    for size in SIZES {
        let bytes = noise(size, size as u64);
        let name = size.to_string();
        world.put(&name, &bytes, 1 << 20).await.unwrap();
        objects.push((name, bytes));
    }
    (world, objects)
}

async fn reads_back(world: &World, objects: &[(String, Vec<u8>)], why: &str) {
    for (name, bytes) in objects {
        let whole = world.get(name, Wanted::All).await;
        assert!(
            whole.as_ref() == Ok(bytes),
            "{why}: {name}: {:?}",
            whole.err()
        );
        let (start, length) = (bytes.len() / 2, bytes.len() / 3);
        let part = world.get(name, range(start as u64, length as u64)).await;
        let expected = &bytes[start..start + length];
        assert!(part.as_deref() == Ok(expected), "{why}: part of {name}");
    }
}

fn pairs(disks: u64) -> Vec<Vec<u64>> {
    let ones = (1..=disks).map(|one| vec![one]);
    let twos = (1..=disks).flat_map(|one| (one + 1..=disks).map(move |other| vec![one, other]));
    ones.chain(twos).collect()
}

/// With any one or two of six disks lost, whatever the way in which they are lost, every object and
/// range is byte-exact.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_two_disks_may_be_lost() {
    let faults = [
        Fault::Absent,
        Fault::Corrupt,
        Fault::Flips,
        Fault::Failing,
        Fault::Busy,
    ];
    let (world, objects) = filled("4+2", config()).await;
    for (nth, lost) in pairs(6).into_iter().enumerate() {
        let fault = faults[nth % faults.len()];
        for disk in &lost {
            world.disks.fault(*disk, fault);
        }
        reads_back(&world, &objects, &format!("{lost:?} {fault:?}")).await;
        world.disks.heal();
    }
    world.memory_comes_back().await;
}

/// The same when they are lost in the middle of a download: what was read ahead is handed out, the rest is
/// rebuilt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_two_disks_may_be_lost_while_they_are_read() {
    let faults = [
        Fault::Absent,
        Fault::Corrupt,
        Fault::Flips,
        Fault::Failing,
        Fault::Silent,
    ];
    let (world, objects) = filled("4+2", config()).await;
    let mut lost_amid = 0;
    for (nth, lost) in pairs(6).into_iter().enumerate() {
        for (name, bytes) in &objects {
            let download = world.download(name, Wanted::All).await.unwrap();
            let mut body = download.body;
            let mut read = body.try_next().await.unwrap().unwrap().to_vec();
            for disk in &lost {
                world.disks.fault(*disk, faults[nth % faults.len()]);
            }
            lost_amid += usize::from(read.len() < bytes.len());
            while let Some(piece) = body.try_next().await.unwrap() {
                read.extend_from_slice(&piece);
            }
            assert!(read == *bytes, "{lost:?}: {name}");
            world.disks.heal();
        }
    }
    assert!(lost_amid >= 4 * 21, "{lost_amid} downloads were under way");
    world.memory_comes_back().await;
}

/// A download that goes through whole chunks reads no shard twice, however many of their disks are lost.
/// Method: reads that disks are asked for. The first shard is read in four short ones, each of which may take
/// four others; of those that follow each chunk takes four.
#[tokio::test]
async fn lost_disks_cost_no_second_read() {
    const CHUNKS: u64 = 8;
    let bytes = noise(usize::try_from(CHUNKS).unwrap() << 22, 1);
    for lost in pairs(6) {
        let world = World::new("4+2");
        world.put("object", &bytes, 1 << 20).await.unwrap();
        for disk in &lost {
            world.disks.fault(*disk, Fault::Absent);
        }
        // After this it is known who is away.
        assert!(world.get("object", Wanted::All).await.unwrap() == bytes);
        let before = world.disks.reads.load(Ordering::Relaxed);
        assert!(world.get("object", Wanted::All).await.unwrap() == bytes);
        let reads = world.disks.reads.load(Ordering::Relaxed) - before;
        assert!(
            (4 * CHUNKS..=4 * CHUNKS + 16).contains(&reads),
            "{lost:?}: {reads}"
        );
        world.memory_comes_back().await;
    }
}

/// Each three of six disks lost are a clear error, or, where an object has nothing on them that it takes,
/// no error at all; never a wrong byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_three_lost_disks_are_a_clear_error() {
    let (world, objects) = filled("4+2", config()).await;
    let (mut refused, mut read) = (0, 0);
    for mask in (0_u32..64).filter(|mask| mask.count_ones() == 3) {
        let lost: Vec<u64> = (1..=6)
            .filter(|disk| mask & (1 << (disk - 1)) != 0)
            .collect();
        for disk in &lost {
            world.disks.fault(*disk, Fault::Absent);
        }
        for (name, bytes) in &objects {
            match world.get(name, Wanted::All).await {
                Ok(got) => {
                    assert!(got == *bytes, "{lost:?}: {name}");
                    read += 1;
                }
                Err(error) => {
                    assert_eq!(error, TOO_FEW, "{lost:?}: {name}");
                    refused += 1;
                }
            }
        }
        world.disks.heal();
    }
    assert!(
        refused >= 40 && read >= 10,
        "{refused} refused, {read} read"
    );
}

/// A disk whose blocks match their checksums and do not open is read around.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lying_disk_is_read_around() {
    let (world, objects) = filled("4+2", config()).await;
    for disk in 1..=6 {
        world.disks.fault(disk, Fault::Lies);
        reads_back(&world, &objects, &format!("{disk} lies")).await;
        world.disks.heal();
    }
}

/// With three disks lost that a range needs, a GET says so, before its first byte or at the one that it
/// cannot give, and no byte that it gave was wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_lost_disks_are_a_clear_error() {
    let world = World::new("4+2");
    let bytes = noise((8 << 20) + 1, 1);
    world.put("object", &bytes, 1 << 20).await.unwrap();
    for lost in pairs(6).into_iter().filter(|lost| lost.len() == 2) {
        for third in lost[1] + 1..=6 {
            for disk in lost.iter().chain([&third]) {
                world.disks.fault(*disk, Fault::Absent);
            }
            let (given, end) = read_on(&world, "object").await;
            assert_eq!(end, Err(TOO_FEW), "{lost:?} and {third}");
            assert!(bytes.starts_with(&given));
            world.disks.heal();
        }
    }
    assert!(
        world.get("object", Wanted::All).await.unwrap() == bytes,
        "it returns with the disks"
    );
}

/// What a GET gave, and how it ended.
async fn read_on(world: &World, name: &str) -> (Vec<u8>, Result<(), GetError>) {
    let mut given = Vec::new();
    let mut body = match world.download(name, Wanted::All).await {
        Ok(download) => download.body,
        Err(error) => return (given, Err(error)),
    };
    loop {
        match body.try_next().await {
            Ok(Some(piece)) => given.extend_from_slice(&piece),
            Ok(None) => return (given, Ok(())),
            Err(error) => return (given, Err(error)),
        }
    }
}

/// What this gateway has met a moment ago it says before the first byte, while there is still a status to
/// say it with; it tries before it says so, and refuses nothing that can be served. Method: an object of
/// two parts, one a group, of which the second loses its disks.
#[tokio::test(start_paused = true)]
async fn what_is_known_to_be_out_of_reach_is_refused_at_once() {
    let world = World::with("4+2", 2, config());
    let parts = [noise(5 << 20, 1), noise(9 << 20, 2)];
    let upload = world.begin("object").await;
    for (number, bytes) in (1..).zip(&parts) {
        world.service.change_table(|table| {
            for group in &mut table.groups {
                let open = group.id.get() == u64::from(number);
                group.admission = if open {
                    Admission::Open
                } else {
                    Admission::Closed
                };
            }
        });
        // The client looks at the table from time to time.
        tokio::time::sleep(Duration::from_secs(10)).await;
        world
            .put_part("object", upload, number, bytes)
            .await
            .unwrap();
    }
    let stored = world.complete("object", upload, Condition::default());
    stored.await.unwrap();
    let bytes = parts.concat();
    for disk in [7, 8, 9] {
        world.disks.fault(disk, Fault::Absent);
    }
    let (given, end) = read_on(&world, "object").await;
    assert_eq!(end, Err(TOO_FEW));
    assert!(given == parts[0], "it could not know");

    let refused = world.download("object", Wanted::All).await;
    assert_eq!(refused.map(|download| download.range), Err(TOO_FEW));
    let readable = world.get("object", Wanted::Part(1)).await;
    assert!(readable.as_ref() == Ok(&parts[0]), "its disks are well");
    let readable = world.get("object", range((8 << 20) + 1, 1000)).await;
    assert!(readable.is_ok(), "it lies on a disk that is well");
    world.disks.heal();
    let back = world.get("object", Wanted::All).await;
    assert!(back.as_ref() == Ok(&bytes), "it returns with the disks");
    world.memory_comes_back().await;
}

/// Disks that are away and can be done without cost no trial. Method: count the reads of a range whose
/// own disk serves, with two others known to be away.
#[tokio::test]
async fn disks_that_can_be_done_without_are_not_tried() {
    let world = World::new("4+2");
    let bytes = noise(5 << 20, 1);
    world.put("object", &bytes, 1 << 20).await.unwrap();
    world.disks.fault(2, Fault::Absent);
    world.disks.fault(3, Fault::Absent);
    assert!(world.get("object", Wanted::All).await.unwrap() == bytes);
    let before = world.disks.reads.load(Ordering::Relaxed);
    assert!(world.get("object", range(0, 1000)).await.unwrap() == bytes[..1000]);
    assert_eq!(world.disks.reads.load(Ordering::Relaxed), before + 1);
}

/// Silent disks delay a GET by little more than what reads usually take, and only once: their reads are
/// hedged, and then they are asked last.
#[tokio::test(start_paused = true)]
async fn silence_is_hedged() {
    for silent in [&[1][..], &[2, 6]] {
        let (world, objects) = filled("4+2", config()).await;
        for disk in silent {
            world.disks.fault(*disk, Fault::Silent);
        }
        let before = tokio::time::Instant::now();
        reads_back(&world, &objects, "silent").await;
        let delay = before.elapsed();
        assert!(delay > Duration::ZERO, "none was asked");
        assert!(delay < Duration::from_millis(500), "{delay:?}");
    }
}

/// A budget of hardly more than a chunk is enough to rebuild, if slowly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_memory_is_enough_to_rebuild() {
    let config = ClientConfig {
        memory: ByteCount::new(12 * MIB),
        ..config()
    };
    let (world, objects) = filled("4+2", config).await;
    world.disks.fault(1, Fault::Absent);
    world.disks.fault(2, Fault::Flips);
    reads_back(&world, &objects, "little memory").await;
    world.memory_comes_back().await;
}

/// A disk that was away is asked when there is no memory to do without it, and if it serves it counts as
/// back. Method: in this budget not one row can be rebuilt.
#[tokio::test(start_paused = true)]
async fn a_disk_that_is_back_needs_no_memory() {
    let config = ClientConfig {
        memory: ByteCount::new(MIB),
        ..config()
    };
    let world = World::with("4+2", 1, config);
    let bytes = noise(5_000, 1);
    world.put("object", &bytes, 1 << 20).await.unwrap();
    world.disks.fault(1, Fault::Absent);
    let away = world.get("object", Wanted::All).await;
    let memory = matches!(away, Err(GetError::SlowDown(Pressure::Memory(_))));
    assert!(memory, "{away:?}");
    world.disks.heal();
    assert_eq!(world.get("object", Wanted::All).await, Ok(bytes));
}

/// Slots that the commit recorded as missing are asked last. Method: of five others one is recorded, and
/// rebuilding takes four reads.
#[tokio::test]
async fn recorded_gaps_are_asked_last() {
    let world = World::new("4+2");
    let bytes = noise(3 << 20, 1);
    // It takes no more, and reads as ever: only the record tells.
    world.disks.fault(3, Fault::Full);
    world.put("object", &bytes, 1 << 20).await.unwrap();
    world.disks.heal();
    world.disks.fault(1, Fault::Corrupt);
    let before = world.disks.reads.load(Ordering::Relaxed);
    assert!(world.get("object", range(0, 1000)).await.unwrap() == bytes[..1000]);
    assert_eq!(world.disks.reads.load(Ordering::Relaxed), before + 1 + 4);
}

/// A GET whose group table has grown old fetches the new one and succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_slot_is_found() {
    let (world, objects) = filled("4+2", config()).await;
    for slot in 0..4 {
        let (from, to) = (slot + 1, slot + 101);
        world.disks.move_disk(from, to);
        world.service.change_table(|table| {
            let slot = usize::try_from(slot).unwrap();
            table.groups[0].members[slot].disk = types::DiskId::new(to);
            table.groups[0].epoch.0 += 1;
        });
    }
    reads_back(&world, &objects, "moved").await;
}

/// A lookup whose runs do not cover the range is refused rather than served short.
#[tokio::test]
async fn a_contradiction_is_no_short_answer() {
    let (world, _) = filled("4+2", config()).await;
    world.service.forget_first_chunk("70000");
    let download = world.download("70000", Wanted::All);
    let served = collect(download.await.unwrap()).await;
    assert!(matches!(served, Err(GetError::Refused(_))), "{served:?}");
}
