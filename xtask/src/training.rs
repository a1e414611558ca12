//! The main job, whole: a steward uploads a data set, a training job reads every sample back in a seeded
//! shuffle, once with all disks and once with two of them gone.

use crate::python::Python;
use crate::workspace::Workspace;
use crate::{corpus, run};
use anyhow::{Context, Result, ensure};
use std::fs;
use strongroom_tests::Cluster;

const WORKERS: &str = "4";
/// The two disks that are lost: any two would do, and the whole-system tests try all pairs.
const LOST: [u8; 2] = [1, 4];

/// Packs the corpus when it is missing, uploads it, trains on it twice.
pub(crate) fn run(workspace: &Workspace, python: &Python) -> Result<()> {
    let folder = corpus::folder(workspace);
    if !folder.join("index.jsonl").is_file() {
        corpus::pack(&folder)?;
    }
    let mut cluster = Cluster::start("training")?;
    let script = python.script("train.py");
    let step = |cluster: &Cluster, words: &[&str]| {
        let mut command = python.program_on("python", cluster);
        run::run(command.arg(&script).args(words))
    };
    let corpus = folder
        .to_str()
        .context("the target folder's path is UTF-8")?;
    step(
        &cluster,
        &["upload", "--corpus", corpus, "--bucket", "corpus"],
    )?;
    let train = |cluster: &Cluster, seed: &str| {
        step(
            cluster,
            &[
                "train",
                "--bucket",
                "corpus",
                "--workers",
                WORKERS,
                "--seed",
                seed,
            ],
        )
    };
    train(&cluster, "1").context("with all disks")?;
    ensure!(
        cluster.stop()?.success(),
        "the cluster did not stop cleanly"
    );
    for disk in LOST {
        fs::remove_dir_all(cluster.disk(disk)).with_context(|| format!("removing disk {disk}"))?;
    }
    cluster.start_again()?;
    train(&cluster, "2").context("without two disks")?;
    ensure!(
        cluster.stop()?.success(),
        "the cluster did not stop cleanly"
    );
    Ok(())
}
