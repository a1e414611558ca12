//! What clients of metadata servers do to a few keys, and what they saw: a history to be judged.

use super::face::{Expected, Face, Written, md5};
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

    /// Sends clients of these faces to the keys below a prefix, until it stops.
    pub(super) fn send(
        self: &Arc<Self>,
        faces: &[Face; 2],
        prefix: &str,
        dice: &mut Dice,
    ) -> Vec<JoinHandle<()>> {
        let workers = (0..WORKERS).map(|worker| Worker {
            face: faces[usize::from(worker % 2 == 1)].clone(),
            shared: Arc::clone(self),
            prefix: prefix.to_owned(),
            dice: dice.split(),
            last: BTreeMap::new(),
        });
        workers.map(|worker| tokio::spawn(worker.run())).collect()
    }

    /// One who does what it is told.
    pub(super) fn alone(self: &Arc<Self>, face: &Face, prefix: &str, dice: &mut Dice) -> Worker {
        Worker {
            face: face.clone(),
            shared: Arc::clone(self),
            prefix: prefix.to_owned(),
            dice: dice.split(),
            last: BTreeMap::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a short test")
    }

    /// A value that nobody writes twice, its bytes, and their ETag.
    fn value(&self) -> (u64, Vec<u8>, String) {
        let value = self.next.fetch_add(1, Ordering::Relaxed);
        let bytes = value.to_string().into_bytes();
        let tag = md5(&bytes);
        self.values.lock().unwrap().insert(tag.clone(), value);
        (value, bytes, tag)
    }

    fn of(&self, tag: &str) -> u64 {
        let values = self.values.lock().unwrap();
        *values
            .get(tag)
            .unwrap_or_else(|| panic!("{tag} is no value's"))
    }
}

/// One client, which does one thing after the other.
pub(super) struct Worker {
    face: Face,
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
        let (value, bytes, tag) = self.shared.value();
        let (name, expected) = (self.name(key), Expected::Anything);
        let written = self.face.put(&name, bytes, &tag, expected).await;
        (Act::Put(key, value), written == Written::Done)
    }

    async fn put_if(&mut self, key: u64) -> (Act, bool) {
        let expects = self.last.get(&key).copied().flatten();
        let (value, bytes, tag) = self.shared.value();
        let expected = match expects {
            Some(expected) => Expected::Tagged(md5(expected.to_string().as_bytes())),
            None => Expected::Nothing,
        };
        let written = self.face.put(&self.name(key), bytes, &tag, expected).await;
        let done = written == Written::Done;
        let known = written != Written::Unknown;
        (Act::PutIf(key, expects, value, done), known)
    }

    async fn delete(&mut self, key: u64) -> (Act, bool) {
        let known = self.face.delete(&self.name(key)).await;
        (Act::Delete(key), known)
    }

    async fn get(&mut self, key: u64) -> (Act, bool) {
        let Some(tag) = self.face.get(&self.name(key)).await else {
            return (Act::Get(key, None), false);
        };
        let found = tag.map(|tag| self.shared.of(&tag));
        self.last.insert(key, found);
        (Act::Get(key, found), true)
    }

    async fn list(&mut self) -> (Act, bool) {
        let Some(listed) = self.face.list(&self.prefix).await else {
            return (Act::List(BTreeMap::new()), false);
        };
        let found = listed.iter().map(|(name, tag)| {
            let key = name.strip_prefix(&self.prefix).expect("the prefix");
            (key.parse().expect("a number"), self.shared.of(tag))
        });
        let found: BTreeMap<u64, u64> = found.collect();
        for key in 0..KEYS {
            self.last.insert(key, found.get(&key).copied());
        }
        (Act::List(found), true)
    }
}
