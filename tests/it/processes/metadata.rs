//! Metadata servers that are processes of their own: made, joined, added, taken out, killed and restarted.

use super::content;
use crate::support::{self, MIB, Refusal, make_bucket};
use aws_sdk_s3::Client;
use aws_smithy_http_client::Builder;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use strongroom_tests::roles::Server;
use strongroom_tests::{Joined, wait_until};

const SOON: Duration = Duration::from_secs(60);
const BUCKET: &str = "joined";

fn client(cluster: &Joined) -> Client {
    client_of(cluster, &cluster.gateway)
}

/// A client of one gateway, which never retries.
pub(super) fn client_of(cluster: &Joined, gateway: &Server) -> Client {
    let keys = cluster.credentials().unwrap();
    let url = format!("http://{}", gateway.address("s3").unwrap());
    let connector = Builder::new().build_http();
    support::client_at(url, connector, &keys.access_key, &keys.secret_key)
}

/// One who writes, reads back and lists for as long as it is let, and counts; what is refused ends it.
pub(super) struct Busy {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<Result<(), String>>,
}

impl Busy {
    pub(super) fn start(client: &Client, bucket: &'static str, name: &'static str) -> Self {
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (client, stopped, counted) = (client.clone(), Arc::clone(&stop), Arc::clone(&done));
        let task = tokio::spawn(async move {
            for number in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                // Kept in a row, and in shards.
                let content = content(if number % 2 == 0 { 700 } else { 40_000 });
                let key = format!("{name}-{}", number % 10);
                let put = support::put(&client, bucket, &key, content).await;
                put.map_err(|refusal| format!("put {number}: {refusal:?}"))?;
                support::check(&client, bucket, &key, content).await?;
                let listed = client.list_objects_v2().bucket(bucket).prefix(&key);
                let listed = listed.send().await.map_err(|error| format!("{error:?}"))?;
                if listed.key_count() != Some(1) {
                    return Err(format!("{key} is not listed"));
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        Self { stop, done, task }
    }

    /// Waits until so many more are done.
    pub(super) fn after(&self, more: u64) {
        let from = self.done.load(Ordering::Relaxed);
        wait_until("it gets on", SOON, || {
            self.task.is_finished() || self.done.load(Ordering::Relaxed) >= from + more
        });
    }

    pub(super) async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap().unwrap();
        self.done.load(Ordering::Relaxed)
    }
}

/// A rolling restart, of all three, and servers that are added and taken out, the leader among them, cost no request.
/// Method: a client that never retries writes, reads and lists all the while; every object is read at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_come_and_go_at_no_cost() {
    let mut cluster = Joined::start("joined-rolling", 3, 2, 1).unwrap();
    let client = client(&cluster);
    make_bucket(&client, BUCKET).await;
    support::put(&client, BUCKET, "large", content(5 * MIB))
        .await
        .unwrap();
    let busy = Busy::start(&client, BUCKET, "rolling");
    tokio::task::block_in_place(|| {
        for at in [0, 1, 2] {
            // Whoever it is, it leads when it is stopped.
            let id = cluster.metadata[at].0.to_string();
            cluster.command(&["metadata", "transfer", &id]).unwrap();
            assert_eq!(cluster.leader().unwrap(), at);
            busy.after(20);
            cluster.metadata[at].1.stop().unwrap();
            busy.after(20);
            cluster.metadata[at].1.start().unwrap();
            busy.after(20);
        }
        let handed = cluster.said("leadership was handed over").unwrap();
        assert_eq!(handed, 3, "by each before it stopped");
        let leader = cluster.leader().unwrap();
        let gone = cluster.metadata[leader].0;
        let fourth = cluster.join_metadata().unwrap();
        let add = ["metadata", "add", &fourth.to_string()];
        cluster.command(&add).unwrap();
        cluster.command(&add).unwrap();
        busy.after(20);
        let remove = ["metadata", "remove", &gone.to_string()];
        cluster.command(&remove).unwrap();
        cluster.command(&remove).unwrap();
        let ids: Vec<u64> = cluster
            .members()
            .unwrap()
            .iter()
            .filter_map(|one| one["node"].as_u64())
            .collect();
        assert!(
            ids.len() == 3 && !ids.contains(&gone) && ids.contains(&fourth),
            "{ids:?}"
        );
        cluster
            .command(&["server", "rm", &gone.to_string()])
            .unwrap();
        cluster.metadata[leader].1.stop().unwrap();
        busy.after(20);
    });
    let done = busy.end().await;
    assert!(done > 200, "{done}");
    support::check(&client, BUCKET, "large", content(5 * MIB))
        .await
        .unwrap();
}

/// With its leader killed or frozen the cluster goes on; without a quorum it says so within bounds, and answers
/// nothing that may be stale; with it, all is there that was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_is_what_it_takes() {
    let mut cluster = Joined::start("joined-quorum", 3, 2, 1).unwrap();
    let client = client(&cluster);
    make_bucket(&client, BUCKET).await;
    let put = async |key: &str| support::put(&client, BUCKET, key, content(900)).await;
    put("before").await.unwrap();

    let first = tokio::task::block_in_place(|| {
        let leader = cluster.leader().unwrap();
        cluster.freeze(leader, true).unwrap();
        leader
    });
    put("while it is frozen").await.unwrap();
    support::check(&client, BUCKET, "before", content(900))
        .await
        .unwrap();
    let second = tokio::task::block_in_place(|| {
        let leader = cluster.leader().unwrap();
        assert_ne!(leader, first);
        cluster.freeze(first, false).unwrap();
        cluster.metadata[leader].1.kill().unwrap();
        leader
    });
    put("when another was killed").await.unwrap();

