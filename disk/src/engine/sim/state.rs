//! The disk behind its handles: names, files, the script, and whether the power is on.

use super::crash::{Change, Content, NameChange};
use super::random::Random;
use super::script::{Call, Fate, Script};
use std::collections::BTreeMap;
use std::io;
use tokio::sync::oneshot;

pub(super) struct State {
    pub(super) names: BTreeMap<String, usize>,
    pub(super) durable_names: BTreeMap<String, usize>,
    pub(super) pending_names: Vec<NameChange>,
    /// Never shrinks: an open file outlives its name.
    pub(super) files: Vec<Content>,
    pub(super) calls: u64,
    pub(super) changes: u64,
    pub(super) cut: bool,
    pub(super) capacity: Option<u64>,
    pub(super) script: Script,
    pub(super) stalled: Vec<Stalled>,
    /// How long a sync takes.
    pub(super) sync_turns: u32,
    /// Syncs that take their turns.
    pub(super) syncing: u32,
    pub(super) beside_syncs: u64,
    /// Its path leads elsewhere.
    pub(super) detached: bool,
    pub(super) random: Random,
}

/// A call that waits for its release.
pub(super) struct Stalled {
    /// Of a sync: which file, and how many changes were pending when it was called. Any other call acts
    /// by itself once it is released.
    pub(super) sync: Option<(usize, u64)>,
    pub(super) done: oneshot::Sender<io::Result<()>>,
}

impl State {
    pub(super) fn fate(&mut self, mut call: Call) -> io::Result<Fate> {
        if self.cut {
            return Err(power_cut());
        }
        call.number = self.calls;
        self.calls += 1;
        self.changes += u64::from(call.operation.changes());
        Ok((self.script)(&call))
    }

    pub(super) fn cut_power(&mut self) {
        self.cut = true;
        for stalled in std::mem::take(&mut self.stalled) {
            let _abandoned = stalled.done.send(Err(power_cut()));
        }
    }

    pub(super) fn lookup(&self, name: &str) -> io::Result<usize> {
        let id = self.names.get(name).copied();
        id.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn rename_now(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    pub(super) fn used(&self) -> u64 {
        let spaces = self.names.values().map(|id| self.files[*id].space());
        spaces.sum::<usize>() as u64
    }

    pub(super) fn change(&mut self, file: usize, change: Change) -> io::Result<()> {
        let grows = change.end().saturating_sub(self.files[file].now.len()) as u64;
        if let Some(capacity) = self.capacity
            && grows > 0
            && self.used() + grows > capacity
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.files[file].change(change);
        Ok(())
    }

    /// Decides what is left of the file's pending changes; the error to answer with.
    pub(super) fn fail_sync(&mut self, file: usize, errno: i32) -> io::Error {
        self.files[file].fail_sync(&mut self.random);
        io::Error::from_raw_os_error(errno)
    }

    pub(super) fn finish_sync(&mut self, file: usize, pending: u64) -> io::Result<()> {
        if self.cut {
            return Err(power_cut());
        }
        self.files[file].sync_until(pending);
        Ok(())
    }
}

pub(super) fn power_cut() -> io::Error {
    io::Error::other("the power was cut")
}
