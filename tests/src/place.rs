//! Where the program under test is, and where the data and the logs of a run go: all under cargo's
//! target folder, on the same file system as the build, since a `/tmp` in memory refuses O_DIRECT.

use anyhow::{Context, Result, ensure};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const MARKS: [&str; 2] = ["CACHEDIR.TAG", ".rustc_info.json"];

/// Cargo's target folder: the nearest one above this executable that carries one of cargo's own marks. The tag
/// is missing where the folder was there before cargo, as one that several checkouts share is.
pub fn target() -> Result<PathBuf> {
    let executable = env::current_exe().context("asking where this executable is")?;
    let found = executable
        .ancestors()
        .find(|folder| MARKS.iter().any(|mark| folder.join(mark).is_file()));
    Ok(found
        .with_context(|| format!("no target folder above {}", executable.display()))?
        .to_owned())
}

/// The `strongroom` program: `STRONGROOM_BIN`, or the one beside this executable in its profile's folder.
pub fn program() -> Result<PathBuf> {
    let path = match env::var_os("STRONGROOM_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            let executable = env::current_exe().context("asking where this executable is")?;
            let target = target()?;
            let profile = executable.strip_prefix(&target)?.components().next();
            target
                .join(profile.context("this executable is outside a profile's folder")?)
                .join("strongroom")
        }
    };
    ensure!(
        path.is_file(),
        "{} does not exist; build it with `cargo build --ignore-rust-version -p strongroom`, or run \
         `cargo xtask test`, which does",
        path.display()
    );
    Ok(path)
}

/// The same program of an earlier build, which `cargo xtask upgrade` makes: `STRONGROOM_OLDER`.
pub fn older() -> Result<PathBuf> {
    let path = env::var_os("STRONGROOM_OLDER").map(PathBuf::from);
    path.filter(|path| path.is_file()).context(
        "STRONGROOM_OLDER names no earlier build; run `cargo xtask upgrade`, which makes one",
    )
}

/// Runs a program to its end, whatever that is.
pub(crate) fn output(program: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(program);
    Ok(command.args(arguments).stdin(Stdio::null()).output()?)
}

/// The same; it must succeed.
pub(crate) fn run(program: &Path, arguments: &[&str]) -> Result<Output> {
    let output = output(program, arguments)?;
    ensure!(output.status.success(), "{arguments:?}: {output:?}");
    Ok(output)
}

/// What a cluster leaves behind when it goes: nothing, or for a look if the test failed.
pub(crate) fn leave(folder: &Path, log: &Path) {
    if std::thread::panicking() {
        eprintln!(
            "kept for a look: {} and {}",
            folder.display(),
            log.display()
        );
    } else {
        let _ = fs::remove_dir_all(folder);
    }
}

/// A folder for what a run leaves behind only when it fails.
pub fn scratch() -> Result<PathBuf> {
    let folder = target()?.join("system");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}
