//! `cargo xtask fuzz`: the targets of `tests/fuzz`, by libFuzzer, with coverage of our own crates.
//!
//! No nightly compiler is needed: coverage is a pass of the stable one's backend, and without a sanitizer
//! nothing else is. Only packages of the workspace are compiled with it, by a wrapper around the compiler,
//! so that everything they depend on is the build that every other command uses.

use crate::features;
use crate::run::{self, cargo};
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "strongroom-fuzz";

/// The targets, by name.
pub(crate) const TARGETS: [&str; 7] = [
    "signature",
    "framing",
    "document",
    "stored",
    "record",
    "tombstone",
    "footer",
];

/// What libFuzzer's coverage consists of. One unit of code generation a crate keeps the counters of a
/// function beside it.
const COVERAGE: &str = "-Cpasses=sancov-module -Ccodegen-units=1 \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// One request must be answered within so many seconds.
const PATIENCE: u32 = 30;
/// A gateway under one request at a time takes far less.
const MEMORY_MIB: u32 = 2048;

/// Builds the targets and runs `target`, or all of them side by side, for so many seconds.
pub(crate) fn run(target: Option<&str>, seconds: u64) -> Result<()> {
    let workspace = Workspace::read()?;
    if let Some(name) = target {
        let known = TARGETS.join(", ");
        ensure!(
            TARGETS.contains(&name),
            "no target {name:?}; there are {known}"
        );
    }
    let folder = workspace.target().join("fuzz");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    build(&wrapper(&folder)?)?;
    // At once: each has one request under way, and waits for its answer.
    let (workspace, folder) = (&workspace, folder.as_path());
    std::thread::scope(|scope| {
        let wanted = TARGETS.into_iter();
        let wanted = wanted.filter(|name| target.is_none_or(|target| target == *name));
        let running: Vec<_> = wanted
            .map(|name| scope.spawn(move || fuzz(workspace, folder, name, seconds)))
            .collect();
        running.into_iter().try_for_each(|target| {
            let outcome = target.join();
            outcome.expect("starting a program does not panic")
        })
    })
}

/// The compiler with coverage.
fn wrapper(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("rustc-with-coverage");
    let script = format!("#!/bin/sh\nexec \"$@\" {COVERAGE}\n");
    // Written anew, it would have cargo build everything again.
    if fs::read_to_string(&path).is_ok_and(|present| present == script) {
        return Ok(path);
    }
    fs::write(&path, script).with_context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn build(wrapper: &Path) -> Result<()> {
    let mut build = cargo("build");
    features::select(&mut build, &[PACKAGE])
        .args(["--features", "strongroom-fuzz/targets"])
        .args(["--bins", "--examples"])
        .env("RUSTC_WORKSPACE_WRAPPER", wrapper);
    run::run(&mut build)
}

/// Inputs that reach something new are kept under `target/fuzz/corpus`; what makes a target panic is kept
/// as `target/fuzz/found-…`, and belongs into its seeds once it is mended.
fn fuzz(workspace: &Workspace, folder: &Path, name: &str, seconds: u64) -> Result<()> {
    let corpus = folder.join("corpus").join(name);
    fs::create_dir_all(&corpus).with_context(|| format!("making {}", corpus.display()))?;
    let program = workspace
        .target()
        .join("debug")
        .join(format!("fuzz-{name}"));
    let found = folder.join(format!("found-{name}-"));
    let mut command = Command::new(program);
    command
        .arg(&corpus)
        .arg(workspace.root().join("tests/fuzz/seeds").join(name))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={PATIENCE}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-artifact_prefix={}", found.display()))
        .arg("-print_final_stats=1")
        .arg("-verbosity=1");
    run::run(&mut command)
}
