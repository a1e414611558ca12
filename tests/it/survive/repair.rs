//! How fast a lost disk is whole again, and what readers notice of it.
//!
//! A little in `cargo xtask test`, where only counts are held; `cargo xtask bench repair` puts 4 GiB in, which
//! is a GiB a disk, and prints times that mean something: beside readers, alone, and what the disks could give.

use super::{Aside, ids, serving, status, until, whole};
use crate::support::{self, MIB};
use bytes::Bytes;
use disk::{Buffer, Choice, Disk, File};
use futures::StreamExt;
use futures::future::join_all;
use serde_json::Value;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use strongroom_tests::{Cluster, Content};
use strongroom_wire::{Ask, Reply};
use types::{ByteCount, ByteOffset};

const SMALL: u64 = 100_000;
const READERS: u64 = 2;
/// Readers are looked at for so long at a time.
const WINDOW: Duration = Duration::from_secs(2);
/// So often before, and after.
const WINDOWS: usize = 7;
/// k of the cluster's profile.
const DATA: u8 = 4;

/// Objects of 64 MiB that are stored.
fn objects() -> u64 {
    let mebibytes = std::env::var("STRONGROOM_REPAIR_MIB").ok();
    mebibytes.map_or(2, |text| text.parse::<u64>().expect("a number") / 64)
}

/// Whether times are told.
fn measured() -> bool {
    objects() > 10
}

/// A disk is lost, replaced, and whole again, while readers read; how long all of that takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_disk_is_whole_again() {
    let mut cluster = Cluster::start("repair").unwrap();
    let client = support::client(&cluster);
    support::make_bucket(&client, "data").await;
    for number in 0..objects() {
        let content = Content::new(number, 64 * MIB);
        support::put(&client, "data", &format!("large-{number}"), content)
            .await
            .expect("stored");
    }
    let small = Content::new(7777, SMALL);
    support::put(&client, "data", "small", small)
        .await
        .expect("stored");
    let readers = Readers::start(&cluster);
    tokio::time::sleep(WINDOW).await;
    let windows = if measured() { WINDOWS } else { 1 };
    let before = readers.windows(&cluster, windows).await;
    let lost = lose(&cluster, 2).await;
    let without = readers.windows(&cluster, windows).await;
    let began = Instant::now();
    replace(&cluster, 2, lost);
    let during = readers.while_repairing(&cluster).await;
    let beside = Made::until_whole(&cluster, began, 0).await;
    let after = readers.windows(&cluster, windows).await;
    let read = readers.stop().await;
    assert!(beside.bytes > objects() * 10 * MIB);
    assert!(read > 100, "hardly any reading: {read}");
    eprintln!("repair: beside {READERS} readers {beside}");
    let p99 = [
        ("before", &before),
        ("without", &without),
        ("during", &during),
        ("after", &after),
    ];
    for (when, windows) in p99 {
        let times = median(windows) / median(&before);
        eprintln!(
            "repair: p99 of GETs of 100 kB {when}: median {:.2} ms, {times:.2} x; {windows:.2?}",
            median(windows)
        );
    }
    if measured() {
        let lost = lose(&cluster, 3).await;
        let began = Instant::now();
        replace(&cluster, 3, lost);
        let alone = Made::until_whole(&cluster, began, beside.bytes).await;
        eprintln!("repair: alone {alone}");
    }
    for number in 0..objects().min(4) {
        let content = Content::new(number, 64 * MIB);
        support::check(&client, "data", &format!("large-{number}"), content)
            .await
            .expect("exact");
    }
    assert!(cluster.run(&["check", "--deep"]).unwrap().status.success());
    assert!(cluster.stop().unwrap().success());
    let given = disks_give(&cluster, beside.bytes).await;
    eprintln!("repair: the disks could give {given}");
}

/// The disk is gone for good, and the cluster knows; its id.
async fn lose(cluster: &Cluster, disk: u8) -> u64 {
    let lost = ids(cluster)[usize::from(disk)];
    Aside::put(cluster, disk).destroy();
    until("the loss is told", || serving(cluster) == 5).await;
    lost
}

fn replace(cluster: &Cluster, disk: u8, lost: u64) {
    fs::create_dir(cluster.disk(disk)).unwrap();
    let replaced = cluster
        .run(&["disk", "replace", &lost.to_string()])
        .unwrap();
    assert!(replaced.status.success(), "{replaced:?}");
}

/// Bytes that were made again in a time.
struct Made {
    bytes: u64,
    took: Duration,
}

impl Made {
    /// What was made again since `began`, when `before` had been, once all is whole.
    async fn until_whole(cluster: &Cluster, began: Instant, before: u64) -> Self {
        let ended = whole(cluster).await;
        let bytes = repaired(&status(cluster)) - before;
        Self {
            bytes,
            took: ended - began,
        }
    }
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (megabytes, seconds) = (self.bytes as f64 / 1e6, self.took.as_secs_f64());
        let rate = megabytes / seconds;
        write!(f, "{megabytes:.0} MB in {seconds:.1} s: {rate:.0} MB/s")
    }
}

