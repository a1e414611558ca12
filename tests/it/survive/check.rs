//! `strongroom check` finds damage of each kind, and has it mended.

use super::reclaim::{held_by_each, kill_an_upload};
use super::{bears_loss_of, exact, fill, ids, start_with, status, until, whole};
use crate::support::{self, MIB};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use strongroom_tests::Cluster;

/// One shard record's header begins with this.
const RECORD: &[u8] = b"STRSHARD";

/// What `strongroom check` found.
pub(crate) struct Found {
    /// Whether all is as it should be.
    pub(crate) clean: bool,
    /// Each disk.
    pub(crate) disks: Vec<Value>,
}

impl Found {
    /// How many of that there are on all disks.
    pub(crate) fn sum(&self, what: &str) -> u64 {
        let counts = self.disks.iter().map(|disk| disk[what].as_u64());
        counts.map(|count| count.expect("a number")).sum()
    }
}

/// Has it done.
pub(crate) fn check(cluster: &Cluster, further: &[&str]) -> Found {
    let arguments = [&["check", "--json"], further].concat();
    let output = cluster.run(&arguments).unwrap();
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {output:?}");
    });
    let disks = checked["outcome"]["disks"].as_array().expect("disks");
    Found {
        clean: output.status.success(),
        disks: disks.clone(),
    }
}

/// Nothing is found where nothing is wrong. A volume that is gone is found as missing shards, flipped bytes
/// as corrupt ones; each at the disk where it was planted and nowhere else. Repair has all of them made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_damage_is_found_and_mended() {
    let mut cluster = start_with("check", &[("look_through_seconds", 86_400)]);
    let client = support::client(&cluster);
    support::make_bucket(&client, "data").await;
    let objects = fill(&client, [100, 70_000, MIB, 9 * MIB, 30 * MIB]).await;
    let clean = check(&cluster, &["--deep"]);
    assert!(clean.clean, "{:?}", clean.disks);
    assert!(clean.sum("held") > 50);

    // Missing: a disk's volume is gone, its stamp is there.
    cluster.stop().unwrap();
    let gone = volume(&cluster.disk(1));
    fs::remove_file(&gone).unwrap();
    // Corrupt: a byte in each of two shards on another disk is flipped.
    let flipped = flip(&volume(&cluster.disk(4)), 2);
    assert_eq!(flipped, 2);
    cluster.start_again().unwrap();
    let client = support::client(&cluster);
    let damaged = check(&cluster, &["--deep"]);
    assert!(!damaged.clean);
    // The disk was looked through when it began to serve: some are being made again, and some are.
    let lacking = damaged.sum("missing") + damaged.sum("repairing");
    let repaired = status(&cluster)["upkeep"]["repaired_shards"].as_u64();
    eprintln!("check: {lacking} missing, {repaired:?} made again, 2 corrupt");
    assert!(lacking + repaired.unwrap() > 10);
    let ids = ids(&cluster);
    for disk in &damaged.disks {
        let lacks = ["missing", "repairing"].iter().any(|what| disk[what] != 0);
        assert!(!lacks || disk["disk"] == ids[1], "{disk}");
        let corrupt = if disk["disk"] == ids[4] { 2 } else { 0 };
        assert_eq!(disk["corrupt"], corrupt, "{disk}");
    }
    exact(&client, &objects, "damaged").await;
    let repairing = check(&cluster, &["--deep", "--repair"]);
    // What readers have met is made again already.
    assert!(repairing.sum("corrupt") <= 2, "{:?}", repairing.disks);
    whole(&cluster).await;
    until("everything is whole", || check(&cluster, &["--deep"]).clean).await;
    bears_loss_of(&[[0, 2], [3, 5]], &cluster, &client, &objects).await;
    assert!(cluster.is_alive());
    assert_eq!(status(&cluster)["health"]["tolerates"], 2);
    assert!(cluster.stop().unwrap().success());
}

/// What a killed upload left behind is found as extra shards, each at the disk that has it, once its lease is
/// over and not before; repair removes them and nothing else.
/// Method: disks are looked through at start alone, when the lease still runs; so `check` is who finds them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extra_shards_are_found_and_removed() {
    let mut cluster = start_with("check-extra", &[("look_through_seconds", 86_400)]);
    let client = support::client(&cluster);
    support::make_bucket(&client, "data").await;
    let objects = fill(&client, [70_000, 9 * MIB]).await;
    let before = held_by_each(&cluster);
    kill_an_upload(&mut cluster, &client).await;
    let found = check(&cluster, &[]);
    assert_eq!(found.sum("extra"), 0, "leased still: {:?}", found.disks);
    let after = held_by_each(&cluster);
    let planted: u64 = after.iter().sum::<u64>() - before.iter().sum::<u64>();
    assert!(planted > 30, "{planted}");
    let extra = |disk: &Value| disk["extra"].as_u64().expect("a number");
    until("the lease is over", || {
        check(&cluster, &[]).sum("extra") == planted
    })
    .await;
    let found = check(&cluster, &["--deep"]);
    assert!(!found.clean);
    for what in ["missing", "repairing", "stray", "corrupt", "removed"] {
        assert_eq!(found.sum(what), 0, "{what}: {:?}", found.disks);
    }
    for (at, disk) in found.disks.iter().enumerate() {
        assert_eq!(extra(disk), after[at] - before[at], "{disk}");
    }
    let repaired = check(&cluster, &["--repair"]);
    assert_eq!(repaired.sum("removed"), planted, "{:?}", repaired.disks);
    assert!(check(&cluster, &["--deep"]).clean);
    assert_eq!(held_by_each(&cluster), before);
    exact(&support::client(&cluster), &objects, "afterwards").await;
    assert!(cluster.stop().unwrap().success());
}

/// The one volume of a disk.
pub(crate) fn volume(disk: &Path) -> PathBuf {
    let entries = fs::read_dir(disk).unwrap().map(|entry| entry.unwrap());
    let mut volumes = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("volume-")
    });
    volumes.next().expect("a volume").path()
}

/// Flips a byte behind the headers of some records; how many.
pub(crate) fn flip(volume: &Path, records: usize) -> usize {
    let bytes = fs::read(volume).unwrap();
    let file = fs::OpenOptions::new().write(true).open(volume).unwrap();
    let headers = (0..bytes.len())
        .step_by(4096)
        .filter(|at| bytes[*at..].starts_with(RECORD));
    let mut flipped = 0;
    for at in headers.take(records) {
        let inside = at + 1024 + 100;
        file.write_all_at(&[bytes[inside] ^ 0x40], inside as u64)
            .unwrap();
        flipped += 1;
    }
    file.sync_all().unwrap();
    flipped
}
