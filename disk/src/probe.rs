//! Which engine serves a folder.
//!
//! io_uring is forbidden in many places where a server must run all the same: containers' default
//! seccomp profiles, a sysctl, old kernels. A setup call that succeeds proves little, so a block is
//! written to the folder and read back through the ring.

use crate::device::Disk;
use crate::engine::folder::Folder;
use crate::engine::threads::ThreadsDisk;
use crate::engine::uring::UringDisk;
use std::io;
use std::path::Path;
use std::sync::{Arc, Once};

/// Who decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// io_uring where a real read through it succeeds, else threads.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    /// Threads.
    Threads,
}

/// Opens and locks a folder that exists. In a tokio runtime of several threads, whose I/O must be enabled, tasks submit
/// their reads themselves; its end takes no read with it.
///
/// # Errors
/// `NotFound`, `NotADirectory`; `ResourceBusy` when another process serves the folder; what the kernel
/// says of io_uring when it alone was asked for.
pub fn open(folder: &Path, choice: Choice) -> io::Result<Arc<dyn Disk>> {
    let folder = Arc::new(Folder::open(folder)?);
    let threads = |folder, why: String| -> io::Result<Arc<dyn Disk>> {
        Ok(Arc::new(ThreadsDisk::start(folder, why)?))
    };
    match choice {
        Choice::Threads => threads(folder, "as configured".to_owned()),
        Choice::Uring => Ok(Arc::new(UringDisk::start(folder)?)),
        Choice::Auto => match UringDisk::start(Arc::clone(&folder)) {
            Ok(disk) => Ok(Arc::new(disk)),
            Err(error) => {
                say_once(&error);
                threads(folder, format!("io_uring: {error}"))
            }
        },
    }
}

/// One line a process, however many disks: what is lost, and which knob to turn.
fn say_once(error: &io::Error) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        let knob = knob(error, std::fs::read_to_string(SYSCTL).ok().as_deref());
        tracing::warn!(
            "io_uring does not work here ({error}); threads serve the disks, slower. {knob}"
        );
    });
}

const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";

/// What would make io_uring work.
fn knob(error: &io::Error, disabled: Option<&str>) -> &'static str {
    let disabled = disabled.is_some_and(|value| value.trim() != "0");
    match error.raw_os_error() {
        _ if disabled => "To allow it: sysctl kernel.io_uring_disabled=0",
        Some(libc::EPERM | libc::EACCES) => {
            "To allow it in a container: a seccomp profile with io_uring_setup, io_uring_enter and io_uring_register"
        }
        Some(libc::ENOSYS) => {
            "To allow it: a kernel with CONFIG_IO_URING, or a seccomp profile with io_uring_setup, io_uring_enter and io_uring_register"
        }
        Some(libc::ENOMEM) => {
            "To allow it: a higher limit of locked memory (LimitMEMLOCK, ulimit -l)"
        }
        _ => "If the folder is writable, please report this",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knob_is_named() {
        for (errno, disabled, word) in [
            (
                libc::EPERM,
                Some("2\n"),
                "sysctl kernel.io_uring_disabled=0",
            ),
            (libc::EPERM, Some("0\n"), "seccomp"),
            (libc::ENOSYS, None, "CONFIG_IO_URING"),
            (libc::ENOMEM, Some("0\n"), "LimitMEMLOCK"),
        ] {
            let knob = knob(&io::Error::from_raw_os_error(errno), disabled);
            assert!(knob.contains(word), "{errno}: {knob}");
        }
    }
}
