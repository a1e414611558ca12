//! Three metadata servers over real sockets and mutual TLS, each on a runtime of its own, so that one can
//! be frozen.
//!
//! Servers reach each other through proxies that a test can cut; gateways reach them directly, which is the
//! harder case: a leader that was cut off still answers them.

mod certificates;
mod faults;
mod load;
mod lost;
mod own;
mod proxy;
mod snapshot;
mod unknown;

use crate::fixture::profile;
use ca::{Authority, Credentials, Identity, Removed, Role};
use client::{Client, ClientConfig, Servers};
use disk::{Choice, Disk};
use futures::FutureExt;
use proxy::Proxies;
use rpc::{AddressBook, Addresses};
use seal::{RingKey, StorageKey};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use strongroom_metadata::raft::{NodeConfig, Status};
use strongroom_metadata::slot::Slot;
use strongroom_metadata::supervise::{Start, State};
use strongroom_metadata::{Replica, ReplicaConfig, ServerConfig, Supervised};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use types::shard::ChunkDescription;
use types::wire::calls::Remote;
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::wire::{Metadata, ShardStore};
use types::{ClusterId, DiskId, NodeId, ShardKey};

pub(crate) const CLUSTER: ClusterId = ClusterId::new([0x5e; 16]);
pub(crate) const IDS: [NodeId; 3] = [NodeId::new(1), NodeId::new(2), NodeId::new(3)];

/// One server, and the thread that it runs on.
pub(crate) struct Host {
    pub(crate) id: NodeId,
    runtime: Runtime,
    pub(crate) supervised: Supervised,
    pub(crate) folder: std::path::PathBuf,
    /// Whom it lets in no more.
    pub(crate) removed: Removed,
}

/// Where each server's log is.
pub(crate) type LogDisk =
    Arc<dyn Fn(NodeId, &Path) -> std::io::Result<Arc<dyn Disk>> + Send + Sync>;

/// Real files.
pub(crate) fn real_disks() -> LogDisk {
    Arc::new(|_, folder| disk::open(folder, Choice::Auto))
}

pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) book: AddressBook,
    pub(crate) proxies: Proxies,
    pub(crate) hosts: Vec<Host>,
    pub(crate) rings: Vec<RingKey>,
    /// Where gateways run.
    pub(crate) outside: Runtime,
    _folder: TempDir,
}

fn threads(count: usize, name: &str) -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(count)
        .thread_name(name)
        .enable_all()
        .build()
        .unwrap()
}

impl World {
    pub(crate) fn start(disks: &LogDisk, tune: impl Fn(&mut NodeConfig)) -> Self {
        let authority = Authority::load(&Authority::make().unwrap()).unwrap();
        let folder = TempDir::new().unwrap();
        let outside = threads(2, "outside");
        let book = AddressBook::default();
        let proxies = Proxies::new(outside.handle().clone(), book.clone());
        let rings = vec![RingKey::random(1)];
        let mut hosts = Vec::new();
        for id in IDS {
            let mut raft = NodeConfig::new(id);
            tune(&mut raft);
            let own = folder.path().join(format!("metadata-{}", id.get()));
            std::fs::create_dir_all(own.join("log")).unwrap();
            let credentials = credentials(&authority, Role::Metadata, id);
            let removed = credentials.removed().clone();
            let config = ReplicaConfig {
                raft,
                service: ServerConfig::new(profile()),
                cluster: CLUSTER,
                credentials,
                addresses: Arc::new(proxies.seen_by(id)),
                book: book.clone(),
                listen: local(),
                store: own.join("sled"),
                cache: strongroom_metadata::store::Sled::default(),
                slot: Slot {
                    authority: None,
                    storage: StorageKey::random(),
                    rings: rings.clone(),
                },
                provider: seal::provider::default(),
                office: None,
            };
            let (disks, log) = (Arc::clone(disks), own.join("log"));
            let start: Start = Box::new(move || {
                let (config, disk) = (config.clone(), disks(id, &log));
                async move {
                    let disk = disk.map_err(strongroom_metadata::ReplicaError::Disk)?;
                    Replica::start(config, disk).await
                }
                .boxed()
            });
            let runtime = threads(1, "metadata");
            let supervised = runtime.block_on(Supervised::start(id, start));
            hosts.push(Host {
                id,
                runtime,
                supervised,
                folder: own,
                removed,
            });
        }
        let first = hosts[0].supervised.running().unwrap();
        hosts[0].runtime.block_on(first.begin(&IDS)).unwrap();
        let world = Self {
            authority,
            book,
            proxies,
            hosts,
            rings,
            outside,
            _folder: folder,
        };
        drop(first);
        world.leader();
        world
    }

