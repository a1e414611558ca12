//! A disk that is filled with shards of all sizes to the last one that it takes, nine tenths of them removed, filled
//! again: what was removed is room again, to within a twentieth of what lives.
//!
//! A simulated disk; or the real one whose mounted, empty folder `STRONGROOM_FULL_DISK` names.
//! `cargo xtask full-disk` makes small ones, ext4 and XFS, and runs this on them.

use crate::world::{CLUSTER, DISK, NODE, delete, learn, node, read_all, run, shard, stamped};
use disk::Choice;
use disk::sim::SimDisk;
use futures::future::join_all;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use strongroom_storage_node::{DiskFolder, Limits, Node, NodeConfig, Stamp, Watch, record, stamp};
use types::ByteCount;
use types::wire::ShardStore;
use types::wire::storage::{DiskState, PutError, PutShard};

/// How long the space may take to come back.
const PATIENCE: Duration = Duration::from_secs(180);

enum Place {
    Simulated(SimDisk),
    Real(PathBuf),
}

impl Place {
    async fn make() -> Self {
        let Some(folder) = std::env::var_os("STRONGROOM_FULL_DISK") else {
            let disk = stamped(1).await;
            disk.set_capacity(ByteCount::new(96 << 20));
            return Self::Simulated(disk);
        };
        let folder = PathBuf::from(folder).join("disk");
        std::fs::create_dir(&folder).unwrap();
        let stamp = Stamp {
            cluster: CLUSTER,
            node: NODE,
            disk: DISK,
        };
        stamp::format(&folder, &stamp).await.unwrap();
        Self::Real(folder)
    }

    async fn serve(&self) -> Node {
        let folder = match self {
            Self::Simulated(disk) => {
                let limits = Limits {
                    volume: ByteCount::new(1 << 20),
                    allocate: ByteCount::new(64 << 10),
                    ..Limits::default()
                };
                return node(disk, limits).await;
            }
            Self::Real(folder) => folder.clone(),
        };
        let node = Node::open(NodeConfig {
            cluster: CLUSTER,
            node: NODE,
            disks: vec![DiskFolder {
                folder,
                expected: Some(DISK),
            }],
            engine: Choice::Auto,
            limits: Limits::default(),
            watch: Watch::default(),
        })
        .await;
        learn(&node, DISK, 1);
        node
    }

    /// Lengths of shards, from a few bytes to a part of the disk.
    fn length(&self, number: u64) -> usize {
        let (longest, spread) = match self {
            Self::Simulated(_) => (200_000, 6),
            Self::Real(_) => (1_000_000, 10),
        };
        let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        usize::try_from((longest >> (scattered % spread)) + scattered % 997 + 1).unwrap()
    }

    /// Bytes that the files take.
    async fn takes(&self, node: &Node) -> u64 {
        match self {
            Self::Simulated(_) => node.report().await[0].used.get(),
            Self::Real(folder) => blocks(folder) * 512,
        }
    }
}

fn blocks(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().metadata().unwrap().blocks())
        .sum()
}

/// Stores shards until several in a row are refused for want of room. What was stored.
async fn fill(place: &Place, node: &Node, next: &mut u64) -> Vec<PutShard> {
    let mut stored = Vec::new();
    let mut full = 0;
    loop {
        let numbers = *next..*next + 16;
        *next = numbers.end;
        let puts: Vec<PutShard> = numbers
            .map(|number| shard(DISK, number, place.length(number), 0))
            .collect();
        let answers = join_all(puts.iter().map(|put| node.put(put.clone()))).await;
        let mut refused = 0;
        for (put, answer) in puts.into_iter().zip(answers) {
            match answer {
                Ok(()) => stored.push(put),
                Err(PutError::Full { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        full = if refused == 16 { full + 1 } else { 0 };
        if full == 5 {
            return stored;
        }
        if full > 0 {
            // Blocks that were freed are there when the file system's journal has them.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

fn bytes(shards: &[PutShard]) -> u64 {
    let records = shards
        .iter()
        .map(|put| record::length(ByteCount::of(&put.payload)));
    records.map(ByteCount::get).sum()
}

async fn check(node: &Node, shards: &[PutShard]) {
    for put in shards {
        let read = read_all(node, put).await;
        assert!(read.is_ok_and(|bytes| bytes == put.payload), "{}", put.key);
    }
    let report = &node.report().await[0];
    assert_eq!(report.state, DiskState::Serving);
    assert_eq!(report.shards, shards.len() as u64);
}

/// See the module.
#[test]
fn a_full_disk_gives_back_what_is_removed() {
    run(async {
        let place = Place::make().await;
        let mut node = place.serve().await;
        let mut next = 1;
        let mut first = 0;
        let mut living: Vec<PutShard> = Vec::new();
        for round in 0..3 {
            living.extend(fill(&place, &node, &mut next).await);
            let held = bytes(&living);
            let report = &node.report().await[0];
            eprintln!(
                "round {round}: full with {} shards of {held} bytes; {} free, {} used",
                living.len(),
                report.free,
                report.used
            );
            if round == 0 {
                first = held;
            }
            assert!(
                held > first / 100 * 95,
                "{held} in round {round}, {first} at first"
            );
            check(&node, &living).await;
            let (left, gone): (Vec<_>, Vec<_>) = living
                .into_iter()
                .partition(|put| put.key.chunk.get() % 10 == round);
            living = left;
            for some in gone.chunks(100) {
                let chunks = some.iter().map(|put| put.key.chunk.get());
                let removals = chunks.map(|chunk| delete(&node, DISK, chunk..=chunk));
                for removed in join_all(removals).await {
                    assert_eq!(removed.unwrap().shards, 1);
                }
            }
            let (began, lives) = (Instant::now(), bytes(&living));
            loop {
                let takes = place.takes(&node).await;
                if takes <= lives + lives / 20 {
                    let seconds = began.elapsed().as_secs_f64();
                    eprintln!(
                        "round {round}: {takes} bytes for {lives} that live, after {seconds:.1} s"
                    );
                    break;
                }
                assert!(began.elapsed() < PATIENCE, "{takes} for {lives}");
                node.check().await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            check(&node, &living).await;
            node.shutdown().await;
            drop(node);
            node = place.serve().await;
            assert_eq!(node.damage().count(), 0);
            check(&node, &living).await;
        }
        node.shutdown().await;
    });
}
