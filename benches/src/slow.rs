//! A disk in memory whose syncs take their time.

use bytes::Bytes;
use disk::sim::SimDisk;
use disk::{Buffer, Disk, Entry, File, Pending};
use futures::FutureExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use types::{ByteCount, ByteOffset};

/// The disk.
pub struct Slow {
    disk: SimDisk,
    syncs: Arc<Syncs>,
}

struct Syncs {
    count: AtomicU64,
    takes: Duration,
}

impl Slow {
    /// An empty one.
    pub fn new(takes: Duration) -> Arc<Self> {
        Arc::new(Self {
            disk: SimDisk::new(1),
            syncs: Arc::new(Syncs {
                count: AtomicU64::new(0),
                takes,
            }),
        })
    }

    /// How many there were, of files.
    pub fn syncs(&self) -> u64 {
        self.syncs.count.load(Ordering::Relaxed)
    }

    fn wrap(&self, file: Pending<Arc<dyn File>>) -> Pending<Arc<dyn File>> {
        let syncs = Arc::clone(&self.syncs);
        async move {
            let file = file.await?;
            Ok(Arc::new(SlowFile { file, syncs }) as Arc<dyn File>)
        }
        .boxed()
    }
}

impl Disk for Slow {
    fn create(&self, name: &str) -> Pending<Arc<dyn File>> {
        self.wrap(self.disk.create(name))
    }
    fn open(&self, name: &str) -> Pending<Arc<dyn File>> {
        self.wrap(self.disk.open(name))
    }
    fn list(&self) -> Pending<Vec<Entry>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> Pending<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> Pending<()> {
        self.disk.remove(name)
    }
    fn sync_folder(&self) -> Pending<()> {
        self.disk.sync_folder()
    }
    fn free(&self) -> Pending<ByteCount> {
        self.disk.free()
    }
    fn attached(&self) -> Pending<bool> {
        self.disk.attached()
    }
    fn engine(&self) -> String {
        self.disk.engine()
    }
}

struct SlowFile {
    file: Arc<dyn File>,
    syncs: Arc<Syncs>,
}

impl File for SlowFile {
    fn read(&self, at: ByteOffset, length: ByteCount) -> Pending<Bytes> {
        self.file.read(at, length)
    }
    fn write(&self, at: ByteOffset, data: Buffer) -> Pending<()> {
        self.file.write(at, data)
    }
    fn sync(&self) -> Pending<()> {
        self.syncs.count.fetch_add(1, Ordering::Relaxed);
        let (takes, sync) = (self.syncs.takes, self.file.sync());
        async move {
            tokio::time::sleep(takes).await;
            sync.await
        }
        .boxed()
    }
    fn set_length(&self, length: ByteCount) -> Pending<()> {
        self.file.set_length(length)
    }
    fn allocate(&self, length: ByteCount) -> Pending<()> {
        self.file.allocate(length)
    }
    fn punch(&self, at: ByteOffset, length: ByteCount) -> Pending<()> {
        self.file.punch(at, length)
    }
    fn length(&self) -> Pending<ByteCount> {
        self.file.length()
    }
    fn allocated(&self) -> Pending<ByteCount> {
        self.file.allocated()
    }

    fn links(&self) -> Pending<u64> {
        self.file.links()
    }
}