    /// A gateway's way to the service.
    pub(crate) fn remote(&self, gateway: NodeId) -> Arc<dyn Metadata> {
        let credentials = credentials(&self.authority, Role::Gateway, gateway);
        let addresses: Arc<dyn Addresses> = Arc::new(self.book.clone());
        let _inside = self.outside.enter();
        let servers = Servers::start(&credentials, CLUSTER, &IDS, &addresses).unwrap();
        Arc::new(Remote(servers))
    }

    pub(crate) fn client(&self, gateway: NodeId) -> Arc<Client> {
        let metadata = self.remote(gateway);
        let _inside = self.outside.enter();
        Client::start(ClientConfig::new(gateway), metadata, Arc::new(NoShards))
    }

    pub(crate) fn statuses(&self) -> BTreeMap<usize, Status> {
        let status = |(at, host): (usize, &Host)| {
            let running = host.supervised.running()?;
            Some((at, running.node().status()))
        };
        self.hosts.iter().enumerate().filter_map(status).collect()
    }

    /// Who leads, once the one of the latest term says so itself.
    pub(crate) fn leader(&self) -> usize {
        let mut leader = None;
        eventually("somebody leads", || {
            let statuses = self.statuses();
            let latest = statuses.values().map(|status| status.term).max();
            leader = statuses
                .iter()
                .find(|(_, status)| {
                    Some(status.term) == latest && status.leader == Some(status.node)
                })
                .map(|(at, _)| *at);
            leader.is_some()
        });
        leader.unwrap()
    }

    /// Waits until all three run and have applied the same.
    pub(crate) fn agree(&self) {
        eventually("all have applied the same", || {
            let statuses = self.statuses();
            let last = statuses.values().map(|status| status.last).max().flatten();
            statuses.len() == 3
                && statuses
                    .values()
                    .all(|status| (status.last, status.applied) == (last, last))
        });
    }

    /// Stops all, and says what each store holds: mark and digest.
    pub(crate) fn digests(self) -> Vec<(Option<Vec<u8>>, [u8; 32])> {
        let mut digests = Vec::new();
        for host in &self.hosts {
            host.runtime.block_on(host.supervised.stop());
        }
        for host in self.hosts {
            host.runtime.shutdown_timeout(Duration::from_secs(5));
            let (store, _) = strongroom_metadata::Store::open(&host.folder.join("sled")).unwrap();
            digests.push((store.mark(), store.digest().unwrap()));
        }
        digests
    }
}

impl Host {
    /// Lets nothing of this server run until the guard is dropped. Its sockets stay open.
    pub(crate) fn freeze(&self) -> Frozen {
        let (thaw, thawed) = mpsc::channel::<()>();
        let (freeze, frozen) = mpsc::channel();
        self.runtime.spawn(async move {
            freeze.send(()).unwrap();
            // The runtime's one thread stands here.
            assert!(thawed.recv().is_err(), "nobody sends");
        });
        frozen.recv().unwrap();
        Frozen { _thaw: thaw }
    }

    pub(crate) fn why_stopped(&self) -> Option<String> {
        match self.supervised.state() {
            State::Running(_) => None,
            State::Stopped(why) => Some(why),
        }
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

pub(crate) struct Frozen {
    _thaw: mpsc::Sender<()>,
}

pub(crate) fn credentials(authority: &Authority, role: Role, node: NodeId) -> Credentials {
    let identity = Identity::server(CLUSTER, role, node);
    authority.credentials(&identity, &[]).unwrap()
}

pub(crate) fn local() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Objects that are kept inline need no disks.
struct NoShards;

impl ShardStore for NoShards {
    fn put(&self, request: PutShard) -> futures::future::BoxFuture<'_, Result<(), PutError>> {
        unreachable!("{request:?}: every object is inline")
    }
    fn read(
        &self,
        request: ReadShard,
    ) -> futures::future::BoxFuture<'_, Result<bytes::Bytes, ReadError>> {
        unreachable!("{request:?}: every object is inline")
    }
    fn describe(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> futures::future::BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        unreachable!("{key} on {disk}: every object is inline")
    }
    fn report(&self) -> futures::future::BoxFuture<'_, Vec<DiskReport>> {
        async { Vec::new() }.boxed()
    }
}

/// A value that threads share.
pub(crate) type Shared<T> = Arc<Mutex<T>>;
