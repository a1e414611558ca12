//! The server's end: connections in, bounded in number; calls handed to a [`Service`].

use crate::book::Stream;
use crate::{ALIVE_EVERY, ALIVE_WITHIN, CONNECTION_WINDOW, STREAM_WINDOW};
use bytes::Bytes;
use ca::{H2, Identity};
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Connections at once: a few from every server of a cluster.
const CONNECTIONS: usize = 1024;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long to wait after accepting failed, which is when descriptors have run out.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A call: its path, and a body to be read.
pub type Request = hyper::Request<Incoming>;

/// What a call is answered with.
pub type Answer = Response<Full<Bytes>>;

/// An answer of a status and bytes.
pub fn answer(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
}

/// Answers calls.
pub trait Service: Send + Sync + 'static {
    /// Answers one, dropped when the caller has given up.
    fn handle(self: Arc<Self>, caller: Identity, request: Request) -> BoxFuture<'static, Answer>;
}

/// A request's whole body, unless it is longer than `limit` or breaks off.
pub async fn collect(body: Incoming, limit: usize) -> Option<Bytes> {
    let body = Limited::new(body, limit).collect().await;
    body.ok().map(http_body_util::Collected::to_bytes)
}

/// Where connections arrive.
pub trait Door: Send + Sync + 'static {
    /// The next one. Dropped while it waits, it takes none.
    fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;
}

impl Door for TcpListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        async move {
            let (stream, _) = TcpListener::accept(self).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        }
        .boxed()
    }
}

/// A socket that is listened on. Dropped, it closes with every connection.
pub struct Listener {
    address: SocketAddr,
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
}

impl Listener {
    /// Listens.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn bind(
        address: SocketAddr,
        tls: rustls::ServerConfig,
        service: Arc<dyn Service>,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self::open(socket, address, tls, service))
    }

    /// Takes what arrives at a door, which is known by this address.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(
        door: impl Door,
        address: SocketAddr,
        mut tls: rustls::ServerConfig,
        service: Arc<dyn Service>,
    ) -> Self {
        tls.alpn_protocols = vec![H2.to_vec()];
        let tls = TlsAcceptor::from(Arc::new(tls));
        let (stop, mut stopped) = watch::channel(false);
        let (end, ended) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            tokio::select! {
                () = serve(&door, &tls, &service, &mut connections) => {}
                _ = stopped.wait_for(|stop| *stop) => {}
            }
            drop(door);
            connections.shutdown().await;
            end.send_replace(true);
        });
        Self {
            address,
            task,
            stop,
            ended,
        }
    }

    /// Where, port chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes it with all connections, and returns when no task is left.
    pub async fn close(&self) {
        self.stop.send_replace(true);
        // An error says that the task is gone, too.
        drop(self.ended.clone().wait_for(|ended| *ended).await);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    door: &impl Door,
    tls: &TlsAcceptor,
    service: &Arc<dyn Service>,
    connections: &mut JoinSet<()>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task failed");
                }
                continue;
            }
            accepted = accept(door, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let (tls, service) = (tls.clone(), Arc::clone(service));
                connections.spawn(async move {
                    if let Err(error) = speak(stream, tls, service).await {
                        tracing::debug!(%error, "a connection of a server broke");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

pub(crate) async fn accept(
    door: &impl Door,
    places: &Arc<Semaphore>,
) -> io::Result<(Box<dyn Stream>, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    Ok((door.accept().await?, place))
}

/// Greets a peer, and finds out who it is.
pub(crate) async fn shake(
    tls: &TlsAcceptor,
    stream: Box<dyn Stream>,
) -> io::Result<(TlsStream<Box<dyn Stream>>, Identity)> {
    let shaken = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await;
    let stream = shaken.map_err(|_| io::Error::other("the TLS handshake takes too long"))??;
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let certificate = certificate.ok_or_else(|| io::Error::other("it showed no certificate"))?;
    let caller = Identity::of(certificate).map_err(io::Error::other)?;
    Ok((stream, caller))
}

async fn speak(
    stream: Box<dyn Stream>,
    tls: TlsAcceptor,
    service: Arc<dyn Service>,
) -> io::Result<()> {
    let (stream, caller) = shake(&tls, stream).await?;
    let handle = service_fn(move |request| {
        let answered = Arc::clone(&service).handle(caller, request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(ALIVE_EVERY)
        .keep_alive_timeout(ALIVE_WITHIN)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .serve_connection(TokioIo::new(stream), handle)
        .await
        .map_err(io::Error::other)
}
