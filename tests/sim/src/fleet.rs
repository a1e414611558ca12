//! One metadata server or three on simulated disks, over wires that fail; and the way to whichever leads.

use crate::bay::lock;
use crate::flaky::Flaky;
use crate::invariant;
use crate::pipes::Pipes;
use crate::plant::Plant;
use crate::way::Way;
use crate::wires::{End, Wires};
use crate::world::CLUSTER;
use ca::{Authority, Identity, Removed, Role};
use client::Servers;
use disk::Disk;
use disk::sim::SimDisk;
use metadata::front::{ADMITTED, Front};
use metadata::raft::{Between, Network, Node, NodeConfig, Position, StartError};
use metadata::{Keyring, Registrar, Server, ServerConfig, Store};
use rpc::{AddressBook, Listener};
use seal::{RingKey, StorageKey};
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use strongroom_tests::Dice;
use tempfile::TempDir;
use tokio::time::Instant;
use types::wire::Metadata;
use types::{ByteCount, NodeId, codec};

/// A server's service.
pub(crate) type MetadataServer = Arc<Server<Arc<Node>>>;

/// What servers are called by.
pub(crate) enum Lines {
    /// Function calls.
    Calls(Network),
    /// Their own stack, over pipes.
    Pipes(Arc<Pipes>, Box<Authority>),
}

/// A server that runs.
struct Running {
    server: MetadataServer,
    /// Where calls arrive that come through pipes.
    door: Option<(Arc<Front>, Listener)>,
}

impl Running {
    async fn stop(self) {
        if let Some((front, listener)) = self.door {
            front.serve(None);
            listener.close().await;
        }
        self.server.shutdown().await;
        self.server.log().shutdown().await;
    }
}

/// The servers, running or not.
pub(crate) struct Fleet {
    pub(crate) members: Mutex<Vec<Arc<Member>>>,
    pub(crate) lines: Lines,
    pub(crate) wires: Arc<Wires>,
    dice: Mutex<Dice>,
    pub(crate) rings: Vec<RingKey>,
    config: ServerConfig,
    plant: Option<Plant>,
}

/// Of a log.
pub(crate) const LOG_FILE: ByteCount = ByteCount::new(64 << 10);

pub(crate) struct Member {
    id: NodeId,
    disk: Mutex<SimDisk>,
    /// Its disk as it was at the last power cut.
    earlier: Mutex<Option<SimDisk>>,
    /// The folder of its cache.
    cache: TempDir,
    open: Mutex<Weak<Store>>,
    running: Mutex<Option<Running>>,
}

impl Member {
    pub(crate) fn new(id: NodeId, disk: SimDisk, cache: TempDir) -> Self {
        Self {
            id,
            disk: Mutex::new(disk),
            earlier: Mutex::default(),
            cache,
            open: Mutex::default(),
            running: Mutex::default(),
        }
    }

    fn server(&self) -> Option<MetadataServer> {
        let running = lock(&self.running);
        running.as_ref().map(|running| Arc::clone(&running.server))
    }
}

impl Fleet {
    /// Starts one server, or three, and begins their cluster.
    pub(crate) async fn begin(
        dice: &mut Dice,
        config: ServerConfig,
        wires: Arc<Wires>,
        plant: Option<Plant>,
    ) -> Arc<Self> {
        let count = [1, 1, 3][usize::try_from(dice.below(3)).expect("one of three")];
        let members = (1..=count).map(|id| {
            let disk = SimDisk::new(dice.next_word());
            Arc::new(Member::new(NodeId::new(id), disk, cache()))
        });
        let members = Mutex::new(members.collect());
        let lines = if dice.below(4) == 0 {
            let made = Authority::make().and_then(|files| Authority::load(&files));
            let authority = made.expect("an authority");
            Lines::Pipes(Pipes::new(Arc::clone(&wires)), Box::new(authority))
        } else {
            Lines::Calls(Network::across(Arc::clone(&wires) as Arc<dyn Between>))
        };
        let fleet = Self {
            members,
            lines,
            wires,
            dice: Mutex::new(dice.split()),
            rings: vec![RingKey::random(1)],
            config,
            plant,
        };
        fleet.start().await;
        let voters = fleet.ids().into_iter();
        let voters: Vec<_> = voters.map(|id| (id, "here".to_owned())).collect();
        let first = fleet.member(0).server();
        let first = first.expect("nothing fails yet");
        first.log().initialize(voters).await.expect("a new cluster");
        Arc::new(fleet)
    }

