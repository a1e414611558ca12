//! The server's end of bulk: connections in, bounded in number and in time, and their orderly end.

use super::HTTP_1_1;
use crate::book::Stream;
use crate::listener::{ACCEPT_PAUSE, Door, Service, accept, shake};
use crate::pace::Pace;
use crate::stall::Moving;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use types::ByteCount;

/// How much and how long. Defaults are right for production.
#[derive(Clone, Debug)]
pub struct BulkLimits {
    /// Open connections; further ones wait in the kernel's backlog. Each has one request under way at most.
    pub connections: usize,
    /// A request's head must be complete within this; a connection that is idle for so long is closed.
    pub head: Duration,
    /// Every `least` bytes of a body, in either direction, may be waited for so long, all waits together.
    pub idle: Duration,
    /// See `idle`.
    pub least: ByteCount,
    /// Requests under way when it closes may finish within this.
    pub drain: Duration,
}

impl Default for BulkLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            head: Duration::from_secs(60),
            idle: Duration::from_secs(10),
            least: ByteCount::new(64 << 10),
            drain: Duration::from_secs(20),
        }
    }
}

impl BulkLimits {
    /// What a request's body must keep.
    pub fn pace(&self) -> Pace {
        Pace::new(self.idle, self.least)
    }
}

/// A socket on which bulk is listened for. Dropped, it closes with every connection.
pub struct BulkListener {
    address: SocketAddr,
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
}

impl BulkListener {
    /// Listens.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn bind(
        address: SocketAddr,
        tls: rustls::ServerConfig,
        service: Arc<dyn Service>,
        limits: BulkLimits,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self::open(socket, address, tls, service, limits))
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
        limits: BulkLimits,
    ) -> Self {
        tls.alpn_protocols = vec![HTTP_1_1.to_vec()];
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = watch::channel(false);
        let serving = Serving {
            tls: TlsAcceptor::from(Arc::new(tls)),
            service,
            limits,
            graceful: GracefulShutdown::new(),
            connections: JoinSet::new(),
        };
        let task = tokio::spawn(async move {
            serving.run(door, stopped).await;
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

    /// Takes no new requests, lets those under way finish within the drain time, cuts the rest, and returns when
    /// no task is left.
    pub async fn close(&self) {
        self.stop.send_replace(true);
        // An error says that the task is gone, too.
        drop(self.ended.clone().wait_for(|ended| *ended).await);
    }
}

impl Drop for BulkListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Serving {
    tls: TlsAcceptor,
    service: Arc<dyn Service>,
    limits: BulkLimits,
    graceful: GracefulShutdown,
    connections: JoinSet<()>,
}

impl Serving {
    async fn run(mut self, door: impl Door, mut stopped: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(self.limits.connections));
        loop {
            let accepted = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => break,
                Some(ended) = self.connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection's task failed");
                    }
                    continue;
                }
                accepted = accept(&door, &places) => accepted,
            };
            match accepted {
                Ok((stream, place)) => {
                    let spoken = speak(
                        stream,
                        self.tls.clone(),
                        Arc::clone(&self.service),
                        self.limits.clone(),
                        self.graceful.watcher(),
                        stopped.clone(),
                    );
                    self.connections.spawn(async move {
                        if let Err(error) = spoken.await {
                            tracing::debug!(%error, "a connection for bulk broke");
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
        drop(door);
        let drained = tokio::time::timeout(self.limits.drain, self.graceful.shutdown());
        if drained.await.is_err() {
            let cut = self.connections.len();
            tracing::warn!(cut, "the drain time is over");
        }
        self.connections.shutdown().await;
    }
}

async fn speak(
    stream: Box<dyn Stream>,
    tls: TlsAcceptor,
    service: Arc<dyn Service>,
    limits: BulkLimits,
    watcher: Watcher,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let (stream, caller) = tokio::select! {
        shaken = shake(&tls, stream) => shaken?,
        // No request is under way yet, and a silent peer must not hold up a stop.
        _ = stopped.wait_for(|stop| *stop) => return Ok(()),
    };
    let handle = service_fn(move |request| {
        let answered = Arc::clone(&service).handle(caller, request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let io = TokioIo::new(Moving::new(stream, limits.pace()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(io, handle);
    watcher.watch(connection).await.map_err(io::Error::other)
}
