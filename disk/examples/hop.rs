//! What does it cost that an operation goes from a task to the ring's thread and back? Decision 0026.
//!
//! ```text
//! cargo xtask bench hop [--folder DIR] [--rounds N]
//!
//! loop      one thread submits again what completed, as fio does: the reference
//! thread    tasks hand their reads to the ring's only thread                estimate: 0.8 to 0.9 of the loop
//! lock      tasks submit under a lock, a thread takes in what completes     estimate: 0.6 to 1
//! reactor   tasks submit, a task that the runtime wakes takes it in         estimate: 1 to 1.2
//! ```
//!
//! 32 tasks on two workers, each with one read of 4 KiB under way, and nothing else: no lookup, no checksum,
//! no count. All four in turns, so that a disk that drifts drifts for all.

use io_uring::{IoUring, opcode, squeue, types::Fd};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use strongroom_disk::{self as disk, BLOCK, Buffer, Choice};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use types::{ByteCount, ByteOffset};

/// Reads under way.
const TASKS: usize = 32;
/// Room for a bell beside them.
const ENTRIES: u32 = 64;
/// Of a read: a block.
const BYTES: u32 = 4096;
const WORKERS: usize = 2;
const TIME: Duration = Duration::from_secs(3);
/// Of the file that is read: about as many as `bench disk` reads.
const BLOCKS: u64 = 200 << 10;
/// Marks the completion that says that a thread has work; no task has this number.
const BELL: u64 = u64::MAX;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What one form did in its time.
struct Sample {
    reads: f64,
    /// Of the processor, for each.
    cpu: Duration,
}

type Form = (&'static str, fn(&Arc<File>) -> Result<u64>);

const FORMS: [Form; 4] = [
    ("loop", alone),
    ("thread", with_a_thread),
    ("lock", under_a_lock),
    ("reactor", with_the_reactor),
];

fn main() -> Result<()> {
    let mut folder = PathBuf::from("target/bench/hop");
    let mut rounds = 8_usize;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or("a value is missing")?;
        match argument.as_str() {
            "--folder" => folder = value.into(),
            "--rounds" => rounds = value.parse()?,
            _ => return Err("usage: [--folder DIR] [--rounds N]".into()),
        }
    }
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("blocks");
    let done = runtime()?
        .block_on(fill(&folder))
        .and_then(|()| measure(&path, rounds.max(1)));
    std::fs::remove_dir_all(&folder)?;
    done
}

/// Written for real: a disk answers at once for what it never wrote.
async fn fill(folder: &Path) -> Result<()> {
    let disk = disk::open(folder, Choice::Auto)?;
    let file = disk.create("blocks").await?;
    let piece = 1 << 20;
    for start in (0..BLOCKS * BLOCK as u64).step_by(piece) {
        let mut bytes = Buffer::zeroed(piece);
        for (n, block) in bytes.chunks_exact_mut(BLOCK).enumerate() {
            block.fill(mark(start / BLOCK as u64 + n as u64));
        }
        file.write(ByteOffset::new(start), bytes).await?;
    }
    file.sync().await?;
    assert_eq!(file.length().await?, ByteCount::new(BLOCKS * BLOCK as u64));
    Ok(())
}

fn measure(path: &Path, rounds: usize) -> Result<()> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)?;
    let file = Arc::new(file);
    let mut samples: [Vec<Sample>; FORMS.len()] = Default::default();
    for _ in 0..rounds {
        for ((_, form), samples) in FORMS.iter().zip(&mut samples) {
            let (began, cpu) = (Instant::now(), cpu()?);
            let reads = form(&file)?;
            samples.push(Sample {
                reads: reads as f64 / began.elapsed().as_secs_f64(),
                cpu: (self::cpu()? - cpu).div_f64(reads as f64),
            });
        }
    }
    let mut out = io::stdout();
    writeln!(
        out,
        "{:<10} {:>10} {:>8} {:>14}",
        "", "reads/s", "of loop", "CPU a read"
    )?;
    for ((name, _), form) in FORMS.iter().zip(&samples) {
        let pairs = form.iter().zip(&samples[0]);
        writeln!(
            out,
            "{name:<10} {:>10.0} {:>8.2} {:>11.1} µs",
            median(form.iter().map(|sample| sample.reads)),
            median(pairs.map(|(ours, of)| ours.reads / of.reads)),
            median(form.iter().map(|sample| sample.cpu.as_secs_f64() * 1e6)),
        )?;
    }
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Of this process, so far.
fn cpu() -> Result<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is there to be written to.
    if unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error().into());
    }
    Ok(Duration::new(
        time.tv_sec.try_into()?,
        time.tv_nsec.try_into()?,
    ))
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
}

/// One of `TASKS` places that are read into, and what is read next there.
struct Place {
    buffer: Buffer,
    number: u64,
}

impl Place {
    fn new(task: usize) -> Self {
        Self {
            buffer: Buffer::zeroed(BLOCK),
            number: (task as u64) << 40,
        }
    }

