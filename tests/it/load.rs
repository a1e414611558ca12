//! Mixed load that remembers what it was promised.
//!
//! Each worker owns its keys, so for every key the order of its operations is known. An answer settles an
//! operation; one without an answer leaves the key *in doubt*: the old state or the new one, and nothing
//! else. A key in doubt is left alone until it is looked at, and what is seen then is settled for good.

use crate::scheme::Scheme;
use crate::support::{self, KIB, MIB};
use aws_sdk_s3::Client;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use strongroom_tests::{Cluster, Content, Dice};
use tokio::task::JoinHandle;

/// What a key holds: an object or nothing.
type State = Option<Content>;

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    settled: State,
    /// The operation whose answer did not come.
    doubt: Option<State>,
}

/// Counts of what was done, so that no test passes by doing nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Uploads and deletes that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Objects read and found exact, while under load.
    pub(crate) read: u64,
    /// Operations that an answer refused.
    pub(crate) refused: u64,
    /// Operations that got no answer.
    pub(crate) unanswered: u64,
    /// Keys in doubt that turned out to hold the new state, and the old.
    pub(crate) landed: u64,
    pub(crate) vanished: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.read += other.read;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.landed += other.landed;
        self.vanished += other.vanished;
    }
}

/// Holds the bytes written to a steady rate: space that was overwritten need not come back.
#[derive(Debug)]
pub(crate) struct Pace {
    started: Instant,
    bytes_per_second: u64,
    written: AtomicU64,
}

impl Pace {
    pub(crate) fn new(bytes_per_second: u64) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            bytes_per_second,
            written: AtomicU64::new(0),
        })
    }

    fn allows(&self) -> bool {
        let due = self.started.elapsed().as_secs_f64() * self.bytes_per_second as f64;
        (self.written.load(Ordering::Relaxed) as f64) < due
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// One client with keys of its own.
#[derive(Debug)]
pub(crate) struct Worker {
    bucket: String,
    dice: Dice,
    keys: BTreeMap<String, Entry>,
    pace: Arc<Pace>,
    pub(crate) tally: Tally,
    /// Everything that was promised and not kept.
    pub(crate) broken: Vec<String>,
}

impl Worker {
    pub(crate) fn new(bucket: &str, name: u64, keys: u64, dice: Dice, pace: &Arc<Pace>) -> Self {
        let keys = (0..keys)
            .map(|number| (format!("w{name}/k{number}"), Entry::default()))
            .collect();
        let (bucket, pace) = (bucket.to_owned(), Arc::clone(pace));
        Self {
            bucket,
            dice,
            keys,
            pace,
            tally: Tally::default(),
            broken: Vec::new(),
        }
    }

    /// Works until told to stop, or until no key is left that is not in doubt.
    pub(crate) async fn work(mut self, client: Client, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::Relaxed) {
            let sure: Vec<String> = self
                .keys
                .iter()
                .filter(|(_, entry)| entry.doubt.is_none())
                .map(|(key, _)| key.clone())
                .collect();
            if sure.is_empty() {
                break;
            }
            let key = self.dice.pick(&sure).clone();
            match self.dice.below(100) {
                0..50 if self.pace.allows() => self.upload(&client, &key).await,
                50..62 => self.delete(&client, &key).await,
                _ => self.read(&client, &key).await,
            }
        }
        self
    }

    async fn upload(&mut self, client: &Client, key: &str) {
        let content = Content::new(self.dice.next_word(), self.length());
        self.pace
            .written
            .fetch_add(content.length, Ordering::Relaxed);
        let outcome = support::put(client, &self.bucket, key, content).await;
        self.note(key, Some(content), outcome.map_err(|error| error.status));
    }

    async fn delete(&mut self, client: &Client, key: &str) {
        let outcome = support::delete(client, &self.bucket, key).await;
        self.note(key, None, outcome.map_err(|error| error.status));
    }

    fn note(&mut self, key: &str, wanted: State, outcome: Result<(), Option<u16>>) {
        let entry = self.keys.get_mut(key).expect("a key of this worker");
        match outcome {
            Ok(()) => {
                entry.settled = wanted;
                self.tally.acknowledged += 1;
            }
            Err(status) => {
                entry.doubt = Some(wanted);
                if status.is_some() {
                    self.tally.refused += 1;
                } else {
                    self.tally.unanswered += 1;
                }
            }
        }
    }

    async fn read(&mut self, client: &Client, key: &str) {
        let settled = self.keys[key].settled;
        match observe(client, &self.bucket, key, &[settled]).await {
            Seen::State(_) => self.tally.read += 1,
            Seen::Unreachable(_) => self.tally.unanswered += 1,
            Seen::Wrong(what) => self.broken.push(format!("under load: {what}")),
        }
    }

    /// Looks at every key: settled ones must be as promised, those in doubt old or new. The server is up.
    pub(crate) async fn settle(&mut self, client: &Client) {
        for (key, entry) in &mut self.keys {
            let allowed: Vec<State> = entry.doubt.into_iter().chain([entry.settled]).collect();
            match observe(client, &self.bucket, key, &allowed).await {
                Seen::State(state) => {
                    match entry.doubt {
                        Some(doubt) if doubt == state => self.tally.landed += 1,
                        Some(_) => self.tally.vanished += 1,
                        None => {}
                    }
                    *entry = Entry {
                        settled: state,
                        doubt: None,
                    };
                }
                Seen::Unreachable(what) | Seen::Wrong(what) => self.broken.push(what),
            }
        }
    }

    /// Names of the objects that exist, once nothing is in doubt.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.keys
            .iter()
            .filter(|(_, entry)| entry.settled.is_some())
            .map(|(key, _)| key.as_str())
    }

    /// Every size that a layer treats differently, small ones more often.
    fn length(&mut self) -> u64 {
        match self.dice.below(20) {
            0 => 0,
            1..6 => self.dice.below(4 * KIB + 2),
            6..11 => self.dice.below(64 * KIB + 2),
            11..16 => self.dice.below(512 * KIB),
            16..19 => self.dice.below(3 * MIB),
            _ => 4 * MIB - 2 + self.dice.below(5 * MIB),
        }
    }
}

