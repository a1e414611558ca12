//! How a driver that sleeps in the kernel learns of new work.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Wakes the driver out of the kernel.
pub(super) struct Doorbell {
    pub(super) event: File,
    /// Set by the driver before it looks at the queue for the last time.
    pub(super) asleep: AtomicBool,
}

impl Doorbell {
    pub(super) fn new() -> io::Result<Self> {
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
    pub(super) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        // It fails only when the counter is at its end, and then the driver is awake.
        let _awake = (&self.event).write(&1u64.to_ne_bytes());
    }

    pub(super) fn silence(&self) {
        let _nothing_to_read = (&self.event).read(&mut [0; 8]);
    }
}
