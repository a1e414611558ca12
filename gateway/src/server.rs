//! Listeners: connections in, bounded in number and in time; and their orderly end.
//!
//! ```text
//! accept -> [TLS handshake] -> HTTP/1.1 requests, one after the other -> closed
//! ```
//!
//! Shutdown stops accepting, lets requests under way finish within the drain time, and cuts the rest.
//! Every connection is a task of its listener, and every listener a task of the [`Gateway`].

use crate::admin;
use crate::config::{GatewayConfig, Limits, TlsListen};
use crate::date;
use crate::domain::Domains;
use crate::identity::Identity;
use crate::linger::Lingering;
use crate::refuse::Gate;
use crate::route::Routes;
use crate::s3::{Adapter, DOCUMENT, Documents, LONG_DOCUMENT, Whole};
use crate::service::Front;
use client::Client;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rpc::{Moving, Pace};
use s3s::config::{S3Config, S3ConfigProvider, StaticConfigProvider};
use s3s::host::DomainError;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A signed chunk is held back until its signature is known; longer ones are refused.
const SIGNED_CHUNK: usize = 8 << 20;
/// What a connection may hold of a head that is not yet complete, and thus before anybody is known: S3's
/// heads have 8 KiB of metadata and as much of signature. hyper bounds a body's pieces by it, too: they
/// measure 118 KiB on average over loopback, against 430 with its own bound, at the same throughput.
const HEAD: usize = 64 << 10;
/// How long to wait after accepting failed, which is when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("listening for {purpose} on {address}")]
    Listen {
        /// What for.
        purpose: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// One of `domains` is no domain name, or lies below another.
    #[error("the domain {domain:?}")]
    Domain {
        /// As configured.
        domain: String,
        /// What is wrong with it.
        #[source]
        source: DomainError,
    },
}

/// Where a gateway listens, ports chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// S3 in the clear.
    pub s3: Option<SocketAddr>,
    /// S3 over TLS.
    pub s3_tls: Option<SocketAddr>,
    /// The admin API.
    pub admin: Option<SocketAddr>,
}

/// A running gateway. Dropping it cuts every connection; [`Gateway::shutdown`] ends in order.
pub struct Gateway {
    addresses: Addresses,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
}

impl Gateway {
    /// Starts serving: S3 for `identity` over `client`, and the admin API.
    ///
    /// # Errors
    /// An address is taken, or the configuration is wrong. Nothing is served then.
    pub async fn start(
        config: GatewayConfig,
        client: Arc<Client>,
        identity: Identity,
    ) -> Result<Self, StartError> {
        let limits = config.limits.clone();
        let s3 = service(&config, client, identity)?;
        let front = Arc::new(Front::new(s3, limits.clone()));
        let s3 = service_fn(move |request| Arc::clone(&front).handle(request));

        let plain = bind("S3", config.s3).await?;
        let (s3_tls, tls) = split(config.s3_tls);
        let over_tls = bind("S3 over TLS", s3_tls).await?;
        let (listen, routes) = match config.admin {
            Some(admin) => {
                let routes = admin::router(
                    admin.report,
                    admin.operations,
                    admin.accounts,
                    admin.usages,
                    admin.tenant,
                );
                (Some(admin.listen), Some(routes))
            }
            None => (None, None),
        };
        let (admin_address, admin_tls) = split(listen);
        let admin = bind("the admin API", admin_address).await?;

        let address = |bound: &Option<(TcpListener, SocketAddr)>| bound.as_ref().map(|(_, at)| *at);
        let addresses = Addresses {
            s3: address(&plain),
            s3_tls: address(&over_tls),
            admin: address(&admin),
        };
        let (stop, stopped) = watch::channel(false);
        let mut listeners = JoinSet::new();
        for (bound, tls) in [(plain, None), (over_tls, tls)] {
            if let Some((socket, _)) = bound {
                let listener = Listener::new(socket, tls, limits.clone());
                listeners.spawn(listener.serve(s3.clone(), stopped.clone()));
            }
        }
        if let (Some((socket, _)), Some(routes)) = (admin, routes) {
            let listener = Listener::new(socket, admin_tls, limits);
            let admin = TowerToHyperService::new(routes);
            listeners.spawn(listener.serve(admin, stopped));
        }
        Ok(Self {
            addresses,
            stop,
            listeners,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Stops accepting, lets requests finish within the drain time, cuts the rest, and returns when no
    /// task is left.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.listeners.join_next().await.is_some() {}
    }
}

/// The admin API of a process that serves no S3. Dropping it cuts every connection.
pub struct AdminServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    listener: JoinSet<()>,
}

impl AdminServer {
    /// Starts serving. The TLS configuration must ask for client certificates: nothing behind it does.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(
        listen: TlsListen,
        report: Arc<dyn admin::Report>,
        operations: Arc<dyn admin::Operations>,
        limits: Limits,
    ) -> Result<Self, StartError> {
        let TlsListen { address, tls } = listen;
        let purpose = "the admin API";
        let failed = |source| StartError::Listen {
            purpose,
            address,
            source,
        };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let routes = TowerToHyperService::new(admin::without_accounts(report, operations));
        let (stop, stopped) = watch::channel(false);
        let mut listener = JoinSet::new();
        listener.spawn(Listener::new(socket, Some(tls), limits).serve(routes, stopped));
        Ok(Self {
            address,
            stop,
            listener,
        })
    }

