//! What a storage node does by itself to keep what is stored whole, and to get rid of what is dead.
//!
//! ```text
//! every second      learn the group table; remove what is dead; make again what is missing
//! a disk came back  compare what it holds with what it should (compare.rs); report what is missing
//! ```
//!
//! It pulls its work from the metadata service ([`Upkeep`]) and does it where the disks are. Nothing it does
//! needs a key or a name: shards are rebuilt as they were sealed.
//!
//! Background work gives way to the requests of others (pace.rs).

mod check;
mod compare;
mod decode;
mod pace;
mod quiet;
mod rebuild;
mod reconcile;
mod removal;
mod repair;

use crate::service::Node;
use rebuild::Rebuilder;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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

pub use compare::{Difference, compare};
pub(crate) use pace::Pace;
pub use quiet::Quiet;
pub use reconcile::{Findings, Removal};

/// Between two looks at what is to be done.
const ROUND: Duration = Duration::from_secs(1);
/// Between two looks at what could not be done.
const LATER: Duration = Duration::from_secs(5);
/// Shards that are remembered to be reported.
const SUSPECTS: usize = 1 << 20;
/// Moments over which rates are told.
const REMEMBERED: usize = 10;

/// The upkeep of one node's disks, until it is shut down.
pub struct Keeper {
    node: Arc<Node>,
    upkeep: Arc<dyn Upkeep>,
    rebuilder: Rebuilder,
    table: RwLock<Arc<GroupTable>>,
    counted: Counted,
    look_again: Duration,
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
    /// What was made again at moments about a second apart: when, shards, bytes.
    lately: Mutex<VecDeque<(Instant, u64, u64)>>,
}

impl Counted {
    fn repaired(&self, length: ByteCount) {
        let shards = self.shards.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(length.get(), Ordering::Relaxed) + length.get();
        let mut lately = lock(&self.lately);
        let now = Instant::now();
        let due = lately
            .back()
            .is_none_or(|(at, ..)| now.duration_since(*at) >= ROUND);
        if due {
            lately.push_back((now, shards, bytes));
        }
        if lately.len() > REMEMBERED {
            lately.pop_front();
        }
    }

    /// Shards and bytes a second since the oldest of these moments; none when the last is long ago.
    fn rates(&self) -> (f64, f64) {
        let lately = lock(&self.lately);
        let (Some(first), Some(last)) = (lately.front(), lately.back()) else {
            return (0.0, 0.0);
        };
        let seconds = last.0.duration_since(first.0).as_secs_f64();
        if last.0.elapsed() > LATER || seconds == 0.0 {
            return (0.0, 0.0);
        }
        let rate = |from: u64, to: u64| (to - from) as f64 / seconds;
        (rate(first.1, last.1), rate(first.2, last.2))
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
    /// that does not count as a request of others. Each disk is compared with the metadata every `look_again`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        node: Arc<Node>,
        upkeep: Arc<dyn Upkeep>,
        peers: Arc<dyn ShardStore>,
        look_again: Duration,
    ) -> Arc<Self> {
        let keeper = Arc::new(Self {
            node,
            upkeep,
            rebuilder: Rebuilder::new(peers),
            table: RwLock::default(),
            counted: Counted::default(),
            look_again,
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
        let (shards_a_second, bytes_a_second) = self.counted.rates();
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
                    .is_none_or(|at| at.elapsed() >= self.look_again);
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
            let wait = LATER.min(self.look_again);
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

    /// Tells the metadata service of shards that are not what they should be. While no repair is under way:
    /// one that looked before the damage must not be reported behind it, and take it off the list.
    async fn send_reports(&self) {
        self.suspect(self.node.take_suspects());
        let bad: Vec<(DiskId, ShardKey)> = std::mem::take(&mut *lock(&self.suspects))
            .into_iter()
            .collect();
        let of_disk = |one: &(DiskId, ShardKey), next: &(DiskId, ShardKey)| one.0 == next.0;
        let reports = bad
            .chunk_by(of_disk)
            .flat_map(|shards| shards.chunks(MAX_TASKS as usize));
        for some in reports {
            let disk = some[0].0;
            let shards = some.iter().map(|(_, key)| *key).collect();
            if let Err(error) = self.upkeep.report_bad(disk, shards).await {
                tracing::debug!(%disk, %error, "bad shards are reported later");
                self.suspect(some.iter().copied());
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
