//! What an operator may have done to the disks of a running cluster: one replaced, all checked.

use crate::disks::{self, Folders};
use crate::fleet::Fleet;
use crate::status::told;
use anyhow::{Context, Result, bail};
use client::ScrubReport;
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{CheckRequest, ELSEWHERE, ScrubRequest};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use storage_node::Node;
use storage_node::upkeep::{Findings, Keeper, Removal};
use tokio::task::JoinHandle;
use types::placement::Disk;
use types::wire::storage::{DiskReport, DiskState};
use types::wire::{Metadata, Scrubs, ShardStore, Upkeep};
use types::{DiskId, NodeId, Profile, ShardKey};

/// Of the shards that a check found wanting, so many are named; all are counted.
const NAMED: usize = 20;

/// The parts of the cluster that operators' requests reach.
pub(crate) struct Operations {
    pub(crate) node: Arc<Node>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) upkeep: Arc<dyn Upkeep>,
    pub(crate) folders: Arc<Folders>,
    pub(crate) profile: Profile,
    pub(crate) server: NodeId,
    /// The metadata servers, where they are in this process.
    pub(crate) fleet: Option<Arc<Fleet>>,
    /// The check that runs, or ran last.
    pub(crate) check: Mutex<Option<Check>>,
}

pub(crate) struct Check {
    progress: Arc<Progress>,
    task: JoinHandle<()>,
}

struct Progress {
    deep: bool,
    began: Instant,
    /// Shards to be read.
    shards: u64,
    /// And read.
    read: AtomicU64,
    outcome: Mutex<Option<Outcome>>,
}

/// What a check says of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Checked {
    /// Whether it has ended.
    pub(crate) done: bool,
    /// Whether every shard is read.
    pub(crate) deep: bool,
    /// For how long it ran, or has been running.
    pub(crate) seconds: f64,
    /// Shards that it looks at.
    pub(crate) shards: u64,
    /// Shards that it has read, if it is deep.
    pub(crate) read: u64,
    /// Once it has ended.
    pub(crate) outcome: Option<Outcome>,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Each disk.
    pub(crate) disks: Vec<DiskOutcome>,
}

/// What a check found on one disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DiskOutcome {
    /// Which.
    pub(crate) disk: u64,
    /// Why it could not be looked at.
    pub(crate) away: Option<String>,
    /// Shards that it holds.
    pub(crate) held: u64,
    /// Shards that should be there and are not.
    pub(crate) missing: u64,
    /// Shards that are not there, as the metadata knows: they are being made again.
    pub(crate) repairing: u64,
    /// Shards that are nobody's: of uploads that were given up.
    pub(crate) extra: u64,
    /// Shards under ids that were never given out.
    pub(crate) stray: u64,
    /// Shards that are not what they were.
    pub(crate) corrupt: u64,
    /// Extra ones that were removed.
    pub(crate) removed: u64,
    /// Some of all these, as group/chunk/index.
    pub(crate) named: Vec<String>,
}

impl Outcome {
    /// Whether all is as it should be.
    pub(crate) fn is_clean(&self) -> bool {
        self.disks.iter().all(DiskOutcome::is_clean)
    }
}

impl DiskOutcome {
    fn is_clean(&self) -> bool {
        let wrong = self.missing + self.repairing + self.extra + self.stray + self.corrupt;
        self.away.is_none() && wrong == 0
    }

    fn found(disk: DiskId, findings: &Findings, corrupt: &[ShardKey]) -> Self {
        let count = |keys: &[ShardKey]| keys.len() as u64;
        let Findings {
            held,
            missing,
            repairing,
            orphans,
            strays,
            removed,
        } = findings;
        let all = [missing, orphans, strays]
            .into_iter()
            .flatten()
            .chain(corrupt);
        Self {
            disk: disk.get(),
            away: None,
            held: *held,
            missing: count(missing),
            repairing: *repairing,
            extra: count(orphans),
            stray: count(strays),
            corrupt: count(corrupt),
            removed: *removed,
            named: all.take(NAMED).map(ToString::to_string).collect(),
        }
    }
}

impl Operations {
    async fn replace(&self, lost: DiskId) -> Result<DiskId> {
        let reports = self.node.report().await;
        let report = reports.iter().find(|report| report.disk == lost);
        match report.map(|report| &report.state) {
            None => bail!("there is no disk {lost}"),
            Some(DiskState::Serving) => {
                bail!("{lost} serves; only a disk that is lost is replaced")
            }
            Some(_) => {}
        }
        let folder = self.folders.of(lost).context("it has no folder here")?;
        disks::ensure_empty(&folder)?;
        let id = self.upkeep.reserve_disk_id().await?;
        let disk = Disk {
            id,
            node: self.server,
            class: self.profile.class(),
        };
        // First what can be refused: an empty folder is still empty if it is.
        self.upkeep.replace_disk(lost, disk).await?;
        self.folders.replace(lost, id)?;
        self.node.retire(lost).await;
        let admitted = self.node.admit(folder, id).await;
        admitted.with_context(|| {
            format!("{id} has taken the place of {lost}, and its folder cannot be used; replace {id} in turn")
        })?;
        Ok(id)
    }