enum Seen {
    /// One of the allowed states, byte by byte.
    State(State),
    /// No answer, or a refusal that says nothing about the object.
    Unreachable(String),
    /// An answer that no allowed state explains.
    Wrong(String),
}

async fn observe(client: &Client, bucket: &str, key: &str, allowed: &[State]) -> Seen {
    let answer = match support::get(client, bucket, key).await {
        Ok(answer) => answer,
        Err(refusal) => {
            return match refusal.status {
                Some(404) if refusal.is(404, "NoSuchKey") && allowed.contains(&None) => {
                    Seen::State(None)
                }
                Some(404) => Seen::Wrong(format!("{key} is missing; allowed: {allowed:?}")),
                _ => Seen::Unreachable(format!("{key}: {refusal:?}")),
            };
        }
    };
    let announced = answer.content_length().unwrap_or(-1);
    let bytes = match answer.body.collect().await {
        Ok(bytes) => bytes.to_vec(),
        Err(error) => return Seen::Unreachable(format!("{key}: the body broke off: {error}")),
    };
    let fits = |content: &Content| {
        content.length == bytes.len() as u64 && content.first_wrong(0, &bytes).is_none()
    };
    match allowed.iter().flatten().find(|content| fits(content)) {
        Some(content) => Seen::State(Some(*content)),
        None => Seen::Wrong(format!(
            "{key} holds {} bytes ({announced} announced); allowed: {allowed:?}",
            bytes.len()
        )),
    }
}

/// Sets the workers to work, every other one over https.
pub(crate) fn start(
    workers: impl IntoIterator<Item = Worker>,
    cluster: &Cluster,
    stop: &Arc<AtomicBool>,
) -> Vec<JoinHandle<Worker>> {
    let begin = |(turn, worker): (usize, Worker)| {
        let client = Scheme::turn(turn).client(cluster);
        tokio::spawn(worker.work(client, Arc::clone(stop)))
    };
    workers.into_iter().enumerate().map(begin).collect()
}

/// Names in a bucket, all pages.
pub(crate) async fn listed(client: &Client, bucket: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut pages = client
        .list_objects_v2()
        .bucket(bucket)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = page
            .map_err(support::refusal)
            .expect("the bucket is listed");
        names.extend(
            page.contents()
                .iter()
                .filter_map(|object| object.key())
                .map(str::to_owned),
        );
    }
    names
}

/// For how long a loop runs: `STRONGROOM_SOAK_MINUTES`, or a little.
pub(crate) fn soak_time() -> Option<Duration> {
    let minutes = std::env::var("STRONGROOM_SOAK_MINUTES").ok()?;
    let minutes: f64 = minutes
        .parse()
        .expect("STRONGROOM_SOAK_MINUTES is a number");
    Some(Duration::from_secs_f64(minutes * 60.0))
}