    /// The next read. Whoever submits it leaves the place alone until it completed.
    fn read(&mut self, file: &File, tag: u64) -> squeue::Entry {
        self.number += 1;
        let at = scatter(self.number) % BLOCKS * BLOCK as u64;
        opcode::Read::new(Fd(file.as_raw_fd()), self.buffer.as_mut_ptr(), BYTES)
            .offset(at)
            .build()
            .user_data(tag)
    }

    /// What a read that completed must have brought.
    fn check(&self, result: i32) -> io::Result<()> {
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        let block = scatter(self.number) % BLOCKS;
        match result.cast_unsigned() == BYTES && self.buffer[0] == mark(block) {
            true => Ok(()),
            false => Err(io::Error::other("the ring read something else")),
        }
    }
}

/// What a block is filled with.
fn mark(block: u64) -> u8 {
    block.to_le_bytes()[0] | 1
}

/// The task that a completion is for.
fn task_of(tag: u64) -> usize {
    usize::try_from(tag).expect("tasks are few")
}

/// A number that looks like any other.
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `loop`.
fn alone(file: &Arc<File>) -> Result<u64> {
    let mut ring = IoUring::new(ENTRIES)?;
    let mut places: Vec<Place> = (0..TASKS).map(Place::new).collect();
    for (task, place) in places.iter_mut().enumerate() {
        // SAFETY: its buffer lives until all that was submitted completed, below.
        unsafe { ring.submission().push(&place.read(file, task as u64)) }?;
    }
    let (began, mut reads, mut under_way) = (Instant::now(), 0, TASKS);
    while under_way > 0 {
        ring.submit_and_wait(1)?;
        let completed: Vec<(u64, i32)> = taken_in(&mut ring);
        for (task, result) in completed {
            let place = &mut places[task_of(task)];
            place.check(result)?;
            reads += 1;
            if began.elapsed() < TIME {
                // SAFETY: as above.
                unsafe { ring.submission().push(&place.read(file, task)) }?;
            } else {
                under_way -= 1;
            }
        }
    }
    Ok(reads)
}

fn taken_in(ring: &mut IoUring) -> Vec<(u64, i32)> {
    let completions = ring.completion();
    completions
        .map(|completion| (completion.user_data(), completion.result()))
        .collect()
}

/// A read on its way to whoever submits it: which, and who waits for its result.
type Asked = (squeue::Entry, oneshot::Sender<i32>);

/// A closed loop of every task: `ask` hands a read over.
fn tasks(
    file: &Arc<File>,
    beside: impl Future<Output = io::Result<()>> + Send + 'static,
    ask: impl Fn(usize, squeue::Entry) -> io::Result<oneshot::Receiver<i32>> + Clone + Send + 'static,
) -> Result<u64> {
    let runtime = runtime()?;
    let reads = Arc::new(AtomicU64::new(0));
    let beside = runtime.spawn(beside);
    let began = Instant::now();
    let all: Vec<_> = (0..TASKS)
        .map(|task| {
            let (file, ask, reads) = (Arc::clone(file), ask.clone(), Arc::clone(&reads));
            runtime.spawn(async move {
                let mut place = Place::new(task);
                while began.elapsed() < TIME {
                    let entry = place.read(&file, task as u64);
                    let result = ask(task, entry)?.await;
                    place.check(result.map_err(io::Error::other)?)?;
                    reads.fetch_add(1, Ordering::Relaxed);
                }
                io::Result::Ok(())
            })
        })
        .collect();
    runtime.block_on(async {
        let all = async {
            for task in all {
                task.await??;
            }
            Ok(reads.load(Ordering::Relaxed))
        };
        tokio::select! {
            reads = all => reads,
            ended = beside => Err(format!("what takes in ended: {ended:?}").into()),
        }
    })
}

