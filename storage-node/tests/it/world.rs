//! Shards, disks and nodes to try things on.

use bytes::Bytes;
use disk::Disk;
use disk::sim::SimDisk;
use std::future::Future;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use strongroom_storage_node::{
    DeleteError, Deleted, DiskDevice, Limits, Node, Stamp, Watch, stamp,
};
use types::placement::{Admission, Group, GroupTable, Member, Slot};
use types::shard::{ChunkDescription, ShardDigest};
use types::wire::ShardStore;
use types::wire::storage::{PutShard, ReadShard};
use types::{
    BlobId, ByteCount, ChunkId, ClusterId, DiskId, Epoch, GroupId, NodeId, Profile, ShardKey, block,
};

pub(crate) const CLUSTER: ClusterId = ClusterId::new([0xc1; 16]);
pub(crate) const NODE: NodeId = NodeId::new(7);
pub(crate) const DISK: DiskId = DiskId::new(70);

/// Volumes that are full after a few small records.
pub(crate) const SMALL: Limits = Limits {
    volume: ByteCount::new(40 << 10),
    allocate: ByteCount::new(16 << 10),
    batch: ByteCount::new(32 << 10),
};

/// Names the seed of a try that panics.
pub(crate) struct Named(pub(crate) u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {0} (replay with STRONGROOM_SEED={0})", self.0);
        }
    }
}

/// So many seeds; or `STRONGROOM_SEED`, and `STRONGROOM_SEEDS` in all from there on, of which `cargo xtask soak disk`
/// takes thousands.
pub(crate) fn seeds(count: u64) -> Range<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().expect("a seed is a number"))
    };
    number("STRONGROOM_SEED").map_or(0..count, |first| {
        first..first + number("STRONGROOM_SEEDS").unwrap_or(1)
    })
}

/// Runs a future on a runtime of its own.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// The shard of chunk `chunk` whose sealed bytes are `length` long and depend on `content`.
pub(crate) fn shard(disk: DiskId, chunk: u64, length: usize, content: u64) -> PutShard {
    let key = ShardKey {
        group: GroupId::new(5),
        chunk: ChunkId::new(chunk),
        index: 0,
    };
    let profile: Profile = "4+2".parse().unwrap();
    let sealed: Vec<u8> = (0..length as u64)
        .map(|at| (at * 31 + at / 251 + chunk * 7 + content * 101).to_be_bytes()[7])
        .collect();
    let mut payload = Vec::new();
    block::frame(key, 0, &sealed, &mut payload);
    let digest = ShardDigest(*blake3::hash(&sealed).as_bytes());
    PutShard {
        disk,
        key,
        epoch: Epoch(1),
        chunk: ChunkDescription {
            blob: BlobId::new(1000 + content),
            first_segment: 0,
            profile,
            data_lengths: vec![u32::try_from(length).unwrap(), 0, 0, 0],
            digests: vec![digest; 6],
        },
        payload: payload.into(),
    }
}

/// Removes chunks of the slot that [`shard`] writes to, by a decision of now.
pub(crate) async fn delete(
    node: &Node,
    disk: DiskId,
    chunks: RangeInclusive<u64>,
) -> Result<Deleted, DeleteError> {
    let chunks = ChunkId::new(*chunks.start())..=ChunkId::new(*chunks.end());
    node.delete(disk, GroupId::new(5), Slot(0), chunks, Epoch(1))
        .await
}

/// Tells the node that the disk holds slot 0 of the group that [`shard`] names, since that epoch.
pub(crate) fn learn(node: &Node, disk: DiskId, joined: u64) {
    let member = Member {
        disk,
        joined: Epoch(joined),
    };
    node.learn(&GroupTable {
        groups: vec![Group {
            id: GroupId::new(5),
            profile: "4+2".parse().unwrap(),
            epoch: Epoch(joined),
            admission: Admission::Open,
            members: vec![member],
        }],
        ..GroupTable::default()
    });
}

/// A simulated disk with our stamp.
pub(crate) async fn stamped(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    let stamp = Stamp {
        cluster: CLUSTER,
        node: NODE,
        disk: DISK,
    };
    stamp::write_to(&disk, &stamp).await.unwrap();
    disk
}

/// A node that serves one simulated disk.
pub(crate) async fn node(disk: &SimDisk, limits: Limits) -> Node {
    let device = DiskDevice {
        disk: Arc::new(disk.clone()) as Arc<dyn Disk>,
        expected: Some(DISK),
    };
    let watch = Watch::default();
    let node = Node::with_devices(CLUSTER, NODE, vec![device], limits, watch).await;
    learn(&node, DISK, 1);
    node
}

/// All blocks of a shard that was stored as `put`.
pub(crate) async fn read_all(
    node: &dyn ShardStore,
    put: &PutShard,
) -> Result<Bytes, types::wire::storage::ReadError> {
    let blocks = put.payload.len().div_ceil(block::FRAMED_BLOCK);
    node.read(ReadShard {
        disk: put.disk,
        key: put.key,
        first_block: 0,
        blocks: u32::try_from(blocks).unwrap(),
    })
    .await
}

/// The volumes that are there.
pub(crate) fn volumes(disk: &SimDisk) -> Vec<u32> {
    let there = |id: &u32| disk.content(&format!("volume-{id:08x}")).is_some();
    (1..200).filter(there).collect()
}

/// Bytes in the volumes of the node's first disk.
pub(crate) async fn used(node: &Node) -> u64 {
    node.report().await[0].used.get()
}
