//! The thread's side: it submits, and takes in what completes.

use super::DEPTH;
use super::doorbell::Doorbell;
use super::operation::{Operation, Work};
use crate::buffer::Buffer;
use crate::device::BLOCK;
use crate::engine::folder::RawFile;
use io_uring::{IoUring, opcode, types::Fd};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use tokio::sync::{mpsc, oneshot};

/// Submission slots: room for every operation in flight and for the doorbell. The kernel makes the
/// completion queue twice as long.
const ENTRIES: u32 = 128;
/// Marks the doorbell's completions; no slot has this index.
const DOORBELL: u64 = u64::MAX;

struct Slot {
    generation: u32,
    operation: Option<Operation>,
}

/// One ring, and the operations in flight.
pub(super) struct Driver {
    ring: IoUring,
    doorbell: Arc<Doorbell>,
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Driver {
    pub(super) fn new(doorbell: Arc<Doorbell>) -> io::Result<(Self, &'static str)> {
        let (ring, mode) = build()?;
        let slots = (0..DEPTH).map(|_| Slot {
            generation: 0,
            operation: None,
        });
        let mut driver = Self {
            ring,
            doorbell,
            slots: slots.collect(),
            free: (0..).take(DEPTH).collect(),
        };
        driver.listen();
        Ok((driver, mode))
    }

    /// Reads a block whose content is known through the ring.
    pub(super) fn probe(&mut self, file: Arc<RawFile>, content: &Buffer) -> io::Result<()> {
        let (answer, mut read) = oneshot::channel();
        self.start(Operation {
            file,
            work: Work::Read {
                buffer: Buffer::zeroed(BLOCK),
                at: 0,
                done: 0,
                answer,
            },
        });
        loop {
            self.turn(1)?;
            if let Ok(bytes) = read.try_recv() {
                return match bytes? == content[..] {
                    true => Ok(()),
                    false => Err(io::Error::other(
                        "the ring read other bytes than were written",
                    )),
                };
            }
        }
    }

    pub(super) fn run(mut self, mut operations: mpsc::Receiver<Operation>) {
        loop {
            let mut closed = false;
            while !self.free.is_empty() {
                match operations.try_recv() {
                    Ok(operation) => self.start(operation),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => {
                        closed = true;
                        break;
                    }
                }
            }
            if closed && self.free.len() == DEPTH {
                return;
            }
            self.doorbell.asleep.store(true, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            let more = !operations.is_empty() && !self.free.is_empty();
            let turned = self.turn(usize::from(!more));
            self.doorbell.asleep.store(false, Ordering::SeqCst);
            if let Err(error) = turned {
                tracing::error!("a disk's ring broke off: {error}");
                return;
            }
        }
    }

    /// Submits what was pushed, waits for so many completions, and takes in all that are there.
    fn turn(&mut self, wait: usize) -> io::Result<()> {
        match self.ring.submit_and_wait(wait) {
            Ok(_) => {}
            // Interrupted, or the kernel is short of memory for more: completions help.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)
                ) => {}
            Err(error) => return Err(error),
        }
        let completions: Vec<(u64, i32)> = self
            .ring
            .completion()
            .map(|completion| (completion.user_data(), completion.result()))
            .collect();
        for (user_data, result) in completions {
            if user_data == DOORBELL {
                self.doorbell.silence();
                self.listen();
            } else {
                self.complete(user_data, result);
            }
        }
        Ok(())
    }

    fn start(&mut self, operation: Operation) {
        if operation.is_whole() {
            operation.answer(Ok(()));
            return;
        }
        let index = self.free.pop().expect("started only while a slot is free");
        self.slots[index as usize].operation = Some(operation);
        self.push(index);
    }

    fn complete(&mut self, user_data: u64, result: i32) {
        let (index, generation) = untag(user_data);
        let slot = &mut self.slots[index as usize];
        let Some(operation) = slot
            .operation
            .as_mut()
            .filter(|_| slot.generation == generation)
        else {
            tracing::error!(user_data, "a completion of no operation");
            return;
        };
        let moved = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
        match operation.step(moved) {
            None => self.push(index),
            Some(outcome) => {
                let operation = slot.operation.take().expect("it is there");
                slot.generation = slot.generation.wrapping_add(1);
                self.free.push(index);
                operation.answer(outcome);
            }
        }
    }

    /// Queues the submission of what is left of a slot's operation.
    fn push(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let operation = slot.operation.as_mut().expect("an occupied slot");
        let entry = operation.entry().user_data(tag(index, slot.generation));
        // SAFETY: the entry points into a buffer and names a descriptor that the slot's operation owns.
        // The buffer's memory does not move when the operation does. The slot lets go of them only when
        // this entry has completed (`complete`), or leaks them (`drop`); until then nothing else
        // touches the buffer.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("a submission slot for every operation in flight");
    }

    /// Asks the ring to report the doorbell.
    fn listen(&mut self) {
        let event = Fd(self.doorbell.event.as_raw_fd());
        let events = u32::try_from(libc::POLLIN).expect("a small flag");
        let entry = opcode::PollAdd::new(event, events)
            .build()
            .user_data(DOORBELL);
        // SAFETY: the entry names a descriptor that the driver keeps open, and points to no memory.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("a submission slot for the doorbell");
    }
}

impl Drop for Driver {
    /// Whoever waits hears that the driver is gone. What the kernel may still use is never freed.
    fn drop(&mut self) {
        for slot in &mut self.slots {
            if let Some(Operation { file, work }) = slot.operation.take() {
                std::mem::forget(file);
                match work {
                    Work::Read { buffer, .. } | Work::Write { buffer, .. } => {
                        std::mem::forget(buffer);
                    }
                    Work::Sync { .. } => {}
                }
            }
        }
    }
}

/// The most modern ring that the kernel knows.
fn build() -> io::Result<(IoUring, &'static str)> {
    let defer = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(ENTRIES);
    match defer {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        other => return other.map(|ring| (ring, "deferred task runs")),
    }
    match IoUring::builder().setup_single_issuer().build(ENTRIES) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        other => return other.map(|ring| (ring, "single issuer")),
    }
    Ok((IoUring::new(ENTRIES)?, "plain"))
}

fn tag(index: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index)
}

fn untag(user_data: u64) -> (u32, u32) {
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).expect("32 bits");
    (half(user_data), half(user_data >> 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_keep_index_and_generation_apart() {
        for (index, generation) in [(0, 0), (119, 7), (3, u32::MAX)] {
            let tag = tag(index, generation);
            assert_eq!(untag(tag), (index, generation));
            assert_ne!(tag, DOORBELL);
        }
    }
}
