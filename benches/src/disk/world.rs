//! A storage node with one disk in a folder, and shards to store on it.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use disk::{Choice, Disk};
use futures::{StreamExt, stream};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage_node::{DiskDevice, DiskFolder, Limits, Node, NodeConfig, Stamp, Watch, stamp};
use types::shard::{ChunkDescription, ShardDigest};
use types::wire::ShardStore;
use types::wire::storage::{PutShard, ReadShard};
use types::{BlobId, ChunkId, ClusterId, DiskId, Epoch, GroupId, NodeId, ShardKey, block};

pub(crate) const DISK: DiskId = DiskId::new(1);
const CLUSTER: ClusterId = ClusterId::new([7; 16]);
const NODE: NodeId = NodeId::new(1);
const STAMP: Stamp = Stamp {
    cluster: CLUSTER,
    node: NODE,
    disk: DISK,
};
/// Slots that a disk has.
const GROUPS: u64 = 100;

/// An empty disk of our own.
pub(crate) async fn fresh(folder: &Path) -> Result<()> {
    clean(folder)?;
    fs::create_dir_all(folder)?;
    stamp::format(folder, &STAMP).await.context("stamping")
}

/// Removes a disk.
pub(crate) fn clean(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Serves a device, which is stamped first.
pub(crate) async fn serve(device: Arc<dyn Disk>) -> Result<Node> {
    stamp::write_to(&*device, &STAMP).await?;
    let device = DiskDevice {
        disk: device,
        expected: Some(DISK),
    };
    let (limits, watch) = (Limits::default(), Watch::default());
    Ok(Node::with_devices(CLUSTER, NODE, vec![device], limits, watch).await)
}

/// Serves a disk that is stamped.
pub(crate) async fn open(folder: &Path, engine: Choice) -> Result<Arc<Node>> {
    let node = Node::open(NodeConfig {
        cluster: CLUSTER,
        node: NODE,
        disks: vec![DiskFolder {
            folder: folder.to_owned(),
            expected: Some(DISK),
        }],
        engine,
        limits: Limits::default(),
        watch: Watch {
            patience: Duration::from_secs(600),
            ..Watch::default()
        },
    });
    let node = node.await;
    let reports = node.report().await;
    ensure!(
        reports[0].state == types::wire::storage::DiskState::Serving,
        "{:?}",
        reports[0]
    );
    Ok(Arc::new(node))
}

/// Stops serving a disk, and returns when its folder is free.
pub(crate) async fn close(node: Arc<Node>) {
    node.shutdown().await;
    while Arc::strong_count(&node) > 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(node);
    // What looks after the disks lets go of them a moment later.
    tokio::time::sleep(Duration::from_millis(200)).await;
}

/// The volumes of a disk.
pub(crate) fn volumes(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("volume-") {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// The name of the shard of that number.
pub(crate) fn key(number: u64) -> ShardKey {
    ShardKey {
        group: GroupId::new(1 + number % GROUPS),
        chunk: ChunkId::new(1 + number / GROUPS),
        index: 0,
    }
}

/// Shards of one length.
pub(crate) struct Shards {
    sealed: Bytes,
    digest: ShardDigest,
}

impl Shards {
    /// Of that many sealed bytes, at random.
    pub(crate) fn of(length: usize) -> Self {
        let mut sealed = vec![0; length];
        getrandom::fill(&mut sealed).expect("the system has randomness");
        Self {
            digest: ShardDigest(*blake3::hash(&sealed).as_bytes()),
            sealed: sealed.into(),
        }
    }

    /// The one of that number, ready to be sent.
    pub(crate) fn put(&self, number: u64) -> PutShard {
        let key = key(number);
        let mut payload = Vec::with_capacity(self.payload());
        block::frame(key, 0, &self.sealed, &mut payload);
        let length = u32::try_from(self.sealed.len()).expect("shards are small");
        PutShard {
            disk: DISK,
            key,
            epoch: Epoch(1),
            chunk: ChunkDescription {
                blob: BlobId::new(1),
                first_segment: 0,
                profile: "4+2".parse().expect("a profile"),
                data_lengths: vec![length; 4],
                digests: vec![self.digest; 6],
            },
            payload: payload.into(),
        }
    }

    /// Length with checksums.
    pub(crate) fn payload(&self) -> usize {
        self.sealed.len() + self.sealed.len().div_ceil(block::SEALED_SEGMENT) * block::CHECKSUM
    }

    /// Stores those, so many at a time.
    pub(crate) async fn fill(
        &self,
        node: &Node,
        numbers: std::ops::Range<u64>,
        at_once: usize,
    ) -> Result<()> {
        let puts = stream::iter(numbers).map(|number| node.put(self.put(number)));
        let mut puts = puts.buffer_unordered(at_once);
        while let Some(stored) = puts.next().await {
            stored?;
        }
        Ok(())
    }
}

/// Reads blocks of a shard.
pub(crate) async fn read(node: &Node, number: u64, first: u32, blocks: u32) -> Result<usize> {
    let request = ReadShard {
        disk: DISK,
        key: key(number),
        first_block: first,
        blocks,
    };
    Ok(node.read(request).await?.len())
}
