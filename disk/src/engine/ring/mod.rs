//! One ring and the thread that owns it.
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
//! - `user_data` is a slot's index and generation, so a completion never meets a slot's next tenant.
//! - The thread sleeps in the kernel; an eventfd that the ring polls wakes it for new work.
//! - A driver that breaks off leaks what is in flight rather than free what the kernel may write to.

mod doorbell;
mod driver;
mod operation;

pub(crate) use operation::{Operation, Work};

use crate::buffer::Buffer;
use crate::engine::folder::RawFile;
use doorbell::Doorbell;
use driver::Driver;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Operations in flight.
const DEPTH: usize = 120;

/// The way to a driver. Dropped, the driver completes what it has and ends.
pub(crate) struct Handle {
    /// `None` only while dropping: the queue must be closed before the driver is woken to see it.
    queue: Option<mpsc::Sender<Operation>>,
    doorbell: Arc<Doorbell>,
}

impl Handle {
    /// Queues an operation; waits while the queue is full.
    pub(crate) async fn submit(&self, operation: Operation) -> io::Result<()> {
        let queue = self.queue.as_ref().expect("open until dropped");
        queue
            .send(operation)
            .await
            .map_err(|_| super::threads::stopped())?;
        self.doorbell.ring();
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue = None;
        self.doorbell.wake();
    }
}

/// Starts a ring and its thread, once `probe` was read through it. Also says which mode the kernel took.
///
/// # Errors
/// When the kernel offers no ring, or the probe cannot be read.
pub(crate) fn start(probe: RawFile, content: Buffer) -> io::Result<(Handle, &'static str)> {
    let (queue, operations) = mpsc::channel(DEPTH);
    let doorbell = Arc::new(Doorbell::new()?);
    let (ready, started) = std::sync::mpsc::channel();
    let bell = Arc::clone(&doorbell);
    // A ring of a single issuer belongs to the thread that makes it.
    std::thread::Builder::new()
        .name("disk-ring".to_owned())
        .spawn(move || {
            let driver = Driver::new(bell).and_then(|(mut driver, mode)| {
                driver.probe(Arc::new(probe), &content)?;
                Ok((driver, mode))
            });
            match driver {
                Err(error) => drop(ready.send(Err(error))),
                Ok((driver, mode)) => {
                    drop(ready.send(Ok(mode)));
                    driver.run(operations);
                }
            }
        })?;
    let mode = started.recv().map_err(|_| super::threads::stopped())??;
    let handle = Handle {
        queue: Some(queue),
        doorbell,
    };
    Ok((handle, mode))
}
