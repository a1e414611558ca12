//! What clients of metadata servers do to a few keys, and what they saw: a history to be judged.

use crate::support;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use strongroom_register::namespace::{Act, Event};
use strongroom_tests::Dice;
use tokio::task::JoinHandle;

pub(super) const BUCKET: &str = "judged";
const WORKERS: u64 = 6;
const KEYS: u64 = 5;

/// What clients share: a clock, values, and what they saw.
pub(super) struct Shared {
    began: Instant,
    pub(super) next: AtomicU64,
    values: Mutex<HashMap<String, u64>>,
    pub(super) seen: Mutex<Vec<Event>>,
    pub(super) stop: AtomicBool,
}

impl Shared {
    /// Whose values begin here.
    pub(super) fn new(next: u64) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            next: AtomicU64::new(next),
            values: Mutex::default(),
            seen: Mutex::default(),
            stop: AtomicBool::new(false),
        })
    }

    /// Sends clients of these gateways to the keys below a prefix, until it stops.
    pub(super) fn send(
        self: &Arc<Self>,
        clients: &[Client; 2],
        prefix: &str,
        dice: &mut Dice,
    ) -> Vec<JoinHandle<()>> {
        let workers = (0..WORKERS).map(|worker| Worker {
            client: clients[usize::from(worker % 2 == 1)].clone(),
            shared: Arc::clone(self),
            prefix: prefix.to_owned(),
            dice: dice.split(),
            last: BTreeMap::new(),
        });
        workers.map(|worker| tokio::spawn(worker.run())).collect()
    }

    /// One who does what it is told.
    pub(super) fn alone(
        self: &Arc<Self>,
        client: &Client,
        prefix: &str,
        dice: &mut Dice,
    ) -> Worker {
        Worker {
            client: client.clone(),
            shared: Arc::clone(self),
            prefix: prefix.to_owned(),
            dice: dice.split(),
            last: BTreeMap::new(),
        }
    }

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
pub(super) struct Worker {
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
            let done = self.act().await;
            self.note(called, done);
        }
    }

    /// Writes a key, and notes it; whether that is acknowledged.
    pub(super) async fn writes(&mut self, key: u64) -> bool {
        let called = self.shared.now();
        let done = self.put(key).await;
        let known = done.1;
        self.note(called, done);
        known
    }

    /// Reads a key, and notes what it finds; whether that is known.
    pub(super) async fn reads(&mut self, key: u64) -> bool {
        let called = self.shared.now();
        let done = self.get(key).await;
        let known = done.1;
        self.note(called, done);
        known
    }

    fn note(&self, called: u64, (act, known): (Act, bool)) {
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
