//! The cluster: metadata servers, one storage node of six disks with its upkeep, two gateways.

use crate::bay::{Bay, Syncs, lock};
use crate::damage::{Damaged, SCRUBBED};
use crate::faults::Faults;
use crate::fleet::Fleet;
use crate::forged::Forged;
use crate::plant::{Plant, Planted};
use crate::trace::Trace;
use crate::watch::{self, DISKS_EVERY, OFTEN};
use crate::wires::{End, Shards, Wires};
use client::{Chance, Client, ClientConfig, NewBucket, Sealing};
use disk::sim::SimDisk;
use metadata::ServerConfig;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use storage_node::upkeep::{Clock, Keeper, KeeperConfig, Quiet};
use storage_node::{DiskDevice, Limits, Node, Stamp, Watch, stamp};
use strongroom_tests::Dice;
use tokio::task::JoinHandle;
use types::placement::Disk;
use types::profile::DiskClass;
use types::size::MIB;
use types::wire::calls::Remote;
use types::wire::metadata::{Answer, Bucket, WallTime};
use types::wire::storage::DiskState;
use types::wire::upkeep::Health;
use types::wire::{ShardStore, Upkeep};
use types::{ByteCount, ClusterId, DiskId, Label, NodeId, TenantId};

pub(crate) const CLUSTER: ClusterId = ClusterId::new([0xc1; 16]);
/// Disks that hold data.
pub(crate) const DISKS: usize = 6;
/// Places for those that replace them.
const SPARE: usize = 4;

/// The cluster.
pub(crate) struct World {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) wires: Arc<Wires>,
    pub(crate) faults: Faults,
    /// The storage node's way to the metadata service, and the operator's.
    upkeep: Arc<dyn Upkeep>,
    pub(crate) operator: Arc<dyn Upkeep>,
    pub(crate) plant: Option<Plant>,
    server: NodeId,
    pub(crate) bays: Vec<Bay>,
    /// Which disk should be in each bay.
    expected: Mutex<Vec<Option<DiskId>>>,
    running: Mutex<Option<Running>>,
    look_again: Mutex<Duration>,
    /// Of the scrub: it goes on while the storage node is down.
    clock: Clock,
    pub(crate) damaged: Damaged,
    dice: Mutex<Dice>,
}

#[derive(Clone)]
struct Running {
    node: Arc<Node>,
    keeper: Arc<Keeper>,
    looks: Arc<JoinHandle<()>>,
}

impl World {
    /// A cluster that has just begun.
    pub(crate) async fn begin(mut dice: Dice, plant: Option<Plant>, trace: Trace) -> Arc<Self> {
        let faults = Faults::default();
        let weather = dice.split();
        let kept = Duration::from_secs(1 + dice.below(8));
        let watch = watch::Watch::begin(kept);
        let wires = Wires::new(weather, faults.clone(), trace.clone(), watch);
        let wires = Arc::new(wires);
        let config = ServerConfig {
            reclaim_after: match plant {
                Some(Plant::ShortDelay) => kept / 2,
                _ => kept,
            },
            ..ServerConfig::new("4+2".parse().expect("a profile"))
        };
        let profile = config.default_profile;
        let fleet = Fleet::begin(&mut dice, config, Arc::clone(&wires), plant).await;
        let leader = fleet.leader().await;
        let server = leader.admit_node().await.expect("an id");
        let syncs = match plant {
            Some(Plant::SkippedSyncs) => Syncs::Skipped,
            _ => Syncs::Done,
        };
        let bays: Vec<Bay> = (0..DISKS + SPARE)
            .map(|number| Bay::new(number, dice.split(), syncs, trace.clone()))
            .collect();
        let mut expected = vec![None; DISKS + SPARE];
        for (bay, expected) in bays.iter().zip(&mut expected).take(DISKS) {
            let id = leader.reserve_disk_id().await.expect("an id");
            stamp_as(&bay.disk(), server, id).await;
            leader.admit_disk(listed(id, server)).await.expect("a disk");
            *expected = Some(id);
            fleet.look().await;
        }
        leader.create_groups(profile).await.expect("groups");
        fleet.look().await;
        let look_again = if dice.below(4) == 0 { 10 } else { 3600 };
        let upkeep = Planted::new(fleet.way(End::Storage), plant, dice.split());
        let world = Arc::new(Self {
            upkeep: Arc::new(Remote(upkeep)),
            operator: Arc::new(Remote(fleet.way(End::Gateway(0)))),
            fleet,
            wires,
            faults,
            plant,
            server,
            bays,
            expected: Mutex::new(expected),
            running: Mutex::default(),
            look_again: Mutex::new(Duration::from_secs(look_again)),
            clock: Clock::starting(WallTime(1 << 40)),
            damaged: Damaged::default(),
            dice: Mutex::new(dice),
        });
        world.start().await;
        tokio::spawn(World::watched(Arc::downgrade(&world)));
        world
    }

