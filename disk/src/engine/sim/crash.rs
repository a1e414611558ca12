//! What is pending, and what a power cut leaves of it.

use super::random::Random;
use crate::device::BLOCK;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// The unit in which a write may be torn, like a drive's.
const SECTOR: usize = 512;

/// A change to the folder's names.
#[derive(Clone)]
pub(super) enum NameChange {
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
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
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
pub(super) enum Change {
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
    pub(super) fn end(&self) -> usize {
        match self {
            Self::Write { at, data } => at + data.len(),
            Self::Length(length) | Self::Allocate(length) => *length,
            Self::Punch { .. } => 0,
        }
    }

    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
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
    pub(super) fn survive(&self, bytes: &mut Vec<u8>, random: &mut Random) {
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

/// A file's bytes.
#[derive(Clone)]
pub(super) struct Content {
    /// What reads show.
    pub(super) now: Vec<u8>,
    /// What a power cut keeps for certain.
    pub(super) durable: Vec<u8>,
    /// In the order of the calls, numbered.
    pending: Vec<(u64, Change)>,
    pub(super) changes: u64,
    /// Blocks of `now` that were punched out: they take no space.
    holes: BTreeSet<usize>,
}

impl Content {
    pub(super) fn settled(bytes: Vec<u8>) -> Self {
        Self {
            now: bytes.clone(),
            durable: bytes,
            pending: Vec::new(),
            changes: 0,
            holes: BTreeSet::new(),
        }
    }

    /// Bytes that it takes on the disk.
    pub(super) fn space(&self) -> usize {
        self.now.len() - self.holes.len() * BLOCK
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        match &change {
            Change::Write { at, data } => {
                let (first, behind) = (at / BLOCK, (at + data.len()).div_ceil(BLOCK));
                self.holes.retain(|block| !(first..behind).contains(block));
            }
            Change::Punch { at, length } => {
                let end = self.now.len().min(at + length);
                self.holes.extend(at.div_ceil(BLOCK)..end / BLOCK);
            }
            Change::Length(_) | Change::Allocate(_) => {}
        }
        let blocks = self.now.len() / BLOCK;
        self.holes.retain(|block| *block < blocks);
        self.pending.push((self.changes, change));
        self.changes += 1;
    }

    pub(super) fn sync_until(&mut self, number: u64) {
        let settled = self.pending.partition_point(|(n, _)| *n < number);
        for (_, change) in self.pending.drain(..settled) {
            change.apply(&mut self.durable);
        }
    }

    /// The durable bytes and what the seed keeps of the pending changes. Writes between two changes of
    /// length come in any order.
    pub(super) fn survivor(&self, random: &mut Random) -> Vec<u8> {
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
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        self.durable = self.survivor(random);
        self.pending.clear();
    }
}
