//! A scripted disk in memory: it decides at each call what is torn, lost, slow, failing or full.
//!
//! It keeps what a power cut keeps and what it may lose apart:
//!
//! ```text
//! write, set_length, … --> pending --sync--> durable
//! create, rename, remove --> pending --sync_folder--> durable
//! ```
//!
//! [`SimDisk::crash`] builds the disk that a power cut would have left: each pending change is, by the
//! seed, kept, dropped or (a write) torn, and writes reach the platter in any order; each pending name
//! is kept or lost on its own. After the cut every call on the old handle fails.
//!
//! A failed sync is as bad as the real one: what was pending is decided at once, and a later sync that
//! "succeeds" does not bring it back, though reads go on showing it.
//!
//! Calls act when their future is first polled and complete at once, on any executor. A stalled one waits
//! until [`SimDisk::release`] or [`SimDisk::fail_stalled`], and a sync for a few turns
//! ([`SimDisk::set_sync_turns`]); it makes durable what was written before it began.

mod crash;
mod device;
mod random;
mod script;
mod state;

pub use script::{Call, Fate, Operation};

use crate::device::{File, Pending};
use crash::Content;
use device::SimFile;
use futures::FutureExt;
use random::Random;
use state::{Stalled, State, power_cut};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use types::{ByteCount, ByteOffset};

/// A handle on the simulated disk; clones share it.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk. The seed decides what a failed write or sync leaves behind.
    pub fn new(seed: u64) -> Self {
        Self::holding(seed, BTreeMap::new(), Vec::new(), None)
    }

    fn holding(
        seed: u64,
        names: BTreeMap<String, usize>,
        files: Vec<Content>,
        capacity: Option<u64>,
    ) -> Self {
        let state = State {
            names: names.clone(),
            durable_names: names,
            pending_names: Vec::new(),
            files,
            calls: 0,
            changes: 0,
            cut: false,
            capacity,
            script: Box::new(|_| Fate::Proceed),
            stalled: Vec::new(),
            sync_turns: 0,
            syncing: 0,
            beside_syncs: 0,
            detached: false,
            random: Random(seed),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Asks `script` about every call from now on.
    pub fn script(&self, script: impl FnMut(&Call) -> Fate + Send + 'static) {
        self.state().script = Box::new(script);
    }

    /// Cuts the power at the call of that number.
    pub fn cut_at(&self, number: u64) {
        self.script(move |call| {
            if call.number >= number {
                Fate::CutPower
            } else {
                Fate::Proceed
            }
        });
    }

    /// Cuts the power at the call that would be the disk's `number`th change, counted from 0 like
    /// [`SimDisk::changes`].
    pub fn cut_at_change(&self, number: u64) {
        let mut changes = self.changes();
        self.script(move |call| {
            let cut = call.operation.changes() && changes >= number;
            changes += u64::from(call.operation.changes());
            if cut { Fate::CutPower } else { Fate::Proceed }
        });
    }

    /// Syncs take so many turns from now on: whatever else is ready goes on before they act.
    pub fn set_sync_turns(&self, turns: u32) {
        self.state().sync_turns = turns;
    }

    /// How many writes came while a sync was under way.
    pub fn writes_beside_syncs(&self) -> u64 {
        self.state().beside_syncs
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How many of them changed the disk or made a change durable.
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Cuts the power now.
    pub fn cut(&self) {
        self.state().cut_power();
    }

    /// Whether the power was cut.
    pub fn is_cut(&self) -> bool {
        self.state().cut
    }

    /// The disk as it comes back after a power cut now; `seed` decides what survives. The old handle is
    /// cut off.
    pub fn crash(&self, seed: u64) -> Self {
        let mut state = self.state();
        state.cut_power();
        let mut random = Random(seed);
        let mut names = state.durable_names.clone();
        for change in &state.pending_names {
            if random.one_in(2) {
                change.apply(&mut names);
            }
        }
        let files = state
            .files
            .iter()
            .map(|file| Content::settled(file.survivor(&mut random)))
            .collect();
        Self::holding(random.next(), names, files, state.capacity)
    }

    /// The same disk as after a process was killed and started again: everything that was written is
    /// seen, and what was pending still is. Old handles fail.
    pub fn restart(&self) -> Self {
        let mut state = self.state();
        let revived = Self::holding(
            state.random.next(),
            state.durable_names.clone(),
            state.files.clone(),
            state.capacity,
        );
        revived.state().names = state.names.clone();
        revived.state().pending_names = state.pending_names.clone();
        state.cut_power();
        revived
    }

    /// Lets all stalled calls go on.
    pub fn release(&self) {
        let mut state = self.state();
        for stalled in std::mem::take(&mut state.stalled) {
            let result = match stalled.sync {
                Some((file, pending)) => state.finish_sync(file, pending),
                None => Ok(()),
            };
            let _abandoned = stalled.done.send(result);
        }
    }

    /// Fails all stalled calls with this errno.
    pub fn fail_stalled(&self, errno: i32) {
        let mut state = self.state();
        for stalled in std::mem::take(&mut state.stalled) {
            let error = match stalled.sync {
                Some((file, _)) => state.fail_sync(file, errno),
                None => io::Error::from_raw_os_error(errno),
            };
            let _abandoned = stalled.done.send(Err(error));
        }
    }

    /// How many calls are stalled.
    pub fn stalled(&self) -> usize {
        self.state().stalled.len()
    }

    /// Limits the sum of all files' lengths, without what was punched out; a call that would exceed it fails
    /// with ENOSPC.
    pub fn set_capacity(&self, capacity: ByteCount) {
        self.state().capacity = Some(capacity.get());
    }

    /// Flips bits of one stored byte, silently.
    ///
    /// # Panics
    /// When the file has no such byte.
    pub fn flip(&self, name: &str, at: ByteOffset, mask: u8) {
        let mut state = self.state();
        let id = state.names[name];
        let file = &mut state.files[id];
        let at = usize::try_from(at.get()).expect("a position in memory");
        file.now[at] ^= mask;
        if let Some(byte) = file.durable.get_mut(at) {
            *byte ^= mask;
        }
    }

    /// Removes a name behind the back of whoever holds the file open.
    pub fn snatch(&self, name: &str) {
        let mut state = self.state();
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    /// Whether the path by which it was opened leads elsewhere from now on.
    pub fn detach(&self, detached: bool) {
        self.state().detached = detached;
    }

    /// What a file holds now. `None` when there is none.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let id = state.names.get(name)?;
        Some(state.files[*id].now.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that acts when first polled.
    fn act<T: Send + 'static>(
        &self,
        call: Call,
        effect: impl FnOnce(&Self, &mut State) -> io::Result<T> + Send + 'static,
    ) -> Pending<T> {
        let disk = self.clone();
        async move {
            let waiting = {
                let mut state = disk.state();
                match state.fate(call)? {
                    Fate::Fail(errno) => return Err(io::Error::from_raw_os_error(errno)),
                    Fate::CutPower => {
                        let _never_heard_of = effect(&disk, &mut state);
                        state.cut_power();
                        return Err(power_cut());
                    }
                    Fate::Proceed => return effect(&disk, &mut state),
                    Fate::Stall => {
                        let (done, waiting) = oneshot::channel();
                        state.stalled.push(Stalled { sync: None, done });
                        waiting
                    }
                }
            };
            waiting.await.unwrap_or_else(|_| Err(power_cut()))?;
            effect(&disk, &mut disk.state())
        }
        .boxed()
    }

    fn file(&self, id: usize, name: String) -> Arc<dyn File> {
        Arc::new(SimFile {
            disk: self.clone(),
            id,
            name,
        })
    }
}
