//! What requests notice of a snapshot: lookups at random and small commits, arriving on their own whether or not
//! earlier ones were answered, at a rate that takes 60 % of the processors.
//!
//! Estimate: the snapshot takes what processor time is left, and each batch of commits waits for the piece that is
//! being read. Its p99 is twice that without at most.
//!
//! Latency counts from when a request was due, so that what waits to be sent is counted, too.

use crate::Options;
use crate::commits::Commits;
use crate::world::{Running, cache, filled, log_of, random, rows_of};
use anyhow::{Result, anyhow, ensure};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use strongroom_benches::process::cpu_of;
use strongroom_benches::report::{Report, percentile, print};
use strongroom_benches::run::{closed_loop, runtime};
use tokio::runtime::{Handle, Runtime};
use types::wire::metadata::Bucket;

/// Of all processors.
const BUSY: f64 = 0.6;
/// Requests at once that keep them all busy.
const AT_ONCE: usize = 64;
const CALIBRATES: Duration = Duration::from_secs(10);
const WITHOUT: Duration = Duration::from_secs(20);
/// One request in so many commits.
const COMMITS: u64 = 10;
/// Requests are due so often, as many as the rate asks for.
const STEP: Duration = Duration::from_millis(1);
/// What a session lives without a renewal is three times that.
const RENEW: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let folder = filled(&options.folder, options.names)?;
    cache(&rows_of(&folder))?;
    let runtime = runtime()?;
    let load = runtime.block_on(async {
        let running = Running::start(&folder, log_of(&folder)?).await?;
        let (bucket, commits) = (
            running.bucket().await?,
            Commits::new(&running, "late").await?,
        );
        anyhow::Ok(Arc::new(Load {
            running,
            bucket,
            commits,
            names: options.names,
            taken: Mutex::default(),
            failed: Mutex::default(),
        }))
    })?;
    let rate = calibrate(&runtime, &load)?;
    report.figure("foreground: requests", "/s", vec![rate], None);
    let (mut p99, mut p50, mut took) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds.min(3) {
        let without = load.run(&runtime, rate, |began| {
            thread::sleep(WITHOUT.saturating_sub(began.elapsed()));
            Ok(())
        })?;
        let with = load.run(&runtime, rate, |_| snapshot(&runtime, &load))?;
        p99.push((with.p99, without.p99));
        p50.push((with.p50, without.p50));
        took.push(with.took);
        let busy = (without.busy * 100.0, with.busy * 100.0);
        print(&format!(
            "  processors busy: {:.0} % without, {:.0} % with; {} and {} requests",
            busy.0, busy.1, without.requests, with.requests
        ));
    }
    let names = options.names;
    report.figure(
        &format!("a snapshot of {names} names, beside requests"),
        "s",
        took,
        None,
    );
    let case = format!("requests while one of {names} names is written, beside without: p99");
    report.beside(&case, "ms", &p99, Some(2.0));
    report.beside("  p50", "ms", &p50, None);
    runtime.block_on(load.running.stop());
    Ok(())
}

/// Has a snapshot written, and returns when it is there.
fn snapshot(runtime: &Runtime, load: &Load) -> Result<()> {
    let node = load.running.server.log();
    let applied = node.status().applied;
    // It waits for a while only; how long it takes is what is asked.
    drop(runtime.block_on(node.snapshot_now()));
    while node.status().snapshot < applied {
        ensure!(node.status().stopped.is_none(), "the server stopped");
        thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// Requests a second that take what is wanted of the processors: so much of those that are answered when there are
/// always enough. What else runs on the machine counts as if its processors were fewer.
fn calibrate(runtime: &Runtime, load: &Arc<Load>) -> Result<f64> {
    let load = Arc::clone(load);
    let most = closed_loop(AT_ONCE, CALIBRATES, move |number| {
        let load = Arc::clone(&load);
        async move { load.request(number).await.map(|()| 0) }
    });
    Ok(runtime.block_on(most)?.operations() * BUSY)
}

/// Who asks, and whom.
struct Load {
    running: Running,
    bucket: Bucket,
    commits: Arc<Commits>,
    names: u64,
    taken: Mutex<Vec<Duration>>,
    failed: Mutex<Option<anyhow::Error>>,
}

/// What a run of the load saw.
struct Seen {
    /// Milliseconds.
    p50: f64,
    p99: f64,
    requests: usize,
    took: f64,
    /// Of all processors.
    busy: f64,
}

impl Load {
    /// Sends requests at this rate while `meanwhile` runs, and waits for the last.
    fn run(
        self: &Arc<Self>,
        runtime: &Runtime,
        rate: f64,
        meanwhile: impl FnOnce(Instant) -> Result<()>,
    ) -> Result<Seen> {
        runtime.block_on(self.commits.renew())?;
        lock(&self.taken).clear();
        let (stop, under_way) = (AtomicBool::new(false), Arc::new(AtomicU64::new(0)));
        let (began, cpu) = (Instant::now(), cpu_of("self"));
        thread::scope(|scope| {
            scope.spawn(|| self.send(runtime.handle(), rate, began, &stop, &under_way));
            let done = meanwhile(began);
            stop.store(true, Ordering::SeqCst);
            done
        })?;
        let (took, cpu) = (began.elapsed(), cpu_of("self").saturating_sub(cpu));
        while under_way.load(Ordering::SeqCst) > 0 {
            thread::sleep(LOOK_AGAIN);
        }
        if let Some(error) = lock(&self.failed).take() {
            return Err(error);
        }
        let mut times = std::mem::take(&mut *lock(&self.taken));
        let processors = thread::available_parallelism()?.get() as f64;
        Ok(Seen {
            p50: percentile(&mut times, 50).as_secs_f64() * 1e3,
            p99: percentile(&mut times, 99).as_secs_f64() * 1e3,
            requests: times.len(),
            took: took.as_secs_f64(),
            busy: cpu.as_secs_f64() / took.as_secs_f64() / processors,
        })
    }

    fn send(
        self: &Arc<Self>,
        runtime: &Handle,
        rate: f64,
        began: Instant,
        stop: &AtomicBool,
        under_way: &Arc<AtomicU64>,
    ) {
        let every = Duration::from_secs_f64(1.0 / rate);
        let (mut sent, mut next) = (0_u64, began);
        let (mut due, mut renewed) = (began, began);
        while !stop.load(Ordering::SeqCst) {
            due += STEP;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            while next <= due {
                next += every;
                sent += 1;
                under_way.fetch_add(1, Ordering::SeqCst);
                let (load, under_way) = (Arc::clone(self), Arc::clone(under_way));
                runtime.spawn(async move {
                    load.one(sent, due).await;
                    drop(load);
                    under_way.fetch_sub(1, Ordering::SeqCst);
                });
            }
            if due.duration_since(renewed) > RENEW {
                renewed = due;
                let load = Arc::clone(self);
                runtime.spawn(async move { load.note(load.commits.renew().await) });
            }
        }
    }

    async fn request(&self, number: u64) -> Result<()> {
        if number.is_multiple_of(COMMITS) {
            self.commits.one().await
        } else {
            self.running.lookup(&self.bucket, random(self.names)).await
        }
    }

    async fn one(&self, number: u64, due: Instant) {
        let done = self.request(number).await;
        lock(&self.taken).push(due.elapsed());
        self.note(done);
    }

    fn note(&self, done: Result<()>) {
        if let Err(error) = done {
            let first = || anyhow!("a request failed: {error:#}");
            lock(&self.failed).get_or_insert_with(first);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
