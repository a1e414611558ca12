//! Three metadata servers behind one S3: one of them, the leader above all, may go away, and the process
//! may be killed.

use crate::load::{self, Pace, Tally, Worker};
use crate::support::{self, MIB, client, make_bucket};
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use strongroom_register::{Did, Operation, check};
use strongroom_tests::{Cluster, Dice, Shape, wait_until};

/// Twice the longest time after which a follower stands for election.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
const REGISTERS: u64 = 3;
const CLIENTS: u64 = 4;

fn three(name: &str) -> Cluster {
    Cluster::start_with(name, Shape::default(), &["--metadata", "3"]).unwrap()
}

/// Which server leads, once one does.
pub(crate) fn leader(cluster: &Cluster) -> u64 {
    let mut found = None;
    eventually("somebody leads", || {
        // While nobody leads, the status may wait for longer than the command that asks for it.
        found = cluster.leader().ok().flatten();
        found.is_some()
    });
    found.unwrap()
}

fn eventually(what: &str, holds: impl FnMut() -> bool) {
    wait_until(what, Duration::from_secs(60), holds);
}

struct Seen {
    began: Instant,
    stop: AtomicBool,
    next: AtomicU64,
    history: Mutex<Vec<Operation>>,
    errors: Mutex<Vec<String>>,
}

impl Seen {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap()
    }

    fn note(&self, register: u64, did: Did, called: u64, answered: Option<u64>) {
        self.history.lock().unwrap().push(Operation {
            register,
            did,
            called,
            answered,
        });
    }
}

/// PUTs and GETs of small objects in turns; what fails is tried again, as every S3 client does.
async fn work(client: Client, seen: Arc<Seen>, worker: u64) {
    let mut turn = worker;
    while !seen.stop.load(Ordering::Relaxed) {
        turn += 1;
        let register = turn % REGISTERS;
        let key = format!("register-{register}");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let called = seen.now();
            let failed = if (turn / REGISTERS + worker).is_multiple_of(2) {
                let value = seen.next.fetch_add(1, Ordering::Relaxed);
                let body = ByteStream::from(value.to_string().into_bytes());
                let put = client.put_object().bucket("registers").key(&key).body(body);
                let put = put.send().await.map_err(support::refusal);
                let answered = put.is_ok().then(|| seen.now());
                seen.note(register, Did::Wrote(value), called, answered);
                put.err()
            } else {
                match support::get(&client, "registers", &key).await {
                    Ok(got) => {
                        let body = got.body.collect().await.expect("a short body").to_vec();
                        let value = String::from_utf8(body).unwrap().parse().unwrap();
                        seen.note(register, Did::Read(Some(value)), called, Some(seen.now()));
                        None
                    }
                    Err(refusal) if refusal.is(404, "NoSuchKey") => {
                        seen.note(register, Did::Read(None), called, Some(seen.now()));
                        None
                    }
                    Err(refusal) => Some(refusal),
                }
            };
            let Some(refusal) = failed else { break };
            assert!(
                matches!(refusal.status, None | Some(500 | 503)),
                "no retry cures {refusal:?}"
            );
            assert!(Instant::now() < deadline, "no retry cures {refusal:?}");
            seen.errors.lock().unwrap().push(format!("{refusal:?}"));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Each metadata server goes away and comes back, the leader first: S3 pauses for a moment, loses nothing
/// and shows nothing stale; and `strongroom status` says what is going on.
/// Method: clients read and write three objects; the hook stops one server after another; the history is
/// checked for linearizability.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_metadata_server_may_go_away() {
    let cluster = three("metadata-away");
    make_bucket(&client(&cluster), "registers").await;
    let seen = Arc::new(Seen {
        began: Instant::now(),
        stop: AtomicBool::new(false),
        next: AtomicU64::new(1),
        history: Mutex::default(),
        errors: Mutex::default(),
    });
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|worker| tokio::spawn(work(client(&cluster), Arc::clone(&seen), worker)))
        .collect();
    let go_on = || {
        let target = seen.history.lock().unwrap().len() + 200;
        eventually("the load goes on", || {
            seen.history.lock().unwrap().len() >= target
        });
    };
    let mut stopped = 0;
    for round in 0..3 {
        tokio::task::block_in_place(|| {
            go_on();
            let old = leader(&cluster);
            let node = (old - 1 + round) % 3 + 1;
            let file = cluster.away(node);
            fs::write(&file, "").unwrap();
            eventually("status says that it is away", || {
                !cluster.server(node).unwrap()["stopped"].is_null()
            });
            stopped += 1;
            assert_ne!(leader(&cluster), node);
            go_on();
            fs::remove_file(&file).unwrap();
            eventually("it is back, and has caught up", || {
                let one = cluster.server(node).unwrap();
                one["stopped"].is_null() && one["lag"].as_u64().is_some_and(|lag| lag < 50)
            });
        });
    }
    tokio::task::block_in_place(go_on);
    seen.stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("a worker");
    }
    let history = seen.history.lock().unwrap().clone();
    let checked = check(&history).unwrap_or_else(|violation| panic!("{violation}"));
    let mut ends: Vec<u64> = history.iter().filter_map(|one| one.answered).collect();
    ends.sort_unstable();
    let pause = ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    let pause = Duration::from_nanos(pause);
    let errors = seen.errors.lock().unwrap().clone();
    eprintln!(
        "metadata: stopped {stopped}, {checked:?}, longest pause {pause:?}, cured {errors:?}"
    );
    assert_eq!(stopped, 3);
    assert!(checked.reads > 200 && checked.writes > 200, "{checked:?}");
    assert!(pause <= LONGEST_PAUSE, "{pause:?}");
    let text = cluster.run(&["status"]).unwrap().stdout;
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.matches("follower, term").count(), 2, "{text}");
    assert_eq!(text.matches("leader, term").count(), 1, "{text}");
    // Reads that found something were looked up, and counted.
    let lookups = cluster
        .metric("strongroom_gateway_lookup_seconds_count")
        .unwrap();
    assert!(lookups > 200.0, "{lookups} of {checked:?}");
    assert_eq!(cluster.metric("strongroom_no_such_metric").unwrap(), 0.0);
}

