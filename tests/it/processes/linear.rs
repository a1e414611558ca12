//! Metadata servers that are killed, frozen, cut off, restarted and relieved, under clients of two gateways: what all of them
//! saw together is linearizable, lists included.
//!
//! ```text
//! round     fresh keys; a few seconds of load; a fault or two meanwhile; all healed; the history is judged
//! ```
//!
//! Keys are a round's own, so that what nobody knows the outcome of troubles no later round.

use super::metadata::client_of;
use crate::load;
use crate::support::{self, make_bucket};
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use strongroom_register::namespace::{Act, Event, check};
use strongroom_tests::{Dice, Joined, wait_until};
use tokio::task::block_in_place;

const SOON: Duration = Duration::from_secs(60);
const BUCKET: &str = "judged";
const WORKERS: u64 = 6;
const KEYS: u64 = 5;
/// Of load, before the last fault of a round is healed.
const LOAD: Duration = Duration::from_millis(2_500);
/// In a short run; a soak counts minutes.
const ROUNDS: u64 = 8;

/// What is done to the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// `kill -9` of whoever leads.
    KillLeader,
    /// Of any one.
    Kill(usize),
    /// Whoever leads stands still.
    FreezeLeader,
    /// Any one.
    Freeze(usize),
    /// Whoever leads is cut off from everybody, and hears nobody.
    CutLeader,
    /// Any one.
    Cut(usize),
    /// SIGTERM of whoever leads, and a start.
    Restart,
    /// Another leads.
    Transfer,
    /// So many are killed that no quorum is left.
    KillMost,
}

fn fault(dice: &mut Dice, servers: usize) -> Fault {
    let any = usize::try_from(dice.below(servers as u64)).expect("a few");
    match dice.below(16) {
        0..3 => Fault::KillLeader,
        3 => Fault::Kill(any),
        4..7 => Fault::FreezeLeader,
        7 => Fault::Freeze(any),
        8..11 => Fault::CutLeader,
        11 => Fault::Cut(any),
        12..14 => Fault::Restart,
        14 => Fault::Transfer,
        _ => Fault::KillMost,
    }
}

/// What clients share: a clock, values, and what they saw.
struct Shared {
    began: Instant,
    next: AtomicU64,
    values: Mutex<HashMap<String, u64>>,
    seen: Mutex<Vec<Event>>,
    stop: AtomicBool,
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a short test")
    }

    /// A value that nobody writes twice, and its bytes.
    fn value(&self) -> (u64, Vec<u8>) {
        let value = self.next.fetch_add(1, Ordering::Relaxed);
        let bytes = value.to_string().into_bytes();
        let tag = md5(&bytes);
        self.values.lock().unwrap().insert(tag, value);
        (value, bytes)
    }

    fn of(&self, tag: &str) -> u64 {
        let tag = tag.trim_matches('"');
        let values = self.values.lock().unwrap();
        *values
            .get(tag)
            .unwrap_or_else(|| panic!("{tag} is no value's"))
    }
}

