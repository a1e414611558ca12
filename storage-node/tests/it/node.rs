//! A node on real folders, asked directly and over the wire.

use crate::face::Way;
use crate::world::{CLUSTER, NODE, read_all, run, shard};
use disk::Choice;
use futures::future::join_all;
use std::path::Path;
use strongroom_storage_node::{DiskFolder, Limits, Node, NodeConfig, Stamp, Watch, stamp};
use tempfile::TempDir;
use types::placement::{Admission, Group, GroupTable};
use types::wire::ShardStore;
use types::wire::storage::{DiskState, PutError, PutShard, ReadError, ReadShard};
use types::{ByteCount, ClusterId, DiskId, Epoch, NodeId, block};

fn folders(count: u64) -> Vec<TempDir> {
    let fresh = |_| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    (0..count).map(fresh).collect()
}

fn id(n: u64) -> DiskId {
    DiskId::new(100 + n)
}

async fn format(folder: &Path, disk: DiskId) {
    let stamp = Stamp {
        cluster: CLUSTER,
        node: NODE,
        disk,
    };
    stamp::format(folder, &stamp).await.unwrap();
}

fn config(folders: &[TempDir]) -> NodeConfig {
    let disks = (0..).zip(folders).map(|(n, folder)| DiskFolder {
        folder: folder.path().to_owned(),
        expected: Some(id(n)),
    });
    NodeConfig {
        cluster: CLUSTER,
        node: NODE,
        disks: disks.collect(),
        engine: Choice::Auto,
        limits: Limits {
            volume: ByteCount::new(2 << 20),
            allocate: ByteCount::new(256 << 10),
            ..Limits::default()
        },
        watch: Watch::default(),
    }
}

async fn states(node: &dyn ShardStore) -> Vec<(DiskId, DiskState)> {
    let reports = node.report().await;
    reports.into_iter().map(|r| (r.disk, r.state)).collect()
}

/// What was stored is read back, also by another process life, from several volumes on several disks,
/// written by many at once; a retry is told so, other bytes under the key are refused.
#[test]
fn shards_come_back() {
    Way::BOTH.into_iter().for_each(shards_come_back_by);
}

fn shards_come_back_by(way: Way) {
    let folders = folders(2);
    let puts: Vec<PutShard> = (0..120)
        .map(|n| {
            let length = [1, 4096, 65_564, 65_565, 200_000][usize::try_from(n).unwrap() % 5];
            shard(id(n % 2), n, length, 0)
        })
        .collect();
    run(async {
        for (n, folder) in (0..).zip(&folders) {
            format(folder.path(), id(n)).await;
        }
        let node = way.to(Node::open(config(&folders)).await).await;
        let stored = join_all(puts.iter().map(|put| node.put(put.clone()))).await;
        assert!(stored.iter().all(Result::is_ok), "{stored:?}");
        for put in &puts {
            assert!(read_all(&*node, put).await.unwrap() == put.payload);
        }
        node.shutdown().await;
        let late = node.put(shard(id(0), 999, 1, 0)).await;
        assert_eq!(late, Err(PutError::DiskUnavailable { disk: id(0) }));
    });
    run(async {
        let node = way.to(Node::open(config(&folders)).await).await;
        assert_eq!(node.node.damage().count(), 0);
        for put in &puts {
            assert!(read_all(&*node, put).await.unwrap() == put.payload);
            assert_eq!(node.put(put.clone()).await, Ok(()));
        }
        let key = puts[3].key;
        let other = shard(puts[3].disk, 3, puts[3].payload.len(), 1);
        assert_eq!(node.put(other).await, Err(PutError::Conflict { key }));
        let reports = node.report().await;
        assert_eq!(reports.iter().map(|r| r.shards).sum::<u64>(), 120);
        assert!(reports.iter().all(|r| r.used > ByteCount::new(2 << 20)));
        node.shutdown().await;
    });
}

/// Any range of blocks is read and verified by itself; none reaches past the shard.
#[test]
fn ranges_of_blocks_are_read() {
    Way::BOTH.into_iter().for_each(ranges_of_blocks_are_read_by);
}

fn ranges_of_blocks_are_read_by(way: Way) {
    let folders = folders(1);
    run(async {
        format(folders[0].path(), id(0)).await;
        let node = way.to(Node::open(config(&folders)).await).await;
        let put = shard(id(0), 1, 3 * block::SEALED_SEGMENT + 9, 0);
        node.put(put.clone()).await.unwrap();
        let key = put.key;
        let read = |first_block, blocks| {
            let disk = id(0);
            node.read(ReadShard {
                disk,
                key,
                first_block,
                blocks,
            })
        };
        for first in 0..4u32 {
            for count in 1..=4 - first {
                let start = first as usize * block::FRAMED_BLOCK;
                let end = put
                    .payload
                    .len()
                    .min(start + count as usize * block::FRAMED_BLOCK);
                assert!(read(first, count).await.unwrap() == put.payload[start..end]);
            }
        }
        for (first, count) in [(0, 0), (0, 5), (4, 1), (u32::MAX, 1)] {
            assert_eq!(read(first, count).await, Err(ReadError::OutOfRange { key }));
        }
        node.shutdown().await;
    });
}

/// A request that contradicts itself, an old epoch and an unknown disk are refused before anything is
/// written.
#[test]
fn malformed_and_stale_requests_are_refused() {
    Way::BOTH
        .into_iter()
        .for_each(malformed_and_stale_requests_are_refused_by);
}