    async fn add_node(&self, fleet: &Fleet) -> Result<NodeId> {
        Ok(fleet.leader().await?.admit_node().await?)
    }

    async fn lay_out(&self, fleet: &Fleet) -> Result<usize> {
        let leader = fleet.leader().await?;
        leader.create_groups(self.profile).await?;
        let table = leader.group_table(0).await?;
        Ok(table.unwrap_or_default().groups.len())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Check>> {
        self.check.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a check that runs.
    pub(crate) fn shutdown(&self) {
        if let Some(check) = &*self.lock() {
            check.task.abort();
        }
    }
}

impl gateway::Operations for Operations {
    fn replace(&self, lost: DiskId) -> BoxFuture<'_, Result<DiskId, String>> {
        async move {
            self.replace(lost)
                .await
                .map_err(|error| format!("{error:#}"))
        }
        .boxed()
    }

    fn begin_check(&self, request: CheckRequest) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let reports = self.node.report().await;
            let mut check = self.lock();
            if check
                .as_ref()
                .is_some_and(|check| !check.task.is_finished())
            {
                return Err("a check is running; wait for it to end".to_owned());
            }
            let progress = Arc::new(Progress {
                deep: request.deep,
                began: Instant::now(),
                shards: reports.iter().map(|report| report.shards).sum(),
                read: AtomicU64::new(0),
                outcome: Mutex::default(),
            });
            let work = look(
                Arc::clone(&self.keeper),
                reports,
                request,
                Arc::clone(&progress),
            );
            *check = Some(Check {
                progress,
                task: tokio::spawn(work),
            });
            Ok(())
        }
        .boxed()
    }

    fn begin_scrub(&self, request: ScrubRequest) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let begun = self.keeper.begin_scrub(request.disk).await;
            begun.map_err(|error| error.to_string())
        }
        .boxed()
    }

    fn add_node(&self) -> BoxFuture<'_, Result<NodeId, String>> {
        async move {
            let fleet = self.fleet.as_ref().ok_or(ELSEWHERE)?;
            let added = self.add_node(fleet).await;
            added.map_err(|error| format!("{error:#}"))
        }
        .boxed()
    }

    fn scrub(&self) -> BoxFuture<'_, serde_json::Value> {
        async move {
            let report = ScrubReport {
                disks: self.keeper.scrubbed().await,
                silent: Vec::new(),
            };
            serde_json::to_value(report).expect("numbers and text")
        }
        .boxed()
    }

    fn lay_out(&self) -> BoxFuture<'_, Result<usize, String>> {
        async move {
            let fleet = self.fleet.as_ref().ok_or(ELSEWHERE)?;
            let laid_out = self.lay_out(fleet).await;
            laid_out.map_err(|error| format!("{error:#}"))
        }
        .boxed()
    }

    fn check(&self) -> serde_json::Value {
        let checked = self.lock().as_ref().map(|check| check.progress.told());
        serde_json::to_value(checked).expect("numbers and text")
    }
}

impl Progress {
    fn told(&self) -> Checked {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        Checked {
            done: outcome.is_some(),
            deep: self.deep,
            seconds: self.began.elapsed().as_secs_f64(),
            shards: self.shards,
            read: self.read.load(Ordering::Relaxed),
            outcome: outcome.clone(),
        }
    }
}

async fn look(
    keeper: Arc<Keeper>,
    reports: Vec<DiskReport>,
    request: CheckRequest,
    progress: Arc<Progress>,
) {
    let mut outcome = Outcome::default();
    for report in reports {
        let disk = report.disk;
        let found = match report.state {
            DiskState::Serving => look_at(&keeper, disk, request, &progress).await,
            _ => Err(told(&report).1.to_owned()),
        };
        outcome.disks.push(found.unwrap_or_else(|why| DiskOutcome {
            disk: disk.get(),
            away: Some(why),
            ..DiskOutcome::default()
        }));
    }
    let mut told = progress
        .outcome
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    *told = Some(outcome);
}

async fn look_at(
    keeper: &Keeper,
    disk: DiskId,
    request: CheckRequest,
    progress: &Progress,
) -> Result<DiskOutcome, String> {
    let removal = if request.repair {
        Removal::Remove
    } else {
        Removal::Tell
    };
    let findings = keeper.reconcile(disk, removal).await;
    let findings = findings.map_err(|error| error.to_string())?;
    let mut corrupt = Vec::new();
    if request.deep {
        let read = || {
            progress.read.fetch_add(1, Ordering::Relaxed);
        };
        let found = keeper.verify_all(disk, read).await;
        corrupt = found.map_err(|error| error.to_string())?;
        if request.repair {
            keeper.make_again(disk, &corrupt);
        }
    }
    Ok(DiskOutcome::found(disk, &findings, &corrupt))
}
