//! Clients that stop: amid what they send, or amid what they should read.
//!
//! Each holds a connection, and some of them memory: for as long as the server waits, and no longer. They
//! all stop at once, so that together they take no longer than one.

use super::case::Target;
use crate::scheme::{self, Scheme, Session};
use crate::support::{self, MIB};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use strongroom_tests::process::Vitals;
use strongroom_tests::{Cluster, Content, wait_until};
use strongroom_wire::{now, signed_chunks};

/// How long a server waits for a client: for its handshake, its head, its body, its reading.
const PATIENCE: Duration = Duration::from_secs(60);
/// What may pass beyond that, on a machine with other work.
const SLACK: Duration = Duration::from_secs(30);
/// Nobody is given up at once: a slow client is served.
const EARLIEST: Duration = Duration::from_secs(20);
/// A trickle: one byte in this time.
const DRIP: Duration = Duration::from_secs(1);
/// Of each kind at once.
const EACH: usize = 3;
/// More than the sockets of both ends hold.
const BIG: u64 = 48 * MIB;
/// What a server may hold when they are gone beyond what it held before they came.
const MEMORY: u64 = 192 << 20;
/// An honest client waits no longer for a small object, beside all of them.
const SERVED_WITHIN: Duration = Duration::from_secs(10);

/// A client that sends something and then stops.
#[derive(Clone)]
struct Stall {
    name: &'static str,
    scheme: Scheme,
    sent: Vec<u8>,
    then: Then,
    /// The answer when the server has waited long enough, as in `400 RequestTimeout`; empty: it hangs up.
    answer: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Silence,
    /// One byte after the other.
    Trickle,
}

/// Who stops is given up in time, in whatever it stops; what it began leaves nothing; others are served
/// meanwhile.
/// Method: the table below, several of each kind at once, beside an honest client; then what is stored, and
/// the server's descriptors, memory and log.
#[tokio::test]
async fn clients_that_stop_are_given_up() {
    let mut cluster = Cluster::start("stalls").expect("the cluster starts");
    let keys = cluster.credentials().expect("credentials");
    let at = cluster.endpoints().s3;
    let target = Target {
        address: at,
        access_key: keys.access_key,
        secret: keys.secret_key,
    };
    let client = support::client(&cluster);
    support::make_bucket(&client, "bucket").await;
    let small = target.ask("PUT", "/bucket/here").body(b"0123456789");
    assert_eq!(small.send(at).await.status, 200);
    let big = Content::new(3, BIG);
    let put = support::put(&client, "bucket", "big", big).await;
    put.expect("the upload is accepted");
    let upload = super::begin_upload(&target).await;
    let pid = cluster.pid();
    let before = Vitals::of(pid).expect("it runs");

    let began = Instant::now();
    let mut stopped = Vec::new();
    for stall in table(&target, &upload) {
        for _ in 0..EACH {
            let (stall, server) = (stall.clone(), stall.scheme.server(&cluster));
            let stream = TcpStream::connect(server).expect("listens");
            let line: Box<dyn Line> = match stall.within_tls() {
                true => Box::new(scheme::session(&cluster, stream)),
                false => Box::new(stream),
            };
            stopped.push(thread::spawn(move || stall.run(line)));
        }
    }
    let freed = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = [Then::Silence, Then::Trickle]
        .into_iter()
        .cycle()
        .take(4 * EACH)
        .map(|then| read_nothing(&target, then, Arc::clone(&freed)))
        .collect();
    let honest = serve_honest(&target, Arc::clone(&freed));

    // Not one of them is left when the last has been waited for.
    let within = (PATIENCE + SLACK).saturating_sub(began.elapsed());
    let (some, all) = (before.descriptors + 8, before.descriptors + stopped.len());
    tokio::task::spawn_blocking(move || {
        let open = || Vitals::of(pid).map_or(0, |now| now.descriptors);
        wait_until("all are connected", EARLIEST, || open() >= all);
        wait_until("they are gone", within, || (1..=some).contains(&open()));
    })
    .await
    .expect("they are");
    freed.store(true, Ordering::Relaxed);
    let mut wrong: Vec<String> = stopped.into_iter().filter_map(told).collect();
    wrong.extend(readers.into_iter().filter_map(told));
    wrong.extend(told(honest));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));

    let listed = target.ask("GET", "/bucket").query("list-type", "2");
    let listed = listed.send(at).await;
    assert_eq!(listed.all("Key"), ["big", "here"], "nothing was stored");
    let parts = target.ask("GET", "/bucket/multipart");
    let parts = parts.query("uploadId", &upload).send(at).await;
    assert_eq!(parts.all("PartNumber"), [""; 0]);
    for _ in 0..EACH {
        let whole = support::check(&client, "bucket", "big", big).await;
        whole.expect("what they held is free for others");
    }
    let after = Vitals::of(pid).expect("it runs");
    assert!(
        after.resident <= before.resident + MEMORY,
        "{} bytes resident before, {} after",
        before.resident,
        after.resident
    );
    let log = std::fs::read_to_string(cluster.log()).expect("it has a log");
    assert!(!log.contains("panicked"), "a thread panicked");
    cluster.stop().expect("it stops");
}

