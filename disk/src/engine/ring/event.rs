//! What wakes a driver out of the kernel: an eventfd that its ring polls.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

/// An eventfd.
pub(super) struct Event {
    file: File,
}

impl Event {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes integers and returns a descriptor or -1.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if descriptor == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            // SAFETY: the descriptor is fresh, so `File` is its only owner.
            file: unsafe { File::from_raw_fd(descriptor) },
        })
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    pub(super) fn wake(&self) {
        // It fails only when the counter is at its end, and then the driver is awake.
        let _awake = (&self.file).write(&1u64.to_ne_bytes());
    }

    pub(super) fn silence(&self) {
        let _nothing_to_read = (&self.file).read(&mut [0; 8]);
    }
}
