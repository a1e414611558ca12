//! Reads that tasks submit themselves: a ring of its own, and no thread.
//!
//! A small read that goes to the ring's thread and back waits longer for the two threads to meet than for the
//! disk (decision 0036). So the task that reads enters the kernel itself, and the runtime's reactor tells when
//! something has completed:
//!
//! ```text
//! task --slot--> queue --whoever is at it--> kernel --ring is readable--> taker --slot--> answered
//! ```
//!
//! - One task at a time is in the kernel, and submits what others queue meanwhile (`turns`): a lock that they waited
//!   for would cost more than the call.
//! - Reads alone. One whose end the kernel does not tell is simply made again (`unknown`), so that no thread's end
//!   has to prove that nothing of it can still happen. Writes have the disk's other ring.
//! - What this ring cannot take is handed back, and goes to the other one: when it is full, when it has broken off
//!   (a kernel short of memory counts), and where no runtime waits for it.
//! - There is one [`Taker`], so completions have one reader. When it ends, with the runtime or because the ring
//!   broke off, a thread takes in the rest.
//! - A thread that submitted and ends may take with it what the kernel had not begun (`ECANCELED`): that is
//!   submitted again.

use super::DEPTH;
use super::driver::{DRAIN, PAUSE};
use super::fault::Fault;
use super::operation::Operation;
use super::slots::{Slots, Tag};
use super::turns::take_turns;
use super::unknown::Unknown;
use crate::sync::{Mutex, PoisonError};
use io_uring::IoUring;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::Instant;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle as Runtime, RuntimeFlavor};
use tokio::sync::Notify;

/// Submission slots: room for every read in flight. The kernel makes the completion queue twice as long.
const ENTRIES: u32 = DEPTH.next_power_of_two();

/// The way to such a ring. Dropped, the ring completes what it has and ends.
pub(crate) struct Reads(Arc<Shared>);

struct Shared {
    ring: IoUring,
    in_flight: Mutex<InFlight>,
    /// Held by whoever is in the kernel to submit.
    submitting: Mutex<Fault>,
    /// The taker is to leave.
    closed: Notify,
}

struct InFlight {
    slots: Slots<Operation>,
    /// Those that are still to be submitted.
    waiting: Vec<Tag>,
    /// Nothing is submitted any more …
    closed: bool,
    /// … because the kernel refused it: what it has may never be told …
    broken: bool,
    /// … and so many it never had.
    never: usize,
}

impl Reads {
    /// A ring of which the current runtime takes care.
    ///
    /// # Errors
    /// Without a runtime of several threads: one that blocks its only thread would wait for itself. And what the kernel
    /// says.
    ///
    /// # Panics
    /// When the runtime's I/O is not enabled.
    pub(crate) fn start(fault: Fault) -> io::Result<Self> {
        let runtime = Runtime::try_current().map_err(io::Error::other)?;
        if runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
            return Err(io::Error::other("the runtime has one thread"));
        }
        let shared = Arc::new(Shared {
            ring: IoUring::new(ENTRIES)?,
            in_flight: Mutex::new(InFlight {
                slots: Slots::new(DEPTH),
                waiting: Vec::with_capacity(DEPTH as usize),
                closed: false,
                broken: false,
                never: 0,
            }),
            submitting: Mutex::new(fault),
            closed: Notify::new(),
        });
        let watched = Watched(Arc::clone(&shared));
        // SAFETY: the descriptor is the ring's, which is open for as long as `watched` is there.
        let watched = unsafe { AsyncFd::register_with_interest(watched, Interest::READABLE) };
        let watched = watched.map_err(io::Error::from)?;
        let attended = Attended(Some(Taker(Arc::clone(&shared))));
        runtime.spawn(attended.run(watched));
        Ok(Self(shared))
    }

    /// Whether reads are submitted here.
    pub(crate) fn is_open(&self) -> bool {
        !lock(&self.0.in_flight).closed
    }

    /// Submits a read, or hands it back.
    pub(crate) fn submit(&self, read: Operation) -> Result<(), Operation> {
        if read.is_whole() {
            read.answer(Ok(()));
            return Ok(());
        }
        {
            let mut in_flight = lock(&self.0.in_flight);
            if in_flight.closed || in_flight.slots.is_full() {
                return Err(read);
            }
            let tag = in_flight.slots.put(read);
            in_flight.waiting.push(tag);
        }
        self.0.submit();
        Ok(())
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        self.0.close(false);
    }
}

impl Shared {
    /// Submits what waits, or leaves it to who is at it.
    fn submit(&self) {
        let any = || !lock(&self.in_flight).waiting.is_empty();
        take_turns(&self.submitting, any, |fault| {
            if let Err(why) = self.submit_waiting(fault) {
                tracing::warn!(
                    "the ring of a disk's reads broke off ({why}): they go through its other one"
                );
                self.close(true);
            }
        });
    }

