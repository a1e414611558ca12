//! Metadata servers on simulated disks, for the Raft tests.

use disk::Disk;
use disk::sim::SimDisk;
use seal::StorageKey;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use strongroom_metadata::command::{ClusterCommand, Command, Proposal};
use strongroom_metadata::raft::{Network, Node, NodeConfig, StartError};
use strongroom_metadata::tables::KEKS;
use strongroom_metadata::{LogError, Reply, Store};
use tempfile::TempDir;
use types::wire::metadata::WallTime;
use types::{BucketId, ByteCount, NodeId};

/// What no file may hold in the clear.
pub(crate) const MARKER: &str = "planted-name-of-an-object";

/// One server's belongings: what is left of it when it is not running.
pub(crate) struct Server {
    pub(crate) config: NodeConfig,
    pub(crate) disk: SimDisk,
    store: TempDir,
    /// The store of the node that was started last.
    open: Mutex<Weak<Store>>,
    network: Network,
    storage: StorageKey,
}

impl Server {
    pub(crate) fn new(id: u64, network: &Network, seed: u64) -> Self {
        let config = NodeConfig {
            heartbeat: Duration::from_millis(50),
            election: Duration::from_millis(200),
            patience: Duration::from_secs(2),
            log_file: ByteCount::new(64 << 10),
            log_cache: ByteCount::new(8 << 10),
            ..NodeConfig::new(NodeId::new(id))
        };
        Self {
            config,
            disk: SimDisk::new(seed),
            store: TempDir::new().unwrap(),
            open: Mutex::default(),
            network: network.clone(),
            storage: StorageKey::new([u8::try_from(id).unwrap(); 32]),
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.config.node
    }

    /// The folder of its store.
    pub(crate) fn store(&self) -> &Path {
        self.store.path()
    }

    pub(crate) async fn start(&self) -> Result<Node, StartError> {
        let (store, _) = Store::open(self.store()).unwrap();
        let store = Arc::new(store);
        *self.open.lock().unwrap() = Arc::downgrade(&store);
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        Node::start(
            self.config.clone(),
            store,
            disk,
            seal::provider::default(),
            self.storage.clone(),
            &self.network,
        )
        .await
    }

    /// Waits until nothing of a node that was shut down holds its store: what is opened before that is made
    /// anew.
    pub(crate) async fn closed(&self) {
        // A thread may hold it, for whom no paused clock waits.
        for _ in 0..10_000 {
            if self.open.lock().unwrap().strong_count() == 0 {
                return;
            }
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the store of {:?} is not let go", self.id());
    }

    /// The only server of its cluster, running.
    pub(crate) async fn alone(&self) -> Result<Node, LogError> {
        let started = self.start().await;
        let node = started.map_err(|error| LogError::Unavailable(error.to_string()))?;
        let begun = node.initialize([(self.id(), "here".to_owned())]).await;
        begun.map_err(|error| LogError::Unavailable(error.to_string()))?;
        node.leader().await?;
        Ok(node)
    }

    /// Goes on with what a power cut left, by this seed.
    pub(crate) fn after_power_cut(&mut self, seed: u64) {
        self.disk = self.disk.crash(seed);
    }

    /// Goes on as a process that was killed and started again.
    pub(crate) fn after_kill(&mut self) {
        self.disk = self.disk.restart();
    }
}

/// A proposal that leaves a row which `kept` finds.
pub(crate) fn keep(number: u64) -> Proposal {
    keep_bytes(number, 600)
}

/// Likewise, with a row of so many bytes and a few more.
pub(crate) fn keep_bytes(number: u64, bytes: usize) -> Proposal {
    Proposal {
        wall: WallTime(0),
        command: Command::Cluster(ClusterCommand::InstallKek {
            bucket: BucketId::new(number),
            version: 1,
            wrapped: format!("{MARKER} {number} {}", "x".repeat(bytes)).into(),
        }),
    }
}

/// Whether a server has the row, by a linearizable read.
pub(crate) async fn kept(node: &Node, number: u64) -> Result<bool, LogError> {
    let row = (BucketId::new(number), 1);
    node.linearizable(move |store| KEKS.contains(store, &row).unwrap())
        .await
}

/// Proposes until it works on some server or the deadline passes.
pub(crate) async fn propose_somewhere(nodes: &[&Node], number: u64) -> bool {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while tokio::time::Instant::now() < deadline {
        for node in nodes {
            match node.propose(keep(number)).await {
                Ok(Reply::Done | Reply::Refused(_)) => return true,
                Ok(other) => panic!("{other:?}"),
                Err(_) => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

/// Polls a condition until it holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
