//! Disks that are lost, come back, or hang while the node runs.

use crate::disks::{config, id, stamp_folder, state, temporary};
use crate::world::{CLUSTER, DISK, NODE, SMALL, delete, learn, read_all, run, shard, stamped};
use disk::sim::{Call, Fate, Operation, SimDisk};
use futures::future::join_all;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use strongroom_storage_node::{DiskDevice, Node, Stamp, Watch};
use types::wire::ShardStore;
use types::wire::storage::{DiskState, PutError, PutShard, ReadError};
use types::{ClusterId, DiskId, NodeId};

/// Waits until the disk is in such a state, which the node comes to by itself.
async fn until(node: &Node, disk: DiskId, wanted: impl Fn(&DiskState) -> bool, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let state = state(node, disk).await.expect("it is reported");
        if wanted(&state) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {state:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_away(node: &Node, disk: DiskId, reason: &str) {
    let away = |state: &DiskState| match state {
        DiskState::Absent(why) | DiskState::Failed(why) => why.contains(reason),
        _ => false,
    };
    until(node, disk, away, reason).await;
}

async fn until_serving(node: &Node, disk: DiskId) {
    until(node, disk, |state| *state == DiskState::Serving, "serving").await;
}

fn write_stamp(folder: &Path, cluster: ClusterId, node: NodeId, disk: DiskId) {
    let stamp = Stamp {
        cluster,
        node,
        disk,
    };
    std::fs::write(folder.join("stamp"), &stamp.encode()[..]).unwrap();
}

/// A disk whose folder or files are lost in any way, while nothing is asked of it, ceases to serve with a
/// reason that is true; the other disk serves throughout; and when its own folder is back it serves again,
/// with all that it held.
#[test]
fn a_lost_disk_is_noticed_and_comes_back() {
    type Loss = (&'static str, fn(&Path), &'static str);
    let losses: [Loss; 8] = [
        ("gone", |_| {}, "No such file"),
        (
            "emptied",
            |path| std::fs::create_dir(path).unwrap(),
            "it is empty",
        ),
        (
            "foreign",
            |path| {
                std::fs::create_dir(path).unwrap();
                std::fs::write(path.join("notes.txt"), b"mine").unwrap();
            },
            "no stamp",
        ),
        (
            "another cluster's",
            |path| {
                std::fs::create_dir(path).unwrap();
                write_stamp(path, ClusterId::new([1; 16]), NODE, id(0));
            },
            "belongs to cluster",
        ),
        (
            "another node's",
            |path| {
                std::fs::create_dir(path).unwrap();
                write_stamp(path, CLUSTER, NodeId::new(8), id(0));
            },
            "belongs to node-8",
        ),
        (
            "damaged",
            |path| {
                std::fs::create_dir(path).unwrap();
                std::fs::write(path.join("stamp"), [7; 4096]).unwrap();
            },
            "stamp is damaged",
        ),
        (
            "cloned",
            |path| {
                std::fs::create_dir(path).unwrap();
                write_stamp(path, CLUSTER, NODE, id(1));
            },
            "several folders are stamped as disk-65",
        ),
        (
            "no folder",
            |path| std::fs::write(path, b"").unwrap(),
            "Not a directory",
        ),
    ];
    let mut lost = 0;
    for (name, lose, reason) in losses {
        let root = temporary();
        let (path, aside) = (root.path().join("0"), root.path().join("aside"));
        run(async {
            for n in [0, 1] {
                stamp_folder(&root.path().join(n.to_string()), id(n)).await;
            }
            let node = Node::open(config(root.path(), 2)).await;
            let puts = [0, 1].map(|n| shard(id(n), 1, 9000, 0));
            for put in &puts {
                node.put(put.clone()).await.unwrap();
            }
            let mut changes = node.changes();
            for _ in 0..2 {
                changes.mark_unchanged();
                std::fs::rename(&path, &aside).unwrap();
                lose(&path);
                lost += 1;
                until_away(&node, id(0), reason).await;
                assert!(changes.has_changed().unwrap(), "{name}");
                changes.mark_unchanged();
                let disk = id(0);
                let unavailable = Err(ReadError::DiskUnavailable { disk });
                assert_eq!(read_all(&node, &puts[0]).await, unavailable, "{name}");
                assert!(read_all(&node, &puts[1]).await.unwrap() == puts[1].payload);
                assert_eq!(
                    state(&node, id(1)).await,
                    Some(DiskState::Serving),
                    "{name}"
                );

                match std::fs::metadata(&path) {
                    Ok(found) if found.is_dir() => std::fs::remove_dir_all(&path).unwrap(),
                    Ok(_) => std::fs::remove_file(&path).unwrap(),
                    Err(_) => {}
                }
                std::fs::rename(&aside, &path).unwrap();
                until_serving(&node, id(0)).await;
                assert!(changes.has_changed().unwrap(), "{name}");
                assert!(read_all(&node, &puts[0]).await.unwrap() == puts[0].payload);
                assert_eq!(node.put(puts[0].clone()).await, Ok(()), "{name}");
            }
            node.shutdown().await;
        });
    }
    assert_eq!(lost, 16);
}

/// A volume, a stamp or a roster that is removed inside the folder is noticed as well, though nothing is
/// asked of the disk; it serves again what is left, and says what is missing.
#[test]
fn files_removed_under_a_disk_are_noticed() {
    let root = temporary();
    let path = root.path().join("0");
    run(async {
        stamp_folder(&path, id(0)).await;
        let node = Node::open(config(root.path(), 1)).await;
        let put = shard(id(0), 1, 9000, 0);
        node.put(put.clone()).await.unwrap();
        let stamp = std::fs::read(path.join("stamp")).unwrap();
        std::fs::remove_file(path.join("stamp")).unwrap();
        until_away(&node, id(0), "no stamp").await;
        std::fs::write(path.join("stamp"), stamp).unwrap();
        until_serving(&node, id(0)).await;
        assert!(read_all(&node, &put).await.unwrap() == put.payload);

        let mut changes = node.changes();
        changes.mark_unchanged();
        std::fs::remove_file(path.join("volume-00000001")).unwrap();
        let noticed = tokio::time::timeout(Duration::from_secs(20), changes.changed()).await;
        noticed.unwrap().unwrap();
        until_serving(&node, id(0)).await;
        let missing = Err(ReadError::Missing { key: put.key });
        assert_eq!(read_all(&node, &put).await, missing);
        let damage: Vec<_> = node
            .damage()
            .map(|(_, damage)| damage.to_string())
            .collect();
        assert_eq!(damage, ["volume-00000001 is missing"]);
        node.put(put.clone()).await.unwrap();
        assert!(read_all(&node, &put).await.unwrap() == put.payload);
        node.shutdown().await;
    });
}

async fn quick(disks: &[(DiskId, &SimDisk)]) -> Node {
    let device = |(id, disk): &(DiskId, &SimDisk)| DiskDevice {
        disk: Arc::new((*disk).clone()),
        expected: Some(*id),
    };
    let watch = Watch {
        every: Duration::from_millis(30),
        patience: Duration::from_millis(100),
    };
    let devices = disks.iter().map(device).collect();
    let node = Node::with_devices(CLUSTER, NODE, devices, SMALL, watch).await;
    learn(&node, DISK, 1);
    node
}

/// Looks until the disk serves.
async fn check_until(node: &Node, disk: DiskId, wanted: impl Fn(&DiskState) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !wanted(&state(node, disk).await.unwrap()) {
        let found = state(node, disk).await;
        assert!(Instant::now() < deadline, "{found:?}");
        node.check().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A disk of which a call does not return, whatever call, is stalled after a while and refuses at once; the
/// other disk, and the looking after it, go on; when the call returns it serves again, and lost nothing.
#[test]
fn a_stalled_disk_holds_up_nobody() {
    let mut stalls = 0;
    for operation in [
        Operation::Sync,
        Operation::Open,
        Operation::Read,
        Operation::Attached,
        Operation::Links,
        Operation::Free,
        Operation::Remove,
    ] {
        run(async {
            let (disk, fine) = (stamped(1).await, SimDisk::new(2));
            let other = DiskId::new(71);
            let stamp = Stamp {
                cluster: CLUSTER,
                node: NODE,
                disk: other,
            };
            strongroom_storage_node::stamp::write_to(&fine, &stamp)
                .await
                .unwrap();
            let node = quick(&[(DISK, &disk), (other, &fine)]).await;
            let puts: Vec<_> = (0..9).map(|chunk| shard(DISK, chunk, 5000, 0)).collect();
            for put in &puts {
                node.put(put.clone()).await.unwrap();
            }
            disk.script(move |call| match call.operation {
                this if this == operation => Fate::Stall,
                _ => Fate::Proceed,
            });
            let late = shard(DISK, 20, 100, 0);
            let removed = async {
                let _answered_late = delete(&node, DISK, 4..=7).await;
                let _answered_late = node.put(late.clone()).await;
            };
            let watch = async {
                let stalled = |state: &DiskState| matches!(state, DiskState::Stalled(_));
                check_until(&node, DISK, stalled).await;
                stalls += 1;
                let begun = Instant::now();
                let unavailable = Err(ReadError::DiskUnavailable { disk: DISK });
                assert_eq!(read_all(&node, &puts[0]).await, unavailable);
                let refused = node.put(shard(DISK, 21, 100, 0)).await;
                assert_eq!(refused, Err(PutError::DiskUnavailable { disk: DISK }));
                let put = shard(other, 1, 5000, 0);
                node.put(put.clone()).await.unwrap();
                assert!(read_all(&node, &put).await.unwrap() == put.payload);
                node.check().await;
                assert!(begun.elapsed() < Duration::from_secs(2), "{operation:?}");
                assert_eq!(state(&node, other).await, Some(DiskState::Serving));
                disk.script(|_| Fate::Proceed);
                disk.release();
                check_until(&node, DISK, |state| *state == DiskState::Serving).await;
            };
            tokio::join!(removed, watch);
            for put in &puts[..4] {
                assert!(
                    read_all(&node, put).await.unwrap() == put.payload,
                    "{operation:?}"
                );
            }
            node.shutdown().await;
        });
    }
    assert_eq!(stalls, 7);
}

/// A disk that fails any call is stopped, opened anew from what was acknowledged, and goes on: what a failed
/// sync left in the cache is not taken for durable. Method: fail, let it come back, let every writer retry, cut
/// the power, compare.
#[test]
fn a_failed_disk_comes_back_with_what_it_acknowledged() {
    let mut failures = 0;
    let operations = [
        Operation::Write,
        Operation::Sync,
        Operation::SyncFolder,
        Operation::Links,
        Operation::Allocate,
        Operation::SetLength,
        Operation::Create,
        Operation::Remove,
    ];
    for operation in operations {
        for after in 0..6 {
            for seed in 0..4 {
                run(async {
                    let disk = stamped(seed).await;
                    let node = quick(&[(DISK, &disk)]).await;
                    let puts: Vec<PutShard> =
                        (0..14).map(|chunk| shard(DISK, chunk, 5000, 0)).collect();
                    let (mut count, hit) = (0, Arc::new(AtomicBool::new(false)));
                    let failed = Arc::clone(&hit);
                    disk.script(move |call: &Call| {
                        count += u32::from(call.operation == operation);
                        let now = call.operation == operation && count == after + 1;
                        failed.fetch_or(now, Ordering::SeqCst);
                        if now { Fate::Fail(5) } else { Fate::Proceed }
                    });
                    let mut stored = Vec::new();
                    for batch in puts.chunks(3) {
                        let answers = join_all(batch.iter().map(|put| node.put(put.clone()))).await;
                        let acknowledged = batch.iter().zip(&answers);
                        stored.extend(acknowledged.filter(|(_, a)| a.is_ok()).map(|(put, _)| put));
                    }
                    let _maybe = delete(&node, DISK, 100..=200).await;
                    check_until(&node, DISK, |state| *state == DiskState::Serving).await;
                    for put in &stored {
                        assert!(read_all(&node, put).await.unwrap() == put.payload);
                    }
                    let deadline = Instant::now() + Duration::from_secs(20);
                    for put in &puts {
                        while node.put(put.clone()).await.is_err() {
                            assert!(Instant::now() < deadline, "{operation:?} {after}");
                            node.check().await;
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    }
                    drop(node);
                    failures += u32::from(hit.load(Ordering::SeqCst));
                    let last = quick(&[(DISK, &disk.crash(seed + 50))]).await;
                    let case = format!("{operation:?} {after} {seed}");
                    for put in &puts {
                        let read = read_all(&last, put).await;
                        assert!(read.as_ref() == Ok(&put.payload), "{case}: {read:?}");
                    }
                    let damage: Vec<_> = last.damage().map(|(_, d)| d.to_string()).collect();
                    assert!(
                        damage.iter().all(|d| d.contains("torn")),
                        "{case}: {damage:?}"
                    );
                });
            }
        }
    }
    assert!(failures > 80, "{failures}");
}

/// A simulated disk whose path leads elsewhere, or that cannot be read, ceases to serve and comes back; what
/// its power cut keeps is what was acknowledged.
#[test]
fn a_detached_device_comes_back() {
    run(async {
        let disk = stamped(1).await;
        let node = quick(&[(DISK, &disk)]).await;
        let put = shard(DISK, 1, 5000, 0);
        node.put(put.clone()).await.unwrap();
        disk.detach(true);
        check_until(
            &node,
            DISK,
            |state| matches!(state, DiskState::Failed(why) if why.contains("removed or replaced")),
        )
        .await;
        disk.detach(false);
        check_until(&node, DISK, |state| *state == DiskState::Serving).await;
        disk.script(|call| match call.operation {
            Operation::Open | Operation::Read => Fate::Fail(5),
            _ => Fate::Proceed,
        });
        let unreadable = |state: &DiskState| match state {
            DiskState::Absent(why) | DiskState::Failed(why) => why.contains("reading its stamp"),
            _ => false,
        };
        check_until(&node, DISK, unreadable).await;
        disk.script(|_| Fate::Proceed);
        check_until(&node, DISK, |state| *state == DiskState::Serving).await;
        assert!(read_all(&node, &put).await.unwrap() == put.payload);
        node.shutdown().await;
    });
}
