//! Deleted bytes leave the disks.

use super::{fill, start_with, status, until};
use crate::support::{self, MIB};
use aws_sdk_s3::Client;
use std::fs;
use strongroom_tests::{Cluster, Content};

/// Everything is deleted: after the reclaim delay the volumes are gone and the space is free; until then
/// somebody who had begun to read reads on. What was written since is untouched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_bytes_leave_the_disks() {
    let mut cluster = start_with("reclaim", &[("reclaim_after_seconds", 5)]);
    let client = support::client(&cluster);
    support::make_bucket(&client, "data").await;
    let lengths = [0, 100, 5000, 70_000, MIB, 30 * MIB, 200 * MIB];
    let objects = fill(&client, lengths).await;
    assert!(volume_bytes(&cluster) > 250 * MIB);
    for (key, _) in &objects {
        support::delete(&client, "data", key)
            .await
            .expect("deleted");
    }
    let kept = Content::new(77, 3 * MIB);
    support::put(&client, "data", "kept", kept)
        .await
        .expect("stored");
    until("all but one object's shards are gone", || {
        let shards = shards(&cluster);
        shards == 6
    })
    .await;
    support::check(&client, "data", "kept", kept).await.unwrap();
    support::delete(&client, "data", "kept")
        .await
        .expect("deleted");
    until("every volume is gone", || volume_bytes(&cluster) == 0).await;
    let health = status(&cluster)["health"].clone();
    assert_eq!(
        (&health["deletes"], &health["waiting"]),
        (&0.into(), &0.into())
    );
    let output = cluster.run(&["check", "--deep"]).unwrap();
    assert!(output.status.success(), "{output:?}");
    // It goes on as if nothing had been.
    let again = Content::new(78, 9 * MIB);
    support::put(&client, "data", "again", again)
        .await
        .expect("stored");
    cluster.stop().unwrap();
    cluster.start_again().unwrap();
    let client = support::client(&cluster);
    support::check(&client, "data", "again", again)
        .await
        .unwrap();
    assert!(cluster.stop().unwrap().success());
}

/// Shards on each disk.
pub(super) fn held_by_each(cluster: &Cluster) -> Vec<u64> {
    let status = status(cluster);
    let disks = status["disks"].as_array().expect("disks").iter();
    let held = disks.map(|disk| disk["shards"].as_u64().expect("a number"));
    held.collect()
}

/// Shards on all disks.
fn shards(cluster: &Cluster) -> u64 {
    held_by_each(cluster).iter().sum()
}

/// Kills the cluster in the middle of an upload, and starts it again.
pub(super) async fn kill_an_upload(cluster: &mut Cluster, client: &Client) {
    let before = shards(cluster);
    let upload = tokio::spawn({
        let client = client.clone();
        async move { support::put(&client, "data", "killed", Content::new(2, 900 * MIB)).await }
    });
    until("some of it is on the disks", || {
        shards(cluster) > before + 30
    })
    .await;
    cluster.kill().unwrap();
    upload.await.unwrap().expect_err("it was not answered");
    cluster.start_again().unwrap();
}

/// Bytes in all volumes.
fn volume_bytes(cluster: &Cluster) -> u64 {
    let files = (0..6).flat_map(|disk| fs::read_dir(cluster.disk(disk)).unwrap());
    let volumes = files.map(|entry| entry.unwrap()).filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("volume-")
    });
    volumes.map(|entry| entry.metadata().unwrap().len()).sum()
}

/// What a killed upload left behind goes, once its leases are over; not a moment earlier, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_of_killed_uploads_go() {
    let mut cluster = start_with("orphans", &[("look_through_seconds", 5)]);
    let client = support::client(&cluster);
    support::make_bucket(&client, "data").await;
    let kept = Content::new(1, 9 * MIB);
    support::put(&client, "data", "kept", kept)
        .await
        .expect("stored");
    let before = shards(&cluster);
    kill_an_upload(&mut cluster, &client).await;
    let left = shards(&cluster) - before;
    eprintln!("orphans: {left} shards were left behind");
    assert!(left > 30);
    let removed = || status(&cluster)["upkeep"]["removed_shards"].as_u64();
    until("they are gone", || shards(&cluster) == before).await;
    assert_eq!(removed(), Some(left));
    let client = support::client(&cluster);
    support::check(&client, "data", "kept", kept).await.unwrap();
    assert!(cluster.run(&["check", "--deep"]).unwrap().status.success());
    assert!(cluster.stop().unwrap().success());
}