    /// Has servers and disks looked at for as long as there are any.
    async fn watched(world: Weak<Self>) {
        for look in 0_u32.. {
            let Some(world) = world.upgrade() else { break };
            world.fleet.look().await;
            if look.is_multiple_of(DISKS_EVERY) {
                world.look_at_disks();
            }
            drop(world);
            tokio::time::sleep(OFTEN).await;
        }
    }

    /// Starts the storage node.
    pub(crate) async fn start(&self) {
        let expected = lock(&self.expected).clone();
        let devices = self.bays.iter().zip(expected);
        let devices = devices.map(|(bay, expected)| DiskDevice {
            disk: Arc::new(bay.clone()),
            expected,
        });
        let limits = Limits {
            volume: ByteCount::new(4 << 20),
            allocate: ByteCount::new(1 << 20),
            ..Limits::default()
        };
        let watch = Watch::default();
        let node = Node::with_devices(CLUSTER, self.server, devices.collect(), limits, watch);
        let node = Arc::new(node.await);
        let own: Arc<dyn ShardStore> = match self.plant {
            Some(Plant::UnprovedRepairs) => Arc::new(Forged::of(Arc::clone(&node))),
            _ => Arc::new(Quiet(Arc::clone(&node))),
        };
        let keeper = Keeper::start(
            Arc::clone(&node),
            Arc::clone(&self.upkeep),
            own,
            KeeperConfig {
                look_through: *lock(&self.look_again),
                scrub: Some(SCRUBBED),
                clock: self.clock,
                ..KeeperConfig::default()
            },
        );
        let looked_after = Arc::clone(&node);
        let looks = tokio::spawn(async move {
            loop {
                tokio::time::sleep(watch.every).await;
                looked_after.check().await;
            }
        });
        *lock(&self.running) = Some(Running {
            node,
            keeper,
            looks: Arc::new(looks),
        });
    }

    /// Stops the storage node.
    pub(crate) async fn stop(&self) {
        let running = lock(&self.running).take();
        if let Some(running) = running {
            running.looks.abort();
            running.keeper.shutdown().await;
            running.node.shutdown().await;
        }
    }

    /// Starts the storage node again, which compares disks with the metadata that often.
    pub(crate) async fn restart(&self, look_again: Duration) {
        self.stop().await;
        *lock(&self.look_again) = look_again;
        self.start().await;
    }

    /// The power of everything is cut, and is back: what disks had not made durable may be lost.
    pub(crate) async fn cut_all(&self, dice: &mut Dice) {
        for bay in &self.bays {
            bay.disk().cut();
            bay.disk().fail_stalled(5);
        }
        self.fleet.cut_all(dice).await;
        self.stop().await;
        for bay in &self.bays {
            bay.power_cycle();
        }
        self.fleet.start().await;
        self.fleet.leader().await;
        self.start().await;
    }

    /// A gateway's client, which reads so far ahead.
    pub(crate) fn client(&self, number: u64, window: ByteCount) -> Arc<Client> {
        let mut dice = lock(&self.dice).split();
        let from = End::Gateway(number);
        let way = self.fleet.way(from);
        let planted = Planted::new(way, self.plant, dice.split());
        let chance = Mutex::new(dice);
        let config = ClientConfig {
            window,
            sealing: Sealing::InTask,
            chance: Chance::from(move || lock(&chance).next_word()),
            memory: ByteCount::new(128 << 20),
            metadata_patience: Duration::from_secs(8),
            shard_patience: Duration::from_secs(2),
            ..ClientConfig::new(NodeId::new(100 + number))
        };
        let shards = Shards {
            node: self.node(),
            wires: Arc::clone(&self.wires),
            from,
            plant: self.plant,
        };
        Client::start(config, Arc::new(Remote(planted)), Arc::new(shards))
    }

