//! The cluster survives: disks that fail while it serves come back whole, deleted bytes leave the disks,
//! damage is found.

pub(crate) mod check;
mod losing;
mod midway;
pub(crate) mod mounted;
mod reclaim;
mod repair;
mod replace;
mod scrub;

use crate::support;
use aws_sdk_s3::Client;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use strongroom_tests::{Cluster, Content};

/// What takes seconds may take minutes beside builds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts a cluster whose `cluster.toml` says something else than the first start wrote.
pub(crate) fn start_with(name: &str, settings: &[(&str, u32)]) -> Cluster {
    let mut cluster = Cluster::start(name).unwrap();
    cluster.stop().unwrap();
    configure(&cluster, settings);
    cluster.start_again().unwrap();
    cluster
}

/// Has the `cluster.toml` of a stopped cluster say something else.
pub(crate) fn configure(cluster: &Cluster, settings: &[(&str, u32)]) {
    let path = cluster.data().join("cluster.toml");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (name, value) in settings {
        let line = lines.iter_mut().find(|line| line.starts_with(name));
        *line.expect("the setting is there") = format!("{name} = {value}");
    }
    fs::write(&path, lines.join("\n")).unwrap();
}

/// What `strongroom status` says.
pub(crate) fn status(cluster: &Cluster) -> Value {
    cluster.status().unwrap()
}

/// The ids of the disks, in the order of their folders.
pub(crate) fn ids(cluster: &Cluster) -> Vec<u64> {
    let text = fs::read_to_string(cluster.data().join("disks.toml")).unwrap();
    let list = text.trim().trim_start_matches("disks = [");
    let ids = list.trim_end_matches(']').split(',').map(str::trim);
    ids.map(|id| id.parse().expect("an id")).collect()
}

/// How many disks serve.
pub(crate) fn serving(cluster: &Cluster) -> usize {
    cluster.serving().unwrap()
}

/// Waits until that holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until nothing is to be made again and two more disks may fail. Said twice: what is said may be a
/// second old. When it was said first.
pub(crate) async fn whole(cluster: &Cluster) -> Instant {
    let is_whole = || {
        let health = &status(cluster)["health"];
        health["tolerates"] == 2 && health["repairs"] == Value::Array(Vec::new())
    };
    let mut since = None;
    until("every shard is back", || {
        since = is_whole().then(|| since.unwrap_or_else(Instant::now));
        since.is_some_and(|since| since.elapsed() > Duration::from_secs(2))
    })
    .await;
    since.expect("it was said")
}

/// Objects of these lengths, uploaded: a key and what is under it.
pub(crate) async fn fill(
    client: &Client,
    lengths: impl IntoIterator<Item = u64>,
) -> Vec<(String, Content)> {
    let mut objects = Vec::new();
    for length in lengths {
        let (key, content) = (format!("object-{length}"), Content::new(length + 1, length));
        let stored = support::put(client, "data", &key, content).await;
        stored.unwrap_or_else(|error| panic!("{key}: {error:?}"));
        objects.push((key, content));
    }
    objects
}

/// Reads all of them, and compares every byte.
pub(crate) async fn exact(client: &Client, objects: &[(String, Content)], told: &str) {
    for (key, content) in objects {
        let read = support::check(client, "data", key, *content).await;
        read.unwrap_or_else(|error| panic!("{told}: {error}"));
    }
}

/// Every object is exact without either disk of each pair; then the disks are put back.
pub(crate) async fn bears_loss_of(
    pairs: &[[u8; 2]],
    cluster: &Cluster,
    client: &Client,
    objects: &[(String, Content)],
) {
    for pair in pairs {
        let away = pair.map(|disk| Aside::put(cluster, disk));
        until("both are told", || serving(cluster) == 4).await;
        exact(client, objects, &format!("without {pair:?}")).await;
        away.into_iter().for_each(Aside::back);
        until("both are back", || serving(cluster) == 6).await;
    }
}

/// A disk's folder put aside, and put back when told.
pub(crate) struct Aside {
    folder: PathBuf,
    aside: PathBuf,
}

impl Aside {
    pub(crate) fn put(cluster: &Cluster, disk: u8) -> Self {
        let folder = cluster.disk(disk);
        let aside = folder.with_extension("aside");
        fs::rename(&folder, &aside).expect("the disk is put aside");
        Self { folder, aside }
    }

    /// It never comes back.
    pub(crate) fn destroy(self) {
        fs::remove_dir_all(self.aside).expect("the disk is destroyed");
    }

    /// Whatever took its place goes.
    pub(crate) fn back(self) {
        if self.folder.is_dir() {
            fs::remove_dir_all(&self.folder).unwrap();
        } else if self.folder.exists() {
            fs::remove_file(&self.folder).unwrap();
        }
        fs::rename(&self.aside, &self.folder).expect("the disk is put back");
    }
}
