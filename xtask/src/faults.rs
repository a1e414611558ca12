//! What is done to a cluster while a training job reads from it, and how far the job is meanwhile.
//!
//! A fault counts only if the cluster was seen to suffer it, and if the job was in the same epoch then: what
//! comes too late proves nothing.

use crate::run;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime};
use strongroom_tests::Cluster;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);
/// A metadata server that has applied all but so many entries has caught up.
const CAUGHT_UP: u64 = 50;

/// What happens to the cluster.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    DiskLost(u8),
    LeaderLost,
    LeaderBack,
}

/// What happens, in which epoch, and at how many thirds of it. 4+2 bears the loss of two disks; which ones,
/// does not matter here, since whole-system tests try all pairs.
pub(crate) const FAULTS: [(u64, u64, Fault); 4] = [
    (1, 1, Fault::DiskLost(1)),
    (1, 2, Fault::DiskLost(4)),
    (2, 1, Fault::LeaderLost),
    (2, 2, Fault::LeaderBack),
];

/// One line of the job's progress.
#[derive(Deserialize)]
pub(crate) struct Progress {
    epoch: u64,
    pub(crate) over: bool,
    samples: u64,
    /// How many the epoch has.
    pub(crate) of: u64,
    pub(crate) retries: u64,
}

/// A job that runs; it does not outlive this.
pub(crate) struct Job {
    child: Child,
    progress: PathBuf,
}

impl Job {
    /// Starts it.
    pub(crate) fn start(command: &mut Command, progress: PathBuf) -> Result<Self> {
        run::say(command);
        let child = command.spawn().context("starting the job")?;
        Ok(Self { child, progress })
    }

    /// All that it said so far.
    pub(crate) fn said(&self) -> Result<Vec<Progress>> {
        if !self.progress.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&self.progress).context("reading the job's progress")?;
        // A last line without an end is being written.
        let lines = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        lines
            .map(|line| serde_json::from_str(line).with_context(|| format!("progress {line:?}")))
            .collect()
    }

    fn is_in(&self, epoch: u64) -> Result<bool> {
        let said = self.said()?;
        let last = said.last();
        Ok(last.is_some_and(|last| last.epoch == epoch && !last.over))
    }

    fn has_read(&mut self, epoch: u64, thirds: u64) -> Result<bool> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the job ended before all faults had happened: {status}");
        }
        let said = self.said()?;
        let last = said.last();
        Ok(last.is_some_and(|last| last.epoch == epoch && 3 * last.samples >= thirds * last.of))
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> Result<()> {
        let status = self.child.wait().context("waiting for the job")?;
        ensure!(status.success(), "the job failed: {status}");
        Ok(())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and nobody is left to tell.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Has each fault happen in its time, and writes it down for the chart. How many happened.
pub(crate) fn inject(job: &mut Job, cluster: &Cluster, events: &Path) -> Result<usize> {
    let (mut happened, mut lost) = (0, Lost::default());
    for (epoch, thirds, fault) in FAULTS {
        until("the job has come so far", || job.has_read(epoch, thirds))?;
        let began = Instant::now();
        let words = lost.suffer(fault, cluster)?;
        note(events, &words)?;
        until(&words, || lost.is_seen(fault, cluster))?;
        ensure!(
            job.is_in(epoch)?,
            "{words}: the epoch was over before anyone noticed"
        );
        eprintln!("{words}; seen after {:.2} s", began.elapsed().as_secs_f64());
        happened += 1;
    }
    Ok(happened)
}

/// What the cluster lacks.
#[derive(Default)]
struct Lost {
    disks: usize,
    server: u64,
}

impl Lost {
    /// Has it happen, and says what it was.
    fn suffer(&mut self, fault: Fault, cluster: &Cluster) -> Result<String> {
        match fault {
            Fault::DiskLost(number) => {
                let disk = cluster.disk(number);
                fs::rename(&disk, disk.with_extension("lost")).context("moving the disk away")?;
                self.disks += 1;
                Ok(format!("disk {number} lost"))
            }
            Fault::LeaderLost => {
                self.server = cluster.leader()?.context("nobody leads")?;
                fs::write(cluster.away(self.server), "").context("stopping the leader")?;
                Ok(format!("leader {} lost", self.server))
            }
            Fault::LeaderBack => {
                fs::remove_file(cluster.away(self.server)).context("bringing it back")?;
                Ok(format!("server {} back", self.server))
            }
        }
    }

    /// Whether `strongroom status` tells of it.
    fn is_seen(&self, fault: Fault, cluster: &Cluster) -> Result<bool> {
        match fault {
            Fault::DiskLost(_) => {
                let status = cluster.status()?;
                let all = status["disks"].as_array().context("no disks")?.len();
                Ok(cluster.serving()? + self.disks == all)
            }
            Fault::LeaderLost => {
                let leader = cluster.leader()?;
                let is_stopped = !cluster.server(self.server)?["stopped"].is_null();
                Ok(is_stopped && leader.is_some_and(|leader| leader != self.server))
            }
            Fault::LeaderBack => {
                let server = cluster.server(self.server)?;
                let lag = server["lag"].as_u64();
                Ok(server["stopped"].is_null() && lag.is_some_and(|lag| lag < CAUGHT_UP))
            }
        }
    }
}

/// A line that the job's chart shows: unix seconds, and what happened.
fn note(events: &Path, words: &str) -> Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let mut file = OpenOptions::new().create(true).append(true).open(events)?;
    writeln!(file, "{:.3} {words}", now.as_secs_f64()).context("noting an event")
}

fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !holds()? {
        ensure!(started.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(POLL);
    }
    Ok(())
}
