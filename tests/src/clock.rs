//! A server process whose clock can be set, as if its machine's were: the program itself knows nothing of it.
//!
//! A few functions of C (`clock.c`) stand before libc's and move what they answer, for the standard library and for
//! every library in the process alike. They are compiled when a test first asks for them, by the C compiler that
//! building the program takes anyhow. A namespace of the kernel moves the monotonic clock only, and nothing in the
//! program would be as honest: who verifies certificates and signatures asks the system.

use crate::place;
use crate::roles::{Server, text};
use anyhow::{Context, Result, ensure};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const SOURCE: &str = include_str!("clock.c");
/// As it is.
const RATE: i64 = 1000;

/// One process's clock.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    /// A clock that is right, kept in this file.
    pub fn new(file: &Path) -> Result<Self> {
        let clock = Self {
            file: file.to_owned(),
        };
        let numbers = [0_i64.to_ne_bytes(), RATE.to_ne_bytes()].concat();
        fs::write(&clock.file, numbers)?;
        Ok(clock)
    }

    /// Has a process go by it, from its next start on.
    pub fn set_on(&self, server: &mut Server) -> Result<()> {
        server.set("LD_PRELOAD", &text(library()?));
        server.set("STRONGROOM_TEST_CLOCK", &text(&self.file));
        Ok(())
    }

    /// From now on the wall clock is so many seconds ahead.
    pub fn ahead(&self, seconds: i64) -> Result<()> {
        self.write(0, seconds)
    }

    /// The monotonic clock runs at so many per mille, from the process's next start on.
    pub fn run_at(&self, rate: i64) -> Result<()> {
        self.write(8, rate)
    }

    /// In place: the file is mapped.
    fn write(&self, at: u64, number: i64) -> Result<()> {
        let file = OpenOptions::new().write(true).open(&self.file)?;
        Ok(file.write_all_at(&number.to_ne_bytes(), at)?)
    }
}

/// The functions, compiled.
fn library() -> Result<&'static Path> {
    static COMPILED: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| compile().map_err(|error| format!("{error:#}")));
    match compiled {
        Ok(library) => Ok(library),
        Err(error) => anyhow::bail!("{error}"),
    }
}

fn compile() -> Result<PathBuf> {
    let library = place::scratch()?.join("clock.so");
    // Another run may use it.
    let made = library.with_extension(std::process::id().to_string());
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut compiler = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O2", "-x", "c", "-", "-o"])
        .arg(&made)
        .stdin(Stdio::piped())
        .spawn()
        .context("running the C compiler, for a clock that can be set")?;
    let mut input = compiler.stdin.take().context("no standard input")?;
    input.write_all(SOURCE.as_bytes())?;
    drop(input);
    ensure!(compiler.wait()?.success(), "clock.c does not compile");
    fs::rename(&made, &library)?;
    Ok(library)
}
