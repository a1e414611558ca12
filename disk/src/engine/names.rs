//! Names in an open folder: resolved through its descriptor, never through a path.
//!
//! A folder is flat: a name that could lead out of it is refused.

use crate::device::Entry;
use crate::engine::folder::{check, uninterrupted};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use types::ByteCount;

/// Opens a file for reading and writing, with these flags more.
pub(super) fn open(folder: &File, name: &str, flags: i32) -> io::Result<File> {
    open_at(folder, &plain(name)?, libc::O_RDWR | flags)
}

pub(super) fn rename(folder: &File, from: &str, to: &str) -> io::Result<()> {
    let (from, to) = (plain(from)?, plain(to)?);
    let folder = folder.as_raw_fd();
    // SAFETY: the folder is open, and both names end with a zero and outlive the call.
    check(unsafe { libc::renameat(folder, from.as_ptr(), folder, to.as_ptr()) })
}

pub(super) fn remove(folder: &File, name: &str) -> io::Result<()> {
    let name = plain(name)?;
    // SAFETY: the folder is open; the name ends with a zero and outlives the call.
    check(unsafe { libc::unlinkat(folder.as_raw_fd(), name.as_ptr(), 0) })
}

/// Regular files, in any order. Symbolic links are not followed.
pub(super) fn files(folder: &File) -> io::Result<Vec<Entry>> {
    let mut files = Vec::new();
    let mut listing = Listing::of(folder)?;
    while let Some(name) = listing.next()? {
        let mut status = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the folder is open, the name ends with a zero and outlives the call, and `status` is
        // a valid place to write to.
        let found = check(unsafe {
            libc::fstatat(
                folder.as_raw_fd(),
                name.as_ptr(),
                status.as_mut_ptr(),
                libc::AT_SYMLINK_NOFOLLOW,
            )
        });
        match found {
            // Removed since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        }
        // SAFETY: the call succeeded, so it filled `status`.
        let status = unsafe { status.assume_init() };
        if status.st_mode & libc::S_IFMT == libc::S_IFREG {
            let length = u64::try_from(status.st_size).expect("lengths are not negative");
            files.push(Entry {
                name: name.to_string_lossy().into_owned(),
                length: ByteCount::new(length),
            });
        }
    }
    Ok(files)
}

/// A folder that is being listed, from its beginning.
struct Listing {
    stream: *mut libc::DIR,
}

impl Listing {
    fn of(folder: &File) -> io::Result<Self> {
        // A descriptor of its own: where a listing stands belongs to the descriptor.
        let own = open_at(folder, c".", libc::O_RDONLY | libc::O_DIRECTORY)?.into_raw_fd();
        // SAFETY: the descriptor is open and of a folder.
        let stream = unsafe { libc::fdopendir(own) };
        if stream.is_null() {
            let error = io::Error::last_os_error();
            // SAFETY: fdopendir failed, so the descriptor is still ours, and nobody else has it.
            drop(unsafe { File::from_raw_fd(own) });
            return Err(error);
        }
        Ok(Self { stream })
    }

    /// The next name, `.` and `..` among them. `None` at the end.
    fn next(&mut self) -> io::Result<Option<CString>> {
        // SAFETY: errno is the thread's own. It tells an end from a failure.
        unsafe { *libc::__errno_location() = 0 };
        // SAFETY: the stream is open until it is dropped, and `self` is borrowed uniquely.
        let entry = unsafe { libc::readdir(self.stream) };
        if entry.is_null() {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(0) => Ok(None),
                _ => Err(error),
            };
        }
        // SAFETY: an entry is valid until the next call on its stream, and its name ends with a zero.
        let name = unsafe { CStr::from_ptr((*entry).d_name.as_ptr()) };
        Ok(Some(name.to_owned()))
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        // SAFETY: the stream is open, and nobody uses it after this. Its descriptor closes with it.
        unsafe { libc::closedir(self.stream) };
    }
}

fn open_at(folder: &File, name: &CStr, flags: i32) -> io::Result<File> {
    /// For its owner to read and write; others as the process's mask says.
    const MODE: libc::c_uint = 0o666;
    let (folder, flags) = (folder.as_raw_fd(), flags | libc::O_CLOEXEC);
    uninterrupted(|| {
        // SAFETY: the folder is open; the name ends with a zero and outlives the call.
        let descriptor = unsafe { libc::openat(folder, name.as_ptr(), flags, MODE) };
        check(descriptor)?;
        // SAFETY: the descriptor is fresh, so `File` is its only owner.
        Ok(unsafe { File::from_raw_fd(descriptor) })
    })
}

/// A name without a path.
fn plain(name: &str) -> io::Result<CString> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    CString::new(name).map_err(|_| io::ErrorKind::InvalidFilename.into())
}
