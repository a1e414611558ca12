//! How long a cluster takes no commit when the server that leads is killed.

use super::metadata::client_of;
use crate::support::{self, make_bucket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use strongroom_tests::{Content, Dice, Joined, wait_until};
use tokio::task::block_in_place;

const SOON: Duration = Duration::from_secs(60);
const BUCKET: &str = "failover";
const WRITERS: u64 = 4;
/// A follower that has not heard a leader for this long, or up to twice as long, stands for election.
const ELECTION: Duration = Duration::from_millis(1_000);
/// How long a gateway asks before it gives a request up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Commits go on within twice the election timeout, at its longest, whenever the leader is killed.
/// Method: clients of one gateway write all the while; from the kill to the first answer to a write that was sent
/// after it. `STRONGROOM_KILLS` says how often, on a machine that does nothing else; what is measured is printed. Beside
/// other tests it is only held to the patience of a gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_go_on_within_two_election_timeouts() {
    let asked = std::env::var("STRONGROOM_KILLS").ok();
    let bound = if asked.is_some() {
        2 * 2 * ELECTION
    } else {
        PATIENCE
    };
    let kills: usize = asked.map_or(4, |kills| kills.parse().expect("a number"));
    let (mut dice, seed) = Dice::announced("failover");
    let mut cluster = Joined::start("failover", 3, 1, 1).unwrap();
    let client = client_of(&cluster, &cluster.gateway);
    make_bucket(&client, BUCKET).await;
    // When writes were sent and answered.
    let answers: Arc<Mutex<Vec<(Instant, Instant)>>> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let writers = (0..WRITERS).map(|writer| {
        let (client, answers, stop) = (client.clone(), Arc::clone(&answers), Arc::clone(&stop));
        tokio::spawn(async move {
            for number in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let key = format!("{writer}-{}", number % 8);
                let sent = Instant::now();
                let content = Content::new(100 + number, 100);
                if support::put(&client, BUCKET, &key, content).await.is_ok() {
                    answers.lock().unwrap().push((sent, Instant::now()));
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut gaps: Vec<Duration> = Vec::new();
    block_in_place(|| {
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(500 + dice.below(1_000)));
            let leader = cluster.leader().unwrap();
            let killed = Instant::now();
            cluster.metadata[leader].1.kill().unwrap();
            let first = || {
                let answers = answers.lock().unwrap();
                let after = answers.iter().filter(|(sent, _)| *sent > killed);
                after.map(|(_, answered)| *answered - killed).min()
            };
            wait_until("a write is answered", SOON, || first().is_some());
            gaps.push(first().expect("one was"));
            cluster.metadata[leader].1.start().unwrap();
            wait_until("it has caught up", SOON, || {
                let members = cluster.members().unwrap_or_default();
                members.len() == 3
                    && members
                        .iter()
                        .all(|one| one["behind"].as_u64() < Some(50) && one["silent_ms"].is_u64())
            });
        }
    });
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    gaps.sort_unstable();
    let at = |hundredth: usize| gaps[(gaps.len() - 1) * hundredth / 100].as_millis();
    eprintln!(
        "failover: {kills} kills, to the next commit: least {} ms, median {} ms, p90 {} ms, most {} ms; seed {seed}",
        at(0),
        at(50),
        at(90),
        at(100)
    );
    assert!(gaps.iter().all(|gap| *gap <= bound), "{gaps:?}");
}
