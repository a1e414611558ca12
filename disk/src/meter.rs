//! What a disk does, counted.
//!
//! [`Metered`] stands before any [`Disk`], whichever engine serves it, and passes every call on. It counts per
//! disk and operation (`read`, `write`, `sync`, `other`: names, lengths, space):
//!
//! ```text
//! strongroom_disk_operations_total{disk,operation}    operations that ended
//! strongroom_disk_bytes_total{disk,operation}         bytes of reads and writes that succeeded
//! strongroom_disk_seconds{disk,operation}             from the call to its end, waiting in queues included
//! strongroom_disk_in_flight{disk}                     operations that somebody waits for
//! strongroom_disk_errors_total{disk,operation,kind}   io, full, eof, other
//! strongroom_disk_engine{disk,engine}                 1 for the engine that serves it, 0 for the others
//! ```
//!
//! An operation whose future is dropped is no longer in flight here and counts as ended nowhere, though the
//! engine carries it out. That a name is free or taken is an answer, not an error.

use crate::buffer::Buffer;
use crate::device::{Disk, Entry, File, Pending};
use bytes::Bytes;
use futures::FutureExt;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::io;
use std::sync::Arc;
use std::time::Instant;
use types::{ByteCount, ByteOffset, DiskId};

/// A disk whose operations are counted.
pub struct Metered {
    disk: Arc<dyn Disk>,
    meters: Arc<Meters>,
}

impl Metered {
    /// Counts what `disk` does under this id.
    pub fn new(disk: Arc<dyn Disk>, id: DiskId) -> Self {
        let meters = Arc::new(Meters::of(id));
        meters.served_by(&disk.engine());
        Self { disk, meters }
    }

    fn file(&self, file: Pending<Arc<dyn File>>) -> Pending<Arc<dyn File>> {
        let meters = Arc::clone(&self.meters);
        let file = self.meters.count(Operation::Other, 0, file);
        async move {
            let file = MeteredFile {
                file: file.await?,
                meters,
            };
            Ok(Arc::new(file) as Arc<dyn File>)
        }
        .boxed()
    }

    fn other<T: 'static>(&self, call: Pending<T>) -> Pending<T> {
        self.meters.count(Operation::Other, 0, call)
    }
}

#[derive(Clone, Copy)]
enum Operation {
    Read,
    Write,
    Sync,
    Other,
}

impl Operation {
    const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Sync, Self::Other];

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Other => "other",
        }
    }
}

/// The handles, made once: looking one up by its labels costs more than counting.
struct Meters {
    disk: String,
    /// By [`Operation`].
    operations: [Meter; 4],
    in_flight: Gauge,
    /// By [`ENGINES`].
    engines: [Gauge; 3],
}

struct Meter {
    ended: Counter,
    bytes: Counter,
    seconds: Histogram,
}

/// The first words of [`Disk::engine`].
const ENGINES: [&str; 3] = ["io_uring", "threads", "simulated"];

impl Meters {
    fn of(id: DiskId) -> Self {
        let disk = || ("disk", id.get().to_string());
        let meter = |operation: Operation| {
            let labels = [disk(), ("operation", operation.name().to_owned())];
            Meter {
                ended: counter!("strongroom_disk_operations_total", &labels),
                bytes: counter!("strongroom_disk_bytes_total", &labels),
                seconds: histogram!("strongroom_disk_seconds", &labels),
            }
        };
        let engine = |engine: &str| {
            let labels = [disk(), ("engine", engine.to_owned())];
            gauge!("strongroom_disk_engine", &labels)
        };
        Self {
            operations: Operation::ALL.map(meter),
            in_flight: gauge!("strongroom_disk_in_flight", &[disk()]),
            engines: ENGINES.map(engine),
            disk: disk().1,
        }
    }

    fn served_by(&self, engine: &str) {
        for (name, gauge) in ENGINES.iter().zip(&self.engines) {
            gauge.set(f64::from(u8::from(engine.starts_with(name))));
        }
    }

    /// Counts a call that moves so many bytes when it succeeds.
    fn count<T: 'static>(
        self: &Arc<Self>,
        operation: Operation,
        bytes: u64,
        call: Pending<T>,
    ) -> Pending<T> {
        let meters = Arc::clone(self);
        async move {
            let _in_flight = InFlight::begin(&meters.in_flight);
            let began = Instant::now();
            let done = call.await;
            let meter = &meters.operations[operation as usize];
            meter.seconds.record(began.elapsed());
            meter.ended.increment(1);
            match &done {
                Ok(_) => meter.bytes.increment(bytes),
                Err(error) => meters.failed(operation, error),
            }
            done
        }
        .boxed()
    }

    fn failed(&self, operation: Operation, error: &io::Error) {
        if let Some(kind) = kind_of(error) {
            let labels = [
                ("disk", self.disk.clone()),
                ("operation", operation.name().to_owned()),
                ("kind", kind.to_owned()),
            ];
            counter!("strongroom_disk_errors_total", &labels).increment(1);
        }
    }
}

/// What sort of error it is; `None` for what is an answer.
fn kind_of(error: &io::Error) -> Option<&'static str> {
    use io::ErrorKind::{AlreadyExists, NotFound, QuotaExceeded, StorageFull, UnexpectedEof};
    match error.kind() {
        NotFound | AlreadyExists => None,
        StorageFull | QuotaExceeded => Some("full"),
        UnexpectedEof => Some("eof"),
        _ if error.raw_os_error() == Some(libc::EIO) => Some("io"),
        _ => Some("other"),
    }
}

