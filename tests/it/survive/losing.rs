//! Disks fail while the cluster serves, and come back.

use super::{Aside, exact, fill, serving, status, until, whole};
use crate::load::{self, Pace, Tally, Worker};
use crate::sizes;
use crate::support::{self, MIB};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use strongroom_tests::{Cluster, Dice};

const WORKERS: u64 = 4;

/// How a disk is lost under the running cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// Its folder is gone.
    Deleted,
    /// A folder with nothing in it is in its place.
    Emptied,
    /// A folder with somebody else's files is.
    Foreign,
    /// A copy of another disk's folder is: that one goes on, the copy is refused.
    Cloned,
    /// Something that is no folder is: it cannot be opened.
    Unreadable,
}

const LOSSES: [Loss; 5] = [
    Loss::Deleted,
    Loss::Emptied,
    Loss::Foreign,
    Loss::Cloned,
    Loss::Unreadable,
];

fn lose(cluster: &Cluster, disk: u8, loss: Loss) -> Aside {
    let aside = Aside::put(cluster, disk);
    let folder = cluster.disk(disk);
    match loss {
        Loss::Deleted => {}
        Loss::Emptied => fs::create_dir(&folder).unwrap(),
        Loss::Foreign => {
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("holiday.jpg"), "not ours").unwrap();
        }
        Loss::Cloned => {
            let other = cluster.disk((disk + 1) % 6);
            fs::create_dir(&folder).unwrap();
            for entry in fs::read_dir(other).unwrap() {
                let path = entry.unwrap().path();
                fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
            }
        }
        Loss::Unreadable => fs::write(&folder, "not a folder").unwrap(),
    }
    aside
}

/// One disk after the other is lost under load, each in another way: every read is exact, nothing
/// acknowledged is lost, an upload is accepted or told to come again; the loss is noticed and told. When the
/// disk is back, what it missed is made again by itself: afterwards any two other disks may go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_come_and_go_under_load() {
    let (mut dice, seed) = Dice::announced("losing disks");
    let mut cluster = Cluster::start("losing").unwrap();
    let client = support::client(&cluster);
    support::make_bucket(&client, "data").await;
    let objects = fill(&client, sizes::boundaries()).await;
    let pace = Pace::new(24 * MIB);
    let mut workers: Vec<Worker> = (0..WORKERS)
        .map(|name| Worker::new("data", name, 8, dice.split(), &pace))
        .collect();
    let mut tally = Tally::default();
    for (round, loss) in LOSSES.into_iter().enumerate() {
        let disk = u8::try_from(dice.below(6)).unwrap();
        let told = format!("seed {seed}, disk {disk} {loss:?}");
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = load::start(workers, &cluster, &stop);
        tokio::time::sleep(Duration::from_millis(dice.below(500))).await;
        let lost = lose(&cluster, disk, loss);
        until(&format!("{told}: it is told"), || serving(&cluster) < 6).await;
        assert_eq!(serving(&cluster), 5, "{told}");
        exact(&client, &objects, &told).await;
        let tolerates = status(&cluster)["health"]["tolerates"].clone();
        assert!(tolerates.as_i64() < Some(2), "{told}: {tolerates}");
        lost.back();
        until(&format!("{told}: it is back"), || serving(&cluster) == 6).await;
        tokio::time::sleep(Duration::from_millis(dice.below(500))).await;
        stop.store(true, Ordering::Relaxed);
        workers = Vec::new();
        for task in tasks {
            workers.push(task.await.expect("a worker"));
        }
        for worker in &mut workers {
            worker.settle(&client).await;
            assert!(worker.broken.is_empty(), "{told}: {:#?}", worker.broken);
        }
        whole(&cluster).await;
        assert!(cluster.is_alive(), "{told}");
        eprintln!("losing disks: round {round}: {loss:?} survived");
    }
    workers.iter().for_each(|worker| tally.add(worker.tally));
    eprintln!("losing disks: {} losses, {tally:?}", LOSSES.len());
    assert!(
        tally.acknowledged > 50 && tally.read > 50,
        "hardly any load: {tally:?}"
    );

    // What was written while one was away bears the loss of any other two.
    for pair in [[0, 1], [2, 3], [4, 5], [1, 4]] {
        let lost = pair.map(|disk| Aside::put(&cluster, disk));
        until("both are told", || serving(&cluster) == 4).await;
        for worker in &mut workers {
            worker.settle(&client).await;
            assert!(worker.broken.is_empty(), "{pair:?}: {:#?}", worker.broken);
        }
        exact(&client, &objects, &format!("without {pair:?}")).await;
        lost.into_iter().for_each(Aside::back);
        until("both are back", || serving(&cluster) == 6).await;
    }
    assert!(cluster.stop().unwrap().success());
}