    let third = tokio::task::block_in_place(|| {
        let leader = cluster.leader().unwrap();
        cluster.metadata[leader].1.kill().unwrap();
        leader
    });
    let asked = Instant::now();
    let refused = |refusal: Refusal| assert_eq!(refusal.status, Some(503), "{refusal:?}");
    refused(put("in vain").await.unwrap_err());
    refused(support::get(&client, BUCKET, "before").await.unwrap_err());
    let waited = asked.elapsed();
    assert!(waited < Duration::from_secs(45), "{waited:?}");
    tokio::task::block_in_place(|| {
        let output = cluster.attempt(&["metadata", "status"]).unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("unavailable"), "{told}");
        for at in [second, third] {
            cluster.metadata[at].1.start().unwrap();
        }
        wait_until("somebody leads", SOON, || cluster.leader().is_ok());
    });
    for key in ["before", "while it is frozen", "when another was killed"] {
        support::check(&client, BUCKET, key, content(900))
            .await
            .unwrap();
    }
    // It was refused, and may have been done all the same: then wholly.
    match support::get(&client, BUCKET, "in vain").await {
        Ok(_) => support::check(&client, BUCKET, "in vain", content(900))
            .await
            .unwrap(),
        Err(refusal) => assert_eq!(refusal.status, Some(404)),
    }
}

/// Certificates are renewed by themselves, of every role, while the cluster serves; and what was renewed serves after
/// a restart.
/// Method: have them renewed as soon as they are looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_renewed() {
    let mut cluster = Joined::start("joined-renewed", 1, 1, 1).unwrap();
    let soon = "renew_before_days = 1000";
    let read = |cluster: &Joined, server: &str| {
        std::fs::read(cluster.folder(server).join("server.pem")).unwrap()
    };
    let servers = [
        ("metadata-0", "metadata"),
        ("storage-0", "storage"),
        ("gateway", "gateway"),
    ];
    tokio::task::block_in_place(|| {
        let before = servers.map(|(server, _)| read(&cluster, server));
        for (server, role) in servers {
            cluster.configure(server, role, soon).unwrap();
        }
        for _ in 0..2 {
            for server in [&mut cluster.metadata[0].1, &mut cluster.storage[0]] {
                server.stop().unwrap();
                server.start().unwrap();
            }
            cluster.gateway.stop().unwrap();
            cluster.gateway.start().unwrap();
            wait_until("all are renewed", SOON, || {
                let now = servers.map(|(server, _)| read(&cluster, server));
                now.iter().zip(&before).all(|(now, before)| now != before)
            });
        }
    });
    cluster.find_gateway().unwrap();
    let client = client(&cluster);
    make_bucket(&client, BUCKET).await;
    let large = content(3 * MIB);
    support::put(&client, BUCKET, "large", large).await.unwrap();
    support::check(&client, BUCKET, "large", large)
        .await
        .unwrap();
}

/// A token is used once; what was made by it is refused once it is removed; and a metadata server that has lost its
/// log does not start as if it had never had one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_used_or_removed_opens_nothing() {
    let mut cluster = Joined::start("joined-tokens", 1, 1, 1).unwrap();
    let client = client(&cluster);
    make_bucket(&client, BUCKET).await;
    tokio::task::block_in_place(|| {
        let token = cluster.token("metadata").unwrap();
        let (mine, theirs) = (cluster.folder("mine"), cluster.folder("theirs"));
        let listen = ["--listen", "127.0.0.1:9"];
        let id = cluster.join(&mine, &token, &listen).unwrap();
        let again = format!("{:#}", cluster.join(&theirs, &token, &listen).unwrap_err());
        assert!(again.contains("the token is not valid"), "{again}");
        let twice = format!("{:#}", cluster.join(&mine, &token, &listen).unwrap_err());
        assert!(twice.contains("holds a server already"), "{twice}");
        // It never ran, so it learns nothing, and does not vote.
        let early = cluster.attempt(&["metadata", "remove", "1"]).unwrap();
        let told = String::from_utf8_lossy(&early.stderr).into_owned();
        assert!(told.contains("last voter"), "{told}");
        cluster.command(&["server", "rm", &id.to_string()]).unwrap();
        let added = cluster
            .attempt(&["metadata", "add", &id.to_string()])
            .unwrap();
        let told = String::from_utf8_lossy(&added.stderr).into_owned();
        assert!(told.contains("no such server"), "{told}");
    });

    support::put(&client, BUCKET, "kept", content(700))
        .await
        .unwrap();
    let gateway = tokio::task::block_in_place(|| {
        let output = cluster.command(&["server", "ls", "--json"]).unwrap();
        let servers: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        let gateway = servers.iter().find(|server| server["role"] == "Gateway");
        let gateway = gateway.unwrap()["node"].as_u64().unwrap();
        cluster
            .command(&["server", "rm", &gateway.to_string()])
            .unwrap();
        gateway
    });
    let deadline = Instant::now() + SOON;
    while support::get(&client, BUCKET, "kept").await.is_ok() {
        assert!(Instant::now() < deadline, "gateway {gateway} is answered");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    tokio::task::block_in_place(|| {
        cluster.metadata[0].1.stop().unwrap();
        std::fs::remove_dir_all(cluster.folder("metadata-0").join("log")).unwrap();
        assert!(
            cluster.metadata[0].1.start().is_err(),
            "it has lost its log"
        );
    });
}
