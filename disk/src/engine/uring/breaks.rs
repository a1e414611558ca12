//! A ring breaks off in flight: every operation is answered rightly, the bytes are right, the disk goes on.

use super::{Fault, UringDisk};
use crate::buffer::Buffer;
use crate::device::{BLOCK, Disk, File};
use crate::engine::folder::Folder;
use crate::engine::ring::How;
use futures::executor::block_on;
use futures::future::{join, join_all, maybe_done, try_join_all};
use io_uring::{IoUring, opcode, types::Fd};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use types::{ByteCount, ByteOffset};

const BLOCK_BYTES: u64 = BLOCK as u64;

/// Writers and readers at once: more than are in flight, so that the queue is full as well.
const TASKS: u64 = 160;
/// How often each writes its place anew.
const ROUNDS: u64 = 4;
/// Blocks of a task's place.
const PLACE: u64 = 5;

fn at(task: u64) -> ByteOffset {
    ByteOffset::new(task * PLACE * BLOCK_BYTES)
}

fn size(blocks: u64) -> usize {
    ByteCount::new(blocks * BLOCK_BYTES).as_usize()
}

/// What a task writes in a round: its length differs, too.
fn content(task: u64, round: u64) -> Vec<u8> {
    let blocks = 1 + (task + round) % PLACE;
    let byte = |n: u64| ((n / 3 + task * 31 + round * 7) % 251) as u8;
    (0..blocks * BLOCK_BYTES).map(byte).collect()
}

/// Writes its place again and again, and reads each time what it wrote.
async fn writer(file: &dyn File, task: u64) -> io::Result<()> {
    for round in 0..ROUNDS {
        let bytes = content(task, round);
        file.write(at(task), Buffer::copy_of(&bytes)).await?;
        if task % 16 == round {
            file.sync().await?;
        }
        let read = file.read(at(task), ByteCount::of(&bytes)).await?;
        assert!(read == bytes, "task {task}, round {round}");
    }
    Ok(())
}

/// Reads what was there before.
async fn reader(file: &dyn File, task: u64) -> io::Result<()> {
    for round in 0..ROUNDS {
        let bytes = content(task, 0);
        let read = file.read(at(task), ByteCount::of(&bytes)).await?;
        assert!(read == bytes, "reader {task}, round {round}");
    }
    Ok(())
}

/// A place holds what was written last, and behind it what an earlier round wrote there.
fn expected(task: u64) -> Vec<u8> {
    let mut place = Vec::new();
    for round in 0..ROUNDS {
        let bytes = content(task, round);
        place.resize(place.len().max(bytes.len()), 0);
        place[..bytes.len()].copy_from_slice(&bytes);
    }
    place
}

/// A folder where this test was built: a temporary one may be in memory.
fn on_a_disk() -> TempDir {
    let beside = std::env::current_exe().unwrap();
    tempfile::tempdir_in(beside.parent().unwrap()).unwrap()
}

/// What every place of `old` holds.
fn laid_out() -> Vec<u8> {
    let places = (0..TASKS).flat_map(|task| {
        let mut place = content(task, 0);
        place.resize(size(PLACE), 0);
        place
    });
    places.collect()
}

/// Breaks the ring at one of its calls, in the midst of reads, writes and syncs.
fn breaks(how: How, call: u32) {
    let path = on_a_disk();
    std::fs::write(path.path().join("old"), laid_out()).unwrap();
    let folder = Arc::new(Folder::open(path.path()).unwrap());
    let disk = UringDisk::breaking(folder, Fault::at(how, call), Fault::none()).unwrap();
    block_on(async {
        let new = disk.create("new").await.unwrap();
        let old = disk.open("old").await.unwrap();
        let (written, read) = join(
            try_join_all((0..TASKS).map(|task| writer(&*new, task))),
            try_join_all((0..TASKS).map(|task| reader(&*old, task))),
        )
        .await;
        written.unwrap();
        read.unwrap();
        new.sync().await.unwrap();
        disk.sync_folder().await.unwrap();
    });
    let engine = disk.engine();
    assert!(
        engine.starts_with("threads (io_uring broke off: "),
        "{engine}"
    );
    drop(disk);
    let new = std::fs::read(path.path().join("new")).unwrap();
    for task in 0..TASKS {
        let expected = expected(task);
        let place = &new[size(task * PLACE)..][..expected.len()];
        assert!(place == expected, "task {task} after all");
    }
}

/// Breaks the ring that tasks submit their reads to. The other one takes over.
fn reads_break(how: How, call: u32) {
    let path = on_a_disk();
    std::fs::write(path.path().join("old"), laid_out()).unwrap();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let folder = Arc::new(Folder::open(path.path()).unwrap());
        let disk = UringDisk::breaking(folder, Fault::none(), Fault::at(how, call)).unwrap();
        assert!(disk.engine().contains("tasks submit"), "{}", disk.engine());
        let old = disk.open("old").await.unwrap();
        let readers = (0..TASKS).map(|task| {
            let old = Arc::clone(&old);
            tokio::spawn(async move { reader(&*old, task).await })
        });
        for read in join_all(readers).await {
            read.unwrap().unwrap();
        }
        let engine = disk.engine();
        assert!(engine.starts_with("io_uring ("), "{engine}");
        assert!(!engine.contains("tasks submit"), "{engine}");
    });
}

