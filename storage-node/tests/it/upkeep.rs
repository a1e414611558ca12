//! The upkeep of disks, against a metadata service in memory: what is missing is made again, what is dead
//! goes, and a disk that lies is outvoted.

use crate::world::{CLUSTER, NODE};
use bytes::Bytes;
use disk::Disk as _;
use disk::sim::SimDisk;
use erasure::Coder;
use futures::FutureExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use strongroom_storage_node::upkeep::{Keeper, Quiet, Removal};
use strongroom_storage_node::{DiskDevice, Limits, Node, Stamp, Watch, stamp};
use types::placement::{Admission, Disk, Epoch, Group, GroupTable, Member, Slot};
use types::shard::{ChunkDescription, ShardDigest};
use types::wire::metadata::Answer;
use types::wire::storage::{PutShard, ReadError, ReadShard};
use types::wire::upkeep::*;
use types::wire::{ShardStore, Upkeep};
use types::{BlobId, ChunkId, DiskId, GroupId, Profile, ShardKey, block};

const GROUP: GroupId = GroupId::new(5);
const SHARDS: u8 = 6;

fn disk(index: u8) -> DiskId {
    DiskId::new(100 + u64::from(index))
}

fn profile() -> Profile {
    "4+2".parse().unwrap()
}

fn key(chunk: u64, index: u8) -> ShardKey {
    ShardKey {
        group: GROUP,
        chunk: ChunkId::new(chunk),
        index,
    }
}

/// What the metadata service would know.
#[derive(Default)]
struct Known {
    runs: Vec<CoveredRun>,
    repairs: BTreeSet<RunSlot>,
    deletes: BTreeSet<RunSlot>,
    reported: Vec<(DiskId, ShardKey)>,
}

struct Service(Mutex<Known>);

impl Service {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap()
    }
}

fn table() -> GroupTable {
    let member = |index| Member {
        disk: disk(index),
        joined: Epoch(1),
    };
    GroupTable {
        version: 1,
        disks: Vec::new(),
        groups: vec![Group {
            id: GROUP,
            profile: profile(),
            epoch: Epoch(1),
            admission: Admission::Open,
            members: (0..SHARDS).map(member).collect(),
        }],
    }
}

fn of(disk: DiskId, at: &RunSlot) -> bool {
    disk.get() == 100 + u64::from(at.slot.0)
}

fn ready<T: Send + 'static>(value: T) -> Answer<'static, T> {
    async move { Ok(value) }.boxed()
}

impl Upkeep for Service {
    fn table(&self, known: u64) -> Answer<'_, Option<GroupTable>> {
        ready((known == 0).then(table))
    }

    fn deletes(&self, disk: DiskId, after: Option<RunSlot>) -> Answer<'_, Vec<DeleteTask>> {
        let known = self.known();
        let due = known
            .deletes
            .iter()
            .filter(|at| of(disk, at) && Some(**at) > after);
        let task = |at: &RunSlot| DeleteTask {
            at: *at,
            chunks: 1,
            epoch: Epoch(1),
        };
        ready(due.map(task).collect())
    }

    fn deleted(&self, _: DiskId, done: Vec<RunSlot>) -> Answer<'_, ()> {
        let mut known = self.known();
        for at in done {
            known.deletes.remove(&at);
        }
        ready(())
    }

    fn repairs(&self, disk: DiskId, after: Option<RunSlot>) -> Answer<'_, Vec<RepairTask>> {
        let known = self.known();
        let due = known
            .repairs
            .iter()
            .filter(|at| of(disk, at) && Some(**at) > after);
        let task = |at: &RunSlot| RepairTask {
            at: *at,
            chunks: 1,
            profile: profile(),
            epoch: Epoch(1),
        };
        ready(due.map(task).collect())
    }

    fn repaired(&self, _: DiskId, done: Vec<Repaired>) -> Answer<'_, ()> {
        let mut known = self.known();
        for report in done {
            known.repairs.remove(&report.at);
        }
        ready(())
    }

    fn report_bad(&self, disk: DiskId, shards: Vec<ShardKey>) -> Answer<'_, ()> {
        let mut known = self.known();
        for key in shards {
            known.reported.push((disk, key));
            known.repairs.insert(RunSlot {
                group: key.group,
                first_chunk: key.chunk,
                slot: Slot(key.index),
            });
        }
        ready(())
    }

    fn covered(&self, _: GroupId, _: ChunkId) -> Answer<'_, Covered> {
        ready(Covered {
            epoch: Epoch(1),
            runs: self.known().runs.clone(),
            up_to: None,
            leased: vec![ChunkRange {
                first: ChunkId::new(500),
                last: ChunkId::new(599),
            }],
            unissued: ChunkId::new(1000),
        })
    }

    fn health(&self, _: Vec<DiskId>) -> Answer<'_, Health> {
        ready(Health::default())
    }

    fn reserve_disk_id(&self) -> Answer<'_, DiskId> {
        unreachable!("nothing is replaced here")
    }

    fn replace_disk(&self, _: DiskId, _: Disk) -> Answer<'_, ()> {
        unreachable!("nothing is replaced here")
    }
}

