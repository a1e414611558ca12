//! A cluster whose roles are processes of their own: metadata servers, storage nodes, a gateway.

mod clock;
mod cut;
mod damage;
mod face;
mod failover;
mod full;
mod history;
mod linear;
mod lost;
mod metadata;
mod restored;
mod scrub;
mod upgrade;

use crate::sizes::boundaries;
use crate::support::{self, MIB, make_bucket};
use aws_sdk_s3::Client;
use aws_smithy_http_client::Builder;
use std::fs;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use strongroom_tests::{Content, Processes, wait_until};

const SOON: Duration = Duration::from_secs(90);

fn client(cluster: &Processes) -> Client {
    let keys = cluster.credentials().unwrap();
    let url = format!("http://{}", cluster.gateway.address("s3").unwrap());
    let connector = Builder::new().build_http();
    support::client_at(url, connector, &keys.access_key, &keys.secret_key)
}

fn content(length: u64) -> Content {
    Content::new(length, length)
}

async fn check_all(client: &Client, lengths: &[u64]) {
    for length in lengths {
        let key = format!("object-{length}");
        support::check(client, "processes", &key, content(*length))
            .await
            .unwrap();
    }
}

/// Objects of every size go through a gateway process onto the disks of storage processes and come back; with one
/// of these killed they still do; once it is back, what it missed is made again.
/// Method: 2+1 on three storage processes with a disk each, so that every object has a shard on each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_processes_outlives_one_of_them() {
    let mut cluster = Processes::start("processes", 2, 1).unwrap();
    let client = client(&cluster);
    make_bucket(&client, "processes").await;
    let lengths = boundaries();
    for length in &lengths {
        let key = format!("object-{length}");
        let put = support::put(&client, "processes", &key, content(*length)).await;
        put.unwrap();
    }
    check_all(&client, &lengths).await;
    assert_eq!(cluster.serving().unwrap(), 3);

    tokio::task::block_in_place(|| {
        cluster.storage[1].kill().unwrap();
        wait_until("the gateway notices", SOON, || {
            cluster.serving().unwrap() == 2
        });
    });
    check_all(&client, &lengths).await;
    // What is small has a row, or no shard there; what is large needs all three, and is refused or waits.
    support::put(&client, "processes", "inline", content(100))
        .await
        .unwrap();
    let refused = support::put(&client, "processes", "large", content(3 * MIB)).await;
    assert_eq!(refused.unwrap_err().status, Some(503));

    tokio::task::block_in_place(|| {
        cluster.start_storage(1).unwrap();
        wait_until("it is back", SOON, || cluster.serving().unwrap() == 3);
    });
    // The gateway prefers others for a few seconds more; then it takes all three again.
    let deadline = std::time::Instant::now() + SOON;
    loop {
        let put = support::put(&client, "processes", "large", content(3 * MIB)).await;
        match put {
            Ok(()) => break,
            Err(refusal) => assert_eq!(refusal.status, Some(503), "{refusal:?}"),
        }
        assert!(
            std::time::Instant::now() < deadline,
            "it takes uploads again"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // Its disk is lost, with all that was on it, and a new one takes its place.
    let lost = tokio::task::block_in_place(|| {
        let lost = cluster.disks_of(1).unwrap();
        cluster.storage[1].stop().unwrap();
        fs::remove_dir_all(cluster.disk(1)).unwrap();
        cluster.start_storage(1).unwrap();
        assert_eq!(cluster.serving().unwrap(), 2);
        lost[0]
    });
    tokio::task::block_in_place(|| {
        let id = lost.to_string();
        let replaced = cluster.storage_command(1, &["disk", "replace", &id]);
        replaced.unwrap();
        wait_until("its shards are made again", SOON, || {
            cluster.serving().unwrap() == 3 && cluster.missing().unwrap() == 0
        });
        let found = cluster.storage_command(1, &["check", "--deep"]);
        found.unwrap();
        cluster.storage[0].kill().unwrap();
    });
    // What was made again is right: now it is needed.
    check_all(&client, &lengths).await;
}

/// Whose certificate is another cluster's gets nothing, though he trusts this one; nor does a storage node that
/// poses as a gateway.
/// Method: a gateway that is told everything but has the wrong certificate never becomes ready; one with the right
/// one does.
#[test]
fn a_foreign_certificate_opens_nothing() {
    let cluster = Processes::start("processes-foreign", 1, 1).unwrap();
    let other = Processes::start("processes-other", 1, 1).unwrap();
    let theirs = other.certificate("gateway", 50).unwrap();
    let mut foreign = cluster.further_gateway("foreign", &theirs).unwrap();
    let lines = foreign.spawn().unwrap();
    let ours = cluster
        .certificate("gateway", cluster.add_node().unwrap())
        .unwrap();
    let mut right = cluster.further_gateway("right", &ours).unwrap();
    right.start().unwrap();
    let early = lines.recv_timeout(Duration::from_secs(3));
    assert_eq!(early, Err(RecvTimeoutError::Timeout), "it says nothing");
    foreign.kill().unwrap();

    let posing = cluster.certificate("storage", 60).unwrap();
    let mut posing = cluster.further_gateway("posing", &posing).unwrap();
    let lines = posing.spawn().unwrap();
    let ended = lines.recv_timeout(SOON);
    assert_eq!(ended, Err(RecvTimeoutError::Disconnected), "it ends");
}
