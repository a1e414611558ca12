//! The shard service over the wire: who is let in, what is bounded, and what becomes of what breaks off.

use crate::face::{GATEWAY, Office, Way};
use crate::scrubs::FakeScrubs;
use crate::world::{CLUSTER, DISK, NODE, node, read_all, run, shard, stamped};
use bytes::Bytes;
use ca::{Authority, Credentials, Identity, Role};
use disk::sim::SimDisk;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use rpc::bulk::{BulkLimits, PoolLimits};
use rpc::{AddressBook, Addresses, Stream};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use strongroom_storage_node::{Limits, ServeLimits, ShardServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use types::block::FRAMED_BLOCK;
use types::shard::ChunkDescription;
use types::wire::ShardStore;
use types::wire::shards::{self, LONGEST_PUT, LONGEST_SHARD, MOST_BLOCKS, Resource};
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::{ByteCount, ClusterId, DiskId, NodeId, ShardKey};

const SOON: Duration = Duration::from_secs(20);

/// Answers reads with as much as was asked for, and puts once it is told to.
pub(crate) struct Fake {
    under_way: AtomicUsize,
    pub(crate) answers: Semaphore,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            under_way: AtomicUsize::new(0),
            answers: Semaphore::new(0),
        })
    }

    pub(crate) async fn under_way(&self, count: usize) {
        eventually(|| self.under_way.load(Ordering::SeqCst) == count).await;
    }
}

pub(crate) async fn eventually(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.expect("soon");
}

/// What a fake disk holds: it differs from block to block.
fn content(first: u32, blocks: u32) -> Bytes {
    let of_block = |block: u32| vec![u8::try_from(block % 251).unwrap(); FRAMED_BLOCK];
    (first..first + blocks).flat_map(of_block).collect()
}

impl ShardStore for Fake {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        async move {
            self.under_way.fetch_add(1, Ordering::SeqCst);
            self.answers.acquire().await.unwrap().forget();
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            // As long as it is being stored, it is held.
            drop(request);
            Ok(())
        }
        .boxed()
    }

    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        std::future::ready(Ok(content(request.first_block, request.blocks))).boxed()
    }

    fn describe(
        &self,
        _: DiskId,
        key: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        std::future::ready(Err(ReadError::Missing { key })).boxed()
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        std::future::ready(Vec::new()).boxed()
    }
}

/// Asks for blocks of a fake disk's shard.
pub(crate) fn blocks(first_block: u32, blocks: u32) -> ReadShard {
    ReadShard {
        disk: DISK,
        key: shard(DISK, 1, 1, 0).key,
        first_block,
        blocks,
    }
}

/// Counts connections.
struct Counted {
    book: AddressBook,
    connections: AtomicUsize,
}

impl Addresses for Counted {
    fn of(&self, node: NodeId) -> Option<SocketAddr> {
        self.book.of(node)
    }

    fn connect(&self, node: NodeId) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        self.connections.fetch_add(1, Ordering::SeqCst);
        self.book.connect(node)
    }
}

/// A connection that says what it likes.
async fn raw(server: &ShardServer, tls: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    // Said once, it stays so small: the kernel would let it grow until an answer that nobody reads is in it.
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(16 << 10)?;
    let socket = socket.connect(server.address()).await?;
    socket.set_nodelay(true)?;
    let name = Identity::server(CLUSTER, Role::Storage, NODE).server_name();
    TlsConnector::from(Arc::new(tls))
        .connect(name, socket)
        .await
}

/// The head of the next answer, and its status.
async fn status(stream: &mut TlsStream<TcpStream>) -> io::Result<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let text = String::from_utf8(head).expect("a head is text");
    Ok(text[9..12].parse().expect("a status"))
}

pub(crate) async fn say(
    server: &ShardServer,
    tls: ClientConfig,
    request: &[u8],
) -> io::Result<u16> {
    let mut stream = raw(server, tls).await?;
    stream.write_all(request).await?;
    status(&mut stream).await
}

