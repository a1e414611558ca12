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
//! Calls act when their future is first polled and complete at once, on any executor; only a stalled
//! sync waits, until [`SimDisk::release`].

use crate::buffer::Buffer;
use crate::device::{BLOCK, Disk, Entry, File, Pending};
use bytes::Bytes;
use futures::FutureExt;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use types::{ByteCount, ByteOffset};

/// The unit in which a write may be torn, like a drive's.
const SECTOR: usize = 512;

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the trait's functions")]
pub enum Operation {
    Create,
    Open,
    List,
    Rename,
    Remove,
    SyncFolder,
    Free,
    Read,
    Write,
    Sync,
    SetLength,
    Allocate,
    Punch,
    Length,
    Links,
}

impl Operation {
    /// Whether it changes the disk or makes a change durable.
    pub fn changes(self) -> bool {
        !matches!(
            self,
            Self::Open | Self::List | Self::Free | Self::Read | Self::Length | Self::Links
        )
    }
}

/// One call, as the script sees it before it acts.
#[derive(Clone, Debug)]
pub struct Call {
    /// Calls on this disk are numbered from 0.
    pub number: u64,
    /// What is called.
    pub operation: Operation,
    /// The file's name when it was opened or created; for names, the name (the old one of a rename).
    pub name: String,
    /// Where, for reads and writes.
    pub at: ByteOffset,
    /// How much, for reads, writes and lengths.
    pub length: ByteCount,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It acts.
    Proceed,
    /// It fails with this errno. A write may have left any part of itself.
    Fail(i32),
    /// It waits for [`SimDisk::release`]; only a sync can.
    Stall,
    /// The power goes while it acts: it fails, and what it did is as pending as the rest.
    CutPower,
}

type Script = Box<dyn FnMut(&Call) -> Fate + Send>;

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

    /// Lets all stalled syncs go on.
    pub fn release(&self) {
        let mut state = self.state();
        for stalled in std::mem::take(&mut state.stalled) {
            let result = state.finish_sync(stalled.file, stalled.pending);
            let _abandoned = stalled.done.send(result);
        }
    }

    /// How many syncs are stalled.
    pub fn stalled(&self) -> usize {
        self.state().stalled.len()
    }

    /// Limits the sum of all files' lengths; a call that would exceed it fails with ENOSPC.
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
            let mut state = disk.state();
            match state.fate(call)? {
                Fate::Fail(errno) => Err(io::Error::from_raw_os_error(errno)),
                Fate::CutPower => {
                    let _never_heard_of = effect(&disk, &mut state);
                    state.cut_power();
                    Err(power_cut())
                }
                Fate::Proceed | Fate::Stall => effect(&disk, &mut state),
            }
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

struct State {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    /// Never shrinks: an open file outlives its name.
    files: Vec<Content>,
    calls: u64,
    changes: u64,
    cut: bool,
    capacity: Option<u64>,
    script: Script,
    stalled: Vec<Stalled>,
    random: Random,
}

struct Stalled {
    file: usize,
    /// How many changes were pending when it was called.
    pending: u64,
    done: oneshot::Sender<io::Result<()>>,
}

impl State {
    fn fate(&mut self, mut call: Call) -> io::Result<Fate> {
        if self.cut {
            return Err(power_cut());
        }
        call.number = self.calls;
        self.calls += 1;
        self.changes += u64::from(call.operation.changes());
        Ok((self.script)(&call))
    }

    fn cut_power(&mut self) {
        self.cut = true;
        for stalled in std::mem::take(&mut self.stalled) {
            let _abandoned = stalled.done.send(Err(power_cut()));
        }
    }

