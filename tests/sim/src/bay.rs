//! A place for a disk: the simulated disk in it may lose power and come back, or be pulled and replaced by
//! another, while a storage node goes on using the place.
//!
//! Calls act at once, as the disk's do; some answers take a few milliseconds of simulated time to arrive, so
//! that what goes on elsewhere can come in between.

use crate::trace::Trace;
use disk::sim::SimDisk;
use disk::{Buffer, Disk, Entry, File, Pending};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strongroom_tests::Dice;
use types::{ByteCount, ByteOffset};

/// Whether syncs are done, or only said to be: a bug that a simulation must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syncs {
    /// They are done.
    Done,
    /// They are answered, and nothing is done.
    Skipped,
}

/// A place for a disk; clones share it.
#[derive(Clone)]
pub(crate) struct Bay {
    disk: Arc<Mutex<SimDisk>>,
    line: Line,
}

/// What calls go through.
#[derive(Clone)]
struct Line {
    number: usize,
    trace: Trace,
    dice: Arc<Mutex<Dice>>,
    syncs: Syncs,
}

impl Bay {
    /// The place of that number, with an empty disk.
    pub(crate) fn new(number: usize, mut dice: Dice, syncs: Syncs, trace: Trace) -> Self {
        let disk = SimDisk::new(dice.next_word());
        let line = Line {
            number,
            trace,
            dice: Arc::new(Mutex::new(dice)),
            syncs,
        };
        Self {
            disk: Arc::new(Mutex::new(disk)),
            line,
        }
    }

    /// The disk that is in it.
    pub(crate) fn disk(&self) -> SimDisk {
        lock(&self.disk).clone()
    }

    /// Puts another disk in.
    pub(crate) fn put(&self, disk: SimDisk) {
        *lock(&self.disk) = disk;
    }

    /// Power is back after it was cut, or is cut now: the disk shows what it kept.
    pub(crate) fn power_cycle(&self) {
        let seed = lock(&self.line.dice).next_word();
        let mut disk = lock(&self.disk);
        let after = disk.crash(seed);
        // Whoever waits for a stalled call hears that it failed.
        disk.fail_stalled(5);
        *disk = after;
    }

    fn call<T: Send + 'static>(
        &self,
        what: fmt::Arguments<'_>,
        call: impl FnOnce(&SimDisk) -> Pending<T>,
    ) -> Pending<T> {
        self.line.slowed(what, call(&self.disk()))
    }

    fn file(&self, name: &str, opened: Pending<Arc<dyn File>>) -> Pending<Arc<dyn File>> {
        let (line, name) = (self.line.clone(), name.to_owned());
        Box::pin(async move {
            let file = opened.await?;
            Ok(Arc::new(BayFile { file, name, line }) as Arc<dyn File>)
        })
    }
}

impl Line {
    /// The call, whose answer may take a while.
    fn slowed<T: Send + 'static>(&self, what: fmt::Arguments<'_>, call: Pending<T>) -> Pending<T> {
        self.trace.note(format_args!("bay {}: {what}", self.number));
        let millis = {
            let mut dice = lock(&self.dice);
            if dice.below(8) == 0 {
                dice.below(12)
            } else {
                0
            }
        };
        if millis == 0 {
            return call;
        }
        Box::pin(async move {
            let result = call.await;
            tokio::time::sleep(Duration::from_millis(millis)).await;
            result
        })
    }
}

impl Disk for Bay {
    fn create(&self, name: &str) -> Pending<Arc<dyn File>> {
        self.file(
            name,
            self.call(format_args!("create {name}"), |disk| disk.create(name)),
        )
    }

    fn open(&self, name: &str) -> Pending<Arc<dyn File>> {
        self.file(
            name,
            self.call(format_args!("open {name}"), |disk| disk.open(name)),
        )
    }

    fn list(&self) -> Pending<Vec<Entry>> {
        self.call(format_args!("list"), Disk::list)
    }

    fn rename(&self, from: &str, to: &str) -> Pending<()> {
        self.call(format_args!("rename {from} {to}"), |disk| {
            disk.rename(from, to)
        })
    }

    fn remove(&self, name: &str) -> Pending<()> {
        self.call(format_args!("remove {name}"), |disk| disk.remove(name))
    }

    fn sync_folder(&self) -> Pending<()> {
        self.call(format_args!("sync the folder"), Disk::sync_folder)
    }

    fn free(&self) -> Pending<ByteCount> {
        self.call(format_args!("free"), Disk::free)
    }

    fn attached(&self) -> Pending<bool> {
        self.call(format_args!("attached"), Disk::attached)
    }

    fn engine(&self) -> String {
        "a simulated disk in a bay".to_owned()
    }
}

struct BayFile {
    file: Arc<dyn File>,
    name: String,
    line: Line,
}

impl BayFile {
    fn call<T: Send + 'static>(
        &self,
        what: &str,
        at: u64,
        length: u64,
        call: Pending<T>,
    ) -> Pending<T> {
        let name = &self.name;
        self.line
            .slowed(format_args!("{what} {name} {at} {length}"), call)
    }
}

impl File for BayFile {
    fn read(&self, at: ByteOffset, length: ByteCount) -> Pending<bytes::Bytes> {
        let read = self.file.read(at, length);
        self.call("read", at.get(), length.get(), read)
    }

    fn write(&self, at: ByteOffset, data: Buffer) -> Pending<()> {
        let length = ByteCount::of(&data).get();
        self.call("write", at.get(), length, self.file.write(at, data))
    }

    fn sync(&self) -> Pending<()> {
        let done: Pending<()> = match self.line.syncs {
            Syncs::Done => self.file.sync(),
            Syncs::Skipped => Box::pin(async { Ok(()) }),
        };
        self.call("sync", 0, 0, done)
    }

    fn set_length(&self, length: ByteCount) -> Pending<()> {
        self.call("set length", 0, length.get(), self.file.set_length(length))
    }

    fn allocate(&self, length: ByteCount) -> Pending<()> {
        self.call("allocate", 0, length.get(), self.file.allocate(length))
    }

    fn punch(&self, at: ByteOffset, length: ByteCount) -> Pending<()> {
        let punched = self.file.punch(at, length);
        self.call("punch", at.get(), length.get(), punched)
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

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
