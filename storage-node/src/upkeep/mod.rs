//! What a storage node does by itself to keep what is stored whole, and to get rid of what is dead.
//!
//! ```text
//! every second      learn the group table; remove what is dead; make again what is missing
//! a disk came back  compare what it holds with what it should (compare.rs); report what is missing
//! over a week       read and prove every shard of every disk (scrub/); report what is damaged
//! ```
//!
//! It pulls its work from the metadata service ([`Upkeep`]) and does it where the disks are. Nothing it does
//! needs a key or a name: shards are rebuilt as they were sealed.
//!
//! Background work gives way to the requests of others (pace.rs).

mod check;
mod clock;
mod compare;
mod decode;
mod lately;
mod pace;
mod quiet;
mod rebuild;
mod reconcile;
mod removal;
mod repair;
mod scrub;

use crate::service::Node;
use lately::Lately;
use rebuild::Rebuilder;
use scrub::Scrubs;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use types::placement::GroupTable;
use types::wire::storage::DiskState;
use types::wire::upkeep::MAX_TASKS;
use types::wire::{ShardStore, Upkeep};
use types::{ByteCount, DiskId, ShardKey};

pub use clock::Clock;
pub use compare::{Difference, compare};
pub(crate) use pace::Pace;
pub use quiet::Quiet;
pub use reconcile::{Findings, Removal};
pub use scrub::bookmark;

/// Between two looks at what is to be done.
const ROUND: Duration = Duration::from_secs(1);
/// Between two looks at what could not be done.
const LATER: Duration = Duration::from_secs(5);
/// Shards that are remembered to be reported.
const SUSPECTS: usize = 1 << 20;

/// How often what is done, and with how much.
#[derive(Clone, Copy, Debug)]
pub struct KeeperConfig {
    /// Each disk is compared with the metadata.
    pub look_through: Duration,
    /// Every shard is read and proved; `None`: only when an operator asks for it.
    pub scrub: Option<Duration>,
    /// By which that is.
    pub clock: Clock,
    /// What shards that are made again at once may take in memory, with those that they are made from.
    pub rebuilding: ByteCount,
}

impl Default for KeeperConfig {
    fn default() -> Self {
        Self {
            look_through: Duration::from_secs(3600),
            scrub: Some(Duration::from_secs(7 * 24 * 3600)),
            clock: Clock::system(),
            rebuilding: ByteCount::new(256 << 20),
        }
    }
}

/// The upkeep of one node's disks, until it is shut down.
pub struct Keeper {
    node: Arc<Node>,
    upkeep: Arc<dyn Upkeep>,
    rebuilder: Rebuilder,
    table: RwLock<Arc<GroupTable>>,
    counted: Counted,
    config: KeeperConfig,
    scrubs: Scrubs,
    suspects: Mutex<BTreeSet<(DiskId, ShardKey)>>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What was done since the process started.
#[derive(Debug, Default)]
struct Counted {
    shards: AtomicU64,
    bytes: AtomicU64,
    removed: AtomicU64,
    lately: Lately,
}

impl Counted {
    fn repaired(&self, length: ByteCount) {
        let shards = self.shards.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(length.get(), Ordering::Relaxed) + length.get();
        self.lately.note(shards, bytes);
    }
}

/// What a node's upkeep has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Done {
    /// Shards that were made again.
    pub shards: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Shards that were removed.
    pub removed: u64,
    /// Shards made again a second, lately.
    pub shards_a_second: f64,
    /// Bytes in them.
    pub bytes_a_second: f64,
}

