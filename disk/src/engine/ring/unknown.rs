//! Operations whose end the kernel never told: done, under way, or never begun.
//!
//! They are done again by threads, which is right if nothing of the first attempt can happen afterwards:
//! - **A read** goes into fresh memory. The old memory is leaked, since the kernel may still write to it.
//! - **A write** puts the same bytes to the same place. But the first attempt, landing late, would undo what
//!   its owner writes there once it was answered. So it is done again only when that cannot be. First the
//!   ring's thread has ended: as a thread ends, the kernel ends its io_uring workers, and cancels what they
//!   had not begun (`io_uring_cancel_generic`, `io_wq_put_and_exit`). Then what is left is direct I/O in
//!   flight on the device, and `RawFile::settle` waits for all there is on that file. Where a file system
//!   makes no such promise, the write fails with its outcome unknown, which stops the disk as any failed
//!   write does; its memory and the folder's lock are kept for good.
//! - **Syncs** never go through a ring: one that is repeated after its outcome was lost would be believed
//!   wrongly.

use super::operation::{Operation, Work};
use crate::buffer::Buffer;
use std::mem::{self, ManuallyDrop};

/// An operation that a broken ring left. The kernel may still use its memory, so that is never freed unless
/// `again` finds that it may be.
pub(super) struct Unknown(ManuallyDrop<Operation>);

impl Unknown {
    pub(super) fn new(operation: Operation) -> Self {
        Self(ManuallyDrop::new(operation))
    }

    /// Does it again. Before a write the ring's thread has ended.
    pub(super) fn again(self) {
        let operation = &self.0;
        match operation.work {
            Work::Read(_) => {
                let fresh = Buffer::recycled(operation.buffer.len());
                let mut operation = ManuallyDrop::into_inner(self.0);
                mem::forget(mem::replace(&mut operation.buffer, fresh));
                operation.perform();
            }
            Work::Write(_) => match operation.file.settle(operation.at) {
                Ok(()) => ManuallyDrop::into_inner(self.0).perform(),
                Err(error) => {
                    let Operation {
                        file, buffer, work, ..
                    } = ManuallyDrop::into_inner(self.0);
                    mem::forget((file, buffer));
                    work.fail(error);
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::folder::Folder;
    use std::io;
    use std::sync::Arc;
    use tokio::sync::oneshot;
    use types::ByteOffset;

    /// Where the file system does not promise that nothing is in flight any more, nothing is written again,
    /// and nobody gets at the folder while the first attempt may still land.
    /// Method: a file of procfs, under a name in the folder.
    #[test]
    fn what_cannot_be_settled_fails_and_keeps_the_folder() {
        let path = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/proc/self/comm", path.path().join("file")).unwrap();
        let folder = Folder::open(path.path()).unwrap();
        let file = Arc::new(folder.file("file", false).unwrap());
        drop(folder);
        let before = std::fs::read("/proc/self/comm").unwrap();
        let (answer, mut answered) = oneshot::channel();
        let content = Buffer::copy_of(b"changed");
        let write = Operation::new(file, content, ByteOffset::ZERO, Work::Write(answer));
        Unknown::new(write).again();
        let error = answered.try_recv().unwrap().unwrap_err();
        assert!(error.to_string().contains("unknown"), "{error}");
        assert_eq!(std::fs::read("/proc/self/comm").unwrap(), before);
        let busy = Folder::open(path.path()).err().unwrap();
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
    }
}
