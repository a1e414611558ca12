//! When a PUT is acknowledged, and what it commits.

use crate::fake::{Fault, World, config, eventually, finish, key, noise, range};
use bytes::Bytes;
use client::{Pressure, PutError};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;
use types::DiskId;
use types::placement::Slot;
use types::wire::metadata::{Wanted, WrittenPlace, WrittenRun};

fn runs(world: &World, name: &str) -> Vec<WrittenRun> {
    match world.service.committed(name).unwrap().place {
        WrittenPlace::Runs { runs, .. } => runs,
        WrittenPlace::Inline { .. } => panic!("{name} is inline"),
    }
}

fn slots(slots: &[u8]) -> Vec<Slot> {
    slots.iter().map(|slot| Slot(*slot)).collect()
}

/// One group: the faults of its disks decide whether a PUT is acknowledged, and what it commits as
/// missing. An empty shard is never missing.
#[tokio::test(start_paused = true)]
async fn the_ack_rule_by_cases() {
    use Fault::{Absent, Full, Silent};
    // profile, object, faulty disks, missing slots or a refusal
    type Case = (
        &'static str,
        usize,
        &'static [(u64, Fault)],
        Option<&'static [u8]>,
    );
    let cases: [Case; 11] = [
        ("4+2", 3 << 20, &[], Some(&[])),
        ("4+2", 3 << 20, &[(3, Absent)], Some(&[2])),
        ("4+2", 3 << 20, &[(6, Silent)], Some(&[5])),
        ("4+2", 3 << 20, &[(1, Absent), (6, Full)], None),
        ("4+2", 3 << 20, &[(1, Silent), (6, Silent)], None),
        // one segment: slots 1, 2, 3 are empty
        (
            "4+2",
            5000,
            &[(2, Absent), (3, Full), (4, Silent)],
            Some(&[]),
        ),
        ("4+2", 5000, &[(1, Absent)], Some(&[0])),
        ("4+2", 5000, &[(1, Absent), (5, Absent)], None),
        // 8+3: the floor is one below the rule
        ("8+3", 3 << 20, &[(1, Absent)], Some(&[0])),
        ("8+3", 3 << 20, &[(1, Absent), (9, Silent)], Some(&[0, 8])),
        (
            "8+3",
            3 << 20,
            &[(1, Absent), (2, Absent), (3, Absent)],
            None,
        ),
    ];
    for (profile, size, faults, expected) in cases {
        let case = format!("{profile} {size} {faults:?}");
        let world = World::new(profile);
        for (disk, fault) in faults {
            world.disks.fault(*disk, *fault);
        }
        let bytes = noise(size, 1);
        let answer = world.put("object", &bytes, 1 << 20).await;
        match expected {
            Some(missing) => {
                answer.unwrap_or_else(|error| panic!("{case}: {error:?}"));
                assert_eq!(runs(&world, "object")[0].missing, slots(missing), "{case}");
                assert!(
                    world.get("object", Wanted::All).await.unwrap() == bytes,
                    "{case}"
                );
            }
            None => {
                let disks = matches!(answer, Err(PutError::SlowDown(Pressure::Disks { .. })));
                assert!(disks, "{case}: {answer:?}");
                assert!(world.service.committed("object").is_none(), "{case}");
            }
        }
        world.memory_comes_back().await;
    }
}

/// A chunk that one group refuses lands in another, under a fresh id: the run ends before it, and what
/// landed behind it is a run of its own. Method: 2+1 acknowledges no chunk that misses a shard, so one
/// refused shard sends its chunk away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_that_fails_goes_to_another_group() {
    for refused in 0..6 {
        let world = World::with("2+1", 2, config());
        world.disks.refuse_chunk(refused);
        let bytes = noise(12 << 20, 1);
        world.put("object", &bytes, 1 << 20).await.unwrap();
        assert!(world.get("object", Wanted::All).await.unwrap() == bytes);

        let runs = runs(&world, "object");
        // The chunk behind the refused one was under way by then, and landed where it was sent.
        let starts: BTreeSet<u64> = [0, refused, refused + 1, refused + 2].into();
        let starts: Vec<u64> = starts.into_iter().filter(|at| *at < 6).collect();
        let firsts: Vec<u64> = runs.iter().map(|run| run.first_index).collect();
        assert_eq!(firsts, starts, "{runs:?}");
        assert_eq!(runs.iter().map(|run| run.chunks).sum::<u32>(), 6);

        let moved = runs
            .iter()
            .position(|run| run.first_index == refused)
            .unwrap();
        let (group, chunk) = world.disks.refused().unwrap();
        assert_ne!(runs[moved].group, group);
        let behind = runs.get(moved + 1);
        assert!(behind.is_none_or(|run| run.group == group && run.first_chunk == chunk.plus(1)));
        for run in &runs {
            assert!(run.missing.is_empty());
            let ids = run.first_chunk..run.first_chunk.plus(u64::from(run.chunks));
            assert!(!ids.contains(&chunk), "the refused id was not used again");
        }
        world.disks.check_digests();
        world.memory_comes_back().await;
    }
}

