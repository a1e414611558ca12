//! An operation from submission to completion.

use crate::buffer::Buffer;
use crate::engine::folder::{RawFile, advance};
use bytes::Bytes;
use io_uring::{opcode, squeue, types::Fd, types::FsyncFlags};
use std::io;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The kernel moves less than 2 GiB at once.
const LONGEST: usize = 1 << 30;

/// An operation with all that the kernel needs until it completes.
pub(crate) struct Operation {
    pub(crate) file: Arc<RawFile>,
    pub(crate) work: Work,
}

/// What to do, and whom to tell.
pub(crate) enum Work {
    Read {
        buffer: Buffer,
        at: u64,
        done: usize,
        answer: oneshot::Sender<io::Result<Bytes>>,
    },
    Write {
        buffer: Buffer,
        at: u64,
        done: usize,
        answer: oneshot::Sender<io::Result<()>>,
    },
    Sync {
        answer: oneshot::Sender<io::Result<()>>,
    },
}

impl Operation {
    /// The submission for what is left to do.
    pub(super) fn entry(&mut self) -> squeue::Entry {
        let file = Fd(self.file.descriptor());
        match &mut self.work {
            Work::Read {
                buffer, at, done, ..
            } => {
                let rest = &mut buffer[*done..];
                opcode::Read::new(file, rest.as_mut_ptr(), piece(rest))
                    .offset(*at + *done as u64)
                    .build()
            }
            Work::Write {
                buffer, at, done, ..
            } => {
                let rest = &buffer[*done..];
                opcode::Write::new(file, rest.as_ptr(), piece(rest))
                    .offset(*at + *done as u64)
                    .build()
            }
            Work::Sync { .. } => opcode::Fsync::new(file).flags(FsyncFlags::DATASYNC).build(),
        }
    }

    /// Whether nothing is left to do before the first submission.
    pub(super) fn is_whole(&self) -> bool {
        match &self.work {
            Work::Read { buffer, done, .. } | Work::Write { buffer, done, .. } => {
                *done == buffer.len()
            }
            Work::Sync { .. } => false,
        }
    }

    /// Takes in a completion. `None` when the rest has to be submitted.
    pub(super) fn step(&mut self, moved: io::Result<usize>) -> Option<io::Result<()>> {
        let progress = match &mut self.work {
            Work::Read { done, .. } => {
                advance(*done, moved, io::ErrorKind::UnexpectedEof).map(|now| *done = now)
            }
            Work::Write { done, .. } => {
                advance(*done, moved, io::ErrorKind::WriteZero).map(|now| *done = now)
            }
            Work::Sync { .. } => match moved {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return None,
                other => return Some(other.map(|_| ())),
            },
        };
        match progress {
            Err(error) => Some(Err(error)),
            Ok(()) => self.is_whole().then_some(Ok(())),
        }
    }

    /// Tells whoever still waits. Lets go of the file first: with the answer, its owner may close the
    /// folder and expect its lock to be free.
    pub(super) fn answer(self, result: io::Result<()>) {
        let Self { file, work } = self;
        drop(file);
        let _abandoned = match work {
            Work::Read { buffer, answer, .. } => {
                answer.send(result.map(|()| buffer.freeze())).is_err()
            }
            Work::Write { answer, .. } | Work::Sync { answer } => answer.send(result).is_err(),
        };
    }
}

/// A length that one submission can carry: whole blocks.
fn piece(rest: &[u8]) -> u32 {
    u32::try_from(rest.len().min(LONGEST)).expect("LONGEST is below 4 GiB")
}