/// A PUT as bytes, with any length said.
fn put_bytes(put: &PutShard, said: usize) -> Vec<u8> {
    let path = Resource::Shard(put.disk, put.key).path();
    let head = format!("PUT {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {said}\r\n\r\n");
    [head.as_bytes(), &shards::preamble(put), &put.payload].concat()
}

pub(crate) fn body_length(put: &PutShard) -> usize {
    shards::preamble(put).len() + put.payload.len()
}

fn operator(office: &Office) -> Credentials {
    let issued = office
        .authority()
        .client_files(&Identity::operator(CLUSTER))
        .unwrap();
    let certificate = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    Credentials::new(office.authority().certificate(), vec![certificate], key).unwrap()
}

/// Gateways add, read and have disks scrubbed, other nodes read, nobody else is let in.
/// Method: a table of certificates and requests.
#[test]
fn certificates_open_what_they_should() {
    run(async {
        let office = Office::new();
        let fake = Fake::new();
        fake.answers.add_permits(100);
        let scrubs = FakeScrubs::of(&[DISK]);
        let server = office.serve_with_scrubs(NODE, fake, scrubs).await;
        let put = shard(DISK, 1, 100, 0);
        let put = put_bytes(&put, body_length(&put));
        let get = format!(
            "GET {} HTTP/1.1\r\nhost: a\r\n\r\n",
            shards::read_target(&blocks(0, 1))
        );
        let scrub = "GET /scrub HTTP/1.1\r\nhost: a\r\n\r\n";
        let begin = "POST /scrub HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
        let requests = [&put[..], get.as_bytes(), scrub.as_bytes(), begin.as_bytes()];
        let other = Authority::load(&Authority::make().unwrap()).unwrap();
        let theirs = Identity::server(CLUSTER, Role::Gateway, GATEWAY);
        let theirs = other.credentials(&theirs, &[]).unwrap();
        let theirs = theirs.trusting(office.authority().certificate()).unwrap();
        let of = |role| office.of(CLUSTER, role, NodeId::new(8)).client().unwrap();
        let elsewhere = office.of(ClusterId::new([1; 16]), Role::Gateway, GATEWAY);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(office.authority().certificate().clone()).unwrap();
        let nobody = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let cases = [
            ("a gateway", of(Role::Gateway), [200; 4]),
            ("a storage node", of(Role::Storage), [403, 200, 403, 403]),
            ("a metadata server", of(Role::Metadata), [0; 4]),
            ("the operator", operator(&office).client().unwrap(), [0; 4]),
            ("another authority's", theirs.client().unwrap(), [0; 4]),
            ("another cluster's", elsewhere.client().unwrap(), [0; 4]),
            ("nobody", nobody, [0; 4]),
        ];
        for (who, tls, expected) in cases {
            for (request, expected) in requests.into_iter().zip(expected) {
                let answered = say(&server, tls.clone(), request).await;
                assert_eq!(
                    *answered.as_ref().unwrap_or(&0),
                    expected,
                    "{who}: {answered:?}"
                );
            }
        }
        server.shutdown().await;
    });
}

