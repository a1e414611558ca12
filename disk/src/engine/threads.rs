//! Blocking calls on a few threads: the engine where the kernel forbids io_uring.
//!
//! An operation starts when its future is first polled and is queued; the queue is bounded, and a full
//! one makes the caller wait. The threads end when the disk and its files are dropped.

use crate::buffer::Buffer;
use crate::device::{Disk, Entry, File, Pending};
use crate::engine::folder::{Folder, RawFile};
use bytes::Bytes;
use futures::FutureExt;
use std::future::ready;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use types::{ByteCount, ByteOffset};

/// Enough to keep a flash disk busy with 64 KiB reads; a spinning one orders what it is given.
pub(crate) const THREADS: usize = 8;
/// Operations that may wait for a thread.
const QUEUE: usize = 256;

/// A call to run.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Threads that run blocking calls.
#[derive(Clone)]
pub(crate) struct Pool {
    jobs: mpsc::Sender<Job>,
}

impl Pool {
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            let next = move || {
                queue
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .blocking_recv()
            };
            std::thread::Builder::new()
                .name("disk-threads".to_owned())
                .spawn(move || {
                    while let Some(job) = next() {
                        job();
                    }
                })?;
        }
        Ok(Self { jobs })
    }

    /// Has one of the threads run this; blocks while the queue is full. Not for async code.
    pub(crate) fn push(&self, job: Job) {
        let sent = self.jobs.blocking_send(job);
        sent.unwrap_or_else(|_| unreachable!("the threads live as long as the pool"));
    }

    /// Runs a call on one of the threads.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Pending<T> {
        let jobs = self.jobs.clone();
        async move {
            let (done, result) = oneshot::channel();
            let job = Box::new(move || {
                // Nobody waits any more when the future was dropped.
                let _abandoned = done.send(call());
            });
            jobs.send(job).await.map_err(|_| stopped())?;
            result.await.map_err(|_| stopped())?
        }
        .boxed()
    }
}

/// What an operation meets whose thread died.
pub(crate) fn stopped() -> io::Error {
    io::Error::other("the disk's threads have stopped")
}

/// A folder served by threads.
pub(crate) struct ThreadsDisk {
    folder: Arc<Folder>,
    pool: Pool,
    why: String,
}

impl ThreadsDisk {
    pub(crate) fn start(folder: Arc<Folder>, why: String) -> io::Result<Self> {
        Ok(Self {
            folder,
            pool: Pool::start(THREADS)?,
            why,
        })
    }

    fn on_folder<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> Pending<T> {
        let folder = Arc::clone(&self.folder);
        self.pool.run(move || call(&folder))
    }

    fn file(&self, name: &str, fresh: bool) -> Pending<Arc<dyn File>> {
        let name = name.to_owned();
        let pool = self.pool.clone();
        self.on_folder(move |folder| {
            let raw = Arc::new(folder.file(&name, fresh)?);
            Ok(Arc::new(ThreadsFile { raw, pool }) as Arc<dyn File>)
        })
    }
}

impl Disk for ThreadsDisk {
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
        format!("threads ({})", self.why)
    }
}

struct ThreadsFile {
    raw: Arc<RawFile>,
    pool: Pool,
}

impl ThreadsFile {
    fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&RawFile) -> io::Result<T> + Send + 'static,
    ) -> Pending<T> {
        let raw = Arc::clone(&self.raw);
        self.pool.run(move || call(&raw))
    }
}

impl File for ThreadsFile {
    fn read(&self, at: ByteOffset, length: ByteCount) -> Pending<Bytes> {
        self.run(move |raw| raw.read(at, length))
    }

    fn write(&self, at: ByteOffset, data: Buffer) -> Pending<()> {
        self.run(move |raw| raw.write(at, &data))
    }

    fn sync(&self) -> Pending<()> {
        self.run(RawFile::sync)
    }

    fn set_length(&self, length: ByteCount) -> Pending<()> {
        self.run(move |raw| raw.set_length(length))
    }

    fn allocate(&self, length: ByteCount) -> Pending<()> {
        self.run(move |raw| raw.allocate(length))
    }

    fn punch(&self, at: ByteOffset, length: ByteCount) -> Pending<()> {
        self.run(move |raw| raw.punch(at, length))
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
