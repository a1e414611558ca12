//! The upkeep of disks, against a metadata service in memory: what is missing is made again, what is dead
//! goes, and a disk that lies is outvoted.

use crate::world::{CLUSTER, NODE};
use bytes::Bytes;
use disk::Disk as _;
use disk::sim::SimDisk;
use erasure::Coder;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use strongroom_storage_node::upkeep::{Keeper, KeeperConfig, Quiet, Removal};
use strongroom_storage_node::{DiskDevice, Limits, Node, Stamp, Watch, stamp};
use types::placement::{Admission, Disk, Epoch, Group, GroupTable, Member, Slot};
use types::shard::{ChunkDescription, ShardDigest};
use types::wire::metadata::{Answer, MetadataError};
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::wire::upkeep::*;
use types::wire::{ShardStore, Upkeep};
use types::{BlobId, ByteCount, ChunkId, DiskId, GroupId, Profile, ShardKey, block};

pub(crate) const GROUP: GroupId = GroupId::new(5);
pub(crate) const SHARDS: u8 = 6;

pub(crate) fn disk(index: u8) -> DiskId {
    DiskId::new(100 + u64::from(index))
}

fn profile() -> Profile {
    "4+2".parse().unwrap()
}

pub(crate) fn key(chunk: u64, index: u8) -> ShardKey {
    ShardKey {
        group: GROUP,
        chunk: ChunkId::new(chunk),
        index,
    }
}

/// What the metadata service would know.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) runs: Vec<CoveredRun>,
    pub(crate) repairs: BTreeSet<RunSlot>,
    deletes: BTreeSet<RunSlot>,
    pub(crate) reported: Vec<(DiskId, ShardKey)>,
    deaf: bool,
    idle: bool,
}

pub(crate) struct Service(Mutex<Known>);

impl Service {
    pub(crate) fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap()
    }

    /// Another one that knows of the same objects and of nothing else.
    pub(crate) fn of_the_same(&self) -> Arc<Self> {
        let runs = self.known().runs.clone();
        Arc::new(Self(Mutex::new(Known {
            runs,
            ..Known::default()
        })))
    }

    /// It has nothing made again any more.
    pub(crate) fn idle(&self) {
        self.known().idle = true;
    }

    /// Whether reports of bad shards fail.
    pub(crate) fn refuse_reports(&self, refuse: bool) {
        self.known().deaf = refuse;
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
        if known.idle {
            return ready(Vec::new());
        }
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
        if known.deaf {
            let why = MetadataError::Unavailable("no leader".to_owned());
            return async { Err(why) }.boxed();
        }
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

    fn admit_disk(&self, _: Disk) -> Answer<'_, ()> {
        unreachable!("nothing is admitted here")
    }

    fn replace_disk(&self, _: DiskId, _: Disk) -> Answer<'_, ()> {
        unreachable!("nothing is replaced here")
    }
}

