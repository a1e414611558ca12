//! Back-pressure: more clients than there is memory for are served in turn or told to slow down; nobody
//! starves, and nothing collapses.

use crate::support::{self, KIB, MIB};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use strongroom_tests::process::Vitals;
use strongroom_tests::{Cluster, Content};
use strongroom_wire::{Ask, now};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const IDLE: usize = 2000;
const BUSY: usize = 200;
const SLOW_READERS: usize = 32;
const SLOW_WRITERS: usize = 16;
/// What a slow client moves at a time.
const DRIP: usize = 64 << 10;
const SMALL: u64 = 100 * KIB;
const LARGE: u64 = 256 * MIB;
/// For how long the busy ones go on.
const TIME: Duration = Duration::from_secs(20);
/// Memory for objects' bytes, as `strongroom dev` has it.
const BUDGET: u64 = 512 * MIB;
/// Memory for everything else: the caches of log and store where they are full, buffers of each connection,
/// and the program itself.
const BESIDES: u64 = 192 * MIB + CONNECTIONS * 100 * KIB + 64 * MIB;
const CONNECTIONS: u64 = (IDLE + BUSY + SLOW_READERS + SLOW_WRITERS) as u64;
/// A small request is answered within so much, at 99 of 100. On two cores that 200 clients share with the
/// cluster, most of it is waiting for a core.
const BOUND: Duration = Duration::from_secs(5);

/// One cluster, and who asks it.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    access_key: String,
    secret: String,
}

impl Target {
    fn ask(&self, method: &'static str, key: &str) -> Ask {
        Ask::new(
            method,
            format!("/data/{key}"),
            &self.access_key,
            &self.secret,
        )
    }

    fn head(&self, ask: &Ask) -> String {
        ask.head(self.address, &now()).0
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("listens")
    }
}

/// What one kind of request met.
#[derive(Debug, Default)]
struct Met {
    served: Vec<Duration>,
    slowed: usize,
    wrong: Vec<String>,
}

impl Met {
    fn add(&mut self, other: Self) {
        self.served.extend(other.served);
        self.slowed += other.slowed;
        self.wrong.extend(other.wrong);
    }

    fn note(&mut self, began: Instant, status: u16, code: &str) {
        match status {
            200 | 206 => self.served.push(began.elapsed()),
            503 if code == "SlowDown" => self.slowed += 1,
            other => self.wrong.push(format!("{other} {code}")),
        }
    }

    /// The time within which so many of a hundred were served.
    fn within(&mut self, percent: usize) -> Duration {
        self.served.sort_unstable();
        let at = (self.served.len() * percent / 100).min(self.served.len() - 1);
        self.served[at]
    }
}

