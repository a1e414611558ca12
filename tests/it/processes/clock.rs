//! A metadata server whose clock shows 2040, or runs fast: what that moves, and what it does not.

use super::content;
use super::metadata::client_of;
use crate::support::{self, make_bucket};
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime};
use strongroom_tests::{Joined, Machines, wait_until};
use tokio::task::block_in_place;

const SOON: Duration = Duration::from_secs(60);
const BUCKET: &str = "clock";
const MACHINES: Machines = Machines {
    apart: false,
    clocks: true,
    log_mib: None,
    keys: &[],
};
/// From now into 2040.
const YEARS: i64 = 14 * 365 * 24 * 3600;
/// What a token lives for, in cluster time, less a little for what the test takes.
const TOKEN_MS: u64 = 3_600_000;

/// Milliseconds that a token has left by cluster time, and when that was asked.
fn left(cluster: &Joined) -> (u64, Instant) {
    let output = cluster.command(&["token", "ls", "--json"]).unwrap();
    let tokens: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let unused = tokens.iter().find(|token| token["used_by"].is_null());
    let left = unused.expect("a token")["expires_in_ms"].as_u64();
    (left.expect("a number"), Instant::now())
}

/// Cluster time has moved by no more than the time that passed, since a token was asked for.
fn moved_as_it_passed(cluster: &Joined, (before, asked): (u64, Instant)) {
    let (now, at) = left(cluster);
    let passed = u64::try_from((at - asked).as_millis()).unwrap();
    let moved = before - now;
    assert!(
        moved <= passed + 3_000,
        "cluster time moved by {moved} ms in {passed} ms"
    );
    assert!(now > 0 && before <= TOKEN_MS);
}

fn member(cluster: &Joined, at: usize) -> Value {
    let id = cluster.metadata[at].0;
    let members = cluster.members().unwrap_or_default();
    let found = members
        .into_iter()
        .find(|one| one["node"].as_u64() == Some(id));
    found.unwrap_or_default()
}

/// Waits until a follower is there, has everything, and shows the leader's time.
fn well(cluster: &Joined, at: usize) {
    wait_until("it is well", SOON, || {
        let one = member(cluster, at);
        let off = one["clock_ahead_ms"].as_i64().unwrap_or(0);
        one["behind"].as_u64() < Some(20)
            && one["silent_ms"].as_u64() < Some(2_000)
            && off.abs() < 5_000
    });
}

/// A server that is in 2040 moves nothing: tokens, sessions, what was deleted and what was written stay as they are,
/// and the cluster serves on. As a follower it is told of; as a leader it hands over; started there, it is refused by
/// all and says why. Its clock set right, it goes on by itself, and with the certificate that all accept.
/// Method: cluster time is read as what a token has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_in_2040_moves_nothing() {
    let mut cluster = Joined::start_on("clock-2040", MACHINES, 3, 1, 1).unwrap();
    let client = client_of(&cluster, &cluster.gateway);
    make_bucket(&client, BUCKET).await;
    let put = async |key: &str| support::put(&client, BUCKET, key, content(40_000)).await;
    put("before").await.unwrap();
    let (token, first, leader) = block_in_place(|| {
        let token = cluster.token("storage").unwrap();
        (token, left(&cluster), cluster.leader().unwrap())
    });

    // A follower jumps while it runs.
    let follower = (leader + 1) % 3;
    block_in_place(|| {
        cluster.clock(follower).ahead(YEARS).unwrap();
        wait_until("it is told", SOON, || {
            member(&cluster, follower)["clock_ahead_ms"].as_i64() > Some(YEARS * 999)
        });
        wait_until("it says so itself", SOON, || {
            cluster
                .said("is not valid at the time that its clock shows")
                .unwrap()
                > 0
        });
        assert_eq!(cluster.leader().unwrap(), leader);
        moved_as_it_passed(&cluster, first);
    });
    put("follower").await.unwrap();

    // It starts there: nobody's certificate is valid any more, and none answers it.
    block_in_place(|| {
        cluster.metadata[follower].1.kill().unwrap();
        cluster.metadata[follower].1.start().unwrap();
        wait_until("it says why", SOON, || {
            cluster.said("certificate expired").unwrap() > 0
        });
        wait_until("it is away", SOON, || {
            let silent = member(&cluster, follower)["silent_ms"].as_u64();
            silent.is_none_or(|silent| silent > 2_000)
        });
        assert_eq!(cluster.leader().unwrap(), leader, "it has disturbed nobody");
        moved_as_it_passed(&cluster, first);
    });
    put("without it").await.unwrap();
    block_in_place(|| {
        cluster.clock(follower).ahead(0).unwrap();
        well(&cluster, follower);
    });

    // The leader.
    block_in_place(|| {
        cluster.clock(leader).ahead(YEARS).unwrap();
        wait_until("another leads", SOON, || {
            cluster.leader().is_ok_and(|now| now != leader)
        });
        moved_as_it_passed(&cluster, first);
    });
    put("leader").await.unwrap();
    let head = support::head(&client, BUCKET, "leader").await.unwrap();
    let written = head.last_modified().expect("a time").secs();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let off = now.as_secs().abs_diff(u64::try_from(written).unwrap());
    assert!(off < 60, "it is stamped by a clock that is {off} s off");
    block_in_place(|| {
        // The token, made before all that, is good, and so is the certificate that comes of it.
        let home = cluster.folder("late");
        let (listen, disk) = ("127.0.0.1:9", home.join("disk"));
        let further = ["--listen", listen, "--disks", &disk.to_string_lossy()];
        cluster.join(&home, &token, &further).unwrap();
        cluster.clock(leader).ahead(0).unwrap();
        well(&cluster, leader);
    });
    for key in ["before", "follower", "without it", "leader"] {
        support::check(&client, BUCKET, key, content(40_000))
            .await
            .unwrap();
    }
    // All three count again: another one may go.
    block_in_place(|| {
        let leader = cluster.leader().unwrap();
        cluster.metadata[leader].1.kill().unwrap();
        wait_until("somebody leads", SOON, || cluster.leader().is_ok());
    });
    put("after").await.unwrap();
}

/// Where the leader's monotonic clock runs fast, cluster time does; the others compare, and raise the alarm.
/// Method: a leader whose clock runs three times as fast.
#[test]
fn a_fast_leader_raises_the_alarm() {
    let mut cluster = Joined::start_on("clock-fast", MACHINES, 3, 1, 1).unwrap();
    let alarm = "cluster time passes faster than this server's monotonic clock";
    let fast = (cluster.leader().unwrap() + 1) % 3;
    cluster.clock(fast).run_at(3_000).unwrap();
    cluster.metadata[fast].1.stop().unwrap();
    cluster.metadata[fast].1.start().unwrap();
    well(&cluster, fast);
    assert_eq!(cluster.said(alarm).unwrap(), 0);
    let id = cluster.metadata[fast].0.to_string();
    cluster.command(&["metadata", "transfer", &id]).unwrap();
    wait_until("both others raise the alarm", SOON, || {
        cluster.said(alarm).unwrap() == 2
    });
}