/// `kill -9` of the whole process, three metadata servers and all, loses nothing acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_survive_kills() {
    let (mut dice, seed) = Dice::announced("metadata kills");
    let mut cluster = three("metadata-kill");
    make_bucket(&client(&cluster), "data").await;
    let pace = Pace::new(32 * MIB);
    let mut workers: Vec<Worker> = (0..4)
        .map(|name| Worker::new("data", name, 8, dice.split(), &pace))
        .collect();
    let mut kills = 0;
    for _ in 0..4 {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = load::start(workers, &cluster, &stop);
        // The random moment is the point, not a wait for something.
        tokio::time::sleep(Duration::from_millis(200 + dice.below(1_500))).await;
        cluster.kill().unwrap();
        kills += 1;
        stop.store(true, Ordering::Relaxed);
        workers = Vec::new();
        for task in tasks {
            workers.push(task.await.expect("a worker"));
        }
        cluster.start_again().unwrap();
        let client = client(&cluster);
        for worker in &mut workers {
            worker.settle(&client).await;
        }
        let broken: Vec<&String> = workers.iter().flat_map(|worker| &worker.broken).collect();
        assert!(broken.is_empty(), "seed {seed}: {broken:#?}");
    }
    let mut tally = Tally::default();
    workers.iter().for_each(|worker| tally.add(worker.tally));
    eprintln!("metadata: kills {kills}, {tally:?}, seed {seed}");
    assert!(kills == 4 && tally.acknowledged > 20, "{tally:?}");
    assert!(cluster.stop().unwrap().success());
}

/// What the first start fixed stays: the number of servers, their keys, their logs.
/// Method: take each away from a cluster that is down, and read why it does not start.
#[test]
fn what_a_server_has_lost_is_not_made_anew() {
    let mut cluster = three("metadata-lost");
    eventually("all have applied something", || {
        let servers = cluster.servers().unwrap();
        servers
            .iter()
            .all(|server| server["applied"].as_u64() > Some(5))
    });
    let data = cluster.data().to_owned();
    let mut tried = 0;
    for (lost, said) in [
        ("metadata-1/slot", "metadata-1/slot is missing"),
        ("metadata-2/log", "must not vote again"),
    ] {
        assert!(cluster.stop().unwrap().success());
        let (path, kept) = (data.join(lost), data.join("kept"));
        fs::rename(&path, &kept).unwrap();
        let error = format!("{:#}", cluster.start_again().unwrap_err());
        assert!(error.contains(said), "{error}");
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::rename(&kept, &path).unwrap();
        cluster.start_again().unwrap();
        tried += 1;
    }
    assert_eq!(tried, 2);
    assert!(data.join("metadata-2/slot").exists());
}
