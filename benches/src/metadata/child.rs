//! Processes of our own that tell what they measured, or are killed.

use anyhow::{Context, Result, ensure};
use metadata::Store;
use metadata::store::Start;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use strongroom_benches::report::print;

/// For how long one stores that is killed then.
const STORES: Duration = Duration::from_secs(3);
const STORING: &str = "storing";

/// This very program, to be asked for a part of a question.
pub(crate) fn command() -> Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}

/// What it tells.
pub(crate) fn answer<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let told = command.output().context("starting a process of its own")?;
    let why = String::from_utf8_lossy(&told.stderr);
    ensure!(told.status.success(), "{}", why.trim());
    Ok(serde_json::from_slice(&told.stdout)?)
}

/// Kills one while it [`store`]s.
pub(crate) fn kill(command: &mut Command) -> Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let out = child.stdout.take().context("its output")?;
    BufReader::new(out).read_line(&mut line)?;
    ensure!(line.trim() == STORING, "it told {line:?}");
    std::thread::sleep(STORES);
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// In the process that is killed: writes one row again and again, beside those that are there.
pub(crate) fn store(start: &dyn Start, folder: &Path) -> Result<()> {
    let (store, _) = Store::open_with(start, folder)?;
    let mark = store.mark().context("the store has a mark")?;
    print(STORING);
    for number in 0_u64.. {
        let mut txn = store.begin();
        // Of a table that is none: nobody reads it.
        txn.put(b"\xf0bench".to_vec(), number.to_be_bytes().to_vec());
        store.commit(txn.into_changes(), &mark)?;
    }
    Ok(())
}