/// One more in flight, until it is dropped.
struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    fn begin(gauge: &'a Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

impl Disk for Metered {
    fn create(&self, name: &str) -> Pending<Arc<dyn File>> {
        self.file(self.disk.create(name))
    }

    fn open(&self, name: &str) -> Pending<Arc<dyn File>> {
        self.file(self.disk.open(name))
    }

    fn list(&self) -> Pending<Vec<Entry>> {
        self.other(self.disk.list())
    }

    fn rename(&self, from: &str, to: &str) -> Pending<()> {
        self.other(self.disk.rename(from, to))
    }

    fn remove(&self, name: &str) -> Pending<()> {
        self.other(self.disk.remove(name))
    }

    fn sync_folder(&self) -> Pending<()> {
        let call = self.disk.sync_folder();
        self.meters.count(Operation::Sync, 0, call)
    }

    fn free(&self) -> Pending<ByteCount> {
        self.other(self.disk.free())
    }

    /// Asked again and again while a disk serves, so this is when an engine that gave way to another shows.
    fn attached(&self) -> Pending<bool> {
        self.meters.served_by(&self.disk.engine());
        self.other(self.disk.attached())
    }

    fn engine(&self) -> String {
        self.disk.engine()
    }
}

struct MeteredFile {
    file: Arc<dyn File>,
    meters: Arc<Meters>,
}

impl MeteredFile {
    fn other<T: 'static>(&self, call: Pending<T>) -> Pending<T> {
        self.meters.count(Operation::Other, 0, call)
    }
}

impl File for MeteredFile {
    fn read(&self, at: ByteOffset, length: ByteCount) -> Pending<Bytes> {
        let call = self.file.read(at, length);
        self.meters.count(Operation::Read, length.get(), call)
    }

    fn write(&self, at: ByteOffset, data: Buffer) -> Pending<()> {
        let length = data.len() as u64;
        let call = self.file.write(at, data);
        self.meters.count(Operation::Write, length, call)
    }

    fn sync(&self) -> Pending<()> {
        self.meters.count(Operation::Sync, 0, self.file.sync())
    }

    fn set_length(&self, length: ByteCount) -> Pending<()> {
        self.other(self.file.set_length(length))
    }

    fn allocate(&self, length: ByteCount) -> Pending<()> {
        self.other(self.file.allocate(length))
    }

    fn punch(&self, at: ByteOffset, length: ByteCount) -> Pending<()> {
        self.other(self.file.punch(at, length))
    }

    fn length(&self) -> Pending<ByteCount> {
        self.other(self.file.length())
    }

    fn allocated(&self) -> Pending<ByteCount> {
        self.other(self.file.allocated())
    }

    fn links(&self) -> Pending<u64> {
        self.other(self.file.links())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::BLOCK;
    use crate::sim::{Call, Fate, Operation as Simulated, SimDisk};
    use futures::executor::block_on;
    use futures::poll;
    use metrics_exporter_prometheus::PrometheusBuilder;

    /// Every series says what was done, and nothing else.
    /// Method: a scripted disk that fails in each way, and the exporter that operators read.
    #[test]
    fn operations_bytes_errors_and_what_is_in_flight_are_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let sim = SimDisk::new(1);
        let at = |block: u64| ByteOffset::new(block * BLOCK as u64);
        let block = ByteCount::new(BLOCK as u64);
        metrics::with_local_recorder(&recorder, || {
            let disk = Metered::new(Arc::new(sim.clone()), DiskId::new(11));
            block_on(async {
                assert!(disk.open("file").await.is_err());
                let file = disk.create("file").await.unwrap();
                file.write(at(0), Buffer::zeroed(3 * BLOCK)).await.unwrap();
                file.read(at(1), block).await.unwrap();
                assert!(file.read(at(3), block).await.is_err());
                sim.set_capacity(block);
                assert!(file.write(at(3), Buffer::zeroed(BLOCK)).await.is_err());
                sim.script(|call: &Call| match call.operation {
                    Simulated::Read => Fate::Fail(libc::EIO),
                    Simulated::Sync => Fate::Stall,
                    _ => Fate::Proceed,
                });
                assert!(file.read(at(1), block).await.is_err());
                let mut sync = file.sync();
                assert!(poll!(&mut sync).is_pending());
                let text = handle.render();
                assert!(
                    text.contains("strongroom_disk_in_flight{disk=\"11\"} 1"),
                    "{text}"
                );
                sim.release();
                sync.await.unwrap();
                let mut dropped = file.sync();
                assert!(poll!(&mut dropped).is_pending());
            });
        });
        let text = handle.render();
        for line in [
            "operations_total{disk=\"11\",operation=\"read\"} 3",
            "operations_total{disk=\"11\",operation=\"write\"} 2",
            "operations_total{disk=\"11\",operation=\"sync\"} 1",
            "operations_total{disk=\"11\",operation=\"other\"} 2",
            "bytes_total{disk=\"11\",operation=\"read\"} 4096",
            "bytes_total{disk=\"11\",operation=\"write\"} 12288",
            "seconds_count{disk=\"11\",operation=\"read\"} 3",
            "in_flight{disk=\"11\"} 0",
            "errors_total{disk=\"11\",operation=\"read\",kind=\"eof\"} 1",
            "errors_total{disk=\"11\",operation=\"read\",kind=\"io\"} 1",
            "errors_total{disk=\"11\",operation=\"write\",kind=\"full\"} 1",
            "engine{disk=\"11\",engine=\"simulated\"} 1",
            "engine{disk=\"11\",engine=\"io_uring\"} 0",
        ] {
            let line = format!("strongroom_disk_{line}");
            assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
        }
        assert!(!text.contains("kind=\"other\""), "{text}");
    }
}
