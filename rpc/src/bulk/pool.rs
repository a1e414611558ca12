//! The caller's end of bulk: connections to one server, each used by one call at a time and then again.
//!
//! ```text
//! call: idle connection, else a new one -> request -> answer read to its end -> idle
//!         `- it broke before an answer began, and had been used before: once more, on a new one
//! ```
//!
//! A server may close a connection that was idle just when it is used again; so what is called here must do no
//! harm when it is carried out twice. A call that is given up takes its connection with it: half an answer is
//! never left for the next one to read.

use super::HTTP_1_1;
use super::gather::{self, GatherError};
use crate::book::Addresses;
use crate::channel::{CallError, told};
use bytes::Bytes;
use ca::{Credentials, Identity};
use http_body::{Body, Frame, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// How much and how long. Defaults are right for production.
#[derive(Clone, Debug)]
pub struct PoolLimits {
    /// Calls at once, each on a connection of its own; further ones wait for one of them.
    pub connections: usize,
    /// How long connecting may take, TLS and all.
    pub connect: Duration,
    /// How long a call may take once it is connected: longer than those who call have patience.
    pub answer: Duration,
    /// A connection that was idle for so long is not used again: less than what a server waits for.
    pub idle: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            connections: 128,
            connect: Duration::from_secs(3),
            answer: Duration::from_secs(20),
            idle: Duration::from_secs(30),
        }
    }
}

/// The ways to one server. Dropped, its connections close.
pub struct Pool {
    peer: Identity,
    tls: TlsConnector,
    addresses: Arc<dyn Addresses>,
    limits: PoolLimits,
    places: Semaphore,
    idle: Mutex<Vec<(Connection, Instant)>>,
}

/// What a call sends: a body in pieces, which are not joined.
#[derive(Clone, Debug)]
pub struct Sent {
    /// What for.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The body.
    pub body: Vec<Bytes>,
}

impl Sent {
    /// A request without a body.
    pub fn get(target: String) -> Self {
        Self {
            method: Method::GET,
            target,
            body: Vec::new(),
        }
    }
}

/// How an attempt on a connection failed.
enum Failed {
    /// Nothing was sent.
    Unsent(String),
    /// Before an answer began.
    Unanswered(String),
    /// Later.
    Broken(String),
}

impl Pool {
    /// A pool of connections to `peer`, which proves to be that very server. Nothing is connected yet.
    ///
    /// # Errors
    /// When the credentials cannot be used.
    pub fn new(
        credentials: &Credentials,
        peer: Identity,
        addresses: Arc<dyn Addresses>,
        limits: PoolLimits,
    ) -> Result<Self, rustls::Error> {
        let mut tls = credentials.client()?;
        tls.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Self {
            peer,
            tls: TlsConnector::from(Arc::new(tls)),
            addresses,
            places: Semaphore::new(limits.connections),
            limits,
            idle: Mutex::default(),
        })
    }

    /// Whom it leads to.
    pub fn peer(&self) -> Identity {
        self.peer
    }

    /// Calls what does no harm twice; the answer's body has at most `longest` bytes. Dropped before its end, the
    /// call is given up at the other end too.
    ///
    /// # Errors
    /// When there is no answer. Whatever the server answers is an answer.
    pub async fn call(
        &self,
        request: &Sent,
        longest: usize,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let peer = self.peer;
        let broken = |why: String| CallError::Broken {
            peer,
            why: why.into(),
        };
        let _place = self.places.acquire().await.expect("never closed");
        let not_sent = |why: String| CallError::NotSent {
            peer,
            why: why.into(),
        };
        let exchange = async {
            // Whether an earlier attempt may have been carried out.
            let mut unknown = false;
            if let Some(connection) = self.idle() {
                match self.exchange(connection, request, longest).await {
                    Ok(answer) => return Ok(answer),
                    Err(Failed::Broken(why)) => return Err(broken(why)),
                    // It may have been closed since it was used last.
                    Err(Failed::Unanswered(_)) => unknown = true,
                    Err(Failed::Unsent(_)) => {}
                }
            }
            let told = |why: String| if unknown { broken(why) } else { not_sent(why) };
            let connection = self.connect().await.map_err(told)?;
            let answered = self.exchange(connection, request, longest).await;
            answered.map_err(|failed| match failed {
                Failed::Unsent(why) => told(why),
                Failed::Unanswered(why) | Failed::Broken(why) => broken(why),
            })
        };
        let within = self.limits.connect + self.limits.answer;
        let answered = timeout(within, exchange).await;
        answered.unwrap_or_else(|_| Err(broken("no answer in time".to_owned())))
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        request: &Sent,
        longest: usize,
    ) -> Result<(StatusCode, Bytes), Failed> {
        let name = self.peer.server_name();
        let head = Request::builder()
            .method(&request.method)
            .uri(&request.target)
            .header(HOST, &*name.to_str());
        let request = head.body(Pieces(request.body.iter().cloned().collect()));
        let request = request.map_err(|error| Failed::Broken(error.to_string()))?;
        let ready = connection.sender.ready().await;
        ready.map_err(|error| Failed::Unsent(told(&error)))?;
        let response = connection.sender.send_request(request).await;
        let response = response.map_err(|error| match error.is_canceled() {
            true => Failed::Unsent(told(&error)),
            false => Failed::Unanswered(told(&error)),
        })?;
        let status = response.status();
        let body = gather::gather(response.into_body(), longest, None).await;
        let body = body.map_err(|error: GatherError| Failed::Broken(told(&error)))?;
        self.put_back(connection);
        Ok((status, body))
    }

    /// A connection that was used before: the one used last, so that what is not needed grows old.
    fn idle(&self) -> Option<Connection> {
        let mut idle = self.lock();
        while let Some((connection, since)) = idle.pop() {
            if since.elapsed() < self.limits.idle && !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    fn put_back(&self, connection: Connection) {
        let mut idle = self.lock();
        let too_old = |since: &Instant| since.elapsed() >= self.limits.idle;
        idle.retain(|(_, since)| !too_old(since));
        idle.push((connection, Instant::now()));
    }

    /// A new connection, or why there is none.
    async fn connect(&self) -> Result<Connection, String> {
        let peer = self.peer;
        let node = peer.node.unwrap_or_else(|| types::NodeId::new(0));
        let connect = async {
            let socket = self.addresses.connect(node).await?;
            let stream = self.tls.connect(peer.server_name(), socket).await?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(io::Error::other)?;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(error = told(&error), "a connection for bulk ended");
                }
            });
            Ok::<_, io::Error>(Connection { sender, task })
        };
        match timeout(self.limits.connect, connect).await {
            Ok(connected) => connected.map_err(|error| told(&error)),
            Err(_) => Err("connecting takes too long".to_owned()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection. Dropped, it closes at once.
struct Connection {
    sender: SendRequest<Pieces>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A body of pieces that are all there.
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.pop_front();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let bytes: usize = self.0.iter().map(Bytes::len).sum();
        SizeHint::with_exact(bytes as u64)
    }
}
