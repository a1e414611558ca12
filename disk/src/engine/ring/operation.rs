//! An operation from submission to completion.

use crate::buffer::Buffer;
use crate::engine::folder::{RawFile, advance};
use bytes::Bytes;
use io_uring::{opcode, squeue, types::Fd};
use std::io;
use std::sync::Arc;
use tokio::sync::oneshot;
use types::ByteOffset;

/// The kernel moves less than 2 GiB at once.
const LONGEST: usize = 1 << 30;

/// An operation with all that the kernel needs until it completes.
pub(crate) struct Operation {
    pub(crate) file: Arc<RawFile>,
    pub(crate) buffer: Buffer,
    pub(crate) at: ByteOffset,
    /// Bytes moved so far: whole blocks.
    pub(crate) done: usize,
    pub(crate) work: Work,
}

/// What to do, and whom to tell.
pub(crate) enum Work {
    Read(oneshot::Sender<io::Result<Bytes>>),
    Write(oneshot::Sender<io::Result<()>>),
}

impl Operation {
    pub(crate) fn new(file: Arc<RawFile>, buffer: Buffer, at: ByteOffset, work: Work) -> Self {
        Self {
            file,
            buffer,
            at,
            done: 0,
            work,
        }
    }

    /// The submission for what is left to do.
    pub(super) fn entry(&mut self) -> squeue::Entry {
        let file = Fd(self.file.descriptor());
        let at = self.at.get() + self.done as u64;
        let rest = &mut self.buffer[self.done..];
        match self.work {
            Work::Read(_) => opcode::Read::new(file, rest.as_mut_ptr(), piece(rest))
                .offset(at)
                .build(),
            Work::Write(_) => opcode::Write::new(file, rest.as_ptr(), piece(rest))
                .offset(at)
                .build(),
        }
    }

    /// Whether nothing is left to do.
    pub(super) fn is_whole(&self) -> bool {
        self.done == self.buffer.len()
    }

    /// Takes in a completion. `None` when the rest has to be submitted.
    pub(super) fn step(&mut self, moved: io::Result<usize>) -> Option<io::Result<()>> {
        let ended = match self.work {
            Work::Read(_) => io::ErrorKind::UnexpectedEof,
            Work::Write(_) => io::ErrorKind::WriteZero,
        };
        match advance(self.done, moved, ended) {
            Err(error) => Some(Err(error)),
            Ok(done) => {
                self.done = done;
                self.is_whole().then_some(Ok(()))
            }
        }
    }

    /// Does it by blocking calls, from its beginning.
    pub(super) fn perform(mut self) {
        let done = match self.work {
            Work::Read(_) => self.file.read_into(self.at, &mut self.buffer),
            Work::Write(_) => self.file.write(self.at, &self.buffer),
        };
        self.answer(done);
    }

    /// Tells whoever still waits. Lets go of the file first: with the answer, its owner may close the
    /// folder and expect its lock to be free.
    pub(super) fn answer(self, result: io::Result<()>) {
        drop(self.file);
        let _abandoned = match self.work {
            Work::Read(answer) => answer.send(result.map(|()| self.buffer.freeze())).is_err(),
            Work::Write(answer) => answer.send(result).is_err(),
        };
    }
}

impl Work {
    /// Tells whoever still waits that it failed.
    pub(super) fn fail(self, error: io::Error) {
        let _abandoned = match self {
            Self::Read(answer) => answer.send(Err(error)).is_err(),
            Self::Write(answer) => answer.send(Err(error)).is_err(),
        };
    }
}

/// A length that one submission can carry: whole blocks.
fn piece(rest: &[u8]) -> u32 {
    u32::try_from(rest.len().min(LONGEST)).expect("LONGEST is below 4 GiB")
}
