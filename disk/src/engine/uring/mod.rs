//! A folder served by rings, with O_DIRECT: writes through one that has a thread, reads through one that their tasks
//! submit to.
//!
//! What is rare and may block (names, lengths, allocation, punching) runs on a thread beside the
//! ring's, which so never waits for the file system. Syncs have threads of their own: no long punch holds
//! them up, and a ring that breaks off takes no sync's outcome with it (decision 0021). Then threads do what
//! the ring did, for as long as the disk is open.

use crate::buffer::Buffer;
use crate::device::{Disk, Entry, File, Pending};
use crate::engine::folder::{Folder, RawFile};
use crate::engine::ring::{self, Fault, Handle, Operation, Reads, Work};
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
    reads: Option<Arc<Reads>>,
    beside: Pool,
    syncs: Pool,
    mode: &'static str,
}

impl UringDisk {
    /// Starts the ring, and reads a block of this folder's disk through it.
    pub(crate) fn start(folder: Arc<Folder>) -> io::Result<Self> {
        Self::breaking(folder, Fault::none(), Fault::none())
    }

    /// As `start`, with rings that break off by these faults: the one of the disk's thread, and that of reads.
    fn breaking(folder: Arc<Folder>, fault: Fault, of_reads: Fault) -> io::Result<Self> {
        let content = Buffer::copy_of(b"read back through the ring");
        let probe = folder.probe(&content)?;
        let (ring, mode) = ring::start(probe, content, fault)?;
        let reads = Reads::start(of_reads);
        let reads =
            reads.inspect_err(|why| tracing::debug!("reads have no ring of their own: {why}"));
        Ok(Self {
            folder,
            ring: Arc::new(ring),
            reads: reads.ok().map(Arc::new),
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
        let (ring, reads) = (Arc::clone(&self.ring), self.reads.clone());
        let (beside, syncs) = (self.beside.clone(), self.syncs.clone());
        self.on_folder(move |folder| {
            let file = UringFile {
                raw: Arc::new(folder.file(&name, fresh)?),
                ring,
                reads,
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
            None if self.reads.as_ref().is_some_and(|reads| reads.is_open()) => {
                format!("io_uring ({}; tasks submit reads)", self.mode)
            }
            None => format!("io_uring ({})", self.mode),
            Some(why) => format!("threads (io_uring broke off: {why})"),
        }
    }
}

struct UringFile {
    raw: Arc<RawFile>,
    ring: Arc<Handle>,
    reads: Option<Arc<Reads>>,
    beside: Pool,
    syncs: Pool,
}

impl UringFile {
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
        let (raw, ring) = (Arc::clone(&self.raw), Arc::clone(&self.ring));
        let reads = self.reads.clone();
        async move {
            let (answer, read) = oneshot::channel();
            let buffer = Buffer::recycled(length.as_usize());
            let operation = Operation::new(raw, buffer, at, Work::Read(answer));
            let handed_back = match &reads {
                // Once the disk is served by threads, reads are, too.
                Some(reads) if ring.broken().is_none() => reads.submit(operation),
                _ => Err(operation),
            };
            if let Err(operation) = handed_back {
                ring.submit(operation).await?;
            }
            read.await.map_err(|_| stopped())?
        }
        .boxed()
    }

    fn write(&self, at: ByteOffset, data: Buffer) -> Pending<()> {
        let (raw, ring) = (Arc::clone(&self.raw), Arc::clone(&self.ring));
        async move {
            let (answer, written) = oneshot::channel();
            let operation = Operation::new(raw, data, at, Work::Write(answer));
            ring.submit(operation).await?;
            written.await.map_err(|_| stopped())?
        }
        .boxed()
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