    fn lookup(&self, name: &str) -> io::Result<usize> {
        let id = self.names.get(name).copied();
        id.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename_now(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    fn used(&self) -> u64 {
        let lengths = self.names.values().map(|id| self.files[*id].now.len());
        lengths.sum::<usize>() as u64
    }

    fn change(&mut self, file: usize, change: Change) -> io::Result<()> {
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

    fn finish_sync(&mut self, file: usize, pending: u64) -> io::Result<()> {
        if self.cut {
            return Err(power_cut());
        }
        self.files[file].sync_until(pending);
        Ok(())
    }
}

fn power_cut() -> io::Error {
    io::Error::other("the power was cut")
}

#[derive(Clone)]
enum NameChange {
    Create {
        name: String,
        file: usize,
    },
    Rename {
        from: String,
        to: String,
        file: usize,
    },
    Remove {
        name: String,
        file: usize,
    },
}

impl NameChange {
    /// On durable names earlier changes may be missing; then this one touches only its own file.
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        let mut forget = |name: &String, file: &usize| {
            if names.get(name) == Some(file) {
                names.remove(name);
            }
        };
        match self {
            Self::Create { name, file } => {
                names.insert(name.clone(), *file);
            }
            Self::Rename { from, to, file } => {
                forget(from, file);
                names.insert(to.clone(), *file);
            }
            Self::Remove { name, file } => forget(name, file),
        }
    }
}

/// A change to a file's bytes.
#[derive(Clone)]
enum Change {
    Write {
        at: usize,
        data: Bytes,
    },
    Length(usize),
    /// Extends only.
    Allocate(usize),
    Punch {
        at: usize,
        length: usize,
    },
}

impl Change {
    fn end(&self) -> usize {
        match self {
            Self::Write { at, data } => at + data.len(),
            Self::Length(length) | Self::Allocate(length) => *length,
            Self::Punch { .. } => 0,
        }
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { at, data } => {
                let end = at + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(data);
            }
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Allocate(length) => bytes.resize(bytes.len().max(*length), 0),
            Self::Punch { at, length } => {
                let end = bytes.len().min(at + length);
                if *at < end {
                    bytes[*at..end].fill(0);
                }
            }
        }
    }

    /// What a power cut may leave of it.
    fn survive(&self, bytes: &mut Vec<u8>, random: &mut Random) {
        let Self::Write { at, data } = self else {
            if random.one_in(2) {
                self.apply(bytes);
            }
            return;
        };
        let unit = if random.one_in(2) { SECTOR } else { BLOCK };
        match random.below(4) {
            // Dropped.
            0 => {}
            1 => self.apply(bytes),
            // The file grew, its bytes never came.
            2 => Self::Allocate(self.end()).apply(bytes),
            // Torn: each piece is there or not.
            _ => {
                for (piece, part) in data.chunks(unit).enumerate() {
                    if random.one_in(2) {
                        Self::Write {
                            at: at + piece * unit,
                            data: Bytes::copy_from_slice(part),
                        }
                        .apply(bytes);
                    }
                }
            }
        }
    }
}

#[derive(Clone)]
struct Content {
    /// What reads show.
    now: Vec<u8>,
    /// What a power cut keeps for certain.
    durable: Vec<u8>,
    /// In the order of the calls, numbered.
    pending: Vec<(u64, Change)>,
    changes: u64,
}

impl Content {
    fn settled(bytes: Vec<u8>) -> Self {
        Self {
            now: bytes.clone(),
            durable: bytes,
            pending: Vec::new(),
            changes: 0,
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.pending.push((self.changes, change));
        self.changes += 1;
    }

    fn sync_until(&mut self, number: u64) {
        let settled = self.pending.partition_point(|(n, _)| *n < number);
        for (_, change) in self.pending.drain(..settled) {
            change.apply(&mut self.durable);
        }
    }

    /// The durable bytes and what the seed keeps of the pending changes. Writes between two changes of
    /// length come in any order.
    fn survivor(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let mut order: Vec<&Change> = self.pending.iter().map(|(_, change)| change).collect();
        for run in order.split_mut(|change| !matches!(change, Change::Write { .. })) {
            random.shuffle(run);
        }
        for change in order {
            change.survive(&mut bytes, random);
        }
        bytes
    }

    /// After a failed sync the kernel takes pending bytes for clean: what did not arrive never will.
    fn fail_sync(&mut self, random: &mut Random) {
        self.durable = self.survivor(random);
        self.pending.clear();
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str) -> Pending<Arc<dyn File>> {
        let name = name.to_owned();
        self.act(call(Operation::Create, &name), move |disk, state| {
            if state.names.contains_key(&name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let file = state.files.len();
            state.files.push(Content::settled(Vec::new()));
            state.rename_now(NameChange::Create {
                name: name.clone(),
                file,
            });
            Ok(disk.file(file, name))
        })
    }

    fn open(&self, name: &str) -> Pending<Arc<dyn File>> {
        let name = name.to_owned();
        self.act(call(Operation::Open, &name), move |disk, state| {
            Ok(disk.file(state.lookup(&name)?, name))
        })
    }

    fn list(&self) -> Pending<Vec<Entry>> {
        self.act(call(Operation::List, ""), |_, state| {
            let entry = |(name, id): (&String, &usize)| Entry {
                name: name.clone(),
                length: ByteCount::of(&state.files[*id].now),
            };
            Ok(state.names.iter().map(entry).collect())
        })
    }

    fn rename(&self, from: &str, to: &str) -> Pending<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.act(call(Operation::Rename, &from), move |_, state| {
            let file = state.lookup(&from)?;
            state.rename_now(NameChange::Rename { from, to, file });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> Pending<()> {
        let name = name.to_owned();
        self.act(call(Operation::Remove, &name), move |_, state| {
            let file = state.lookup(&name)?;
            state.rename_now(NameChange::Remove { name, file });
            Ok(())
        })
    }

    fn sync_folder(&self) -> Pending<()> {
        let disk = self.clone();
        async move {
            let mut state = disk.state();
            match state.fate(call(Operation::SyncFolder, ""))? {
                Fate::Fail(errno) => Err(io::Error::from_raw_os_error(errno)),
                Fate::CutPower => {
                    state.cut_power();
                    Err(power_cut())
                }
                Fate::Proceed | Fate::Stall => {
                    state.durable_names = state.names.clone();
                    state.pending_names.clear();
                    Ok(())
                }
            }
        }
        .boxed()
    }

    fn free(&self) -> Pending<ByteCount> {
        self.act(call(Operation::Free, ""), |_, state| {
            let capacity = state.capacity.unwrap_or(1 << 40);
            Ok(ByteCount::new(capacity.saturating_sub(state.used())))
        })
    }

    fn engine(&self) -> String {
        "simulated".to_owned()
    }
}

struct SimFile {
    disk: SimDisk,
    id: usize,
    name: String,
}

impl SimFile {
    fn call(&self, operation: Operation, at: ByteOffset, length: ByteCount) -> Call {
        Call {
            at,
            length,
            ..call(operation, &self.name)
        }
    }

    fn change(&self, operation: Operation, at: ByteOffset, change: Change) -> Pending<()> {
        let length = ByteCount::new(change.end().saturating_sub(index(at)) as u64);
        let id = self.id;
        let call = self.call(operation, at, length);
        self.disk
            .act(call, move |_, state| state.change(id, change))
    }
}

impl File for SimFile {
    fn read(&self, at: ByteOffset, length: ByteCount) -> Pending<Bytes> {
        let id = self.id;
        let call = self.call(Operation::Read, at, length);
        self.disk.act(call, move |_, state| {
            let start = index(at);
            let bytes = state.files[id]
                .now
                .get(start..start + length.as_usize())
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            Ok(Buffer::copy_of(bytes).freeze())
        })
    }

    fn write(&self, at: ByteOffset, data: Buffer) -> Pending<()> {
        let (disk, id) = (self.disk.clone(), self.id);
        let call = self.call(Operation::Write, at, ByteCount::of(&data));
        let change = Change::Write {
            at: index(at),
            data: data.freeze(),
        };
        async move {
            let mut state = disk.state();
            match state.fate(call)? {
                Fate::Proceed | Fate::Stall => state.change(id, change),
                Fate::CutPower => {
                    let _never_heard_of = state.change(id, change);
                    state.cut_power();
                    Err(power_cut())
                }
                Fate::Fail(errno) => {
                    let mut left = state.files[id].now.clone();
                    change.survive(&mut left, &mut state.random);
                    let data = Bytes::from(left);
                    state.files[id].change(Change::Write { at: 0, data });
                    Err(io::Error::from_raw_os_error(errno))
                }
            }
        }
        .boxed()
    }

    fn sync(&self) -> Pending<()> {
        let (disk, id) = (self.disk.clone(), self.id);
        let call = self.call(Operation::Sync, ByteOffset::ZERO, ByteCount::ZERO);
        async move {
            let waiting = {
                let mut state = disk.state();
                let pending = state.files.get(id).map_or(0, |file| file.changes);
                match state.fate(call)? {
                    Fate::Proceed => return state.finish_sync(id, pending),
                    Fate::CutPower => {
                        state.cut_power();
                        return Err(power_cut());
                    }
                    Fate::Fail(errno) => {
                        let State { files, random, .. } = &mut *state;
                        files[id].fail_sync(random);
                        return Err(io::Error::from_raw_os_error(errno));
                    }
                    Fate::Stall => {
                        let (done, waiting) = oneshot::channel();
                        state.stalled.push(Stalled {
                            file: id,
                            pending,
                            done,
                        });
                        waiting
                    }
                }
            };
            waiting.await.unwrap_or_else(|_| Err(power_cut()))
        }
        .boxed()
    }

    fn set_length(&self, length: ByteCount) -> Pending<()> {
        let change = Change::Length(length.as_usize());
        self.change(Operation::SetLength, ByteOffset::ZERO, change)
    }

    fn allocate(&self, length: ByteCount) -> Pending<()> {
        let change = Change::Allocate(length.as_usize());
        self.change(Operation::Allocate, ByteOffset::ZERO, change)
    }

    fn punch(&self, at: ByteOffset, length: ByteCount) -> Pending<()> {
        let change = Change::Punch {
            at: index(at),
            length: length.as_usize(),
        };
        self.change(Operation::Punch, at, change)
    }

    fn length(&self) -> Pending<ByteCount> {
        let id = self.id;
        let call = self.call(Operation::Length, ByteOffset::ZERO, ByteCount::ZERO);
        self.disk.act(call, move |_, state| {
            Ok(ByteCount::of(&state.files[id].now))
        })
    }

    fn links(&self) -> Pending<u64> {
        let id = self.id;
        let call = self.call(Operation::Links, ByteOffset::ZERO, ByteCount::ZERO);
        self.disk.act(call, move |_, state| {
            Ok(state.names.values().filter(|file| **file == id).count() as u64)
        })
    }
}

fn call(operation: Operation, name: &str) -> Call {
    Call {
        number: 0,
        operation,
        name: name.to_owned(),
        at: ByteOffset::ZERO,
        length: ByteCount::ZERO,
    }
}

fn index(at: ByteOffset) -> usize {
    usize::try_from(at.get()).expect("a simulated disk fits in memory")
}

/// SplitMix64: the same decisions for the same seed, for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