    fn submit_waiting(&self, fault: &mut Fault) -> io::Result<()> {
        // SAFETY: nobody else has the submission queue while `submitting` is locked.
        let mut submissions = unsafe { self.ring.submission_shared() };
        {
            let mut in_flight = lock(&self.in_flight);
            if in_flight.closed {
                // What a call left behind that the kernel refused stays there.
                return Ok(());
            }
            let InFlight { slots, waiting, .. } = &mut *in_flight;
            for tag in waiting.drain(..) {
                let read = slots.get(tag).expect("an occupied slot");
                let entry = read.entry().user_data(tag.to_bits());
                // SAFETY: the entry points into a buffer and names a descriptor that the slot's operation owns. The
                // buffer's memory does not move when the operation does. The slot lets go of them only when this entry
                // has completed (`Taker::take_in`), hands them to what never frees them while the kernel may use them
                // (`Taker::drain`, `Unknown`), or leaks them (`abandon`). Until then nothing else touches the buffer.
                let pushed = unsafe { submissions.push(&entry) };
                pushed.expect("a submission slot for every read in flight");
            }
        }
        loop {
            submissions.sync();
            if submissions.is_empty() {
                return fault.after_call();
            }
            let taken = fault.before_call().and_then(|()| self.ring.submit());
            match taken {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(taken) if taken > 0 => {}
                failed => {
                    submissions.sync();
                    lock(&self.in_flight).never += submissions.len();
                    return Err(failed.err().unwrap_or(io::ErrorKind::WouldBlock.into()));
                }
            }
        }
    }

    /// Nothing is submitted from now on.
    fn close(&self, broken: bool) {
        let mut in_flight = lock(&self.in_flight);
        in_flight.closed = true;
        in_flight.broken |= broken;
        in_flight.never += in_flight.waiting.len();
        in_flight.waiting.clear();
        self.closed.notify_one();
    }

    /// Nobody takes in what is in flight: whoever waits hears of it, and what the kernel may still use is never freed.
    fn abandon(&self) {
        for Operation { file, buffer, .. } in lock(&self.in_flight).slots.clear() {
            std::mem::forget((file, buffer));
        }
    }
}

impl InFlight {
    /// What is left of a read is to be submitted.
    fn again(&mut self, tag: Tag) {
        match self.closed {
            false => self.waiting.push(tag),
            true => self.never += 1,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// The only one who takes in what has completed.
struct Taker(Arc<Shared>);

impl Taker {
    fn take_in(&mut self) {
        let shared = &*self.0;
        // SAFETY: nobody else has the completion queue: there is one taker, and this borrows it mutably.
        let completions = unsafe { shared.ring.completion_shared() };
        let mut ended = Vec::new();
        {
            let mut in_flight = lock(&shared.in_flight);
            for completion in completions {
                let tag = Tag::from_bits(completion.user_data());
                let Some(read) = in_flight.slots.get(tag) else {
                    tracing::error!(?tag, "a completion of no operation");
                    continue;
                };
                match read.step(moved(completion.result())) {
                    None => in_flight.again(tag),
                    Some(outcome) => ended.push((in_flight.slots.take(tag), outcome)),
                }
            }
        }
        for (read, outcome) in ended {
            read.expect("it was there").answer(outcome);
        }
        shared.submit();
    }

    /// Whether all has ended that will.
    fn has_all(&self) -> bool {
        let in_flight = lock(&self.0.in_flight);
        in_flight.slots.len() == in_flight.never
    }

    /// Takes in what the kernel still tells; of a ring that broke off, for a while. The rest is done again.
    fn drain(mut self) {
        let broken = lock(&self.0.in_flight).broken;
        let (patience, deaf) = {
            let fault = lock(&self.0.submitting);
            (fault.patience(DRAIN), fault.is_deaf())
        };
        let began = Instant::now();
        let given_up = || broken && began.elapsed() > patience;
        while !self.has_all() && !given_up() {
            thread::sleep(PAUSE);
            if !deaf {
                self.take_in();
            }
        }
        let unknown = lock(&self.0.in_flight).slots.clear();
        for read in unknown.into_iter().map(Unknown::new) {
            read.again();
        }
    }
}

/// What a completion says: bytes, or an error.
fn moved(result: i32) -> io::Result<usize> {
    match usize::try_from(result) {
        Err(_) if result == -libc::ECANCELED => Err(io::ErrorKind::Interrupted.into()),
        Err(_) => Err(io::Error::from_raw_os_error(-result)),
        Ok(moved) => Ok(moved),
    }
}

/// A taker for as long as the runtime is there. Then a thread takes in the rest.
struct Attended(Option<Taker>);

impl Attended {
    async fn run(mut self, ring: AsyncFd<Watched>) {
        let taker = self.0.as_mut().expect("until it is dropped");
        loop {
            tokio::select! {
                ready = ring.readable() => match ready {
                    // What completes from here on makes it ready again.
                    Ok(mut ready) => ready.clear_ready(),
                    Err(_no_runtime) => return,
                },
                () = taker.0.closed.notified() => return,
            }
            taker.take_in();
        }
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        let taker = self.0.take().expect("it is dropped once");
        let shared = Arc::clone(&taker.0);
        shared.close(false);
        if lock(&shared.in_flight).slots.len() > 0 {
            let thread = thread::Builder::new().name("disk-reads".to_owned());
            if thread.spawn(|| taker.drain()).is_err() {
                shared.abandon();
            }
        }
    }
}

/// The ring as the reactor sees it: readable when something has completed.
struct Watched(Arc<Shared>);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.ring.as_raw_fd()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