/// Bytes that were made again since the start.
fn repaired(status: &Value) -> u64 {
    status["upkeep"]["repaired_bytes"].as_u64().unwrap()
}

/// The middle of some figures.
fn median(windows: &[f64]) -> f64 {
    let mut sorted = windows.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// So many bytes written to one disk and synced, a shard at a time, and for each of them k read from as many
/// others, four shards at once: by the same engine, and with nothing else to do.
async fn disks_give(cluster: &Cluster, bytes: u64) -> Made {
    let shard = ByteCount::new(MIB);
    let open = |number| disk::open(&cluster.disk(number), Choice::Auto).expect("it opens");
    let mut sources = Vec::new();
    for number in 0..DATA {
        sources.push(Source::of(&*open(number), shard).await);
    }
    let target = open(DATA).create("given").await.unwrap();
    target.allocate(ByteCount::new(bytes)).await.unwrap();
    let began = Instant::now();
    let lanes = (0..bytes / MIB).map(async |number| {
        let reads = sources.iter().map(|source| source.read(number, shard));
        let read = join_all(reads).await;
        let at = ByteOffset::new(number * MIB);
        target.write(at, Buffer::copy_of(&read[0])).await.unwrap();
        target.sync().await.unwrap();
    });
    futures::stream::iter(lanes)
        .buffer_unordered(4)
        .count()
        .await;
    Made {
        bytes,
        took: began.elapsed(),
    }
}

/// What a disk holds, in pieces as long as a shard.
struct Source(Vec<(Arc<dyn File>, ByteOffset)>);

impl Source {
    async fn of(disk: &dyn Disk, shard: ByteCount) -> Self {
        let mut pieces = Vec::new();
        for entry in disk.list().await.unwrap() {
            let file = disk.open(&entry.name).await.unwrap();
            let starts = (0..entry.length.get() / shard.get()).map(|n| n * shard.get());
            pieces.extend(starts.map(|at| (Arc::clone(&file), ByteOffset::new(at))));
        }
        Self(pieces)
    }

    async fn read(&self, number: u64, length: ByteCount) -> Bytes {
        let number = usize::try_from(number).unwrap();
        let (file, at) = &self.0[number % self.0.len()];
        file.read(*at, length).await.unwrap()
    }
}

/// Readers of a small object, each after the other.
struct Readers {
    tasks: Vec<tokio::task::JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    taken: Arc<std::sync::Mutex<Vec<Duration>>>,
    read: Arc<std::sync::atomic::AtomicU64>,
}

impl Readers {
    fn start(cluster: &Cluster) -> Self {
        let keys = cluster.credentials().unwrap();
        let address = cluster.endpoints().s3;
        let stop = Arc::new(AtomicBool::new(false));
        let taken: Arc<std::sync::Mutex<Vec<Duration>>> = Arc::default();
        let read: Arc<std::sync::atomic::AtomicU64> = Arc::default();
        let one = || {
            let ask = Ask::new("GET", "/data/small", &keys.access_key, &keys.secret_key);
            let (stop, taken, read) = (Arc::clone(&stop), Arc::clone(&taken), Arc::clone(&read));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let reply: Reply = ask.send(address).await;
                    assert_eq!(reply.status, 200);
                    taken.lock().unwrap().push(began.elapsed());
                    read.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let tasks = (0..READERS).map(|_| one()).collect();
        Self {
            tasks,
            stop,
            taken,
            read,
        }
    }

    /// The 99th of a hundred in each of the next windows, in milliseconds.
    async fn windows(&self, cluster: &Cluster, count: usize) -> Vec<f64> {
        let mut windows = Vec::new();
        for _ in 0..count {
            windows.push(self.window().await);
            // As between the windows of a repair.
            status(cluster);
        }
        windows
    }

    /// As [`Self::windows`], those that lie within a repair that has just begun.
    async fn while_repairing(&self, cluster: &Cluster) -> Vec<f64> {
        let mut windows = Vec::new();
        let mut made = repaired(&status(cluster));
        loop {
            let window = self.window().await;
            let now = status(cluster);
            assert!(windows.len() < 100, "repair does not end: {now}");
            let to_do = now["health"]["repairs"] != Value::Array(Vec::new());
            let before = std::mem::replace(&mut made, repaired(&now));
            match (before > 0, to_do) {
                (false, true) => {}
                (true, true) => windows.push(window),
                (_, false) => return windows,
            }
        }
    }

    async fn window(&self) -> f64 {
        self.taken.lock().unwrap().clear();
        tokio::time::sleep(WINDOW).await;
        let mut taken = std::mem::take(&mut *self.taken.lock().unwrap());
        taken.sort_unstable();
        let at = (taken.len() * 99 / 100).min(taken.len().saturating_sub(1));
        let p99 = taken.get(at).copied().unwrap_or(WINDOW);
        p99.as_secs_f64() * 1e3
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a reader");
        }
        self.read.load(Ordering::Relaxed)
    }
}