fn md5(bytes: &[u8]) -> String {
    use md5::{Digest, Md5};
    let digest = Md5::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One client, which does one thing after the other.
struct Worker {
    client: Client,
    shared: Arc<Shared>,
    prefix: String,
    dice: Dice,
    /// What it saw last of each key, for conditions.
    last: BTreeMap<u64, Option<u64>>,
}

impl Worker {
    async fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let called = self.shared.now();
            let (act, known) = self.act().await;
            let answered = known.then(|| self.shared.now());
            // A read that was refused saw nothing.
            let reads = matches!(act, Act::Get(..) | Act::List(_));
            if known || !reads {
                self.shared.seen.lock().unwrap().push(Event {
                    act,
                    called,
                    answered,
                });
            }
        }
    }

    /// Does something; whether its outcome is known.
    async fn act(&mut self) -> (Act, bool) {
        let key = self.dice.below(KEYS);
        match self.dice.below(10) {
            0..2 => self.put(key).await,
            2..4 => self.put_if(key).await,
            4 => self.delete(key).await,
            5..8 => self.get(key).await,
            _ => self.list().await,
        }
    }

    fn name(&self, key: u64) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn put(&mut self, key: u64) -> (Act, bool) {
        let (value, bytes) = self.shared.value();
        let put = self.client.put_object().bucket(BUCKET).key(self.name(key));
        let sent = put.body(ByteStream::from(bytes)).send().await;
        (Act::Put(key, value), sent.is_ok())
    }

    async fn put_if(&mut self, key: u64) -> (Act, bool) {
        let expects = self.last.get(&key).copied().flatten();
        let (value, bytes) = self.shared.value();
        let put = self.client.put_object().bucket(BUCKET).key(self.name(key));
        let put = match expects {
            Some(expected) => put.if_match(format!("\"{}\"", md5(expected.to_string().as_bytes()))),
            None => put.if_none_match("*"),
        };
        let sent = put.body(ByteStream::from(bytes)).send().await;
        let (done, known) = match sent.map_err(support::refusal) {
            Ok(_) => (true, true),
            Err(refusal) => (false, matches!(refusal.status, Some(404 | 412))),
        };
        (Act::PutIf(key, expects, value, done), known)
    }

    async fn delete(&mut self, key: u64) -> (Act, bool) {
        let delete = self.client.delete_object().bucket(BUCKET);
        let sent = delete.key(self.name(key)).send().await;
        (Act::Delete(key), sent.is_ok())
    }

    async fn get(&mut self, key: u64) -> (Act, bool) {
        let (found, known) = match support::get(&self.client, BUCKET, &self.name(key)).await {
            Ok(answer) => {
                let tagged = self.shared.of(answer.e_tag().expect("an ETag"));
                match answer.body.collect().await {
                    Ok(body) => {
                        let text = String::from_utf8(body.to_vec()).expect("digits");
                        assert_eq!(text, tagged.to_string(), "another object's bytes");
                        (Some(tagged), true)
                    }
                    Err(_) => (None, false),
                }
            }
            Err(refusal) => (None, refusal.status == Some(404)),
        };
        if known {
            self.last.insert(key, found);
        }
        (Act::Get(key, found), known)
    }

    async fn list(&mut self) -> (Act, bool) {
        let list = self.client.list_objects_v2().bucket(BUCKET);
        let listed = list.prefix(&self.prefix).send().await;
        let Ok(page) = listed else {
            return (Act::List(BTreeMap::new()), false);
        };
        let found = page.contents().iter().map(|object| {
            let name = object.key().expect("a key");
            let key = name.strip_prefix(&self.prefix).expect("the prefix");
            let value = self.shared.of(object.e_tag().expect("an ETag"));
            (key.parse().expect("a number"), value)
        });
        let found: BTreeMap<u64, u64> = found.collect();
        for key in 0..KEYS {
            self.last.insert(key, found.get(&key).copied());
        }
        (Act::List(found), true)
    }
}

/// What is wrong with the servers, until it is healed.
#[derive(Default)]
struct Trouble {
    dead: Vec<usize>,
    frozen: Vec<usize>,
    cut: Vec<usize>,
}

impl Trouble {
    fn make(&mut self, cluster: &mut Joined, fault: Fault) {
        let living = |at: &usize| !self.dead.contains(at) && !self.frozen.contains(at);
        // Where nobody leads, it is anybody's turn.
        let leader = || cluster.leader().ok().filter(living).unwrap_or(0);
        match fault {
            Fault::KillLeader => {
                let at = leader();
                self.kill(cluster, at);
            }
            Fault::Kill(at) => self.kill(cluster, at),
            Fault::FreezeLeader => {
                let at = leader();
                self.freeze(cluster, at);
            }
            Fault::Freeze(at) => self.freeze(cluster, at),
            Fault::CutLeader => {
                let at = leader();
                self.cut(cluster, at);
            }
            Fault::Cut(at) => self.cut(cluster, at),
            Fault::Restart => {
                let at = leader();
                if !self.dead.contains(&at) && !self.frozen.contains(&at) {
                    cluster.metadata[at].1.stop().unwrap();
                    cluster.metadata[at].1.start().unwrap();
                }
            }
            // It is refused where no other answers.
            Fault::Transfer => drop(cluster.attempt(&["metadata", "transfer"]).unwrap()),
            Fault::KillMost => {
                for at in 0..=cluster.metadata.len() / 2 {
                    self.kill(cluster, at);
                }
            }
        }
    }

