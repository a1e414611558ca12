//! One metadata server's part in Raft: what the rest of the crate sees of all this.

use crate::command::{MAX_COMMAND_BYTES, Proposal};
use crate::level;
use crate::log::{Log, LogError, Read};
use crate::raft::apart::Apart;
use crate::raft::audit::{Auditor, Audits};
use crate::raft::config::NodeConfig;
use crate::raft::due::{Due, snapshot};
use crate::raft::frames::Sealing;
use crate::raft::log::{self, LogConfig, LogOpenError, LogTask, Verified};
#[cfg(debug_assertions)]
use crate::raft::log::{LogView, Logged};
use crate::raft::network::{Network, Peer, Server};
use crate::raft::peers::Peers;
use crate::raft::reads::Rounds;
use crate::raft::rebuild::{self, RebuildError};
use crate::raft::room::Room;
use crate::raft::snapshot::{SnapshotError, SnapshotFile, Snapshots};
use crate::raft::state_machine::{Gate, StateMachine};
use crate::raft::types::{Encoded, Runtime, TypeConfig};
use crate::reply::Reply;
use crate::store::Store;
use disk::Disk;
use futures::FutureExt;
use futures::future::BoxFuture;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{BasicNode, RaftMetrics};
use seal::{Provider, StorageKey};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use types::NodeId;
use types::wire::calls::Leadership;
use types::wire::members::AuditReport;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The timings contradict each other.
    #[error("the configuration of Raft is not valid: {0}")]
    Config(String),
    /// The log cannot be opened.
    #[error("opening the metadata log")]
    Log(#[from] LogOpenError),
    /// The snapshot file cannot be opened.
    #[error("opening the metadata snapshot")]
    Snapshot(#[from] SnapshotError),
    /// The state cannot be brought back.
    #[error("bringing the metadata store up to date")]
    Rebuild(#[from] RebuildError),
    /// The store cannot be used.
    #[error("reading the metadata store")]
    Store(#[source] io::Error),
    /// Raft refused what it found.
    #[error("Raft did not start: {0}")]
    Raft(String),
}

/// Why a cluster is not begun.
#[derive(Debug, thiserror::Error)]
#[error("the cluster's first membership was not accepted: {0}")]
pub struct InitializeError(String);

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its id.
    pub node: NodeId,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// The term.
    pub term: u64,
    /// The last entry in its log.
    pub last: Option<u64>,
    /// The last entry applied to its store.
    pub applied: Option<u64>,
    /// The last entry in its snapshot file.
    pub snapshot: Option<u64>,
    /// The last entry purged from its log.
    pub purged: Option<u64>,
    /// Why it has stopped for good.
    pub stopped: Option<String>,
}

/// A running server.
pub struct Node {
    pub(super) id: u64,
    pub(super) raft: Server,
    pub(super) election: Duration,
    auditor: Arc<Auditor>,
    network: Network,
    store: Arc<Store>,
    gate: Arc<Gate>,
    snapshots: Arc<Snapshots>,
    room: Arc<Room>,
    rounds: Rounds,
    #[cfg(debug_assertions)]
    log: LogView,
    pub(super) patience: Duration,
    pub(super) peers: Arc<Peers>,
    tasks: Mutex<Option<Tasks>>,
}

struct Tasks {
    log: LogTask,
    rounds: JoinHandle<()>,
    due: JoinHandle<()>,
    audits: JoinHandle<()>,
    peers: JoinHandle<()>,
}

impl Node {
    /// Brings log, snapshot and store together and joins the network. Until `initialize` was called
    /// on one server, once in the life of the cluster, nobody leads.
    ///
    /// # Errors
    /// When anything is damaged that this server cannot repair by itself.
    pub async fn start(
        config: NodeConfig,
        store: Arc<Store>,
        disk: Arc<dyn Disk>,
        provider: Arc<dyn Provider>,
        storage: StorageKey,
        network: &Network,
    ) -> Result<Self, StartError> {
        let settings = config.raft();
        let settings = settings.map_err(|error| StartError::Config(error.to_string()))?;
        let id = config.node.get();
        let sealing = Sealing::new(provider, storage);
        let verified = Arc::new(Verified::default());
        let sizes = LogConfig {
            segment: config.log_file,
            cache: config.log_cache,
        };
        let opened = log::open(
            Arc::clone(&disk),
            sizes,
            sealing.clone(),
            Arc::clone(&verified),
        );
        let (log_store, view, log) = opened.await?;
        let room = Arc::new(Room::new(Arc::clone(&disk), config.log_file));
        let snapshots = Arc::new(Snapshots::open(disk, sealing, verified).await?);
        let gate = Arc::new(Gate::of(Apart::by(config.seed)));
        rebuild::prepare_or_ask(&store, &gate, &snapshots, &view, network).await?;
        level::check(&*store).map_err(RebuildError::from)?;
        let audits = Arc::new(Audits::new(Arc::clone(&store)));
        let machine = StateMachine::new(
            Arc::clone(&store),
            Arc::clone(&gate),
            Arc::clone(&snapshots),
            view.progress(),
            Arc::clone(&room),
            Arc::clone(&audits),
        );
        let machine = machine.map_err(StartError::Store)?;
        let links = network.seen_by(id);
        let started = async {
            let raft = Server::build(id, Arc::new(settings), links, log_store, machine).await;
            let raft = raft.map_err(|error| StartError::Raft(error.to_string()))?;
            let peer = Peer {
                raft: raft.clone(),
                snapshots: Arc::clone(&snapshots),
                room: Arc::clone(&room),
                audits: Arc::clone(&audits),
            };
            network.join(id, peer);
            raft.run();
            Ok::<_, StartError>(raft)
        };
        let seed = match config.seed {
            Some(seed) => seed,
            None => getrandom::u64().expect("the system has randomness"),
        };
        let raft = Runtime::scope(seed, started).await?;
        let (rounds, rounds_task) = Rounds::start(raft.clone(), config.patience);
        let peers = Arc::new(Peers::new(
            id,
            raft.clone(),
            network.seen_by(id),
            Arc::clone(&snapshots),
            Arc::clone(&room),
        ));
        #[cfg(debug_assertions)]
        let seen = view.clone();
        let due = Due {
            raft: raft.clone(),
            log: view,
            snapshots: Arc::clone(&snapshots),
            room: Arc::clone(&room),
            after: config.snapshot_after,
        };
        let auditor = Arc::new(Auditor {
            id,
            raft: raft.clone(),
            links: network.seen_by(id),
            gate: Arc::clone(&gate),
            audits,
            patience: config.patience,
        });
        let node = Self {
            id,
            raft,
            auditor: Arc::clone(&auditor),
            election: config.election,
            network: network.clone(),
            store,
            gate,
            snapshots,
            room,
            rounds,
            #[cfg(debug_assertions)]
            log: seen,
            patience: config.patience,
            tasks: Mutex::new(Some(Tasks {
                log,
                rounds: rounds_task,
                due: tokio::spawn(due.run()),
                audits: tokio::spawn(auditor.run(config.audit_every)),
                peers: tokio::spawn(Arc::clone(&peers).run()),
            })),
            peers,
        };
        node.lead_if_alone().await;
        Ok(node)
    }

    /// The only voter need not wait to see whether another leads.
    async fn lead_if_alone(&self) {
        if self.raft.voter_ids().eq([self.id]) {
            // Without it the election timer does the same a little later.
            drop(self.raft.trigger().elect(false).await);
        }
    }

    /// Begins a cluster with these voters and their addresses; a server that was in one before is
    /// left as it is.
    ///
    /// # Errors
    /// When this server is not among them, or has stopped.
    pub async fn initialize(
        &self,
        voters: impl IntoIterator<Item = (NodeId, String)>,
    ) -> Result<(), InitializeError> {
        let voters: BTreeMap<u64, BasicNode> = voters
            .into_iter()
            .map(|(id, address)| (id.get(), BasicNode::new(address)))
            .collect();
        let initialized = self.raft.is_initialized().await;
        if initialized.map_err(|error| InitializeError(error.to_string()))? {
            return Ok(());
        }
        let result = self.raft.initialize(voters).await;
        result.map_err(|error| InitializeError(error.to_string()))
    }

    /// Proposes; answers once a quorum has the proposal and this server has applied it. One that encodes
    /// to more than [`MAX_COMMAND_BYTES`] is refused as too large, and reaches no log.
    ///
    /// # Errors
    /// When there is no quorum, another server leads, this one's disk is almost full, or it has stopped.
    /// The proposal may have taken effect all the same.
    pub async fn propose(&self, proposal: Proposal) -> Result<Reply, LogError> {
        let encoded = types::codec::encode(&proposal);
        if encoded.len() > MAX_COMMAND_BYTES {
            return Ok(Reply::Refused(crate::reply::Refusal::TooLarge));
        }
        // The log keeps it for a while and counts its length: what the encoder reserved beyond goes first.
        let exact = encoded.into_boxed_slice();
        let written = self.write(Encoded(exact.into()));
        let written = tokio::time::timeout(self.patience, written).await;
        written.unwrap_or_else(|_| Err(LogError::Unavailable("no quorum answered in time".into())))
    }

    async fn write(&self, proposal: Encoded) -> Result<Reply, LogError> {
        if !self.room.for_proposals().await {
            let full = "the metadata disk is almost full";
            return Err(LogError::Unavailable(full.into()));
        }
        if self.peers.most_are_full() {
            let full = "most metadata disks are almost full";
            return Err(LogError::Unavailable(full.into()));
        }
        match self.raft.client_write(proposal).await {
            Ok(response) => response.data.0.ok_or(LogError::Stopped),
            Err(RaftError::Fatal(_)) => Err(LogError::Stopped),
            Err(RaftError::APIError(error)) => Err(refused(&error)),
        }
    }

    /// Runs `read` on rows that hold everything acknowledged before the call, while no batch is being
    /// applied.
    ///
    /// # Errors
    /// When there is no quorum, another server leads, this one loads a snapshot, or it has stopped.
    pub async fn linearizable<T>(
        &self,
        read: impl FnOnce(&Store) -> T + Send,
    ) -> Result<T, LogError> {
        self.rounds.join().await?;
        match tokio::time::timeout(self.patience, self.gate.read()).await {
            Ok(_open) => Ok(read(&self.store)),
            Err(_) => Err(LogError::Unavailable("a snapshot is being loaded".into())),
        }
    }

    /// The rows as far as this server has applied: what others have acknowledged may be missing.
    pub(crate) fn applied_rows(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// This server's rows, unconfirmed: what others have acknowledged may be missing. A test plants stale
    /// reads with it; release builds do not have it.
    #[cfg(debug_assertions)]
    pub fn unconfirmed_rows(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// The entries of this server's log from an index on, committed or not, or from the first one that was not
    /// purged. A simulation holds logs against each other with it; release builds do not have it.
    ///
    /// # Errors
    /// When they cannot be read.
    #[cfg(debug_assertions)]
    pub async fn logged(&self, from: u64) -> io::Result<Vec<Logged>> {
        self.log.entries(from).await
    }

    /// What this server knows of itself and its peers.
    pub fn status(&self) -> Status {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        Status {
            node: NodeId::new(self.id),
            leader: metrics.current_leader.map(NodeId::new),
            term: metrics.current_term,
            last: metrics.last_log_index,
            applied: metrics.last_applied.map(|id| id.index),
            snapshot: metrics.snapshot.map(|id| id.index),
            purged: metrics.purged.map(|id| id.index),
            stopped: metrics
                .running_state
                .as_ref()
                .err()
                .map(ToString::to_string),
        }
    }

    /// Whether other servers' wall clocks confirm this one's. Those of one that is alone are right.
    pub(crate) async fn wall_is_confirmed(&self) -> bool {
        self.peers.wall_is_confirmed().await
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        NodeId::new(self.id)
    }

    /// Who leads, as far as this server knows.
    pub fn leadership(&self) -> Leadership {
        let metrics = self.raft.metrics();
        leadership(&metrics.borrow_watched())
    }

    /// Likewise, once it is another than `known`, or after `limit`.
    pub async fn leadership_after(&self, known: Leadership, limit: Duration) -> Leadership {
        let mut metrics = self.raft.metrics();
        let changed = async {
            while leadership(&metrics.borrow_watched()) == known {
                if metrics.changed().await.is_err() {
                    // Raft has ended: nothing changes any more.
                    return std::future::pending().await;
                }
            }
        };
        // Either way it is told as it is now.
        drop(tokio::time::timeout(limit, changed).await);
        self.leadership()
    }

    /// Returns when Raft has stopped on this server, with why. A process exits then.
    pub async fn stopped(&self) -> String {
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(why) = &metrics.borrow_watched().running_state {
                return why.to_string();
            }
            if metrics.changed().await.is_err() {
                return "Raft has ended".into();
            }
        }
    }

    /// Waits for a leader that this server knows of.
    ///
    /// # Errors
    /// When none is known before its patience ends.
    pub async fn leader(&self) -> Result<NodeId, LogError> {
        let known = self
            .raft
            .wait(Some(self.patience))
            .metrics(|metrics| metrics.current_leader.is_some(), "a leader")
            .await;
        let known = known.map_err(|error| LogError::Unavailable(error.to_string()))?;
        known
            .current_leader
            .map(NodeId::new)
            .ok_or_else(|| LogError::Unavailable("no leader".into()))
    }

    /// Writes a snapshot of all that is applied now; the log behind it is purged but for its tail.
    ///
    /// # Errors
    /// When this server has stopped, its disk has no room, or it does not come to it in time.
    pub async fn snapshot_now(&self) -> Result<(), LogError> {
        snapshot(&self.raft, &self.snapshots, &self.room, self.patience).await
    }

    /// Has every server compare its rows at one entry, now. One that has other rows than most stops, and makes its
    /// own anew at its next start.
    ///
    /// # Errors
    /// When another leads, there is no quorum, or the feature level is below that of audits.
    pub async fn audit(&self) -> Result<AuditReport, LogError> {
        self.auditor.audit().await
    }

    /// Reads this server's stored rows and holds them against what it wrote, now. If they differ it stops, as above.
    pub async fn examine(&self) {
        self.auditor.examine().await;
    }

    /// The highest feature level that each server knows; none of one that does not say.
    pub async fn levels(&self) -> BTreeMap<NodeId, Option<u32>> {
        self.auditor.levels().await
    }

    /// The snapshot file of all that is applied now, or more.
    pub(super) async fn snapshot_of_now(&self) -> Result<Arc<SnapshotFile>, LogError> {
        self.snapshot_now().await?;
        let current = self.snapshots.current().await;
        current.ok_or_else(|| LogError::Unavailable("there is no snapshot".into()))
    }

    /// Stops taking part; what was queued for the log is durable afterwards, and the store is closed.
    pub async fn shutdown(&self) {
        self.network.leave(self.id);
        let tasks = self
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(tasks) = tasks else { return };
        for task in [tasks.due, tasks.audits, tasks.peers] {
            task.abort();
            drop(task.await);
        }
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "Raft did not end well");
        }
        tasks.rounds.abort();
        drop(tasks.rounds.await);
        tasks.log.ended().await;
        if let Err(error) = self.store.close_clean() {
            tracing::warn!(%error, "the metadata store did not close; it is examined at the next start");
        }
    }
}

/// One that was not shut down, since it did not come so far, is let go of all the same.
impl Drop for Node {
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(tasks) = tasks.take() {
            self.network.leave(self.id);
            for task in [tasks.rounds, tasks.due, tasks.audits, tasks.peers] {
                task.abort();
            }
        }
    }
}

fn leadership(metrics: &RaftMetrics<TypeConfig>) -> Leadership {
    Leadership {
        term: metrics.current_term,
        leader: metrics
            .current_leader
            .filter(|_| metrics.running_state.is_ok())
            .map(NodeId::new),
    }
}

fn refused(error: &ClientWriteError<TypeConfig>) -> LogError {
    LogError::Unavailable(error.to_string())
}

impl Log for Node {
    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Reply, LogError>> {
        Node::propose(self, proposal).boxed()
    }

    fn linearizable(&self, read: Read) -> BoxFuture<'_, Result<(), LogError>> {
        Node::linearizable(self, read).boxed()
    }

    fn leads(&self) -> bool {
        self.raft.is_leader()
    }
}
