//! A folder served by one ring: reads and writes through it, with O_DIRECT.
//!
//! What is rare and may block (names, lengths, allocation, punching) runs on a thread beside the
//! ring's, which so never waits for the file system. Syncs have threads of their own: no long punch holds
//! them up, and a ring that breaks off takes no sync's outcome with it (decision 0021). Then threads do what
//! the ring did, for as long as the disk is open.

use crate::buffer::Buffer;
use crate::device::{Disk, Entry, File, Pending};
use crate::engine::folder::{Folder, RawFile};
use crate::engine::ring::{self, Fault, Handle, Operation, Work};
use crate::engine::threads::{Pool, stopped};
use bytes::Bytes;
use futures::FutureExt;
use std::future::ready;
use std::io;
use std::sync::Arc;
use tokio::sync::oneshot;
use types::{ByteCount, ByteOffset};

/// Syncs at once: whoever appends to a disk has one under way, and few append.
const SYNCS: usize = 2;

/// A folder served by a ring.
pub(crate) struct UringDisk {
    folder: Arc<Folder>,
    ring: Arc<Handle>,
    beside: Pool,
    syncs: Pool,
    mode: &'static str,
}

impl UringDisk {
    /// Starts the ring, and reads a block of this folder's disk through it.
    pub(crate) fn start(folder: Arc<Folder>) -> io::Result<Self> {
        Self::breaking(folder, Fault::none())
    }

    /// As `start`, with a ring that breaks off by that fault.
    fn breaking(folder: Arc<Folder>, fault: Fault) -> io::Result<Self> {
        let content = Buffer::copy_of(b"read back through the ring");
        let probe = folder.probe(&content)?;
        let (ring, mode) = ring::start(probe, content, fault)?;
        Ok(Self {
            folder,
            ring: Arc::new(ring),
            beside: Pool::start(1)?,
            syncs: Pool::start(SYNCS)?,
            mode,
        })
    }

    fn on_folder<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> Pending<T> {
        let folder = Arc::clone(&self.folder);
        self.beside.run(move || call(&folder))
    }

    fn file(&self, name: &str, fresh: bool) -> Pending<Arc<dyn File>> {
        let name = name.to_owned();
        let ring = Arc::clone(&self.ring);
        let (beside, syncs) = (self.beside.clone(), self.syncs.clone());
        self.on_folder(move |folder| {
            let file = UringFile {
                raw: Arc::new(folder.file(&name, fresh)?),
                ring,
                beside,
                syncs,
            };
            Ok(Arc::new(file) as Arc<dyn File>)
        })
    }
}

impl Disk for UringDisk {
    fn create(&self, name: &str) -> Pending<Arc<dyn File>> {
        self.file(name, true)
    }

    fn open(&self, name: &str) -> Pending<Arc<dyn File>> {
        self.file(name, false)
    }

    fn list(&self) -> Pending<Vec<Entry>> {
        self.on_folder(Folder::list)
    }

    fn rename(&self, from: &str, to: &str) -> Pending<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.on_folder(move |folder| folder.rename(&from, &to))
    }

    fn remove(&self, name: &str) -> Pending<()> {
        let name = name.to_owned();
        self.on_folder(move |folder| folder.remove(&name))
    }

    fn sync_folder(&self) -> Pending<()> {
        self.on_folder(Folder::sync)
    }

    fn free(&self) -> Pending<ByteCount> {
        ready(self.folder.free()).boxed()
    }

    fn attached(&self) -> Pending<bool> {
        self.on_folder(Folder::attached)
    }

    fn engine(&self) -> String {
        match self.ring.broken() {
            None => format!("io_uring ({})", self.mode),
            Some(why) => format!("threads (io_uring broke off: {why})"),
        }
    }
}

struct UringFile {
    raw: Arc<RawFile>,
    ring: Arc<Handle>,
    beside: Pool,
    syncs: Pool,
}

impl UringFile {
    /// Queues work for the ring and waits for its answer.
    fn submit<T: Send + 'static>(
        &self,
        at: ByteOffset,
        buffer: impl FnOnce() -> Buffer + Send + 'static,
        work: fn(oneshot::Sender<io::Result<T>>) -> Work,
    ) -> Pending<T> {
        let (ring, file) = (Arc::clone(&self.ring), Arc::clone(&self.raw));
        async move {
            let (answer, result) = oneshot::channel();
            let operation = Operation::new(file, buffer(), at, work(answer));
            ring.submit(operation).await?;
            result.await.map_err(|_| stopped())?
        }
        .boxed()
    }

    fn beside<T: Send + 'static>(
        &self,
        call: impl FnOnce(&RawFile) -> io::Result<T> + Send + 'static,
    ) -> Pending<T> {
        let raw = Arc::clone(&self.raw);
        self.beside.run(move || call(&raw))
    }
}

impl File for UringFile {
    fn read(&self, at: ByteOffset, length: ByteCount) -> Pending<Bytes> {
        let buffer = move || Buffer::recycled(length.as_usize());
        self.submit(at, buffer, Work::Read)
    }

    fn write(&self, at: ByteOffset, data: Buffer) -> Pending<()> {
        self.submit(at, move || data, Work::Write)
    }

    fn sync(&self) -> Pending<()> {
        let raw = Arc::clone(&self.raw);
        self.syncs.run(move || raw.sync())
    }

    fn set_length(&self, length: ByteCount) -> Pending<()> {
        self.beside(move |raw| raw.set_length(length))
    }

    fn allocate(&self, length: ByteCount) -> Pending<()> {
        self.beside(move |raw| raw.allocate(length))
    }

    fn punch(&self, at: ByteOffset, length: ByteCount) -> Pending<()> {
        self.beside(move |raw| raw.punch(at, length))
    }

    fn length(&self) -> Pending<ByteCount> {
        ready(self.raw.length()).boxed()
    }

    fn allocated(&self) -> Pending<ByteCount> {
        ready(self.raw.allocated()).boxed()
    }

    fn links(&self) -> Pending<u64> {
        ready(self.raw.links()).boxed()
    }
}

#[cfg(test)]
mod breaks;