    fn kill(&mut self, cluster: &mut Joined, at: usize) {
        if !self.dead.contains(&at) {
            cluster.metadata[at].1.kill().unwrap();
            self.frozen.retain(|frozen| *frozen != at);
            self.dead.push(at);
        }
    }

    fn freeze(&mut self, cluster: &Joined, at: usize) {
        if !self.dead.contains(&at) && !self.frozen.contains(&at) {
            cluster.freeze(at, true).unwrap();
            self.frozen.push(at);
        }
    }

    fn cut(&mut self, cluster: &Joined, at: usize) {
        if !self.cut.contains(&at) {
            cluster.pull(at, true).unwrap();
            self.cut.push(at);
        }
    }

    fn heal(self, cluster: &mut Joined) {
        for at in self.cut {
            cluster.pull(at, false).unwrap();
        }
        for at in self.frozen {
            cluster.freeze(at, false).unwrap();
        }
        for at in self.dead {
            cluster.metadata[at].1.start().unwrap();
        }
        wait_until("somebody leads", SOON, || cluster.leader().is_ok());
    }
}

async fn judge(name: &str, servers: usize, rounds: u64) {
    let (mut dice, seed) = Dice::announced(name);
    let soak = load::soak_time();
    let mut cluster = Joined::start_apart(name, servers, 1, 1).unwrap();
    let further = cluster.further_gateway().unwrap();
    let clients = [
        client_of(&cluster, &cluster.gateway),
        client_of(&cluster, &further),
    ];
    make_bucket(&clients[0], BUCKET).await;
    let shared = |next| {
        Arc::new(Shared {
            began: Instant::now(),
            next: AtomicU64::new(next),
            values: Mutex::default(),
            seen: Mutex::default(),
            stop: AtomicBool::new(false),
        })
    };
    let (mut explained, mut unknown, mut round, mut next) = (0, 0, 0, 1);
    let mut injected: BTreeMap<String, u64> = BTreeMap::new();
    let started = Instant::now();
    while soak.map_or(round < rounds, |time| started.elapsed() < time) {
        let faults: Vec<Fault> = (0..=dice.below(2))
            .map(|_| fault(&mut dice, servers))
            .collect();
        let told = format!("{name}, seed {seed}, round {round}: {faults:?}");
        let shared = shared(next);
        let workers = (0..WORKERS).map(|worker| Worker {
            client: clients[usize::from(worker % 2 == 1)].clone(),
            shared: Arc::clone(&shared),
            prefix: format!("{round}/"),
            dice: dice.split(),
            last: BTreeMap::new(),
        });
        let tasks: Vec<_> = workers.map(|worker| tokio::spawn(worker.run())).collect();
        block_in_place(|| {
            let mut trouble = Trouble::default();
            for fault in faults {
                std::thread::sleep(Duration::from_millis(dice.below(1_000)));
                let kind = format!("{fault:?}");
                let kind = kind.split('(').next().expect("a name").to_owned();
                *injected.entry(kind).or_default() += 1;
                trouble.make(&mut cluster, fault);
            }
            std::thread::sleep(LOAD);
            trouble.heal(&mut cluster);
            std::thread::sleep(LOAD / 4);
        });
        shared.stop.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap_or_else(|error| panic!("{told}: {error}"));
        }
        let seen = shared.seen.lock().unwrap();
        explained += check(&seen).unwrap_or_else(|anomaly| panic!("{told}: {anomaly}"));
        unknown += seen.iter().filter(|event| event.answered.is_none()).count();
        next = shared.next.load(Ordering::Relaxed);
        round += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "{name}: {servers} servers, {round} rounds, {explained} operations explained, {unknown} of unknown outcome, \
         0 anomalies, {injected:?}, {seconds:.0} s, seed {seed}"
    );
    let least = usize::try_from(round).expect("few rounds") * 50;
    assert!(explained > least, "hardly any load: {explained}");
}

/// With three servers, one of which may be away; or most, and then nothing is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_are_as_one() {
    judge("linear-three", 3, ROUNDS).await;
}

/// With five, two of which may be away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_servers_are_as_one() {
    judge("linear-five", 5, ROUNDS / 2).await;
}
