//! The I/O trait: a flat folder of files on one disk.
//!
//! What always holds, whichever engine:
//! - an operation that was started runs to its end; dropping its future abandons the result, never the
//!   buffer or the file;
//! - reads and writes are whole: short I/O is looped over inside the engine;
//! - only `sync` makes what was written to a file before it durable, and only `sync_folder` makes names
//!   durable (created, renamed, removed); nothing else promises anything about a power cut;
//! - after a failed `sync` nothing about the file's unsynced bytes is known: stop using the disk.
//!
//! Offsets and lengths are multiples of [`BLOCK`].

use crate::buffer::Buffer;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::io;
use std::sync::Arc;
use types::{ByteCount, ByteOffset};

/// Alignment of every offset, length and buffer.
pub const BLOCK: usize = 4096;

/// An operation under way.
pub type Pending<T> = BoxFuture<'static, io::Result<T>>;

/// A name in the folder and the length of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without a path.
    pub name: String,
    /// The file's length.
    pub length: ByteCount,
}

/// A flat folder of files on one disk.
pub trait Disk: Send + Sync + 'static {
    /// Creates a file. `AlreadyExists` when the name is taken.
    fn create(&self, name: &str) -> Pending<Arc<dyn File>>;

    /// Opens a file for reading and writing. `NotFound` when there is none.
    fn open(&self, name: &str) -> Pending<Arc<dyn File>>;

    /// The files, in order of name.
    fn list(&self) -> Pending<Vec<Entry>>;

    /// Renames a file, replacing what stood under `to`.
    fn rename(&self, from: &str, to: &str) -> Pending<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> Pending<()>;

    /// Makes names durable.
    fn sync_folder(&self) -> Pending<()>;

    /// Bytes that may still be written to the file system.
    fn free(&self) -> Pending<ByteCount>;

    /// Whether the path by which it was opened still leads to this folder. A folder that was removed, or
    /// covered by another, goes on working for those who have it open.
    fn attached(&self) -> Pending<bool>;

    /// Which engine this is and why, for logs and status.
    fn engine(&self) -> String;
}

/// One open file.
pub trait File: Send + Sync + 'static {
    /// Reads `length` bytes. `UnexpectedEof` when the file ends before that.
    fn read(&self, at: ByteOffset, length: ByteCount) -> Pending<Bytes>;

    /// Writes a whole buffer; extends the file where it reaches past its end.
    fn write(&self, at: ByteOffset, data: Buffer) -> Pending<()>;

    /// Makes all writes that completed before this call durable, with the file's length.
    fn sync(&self) -> Pending<()>;

    /// Sets the length; new bytes read as zeros.
    fn set_length(&self, length: ByteCount) -> Pending<()>;

    /// Reserves space so that later writes inside it do not run out; extends the file with zeros.
    fn allocate(&self, length: ByteCount) -> Pending<()>;

    /// Gives the space of a range back; it reads as zeros.
    fn punch(&self, at: ByteOffset, length: ByteCount) -> Pending<()>;

    /// The file's length.
    fn length(&self) -> Pending<ByteCount>;

    /// Bytes that it takes on the disk: a hole takes none. The file system's own bookkeeping may count.
    fn allocated(&self) -> Pending<ByteCount>;

    /// How many names the file has; 0 once it was removed behind our back: what is written to it then
    /// is lost, so nothing may be acknowledged.
    fn links(&self) -> Pending<u64>;
}
