//! What a sync costs through a ring, and on a thread beside it.
//!
//! 4 KiB are written through a ring with O_DIRECT, as the engine does, and made durable: once by an fsync
//! through the same ring (the kernel hands it to a worker thread of its own), once by fdatasync on a thread of
//! ours, to which a channel leads and from which another one leads back; and once by the engine, as a
//! caller sees it. Rounds of the three alternate.
//!
//! ```sh
//! cargo run --release --ignore-rust-version --package strongroom-disk --example sync -- [FOLDER]
//! ```

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use futures::executor::block_on;
use io_uring::{IoUring, opcode, types::Fd, types::FsyncFlags};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use strongroom_disk::{BLOCK, Buffer, Choice};
use types::ByteOffset;

const ROUNDS: usize = 8;
const EACH: u64 = 500;

fn main() -> io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let path = Path::new(&folder).join("sync-measured");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_DIRECT)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    let mut writes = Writes {
        ring: IoUring::new(8)?,
        content: Buffer::zeroed(BLOCK),
        file,
    };
    // The blocks exist before anything is measured.
    (0..EACH).try_for_each(|block| writes.write(block))?;
    writes.file.sync_all()?;

    let (calls, queue) = mpsc::channel::<File>();
    let (done, outcomes) = mpsc::channel();
    let beside = std::thread::spawn(move || {
        for file in queue {
            drop(done.send(file.sync_data()));
        }
    });
    let own = Path::new(&folder).join("sync-measured.folder");
    std::fs::create_dir_all(&own)?;
    let disk = strongroom_disk::open(&own, Choice::Uring)?;
    let engine = block_on(disk.create("file"))?;
    block_on(disk.remove("file"))?;
    let (mut through, mut on_thread, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for block in 0..EACH {
            writes.write(block)?;
            let began = Instant::now();
            writes.sync()?;
            through.push(began.elapsed());
        }
        for block in 0..EACH {
            writes.write(block)?;
            let began = Instant::now();
            drop(calls.send(writes.file.try_clone()?));
            outcomes.recv().expect("the thread answers")?;
            on_thread.push(began.elapsed());
        }
        for block in 0..EACH {
            let at = ByteOffset::new(block * BLOCK as u64);
            block_on(engine.write(at, Buffer::zeroed(BLOCK)))?;
            let began = Instant::now();
            block_on(engine.sync())?;
            whole.push(began.elapsed());
        }
    }
    drop(calls);
    drop(beside.join());
    drop((engine, disk));
    std::fs::remove_dir(&own)?;
    show("fsync through the ring", through);
    show("fdatasync on a thread beside it", on_thread);
    show("sync of the engine", whole);
    Ok(())
}

struct Writes {
    ring: IoUring,
    content: Buffer,
    file: File,
}

impl Writes {
    fn write(&mut self, block: u64) -> io::Result<()> {
        let length = u32::try_from(BLOCK).expect("a block is small");
        let entry = opcode::Write::new(Fd(self.file.as_raw_fd()), self.content.as_ptr(), length)
            .offset(block * BLOCK as u64)
            .build();
        self.submit(&entry)
    }

    fn sync(&mut self) -> io::Result<()> {
        let entry = opcode::Fsync::new(Fd(self.file.as_raw_fd()))
            .flags(FsyncFlags::DATASYNC)
            .build();
        self.submit(&entry)
    }

    fn submit(&mut self, entry: &io_uring::squeue::Entry) -> io::Result<()> {
        // SAFETY: the entry names the open file and points to `content`, which both stay as they are until
        // the completion, for which this waits, or to the process's end.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.expect("the ring is empty");
        while let Err(error) = self.ring.submit_and_wait(1) {
            if error.kind() != io::ErrorKind::Interrupted {
                std::process::abort();
            }
        }
        let result = self.ring.completion().next().expect("one was waited for");
        match result.result() {
            error @ ..0 => Err(io::Error::from_raw_os_error(-error)),
            _ => Ok(()),
        }
    }
}

fn show(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let at = |percent: usize| took[percent * (took.len() - 1) / 100].as_secs_f64() * 1e6;
    let mean = took.iter().sum::<Duration>().as_secs_f64() / took.len() as f64;
    println!(
        "{what:32} {:6.0} a second; p50 {:5.0} us, p90 {:5.0} us, p99 {:6.0} us",
        1.0 / mean,
        at(50),
        at(90),
        at(99),
    );
}
