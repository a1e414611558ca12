//! One ring and the thread that owns it; and one that tasks submit their reads to (`reads`).
//!
//! The kernel reads and writes a buffer for as long as an operation is in flight, whatever became of
//! the future that asked for it. So buffer and file live in the driver's slots from submission to
//! completion, and nowhere else:
//!
//! ```text
//! queue --start--> slot --submit--> kernel --completion--> slot --short?--> submitted again
//!                                                            \--whole, or failed--> answered
//! ```
//!
//! - In flight is at most [`DEPTH`], below the completion queue's size: it cannot overflow.
//! - `user_data` is a slot's index and generation, so a completion never meets a slot's next tenant (`slots`).
//! - The thread sleeps in the kernel; an eventfd that the ring polls wakes it for new work (`doorbell`).
//! - Reads and writes only. A sync goes beside the ring, so that its outcome is never lost with it (decision
//!   0021).
//! - A ring that breaks off is drained, and threads do the rest (`keeper`, `unknown`).

mod doorbell;
mod driver;
mod event;
mod fault;
mod keeper;
mod operation;
mod reads;
mod slots;
mod turns;
mod unknown;

pub(crate) use fault::Fault;
#[cfg(test)]
pub(crate) use fault::How;
pub(crate) use operation::{Operation, Work};
pub(crate) use reads::Reads;

use crate::buffer::Buffer;
use crate::engine::folder::RawFile;
use crate::sync;
use doorbell::Doorbell;
use driver::Bell;
use event::Event;
use keeper::Keeper;
use std::io;
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;

/// Operations in flight.
const DEPTH: u32 = 120;

/// The way to a driver. Dropped, the driver completes what it has and ends.
pub(crate) struct Handle {
    /// `None` only while dropping: the queue must be closed before the driver is woken to see it.
    queue: Option<mpsc::Sender<Operation>>,
    bell: Arc<Bell>,
    broken: Arc<OnceLock<String>>,
}

impl Handle {
    /// Queues an operation; waits while the queue is full.
    pub(crate) async fn submit(&self, operation: Operation) -> io::Result<()> {
        let queue = self.queue.as_ref().expect("open until dropped");
        queue
            .send(operation)
            .await
            .map_err(|_| super::threads::stopped())?;
        self.bell.doorbell.ring(|| self.bell.event.wake());
        Ok(())
    }

    /// Why the ring broke off, if it did: threads serve its queue since.
    pub(crate) fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue = None;
        self.bell.event.wake();
    }
}

/// Starts a ring and its thread, once `probe` was read through it. Also says which mode the kernel took.
///
/// # Errors
/// When the kernel offers no ring, or the probe cannot be read.
pub(crate) fn start(
    probe: RawFile,
    content: Buffer,
    fault: Fault,
) -> io::Result<(Handle, &'static str)> {
    let (queue, operations) = mpsc::channel(DEPTH as usize);
    let bell = Arc::new(Bell {
        doorbell: Doorbell::new(),
        event: Event::new()?,
    });
    let broken = Arc::new(OnceLock::new());
    let (ready, started) = std::sync::mpsc::channel();
    let keeper = Keeper {
        bell: Arc::clone(&bell),
        operations,
        broken: Arc::clone(&broken),
        fault,
    };
    std::thread::Builder::new()
        .name("disk-keeper".to_owned())
        .spawn(move || keeper.keep(probe, &content, ready))?;
    let mode = started.recv().map_err(|_| super::threads::stopped())??;
    let handle = Handle {
        queue: Some(queue),
        bell,
        broken,
    };
    Ok((handle, mode))
}