fn table(target: &Target, upload: &str) -> Vec<Stall> {
    let timeout = "400 RequestTimeout";
    let part = target
        .ask("PUT", "/bucket/multipart")
        .query("partNumber", "1")
        .query("uploadId", upload);
    let complete = target
        .ask("POST", "/bucket/multipart")
        .query("uploadId", upload)
        .body(b"<CompleteMultipartUpload><Part>".repeat(100));
    let upload = target.ask("PUT", "/bucket/stall").body(vec![b'x'; 100_000]);
    let head = |ask: &strongroom_wire::Ask| ask.head(target.address, &now()).0.into_bytes();
    // A request and some of its body.
    let some = |ask: &strongroom_wire::Ask, length: usize| {
        [head(ask), ask.body[..length].to_vec()].concat()
    };
    let part = part.body(vec![b'x'; 6 << 20]);
    let expects = upload.clone().header("expect", "100-continue");
    let line = b"GET /bucket/here HTTP/1.1\r\n";
    let chunks = chunked(target);
    let end = chunks.len();
    [
        ("nothing at all", Vec::new(), ""),
        ("amid the request line", line[..9].to_vec(), ""),
        (
            "amid the headers",
            [&line[..], b"host: x\r\nautho"].concat(),
            "",
        ),
        (
            "before the last line of the head",
            head(&upload)[..200].to_vec(),
            "",
        ),
        ("before the body", head(&upload), timeout),
        ("when the body is asked for", head(&expects), timeout),
        ("amid a signed body", some(&upload, 50_000), timeout),
        ("before the last byte", some(&upload, 99_999), timeout),
        ("amid a part", some(&part, 5 << 20), timeout),
        ("amid a document", some(&complete, 1000), timeout),
        (
            "amid a chunk's size",
            chunks[..end - 20_100].to_vec(),
            timeout,
        ),
        (
            "amid a chunk's signature",
            chunks[..end - 20_050].to_vec(),
            timeout,
        ),
        ("amid a chunk", chunks[..end - 10_000].to_vec(), timeout),
    ]
    .into_iter()
    .map(|(name, sent, answer)| (name, Scheme::Http, sent, Then::Silence, answer))
    .chain([
        (
            "nothing of TLS",
            Scheme::Https,
            Vec::new(),
            Then::Silence,
            "",
        ),
        (
            "amid a TLS record",
            Scheme::Https,
            vec![22, 3, 1, 2, 0, 1, 0],
            Then::Silence,
            "",
        ),
        (
            "amid the headers, in TLS",
            Scheme::Https,
            line.to_vec(),
            Then::Silence,
            "",
        ),
        (
            "amid a body, in TLS",
            Scheme::Https,
            some(&upload, 50_000),
            Then::Silence,
            timeout,
        ),
        (
            "headers that trickle",
            Scheme::Http,
            line.to_vec(),
            Then::Trickle,
            "",
        ),
        (
            "a body that trickles",
            Scheme::Http,
            some(&upload, 10),
            Then::Trickle,
            timeout,
        ),
    ])
    .map(|(name, scheme, sent, then, answer)| Stall {
        name,
        scheme,
        sent,
        then,
        answer,
    })
    .collect()
}