/// Wakes a thread that waits in its ring.
fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: a plain call; its result is looked at.
    let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just opened, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn wake(bell: RawFd) -> io::Result<()> {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: eight bytes are there to be read.
    match unsafe { libc::write(bell, one.as_ptr().cast(), one.len()) } {
        8 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `thread`: one queue, and a bell that is rung only for a thread that sleeps.
fn with_a_thread(file: &Arc<File>) -> Result<u64> {
    #[derive(Default)]
    struct Queue {
        asked: Mutex<Vec<Asked>>,
        asleep: AtomicBool,
        closed: AtomicBool,
    }
    let queue = Arc::new(Queue::default());
    let bell = Arc::new(eventfd()?);
    let served = (Arc::clone(&queue), Arc::clone(&bell));
    let server = std::thread::spawn(move || -> io::Result<()> {
        let (queue, bell) = served;
        let mut ring = IoUring::new(ENTRIES)?;
        let mut waiting: Vec<Option<oneshot::Sender<i32>>> = (0..TASKS).map(|_| None).collect();
        let mut rung = Box::new(0_u64);
        let listen = opcode::Read::new(Fd(bell.as_raw_fd()), (&raw mut *rung).cast(), 8)
            .build()
            .user_data(BELL);
        // SAFETY: `rung` lives until the ring is dropped.
        unsafe { ring.submission().push(&listen) }.map_err(io::Error::other)?;
        while !queue.closed.load(Ordering::SeqCst) {
            queue.asleep.store(true, Ordering::SeqCst);
            let asked = std::mem::take(&mut *lock(&queue.asked));
            let sleeps = asked.is_empty();
            if !sleeps {
                queue.asleep.store(false, Ordering::SeqCst);
            }
            for (entry, answer) in asked {
                let task = task_of(entry.get_user_data());
                waiting[task] = Some(answer);
                // SAFETY: whoever asked leaves the place alone until it is answered.
                unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
            }
            ring.submit_and_wait(usize::from(sleeps))?;
            queue.asleep.store(false, Ordering::SeqCst);
            for (tag, result) in taken_in(&mut ring) {
                if tag == BELL {
                    // SAFETY: as above.
                    unsafe { ring.submission().push(&listen) }.map_err(io::Error::other)?;
                } else if let Some(answer) = waiting[task_of(tag)].take() {
                    // Nobody waits any more when a task failed.
                    let _gone = answer.send(result);
                }
            }
        }
        Ok(())
    });
    let asking = (Arc::clone(&queue), Arc::clone(&bell));
    let reads = tasks(file, std::future::pending(), move |_, entry| {
        let (queue, bell) = &asking;
        let (answer, result) = oneshot::channel();
        lock(&queue.asked).push((entry, answer));
        if queue.asleep.swap(false, Ordering::SeqCst) {
            wake(bell.as_raw_fd())?;
        }
        Ok(result)
    });
    queue.closed.store(true, Ordering::SeqCst);
    wake(bell.as_raw_fd())?;
    server.join().map_err(|_| "the ring's thread panicked")??;
    reads
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A ring that many submit to, one at a time, and one other takes in from.
struct Shared {
    ring: IoUring,
    submitting: Mutex<()>,
    waiting: [Mutex<Option<oneshot::Sender<i32>>>; TASKS],
}

impl Shared {
    fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            ring: IoUring::new(ENTRIES)?,
            submitting: Mutex::default(),
            waiting: Default::default(),
        }))
    }

    fn ask(&self, task: usize, entry: &squeue::Entry) -> io::Result<oneshot::Receiver<i32>> {
        let (answer, result) = oneshot::channel();
        *lock(&self.waiting[task]) = Some(answer);
        self.submit(entry)?;
        Ok(result)
    }

    fn submit(&self, entry: &squeue::Entry) -> io::Result<()> {
        let _one = lock(&self.submitting);
        // SAFETY: nobody else has the submission queue while this lock is held, and whoever asked leaves the
        // place alone until it is answered.
        unsafe { self.ring.submission_shared().push(entry) }.map_err(io::Error::other)?;
        self.ring.submit().map(drop)
    }

    /// # Safety
    /// One caller at a time.
    unsafe fn take_in(&self) -> bool {
        let mut closed = false;
        // SAFETY: as this function asks.
        for completion in unsafe { self.ring.completion_shared() } {
            let tag = completion.user_data();
            if tag == BELL {
                closed = true;
            } else if let Some(answer) = lock(&self.waiting[task_of(tag)]).take() {
                let _gone = answer.send(completion.result());
            }
        }
        closed
    }
}

/// `lock`.
fn under_a_lock(file: &Arc<File>) -> Result<u64> {
    let shared = Shared::new()?;
    let taking = Arc::clone(&shared);
    let server = std::thread::spawn(move || -> io::Result<()> {
        loop {
            let submitter = taking.ring.submitter();
            let flags = io_uring::EnterFlags::GETEVENTS.bits();
            // SAFETY: nothing is passed along.
            unsafe { submitter.enter::<libc::sigset_t>(0, 1, flags, None) }?;
            // SAFETY: this thread alone takes in.
            if unsafe { taking.take_in() } {
                return Ok(());
            }
        }
    });
    let asking = Arc::clone(&shared);
    let reads = tasks(file, std::future::pending(), move |task, entry| {
        asking.ask(task, &entry)
    });
    shared.submit(&opcode::Nop::new().build().user_data(BELL))?;
    server.join().map_err(|_| "the thread panicked")??;
    reads
}

/// `reactor`.
fn with_the_reactor(file: &Arc<File>) -> Result<u64> {
    let shared = Shared::new()?;
    let (taking, asking) = (Arc::clone(&shared), Arc::clone(&shared));
    let take_in = async move {
        // SAFETY: the ring is open: `taking` holds it.
        let ring = unsafe { BorrowedFd::borrow_raw(taking.ring.as_raw_fd()) };
        // SAFETY: what is owned keeps its descriptor.
        let ring = unsafe { AsyncFd::register(ring.try_clone_to_owned()?) }?;
        loop {
            let mut ready = ring.readable().await?;
            ready.clear_ready();
            // SAFETY: this task alone takes in.
            unsafe { taking.take_in() };
        }
    };
    tasks(file, take_in, move |task, entry| asking.ask(task, &entry))
}