/// A node of six disks with a service.
pub(crate) struct World {
    pub(crate) node: Arc<Node>,
    pub(crate) service: Arc<Service>,
    pub(crate) disks: Vec<SimDisk>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let mut disks = Vec::new();
        for index in 0..SHARDS {
            let sim = SimDisk::new(u64::from(index));
            let ours = Stamp {
                cluster: CLUSTER,
                node: NODE,
                disk: disk(index),
            };
            stamp::write_to(&sim, &ours).await.unwrap();
            disks.push(sim);
        }
        Self::on(disks, Arc::new(Service(Mutex::default()))).await
    }

    /// On disks that there are already.
    pub(crate) async fn on(disks: Vec<SimDisk>, service: Arc<Service>) -> Self {
        let devices = (0..).zip(&disks).map(|(index, sim)| DiskDevice {
            disk: Arc::new(sim.clone()),
            expected: Some(disk(index)),
        });
        let devices = devices.collect();
        let limits = Limits::default();
        let node = Node::with_devices(CLUSTER, NODE, devices, limits, Watch::default()).await;
        node.learn(&table());
        Self {
            node: Arc::new(node),
            service,
            disks,
        }
    }

    pub(crate) fn keeper(&self) -> Arc<Keeper> {
        self.keeper_with(KeeperConfig {
            scrub: None,
            ..KeeperConfig::default()
        })
    }

    pub(crate) fn keeper_with(&self, config: KeeperConfig) -> Arc<Keeper> {
        Keeper::start(
            Arc::clone(&self.node),
            self.service.clone(),
            Arc::new(Quiet(Arc::clone(&self.node))),
            config,
        )
    }

    /// Stores a chunk of so many full segments, without the shards in `without`; its whole shards.
    pub(crate) async fn store(&self, chunk: u64, segments: usize, without: &[u8]) -> Vec<Bytes> {
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

    /// A keeper that reads other disks in its own way.
    fn keeper_over(&self, peers: Arc<dyn ShardStore>, rebuilding: ByteCount) -> Arc<Keeper> {
        let config = KeeperConfig {
            scrub: None,
            rebuilding,
            ..KeeperConfig::default()
        };
        Keeper::start(Arc::clone(&self.node), self.service.clone(), peers, config)
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

    pub(crate) async fn until(&self, holds: impl Fn(&Known) -> bool) {
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

/// A shard that agrees with itself, header, checksums, digest and bytes, and says something else of its chunk than
/// most: it is outvoted, whichever shard it is; what is made again is what was stored; and its disk is named.
#[tokio::test(start_paused = true)]
async fn a_consistent_lie_is_outvoted_and_named() {
    for liar in 1..SHARDS {
        let world = World::new().await;
        let payloads = world.store(1, 64, &[0, liar]).await;
        let (lie, shards) = encode(77, 64);
        let mut payload = Vec::new();
        block::frame(key(1, liar), 0, &shards[usize::from(liar)], &mut payload);
        let put_lie = put(key(1, liar), lie, payload.into());
        world.node.put(put_lie).await.unwrap();
        let agrees = world.node.verify(disk(liar), key(1, liar)).await;
        assert_eq!(agrees, Ok(()), "nothing is wrong with it by itself");
        let reported = world.service.report_bad(disk(0), vec![key(1, 0)]);
        reported.await.unwrap();
        world.service.known().reported.clear();
        let keeper = world.keeper();
        let named = |known: &Known| known.reported.contains(&(disk(liar), key(1, liar)));
        world.until(named).await;
        let read = world.read(1, 0, &payloads[0]).await;
        assert_eq!(read.as_ref(), Ok(&payloads[0]));
        keeper.shutdown().await;
    }
}

/// What upkeep has read of others and not let go of yet, in bytes.
#[derive(Default)]
struct Held {
    now: AtomicU64,
    most: AtomicU64,
}

/// A node's shards, whose bytes are counted for as long as somebody holds them.
struct Counting(Quiet, Arc<Held>);

struct Counted(Bytes, Arc<Held>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.now.fetch_sub(self.0.len() as u64, Ordering::SeqCst);
    }
}

impl ShardStore for Counting {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        self.0.put(request)
    }

    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        async move {
            // As over a network: many are under way at once.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let bytes = self.0.read(request).await?;
            let length = bytes.len() as u64;
            let now = self.1.now.fetch_add(length, Ordering::SeqCst) + length;
            self.1.most.fetch_max(now, Ordering::SeqCst);
            Ok(Bytes::from_owner(Counted(bytes, Arc::clone(&self.1))))
        }
        .boxed()
    }

    fn describe(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        self.0.describe(disk, key)
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        self.0.report()
    }
}

/// However many shards are to be made again, on all disks at once, what they are made from takes no more memory
/// than was given, and all of them are made.
#[tokio::test(start_paused = true)]
async fn rebuilding_takes_no_more_memory_than_given() {
    // One shard of 1 MiB takes five: itself and four others.
    for (rebuilding, least, most) in [(1, 3, 5), (12, 7, 10), (256, 20, 30)] {
        let world = World::new().await;
        let mut lost = 0;
        for chunk in 0..30 {
            let index = u8::try_from(chunk % 6).unwrap();
            world.store(chunk, 64, &[index]).await;
            let reported = world
                .service
                .report_bad(disk(index), vec![key(chunk, index)]);
            reported.await.unwrap();
            lost += 1;
        }
        let held = Arc::new(Held::default());
        let peers = Counting(Quiet(Arc::clone(&world.node)), Arc::clone(&held));
        let keeper = world.keeper_over(Arc::new(peers), ByteCount::new(rebuilding << 20));
        world.until(|known| known.repairs.is_empty()).await;
        assert_eq!(keeper.done().shards, lost);
        let read = held.most.load(Ordering::SeqCst) >> 20;
        assert!((least..=most).contains(&read), "{read} of {rebuilding} MiB");
        assert_eq!(held.now.load(Ordering::SeqCst), 0);
        keeper.shutdown().await;
    }
}
