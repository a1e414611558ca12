//! How fast a lost disk is whole again, and what readers notice of it.
//!
//! A little in `cargo xtask test`, where only counts are held; `cargo xtask bench repair` puts 4 GiB in, which
//! is a GiB a disk, and prints times that mean something.

use super::{Aside, ids, serving, status, until, whole};
use crate::support::{self, MIB};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use strongroom_tests::{Cluster, Content};
use strongroom_wire::{Ask, Reply};

const SMALL: u64 = 100_000;
const READERS: u64 = 2;
/// Readers are looked at for so long at a time.
const WINDOW: Duration = Duration::from_secs(2);

/// Objects of 64 MiB that are stored.
fn objects() -> u64 {
    let mebibytes = std::env::var("STRONGROOM_REPAIR_MIB").ok();
    mebibytes.map_or(2, |text| text.parse::<u64>().expect("a number") / 64)
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
    let held = used(&cluster);
    let readers = Readers::start(&cluster);
    tokio::time::sleep(WINDOW).await;
    let before = readers.windows(3).await;

    let disk = 2;
    let lost = ids(&cluster)[disk];
    Aside::put(&cluster, u8::try_from(disk).unwrap()).destroy();
    until("the loss is told", || serving(&cluster) == 5).await;
    fs::create_dir(cluster.disk(2)).unwrap();
    let began = Instant::now();
    let replaced = cluster
        .run(&["disk", "replace", &lost.to_string()])
        .unwrap();
    assert!(replaced.status.success(), "{replaced:?}");
    let during = if objects() > 10 {
        readers.windows(5).await
    } else {
        Vec::new()
    };
    whole(&cluster).await;
    let took = began.elapsed();
    let after = readers.windows(3).await;
    let read = readers.stop().await;
    let upkeep = status(&cluster)["upkeep"].clone();
    let bytes = upkeep["repaired_bytes"].as_u64().unwrap();
    eprintln!(
        "repair: {} MB made again in {:.1} s beside {READERS} readers: {:.0} MB/s; a disk held {} MB",
        bytes / 1_000_000,
        took.as_secs_f64(),
        bytes as f64 / 1e6 / took.as_secs_f64(),
        held / 1_000_000
    );
    eprintln!(
        "repair: p99 of GETs of 100 kB, windows before: {before:?}, during: {during:?}, after: {after:?}"
    );
    assert!(bytes > objects() * 10 * MIB, "{upkeep}");
    assert!(read > 100, "hardly any reading: {read}");
    for number in 0..objects().min(4) {
        let content = Content::new(number, 64 * MIB);
        support::check(&client, "data", &format!("large-{number}"), content)
            .await
            .expect("exact");
    }
    assert!(cluster.run(&["check", "--deep"]).unwrap().status.success());
    assert!(cluster.stop().unwrap().success());
}

/// Bytes in the volumes of one disk.
fn used(cluster: &Cluster) -> u64 {
    status(cluster)["disks"][2]["used"].as_u64().unwrap_or(0)
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
    async fn windows(&self, count: usize) -> Vec<f64> {
        let mut windows = Vec::new();
        for _ in 0..count {
            self.taken.lock().unwrap().clear();
            tokio::time::sleep(WINDOW).await;
            let mut taken = std::mem::take(&mut *self.taken.lock().unwrap());
            taken.sort_unstable();
            let at = (taken.len() * 99 / 100).min(taken.len().saturating_sub(1));
            let p99 = taken.get(at).copied().unwrap_or(WINDOW);
            windows.push((p99.as_secs_f64() * 1e5).round() / 100.0);
        }
        windows
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a reader");
        }
        self.read.load(Ordering::Relaxed)
    }
}
