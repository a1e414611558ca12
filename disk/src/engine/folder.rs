//! The kernel's calls, blocking: what the real engines share.
//!
//! A folder is locked while it is open, so that two servers never append to the same files. Names are
//! resolved in the locked folder itself (`names`), whatever its path leads to by now: else a file could
//! be created in one folder and its name be synced in another. Files are opened with O_DIRECT; where the
//! file system knows no direct I/O they go through the page cache, which changes speed, not promises.

use crate::buffer::Buffer;
use crate::device::{BLOCK, Entry};
use crate::engine::names;
use bytes::Bytes;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::{ByteCount, ByteOffset};

/// A file that exists for a moment while a folder is opened. It is never listed: one that a crash left
/// behind is no content.
const PROBE: &str = ".probe";

/// File systems of which [`RawFile::settle`] is true.
const WAITS_FOR_DIRECT_IO: [libc::__fsword_t; 3] = [
    libc::EXT4_SUPER_MAGIC,
    libc::XFS_SUPER_MAGIC,
    libc::TMPFS_MAGIC,
];

/// An open, locked folder.
pub(crate) struct Folder {
    handle: Arc<fs::File>,
    path: PathBuf,
}

impl Folder {
    /// Opens and locks a folder that exists.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let handle = fs::File::open(path)?;
        if !handle.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        // SAFETY: flock takes a descriptor, which `handle` keeps open, and no pointer.
        check(unsafe { libc::flock(handle.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }).map_err(
            |error| match error.kind() {
                io::ErrorKind::WouldBlock => io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "the folder is in use by another process",
                ),
                _ => error,
            },
        )?;
        Ok(Self {
            handle: Arc::new(handle),
            path: path.to_owned(),
        })
    }

    /// Whether the path still leads here.
    pub(crate) fn attached(&self) -> io::Result<bool> {
        let opened = self.handle.metadata()?;
        match fs::metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == (opened.dev(), opened.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens a file, or with `fresh` creates one whose name is not taken.
    pub(crate) fn file(&self, name: &str, fresh: bool) -> io::Result<RawFile> {
        let fresh_flags = if fresh {
            libc::O_CREAT | libc::O_EXCL
        } else {
            0
        };
        let open = |flags| names::open(&self.handle, name, fresh_flags | flags);
        let file = match open(libc::O_DIRECT) {
            // Some file systems create the name before they refuse the flag.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                if fresh {
                    match self.remove(name) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                        _ => {}
                    }
                }
                open(0)?
            }
            other => other?,
        };
        Ok(RawFile {
            file,
            _lock: Arc::clone(&self.handle),
        })
    }

    /// A file of one block that holds `content` and has no name any more.
    pub(crate) fn probe(&self, content: &Buffer) -> io::Result<RawFile> {
        match self.remove(PROBE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.file(PROBE, true)?;
        self.remove(PROBE)?;
        file.write(ByteOffset::ZERO, content)?;
        Ok(file)
    }

    /// Regular files by name; a file system's own folders, such as `lost+found`, do not count.
    pub(crate) fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = names::files(&self.handle)?;
        entries.retain(|entry| entry.name != PROBE);
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        names::rename(&self.handle, from, to)
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        names::remove(&self.handle, name)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// What an unprivileged writer may still use. Answers from memory, without I/O.
    pub(crate) fn free(&self) -> io::Result<ByteCount> {
        // SAFETY: `statvfs` is plain integers, for which zeros are a value.
        let mut status: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open and `status` is a valid place to write to.
        check(unsafe { libc::fstatvfs(self.handle.as_raw_fd(), &raw mut status) })?;
        Ok(ByteCount::new(status.f_bavail * status.f_frsize))
    }
}

/// An open file. The folder stays locked for as long as one of its files is open.
pub(crate) struct RawFile {
    file: fs::File,
    _lock: Arc<fs::File>,
}

impl RawFile {
    pub(crate) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    pub(crate) fn read(&self, at: ByteOffset, length: ByteCount) -> io::Result<Bytes> {
        let mut buffer = Buffer::recycled(length.as_usize());
        self.read_into(at, &mut buffer)?;
        Ok(buffer.freeze())
    }