/// An upload of two signed chunks, whose last bytes are: the head of the second, its 20 000 bytes, a line's
/// end, and the last chunk.
fn chunked(target: &Target) -> Vec<u8> {
    let date = now();
    let piece = vec![b'p'; 20_000];
    let ask = target
        .ask("PUT", "/bucket/stall")
        .payload("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
        .header("x-amz-decoded-content-length", "40000");
    let (_, seed) = ask.head(target.address, &date);
    let body = signed_chunks(&ask.signer(&date), &seed, &[&piece, &piece]).body;
    let ask = ask.header("content-length", &body.len().to_string());
    let head = ask.head(target.address, &date).0;
    let last = b"0;chunk-signature=\r\n\r\n".len() + 64;
    [head.as_bytes(), &body[..body.len() - last]].concat()
}

/// A connection whose reads end after a [`DRIP`].
trait Line: Read + Write + Send {
    fn socket(&self) -> &TcpStream;
}

impl Line for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Line for Session {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

impl Stall {
    /// Whether what it sends goes through a session that stands.
    fn within_tls(&self) -> bool {
        self.scheme == Scheme::Https && self.name.ends_with("in TLS")
    }

    /// Sends, stops, and waits for the end.
    fn run(&self, mut line: Box<dyn Line>) -> Result<(), String> {
        let began = Instant::now();
        let failed = |error: io::Error| format!("{}: {error}", self.name);
        line.write_all(&self.sent).map_err(failed)?;
        line.flush().map_err(failed)?;
        line.socket().set_read_timeout(Some(DRIP)).map_err(failed)?;
        let mut got = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match line.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => got.extend_from_slice(&piece[..read]),
                Err(error) if is_timeout(&error) => {}
                // As good as an end: it was hung up on.
                Err(_) => break,
            }
            if self.then == Then::Trickle {
                // It may hang up while this is written.
                let _ = line.write_all(b"x");
            }
            if began.elapsed() > PATIENCE + SLACK {
                return Err(format!("{}: not given up", self.name));
            }
        }
        let told = answer(&got);
        let took = began.elapsed();
        if told != self.answer || took < EARLIEST {
            return Err(format!("{}: {told:?} after {took:?}", self.name));
        }
        Ok(())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// As in `400 RequestTimeout`.
fn answer(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text
        .strip_prefix("HTTP/1.1 100 Continue\r\n\r\n")
        .unwrap_or(&text);
    let status = text.split(' ').nth(1).unwrap_or_default();
    let code = text.split("<Code>").nth(1).unwrap_or_default();
    let code = code.split("</Code>").next().unwrap_or_default();
    format!("{status} {code}").trim().to_owned()
}

/// Asks for the big object and reads nothing, or a byte now and then, until the server has hung up: then it
/// finds that it did not get all.
fn read_nothing(
    target: &Target,
    then: Then,
    freed: Arc<AtomicBool>,
) -> JoinHandle<Result<(), String>> {
    let head = target
        .ask("GET", "/bucket/big")
        .head(target.address, &now())
        .0;
    let address = target.address;
    thread::spawn(move || {
        let mut stream = TcpStream::connect(address).map_err(|e| e.to_string())?;
        stream
            .write_all(head.as_bytes())
            .map_err(|e| e.to_string())?;
        let mut got = 0;
        while !freed.load(Ordering::Relaxed) {
            thread::sleep(DRIP);
            if then == Then::Trickle {
                got += stream.read(&mut [0]).unwrap_or(0) as u64;
            }
        }
        let patience = Some(Duration::from_secs(10));
        stream
            .set_read_timeout(patience)
            .map_err(|e| e.to_string())?;
        let mut piece = vec![0; 1 << 20];
        while let Ok(read @ 1..) = stream.read(&mut piece) {
            got += read as u64;
        }
        let _ = stream.shutdown(Shutdown::Both);
        match got < BIG {
            true => Ok(()),
            false => Err("who reads nothing was sent everything".to_owned()),
        }
    })
}

/// Reads a small object over and over until the others are gone.
fn serve_honest(target: &Target, freed: Arc<AtomicBool>) -> JoinHandle<Result<(), String>> {
    let ask = target.ask("GET", "/bucket/here");
    let address: SocketAddr = target.address;
    thread::spawn(move || {
        while !freed.load(Ordering::Relaxed) {
            let began = Instant::now();
            let head = ask.head(address, &now()).0;
            let mut stream = TcpStream::connect(address).map_err(|e| e.to_string())?;
            let mut got = Vec::new();
            let patience = Some(SERVED_WITHIN);
            stream
                .set_read_timeout(patience)
                .map_err(|e| e.to_string())?;
            stream
                .write_all(head.as_bytes())
                .map_err(|e| e.to_string())?;
            let read = stream.read_to_end(&mut got);
            if read.is_err() || !got.ends_with(b"0123456789") || began.elapsed() > SERVED_WITHIN {
                let took = began.elapsed();
                return Err(format!(
                    "an honest client got {:?} after {took:?}",
                    answer(&got)
                ));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    })
}

fn told(client: JoinHandle<Result<(), String>>) -> Option<String> {
    client.join().expect("no panic").err()
}
