//! `cargo xtask sanitize address|thread`: the tests of the crates that share memory with the kernel and
//! between threads, under a sanitizer of the compiler: nightly's, or that of another toolchain, which is then let
//! use what only nightly may.
//!
//! ThreadSanitizer has to see the locks of the standard library, which toolchains ship without it: everything that
//! a lock guards is reported else, 4 000 times over these tests. So the library is built anew, from the toolchain's
//! own sources, and then nothing is reported. `sanitize.suppressions` names what would be reported wrongly all the
//! same. AddressSanitizer takes the library as it is.

use crate::run;
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::Command;

/// What is tried unless a crate is named: `unsafe` is in the first, and the second drives it from many tasks.
const CRATES: [&str; 2] = ["disk", "storage-node"];

/// Which sanitizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sanitizer {
    /// Memory that is used after it was freed, or outside its bounds
    Address,
    /// Memory that threads use at once without an order between them
    Thread,
}

/// Builds the tests with the sanitizer, below a target directory of its own, and runs them.
pub(crate) fn run(sanitizer: Sanitizer, asked: Option<&str>, toolchain: &str) -> Result<()> {
    let workspace = Workspace::read()?;
    if let Some(asked) = asked {
        let known = CRATES.join(", ");
        ensure!(
            CRATES.contains(&asked),
            "no crate {asked:?} for this; there are {known}"
        );
    }
    ensure!(
        rustup_has(&["toolchain", "list"], toolchain)?,
        "there is no toolchain {toolchain}: rustup toolchain install {toolchain}"
    );
    ensure!(
        sanitizer == Sanitizer::Address || sources_of(toolchain)?.join("Cargo.lock").exists(),
        "ThreadSanitizer needs the standard library's sources: rustup component add rust-src --toolchain {toolchain}"
    );
    let (name, flags, variable, options) = match sanitizer {
        Sanitizer::Address => (
            "address",
            "-Zsanitizer=address",
            "ASAN_OPTIONS",
            // What a broken ring may still write to is leaked on purpose.
            "detect_leaks=0:detect_stack_use_after_return=1".to_owned(),
        ),
        Sanitizer::Thread => (
            "thread",
            "-Zsanitizer=thread",
            "TSAN_OPTIONS",
            format!(
                "suppressions={}/xtask/src/sanitize.suppressions:halt_on_error=0:history_size=4",
                workspace.root().display()
            ),
        ),
    };
    // A target that is named, so that build scripts and macros are not instrumented.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut tests = Command::new("rustup");
    tests.args(["run", toolchain, "cargo", "test", "--ignore-rust-version"]);
    tests.args([
        "--no-fail-fast",
        "--lib",
        "--test",
        "it",
        "--target",
        &target,
    ]);
    for name in CRATES
        .into_iter()
        .filter(|name| asked.is_none_or(|asked| asked == *name))
    {
        tests.args(["--package", &workspace.member(name)?.name]);
    }
    if sanitizer == Sanitizer::Thread {
        tests.arg("-Zbuild-std");
    }
    tests
        .arg("--target-dir")
        .arg(workspace.target().join("sanitize").join(name))
        // shuttle's threads are stacks that one thread jumps between: nothing runs at once, and a sanitizer
        // takes the jumps for errors.
        .args([
            "--features",
            "tokio/test-util",
            "--",
            "--skip",
            "schedules::",
        ])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", format!("--cfg tokio_unstable {flags}"))
        .env(variable, options);
    run::run(&mut tests)
}

/// Where a toolchain has the standard library's sources, if it does.
fn sources_of(toolchain: &str) -> Result<PathBuf> {
    let mut asked = Command::new("rustup");
    asked.args(["run", toolchain, "rustc", "--print", "sysroot"]);
    let told = asked.output().context("asking where the compiler is")?;
    let root = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    Ok(PathBuf::from(root).join("lib/rustlib/src/rust/library"))
}

/// Whether rustup lists that word.
fn rustup_has(question: &[&str], word: &str) -> Result<bool> {
    let listed = Command::new("rustup").args(question).output();
    let listed = listed.context("asking rustup what it has")?;
    Ok(String::from_utf8_lossy(&listed.stdout).contains(word))
}
