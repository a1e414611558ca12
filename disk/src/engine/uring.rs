//! A folder served by one ring: reads, writes and syncs through it, with O_DIRECT.
//!
//! What is rare and may block (names, lengths, allocation, punching) runs on a thread beside the
//! ring's, which so never waits for the file system.

use crate::buffer::Buffer;
use crate::device::{Disk, Entry, File, Pending};
use crate::engine::folder::{Folder, RawFile};
use crate::engine::ring::{self, Handle, Operation, Work};
use crate::engine::threads::{Pool, stopped};
use bytes::Bytes;
use futures::FutureExt;
use std::future::ready;
use std::io;
use std::sync::Arc;
use tokio::sync::oneshot;
use types::{ByteCount, ByteOffset};

/// A folder served by a ring.
pub(crate) struct UringDisk {
    folder: Arc<Folder>,
    ring: Arc<Handle>,
    beside: Pool,
    mode: &'static str,
}

impl UringDisk {
    /// Starts the ring, and reads a block of this folder's disk through it.
    pub(crate) fn start(folder: Arc<Folder>) -> io::Result<Self> {
        let content = Buffer::copy_of(b"read back through the ring");
        let probe = folder.probe(&content)?;
        let (ring, mode) = ring::start(probe, content)?;
        Ok(Self {
            folder,
            ring: Arc::new(ring),
            beside: Pool::start(1)?,
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
        let beside = self.beside.clone();
        self.on_folder(move |folder| {
            let raw = Arc::new(folder.file(&name, fresh)?);
            Ok(Arc::new(UringFile { raw, ring, beside }) as Arc<dyn File>)
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
        format!("io_uring ({})", self.mode)
    }
}

struct UringFile {
    raw: Arc<RawFile>,
    ring: Arc<Handle>,
    beside: Pool,
}

impl UringFile {
    /// Queues work for the ring and waits for its answer.
    fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(oneshot::Sender<io::Result<T>>) -> Work + Send + 'static,
    ) -> Pending<T> {
        let (ring, file) = (Arc::clone(&self.ring), Arc::clone(&self.raw));
        async move {
            let (answer, result) = oneshot::channel();
            let work = work(answer);
            ring.submit(Operation { file, work }).await?;
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
        self.submit(move |answer| Work::Read {
            buffer: Buffer::recycled(length.as_usize()),
            at: at.get(),
            done: 0,
            answer,
        })
    }

    fn write(&self, at: ByteOffset, data: Buffer) -> Pending<()> {
        self.submit(move |answer| Work::Write {
            buffer: data,
            at: at.get(),
            done: 0,
            answer,
        })
    }

    fn sync(&self) -> Pending<()> {
        self.submit(|answer| Work::Sync { answer })
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

    fn links(&self) -> Pending<u64> {
        ready(self.raw.links()).boxed()
    }
}
