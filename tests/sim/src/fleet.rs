//! One metadata server or three on simulated disks, over a network of function calls; and the way to whichever
//! leads.

use crate::bay::lock;
use disk::Disk;
use disk::sim::SimDisk;
use futures::FutureExt;
use futures::future::BoxFuture;
use metadata::raft::{Network, Node, NodeConfig, StartError};
use metadata::{Keyring, Server, ServerConfig, Store};
use seal::{RingKey, StorageKey};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use strongroom_tests::Dice;
use tempfile::TempDir;
use tokio::time::Instant;
use types::wire::calls::{Call, Carrier, METADATA, UPKEEP, answer_metadata, answer_upkeep};
use types::wire::metadata::MetadataError;
use types::wire::{Metadata, Upkeep};
use types::{ByteCount, NodeId, codec};

/// A server that runs.
pub(crate) type MetadataServer = Arc<Server<Arc<Node>>>;

/// The servers, running or not.
pub(crate) struct Fleet {
    members: Vec<Member>,
    network: Network,
    rings: Vec<RingKey>,
    config: ServerConfig,
}

struct Member {
    id: NodeId,
    disk: Mutex<SimDisk>,
    /// The folder of its cache.
    cache: TempDir,
    open: Mutex<Weak<Store>>,
    running: Mutex<Option<MetadataServer>>,
}

impl Fleet {
    /// Starts one server, or three, and begins their cluster.
    pub(crate) async fn begin(dice: &mut Dice, config: ServerConfig) -> Arc<Self> {
        let count = [1, 1, 3][usize::try_from(dice.below(3)).expect("one of three")];
        let members = (1..=count).map(|id| Member {
            id: NodeId::new(id),
            disk: Mutex::new(SimDisk::new(dice.next_word())),
            cache: cache(),
            open: Mutex::default(),
            running: Mutex::default(),
        });
        let fleet = Self {
            members: members.collect(),
            network: Network::new(),
            rings: vec![RingKey::random(1)],
            config,
        };
        fleet.start().await;
        let voters = fleet.members.iter();
        let voters: Vec<_> = voters.map(|one| (one.id, "here".to_owned())).collect();
        let first = lock(&fleet.members[0].running).clone();
        let first = first.expect("nothing fails yet");
        first.log().initialize(voters).await.expect("a new cluster");
        Arc::new(fleet)
    }

    /// Starts those that are down.
    pub(crate) async fn start(&self) {
        for member in &self.members {
            if lock(&member.running).is_some() {
                continue;
            }
            let node = self.start_node(member).await.expect("its disk serves");
            let keys = Keyring::new(seal::provider::default(), self.rings.clone());
            let server = Server::start(Arc::new(node), keys, self.config.clone());
            *lock(&member.running) = Some(server);
        }
    }

    async fn start_node(&self, member: &Member) -> Result<Node, StartError> {
        let (store, _) = Store::open(member.cache.path()).expect("the cache opens");
        let store = Arc::new(store);
        *lock(&member.open) = Arc::downgrade(&store);
        let config = NodeConfig {
            heartbeat: Duration::from_millis(400),
            election: Duration::from_millis(1600),
            patience: Duration::from_secs(3),
            log_file: ByteCount::new(64 << 10),
            keep_entries: 50,
            ..NodeConfig::new(member.id)
        };
        let disk: Arc<dyn Disk> = Arc::new(lock(&member.disk).clone());
        let storage = StorageKey::new([7; 32]);
        let provider = seal::provider::default();
        Node::start(config, store, disk, provider, storage, &self.network).await
    }

    /// Cuts the power of one server, by its number from 0; it stays down until [`Fleet::start`].
    pub(crate) async fn cut(&self, at: usize, seed: u64) {
        let member = &self.members[at];
        lock(&member.disk).cut();
        let running = lock(&member.running).take();
        if let Some(server) = running {
            server.shutdown().await;
            server.log().shutdown().await;
        }
        // A thread, or a call that is just failing, may still hold its rows.
        for _ in 0..10_000 {
            if lock(&member.open).strong_count() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            std::thread::sleep(Duration::from_micros(100));
        }
        let mut disk = lock(&member.disk);
        *disk = disk.crash(seed);
    }

    /// How many there are.
    pub(crate) fn size(&self) -> usize {
        self.members.len()
    }

    /// Cuts the power of all.
    pub(crate) async fn cut_all(&self, dice: &mut Dice) {
        for member in &self.members {
            lock(&member.disk).cut();
        }
        for at in 0..self.members.len() {
            self.cut(at, dice.next_word()).await;
        }
    }

    /// The server that leads, as far as they know.
    pub(crate) fn leading(&self) -> Option<MetadataServer> {
        let running = self.members.iter();
        let running = running.filter_map(|member| lock(&member.running).clone());
        let leading = running.filter(|server| {
            let node = server.log();
            node.leadership().leader == Some(node.id())
        });
        leading.max_by_key(|server| server.log().leadership().term)
    }

    /// The server that leads, once there is one.
    ///
    /// # Panics
    /// When none does for a minute.
    pub(crate) async fn leader(&self) -> MetadataServer {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(server) = self.leading()
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
        for member in &self.members {
            let running = lock(&member.running).take();
            if let Some(server) = running {
                server.shutdown().await;
                server.log().shutdown().await;
            }
        }
    }
}

/// A folder for rows, in memory where the machine has such folders: nothing counts on it after a cut.
fn cache() -> TempDir {
    let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    folder.expect("a temporary folder")
}

/// Carries calls to whichever server leads.
pub(crate) struct Way(pub(crate) Arc<Fleet>);

impl Carrier for Way {
    fn carry(&self, call: Call) -> BoxFuture<'_, Result<Vec<u8>, MetadataError>> {
        async move {
            let unavailable = |why: &str| MetadataError::Unavailable(why.to_owned());
            let Some(server) = self.0.leading() else {
                return Err(unavailable("nobody leads"));
            };
            let answered = if let Some(name) = call.path.strip_prefix(METADATA) {
                answer_metadata(&*server as &dyn Metadata, name, &call.body)
            } else if let Some(name) = call.path.strip_prefix(UPKEEP) {
                answer_upkeep(&*server as &dyn Upkeep, name, &call.body)
            } else {
                None
            };
            let answer = answered.expect("a call that there is");
            let answer: Result<_, codec::DecodeError> = answer;
            Ok(answer.expect("both ends are one build").await)
        }
        .boxed()
    }
}