    /// Makes the bucket.
    pub(crate) async fn bucket(&self) -> Bucket {
        let client = self.client(0, ByteCount::new(MIB));
        let new = NewBucket {
            tenant: TenantId::new(1),
            owner: "steward".to_owned(),
            name: "bucket".to_owned().try_into().expect("a name"),
            label: Label::default(),
            profile: None,
        };
        let bucket = client.create_bucket(new).await.expect("a bucket");
        client.shutdown().await;
        bucket
    }

    /// The node, if it runs.
    pub(crate) fn running_node(&self) -> Option<Arc<Node>> {
        let running = lock(&self.running);
        running.as_ref().map(|running| Arc::clone(&running.node))
    }

    pub(crate) fn node(&self) -> Arc<Node> {
        let running = lock(&self.running).clone();
        running.expect("the node runs").node
    }

    pub(crate) fn keeper(&self) -> Arc<Keeper> {
        let running = lock(&self.running).clone();
        running.expect("the node runs").keeper
    }

    /// The disks that hold data, and where they are.
    pub(crate) fn disks(&self) -> Vec<(usize, DiskId)> {
        let expected = lock(&self.expected);
        let disks = expected.iter().enumerate();
        disks
            .filter_map(|(at, disk)| disk.map(|disk| (at, disk)))
            .collect()
    }

    /// Disks that do not serve.
    pub(crate) async fn away(&self) -> Vec<DiskId> {
        let reports = self.node().report().await;
        let serving = |disk: &DiskId| {
            let mut of = reports.iter().filter(|report| report.disk == *disk);
            of.any(|report| report.state == DiskState::Serving)
        };
        let disks = self.disks().into_iter().map(|(_, disk)| disk);
        disks.filter(|disk| !serving(disk)).collect()
    }

    /// How safe the data is, if anybody can tell.
    pub(crate) async fn health(&self) -> Option<(Health, bool)> {
        let away = self.away().await;
        let all_there = away.is_empty();
        let health = self.operator.health(away).await.ok()?;
        let whole = all_there
            && health.repairs.is_empty()
            && health.deletes == 0
            && health.waiting == 0
            && health.tolerates.is_none_or(|tolerates| tolerates == 2);
        Some((health, whole))
    }

    /// Waits until the data is as safe as it can be.
    pub(crate) async fn until_whole(&self, seconds: u32) -> Result<(), String> {
        let mut last = None;
        for _ in 0..seconds {
            match self.health().await {
                Some((_, true)) => return Ok(()),
                other => last = other.or(last),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let away = self.node().report().await;
        Err(format!("not whole: {last:?}, {away:?}"))
    }

    /// Puts a fresh disk into a spare bay, for one whose content is gone.
    pub(crate) async fn replace(&self, at: usize, lost: DiskId) -> Result<(), String> {
        let id = patiently(|| self.operator.reserve_disk_id()).await?;
        let taken = lock(&self.expected).clone();
        let spare = (0..self.bays.len()).find(|spare| *spare != at && taken[*spare].is_none());
        let spare = spare.expect("one bay more than disks");
        let fresh = SimDisk::new(id.get());
        stamp_as(&fresh, self.server, id).await;
        patiently(|| self.operator.replace_disk(lost, listed(id, self.server))).await?;
        self.node().retire(lost).await;
        let mut expected = lock(&self.expected);
        (expected[at], expected[spare]) = (None, Some(id));
        self.bays[spare].put(fresh);
        Ok(())
    }
}

/// Asks the metadata service until it answers.
async fn patiently<'a, T>(ask: impl Fn() -> Answer<'a, T>) -> Result<T, String> {
    let mut last = String::new();
    for _ in 0..120 {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => last = format!("the metadata service: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(last)
}

fn listed(id: DiskId, node: NodeId) -> Disk {
    let class = DiskClass::Flash;
    Disk { id, node, class }
}

async fn stamp_as(disk: &SimDisk, node: NodeId, id: DiskId) {
    let stamp = Stamp {
        cluster: CLUSTER,
        node,
        disk: id,
    };
    stamp::write_to(disk, &stamp).await.expect("an empty disk");
}