fn malformed_and_stale_requests_are_refused_by(way: Way) {
    let folders = folders(1);
    run(async {
        format(folders[0].path(), id(0)).await;
        let node = way.to(Node::open(config(&folders)).await).await;
        let good = shard(id(0), 1, 70_000, 0);
        let key = good.key;
        let flipped = |at: usize| {
            let mut payload = good.payload.to_vec();
            payload[at] ^= 1;
            PutShard {
                payload: payload.into(),
                ..good.clone()
            }
        };
        let mut bad = vec![flipped(0), flipped(65_570), flipped(good.payload.len() - 1)];
        bad.push(PutShard {
            payload: good.payload.slice(..good.payload.len() - 1),
            ..good.clone()
        });
        for break_it in [
            (|put| put.key.index = 6) as fn(&mut PutShard),
            |put| put.key.index = 1,
            |put| put.chunk.data_lengths.truncate(3),
            |put| put.chunk.digests.truncate(5),
            |put| put.chunk.data_lengths[0] = 0,
            |put| put.chunk.data_lengths[2] = u32::MAX,
        ] {
            let mut put = good.clone();
            break_it(&mut put);
            bad.push(put);
        }
        for put in bad {
            let key = put.key;
            assert_eq!(node.put(put).await, Err(PutError::Damaged { key }));
        }
        let disk = id(9);
        let elsewhere = PutShard {
            disk,
            ..good.clone()
        };
        assert_eq!(
            node.put(elsewhere).await,
            Err(PutError::DiskUnavailable { disk })
        );

        node.node.learn(&GroupTable {
            groups: vec![Group {
                id: key.group,
                profile: good.chunk.profile,
                epoch: Epoch(2),
                admission: Admission::Open,
                members: Vec::new(),
            }],
            ..GroupTable::default()
        });
        let stale = PutError::StaleEpoch {
            sent: Epoch(1),
            current: Epoch(2),
        };
        assert_eq!(node.put(good.clone()).await, Err(stale));
        assert_eq!(
            read_all(&*node, &good).await,
            Err(ReadError::Missing { key })
        );
        let newer = PutShard {
            epoch: Epoch(3),
            ..good
        };
        assert_eq!(node.put(newer).await, Ok(()));
        node.shutdown().await;
    });
}

/// A missing, emptied, foreign, duplicated or damaged disk is absent with its reason, is not stamped
/// again, and the others serve.
#[test]
fn a_disk_that_is_not_ours_is_absent() {
    Way::BOTH
        .into_iter()
        .for_each(a_disk_that_is_not_ours_is_absent_by);
}

fn a_disk_that_is_not_ours_is_absent_by(way: Way) {
    let mut folders = folders(7);
    let config = config(&folders);
    run(async {
        for (n, folder) in (0..).zip(&folders).take(6) {
            format(folder.path(), id(n)).await;
        }
    });
    let path = |n: usize| config.disks[n].folder.join("stamp");
    std::fs::remove_file(path(1)).unwrap();
    let foreign = Stamp {
        cluster: ClusterId::new([1; 16]),
        node: NODE,
        disk: id(2),
    };
    std::fs::write(path(2), &foreign.encode()[..]).unwrap();
    let elsewhere = Stamp {
        cluster: CLUSTER,
        node: NodeId::new(8),
        disk: id(3),
    };
    std::fs::write(path(3), &elsewhere.encode()[..]).unwrap();
    std::fs::copy(path(4), path(5)).unwrap();
    std::fs::remove_file(path(6)).unwrap_err();
    std::fs::write(config.disks[6].folder.join("notes.txt"), b"mine").unwrap();
    folders.push(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let mut config = config;
    config.disks.push(DiskFolder {
        folder: folders[7].path().join("unmounted"),
        expected: Some(id(7)),
    });
    run(async {
        let node = way.to(Node::open(config.clone()).await).await;
        let states = states(&*node).await;
        assert_eq!(states[0], (id(0), DiskState::Serving));
        for (n, reason) in [
            (1, "it is empty"),
            (2, "belongs to cluster"),
            (3, "belongs to node-8"),
            (4, "several folders"),
            (5, "several folders"),
            (6, "no stamp"),
            (7, "No such file"),
        ] {
            let state = states.iter().find(|(disk, _)| *disk == id(n));
            match state {
                Some((_, DiskState::Absent(why))) => assert!(why.contains(reason), "{n}: {why}"),
                other => panic!("disk {n}: {other:?}"),
            }
        }
        let disk = id(1);
        let refused = node.put(shard(disk, 1, 1, 0)).await;
        assert_eq!(refused, Err(PutError::DiskUnavailable { disk }));
        assert_eq!(node.put(shard(id(0), 1, 1, 0)).await, Ok(()));
        node.shutdown().await;
    });
    assert_eq!(
        std::fs::read_dir(&config.disks[1].folder).unwrap().count(),
        0
    );
    let again = run(stamp::format(&config.disks[6].folder, &foreign));
    assert!(again.is_err(), "only an empty folder is stamped");
}

/// Disks that changed places are served: the stamp counts.
#[test]
fn disks_may_change_places() {
    Way::BOTH.into_iter().for_each(disks_may_change_places_by);
}

fn disks_may_change_places_by(way: Way) {
    let folders = folders(2);
    run(async {
        format(folders[0].path(), id(1)).await;
        format(folders[1].path(), id(0)).await;
        let node = way.to(Node::open(config(&folders)).await).await;
        let serving = [0, 1].map(|n| (id(n), DiskState::Serving));
        assert_eq!(states(&*node).await, serving);
        node.shutdown().await;
    });
}