/// What is no request of the service is told so, and nothing is carried out.
#[test]
fn other_requests_are_refused() {
    run(async {
        let office = Office::new();
        let fake = Fake::new();
        fake.answers.add_permits(100);
        let server = office.serve(fake, ServeLimits::default()).await;
        let tls = office.gateway().client().unwrap();
        let put = shard(DISK, 1, 100, 0);
        let path = Resource::Shard(DISK, put.key).path();
        for (expected, request) in [
            (404, "GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()),
            (404, format!("GET {path}/ HTTP/1.1\r\nhost: a\r\n\r\n")),
            (400, format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")),
            (
                400,
                format!("GET {path}?first=0 HTTP/1.1\r\nhost: a\r\n\r\n"),
            ),
            (405, format!("DELETE {path} HTTP/1.1\r\nhost: a\r\n\r\n")),
            (
                405,
                format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"),
            ),
            (404, "GET /scrub HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()),
            (
                405,
                "PUT /disks HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n".to_owned(),
            ),
            (
                400,
                format!("PUT {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"),
            ),
            (
                400,
                format!(
                    "PUT {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n\0\0\0\x01\x02"
                ),
            ),
            (
                411,
                format!(
                    "PUT {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
                ),
            ),
            (
                413,
                format!(
                    "PUT {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
                    LONGEST_PUT + 1
                ),
            ),
        ] {
            let answered = say(&server, tls.clone(), request.as_bytes()).await;
            assert_eq!(answered.unwrap(), expected, "{request}");
        }
        server.shutdown().await;
    });
}

/// A body that is longer or shorter than the request says stores nothing.
#[test]
fn lengths_must_be_true() {
    run(async {
        let disk = stamped(1).await;
        let face = Way::Wire.to(node(&disk, Limits::default()).await).await;
        let office = Office::new();
        let server = office.serve(face.shards(), ServeLimits::default()).await;
        let tls = office.gateway().client().unwrap();
        let put = shard(DISK, 1, 70_000, 0);
        let key = put.key;
        let length = body_length(&put);
        // Of a longer body, what is too much is taken for the next request, and is none.
        let mut stream = raw(&server, tls.clone()).await.unwrap();
        stream
            .write_all(&put_bytes(&put, length - 1))
            .await
            .unwrap();
        assert_eq!(status(&mut stream).await.unwrap(), 422);
        assert_eq!(
            read_all(&*face, &put).await,
            Err(ReadError::Missing { key })
        );
        // A shorter one never ends; its sender does.
        let mut stream = raw(&server, tls.clone()).await.unwrap();
        stream
            .write_all(&put_bytes(&put, length + 1))
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
        assert_ne!(status(&mut stream).await.unwrap_or(0), 200);
        assert_eq!(
            read_all(&*face, &put).await,
            Err(ReadError::Missing { key })
        );
        assert_eq!(
            say(&server, tls, &put_bytes(&put, length)).await.unwrap(),
            200
        );
        assert!(read_all(&*face, &put).await.unwrap() == put.payload);
        server.shutdown().await;
        face.shutdown().await;
    });
}

/// A put whose connection is cut stores the whole shard or nothing, and can be sent again.
/// Method: cut behind each of many lengths.
#[test]
fn a_put_that_is_cut_is_whole_or_absent() {
    run(async {
        let disk = stamped(1).await;
        let face = Way::Wire.to(node(&disk, Limits::default()).await).await;
        let office = Office::new();
        let server = office.serve(face.shards(), ServeLimits::default()).await;
        let tls = office.gateway().client().unwrap();
        let length = put_bytes(&shard(DISK, 0, 200_000, 0), 0).len();
        for (chunk, cut) in (0..).zip((0..length).step_by(9973).chain([length])) {
            let put = shard(DISK, chunk, 200_000, 0);
            let bytes = put_bytes(&put, body_length(&put));
            let mut stream = raw(&server, tls.clone()).await.unwrap();
            stream
                .write_all(&bytes[..cut.min(bytes.len())])
                .await
                .unwrap();
            stream.flush().await.unwrap();
            drop(stream);
            match read_all(&*face, &put).await {
                Ok(stored) => assert!(stored == put.payload && cut >= bytes.len()),
                Err(error) => assert_eq!(error, ReadError::Missing { key: put.key }),
            }
            assert_eq!(face.put(put.clone()).await, Ok(()));
            assert!(read_all(&*face, &put).await.unwrap() == put.payload);
        }
        server.shutdown().await;
        face.shutdown().await;
    });
}

pub(crate) fn short() -> ServeLimits {
    ServeLimits {
        sent: ByteCount::new(LONGEST_SHARD as u64 + 4096),
        received: ByteCount::new(3 << 20),
        bulk: BulkLimits {
            idle: Duration::from_millis(500),
            drain: Duration::from_millis(500),
            ..BulkLimits::default()
        },
    }
}

/// A reader that does not read holds the memory of its answer, and nothing of the disk; it is given up, and then
/// others are served.
/// Method: one answer's worth of memory.
#[test]
fn a_slow_reader_holds_memory_and_no_disk() {
    run(async {
        let office = Office::new();
        let disk = stamped(1).await;
        let face = Way::Direct.to(node(&disk, Limits::default()).await).await;
        let fake = Fake::new();
        let server = office.serve(Arc::clone(&fake) as _, short()).await;
        let caller = office.caller(&office.gateway(), &server, PoolLimits::default());
        let mut stuck = raw(&server, office.gateway().client().unwrap())
            .await
            .unwrap();
        let target = shards::read_target(&blocks(0, MOST_BLOCKS));
        let get = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        stuck.write_all(get.as_bytes()).await.unwrap();
        // Its answer has begun, so the disk has done its part.
        assert_eq!(status(&mut stuck).await.unwrap(), 200);
        let busy = caller.read(blocks(0, MOST_BLOCKS)).await;
        assert_eq!(busy, Err(ReadError::Busy { disk: DISK }));
        let waiting = async {
            while caller.read(blocks(0, MOST_BLOCKS)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, waiting)
            .await
            .expect("it is given up");
        let mut rest = Vec::new();
        let cut = stuck.read_to_end(&mut rest).await;
        assert!(cut.is_err() || rest.len() < LONGEST_SHARD, "{}", rest.len());
        server.shutdown().await;
        face.shutdown().await;
    });
}

/// When memory for bodies is used up, a put is told so, and its connection serves on.
#[test]
fn too_many_puts_are_told_so() {
    run(async {
        let office = Office::new();
        let fake = Fake::new();
        let server = office.serve(Arc::clone(&fake) as _, short()).await;
        let book = AddressBook::default();
        book.set(NODE, server.address());
        let counted = Arc::new(Counted {
            book,
            connections: AtomicUsize::new(0),
        });
        let gateway = office.gateway();
        let addresses = Arc::clone(&counted) as Arc<dyn Addresses>;
        let caller =
            client::RemoteNode::new(&gateway, CLUSTER, NODE, addresses, PoolLimits::default());
        let caller = caller.unwrap();
        let put = |chunk| caller.put(shard(DISK, chunk, 1 << 20, 0));
        let (first, second) = (put(1), put(2));
        let others = async {
            fake.under_way(2).await;
            for chunk in 3..6 {
                assert_eq!(put(chunk).await, Err(PutError::Busy { disk: DISK }));
            }
            assert_eq!(counted.connections.load(Ordering::SeqCst), 3);
            fake.answers.add_permits(3);
        };
        let (first, second, ()) = futures::join!(first, second, others);
        assert_eq!((first, second), (Ok(()), Ok(())));
        assert_eq!(put(7).await, Ok(()));
        server.shutdown().await;
    });
}

/// So many connections are served, and others wait until one of them ends.
#[test]
fn connections_are_counted() {
    run(async {
        let office = Office::new();
        let bulk = BulkLimits {
            connections: 2,
            ..BulkLimits::default()
        };
        let limits = ServeLimits {
            bulk,
            ..ServeLimits::default()
        };
        let server = office.serve(Fake::new(), limits).await;
        let tls = || office.gateway().client().unwrap();
        let first = raw(&server, tls()).await.unwrap();
        let _second = raw(&server, tls()).await.unwrap();
        let mut third = Box::pin(raw(&server, tls()));
        let early = tokio::time::timeout(Duration::from_millis(200), &mut third).await;
        assert!(early.is_err(), "it waits");
        drop(first);
        let served = tokio::time::timeout(SOON, third).await.expect("soon");
        drop(served.unwrap());
        server.shutdown().await;
    });
}

/// A caller uses few connections, and finds a server again that was away.
#[test]
fn connections_are_used_again() {
    run(async {
        let office = Office::new();
        let server = office.serve(Fake::new(), short()).await;
        let book = AddressBook::default();
        book.set(NODE, server.address());
        let counted = Arc::new(Counted {
            book: book.clone(),
            connections: AtomicUsize::new(0),
        });
        let addresses = Arc::clone(&counted) as Arc<dyn Addresses>;
        let gateway = office.gateway();
        let caller =
            client::RemoteNode::new(&gateway, CLUSTER, NODE, addresses, PoolLimits::default());
        let caller = caller.unwrap();
        for first in 0..20 {
            assert!(caller.read(blocks(first, 2)).await.unwrap() == content(first, 2));
        }
        assert_eq!(counted.connections.load(Ordering::SeqCst), 1);
        let many = (0..50).map(|first| caller.read(blocks(first, 2)));
        assert!(join_all(many).await.iter().all(Result::is_ok));
        server.shutdown().await;
        let away = caller.read(blocks(0, 1)).await;
        assert_eq!(away, Err(ReadError::DiskUnavailable { disk: DISK }));
        let put = caller.put(shard(DISK, 1, 1, 0)).await;
        assert_eq!(put, Err(PutError::DiskUnavailable { disk: DISK }));
        let again = office.serve(Fake::new(), short()).await;
        book.set(NODE, again.address());
        assert!(caller.read(blocks(3, 2)).await.unwrap() == content(3, 2));
        again.shutdown().await;
    });
}

/// A call that is given up leaves no half answer for the next one.
/// Method: give up reads of megabytes after any time, and read something else.
#[test]
fn a_call_that_is_given_up_takes_its_connection_along() {
    run(async {
        let office = Office::new();
        let server = office.serve(Fake::new(), ServeLimits::default()).await;
        let caller = office.caller(&office.gateway(), &server, PoolLimits::default());
        let mut given_up = 0;
        for round in 0..60 {
            let patience = Duration::from_micros(100 * round);
            let read = caller.read(blocks(0, MOST_BLOCKS));
            given_up += usize::from(tokio::time::timeout(patience, read).await.is_err());
            let first = u32::try_from(round).unwrap();
            assert!(caller.read(blocks(first, 2)).await.unwrap() == content(first, 2));
        }
        assert!(given_up > 5, "{given_up}");
        server.shutdown().await;
    });
}

/// A stop lets what is under way finish; what does not in time is cut, and its caller knows that nobody knows.
#[test]
fn a_stop_drains() {
    run(async {
        for (finishes, expected) in [
            (true, Ok(())),
            (false, Err(PutError::Unanswered { disk: DISK })),
        ] {
            let office = Office::new();
            let fake = Fake::new();
            let server = office.serve(Arc::clone(&fake) as _, short()).await;
            let caller = office.caller(&office.gateway(), &server, PoolLimits::default());
            let put = caller.put(shard(DISK, 1, 100, 0));
            let stop = async {
                fake.under_way(1).await;
                let stopping = server.shutdown();
                let finish = async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    if finishes {
                        fake.answers.add_permits(1);
                    }
                };
                futures::join!(stopping, finish);
            };
            let (answer, ()) = futures::join!(put, stop);
            assert_eq!(answer, expected);
        }
    });
}

/// A disk that fails is told over the wire as it is told directly.
#[test]
fn failures_are_told_alike() {
    for way in Way::BOTH {
        run(async {
            let disk = stamped(1).await;
            let face = way.to(node(&disk, Limits::default()).await).await;
            let put = shard(DISK, 1, 70_000, 0);
            let key = put.key;
            face.put(put.clone()).await.unwrap();
            assert_eq!(
                face.describe(DISK, key).await,
                Ok(put.chunk.clone()),
                "{way:?}"
            );
            let missing = shard(DISK, 2, 1, 0).key;
            let described = face.describe(DISK, missing).await;
            assert_eq!(described, Err(ReadError::Missing { key: missing }));
            flip(&disk, &put);
            let read = read_all(&*face, &put).await;
            assert_eq!(read, Err(ReadError::Corrupt { key, block: 1 }));
            face.shutdown().await;
        });
    }
}

/// Flips a bit in the second block of a shard.
fn flip(disk: &SimDisk, put: &PutShard) {
    let name = strongroom_storage_node::volume::VolumeId(1).file_name();
    let content = disk.content(&name).expect("the first volume");
    let found = content
        .windows(64)
        .position(|bytes| *bytes == put.payload[..64]);
    let at = found.expect("it is stored") + FRAMED_BLOCK + 10;
    disk.flip(&name, types::ByteOffset::new(at as u64), 1);
}