    /// Fills a buffer.
    pub(crate) fn read_into(&self, at: ByteOffset, buffer: &mut Buffer) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            let got = self
                .file
                .read_at(&mut buffer[done..], at.get() + done as u64);
            done = advance(done, got, io::ErrorKind::UnexpectedEof)?;
        }
        Ok(())
    }

    pub(crate) fn write(&self, at: ByteOffset, data: &Buffer) -> io::Result<()> {
        let mut done = 0;
        while done < data.len() {
            let put = self.file.write_at(&data[done..], at.get() + done as u64);
            done = advance(done, put, io::ErrorKind::WriteZero)?;
        }
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(crate) fn set_length(&self, length: ByteCount) -> io::Result<()> {
        self.file.set_len(length.get())
    }

    pub(crate) fn allocate(&self, length: ByteCount) -> io::Result<()> {
        self.fallocate(0, ByteOffset::ZERO, length)
    }

    pub(crate) fn punch(&self, at: ByteOffset, length: ByteCount) -> io::Result<()> {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        self.fallocate(mode, at, length)
    }

    /// Waits until the kernel has no direct I/O in flight on this file.
    ///
    /// ext4 and xfs wait for it inside fallocate (`inode_dio_wait`), before they change anything; a tmpfs has
    /// none. It is asked for the block at `at`, which is about to be written anyhow.
    ///
    /// # Errors
    /// Where the file system does not promise to wait, and what fallocate says.
    pub(crate) fn settle(&self, at: ByteOffset) -> io::Result<()> {
        // SAFETY: `statfs` is plain integers, for which zeros are a value.
        let mut status: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open and `status` is a valid place to write to.
        check(unsafe { libc::fstatfs(self.descriptor(), &raw mut status) })?;
        if !WAITS_FOR_DIRECT_IO.contains(&status.f_type) {
            return Err(io::Error::other(
                "io_uring broke off, and whether this was written is unknown",
            ));
        }
        self.fallocate(libc::FALLOC_FL_KEEP_SIZE, at, ByteCount::new(BLOCK as u64))
    }

    fn fallocate(&self, mode: i32, at: ByteOffset, length: ByteCount) -> io::Result<()> {
        let signed = |value: u64| {
            i64::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
        };
        let (at, length) = (signed(at.get())?, signed(length.get())?);
        uninterrupted(|| {
            // SAFETY: fallocate takes an open descriptor and integers.
            check(unsafe { libc::fallocate(self.descriptor(), mode, at, length) })
        })
    }

    /// Answers from memory, without I/O.
    pub(crate) fn length(&self) -> io::Result<ByteCount> {
        Ok(ByteCount::new(self.file.metadata()?.len()))
    }

    /// Answers from memory, without I/O.
    pub(crate) fn allocated(&self) -> io::Result<ByteCount> {
        /// The unit of `st_blocks`, whatever the file system's is.
        const UNIT: u64 = 512;
        Ok(ByteCount::new(self.file.metadata()?.blocks() * UNIT))
    }

    /// Answers from memory, without I/O.
    pub(crate) fn links(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.nlink())
    }
}

/// How far an operation has come after a call that moved `moved` bytes: whole blocks only, since
/// direct I/O goes on at a block. `ended` is what it means when nothing moved.
///
/// # Errors
/// The call's own, and `ended`.
pub(crate) fn advance(
    done: usize,
    moved: io::Result<usize>,
    ended: io::ErrorKind,
) -> io::Result<usize> {
    match moved {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(done),
        Err(error) => Err(error),
        Ok(moved) if moved < BLOCK => Err(ended.into()),
        Ok(moved) => Ok(done + moved / BLOCK * BLOCK),
    }
}

/// Calls again for as long as a signal breaks the call off.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The C convention: -1 and errno.
pub(crate) fn check(result: i32) -> io::Result<()> {
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short I/O goes on at a block; no progress is an end, never an endless loop.
    #[test]
    fn short_transfers_advance_by_whole_blocks() {
        let eof = io::ErrorKind::UnexpectedEof;
        assert_eq!(advance(BLOCK, Ok(BLOCK), eof).unwrap(), 2 * BLOCK);
        assert_eq!(advance(0, Ok(2 * BLOCK + 512), eof).unwrap(), 2 * BLOCK);
        assert_eq!(advance(0, Ok(512), eof).unwrap_err().kind(), eof);
        assert_eq!(advance(0, Ok(0), eof).unwrap_err().kind(), eof);
        let interrupted = Err(io::ErrorKind::Interrupted.into());
        assert_eq!(advance(BLOCK, interrupted, eof).unwrap(), BLOCK);
    }

    /// A signal fails no call, and every other error is passed on.
    #[test]
    fn a_signal_is_no_failure() {
        let mut outcomes = vec![Ok(7), Err(libc::EINTR), Err(libc::EINTR)];
        let mut call = || {
            let outcome = outcomes.pop().expect("called once more than needed");
            outcome.map_err(io::Error::from_raw_os_error)
        };
        assert_eq!(uninterrupted(&mut call).unwrap(), 7);
        let full = || Err::<(), _>(io::Error::from_raw_os_error(libc::ENOSPC));
        let error = uninterrupted(full).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