    /// Starts those that are down.
    pub(crate) async fn start(&self) {
        for member in self.members() {
            if lock(&member.running).is_some() {
                continue;
            }
            let (network, door) = self.network(&member);
            let node = self.start_node(&member, &network).await;
            let node = node.expect("its disk serves");
            let keys = Keyring::new(seal::provider::default(), self.rings.clone());
            let server = Server::start(Arc::new(node), keys, self.config.clone());
            if let Some((front, _)) = &door {
                let removed = Removed::default();
                front.serve(Some(Registrar::start(Arc::clone(&server), None, &removed)));
            }
            *lock(&member.running) = Some(Running { server, door });
        }
    }

    /// The network as a server sees it, and its own door.
    fn network(&self, member: &Member) -> (Network, Option<(Arc<Front>, Listener)>) {
        let (pipes, authority) = match &self.lines {
            Lines::Calls(network) => return (network.clone(), None),
            Lines::Pipes(pipes, authority) => (pipes, authority),
        };
        let identity = Identity::server(CLUSTER, Role::Metadata, member.id);
        let credentials = authority.credentials(&identity, &[]).expect("credentials");
        let addresses = pipes.seen_by(End::Metadata(member.id.get()));
        let network = Network::wire(&credentials, CLUSTER, &addresses, &AddressBook::default());
        let network = network.expect("a network");
        let front = Front::new(&network, credentials.removed());
        let tls = credentials.server(ADMITTED).expect("credentials");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::open(pipes.door(member.id), nowhere, tls, front.clone());
        (network, Some((front, listener)))
    }

    fn members(&self) -> Vec<Arc<Member>> {
        lock(&self.members).clone()
    }

    fn member(&self, at: usize) -> Arc<Member> {
        Arc::clone(&lock(&self.members)[at])
    }

    fn ids(&self) -> Vec<NodeId> {
        self.members().iter().map(|member| member.id).collect()
    }

    /// The way of one end to whichever server leads.
    pub(crate) fn way(self: &Arc<Self>, from: End) -> Way {
        let servers = match (&self.lines, from) {
            (Lines::Calls(_), _) => None,
            (Lines::Pipes(pipes, authority), _) => {
                // The storage node's upkeep goes through a gateway.
                let node = match from {
                    End::Gateway(number) => 100 + number,
                    End::Storage | End::Metadata(_) => 99,
                };
                let identity = Identity::server(CLUSTER, Role::Gateway, NodeId::new(node));
                let credentials = authority.credentials(&identity, &[]).expect("credentials");
                let addresses = pipes.seen_by(from);
                let servers = Servers::start(&credentials, CLUSTER, &self.ids(), &addresses);
                Some(servers.expect("credentials"))
            }
        };
        Way {
            fleet: Arc::clone(self),
            from,
            servers,
        }
    }

    async fn start_node(&self, member: &Member, network: &Network) -> Result<Node, StartError> {
        let engine = Flaky::of(self.plant);
        let opened = Store::open_with(&engine, member.cache.path());
        let (store, _) = opened.expect("the cache opens");
        let store = Arc::new(store);
        *lock(&member.open) = Arc::downgrade(&store);
        let disk = lock(&member.disk).clone();
        self.wires
            .trace
            .watch(&disk, End::Metadata(member.id.get()));
        let config = NodeConfig {
            heartbeat: Duration::from_millis(400),
            election: Duration::from_millis(1600),
            patience: Duration::from_secs(3),
            log_file: LOG_FILE,
            // Some things take hundreds of entries and no time, and whoever looks on is to see them all.
            keep_entries: 2000,
            snapshot_after: LOG_FILE,
            audit_every: Duration::from_secs(30),
            seed: Some(lock(&self.dice).next_word()),
            ..NodeConfig::new(member.id)
        };
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let storage = StorageKey::new([7; 32]);
        let provider = seal::provider::default();
        Node::start(config, store, disk, provider, storage, network).await
    }

