//! What a script sees and says: each call before it acts, and its fate.

use types::{ByteCount, ByteOffset};

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
    Attached,
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
            Self::Open
                | Self::List
                | Self::Free
                | Self::Attached
                | Self::Read
                | Self::Length
                | Self::Links
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
    /// It waits for [`SimDisk::release`](super::SimDisk::release), and acts then; a write and a
    /// folder's sync do not wait.
    Stall,
    /// The power goes while it acts: it fails, and what it did is as pending as the rest.
    CutPower,
}

pub(super) type Script = Box<dyn FnMut(&Call) -> Fate + Send>;

/// A call without a place and a length.
pub(super) fn call(operation: Operation, name: &str) -> Call {
    Call {
        number: 0,
        operation,
        name: name.to_owned(),
        at: ByteOffset::ZERO,
        length: ByteCount::ZERO,
    }
}
