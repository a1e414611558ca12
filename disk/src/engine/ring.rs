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

use crate::buffer::Buffer;
use crate::device::BLOCK;
use crate::engine::folder::{RawFile, advance};
use bytes::Bytes;
use io_uring::{IoUring, opcode, squeue, types::Fd, types::FsyncFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use tokio::sync::{mpsc, oneshot};

/// Operations in flight.
const DEPTH: usize = 120;
/// Submission slots: room for every operation in flight and for the doorbell. The kernel makes the
/// completion queue twice as long.
const ENTRIES: u32 = 128;
/// Marks the doorbell's completions; no slot has this index.
const DOORBELL: u64 = u64::MAX;
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
    fn entry(&mut self) -> squeue::Entry {
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
    fn is_whole(&self) -> bool {
        match &self.work {
            Work::Read { buffer, done, .. } | Work::Write { buffer, done, .. } => {
                *done == buffer.len()
            }
            Work::Sync { .. } => false,
        }
    }

    /// Takes in a completion. `None` when the rest has to be submitted.
    fn step(&mut self, moved: io::Result<usize>) -> Option<io::Result<()>> {
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
    fn answer(self, result: io::Result<()>) {
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

/// Wakes the driver out of the kernel.
struct Doorbell {
    event: File,
    /// Set by the driver before it looks at the queue for the last time.
    asleep: AtomicBool,
}

impl Doorbell {
    fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes integers and returns a descriptor or -1.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if descriptor == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            // SAFETY: the descriptor is fresh, so `File` is its only owner.
            event: unsafe { File::from_raw_fd(descriptor) },
            asleep: AtomicBool::new(false),
        })
    }

    /// After something was queued. Either the driver, going to sleep, sees it in the queue, or this
    /// sees that it is asleep: the fences on both sides rule out that neither happens.
    fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    fn wake(&self) {
        // It fails only when the counter is at its end, and then the driver is awake.
        let _awake = (&self.event).write(&1u64.to_ne_bytes());
    }

    fn silence(&self) {
        let _nothing_to_read = (&self.event).read(&mut [0; 8]);
    }
}

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

struct Slot {
    generation: u32,
    operation: Option<Operation>,
}

struct Driver {
    ring: IoUring,
    doorbell: Arc<Doorbell>,
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Driver {
    fn new(doorbell: Arc<Doorbell>) -> io::Result<(Self, &'static str)> {
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
    fn probe(&mut self, file: Arc<RawFile>, content: &Buffer) -> io::Result<()> {
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

    fn run(mut self, mut operations: mpsc::Receiver<Operation>) {
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
