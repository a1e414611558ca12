//! Simulated disks, a node that serves one, and shards to store on them.

use bytes::Bytes;
use disk::sim::SimDisk;
use disk::{Buffer, Disk};
use std::sync::Arc;
use storage_node::record::{self, Header};
use storage_node::volume::VolumeId;
use storage_node::{DiskDevice, Limits, Node, Stamp, Watch, stamp};
use types::placement::{Admission, Group, GroupTable, Member, Slot};
use types::shard::{ChunkDescription, ShardDigest};
use types::wire::ShardStore;
use types::wire::storage::{PutShard, ReadError, ReadShard};
use types::{
    BlobId, ByteCount, ByteOffset, ChunkId, ClusterId, DiskId, Epoch, GroupId, NodeId, ShardKey,
    block,
};

const CLUSTER: ClusterId = ClusterId::new([3; 16]);
const NODE: NodeId = NodeId::new(1);
pub(crate) const DISK: DiskId = DiskId::new(9);
pub(crate) const GROUP: GroupId = GroupId::new(4);
/// A few records to a volume.
const LIMITS: Limits = Limits {
    volume: ByteCount::new(40 << 10),
    allocate: ByteCount::new(16 << 10),
    batch: ByteCount::new(32 << 10),
};

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(future)
}

/// A disk with our stamp and nothing else.
pub(crate) async fn stamped() -> SimDisk {
    let disk = SimDisk::new(1);
    let stamp = Stamp {
        cluster: CLUSTER,
        node: NODE,
        disk: DISK,
    };
    stamp::write_to(&disk, &stamp).await.expect("an empty disk");
    disk
}

/// A disk of these volumes, from the first one on.
pub(crate) async fn holding(volumes: &[&[u8]]) -> SimDisk {
    let disk = stamped().await;
    for (id, content) in (1..).map(VolumeId).zip(volumes) {
        let file = disk.create(&id.file_name()).await.expect("a new name");
        let written = file.write(ByteOffset::ZERO, Buffer::copy_of(content));
        written.await.expect("whole blocks");
        file.sync().await.expect("it has room");
    }
    disk.sync_folder().await.expect("it has room");
    disk
}

pub(crate) async fn serve(disk: &SimDisk) -> Node {
    let device = DiskDevice {
        disk: Arc::new(disk.clone()) as Arc<dyn Disk>,
        expected: Some(DISK),
    };
    let node = Node::with_devices(CLUSTER, NODE, vec![device], LIMITS, Watch::default()).await;
    node.learn(&GroupTable {
        groups: vec![Group {
            id: GROUP,
            profile: "4+2".parse().expect("a profile"),
            epoch: Epoch(1),
            admission: Admission::Open,
            members: vec![Member {
                disk: DISK,
                joined: Epoch(1),
            }],
        }],
        ..GroupTable::default()
    });
    node
}

/// Whatever a disk held, it is emptied, stores, shows and removes what it is given, and gives up volumes.
pub(crate) async fn goes_on(node: &Node) {
    let empty = async || {
        let all = ChunkId::new(0)..=ChunkId::new(u64::MAX);
        let gone = node.delete(DISK, GROUP, Slot(0), all, Epoch(1)).await;
        node.check().await;
        gone.expect("it serves").shards
    };
    empty().await;
    let put = shard(1, 3000);
    node.put(put.clone()).await.expect("there is room");
    let shown = read_all(node, &put).await.expect("it is stored");
    assert!(shown == put.payload);
    assert_eq!(empty().await, 1);
    let missing = read_all(node, &put).await;
    assert_eq!(missing, Err(ReadError::Missing { key: put.key }));
}

pub(crate) fn key(number: u64) -> ShardKey {
    ShardKey {
        group: GROUP,
        chunk: ChunkId::new(number),
        index: 0,
    }
}

pub(crate) fn shard(number: u64, length: usize) -> PutShard {
    let key = key(number);
    let byte = |at: u64| (at * 31 + at / 251 + number * 7).to_be_bytes()[7];
    let sealed: Vec<u8> = (0..length as u64).map(byte).collect();
    let mut payload = Vec::new();
    block::frame(key, 0, &sealed, &mut payload);
    let digest = ShardDigest(*blake3::hash(&sealed).as_bytes());
    PutShard {
        disk: DISK,
        key,
        epoch: Epoch(1),
        chunk: ChunkDescription {
            blob: BlobId::new(number),
            first_segment: 0,
            profile: "4+2".parse().expect("a profile"),
            data_lengths: vec![u32::try_from(length).expect("it is short"), 0, 0, 0],
            digests: vec![digest; 6],
        },
        payload: payload.into(),
    }
}

/// The header of a shard's record, if it is written there.
pub(crate) fn header(put: &PutShard, volume: VolumeId, sequence: u64) -> Header {
    Header {
        key: put.key,
        epoch: put.epoch,
        chunk: put.chunk.clone(),
        volume,
        sequence,
        durable: ByteOffset::ZERO,
        opened: ByteOffset::ZERO,
    }
}

/// A shard's whole record.
pub(crate) fn record(put: &PutShard, volume: VolumeId, sequence: u64) -> Vec<u8> {
    record::encode(DISK, &header(put, volume, sequence), &put.payload).to_vec()
}

pub(crate) async fn read_all(node: &Node, put: &PutShard) -> Result<Bytes, ReadError> {
    read(node, put.key, put.payload.len()).await
}

/// All blocks of a shard that has so many bytes with their checksums.
pub(crate) async fn read(node: &Node, key: ShardKey, payload: usize) -> Result<Bytes, ReadError> {
    let blocks = payload.div_ceil(block::FRAMED_BLOCK);
    node.read(ReadShard {
        disk: DISK,
        key,
        first_block: 0,
        blocks: u32::try_from(blocks).expect("a few"),
    })
    .await
}
