//! Metadata servers whose logs' disks are full: each on a file system of its own.

use super::content;
use super::metadata::client_of;
use crate::support::{self, make_bucket};
use aws_sdk_s3::Client;
use std::time::{Duration, Instant};
use strongroom_tests::{Joined, Machines, wait_until};
use tokio::task::block_in_place;

const SOON: Duration = Duration::from_secs(60);
const BUCKET: &str = "full";
/// A log's files are short, so that it needs a further one soon.
const MACHINES: Machines = Machines {
    apart: false,
    clocks: false,
    log_mib: Some(96),
    keys: &["log_file_mib = 1"],
};
/// A refusal comes at once, and is tried again by the gateway for as long as it has patience.
const REFUSED_WITHIN: Duration = Duration::from_secs(25);

/// Objects that were acknowledged.
struct Written {
    client: Client,
    keys: Vec<String>,
}

impl Written {
    async fn put(&mut self, what: &str, count: usize) {
        for number in 0..count {
            let key = format!("{what}-{number}");
            let put = support::put(&self.client, BUCKET, &key, content(700)).await;
            put.unwrap_or_else(|refusal| panic!("{key}: {refusal:?}"));
            self.keys.push(key);
        }
    }

    async fn check(&self) {
        for key in &self.keys {
            let read = support::check(&self.client, BUCKET, key, content(700)).await;
            read.unwrap();
        }
    }
}

/// What the leader says of a server.
fn member(cluster: &Joined, at: usize) -> serde_json::Value {
    let id = cluster.metadata[at].0;
    let members = cluster.members().unwrap_or_default();
    let found = members
        .into_iter()
        .find(|one| one["node"].as_u64() == Some(id));
    found.unwrap_or_default()
}

fn is_full(cluster: &Joined, at: usize) -> bool {
    member(cluster, at)["full"] == true
}

fn caught_up(cluster: &Joined, at: usize) {
    wait_until("it has caught up, with room", SOON, || {
        let one = member(cluster, at);
        one["behind"].as_u64() < Some(20) && one["full"].is_null()
    });
}

/// A follower whose disk is full is done without, and told; one that leads hands over; where most are full, proposals
/// are refused in time and reads answered. Killed and started while they are full, servers come up; with room again
/// they catch up by themselves, and nothing that was acknowledged is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disks_refuse_and_recover() {
    let mut cluster = Joined::start_on("full-disks", MACHINES, 3, 1, 1).unwrap();
    let client = client_of(&cluster, &cluster.gateway);
    make_bucket(&client, BUCKET).await;
    let mut written = Written {
        client: client.clone(),
        keys: Vec::new(),
    };
    written.put("before", 20).await;

    // A follower's. The log goes on into files that it has no room for.
    let (leader, follower) = block_in_place(|| {
        let leader = cluster.leader().unwrap();
        let follower = (leader + 1) % 3;
        cluster.log_disk(follower).fill().unwrap();
        wait_until("it is told", SOON, || is_full(&cluster, follower));
        (leader, follower)
    });
    written.put("follower", 400).await;
    block_in_place(|| {
        assert_eq!(cluster.leader().unwrap(), leader, "the others go on");
        assert!(cluster.metadata[follower].1.process().is_some());
        let behind = member(&cluster, follower)["behind"].as_u64();
        assert!(
            behind > Some(300),
            "{behind:?}: it has taken what it has no room for"
        );
        cluster.metadata[follower].1.kill().unwrap();
        cluster.metadata[follower].1.start().unwrap();
        wait_until("it is told again", SOON, || is_full(&cluster, follower));
        cluster.log_disk(follower).relieve().unwrap();
        caught_up(&cluster, follower);
    });

    // The leader's.
    block_in_place(|| {
        cluster.log_disk(leader).fill().unwrap();
        wait_until("another leads", SOON, || {
            cluster.leader().is_ok_and(|now| now != leader)
        });
        wait_until("it is told", SOON, || is_full(&cluster, leader));
    });
    written.put("leader", 50).await;

    // Most.
    let other = block_in_place(|| {
        let other = (0..3).find(|at| *at != leader && Some(*at) != cluster.leader().ok());
        let other = other.unwrap();
        cluster.log_disk(other).fill().unwrap();
        wait_until("both are told", SOON, || {
            is_full(&cluster, other) && is_full(&cluster, leader)
        });
        other
    });
    let asked = Instant::now();
    let refused = support::put(&client, BUCKET, "in vain", content(700)).await;
    // A commit that was not answered for may have been made, as far as a gateway knows: then it says 500.
    let refused = refused.unwrap_err();
    assert!(matches!(refused.status, Some(500 | 503)), "{refused:?}");
    let took = asked.elapsed();
    assert!(took < REFUSED_WITHIN, "{took:?}");
    written.check().await;
    block_in_place(|| {
        for at in [leader, other] {
            cluster.metadata[at].1.kill().unwrap();
        }
        for at in [leader, other] {
            cluster.metadata[at].1.start().unwrap();
        }
        wait_until("somebody leads", SOON, || cluster.leader().is_ok());
    });
    written.check().await;
    block_in_place(|| {
        for at in [leader, other] {
            cluster.log_disk(at).relieve().unwrap();
        }
        for at in 0..3 {
            caught_up(&cluster, at);
        }
    });
    written.put("after", 20).await;
    written.check().await;
    // It was refused; the cluster may have done it all the same, and then wholly.
    if support::get(&client, BUCKET, "in vain").await.is_ok() {
        support::check(&client, BUCKET, "in vain", content(700))
            .await
            .unwrap();
    }
    eprintln!(
        "full: refused after {took:?}, {} objects kept",
        written.keys.len()
    );
}
