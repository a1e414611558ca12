//! `strongroom scrub` finds what nobody has asked for, and has it made again.

use super::check::{flip, volume};
use super::{exact, fill, ids, status, until, whole};
use crate::support::{self, MIB};
use serde_json::Value;
use strongroom_tests::Cluster;

/// What `strongroom scrub status` says of a disk.
fn scrub(cluster: &Cluster, disk: u64) -> Value {
    let output = cluster.run(&["scrub", "status", "--json"]).unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let disks = report["disks"].as_array().unwrap();
    let found = disks.iter().find(|scrub| scrub["disk"] == disk);
    found.expect("the disk is told").clone()
}

/// A gauge of the disks, summed over them, in one state.
fn gauge(cluster: &Cluster, name: &str, state: &str) -> f64 {
    let output = cluster.run(&["metrics"]).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let state = format!("state=\"{state}\"");
    let lines = text
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(&state));
    let values = lines.filter_map(|line| line.rsplit_once(' '));
    values.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
}

/// Flipped bytes are found at their disk by a scrub, counted, told by the exit code, and made again; the next
/// round finds none, and a restart remembers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrub_finds_what_nobody_asked_for() {
    let mut cluster = Cluster::start("scrub").unwrap();
    let client = support::client(&cluster);
    support::make_bucket(&client, "data").await;
    let objects = fill(&client, [70_000, MIB, 9 * MIB, 30 * MIB]).await;
    let disk = ids(&cluster)[4];
    assert_eq!(flip(&volume(&cluster.disk(4)), 2), 2);

    let output = cluster
        .run(&["scrub", "start", "--wait", "--json"])
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["silent"], serde_json::json!([]));
    let scrubbed = report["disks"].as_array().unwrap();
    assert_eq!(scrubbed.len(), 6);
    for told in scrubbed {
        let found = if told["disk"] == disk { 2 } else { 0 };
        assert_eq!(told["found"], found, "{told}");
        assert_eq!(told["shards"], told["all_shards"], "{told}");
        assert!(told["shards"].as_u64().unwrap() > 5, "{told}");
    }
    assert_eq!(cluster.metric("strongroom_scrub_found_total").unwrap(), 2.0);
    assert!(cluster.metric("strongroom_scrub_bytes_total").unwrap() > 40e6);
    // Counted from the start on.
    assert!(cluster.metric("strongroom_disk_operations_total").unwrap() > 0.0);
    whole(&cluster).await;
    assert_eq!(status(&cluster)["upkeep"]["repaired_shards"], 2);

    let one = ["scrub", "start", &disk.to_string(), "--wait"];
    let output = cluster.run(&one).unwrap();
    assert!(output.status.success(), "{output:?}");
    let before = scrub(&cluster, disk);
    assert_eq!(
        (&before["found"], &before["doing"]),
        (&0.into(), &"resting".into())
    );
    assert!(cluster.stop().unwrap().success());
    cluster.start_again().unwrap();
    let recalled = || scrub(&cluster, disk)["round"] == before["round"];
    until("the round is recalled", recalled).await;
    let after = scrub(&cluster, disk);
    for what in ["round", "ended", "shards", "next"] {
        assert_eq!(after[what], before[what], "{what}");
    }
    exact(&support::client(&cluster), &objects, "afterwards").await;

    let unknown = cluster.run(&["scrub", "start", "4711"]).unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    let why = String::from_utf8(unknown.stderr).unwrap();
    assert!(why.contains("there is no disk 4711"), "{why}");
    let listed = cluster.run(&["disk", "ls"]).unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("ENGINE") && listed.contains("serving"),
        "{listed}"
    );
    // They are refreshed once a second.
    let serving = || gauge(&cluster, "strongroom_disk_state", "serving") == 6.0;
    until("six disks serve", serving).await;
    assert_eq!(gauge(&cluster, "strongroom_disk_state", "absent"), 0.0);
    // 41 MB, coded 4+2.
    let live = gauge(&cluster, "strongroom_disk_space_bytes", "live");
    assert!((61e6..70e6).contains(&live), "{live}");
    assert!(cluster.stop().unwrap().success());
}
