//! Buckets of many objects, listed by S3 clients while others write: loaded through S3, or through proposals.

use crate::python::Python;
use crate::run::{cargo, run, say};
use crate::workspace::Workspace;
use crate::{features, suite};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use strongroom_tests::Cluster;

const BUCKET: &str = "proposed";

/// The listings of a bucket that a client fills through S3.
pub(crate) fn through_s3(python: &Python, cluster: &Cluster, objects: u64) -> Command {
    let mut pytest = suite::pytest(python, cluster, "test_many.py");
    pytest
        .arg("-s")
        .env("STRONGROOM_OBJECTS", objects.to_string());
    pytest
}

/// A gateway over a metadata service to which the objects were proposed one by one.
pub(crate) struct Proposed {
    child: Child,
    objects: u64,
    s3: SocketAddr,
    folder: PathBuf,
}

impl Proposed {
    /// Builds it, starts it, and waits until it has its objects.
    pub(crate) fn start(workspace: &Workspace, objects: u64) -> Result<Self> {
        let mut build = cargo("build");
        run(features::select(&mut build, &["strongroom-gateway"]).args(["--example", "many"]))?;
        let folder = workspace.target().join("many");
        fs::create_dir_all(&folder).context("making target/many")?;
        let mut program = Command::new(workspace.target().join("debug/examples/many"));
        program
            .args([BUCKET, &objects.to_string()])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        say(&program);
        let mut child = program.spawn().context("starting the gateway")?;
        let out = child.stdout.take().context("no pipe to the gateway")?;
        let mut s3 = None;
        for line in BufReader::new(out).lines() {
            let line = line.context("reading what the gateway says")?;
            eprintln!("{line}");
            match line.split_once(' ') {
                Some(("s3", address)) => s3 = Some(address.parse().context("an address")?),
                None if line == "ready" => {
                    let s3 = s3.context("the gateway said no address")?;
                    return Ok(Self {
                        child,
                        objects,
                        s3,
                        folder,
                    });
                }
                _ => {}
            }
        }
        bail!("the gateway ended: {}", child.wait()?)
    }

    /// The listings.
    pub(crate) fn listings(&self, python: &Python) -> Command {
        let mut pytest = python.program_at("pytest", self.s3, &self.folder);
        suite::quietly(&mut pytest)
            .arg("-s")
            .arg(python.script("test_many.py"))
            .env("STRONGROOM_OBJECTS", self.objects.to_string())
            .env("STRONGROOM_LOADED", BUCKET);
        pytest
    }

    /// Ends it.
    pub(crate) fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait().context("waiting for the gateway")?;
        fs::remove_dir_all(&self.folder).context("removing target/many")?;
        ensure!(status.success(), "the gateway ended with {status}");
        Ok(())
    }
}