/// A node of six disks with a service.
struct World {
    node: Arc<Node>,
    service: Arc<Service>,
    disks: Vec<SimDisk>,
}

impl World {
    async fn new() -> Self {
        let mut devices = Vec::new();
        let mut disks = Vec::new();
        for index in 0..SHARDS {
            let sim = SimDisk::new(u64::from(index));
            let ours = Stamp {
                cluster: CLUSTER,
                node: NODE,
                disk: disk(index),
            };
            stamp::write_to(&sim, &ours).await.unwrap();
            devices.push(DiskDevice {
                disk: Arc::new(sim.clone()),
                expected: Some(disk(index)),
            });
            disks.push(sim);
        }
        let limits = Limits::default();
        let node = Node::with_devices(CLUSTER, NODE, devices, limits, Watch::default()).await;
        node.learn(&table());
        Self {
            node: Arc::new(node),
            service: Arc::new(Service(Mutex::default())),
            disks,
        }
    }

    fn keeper(&self) -> Arc<Keeper> {
        Keeper::start(
            Arc::clone(&self.node),
            self.service.clone(),
            Arc::new(Quiet(Arc::clone(&self.node))),
            Duration::from_secs(3600),
        )
    }

    /// Stores a chunk of so many full segments, without the shards in `without`; its whole shards.
    async fn store(&self, chunk: u64, segments: usize, without: &[u8]) -> Vec<Bytes> {
        let shards = encode(chunk, segments);
        let description = &shards.0;
        let mut payloads = Vec::new();
        for index in 0..SHARDS {
            let key = key(chunk, index);
            let mut payload = Vec::new();
            block::frame(key, 0, &shards.1[usize::from(index)], &mut payload);
            let payload = Bytes::from(payload);
            payloads.push(payload.clone());
            if !payload.is_empty() && !without.contains(&index) {
                let put = put(key, description.clone(), payload);
                self.node.put(put).await.unwrap();
            }
        }
        let range = ChunkRange {
            first: ChunkId::new(chunk),
            last: ChunkId::new(chunk),
        };
        self.service.known().runs.push(CoveredRun {
            chunks: range,
            last_segments: u32::try_from(segments).unwrap(),
            condemned: false,
            missing: Vec::new(),
        });
        payloads
    }

    async fn read(&self, chunk: u64, index: u8, payload: &Bytes) -> Result<Bytes, ReadError> {
        let blocks = payload.len().div_ceil(block::FRAMED_BLOCK);
        let request = ReadShard {
            disk: disk(index),
            key: key(chunk, index),
            first_block: 0,
            blocks: u32::try_from(blocks).unwrap(),
        };
        self.node.read(request).await
    }