    /// Where it listens, port chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As [`Gateway::shutdown`].
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.listener.join_next().await.is_some() {}
    }
}

fn service(
    config: &GatewayConfig,
    client: Arc<Client>,
    identity: Identity,
) -> Result<S3Service, StartError> {
    let mut s3s = S3Config::default();
    s3s.aws_chunked_stream_max_chunk_size = SIGNED_CHUNK;
    s3s.xml_max_body_size = DOCUMENT;
    s3s.custom_route_max_body_size = Some(LONG_DOCUMENT as u64);
    // An STS request's body is read before its signature is checked.
    s3s.sig_v4_allowed_services = vec!["s3".into()];
    // `x-id` in a query would rule over headers: a copy could be taken for an upload.
    s3s.operation_id_routing = false;
    s3s.allow_post_signature = false;
    s3s.unsigned_amz_header_allowlist = vec![date::SIGNED_AT.into()];
    let adapter = Adapter::new(
        client,
        identity.clone(),
        config.region.clone(),
        config.limits.signed_streams,
    );
    let s3s: Arc<dyn S3ConfigProvider> = Arc::new(StaticConfigProvider::new(Arc::new(s3s)));
    let domains = Domains::new(&config.domains)
        .map_err(|(domain, source)| StartError::Domain { domain, source })?;
    let routes = Routes {
        documents: Documents::new(adapter.clone(), domains.clone()),
        whole: Whole::new(adapter.clone(), domains.clone(), Arc::clone(&s3s)),
    };
    let mut builder = S3ServiceBuilder::new(adapter);
    builder.set_auth(identity);
    builder.set_access(Gate);
    builder.set_route(routes);
    builder.set_config(s3s);
    if !domains.is_empty() {
        builder.set_host(domains);
    }
    Ok(builder.build())
}

fn split(listen: Option<TlsListen>) -> (Option<SocketAddr>, Option<Tls>) {
    match listen {
        Some(TlsListen { address, tls }) => (Some(address), Some(tls)),
        None => (None, None),
    }
}

async fn bind(
    purpose: &'static str,
    address: Option<SocketAddr>,
) -> Result<Option<(TcpListener, SocketAddr)>, StartError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let failed = |source| StartError::Listen {
        purpose,
        address,
        source,
    };
    let socket = TcpListener::bind(address).await.map_err(failed)?;
    let chosen = socket.local_addr().map_err(failed)?;
    Ok(Some((socket, chosen)))
}

/// The TLS configuration of the moment.
type Tls = watch::Receiver<Arc<rustls::ServerConfig>>;

/// One listening socket and its connections.
struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
    limits: Limits,
    http: http1::Builder,
    graceful: GracefulShutdown,
    connections: JoinSet<()>,
}

impl Listener {
    fn new(socket: TcpListener, tls: Option<Tls>, limits: Limits) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(HEAD);
        Self {
            socket,
            tls,
            limits,
            http,
            graceful: GracefulShutdown::new(),
            connections: JoinSet::new(),
        }
    }

    async fn serve<S>(mut self, service: S, mut stopped: watch::Receiver<bool>)
    where
        S: HttpService<Incoming, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
        S::ResBody: Send + 'static,
        <S::ResBody as http_body::Body>::Data: Send,
        <S::ResBody as http_body::Body>::Error: Into<BoxError>,
    {
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
                accepted = accept(&self.socket, &places) => accepted,
            };
            match accepted {
                Ok((stream, place)) => {
                    let connection = Connection {
                        tls: self.tls.clone(),
                        limits: self.limits.clone(),
                        http: self.http.clone(),
                        watcher: self.graceful.watcher(),
                        stopped: stopped.clone(),
                    };
                    let service = service.clone();
                    self.connections.spawn(async move {
                        connection.run(stream, service).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.socket);
        if tokio::time::timeout(self.limits.drain, self.graceful.shutdown())
            .await
            .is_err()
        {
            let cut = self.connections.len();
            tracing::warn!(cut, "the drain time is over");
        }
        self.connections.shutdown().await;
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn accept(
    socket: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    let (stream, _) = socket.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

/// What a connection needs of its listener.
struct Connection {
    tls: Option<Tls>,
    limits: Limits,
    http: http1::Builder,
    watcher: Watcher,
    stopped: watch::Receiver<bool>,
}

impl Connection {
    async fn run<S>(self, stream: TcpStream, service: S)
    where
        S: HttpService<Incoming, Error: Into<BoxError>>,
        S::ResBody: 'static,
        <S::ResBody as http_body::Body>::Error: Into<BoxError>,
    {
        let Some(tls) = &self.tls else {
            return self.speak(stream, service).await;
        };
        let tls = TlsAcceptor::from(tls.borrow().clone());
        let handshake = tokio::time::timeout(self.limits.head, tls.accept(stream));
        let mut stopped = self.stopped.clone();
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            // No request is under way yet, and a silent peer must not hold up a stop.
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.speak(stream, service).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn speak<T, S>(self, stream: T, service: S)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
        S: HttpService<Incoming, Error: Into<BoxError>>,
        S::ResBody: 'static,
        <S::ResBody as http_body::Body>::Error: Into<BoxError>,
    {
        let pace = Pace::new(self.limits.idle, self.limits.least);
        let io = TokioIo::new(Lingering::new(Moving::new(stream, pace)));
        let connection = self.http.serve_connection(io, service);
        if let Err(error) = self.watcher.watch(connection).await {
            tracing::debug!(%error, "a connection broke");
        }
    }
}