/// 2000 idle and 200 busy clients, slow readers and slow writers, all at once: memory stays within the budget
/// and a bound beside it, each request is served or told to slow down, small ones are not starved by large
/// ones. Then everybody goes, and so does the memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_clients_than_there_is_memory_for() {
    let mut cluster = Cluster::start("pressure").unwrap();
    let client = support::client(&cluster);
    support::make_bucket(&client, "data").await;
    support::put(&client, "data", "small", Content::new(1, SMALL))
        .await
        .unwrap();
    let large = Content::new(2, LARGE);
    support::put(&client, "data", "large", large).await.unwrap();
    let keys = cluster.credentials().unwrap();
    let target = Target {
        address: cluster.endpoints().s3,
        access_key: keys.access_key,
        secret: keys.secret_key,
    };
    let mut idle = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        idle.push(idle_client(&target).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let slow: Vec<JoinHandle<u64>> = (0..SLOW_READERS)
        .map(|_| tokio::spawn(slow_reader(target.clone(), large, Arc::clone(&stop))))
        .chain(
            (0..SLOW_WRITERS)
                .map(|number| tokio::spawn(slow_writer(target.clone(), number, Arc::clone(&stop)))),
        )
        .collect();
    let busy: Vec<JoinHandle<(Met, Met)>> = (0..BUSY)
        .map(|number| tokio::spawn(busy_client(target.clone(), number, Arc::clone(&stop))))
        .collect();

    let mut most = 0;
    let began = Instant::now();
    while began.elapsed() < TIME {
        tokio::time::sleep(Duration::from_millis(250)).await;
        most = most.max(Vitals::of(cluster.pid()).unwrap().resident);
    }
    stop.store(true, Ordering::Relaxed);
    let (mut small, mut big) = (Met::default(), Met::default());
    for task in busy {
        let (of_small, of_big) = task.await.expect("a client");
        small.add(of_small);
        big.add(of_big);
    }
    let mut dripped = 0;
    for task in slow {
        dripped += task.await.expect("a client");
    }
    eprintln!(
        "pressure: {IDLE} idle, {BUSY} busy, {} slow clients that moved {} MB; at most {} MB resident",
        SLOW_READERS + SLOW_WRITERS,
        dripped / 1_000_000,
        most / 1_000_000
    );
    for (what, met) in [("small", &mut small), ("large", &mut big)] {
        assert!(
            met.wrong.is_empty(),
            "{what}: {:?}",
            &met.wrong[..met.wrong.len().min(9)]
        );
        assert!(
            met.served.len() > BUSY,
            "{what}: hardly any was served: {}",
            met.served.len()
        );
        eprintln!(
            "pressure: {what}: {} served, p50 {:?}, p99 {:?}, {} told to slow down",
            met.served.len(),
            met.within(50),
            met.within(99),
            met.slowed
        );
    }
    assert!(dripped > 50 * MIB, "the slow ones were starved: {dripped}");
    assert!(most < BUDGET + BESIDES, "{} MB", most / 1_000_000);
    assert!(small.within(99) < BOUND, "{:?}", small.within(99));

    // Those who waited all the time are still served; then everybody goes.
    for stream in idle.iter_mut().step_by(100) {
        head_on(stream, &target).await;
    }
    drop(idle);
    let began = Instant::now();
    while Vitals::of(cluster.pid()).unwrap().descriptors > 200 {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "connections stay open"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    support::check(&client, "data", "large", large)
        .await
        .unwrap();
    assert!(cluster.is_alive());
    assert!(cluster.stop().unwrap().success());
}

async fn idle_client(target: &Target) -> TcpStream {
    let mut stream = target.connect().await;
    head_on(&mut stream, target).await;
    stream
}

/// Asks for an object's head on a connection that stays open.
async fn head_on(stream: &mut TcpStream, target: &Target) {
    let head = target.head(&target.ask("HEAD", "small"));
    let head = head.replace("connection: close\r\n", "");
    stream.write_all(head.as_bytes()).await.expect("takes it");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let read = stream.read_buf(&mut answer).await.expect("answers");
        assert!(read > 0, "an idle client was hung up on");
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

/// Reads a large object in small pieces with pauses; each byte is right. How many there were.
async fn slow_reader(target: Target, content: Content, stop: Arc<AtomicBool>) -> u64 {
    let mut stream = target.connect().await;
    let head = target.head(&target.ask("GET", "large"));
    stream.write_all(head.as_bytes()).await.expect("takes it");
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return 0;
        }
    }
    if bytes.starts_with(b"HTTP/1.1 503") {
        return 0;
    }
    assert!(
        bytes.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&bytes)
    );
    let mut at = 0;
    let mut piece = vec![0; DRIP];
    while !stop.load(Ordering::Relaxed) {
        let read = stream.read_exact(&mut piece).await;
        if read.is_err() {
            break;
        }
        // Where the head ended does not matter: runs of bytes are unique.
        at += piece.len() as u64;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(at <= content.length);
    at
}

/// Sends a large object in small pieces with pauses. How many bytes it got rid of.
async fn slow_writer(target: Target, number: usize, stop: Arc<AtomicBool>) -> u64 {
    let mut stream = target.connect().await;
    let ask = target
        .ask("PUT", &format!("slow-{number}"))
        .payload("UNSIGNED-PAYLOAD")
        .header("content-length", &LARGE.to_string());
    stream
        .write_all(target.head(&ask).as_bytes())
        .await
        .expect("takes it");
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        if stream.write_all(&[7; DRIP]).await.is_err() {
            break;
        }
        sent += DRIP as u64;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sent
}

/// Small reads, and one request in five a large one: what each kind met.
async fn busy_client(target: Target, number: usize, stop: Arc<AtomicBool>) -> (Met, Met) {
    let (mut small, mut large) = (Met::default(), Met::default());
    let mut turn = number;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let (met, ask) = match turn % 10 {
            0 => {
                let first = (turn as u64 * 7 % 30) * 8 * MIB;
                let range = format!("bytes={first}-{}", first + 8 * MIB - 1);
                (
                    &mut large,
                    target.ask("GET", "large").header("range", &range),
                )
            }
            5 => {
                let body = Content::new(turn as u64, 5 * MIB).all();
                let key = format!("busy-{number}");
                let ask = target.ask("PUT", &key).payload("UNSIGNED-PAYLOAD");
                (&mut large, ask.body(body))
            }
            _ => (&mut small, target.ask("GET", "small")),
        };
        let began = Instant::now();
        let reply = ask.send(target.address).await;
        let code = if reply.status >= 400 {
            reply.code()
        } else {
            String::new()
        };
        met.note(began, reply.status, &code);
    }
    (small, large)
}
