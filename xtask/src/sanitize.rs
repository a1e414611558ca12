//! `cargo xtask sanitize address|thread`: the tests of the crates that share memory with the kernel and
//! between threads, under a sanitizer of the nightly compiler.
//!
//! ThreadSanitizer has to see the locks of the standard library, which nightly ships without it: everything that
//! a lock guards is reported else: 4 000 reports over these tests, of which all that were looked at are of that kind. So
//! the library is built anew, from its sources; `sanitize.suppressions` names what is reported wrongly all the same.
//! AddressSanitizer takes the library as it is.

use crate::run;
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// What is tried unless a crate is named: `unsafe` is in the first, and the second drives it from many tasks.
const CRATES: [&str; 2] = ["disk", "storage-node"];

/// As rustup lists the standard library's sources once they are there.
const SOURCES: &str = "rust-src (installed)";

/// Which sanitizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sanitizer {
    /// Memory that is used after it was freed, or outside its bounds
    Address,
    /// Memory that threads use at once without an order between them
    Thread,
}

/// Builds the tests with the sanitizer, below a target directory of its own, and runs them.
pub(crate) fn run(sanitizer: Sanitizer, asked: Option<&str>) -> Result<()> {
    let workspace = Workspace::read()?;
    if let Some(asked) = asked {
        let known = CRATES.join(", ");
        ensure!(
            CRATES.contains(&asked),
            "no crate {asked:?} for this; there are {known}"
        );
    }
    ensure!(
        rustup_has(&["toolchain", "list"], "nightly")?,
        "sanitizers are part of the nightly compiler only: rustup toolchain install nightly"
    );
    ensure!(
        sanitizer == Sanitizer::Address
            || rustup_has(&["component", "list", "--toolchain", "nightly"], SOURCES)?,
        "ThreadSanitizer needs the standard library's sources: rustup component add rust-src --toolchain nightly"
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
    tests.args(["run", "nightly", "cargo", "test", "--ignore-rust-version"]);
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
        .env("RUSTFLAGS", format!("--cfg tokio_unstable {flags}"))
        .env(variable, options);
    run::run(&mut tests)
}

/// Whether rustup lists that word.
fn rustup_has(question: &[&str], word: &str) -> Result<bool> {
    let listed = Command::new("rustup").args(question).output();
    let listed = listed.context("asking rustup what it has")?;
    Ok(String::from_utf8_lossy(&listed.stdout).contains(word))
}
