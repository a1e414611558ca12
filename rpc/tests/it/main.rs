//! Calls over real sockets.

use bytes::Bytes;
use ca::{Authority, Credentials, Identity, Role};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use strongroom_rpc::{
    AddressBook, Addresses, Answer, CallError, Channel, Listener, PartError, PartReader, Request,
    Service, StatusCode, answer, collect, empty, streamed, whole,
};
use types::{ClusterId, NodeId};

const CLUSTER: ClusterId = ClusterId::new([9; 16]);
const SERVER: NodeId = NodeId::new(4);

/// Echoes, gathers parts, or never answers.
#[derive(Default)]
struct Echo {
    calls: AtomicUsize,
}

impl Service for Echo {
    fn handle(self: Arc<Self>, caller: Identity, request: Request) -> BoxFuture<'static, Answer> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        async move {
            let path = request.uri().path().to_owned();
            match path.as_str() {
                "/echo" => match collect(request.into_body(), 1000).await {
                    Some(bytes) => answer(StatusCode::OK, bytes),
                    None => answer(StatusCode::PAYLOAD_TOO_LARGE, ""),
                },
                "/who" => answer(StatusCode::OK, caller.uri()),
                "/parts" => {
                    let mut parts = PartReader::new(request.into_body(), 1 << 20);
                    let mut gathered = Vec::new();
                    loop {
                        match parts.next().await {
                            Ok(Some(part)) => gathered.extend_from_slice(&part),
                            Ok(None) => return answer(StatusCode::OK, gathered),
                            Err(PartError::TooLong(_)) => {
                                return answer(StatusCode::PAYLOAD_TOO_LARGE, "");
                            }
                            Err(_) => return answer(StatusCode::BAD_REQUEST, ""),
                        }
                    }
                }
                _ => std::future::pending().await,
            }
        }
        .boxed()
    }
}

struct World {
    authority: Authority,
    book: AddressBook,
    echo: Arc<Echo>,
}

impl World {
    fn new() -> Self {
        Self {
            authority: Authority::load(&Authority::make().unwrap()).unwrap(),
            book: AddressBook::default(),
            echo: Arc::default(),
        }
    }

    fn credentials(&self, role: Role, node: NodeId) -> Credentials {
        let identity = Identity::server(CLUSTER, role, node);
        self.authority.credentials(&identity, &[]).unwrap()
    }

    async fn listen(&self) -> Listener {
        let tls = self.credentials(Role::Storage, SERVER);
        let tls = tls.server(&[Role::Gateway]).unwrap();
        let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let echo = Arc::clone(&self.echo) as Arc<dyn Service>;
        let listener = Listener::bind(anywhere, tls, echo).await.unwrap();
        self.book.set(SERVER, listener.address());
        listener
    }

    fn channel(&self) -> Channel {
        let gateway = self.credentials(Role::Gateway, NodeId::new(7));
        let server = Identity::server(CLUSTER, Role::Storage, SERVER);
        let book: Arc<dyn Addresses> = Arc::new(self.book.clone());
        Channel::new(&gateway, server, book).unwrap()
    }
}

/// Calls share a connection, and a server that listens elsewhere is found again. A call that was never sent
/// is told from one that may have been carried out.
#[tokio::test]
async fn calls_are_answered_or_told_apart() {
    let world = World::new();
    let channel = world.channel();
    let unknown = channel.call("/echo", empty()).await;
    assert!(
        matches!(unknown, Err(CallError::NotSent { .. })),
        "{unknown:?}"
    );

    let listener = world.listen().await;
    let calls = (0..20_u8).map(|byte| channel.call("/echo", whole(vec![byte; 10])));
    for (byte, answered) in (0..).zip(futures::future::join_all(calls).await) {
        assert_eq!(
            answered.unwrap(),
            (StatusCode::OK, Bytes::from(vec![byte; 10]))
        );
    }
    let (_, who) = channel.call("/who", empty()).await.unwrap();
    assert_eq!(who, format!("strongroom://{CLUSTER}/gateway/7"));
    let (status, _) = channel.call("/echo", whole(vec![0; 1001])).await.unwrap();
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);

    let before = world.echo.calls.load(Ordering::Relaxed);
    let (broken, ()) = futures::join!(channel.call("/never", empty()), async {
        while world.echo.calls.load(Ordering::Relaxed) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        listener.close().await;
    });
    assert!(
        matches!(broken, Err(CallError::Broken { .. })),
        "{broken:?}"
    );
    let gone = channel.call("/echo", empty()).await;
    assert!(matches!(gone, Err(CallError::NotSent { .. })), "{gone:?}");
    let _listener = world.listen().await;
    let (status, _) = channel.call("/echo", empty()).await.unwrap();
    assert_eq!(status, StatusCode::OK);
}

/// A body that is made while it is sent arrives part by part, more than fits in any window; one that is
/// given up, or has too long a part, is not taken for whole.
#[tokio::test]
async fn streamed_bodies_are_whole_or_refused() {
    let world = World::new();
    let _listener = world.listen().await;
    let channel = world.channel();
    let part = vec![7; 700_000];
    let (parts, body) = streamed();
    let (sent, answered) = futures::join!(
        async {
            for _ in 0..30 {
                parts.send(&part).await.unwrap();
            }
            parts.finish().await
        },
        channel.call("/parts", body)
    );
    sent.unwrap();
    let (status, gathered) = answered.unwrap();
    assert_eq!((status, gathered.len()), (StatusCode::OK, 30 * part.len()));

    let (parts, body) = streamed();
    let (_, answered) = futures::join!(
        async {
            parts.send(b"the beginning").await.unwrap();
            drop(parts);
        },
        channel.call("/parts", body)
    );
    assert_eq!(answered.unwrap().0, StatusCode::BAD_REQUEST);

    let (parts, body) = streamed();
    let long = vec![0; (1 << 20) + 1];
    let (_, answered) = futures::join!(
        // Nobody may take it to its end.
        async { drop(parts.send(&long).await) },
        channel.call("/parts", body)
    );
    assert_eq!(answered.unwrap().0, StatusCode::PAYLOAD_TOO_LARGE);
}
