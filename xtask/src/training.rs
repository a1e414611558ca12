//! The main job, whole: a steward uploads a data set, and `examples/training/` reads it for two epochs while
//! disks and the leader of the metadata servers are lost ([`faults`]).
//!
//! The job itself fails when a sample is wrong or missing, or when a worker waited too long. What it cannot
//! know is held here: that each fault happened while it read, and that lost disks cost no client a retry.

use crate::faults::{self, FAULTS, Job, Progress};
use crate::python::Python;
use crate::workspace::Workspace;
use crate::{corpus, run};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use strongroom_tests::{Cluster, Shape};

const BUCKET: &str = "training";
/// The ways in which the job reads each sample in each epoch.
const WAYS: u64 = 3;
/// What is promised for the loss of a leader: twice the longest time to an election (decision 0012).
const LONGEST_STALL_SECONDS: &str = "4";

/// How much of the corpus is read.
#[derive(Clone, Copy)]
pub(crate) enum Extent {
    /// Two shards, in the time that the suite has: in the second epoch, every sample is read in every way
    /// without two disks.
    Part,
    Whole,
}

impl Extent {
    /// The steward's words for it, and how many samples are the least.
    fn told(self) -> (&'static [&'static str], u64) {
        match self {
            Self::Part => (&["--shards", "2"], 1_000),
            Self::Whole => (&[], corpus::LEAST_FILES),
        }
    }
}

/// Packs the corpus when it is missing, uploads it, and runs the job over it.
pub(crate) fn run(workspace: &Workspace, extent: Extent) -> Result<()> {
    let corpus = corpus::folder(workspace);
    if !corpus.join("index.jsonl").is_file() {
        corpus::pack(&corpus)?;
    }
    let requirements = workspace.root().join("examples/training/requirements.txt");
    let python = Python::made(workspace.target().join("python-training"), &requirements)?;
    let folder = workspace.target().join("training");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("removing what an earlier run left")?;
    }
    fs::create_dir_all(&folder).context("making target/training")?;
    let mut cluster = Cluster::start_with("training", Shape::default(), &["--metadata", "3"])?;
    let program = |script: &str| {
        let mut command = python.program_on("python", &cluster);
        let endpoint = format!("https://{}", cluster.endpoints().s3_tls);
        command.env("AWS_ENDPOINT_URL", endpoint);
        command
            .arg(python.script(script))
            .args(["--bucket", BUCKET]);
        command
    };
    let (words, least) = extent.told();
    run::run(
        program("steward.py")
            .args(words)
            .arg("--corpus")
            .arg(&corpus),
    )?;
    let (events, progress) = (folder.join("events.txt"), folder.join("progress.jsonl"));
    let mut job = program("job.py");
    job.args(["--workers", "4", "--epochs", "2", "--seed", "1"])
        .args(["--longest-stall", LONGEST_STALL_SECONDS])
        .arg("--chart")
        .arg(folder.join("run.svg"))
        .arg("--events")
        .arg(&events)
        .arg("--progress")
        .arg(&progress);
    let read = with_faults(&mut job, progress, &cluster, &events)?;
    for epoch in &read {
        ensure!(
            epoch.of >= WAYS * least,
            "an epoch of only {} samples",
            epoch.of
        );
    }
    ensure!(
        read[0].retries == 0,
        "clients had to try {} times again when disks were lost",
        read[0].retries
    );
    ensure!(
        cluster.stop()?.success(),
        "the cluster did not stop cleanly"
    );
    Ok(())
}

/// Runs the job to its end, with each fault in its time. What it said at the end of both epochs.
fn with_faults(
    command: &mut Command,
    progress: PathBuf,
    cluster: &Cluster,
    events: &Path,
) -> Result<[Progress; 2]> {
    let mut job = Job::start(command, progress)?;
    let happened = faults::inject(&mut job, cluster, events)?;
    job.end()?;
    ensure!(
        happened == FAULTS.len(),
        "{happened} of {} faults happened",
        FAULTS.len()
    );
    let mut over = job.said()?.into_iter().filter(|said| said.over);
    match (over.next(), over.next(), over.next()) {
        (Some(first), Some(second), None) => {
            eprintln!("training: {happened} faults happened while it read");
            Ok([first, second])
        }
        _ => bail!("the job did not tell of two epochs"),
    }
}
