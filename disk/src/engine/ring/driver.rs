//! The ring's thread: it submits, and takes in what completes.

use super::DEPTH;
use super::doorbell::Doorbell;
use super::event::Event;
use super::fault::Fault;
use super::operation::{Operation, Work};
use super::slots::{Slots, Tag};
use super::unknown::Unknown;
use crate::buffer::Buffer;
use crate::device::BLOCK;
use crate::engine::folder::RawFile;
use io_uring::{EnterFlags, IoUring, opcode, types::Fd};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use types::ByteOffset;

/// Submission slots: room for every operation in flight and for the doorbell. The kernel makes the
/// completion queue twice as long.
const ENTRIES: u32 = 128;
/// Marks the doorbell's completions; no slot has this index.
const DOORBELL: u64 = u64::MAX;

/// For how long a broken ring is asked for what is in flight. A disk that works has answered long before.
pub(super) const DRAIN: Duration = Duration::from_secs(2);
/// How often it is asked.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

/// How new work reaches the driver.
pub(super) struct Bell {
    pub(super) doorbell: Doorbell,
    pub(super) event: Event,
}

/// What a driver leaves behind that broke off.
pub(super) struct Broken {
    pub(super) why: io::Error,
    /// Operations of which the kernel told no end: they may be done, under way, or never begun.
    pub(super) unknown: Vec<Unknown>,
}

/// One ring, and the operations in flight.
pub(super) struct Driver {
    ring: IoUring,
    bell: Arc<Bell>,
    slots: Slots<Operation>,
    fault: Fault,
}

impl Driver {
    pub(super) fn new(bell: Arc<Bell>, fault: Fault) -> io::Result<(Self, &'static str)> {
        let (ring, mode) = build()?;
        let mut driver = Self {
            ring,
            bell,
            slots: Slots::new(DEPTH),
            fault,
        };
        driver.listen();
        Ok((driver, mode))
    }

    /// Reads a block whose content is known through the ring.
    pub(super) fn probe(&mut self, file: Arc<RawFile>, content: &Buffer) -> io::Result<()> {
        let (answer, mut read) = oneshot::channel();
        let buffer = Buffer::zeroed(BLOCK);
        let work = Work::Read(answer);
        self.start(Operation::new(file, buffer, ByteOffset::ZERO, work));
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

    /// Serves the queue until it is closed or the ring breaks off.
    pub(super) fn run(mut self, operations: &mut mpsc::Receiver<Operation>) -> Result<(), Broken> {
        loop {
            let mut closed = false;
            while !self.slots.is_full() {
                match operations.try_recv() {
                    Ok(operation) => self.start(operation),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => {
                        closed = true;
                        break;
                    }
                }
            }
            if closed && self.slots.len() == 0 {
                return Ok(());
            }
            let bell = Arc::clone(&self.bell);
            let sleep = bell
                .doorbell
                .may_sleep(|| operations.is_empty() || self.slots.is_full());
            let turned = self.turn(usize::from(sleep));
            bell.doorbell.awake();
            if let Err(why) = turned {
                let unknown = self.drain();
                return Err(Broken { why, unknown });
            }
        }
    }

    /// Submits what was pushed, waits for so many completions, and takes in all that are there.
    fn turn(&mut self, wait: usize) -> io::Result<()> {
        self.fault.before_call()?;
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
        self.fault.after_call()?;
        for tag in self.take_in() {
            self.push(tag);
        }
        Ok(())
    }

    /// Takes in the completions that are there. What is to be submitted again for its rest is returned.
    fn take_in(&mut self) -> Vec<Tag> {
        let completions = self.ring.completion();
        let completions: Vec<(u64, i32)> = completions
            .map(|completion| (completion.user_data(), completion.result()))
            .collect();
        let mut short = Vec::new();
        for (user_data, result) in completions {
            if user_data == DOORBELL {
                self.bell.event.silence();
                self.listen();
            } else {
                short.extend(self.complete(Tag::from_bits(user_data), result));
            }
        }
        short
    }

    /// The end of a ring that broke off: for a while it takes in what the kernel still tells. The rest is
    /// returned, its outcome unknown.
    fn drain(mut self) -> Vec<Unknown> {
        let mut unknown = Vec::new();
        let until = Instant::now() + self.fault.patience(DRAIN);
        // What the kernel has not taken it never will: nothing submits any more.
        let never = self.ring.submission().len();
        while self.slots.len() > never && Instant::now() < until {
            thread::sleep(PAUSE);
            if self.fault.is_deaf() {
                continue;
            }
            let flags = EnterFlags::GETEVENTS.bits();
            // SAFETY: it submits nothing and carries no argument, so the kernel gets no pointer.
            let _told = unsafe {
                let submitter = self.ring.submitter();
                submitter.enter::<libc::sigset_t>(0, 0, flags, None)
            };
            for tag in self.take_in() {
                unknown.extend(self.slots.take(tag).map(Unknown::new));
            }
        }
        unknown.extend(self.slots.clear().into_iter().map(Unknown::new));
        unknown
    }

    fn start(&mut self, operation: Operation) {
        if operation.is_whole() {
            operation.answer(Ok(()));
            return;
        }
        let tag = self.slots.put(operation);
        self.push(tag);
    }

    /// Takes in one completion. It is returned when its rest is to be submitted.
    fn complete(&mut self, tag: Tag, result: i32) -> Option<Tag> {
        let Some(operation) = self.slots.get(tag) else {
            tracing::error!(?tag, "a completion of no operation");
            return None;
        };
        let moved = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
        let Some(outcome) = operation.step(moved) else {
            return Some(tag);
        };
        let operation = self.slots.take(tag).expect("it is there");
        operation.answer(outcome);
        None
    }

    /// Queues the submission of what is left of a slot's operation.
    fn push(&mut self, tag: Tag) {
        let operation = self.slots.get(tag).expect("an occupied slot");
        let entry = operation.entry().user_data(tag.to_bits());
        // SAFETY: the entry points into a buffer and names a descriptor that the slot's operation owns.
        // The buffer's memory does not move when the operation does. The slot lets go of them only when
        // this entry has completed (`complete`), hands them to what never frees them while the kernel may
        // use them (`drain`, `Unknown`), or leaks them (`drop`). Until then nothing else touches the buffer.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("a submission slot for every operation in flight");
    }

    /// Asks the ring to report the doorbell.
    fn listen(&mut self) {
        let event = Fd(self.bell.event.descriptor());
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
    /// A driver that panicked, or could not read its probe: whoever waits hears that it is gone. What the
    /// kernel may still use is never freed.
    fn drop(&mut self) {
        for Operation { file, buffer, .. } in self.slots.clear() {
            std::mem::forget((file, buffer));
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
