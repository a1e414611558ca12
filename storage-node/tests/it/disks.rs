//! Disks that are admitted, retired and replaced while the node runs, on real folders.

use crate::world::{CLUSTER, NODE, read_all, run, shard};
use disk::Choice;
use std::path::{Path, PathBuf};
use std::time::Duration;
use strongroom_storage_node::stamp::{self, Found};
use strongroom_storage_node::{AdmitError, DiskFolder, Limits, Node, NodeConfig, Stamp, Watch};
use tempfile::TempDir;
use types::DiskId;
use types::wire::ShardStore;
use types::wire::storage::{DiskState, PutError};

pub(crate) fn id(n: u64) -> DiskId {
    DiskId::new(100 + n)
}

pub(crate) fn temporary() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub(crate) async fn stamp_folder(folder: &Path, disk: DiskId) {
    std::fs::create_dir_all(folder).unwrap();
    let stamp = Stamp {
        cluster: CLUSTER,
        node: NODE,
        disk,
    };
    stamp::format(folder, &stamp).await.unwrap();
}

/// Folders `0`, `1` … below `root`, each with the disk of that number expected.
pub(crate) fn config(root: &Path, count: u64) -> NodeConfig {
    let disks = (0..count).map(|n| DiskFolder {
        folder: root.join(n.to_string()),
        expected: Some(id(n)),
    });
    NodeConfig {
        cluster: CLUSTER,
        node: NODE,
        disks: disks.collect(),
        engine: Choice::Threads,
        limits: Limits::default(),
        watch: Watch {
            every: Duration::from_millis(20),
            patience: Duration::from_secs(5),
        },
    }
}

pub(crate) async fn state(node: &Node, disk: DiskId) -> Option<DiskState> {
    let reports = node.report().await;
    let report = reports.into_iter().find(|report| report.disk == disk);
    report.map(|report| report.state)
}

/// An empty or missing folder becomes a disk of a running node under a new id, and is there at the next
/// start; one that holds anything, and a known id, are refused, and the folder stays as it is.
#[test]
fn an_empty_folder_is_admitted() {
    let root = temporary();
    let path = |name: &str| -> PathBuf { root.path().join(name) };
    run(async {
        stamp_folder(&path("0"), id(0)).await;
        let mut config = config(root.path(), 1);
        let node = Node::open(config.clone()).await;
        let changes = node.changes();
        let before = *changes.borrow();
        std::fs::create_dir(path("empty")).unwrap();
        node.admit(path("empty"), id(1)).await.unwrap();
        node.admit(path("missing"), id(2)).await.unwrap();
        assert_eq!(*changes.borrow(), before + 2);
        for n in [1, 2] {
            assert_eq!(state(&node, id(n)).await, Some(DiskState::Serving));
            node.put(shard(id(n), n, 5000, 0)).await.unwrap();
        }

        std::fs::create_dir(path("full")).unwrap();
        std::fs::write(path("full").join("notes.txt"), b"mine").unwrap();
        stamp_folder(&path("stamped"), id(8)).await;
        for folder in ["full", "stamped", "empty", "0"] {
            let listed = std::fs::read_dir(path(folder)).unwrap().count();
            let refused = node.admit(path(folder), id(3)).await;
            assert!(
                matches!(refused, Err(AdmitError::Stamp { .. })),
                "{refused:?}"
            );
            assert_eq!(std::fs::read_dir(path(folder)).unwrap().count(), listed);
        }
        let refused = node.admit(path("no/parent"), id(3)).await;
        assert!(matches!(refused, Err(AdmitError::Folder { .. })));
        for known in [0, 1] {
            let refused = node.admit(path("other"), id(known)).await;
            assert!(matches!(refused, Err(AdmitError::Known(_))));
        }
        assert!(!path("other").exists());
        node.shutdown().await;
        drop(node);
        config.disks.push(DiskFolder {
            folder: path("empty"),
            expected: Some(id(1)),
        });
        let node = Node::open(config).await;
        assert_eq!(state(&node, id(1)).await, Some(DiskState::Serving));
        let put = shard(id(1), 1, 5000, 0);
        assert!(read_all(&node, &put).await.unwrap() == put.payload);
        node.shutdown().await;
    });
}

/// A folder that goes and comes back is served as soon as it is looked at, however often it went: it is the disk that
/// is left alone when it fails again and again.
#[test]
fn a_folder_that_comes_back_is_served_at_the_next_look() {
    let root = temporary();
    let (there, aside) = (root.path().join("0"), root.path().join("aside"));
    run(async {
        stamp_folder(&there, id(0)).await;
        let mut config = config(root.path(), 1);
        config.watch.every = Duration::from_secs(3600);
        let node = Node::open(config).await;
        let serves = async || state(&node, id(0)).await == Some(DiskState::Serving);
        for round in 0..4 {
            std::fs::rename(&there, &aside).unwrap();
            node.check().await;
            assert!(!serves().await, "round {round}");
            std::fs::rename(&aside, &there).unwrap();
            // What is left of it has to be closed first.
            for _ in 0..200 {
                if serves().await {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
                node.check().await;
            }
            assert!(serves().await, "round {round}");
        }
        node.shutdown().await;
    });
}

/// A disk is replaced by one in the same place: the old one is forgotten, and where its stamp turns up
/// again it is not served, neither by this node nor by one that is started later.
#[test]
fn a_replaced_disk_is_forgotten() {
    let root = temporary();
    let path = |name: &str| -> PathBuf { root.path().join(name) };
    run(async {
        for n in [0, 1] {
            stamp_folder(&path(&n.to_string()), id(n)).await;
        }
        let node = Node::open(config(root.path(), 2)).await;
        node.put(shard(id(1), 1, 5000, 0)).await.unwrap();
        let changes = node.changes();
        let before = *changes.borrow();
        node.retire(id(1)).await;
        assert_eq!(*changes.borrow(), before + 1);
        assert_eq!(state(&node, id(1)).await, None);
        let disk = id(1);
        let late = node.put(shard(disk, 2, 5000, 0)).await;
        assert_eq!(late, Err(PutError::DiskUnavailable { disk }));
        std::fs::rename(path("1"), path("aside")).unwrap();
        node.admit(path("1"), id(2)).await.unwrap();
        assert_eq!(state(&node, id(2)).await, Some(DiskState::Serving));
        let refused = node.admit(path("new"), id(1)).await;
        assert!(matches!(refused, Err(AdmitError::Known(_))));
        node.shutdown().await;
        drop(node);

        std::fs::remove_dir_all(path("1")).unwrap();
        std::fs::rename(path("aside"), path("1")).unwrap();
        let mut config = config(root.path(), 2);
        config.disks[1].expected = Some(id(2));
        let node = Node::open(config).await;
        let Some(DiskState::Absent(why)) = state(&node, id(2)).await else {
            panic!("not absent");
        };
        assert!(
            why.contains("holds disk-65, which is not expected here"),
            "{why}"
        );
        assert_eq!(state(&node, id(1)).await, None);
        let found = stamp::read(&path("1")).await.unwrap();
        assert!(matches!(found, Found::Stamp(stamp) if stamp.disk == id(1)));
        node.shutdown().await;
    });
}
