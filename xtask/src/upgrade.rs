//! `cargo xtask upgrade`: servers of two builds as one cluster, the earlier one built from its commit.

use crate::run::{cargo, run, run_counted};
use crate::suite;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The last commit whose builds know feature level 1 and no other (`metadata/src/level.rs`): the format that was
/// there before this build's.
const EARLIER: &str = "3cfde5608ae29609ed89ef9cb7d2f90031e687d4";

pub(crate) fn test() -> Result<()> {
    let workspace = Workspace::read()?;
    let folder = workspace.target().join("earlier");
    let source = folder.join("source");
    if !source.exists() {
        unpack(&folder, &source)?;
    }
    let target = folder.join("target");
    run(cargo("build")
        .args(["-p", "strongroom", "-p", "strongroom-features"])
        .current_dir(&source)
        .env("CARGO_TARGET_DIR", &target))?;
    suite::program()?;
    let mut test = cargo("test");
    test.args(["--workspace", "--test", "system", "--", "--nocapture"]);
    test.arg("processes::upgrade::");
    test.env("STRONGROOM_OLDER", target.join("debug/strongroom"));
    run_counted(&mut test).1
}

/// The earlier commit's files, out of this clone's history.
fn unpack(folder: &Path, source: &Path) -> Result<()> {
    let (packed, unfinished) = (folder.join("source.tar"), folder.join("unfinished"));
    fs::create_dir_all(&unfinished)?;
    let mut archive = Command::new("git");
    archive.args(["archive", "--output"]).arg(&packed);
    run(archive.arg(EARLIER)).context("it takes a clone with the whole history")?;
    let mut unpack = Command::new("tar");
    run(unpack.arg("-xf").arg(&packed).arg("-C").arg(&unfinished))?;
    fs::remove_file(&packed)?;
    fs::rename(&unfinished, source)?;
    Ok(())
}