/// Where the kernel gives out rings; elsewhere there is nothing to break.
fn moments(how: How) {
    if let Err(error) = io_uring::IoUring::new(4) {
        eprintln!("left out; io_uring says: {error}");
        return;
    }
    for call in 1..=16 {
        breaks(how, call);
        reads_break(how, call * 7);
    }
}

/// A runtime that ends takes nobody's read with it: one that another waits for is answered, and what is asked for
/// afterwards goes through the other ring.
#[test]
fn reads_outlive_their_runtime() {
    if IoUring::new(4).is_err() {
        eprintln!("left out; there is no io_uring");
        return;
    }
    let path = on_a_disk();
    std::fs::write(path.path().join("old"), laid_out()).unwrap();
    let runtime = Runtime::new().unwrap();
    let disk = {
        let _entered = runtime.enter();
        UringDisk::start(Arc::new(Folder::open(path.path()).unwrap())).unwrap()
    };
    let old = block_on(disk.open("old")).unwrap();
    block_on(reader(&*old, 0)).unwrap();
    let begin = |task| {
        let read = old.read(at(task), ByteCount::of(&content(task, 0)));
        let mut read = maybe_done(read);
        block_on(async {
            let _begun = futures::poll!(&mut read);
        });
        read
    };
    let under_way: Vec<_> = (0..TASKS).map(begin).collect();
    drop(runtime);
    for (task, mut read) in (0..TASKS).zip(under_way) {
        block_on(&mut read);
        let bytes = Pin::new(&mut read)
            .take_output()
            .expect("it is done")
            .unwrap();
        assert!(bytes == content(task, 0), "{task}");
    }
    block_on(reader(&*old, 1)).unwrap();
    assert!(!disk.engine().contains("tasks submit"), "{}", disk.engine());
}

#[test]
fn a_refused_call_loses_nothing() {
    moments(How::Refused);
}

#[test]
fn a_call_that_fails_after_it_was_taken_loses_nothing() {
    moments(How::Taken);
}

/// Writes that are still under way while they are written again undo nothing.
#[test]
fn completions_that_never_come_lose_nothing() {
    moments(How::Deaf);
}

/// As when somebody tightens a seccomp profile under the running process.
#[test]
fn a_kernel_that_forbids_the_ring_loses_nothing() {
    moments(How::Denied);
}

/// Nothing of what a ring left lands once its thread has ended and the file is settled.
/// Method: so many writes that most are under way when their thread ends; what is there as soon as the file is settled
/// is what is there in the end.
#[test]
fn a_settled_file_has_nothing_in_flight() {
    const WRITES: u32 = 64;
    const LENGTH: u32 = 1 << 20;
    if IoUring::new(4).is_err() {
        eprintln!("left out; there is no io_uring");
        return;
    }
    let path = on_a_disk();
    let folder = Arc::new(Folder::open(path.path()).unwrap());
    let file = folder.file("file", true).unwrap();
    let length = LENGTH as usize;
    let whole = WRITES as usize * length;
    file.write(ByteOffset::ZERO, &Buffer::zeroed(whole))
        .unwrap();
    let mut new = Buffer::zeroed(length);
    new.fill(1);
    // Never freed, should this panic while they may be under way.
    let new = std::mem::ManuallyDrop::new(new);
    let submit = || {
        let mut ring = IoUring::new(WRITES).unwrap();
        for n in 0..WRITES {
            let write = opcode::Write::new(Fd(file.descriptor()), new.as_ptr(), LENGTH);
            let write = write.offset(u64::from(n) * u64::from(LENGTH)).build();
            // SAFETY: `new` is never freed, nor written to.
            unsafe { ring.submission().push(&write) }.unwrap();
        }
        let taken = ring.submit().unwrap();
        (ring, taken)
    };
    let (mut ring, taken) = std::thread::scope(|scope| scope.spawn(submit).join()).unwrap();
    assert_eq!(taken, WRITES as usize);

    let last = || {
        let mut last = Buffer::zeroed(length);
        let at = ByteOffset::new((whole - length) as u64);
        file.read_into(at, &mut last).map(|()| last)
    };
    let early = ring.completion().len();
    let settled = file.settle(ByteOffset::ZERO);
    let now = last();
    while ring.completion().len() < WRITES as usize {
        ring.submit_and_wait(WRITES as usize).unwrap();
    }
    assert!(early < WRITES as usize, "nothing was under way any more");
    if let Err(error) = settled {
        eprintln!("left out; this file system says: {error}");
        return;
    }
    assert!(
        now.unwrap()[..] == last().unwrap()[..],
        "it landed afterwards"
    );
}
