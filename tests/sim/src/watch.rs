//! Looks at a run while it goes on, and has every invariant judge what it sees.

use crate::bay::lock;
use crate::chronicle::{Chronicle, Entry};
use crate::fleet::{Fleet, cache};
use crate::invariant::{self, Holds, Invariant, Seen, Server, Stored, Told};
use metadata::Store;
use metadata::tables::{BLOBS, CLOCK};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use types::{DiskId, ShardKey};

/// Between two looks at the servers.
pub(crate) const OFTEN: Duration = Duration::from_millis(250);
/// Between two looks at the disks, in looks at the servers.
pub(crate) const DISKS_EVERY: u32 = 8;
/// Between two times that a server's stored rows are read.
const SELDOM: Duration = Duration::from_secs(10);
/// Committed entries that are looked at again each time.
const TAIL: u64 = 40;

/// The judge of a run; clones are one.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Mutex<Inner>>);

struct Inner {
    chronicle: Chronicle,
    invariants: Vec<Box<dyn Invariant>>,
    /// What each saw first that cannot be.
    broken: BTreeMap<&'static str, String>,
    reclaim_after: Duration,
    /// Whether deletions should be held.
    holds: bool,
    /// Whether servers contradict each other or the log: nobody knows any more what is committed.
    diverged: bool,
    /// When stored rows were read last.
    read: Option<Instant>,
}

impl Watch {
    pub(crate) fn begin(reclaim_after: Duration) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            chronicle: Chronicle::begin(cache()),
            invariants: invariant::all(reclaim_after),
            broken: BTreeMap::new(),
            reclaim_after,
            holds: false,
            diverged: false,
            read: None,
        })))
    }

    /// Something passes.
    pub(crate) fn told(&self, told: &Told) {
        let mut inner = lock(&self.0);
        inner.judge(|invariant| invariant.told(told));
    }

    /// Looks at the servers as they are.
    pub(crate) async fn look(&self, fleet: &Fleet) {
        let (from, whole) = {
            let mut inner = lock(&self.0);
            let whole = inner.read.is_none_or(|read| read.elapsed() >= SELDOM);
            if whole {
                inner.read = Some(Instant::now());
            }
            (inner.chronicle.next().saturating_sub(TAIL), whole)
        };
        let servers = fleet.seen(from, whole).await;
        lock(&self.0).see(&servers);
    }

    /// Looks at the disks that serve, as they are.
    pub(crate) fn look_at_disks(
        &self,
        disks: &BTreeMap<DiskId, BTreeSet<ShardKey>>,
        spoilt: &BTreeSet<(DiskId, ShardKey)>,
    ) {
        let mut inner = lock(&self.0);
        let Inner {
            chronicle,
            invariants,
            broken,
            holds,
            ..
        } = &mut *inner;
        let rows = chronicle.rows();
        let clock = CLOCK.get(rows, &()).expect("a row of ours");
        let stored = Stored {
            disks,
            spoilt,
            rows,
            now_ms: clock.unwrap_or_default().now_ms,
            holds: *holds,
        };
        for invariant in invariants {
            if let Err(why) = invariant.stored(&stored) {
                broken.entry(invariant.name()).or_insert(why);
            }
        }
    }

    /// The log goes on from the rows of a backup; deletions are to be held.
    pub(crate) fn restored(&self, rows: &Store, entry: u64) {
        let mut inner = lock(&self.0);
        inner.chronicle = Chronicle::restored(cache(), rows, entry);
        // What was seen before is another history.
        inner.invariants = invariant::all(inner.reclaim_after);
        inner.holds = true;
    }

    /// Somebody has looked: deletions need not be held any more.
    pub(crate) fn released(&self) {
        lock(&self.0).holds = false;
    }

    /// Blobs that nobody has condemned.
    pub(crate) fn kept_blobs(&self) -> BTreeSet<Vec<u8>> {
        let inner = lock(&self.0);
        let blobs = BLOBS.scan(inner.chronicle.rows(), &[]);
        let blobs = blobs.map(|row| row.expect("a row of ours"));
        let kept = blobs.filter(|(_, blob)| blob.condemned.is_none());
        kept.map(|(id, _)| id).collect()
    }

    /// Nothing more happens.
    pub(crate) fn end(&self) {
        let mut inner = lock(&self.0);
        if !inner.diverged {
            inner.judge(|invariant| invariant.end());
        }
    }

    /// What was seen that cannot be: what each invariant saw first, behind its name.
    pub(crate) fn broken(&self) -> Vec<String> {
        let inner = lock(&self.0);
        let broken = inner.broken.iter();
        broken.map(|(name, why)| format!("{name}: {why}")).collect()
    }
}

impl Inner {
    fn judge(&mut self, mut by: impl FnMut(&mut dyn Invariant) -> Holds) {
        for invariant in &mut self.invariants {
            if let Err(why) = by(invariant.as_mut()) {
                self.broken.entry(invariant.name()).or_insert(why);
            }
        }
    }

    fn see(&mut self, servers: &[Server]) {
        if !self.diverged {
            self.go_on(servers);
        }
        let Self {
            chronicle,
            invariants,
            broken,
            diverged,
            ..
        } = self;
        let committed = &*chronicle;
        let seen = Seen { servers, committed };
        for invariant in invariants {
            if let Err(why) = invariant.seen(&seen) {
                *diverged = true;
                broken.entry(invariant.name()).or_insert(why);
            }
        }
    }

    /// Whatever a server has applied is committed.
    fn go_on(&mut self, servers: &[Server]) {
        loop {
            let Self {
                chronicle,
                invariants,
                broken,
                ..
            } = self;
            let next = chronicle.next();
            let has = |server: &&Server| server.applied.is_some_and(|at| at.index >= next);
            let mut entries = servers.iter().filter(has).flat_map(|server| &server.log);
            let Some(entry) = entries.find(|entry| entry.at.index == next) else {
                break;
            };
            chronicle.extend(entry.clone(), |entry: &Entry<'_>| {
                for invariant in invariants.iter_mut() {
                    if let Err(why) = invariant.entry(entry) {
                        broken.entry(invariant.name()).or_insert(why);
                    }
                }
            });
        }
        let next = self.chronicle.next();
        let missed = servers.iter().any(|server| {
            let ahead = server.applied.is_some_and(|at| at.index >= next);
            ahead
                && server
                    .log
                    .first()
                    .is_some_and(|first| first.at.index > next)
        });
        assert!(!missed, "entry {next} was purged before it was seen");
    }
}
