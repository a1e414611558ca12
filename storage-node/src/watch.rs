//! Looking after disks: those that serve still have their folders, stamps and files, and answer; those that
//! do not serve are looked at again.
//!
//! ```text
//! absent --own stamp, opens--> serving --fails, folder or files gone--> failed --closed--> absent
//!                              serving <--calls return--  stalled
//! ```
//!
//! Each call to a disk is made by a task of that disk, and a second is not begun while the first has not
//! returned: a disk that hangs holds up nobody else.
//!
//! A disk that failed is closed before it is opened again, and what it had not acknowledged is cut off then.
//! One that fails again and again is left alone for longer and longer; not one whose folder goes and comes back.

use crate::admit::Shared;
use crate::drive::{Drive, ServingDrive, lock};
use crate::gauges;
use crate::slow::{self, Measured};
use crate::stamp::{self, Stamp};
use crate::writer::{self, WriteError};
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use types::wire::storage::DiskState;

/// How disks are looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// How often each is looked at.
    pub every: Duration,
    /// A disk whose call has not returned for that long is stalled.
    pub patience: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            patience: Duration::from_secs(5),
        }
    }
}

/// The task; it ends with this.
pub(crate) struct Watcher(JoinHandle<()>);

impl Watcher {
    pub(crate) fn start(shared: Arc<Shared>) -> Self {
        Self(tokio::spawn(async move {
            let mut ticks = interval(shared.watch.every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                shared.look_after().await;
            }
        }))
    }

    /// Ends it; when this returns it holds no disk any more.
    pub(crate) async fn stop(mut self) {
        self.0.abort();
        let _aborted = (&mut self.0).await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    /// One look at everything. It takes no longer than two periods, whatever hangs.
    pub(crate) async fn look_after(self: &Arc<Self>) {
        let serving: Vec<_> = self.disks().drives.values().map(Arc::clone).collect();
        serving.iter().for_each(|drive| self.check(drive));
        let checked = serving.iter().map(|drive| drive.checked());
        let _some_hang = timeout(self.watch.every, join_all(checked)).await;
        compare(&serving);
        let mut changed = false;
        for drive in serving {
            gauges::tell_space(drive.id(), drive.drive().state().store.space());
            changed |= drive.drive().note_stall(self.watch.patience);
            if let DiskState::Failed(why) = drive.drive().condition() {
                changed |= self.disks_mut().stop(&drive, why);
                tokio::spawn(async move { drive.shutdown().await });
            }
        }
        if changed {
            self.changed();
        }
        let looking = self.look_for_disks();
        let _some_hang = timeout(self.watch.every, looking).await;
        self.disks().reports().iter().for_each(gauges::tell);
        disk::give_back_idle();
    }

    /// Has one disk checked, unless the last check has not returned yet.
    fn check(self: &Arc<Self>, drive: &Arc<ServingDrive>) {
        let stamp = Stamp {
            cluster: self.cluster,
            node: self.node,
            disk: drive.id(),
        };
        drive.check(|drive| {
            let shared = Arc::clone(self);
            async move {
                let found = still_there(drive.drive(), stamp).await;
                drive.drive().checked.end();
                match (found, drive.drive().unread.too_many()) {
                    (Ok(()), None) => {
                        drive.tidy().await;
                        let bad = drive.reclaim(&shared.pace).await;
                        shared.suspect(drive.id(), bad);
                    }
                    (Ok(()), Some(why)) => drive.drive().retire(why),
                    (Err(why), _) => drive.drive().fail(why),
                }
            }
        });
    }
}

/// Compares how fast the disks are.
fn compare(serving: &[Arc<ServingDrive>]) {
    let drives = serving.iter().map(|drive| drive.drive());
    let measured = drives.map(|drive| Measured {
        median: drive.latency.median(),
        slow: lock(&drive.slow).is_some(),
    });
    let measured: Vec<Measured> = measured.collect();
    for (at, drive) in serving.iter().enumerate() {
        let Ok(why) = slow::judge(&measured, at) else {
            continue;
        };
        let disk = drive.id();
        match (&why, measured[at].slow) {
            (Some(why), false) => tracing::warn!(%disk, "the disk is slow: {why}"),
            (None, true) => tracing::info!(%disk, "the disk is as fast as its peers again"),
            _ => {}
        }
        *lock(&drive.drive().slow) = why;
    }
}

/// Whether a serving disk still is where it was, with its stamp and its files.
async fn still_there(drive: &Drive, own: Stamp) -> Result<(), WriteError> {
    let lost = |why: String| Err(WriteError::Lost(why));
    match drive.disk.attached().await {
        Ok(true) => {}
        Ok(false) => return Err(WriteError::Away),
        Err(error) => return lost(format!("finding its folder: {error}")),
    }
    match stamp::read_served(&*drive.disk).await {
        Ok(Ok(stamp)) if stamp == own => {}
        Ok(Ok(stamp)) => return lost(format!("its stamp was replaced by one of {}", stamp.disk)),
        Ok(Err(why)) => return lost(why.to_string()),
        Err(error) => return lost(format!("reading its stamp: {error}")),
    }
    writer::all_named(drive).await
}
