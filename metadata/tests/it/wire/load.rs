//! A steady load on registers, each a small object, and what its clients saw.

use super::{Shared, World};
use bytes::Bytes;
use client::{Client, GetError, NewBucket, PutError};
use futures::TryStreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use strongroom_register::{Checked, Did, Operation, check};
use tokio::task::JoinHandle;
use types::attributes::Attributes;
use types::wire::metadata::{Bucket, Condition, Tags, Wanted};
use types::{ByteCount, Label, NodeId, ObjectKey, TenantId};

const REGISTERS: u64 = 4;
const CLIENTS: u64 = 6;
/// Between two operations of one client.
const PACE: Duration = Duration::from_millis(3);
/// Within this a retry must work.
const CURED_WITHIN: Duration = Duration::from_secs(30);

pub(crate) struct Load {
    seen: Arc<Seen>,
    workers: Vec<JoinHandle<()>>,
    gateways: Vec<Arc<Client>>,
}

struct Seen {
    began: Instant,
    stop: AtomicBool,
    next_value: AtomicU64,
    history: Shared<Vec<Operation>>,
    errors: Shared<Vec<String>>,
}

/// What the clients saw.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) checked: Checked,
    /// Errors, each cured by a retry.
    pub(crate) errors: Vec<String>,
    /// The longest time in which no operation of any client was answered well.
    pub(crate) pause: Duration,
    /// The longest that an answered operation took.
    pub(crate) slowest: Duration,
}

/// One bucket of registers.
#[derive(Clone)]
pub(crate) struct Registers {
    client: Arc<Client>,
    bucket: Bucket,
}

impl Registers {
    pub(crate) fn make(world: &World, client: &Arc<Client>, name: &str) -> Self {
        let new = NewBucket {
            tenant: TenantId::new(0),
            owner: "owner".into(),
            name: name.to_owned().try_into().unwrap(),
            label: Label::default(),
            profile: None,
        };
        let bucket = world.outside.block_on(client.create_bucket(new)).unwrap();
        Self {
            client: Arc::clone(client),
            bucket,
        }
    }

    pub(crate) fn through(&self, client: &Arc<Client>) -> Self {
        Self {
            client: Arc::clone(client),
            bucket: self.bucket.clone(),
        }
    }

    pub(crate) async fn write(&self, register: u64, value: u64) -> Result<(), PutError> {
        self.put(key(register), value.to_string().into()).await
    }

    /// So many objects that are no registers, each as long as one may be that is stored in the rows.
    pub(crate) async fn fill(&self, first: u64, count: u64) {
        for number in first..first + count {
            let key = format!("filling-{number}").try_into().unwrap();
            let put = self.put(key, vec![0x5a; 4000].into());
            put.await.unwrap();
        }
    }

    async fn put(&self, key: ObjectKey, body: Bytes) -> Result<(), PutError> {
        let length = ByteCount::new(body.len() as u64);
        let upload = self.client.put(&self.bucket, key, Some(length));
        let mut upload = upload.await?;
        upload.write(body).await?;
        let finished = upload.finish(Attributes::default(), Tags::default(), Condition::default());
        finished.await.map(drop)
    }

    pub(crate) async fn read(&self, register: u64) -> Result<Option<u64>, GetError> {
        let key = key(register);
        let found = self.client.get(&self.bucket, &key, Wanted::All);
        match found.await {
            Ok(download) => {
                let body: Vec<Bytes> = download.body.try_collect().await?;
                let text = String::from_utf8(body.concat()).unwrap();
                Ok(Some(text.parse().unwrap()))
            }
            Err(GetError::NoSuchObject) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn key(register: u64) -> ObjectKey {
    format!("register-{register}").try_into().unwrap()
}

impl Load {
    pub(crate) fn start(world: &World) -> Self {
        let gateways: Vec<Arc<Client>> = [101, 102]
            .map(|id| world.client(NodeId::new(id)))
            .into_iter()
            .collect();
        let registers = Registers::make(world, &gateways[0], "registers");
        let seen = Arc::new(Seen {
            began: Instant::now(),
            stop: AtomicBool::new(false),
            next_value: AtomicU64::new(1),
            history: Shared::default(),
            errors: Shared::default(),
        });
        let workers = (0..CLIENTS)
            .map(|worker| {
                let gateway = &gateways[usize::try_from(worker).unwrap() % gateways.len()];
                let registers = registers.through(gateway);
                world
                    .outside
                    .spawn(work(Arc::clone(&seen), registers, worker))
            })
            .collect();
        Self {
            seen,
            workers,
            gateways,
        }
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> usize {
        self.seen.history.lock().unwrap().len()
    }

    /// Goes on until so many more operations were answered.
    pub(crate) fn go_on(&self, more: usize) {
        let target = self.operations() + more;
        super::eventually("the load goes on", || self.operations() >= target);
    }

    /// Ends it, and judges what was seen.
    pub(crate) fn end(self, world: &World) -> Report {
        self.seen.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            world.outside.block_on(worker).unwrap();
        }
        for gateway in self.gateways {
            world.outside.block_on(gateway.shutdown());
        }
        let history = self.seen.history.lock().unwrap().clone();
        let checked = check(&history).unwrap_or_else(|violation| {
            let of = |operation: &&Operation| match violation {
                strongroom_register::Violation::FromNowhere { register, .. }
                | strongroom_register::Violation::Stale { register, .. } => {
                    operation.register == register
                }
            };
            let register: Vec<_> = history.iter().filter(of).collect();
            panic!("{violation}\n{register:#?}")
        });
        let answered = history.iter().filter_map(|operation| {
            let answered = operation.answered?;
            Some((operation.called, answered))
        });
        let mut ends: Vec<u64> = answered.clone().map(|(_, end)| end).collect();
        ends.sort_unstable();
        let pause = ends.windows(2).map(|pair| pair[1] - pair[0]).max();
        let slowest = answered.map(|(called, end)| end - called).max();
        Report {
            checked,
            errors: self.seen.errors.lock().unwrap().clone(),
            pause: Duration::from_nanos(pause.unwrap()),
            slowest: Duration::from_nanos(slowest.unwrap()),
        }
    }
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

/// Reads and writes in turns; an error is retried, as any S3 client does: a write with a value of its own.
async fn work(seen: Arc<Seen>, registers: Registers, worker: u64) {
    let mut turn = worker;
    while !seen.stop.load(Ordering::Relaxed) {
        turn += 1;
        let register = turn % REGISTERS;
        let writes = (turn / REGISTERS + worker).is_multiple_of(2);
        let deadline = Instant::now() + CURED_WITHIN;
        loop {
            let called = seen.now();
            let failed = if writes {
                let value = seen.next_value.fetch_add(1, Ordering::Relaxed);
                let written = registers.write(register, value).await;
                let answered = written.is_ok().then(|| seen.now());
                seen.note(register, Did::Wrote(value), called, answered);
                written.err().map(|error| error.to_string())
            } else {
                match registers.read(register).await {
                    Ok(value) => {
                        seen.note(register, Did::Read(value), called, Some(seen.now()));
                        None
                    }
                    Err(error) => Some(error.to_string()),
                }
            };
            let Some(error) = failed else { break };
            assert!(Instant::now() < deadline, "no retry cures: {error}");
            seen.errors.lock().unwrap().push(error);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(PACE).await;
    }
}

/// How often each error was seen.
pub(crate) fn counted(errors: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for error in errors {
        *counts.entry(error.as_str()).or_default() += 1;
    }
    counts
}