    async fn until(&self, holds: impl Fn(&Known) -> bool) {
        for _ in 0..600 {
            if holds(&self.service.known()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not in time");
    }
}

fn put(key: ShardKey, chunk: ChunkDescription, payload: Bytes) -> PutShard {
    PutShard {
        disk: disk(key.index),
        key,
        epoch: Epoch(1),
        chunk,
        payload,
    }
}

/// The sealed bytes of a chunk's shards, which nobody can open but anybody can code.
fn encode(chunk: u64, segments: usize) -> (ChunkDescription, Vec<Vec<u8>>) {
    let layout = erasure::Layout::new(profile(), segments, 1000);
    let coder = Coder::new(profile());
    let mut shards: Vec<Vec<u8>> = (0..usize::from(SHARDS))
        .map(|index| {
            let length = layout.sealed_length(index).as_usize();
            (0..length)
                .map(|at| ((at * 31 + index * 7) as u64 + chunk).to_le_bytes()[0])
                .collect()
        })
        .collect();
    let (data, parity) = shards.split_at_mut(4);
    for row in 0..layout.rows() {
        let start = row * block::SEALED_SEGMENT;
        let slice = |shard: &Vec<u8>| -> std::ops::Range<usize> {
            start.min(shard.len())..(start + block::SEALED_SEGMENT).min(shard.len())
        };
        let rows: Vec<&[u8]> = data.iter().map(|shard| &shard[slice(shard)]).collect();
        let mut outs: Vec<&mut [u8]> = parity
            .iter_mut()
            .map(|shard| {
                let range = slice(shard);
                &mut shard[range]
            })
            .collect();
        coder.encode_row(&rows, &mut outs);
    }
    let digest = |shard: &Vec<u8>| ShardDigest(*blake3::hash(shard).as_bytes());
    let description = ChunkDescription {
        blob: BlobId::new(chunk),
        first_segment: 0,
        profile: profile(),
        data_lengths: layout.data_lengths(),
        digests: shards.iter().map(digest).collect(),
    };
    (description, shards)
}

/// A task's shards are made again where they are missing, byte by byte, whatever the chunk's size; an empty
/// shard counts as done, and with too few others the task stays.
#[tokio::test(start_paused = true)]
async fn missing_shards_are_made_again() {
    let world = World::new().await;
    let lacking: [&[u8]; 5] = [&[0], &[5], &[1, 4], &[2, 3], &[0, 1, 2]];
    let mut stored = BTreeMap::new();
    let mut chunk = 0;
    for segments in [1, 2, 5, 64] {
        for without in lacking {
            chunk += 1;
            stored.insert(
                chunk,
                (
                    segments,
                    without,
                    world.store(chunk, segments, without).await,
                ),
            );
            for index in without {
                let reported = world
                    .service
                    .report_bad(disk(*index), vec![key(chunk, *index)]);
                reported.await.unwrap();
            }
        }
    }
    // Fewer than four of the shards that have bytes, or are known to have none, are left.
    let hopeless = |segments: usize, without: &[u8]| {
        let rows = segments.div_ceil(4);
        let empty = (0..4).filter(|index| index * rows >= segments).count();
        let held = (0..6_usize).filter(|index| {
            let parity = *index >= 4;
            let there = !without.contains(&u8::try_from(*index).unwrap());
            (parity || index * rows < segments) && there
        });
        empty + held.count() < 4
    };
    let left: BTreeSet<u64> = stored
        .iter()
        .filter(|(_, (segments, without, _))| hopeless(*segments, without))
        .map(|(chunk, _)| *chunk)
        .collect();
    assert!(!left.is_empty() && left.len() < 5, "{left:?}");
    let keeper = world.keeper();
    let chunk_of = |at: &RunSlot| at.first_chunk.get();
    world
        .until(|known| known.repairs.iter().all(|at| left.contains(&chunk_of(at))))
        .await;
    for (chunk, (_, without, payloads)) in &stored {
        for index in 0..SHARDS {
            let payload = &payloads[usize::from(index)];
            if payload.is_empty() || left.contains(chunk) && without.contains(&index) {
                continue;
            }
            let read = world.read(*chunk, index, payload).await;
            assert_eq!(read.as_ref(), Ok(payload), "{chunk}/{index}");
        }
    }
    assert!(keeper.done().shards > 10);
    keeper.shutdown().await;
}

/// A disk whose record says something else than most, and one whose bytes are not what every record says,
/// are not used, and are reported.
#[tokio::test(start_paused = true)]
async fn liars_are_outvoted() {
    let world = World::new().await;
    let payloads = world.store(1, 64, &[0, 1, 2]).await;
    let (mut lie, _) = encode(1, 64);
    lie.blob = BlobId::new(99);
    // Shard 1 is another blob's; shard 2 has other bytes under matching checksums.
    let put_lie = put(key(1, 1), lie, payloads[1].clone());
    world.node.put(put_lie).await.unwrap();
    let (description, mut shards) = encode(1, 64);
    shards[2][500] ^= 1;
    let mut payload = Vec::new();
    block::frame(key(1, 2), 0, &shards[2], &mut payload);
    let put_wrong = put(key(1, 2), description, payload.into());
    world.node.put(put_wrong).await.unwrap();
    let reported = world.service.report_bad(disk(0), vec![key(1, 0)]);
    reported.await.unwrap();
    world.service.known().reported.clear();
    let keeper = world.keeper();
    // Three honest shards are too few for four: it must not be made of lies.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let read = world.read(1, 0, &payloads[0]).await;
    assert!(matches!(read, Err(ReadError::Missing { .. })), "{read:?}");
    assert!(
        world
            .service
            .known()
            .reported
            .contains(&(disk(1), key(1, 1)))
    );
    assert!(
        world
            .service
            .known()
            .reported
            .contains(&(disk(2), key(1, 2)))
    );

    // Four honest ones are enough, and the liar's own shard stays his: it is not damaged, it is another.
    let payloads = world.store(2, 64, &[0, 1]).await;
    let (mut lie, _) = encode(2, 64);
    lie.blob = BlobId::new(99);
    let put_lie = put(key(2, 1), lie, payloads[1].clone());
    world.node.put(put_lie).await.unwrap();
    let reported = world.service.report_bad(disk(0), vec![key(2, 0)]);
    reported.await.unwrap();
    let done = |known: &Known| {
        let at = |at: &RunSlot| at.first_chunk == ChunkId::new(2) && at.slot == Slot(0);
        !known.repairs.iter().any(at)
    };
    world.until(done).await;
    let read = world.read(2, 0, &payloads[0]).await;
    assert_eq!(read.as_ref(), Ok(&payloads[0]));
    // Between two rounds of repair it is told.
    let told = |known: &Known| known.reported.contains(&(disk(1), key(2, 1)));
    world.until(told).await;
    keeper.shutdown().await;
}

/// Dead runs go, and are reported when they are gone.
#[tokio::test(start_paused = true)]
async fn dead_shards_go() {
    let world = World::new().await;
    world.store(1, 64, &[]).await;
    world.store(2, 64, &[]).await;
    for index in 0..SHARDS {
        world.service.known().deletes.insert(RunSlot {
            group: GROUP,
            first_chunk: ChunkId::new(1),
            slot: Slot(index),
        });
    }
    let keeper = world.keeper();
    world.until(|known| known.deletes.is_empty()).await;
    for index in 0..SHARDS {
        let held = world
            .node
            .inventory(disk(index), GROUP, Slot(index))
            .unwrap();
        let chunks: Vec<u64> = held.iter().map(|shard| shard.chunk.get()).collect();
        assert_eq!(chunks, [2]);
    }
    assert_eq!(keeper.done().removed, 6);
    keeper.shutdown().await;
}

/// A disk that begins to serve is looked through: shards that it should have are reported, orphans go, what
/// is leased or was never given out stays. Who only asks is only told.
#[tokio::test(start_paused = true)]
async fn disks_are_looked_through() {
    let world = World::new().await;
    world.store(1, 64, &[3]).await;
    world.store(2, 1, &[]).await;
    for chunk in [300, 550, 2000] {
        world.store(chunk, 64, &[]).await;
        world.service.known().runs.pop();
    }
    let keeper = world.keeper();
    let told = keeper.reconcile(disk(3), Removal::Tell).await.unwrap();
    assert_eq!(
        told.missing,
        [key(1, 3)],
        "the short chunk has no shard there"
    );
    assert_eq!(
        (told.orphans, told.strays),
        (vec![key(300, 3)], vec![key(2000, 3)])
    );
    assert_eq!(told.removed, 0);
    world
        .until(|known| known.reported.contains(&(disk(3), key(1, 3))))
        .await;
    world.until(|known| known.repairs.is_empty()).await;
    for index in 0..SHARDS {
        let clean = keeper.reconcile(disk(index), Removal::Tell).await.unwrap();
        assert_eq!((clean.missing, clean.orphans), (Vec::new(), Vec::new()));
        assert_eq!(clean.strays, [key(2000, index)]);
    }
    assert_eq!(world.service.known().reported, [(disk(3), key(1, 3))]);
    keeper.shutdown().await;
}

/// What a reader asked for and did not get is made again.
#[tokio::test(start_paused = true)]
async fn what_readers_miss_is_made_again() {
    let world = World::new().await;
    let payloads = world.store(1, 64, &[]).await;
    let keeper = world.keeper();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(world.disks[4].free().await.is_ok());
    let removed = world.node.delete(
        disk(4),
        GROUP,
        Slot(4),
        ChunkId::new(1)..=ChunkId::new(1),
        Epoch(1),
    );
    assert_eq!(removed.await.unwrap().shards, 1);
    let missed = world.read(1, 4, &payloads[4]).await;
    assert!(matches!(missed, Err(ReadError::Missing { .. })));
    world
        .until(|known| !known.reported.is_empty() && known.repairs.is_empty())
        .await;
    let read = world.read(1, 4, &payloads[4]).await;
    assert_eq!(read.as_ref(), Ok(&payloads[4]));
    keeper.shutdown().await;
}
