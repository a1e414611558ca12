//! `cargo xtask full-disk`: a storage node on small file systems of its own, filled, emptied and filled again.
//!
//! A file of 1 GiB under `target/` is made ext4, then XFS, and mounted on a folder beside it; the test `full` of
//! storage-node runs there. Mounting takes root: without it, or without the program that makes a file system, this
//! says what it leaves out.

use crate::features;
use crate::run::{self, cargo};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

const PACKAGE: &str = "strongroom-storage-node";
/// XFS takes no less than 300 MB.
const SIZE: u64 = 1 << 30;
/// File systems, and what makes them.
const FILE_SYSTEMS: [(&str, &[&str]); 2] = [
    ("ext4", &["mkfs.ext4", "-q", "-F"]),
    ("xfs", &["mkfs.xfs", "-q", "-f"]),
];

/// Runs the test on each.
pub(crate) fn run() -> Result<()> {
    if !is_root() {
        eprintln!("mounting takes root: full disks are left out");
        return Ok(());
    }
    let workspace = Workspace::read()?;
    for (name, make) in FILE_SYSTEMS {
        if Command::new(make[0]).arg("-V").output().is_err() {
            eprintln!("{} is not there: {name} is left out", make[0]);
            continue;
        }
        let folder = workspace.target().join("full-disk").join(name);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let tried = on(&folder, make);
        let removed = fs::remove_dir_all(&folder);
        tried.with_context(|| format!("on {name}"))?;
        removed.with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(())
}

fn on(folder: &Path, make: &[&str]) -> Result<()> {
    let (image, mounted) = (folder.join("image"), folder.join("mounted"));
    File::create(&image)?.set_len(SIZE)?;
    fs::create_dir_all(&mounted)?;
    run::run(Command::new(make[0]).args(&make[1..]).arg(&image))?;
    run::run(
        Command::new("mount")
            .args(["-o", "loop"])
            .args([&image, &mounted]),
    )?;
    let mut test = cargo("test");
    features::select(&mut test, &[PACKAGE])
        .args(["--test", "it", "full::", "--", "--nocapture"])
        .env("STRONGROOM_FULL_DISK", &mounted);
    let tried = run::run(&mut test);
    // Whatever came of it.
    let unmounted = run::run(Command::new("umount").arg(&mounted));
    tried.and(unmounted)
}

fn is_root() -> bool {
    let asked = Command::new("id").arg("-u").output();
    asked.is_ok_and(|answer| answer.stdout == b"0\n")
}