impl Keeper {
    /// Starts the upkeep of a node. Other nodes' shards are read through `peers`; so are this one's, in a way
    /// that does not count as a request of others.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        node: Arc<Node>,
        upkeep: Arc<dyn Upkeep>,
        peers: Arc<dyn ShardStore>,
        config: KeeperConfig,
    ) -> Arc<Self> {
        let keeper = Arc::new(Self {
            node,
            upkeep,
            rebuilder: Rebuilder::new(peers, config.rebuilding),
            table: RwLock::default(),
            counted: Counted::default(),
            config,
            scrubs: Scrubs::default(),
            suspects: Mutex::default(),
            stop: watch::Sender::new(false),
            tasks: Mutex::default(),
        });
        let spawn = |work: fn(Arc<Self>) -> futures::future::BoxFuture<'static, ()>| {
            let (keeper, mut stopped) = (Arc::clone(&keeper), keeper.stop.subscribe());
            tokio::spawn(async move {
                tokio::select! {
                    () = work(keeper) => {}
                    _ = stopped.wait_for(|stop| *stop) => {}
                }
            })
        };
        let tasks = vec![
            spawn(|keeper| Box::pin(async move { keeper.remove_dead().await })),
            spawn(|keeper| Box::pin(async move { keeper.repair_all().await })),
            spawn(|keeper| Box::pin(async move { keeper.look_through().await })),
            // It ends by itself, once it has noted where it is.
            tokio::spawn(Arc::clone(&keeper).scrub_all(keeper.stop.subscribe())),
        ];
        *lock(&keeper.tasks) = tasks;
        keeper
    }

    /// Ends it. What is under way is given up; a shard that is being stored is stored or not.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "the upkeep of the disks broke off");
            }
        }
    }

    /// What was done so far.
    pub fn done(&self) -> Done {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (shards_a_second, bytes_a_second) = self.counted.lately.rates();
        Done {
            shards_a_second,
            bytes_a_second,
            shards: read(&self.counted.shards),
            bytes: read(&self.counted.bytes),
            removed: read(&self.counted.removed),
        }
    }

    async fn repair_all(&self) {
        let mut wait = ROUND;
        loop {
            tokio::time::sleep(wait).await;
            let table = self.learn().await;
            self.send_reports().await;
            let repairs = self.serving().await;
            let repairs = repairs.into_iter().map(|disk| self.repair(disk, &table));
            let waits = futures::future::join_all(repairs).await;
            wait = if waits.contains(&true) { LATER } else { ROUND };
        }
    }

    async fn remove_dead(&self) {
        loop {
            tokio::time::sleep(ROUND).await;
            for disk in self.serving().await {
                self.remove_from(disk).await;
            }
        }
    }

    /// Looks through each disk when it begins to serve, and from time to time.
    async fn look_through(&self) {
        let mut changes = self.node.changes();
        let mut looked: BTreeMap<DiskId, Instant> = BTreeMap::new();
        loop {
            changes.borrow_and_update();
            let serving = self.serving().await;
            looked.retain(|disk, _| serving.contains(disk));
            for disk in serving {
                let due = looked
                    .get(&disk)
                    .is_none_or(|at| at.elapsed() >= self.config.look_through);
                if !due {
                    continue;
                }
                match self.reconcile(disk, Removal::Remove).await {
                    Ok(_) => drop(looked.insert(disk, Instant::now())),
                    Err(error) => {
                        tracing::debug!(%disk, %error, "the disk is looked through again later");
                    }
                }
            }
            let wait = LATER.min(self.config.look_through);
            if matches!(
                tokio::time::timeout(wait, changes.changed()).await,
                Ok(Err(_))
            ) {
                return;
            }
        }
    }

    /// The newest group table; the node learns it, too.
    async fn learn(&self) -> Arc<GroupTable> {
        let known = self.table();
        match self.upkeep.table(known.version).await {
            Ok(Some(newer)) => {
                self.node.learn(&newer);
                let newer = Arc::new(newer);
                let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
                *table = Arc::clone(&newer);
                newer
            }
            Ok(None) => known,
            Err(error) => {
                tracing::debug!(%error, "the group table is asked for again later");
                known
            }
        }
    }

    fn table(&self) -> Arc<GroupTable> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&table)
    }

    async fn serving(&self) -> Vec<DiskId> {
        let reports = self.node.report().await;
        let serving = reports
            .into_iter()
            .filter(|report| report.state == DiskState::Serving);
        serving.map(|report| report.disk).collect()
    }

    /// Notes shards that are not what they should be, to be told.
    fn suspect(&self, bad: impl IntoIterator<Item = (DiskId, ShardKey)>) {
        let mut suspects = lock(&self.suspects);
        for shard in bad {
            // What is forgotten is met again.
            if suspects.len() < SUSPECTS {
                suspects.insert(shard);
            }
        }
    }

    /// Whether a disk has shards that are still to be told.
    fn has_suspects(&self, disk: DiskId) -> bool {
        let suspects = lock(&self.suspects);
        suspects.iter().any(|(of, _)| *of == disk)
    }

    /// Tells the metadata service of shards that are not what they should be. While no repair is under way:
    /// one that looked before the damage must not be reported behind it, and take it off the list.
    async fn send_reports(&self) {
        self.suspect(self.node.take_suspects());
        let bad: Vec<(DiskId, ShardKey)> = lock(&self.suspects).iter().copied().collect();
        let of_disk = |one: &(DiskId, ShardKey), next: &(DiskId, ShardKey)| one.0 == next.0;
        let reports = bad
            .chunk_by(of_disk)
            .flat_map(|shards| shards.chunks(MAX_TASKS as usize));
        for some in reports {
            let disk = some[0].0;
            let shards = some.iter().map(|(_, key)| *key).collect();
            match self.upkeep.report_bad(disk, shards).await {
                Ok(()) => {
                    let mut suspects = lock(&self.suspects);
                    for shard in some {
                        suspects.remove(shard);
                    }
                }
                Err(error) => {
                    tracing::debug!(%disk, %error, "bad shards are reported later");
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
