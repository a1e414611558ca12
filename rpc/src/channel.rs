//! The caller's end: one connection to one server, made when it is needed and again when it broke.
//!
//! ```text
//! none --call--> connecting (its own task: it goes on when a caller gives up) --> connected --broken--> none
//! ```

use crate::book::Addresses;
use crate::{ALIVE_EVERY, ALIVE_WITHIN, CONNECTION_WINDOW, STREAM_WINDOW};
use bytes::Bytes;
use ca::{Credentials, H2, Identity};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_rustls::TlsConnector;

/// How long connecting may take, TLS and all.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest answer.
const ANSWER: usize = 64 << 20;

/// What a call sends.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is all there.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body of nothing.
pub fn empty() -> Body {
    whole(Bytes::new())
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The call was not sent: nothing came of it.
    #[error("{peer} cannot be reached: {why}")]
    NotSent {
        /// Who was called.
        peer: Identity,
        /// What went wrong.
        why: Arc<str>,
    },
    /// It was sent, and may have been carried out.
    #[error("the call to {peer} broke: {why}")]
    Broken {
        /// Who was called.
        peer: Identity,
        /// What went wrong.
        why: Arc<str>,
    },
}

type Sender = SendRequest<Body>;
type Connecting = Shared<BoxFuture<'static, Result<Sender, Arc<str>>>>;

/// The way to one server. Dropped, its connection ends with the last call.
pub struct Channel {
    peer: Identity,
    tls: TlsConnector,
    addresses: Arc<dyn Addresses>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sender: Option<Sender>,
    connecting: Option<(u64, Connecting)>,
    attempts: u64,
}

impl Channel {
    /// A channel to `peer`, which proves to be that very server. Nothing is connected yet.
    ///
    /// # Errors
    /// When the credentials cannot be used.
    pub fn new(
        credentials: &Credentials,
        peer: Identity,
        addresses: Arc<dyn Addresses>,
    ) -> Result<Self, rustls::Error> {
        let mut tls = credentials.client()?;
        tls.alpn_protocols = vec![H2.to_vec()];
        Ok(Self {
            peer,
            tls: TlsConnector::from(Arc::new(tls)),
            addresses,
            state: Mutex::default(),
        })
    }

    /// Whom it leads to.
    pub fn peer(&self) -> Identity {
        self.peer
    }

    /// Calls. Dropped before its end, the call is given up at the other end too.
    ///
    /// # Errors
    /// When there is no answer. Whatever the server answers is an answer.
    pub async fn call(&self, path: &str, body: Body) -> Result<(StatusCode, Bytes), CallError> {
        let peer = self.peer;
        let not_sent = |why: Arc<str>| CallError::NotSent { peer, why };
        let broken = |why: String| CallError::Broken {
            peer,
            why: why.into(),
        };
        let mut sender = self.sender().await.map_err(not_sent)?;
        // The authority's name, not the address: it is the same whichever way the server is reached.
        let uri = format!("https://{}{path}", peer.server_name().to_str());
        let request = Request::post(uri).body(body);
        let request = request.map_err(|error| not_sent(error.to_string().into()))?;
        let response = sender.send_request(request).await.map_err(|error| {
            if error.is_canceled() {
                not_sent(error.to_string().into())
            } else {
                broken(told(&error))
            }
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER).collect().await;
        let body = body.map_err(|error| broken(error.to_string()))?;
        Ok((status, body.to_bytes()))
    }

    /// Ends the connection: the next call makes another. For who has reason to think that it is dead.
    pub fn disconnect(&self) {
        let mut state = self.state();
        state.sender = None;
        state.connecting = None;
    }

    async fn sender(&self) -> Result<Sender, Arc<str>> {
        let (attempt, connecting) = {
            let mut state = self.state();
            if let Some(sender) = state.sender.as_ref().filter(|sender| !sender.is_closed()) {
                return Ok(sender.clone());
            }
            match &state.connecting {
                Some((attempt, connecting)) => (*attempt, connecting.clone()),
                None => {
                    state.attempts += 1;
                    let started = (state.attempts, self.connect());
                    state.connecting = Some(started.clone());
                    started
                }
            }
        };
        let connected = connecting.await;
        let mut state = self.state();
        if state
            .connecting
            .as_ref()
            .is_some_and(|(number, _)| *number == attempt)
        {
            state.connecting = None;
            state.sender = connected.clone().ok();
        }
        connected
    }

    fn connect(&self) -> Connecting {
        let (tls, name) = (self.tls.clone(), self.peer.server_name());
        let node = self.peer.node.unwrap_or_else(|| types::NodeId::new(0));
        let connecting = self.addresses.connect(node);
        let connect = async move {
            let stream = tls.connect(name, connecting.await?).await?;
            let (sender, connection) = Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(ALIVE_EVERY)
                .keep_alive_timeout(ALIVE_WITHIN)
                .keep_alive_while_idle(true)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(io::Error::other)?;
            // It ends when the last sender is dropped, or a sign of life is missing.
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(error = told(&error), "a connection to a server ended");
                }
            });
            Ok::<_, io::Error>(sender)
        };
        let connect = tokio::spawn(async move {
            match tokio::time::timeout(CONNECT, connect).await {
                Ok(Ok(sender)) => Ok(sender),
                Ok(Err(error)) => Err(Arc::from(told(&error))),
                Err(_) => Err(Arc::from("connecting takes too long")),
            }
        });
        let ended = connect.map(|joined| joined.unwrap_or_else(|error| Err(told(&error).into())));
        ended.boxed().shared()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with its causes.
pub(crate) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
