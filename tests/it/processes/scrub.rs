//! A gateway's operator has the disks of storage processes scrubbed, and is told how far that is.

use super::{SOON, check_all, client, content};
use crate::support::{self, KIB, MIB, make_bucket};
use crate::survive::check::{flip, volume};
use serde_json::{Value, json};
use std::process::Output;
use std::time::{Duration, Instant};
use strongroom_tests::{Processes, wait_until};

/// What the command says of every disk, and of nodes that do not answer.
fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn scrubbed(cluster: &Processes) -> Value {
    let output = cluster.gateway_command(&["scrub", "status", "--json"]);
    report(&output.unwrap())
}

/// What is told of one disk.
fn of(report: &Value, disk: u64) -> Value {
    let disks = report["disks"].as_array().unwrap();
    let found = disks.iter().find(|scrub| scrub["disk"] == disk);
    found.unwrap_or_else(|| panic!("{report}")).clone()
}

/// Which round each of these disks is in, or was last.
fn rounds<const N: usize>(report: &Value, disks: &[u64; N]) -> [u64; N] {
    disks.map(|disk| of(report, disk)["round"].as_u64().unwrap())
}

fn repaired(cluster: &Processes, index: usize) -> u64 {
    let status = cluster.storage_status(index).unwrap();
    status["upkeep"]["repaired_shards"].as_u64().unwrap()
}

/// Flipped bytes on a storage process's disk are found by a scrub that is begun at the gateway, told there, and made
/// again; a node that was killed is named instead of its disk, in time, and the others are scrubbed all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_has_the_disks_of_others_scrubbed() {
    let mut cluster = Processes::start("processes-scrub", 2, 1).unwrap();
    let client = client(&cluster);
    make_bucket(&client, "processes").await;
    let lengths = [70 * KIB, MIB, 9 * MIB];
    for length in lengths {
        let key = format!("object-{length}");
        let put = support::put(&client, "processes", &key, content(length)).await;
        put.unwrap();
    }
    let disks = [0, 1, 2].map(|at| cluster.disks_of(at).unwrap()[0]);
    tokio::task::block_in_place(|| {
        assert_eq!(flip(&volume(&cluster.disk(1)), 2), 2);
        let output = cluster.gateway_command(&["scrub", "start", "--wait", "--json"]);
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = report(&output);
        assert_eq!(told["silent"], json!([]), "{told}");
        for disk in &disks {
            let told = of(&told, *disk);
            let found = if *disk == disks[1] { 2 } else { 0 };
            assert_eq!(told["found"], found, "{told}");
            assert_eq!(told["shards"], told["all_shards"], "{told}");
        }
        // A round of the period may have been under way before.
        let [first, second, third] = rounds(&told, &disks);
        for counted in [
            "disk_operations_total",
            "shard_requests_total",
            "scrub_shards_total",
        ] {
            let name = format!("strongroom_{counted}");
            assert!(cluster.storage_metric(1, &name).unwrap() > 0.0, "{name}");
        }
        wait_until("they are made again", SOON, || repaired(&cluster, 1) == 2);
        let one = ["scrub", "start", &disks[1].to_string(), "--wait"];
        let output = cluster.gateway_command(&one).unwrap();
        assert!(output.status.success(), "{output:?}");
        let told = scrubbed(&cluster);
        assert_eq!(rounds(&told, &disks), [first, second + 1, third]);
        assert_eq!(of(&told, disks[1])["found"], 0, "{told}");
    });
    check_all(&client, &lengths).await;
    let [first, second] = rounds(&scrubbed(&cluster), &[disks[0], disks[1]]);

    tokio::task::block_in_place(|| {
        cluster.storage[2].kill().unwrap();
        let began = Instant::now();
        let told = scrubbed(&cluster);
        let silent = json!([{ "node": cluster.nodes[2], "disks": [disks[2]] }]);
        assert_eq!(told["silent"], silent, "{told}");
        assert_eq!(told["disks"].as_array().unwrap().len(), 2);
        let text = cluster.gateway_command(&["scrub", "status"]).unwrap();
        let text = String::from_utf8(text.stdout).unwrap();
        let line = format!(
            "node {} does not answer; it has disk {}",
            cluster.nodes[2], disks[2]
        );
        assert!(text.lines().any(|told| told == line), "{text}");
        let output = cluster.gateway_command(&["scrub", "start"]).unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let why = String::from_utf8(output.stderr).unwrap();
        let named = format!("no answer from node {};", cluster.nodes[2]);
        assert!(why.contains(&named), "{why}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(30), "{took:?}");
        wait_until("the others are scrubbed", SOON, || {
            let told = scrubbed(&cluster);
            rounds(&told, &[disks[0], disks[1]]) == [first + 1, second + 1]
        });
    });
}
