//! When a PUT is acknowledged, and what it commits.

use crate::fake::{Fault, World, config, noise};
use client::{Pressure, PutError};
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
    let cases: [(&str, usize, &[(u64, Fault)], Option<&[u8]>); 11] = [
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
        // three below is the floor where it is lower than the rule
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
/// landed behind it is a run of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_that_fails_goes_to_another_group() {
    for refused in [0, 1, 3] {
        let world = World::with("2+1", 2, config());
        // 2+1 acknowledges no chunk that misses a shard. The refusal is of whichever group is chosen.
        for disk in [1, 4] {
            world.disks.fault(disk, Fault::Silent);
            world.disks.heal();
        }
        world.disks.refuse_one_after(1, refused);
        let bytes = noise(12 << 20, 1);
        world.put("object", &bytes, 1 << 20).await.unwrap();
        assert!(world.get("object", Wanted::All).await.unwrap() == bytes);
        let runs = runs(&world, "object");
        let chunks: u32 = runs.iter().map(|run| run.chunks).sum();
        assert_eq!(chunks, 6);
        let first_in_one = runs[0].group.get() == 1 || runs.len() > 1;
        if first_in_one {
            assert!(runs.len() >= 2 || refused == 0, "{runs:?}");
        }
        for pair in runs.windows(2) {
            let follows = pair[0].first_index + u64::from(pair[0].chunks);
            assert_eq!(pair[1].first_index, follows);
        }
        world.disks.check_digests();
        world.memory_comes_back().await;
    }
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