/// When no group can do what the rule asks, the best that reached the floor counts; below the floor
/// nothing does. Method: 8+3 asks for ten durable shards, the floor is nine.
#[tokio::test(start_paused = true)]
async fn the_floor_counts_only_when_no_group_can() {
    let world = World::with("8+3", 2, config());
    let bytes = noise(3 << 20, 1);
    // Group 1 can store nine, group 2 eight.
    for disk in [1, 2, 12, 13, 14] {
        world.disks.fault(disk, Fault::Absent);
    }
    world.put("floor", &bytes, 1 << 20).await.unwrap();
    let floor = &runs(&world, "floor")[0];
    assert_eq!((floor.group.get(), &floor.missing), (1, &slots(&[0, 1])));
    assert!(world.get("floor", Wanted::All).await.unwrap() == bytes);

    world.disks.heal();
    // That group 2 did worse counts for a few seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    for disk in [1, 2, 12] {
        world.disks.fault(disk, Fault::Absent);
    }
    world.put("rule", &bytes, 1 << 20).await.unwrap();
    let rule = &runs(&world, "rule")[0];
    assert_eq!((rule.group.get(), &rule.missing), (2, &slots(&[0])));
}

/// What reached the floor is not thrown away because going elsewhere fails. Method: the second chunk
/// meets two lost disks when its lease gives no more ids, and there is no other lease to be had.
#[tokio::test(start_paused = true)]
async fn the_floor_is_kept_when_there_is_no_going_elsewhere() {
    let world = World::with("8+3", 2, config());
    let bytes = Bytes::from(noise(9 << 20, 1));
    let upload = world.client.put(&world.bucket, key("object"), None);
    let mut upload = upload.await.unwrap();
    let (first, second) = (bytes.slice(..(8 << 20) + 1), bytes.slice((8 << 20) + 1..));
    upload.write(first).await.unwrap();
    eventually(|| world.disks.shards_of(1) + world.disks.shards_of(2) == 11).await;
    tokio::time::sleep(Duration::from_secs(601)).await;
    world.service.refuse_leases();
    for disk in [1, 2, 12, 13] {
        world.disks.fault(disk, Fault::Absent);
    }
    upload.write(second).await.unwrap();
    finish(upload).await.unwrap();
    let runs = runs(&world, "object");
    assert_eq!((runs.len(), runs[0].chunks), (1, 2));
    assert_eq!(runs[0].missing, slots(&[0, 1]));
    assert!(world.get("object", Wanted::All).await.unwrap() == bytes);
}

/// When lost disks keep every group at the floor, chunks are sent once, not to one group after the other
/// in search of a better one. Method: four groups on the same eleven disks, two of them lost.
#[tokio::test]
async fn groups_that_cannot_do_better_are_not_tried() {
    let world = World::with("8+3", 4, config());
    world.service.change_table(|table| {
        for group in &mut table.groups {
            for (member, disk) in group.members.iter_mut().zip(1..) {
                member.disk = DiskId::new(disk);
            }
        }
    });
    for disk in [1, 2] {
        world.disks.fault(disk, Fault::Absent);
    }
    for i in 0..3 {
        let bytes = noise(3 << 20, i);
        world.put(&i.to_string(), &bytes, 1 << 20).await.unwrap();
        assert_eq!(runs(&world, &i.to_string())[0].missing, slots(&[0, 1]));
    }
    let stored: usize = (1..=4).map(|group| world.disks.shards_of(group)).sum();
    assert_eq!(stored, 3 * 9);
}

/// With a group's disks away, uploads go elsewhere: first by trying, then by preference.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unwell_groups_are_avoided() {
    let world = World::with("4+2", 3, config());
    world.disks.fault(1, Fault::Absent);
    world.disks.fault(2, Fault::Full);
    for i in 0..20 {
        let name = i.to_string();
        world.put(&name, &noise(300_000, i), 1 << 20).await.unwrap();
        for run in runs(&world, &name) {
            assert_ne!(run.group.get(), 1);
            assert_eq!(run.missing, []);
        }
    }
    assert!(world.disks.shards_of(1) <= 8, "one or two tries at most");
}

/// A full disk is written around and read from as ever.
#[tokio::test]
async fn a_full_disk_still_reads() {
    let world = World::new("4+2");
    let bytes = noise(1 << 20, 1);
    world.put("before", &bytes, 1 << 20).await.unwrap();
    world.disks.fault(1, Fault::Full);
    world.put("after", &bytes, 1 << 20).await.unwrap();
    assert_eq!(runs(&world, "after")[0].missing, slots(&[0]));
    let before = world.disks.reads.load(Ordering::Relaxed);
    world.get("before", range(0, 1000)).await.unwrap();
    assert_eq!(world.disks.reads.load(Ordering::Relaxed), before + 1);
}

/// A group whose epoch is over is left alone until the new table is there; then it takes the chunk.
#[tokio::test]
async fn a_stale_epoch_is_refreshed() {
    let world = World::new("4+2");
    let bytes = noise(300_000, 1);
    world.put("before", &bytes, 1 << 20).await.unwrap();
    world.disks.set_epoch(1, 2);
    world
        .service
        .change_table(|table| table.groups[0].epoch.0 = 2);
    world.put("object", &bytes, 1 << 20).await.unwrap();
    assert_eq!(runs(&world, "object")[0].epoch.0, 2);
    assert!(world.get("object", Wanted::All).await.unwrap() == bytes);
}

/// Without an open group of the bucket's profile nothing is acknowledged.
#[tokio::test]
async fn no_group_is_no_acknowledgement() {
    let world = World::with("4+2", 0, config());
    let answer = world.put("object", &noise(300_000, 1), 1 << 20).await;
    assert!(
        matches!(answer, Err(PutError::SlowDown(Pressure::Groups(_)))),
        "{answer:?}"
    );
    world.put("small", &noise(3_000, 1), 1 << 20).await.unwrap();
}