    /// Cuts the power of one server, by its number from 0; it stays down until [`Fleet::start`].
    pub(crate) async fn cut(&self, at: usize, seed: u64) {
        let member = self.member(at);
        lock(&member.disk).cut();
        let running = lock(&member.running).take();
        if let Some(running) = running {
            running.stop().await;
        }
        // A call that is just failing may still hold its rows.
        for _ in 0..10_000 {
            if lock(&member.open).strong_count() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut disk = lock(&member.disk);
        let after = disk.crash(seed);
        let earlier = lock(&member.earlier).replace(disk.crash(seed));
        *disk = match (self.plant, earlier) {
            (Some(Plant::RolledBackDisks), Some(earlier)) => earlier,
            _ => after,
        };
        // Nothing counts on the cache after a cut.
        if seed.is_multiple_of(3) {
            let rows = member.cache.path().join("rows");
            if rows.exists() && std::fs::remove_dir_all(rows).is_ok() {
                self.wires.faults.note("lost cache of a metadata server");
            }
        }
    }

    /// A server's disk, by its number from 0.
    pub(crate) fn disk(&self, at: usize) -> SimDisk {
        lock(&self.member(at).disk).clone()
    }

    /// Whether a server that runs takes no part any more.
    pub(crate) fn has_stopped(&self, at: usize) -> bool {
        let server = self.member(at).server();
        server.is_some_and(|server| server.log().status().stopped.is_some())
    }

    /// How many there are.
    pub(crate) fn size(&self) -> usize {
        self.members().len()
    }

    /// Cuts the power of all.
    pub(crate) async fn cut_all(&self, dice: &mut Dice) {
        for member in self.members() {
            lock(&member.disk).cut();
        }
        for at in 0..self.size() {
            self.cut(at, dice.next_word()).await;
        }
    }

    /// Has what the servers say judged now.
    pub(crate) async fn look(&self) {
        self.wires.watch.look(self).await;
    }

    /// The servers that run, with their logs from an entry on; with their stored rows read, or not.
    pub(crate) async fn seen(&self, from: u64, whole: bool) -> Vec<invariant::Server> {
        let mut seen = Vec::new();
        for server in self.members().iter().filter_map(|one| one.server()) {
            let node = server.log();
            let Ok(log) = node.logged(from).await else {
                continue;
            };
            let (status, rows) = (node.status(), node.unconfirmed_rows());
            if status.stopped.is_some() {
                continue;
            }
            let id = node.id().get();
            let leads = status.leader == Some(node.id());
            let mark = rows
                .mark()
                .map(|mark| codec::decode(&mark).expect("a mark"));
            seen.push(invariant::Server {
                id,
                leads: leads.then_some(status.term),
                applied: mark.and_then(|mark: Mark| mark.applied),
                kept: rows.running_digest(),
                stored: whole.then(|| rows.digest().ok()).flatten(),
                log,
            });
        }
        seen
    }

    /// The servers that lead, as far as they know; the one of the latest term last.
    fn leading(&self) -> Vec<MetadataServer> {
        let members = self.members();
        let running = members.iter().filter_map(|member| member.server());
        let leading = running.filter(|server| {
            let node = server.log();
            node.leadership().leader == Some(node.id())
        });
        let mut leading: Vec<_> = leading.collect();
        leading.sort_by_key(|server| server.log().leadership().term);
        leading
    }

    /// The number from 0 of the one that leads, if any does.
    pub(crate) fn leads(&self) -> Option<usize> {
        let leader = self.leading().pop()?.log().id();
        self.members().iter().position(|member| member.id == leader)
    }

    /// The end of a server's wires, by its number from 0.
    pub(crate) fn end(&self, at: usize) -> End {
        End::Metadata(self.member(at).id.get())
    }

    /// A number below another.
    pub(crate) fn draw(&self, below: u64) -> u64 {
        lock(&self.dice).below(below)
    }

    /// One that leads, as far as somebody else knows: an earlier one now and then.
    pub(crate) fn believed(&self) -> Option<MetadataServer> {
        let mut leading = self.leading();
        let mut dice = lock(&self.dice);
        let earlier = leading.len() > 1 && dice.below(4) == 0;
        if earlier {
            Some(leading.swap_remove(0))
        } else {
            leading.pop()
        }
    }

    /// The server that leads, once there is one.
    ///
    /// # Panics
    /// When none does for a minute.
    pub(crate) async fn leader(&self) -> MetadataServer {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(server) = self.leading().pop()
                && server.group_table(0).await.is_ok()
            {
                return server;
            }
            assert!(Instant::now() < deadline, "nobody leads");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends them all.
    pub(crate) async fn stop(&self) {
        for member in self.members() {
            let running = lock(&member.running).take();
            if let Some(running) = running {
                running.stop().await;
            }
        }
    }
}

/// What a server's rows say of how far they have come.
#[derive(Deserialize)]
struct Mark {
    applied: Option<Position>,
}

/// A folder for rows, in memory where the machine has such folders: nothing counts on it after a cut.
pub(crate) fn cache() -> TempDir {
    let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    folder.expect("a temporary folder")
}
