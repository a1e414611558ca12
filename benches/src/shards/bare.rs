//! The reference: hyper over the same TLS with nothing behind it and nothing before it. The server answers every
//! request with the same bytes out of memory; the client counts what arrives, and joins none of it.

use crate::node::{self, shard};
use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use ca::Role;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self as client, SendRequest};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::convert::Infallible;
use std::io::{Write, stdout};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use storage_node::ADMITTED;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use types::shard::ChunkDescription;
use types::wire::ShardStore;
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::{DiskId, ShardKey};

/// Serves until it is killed.
pub(crate) async fn serve(folder: &Path) -> Result<()> {
    let bytes = shard(0)?.payload;
    let own = node::credentials(folder, Role::Storage, node::NODE)?;
    let tls = TlsAcceptor::from(Arc::new(own.server(ADMITTED)?));
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    writeln!(stdout(), "{}\nready", socket.local_addr()?)?;
    loop {
        let (stream, _) = socket.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, bytes) = (tls.clone(), bytes.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let answer = service_fn(move |_: Request<Incoming>| {
                ready(Ok::<_, Infallible>(Response::new(Full::new(bytes.clone()))))
            });
            let served = server::Builder::new().serve_connection(TokioIo::new(stream), answer);
            // A client that hangs up is no matter.
            drop(served.await);
        });
    }
}

/// The way to one that is served.
pub(crate) fn remote(folder: &Path, address: SocketAddr) -> Result<Arc<dyn ShardStore>> {
    let gateway = node::credentials(folder, Role::Gateway, node::GATEWAY)?;
    let server = ca::Identity::server(node::CLUSTER, Role::Storage, node::NODE);
    Ok(Arc::new(Bare {
        tls: TlsConnector::from(Arc::new(gateway.client()?)),
        name: server.server_name(),
        address,
        idle: Mutex::default(),
        expected: shard(0)?.payload,
    }))
}

struct Bare {
    tls: TlsConnector,
    name: ServerName<'static>,
    address: SocketAddr,
    idle: Mutex<Vec<SendRequest<Empty<Bytes>>>>,
    /// What stands for the bytes that arrived.
    expected: Bytes,
}

impl Bare {
    async fn get(&self) -> Result<Bytes> {
        let idle = self.lock().pop();
        let mut sender = match idle {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let request = Request::get("/").header("host", "bare");
        sender.ready().await?;
        let answer = sender.send_request(request.body(Empty::new())?).await?;
        let mut body = answer.into_body();
        let mut arrived = 0;
        while let Some(frame) = body.frame().await {
            arrived += frame?.data_ref().map_or(0, Bytes::len);
        }
        self.lock().push(sender);
        (arrived == self.expected.len())
            .then(|| self.expected.clone())
            .ok_or_else(|| anyhow!("{arrived} bytes arrived"))
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let stream = self.tls.connect(self.name.clone(), socket).await?;
        let (sender, connection) = client::handshake(TokioIo::new(stream))
            .await
            .context("shaking hands")?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<SendRequest<Empty<Bytes>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShardStore for Bare {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        ready(Err(PutError::Full { disk: request.disk })).boxed()
    }

    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        let disk = request.disk;
        async move {
            let got = self.get().await;
            got.map_err(|_| ReadError::DiskUnavailable { disk })
        }
        .boxed()
    }

    fn describe(
        &self,
        _: DiskId,
        key: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        ready(Err(ReadError::Missing { key })).boxed()
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        ready(Vec::new()).boxed()
    }
}
