//! The reference: what hyper can stream from and to memory on this machine. It knows nobody, stores nothing,
//! and answers just enough for the client to go on. Sockets, TLS and HTTP are set as the gateway sets its own.

use crate::content::{Object, PERIOD, pattern};
use anyhow::{Context, Result};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::fs;
use std::io::{Write, stdout};
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// As the gateway's.
const HEAD: usize = 64 << 10;
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// Makes a certificate for this machine, which vouches for itself.
pub(crate) fn certificate(folder: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    fs::write(folder.join("cert.pem"), made.cert.pem()).context("writing the certificate")?;
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).context("writing its key")
}

/// Serves until it is killed.
pub(crate) fn serve(folder: &Path) -> Result<()> {
    let chain =
        CertificateDer::pem_file_iter(folder.join("cert.pem"))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem"))?;
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    let tls = TlsAcceptor::from(Arc::new(tls));
    let bytes = Bytes::from(pattern());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(listen(tls, bytes))
}

async fn listen(tls: TlsAcceptor, bytes: Bytes) -> Result<()> {
    let plain = TcpListener::bind("127.0.0.1:0").await?;
    let over_tls = TcpListener::bind("127.0.0.1:0").await?;
    let (http, https) = (plain.local_addr()?, over_tls.local_addr()?);
    writeln!(stdout(), "s3 http://{http}\ns3-tls https://{https}\nready")?;
    let also = bytes.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = plain.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(speak(stream, also.clone()));
        }
    });
    loop {
        let (stream, _) = over_tls.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, bytes) = (tls.clone(), bytes.clone());
        tokio::spawn(async move {
            if let Ok(stream) = tls.accept(stream).await {
                speak(stream, bytes).await;
            }
        });
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, bytes: Bytes) {
    let service = service_fn(|request| answer(request, bytes.clone()));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD);
    // A client that hangs up early is no matter.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    bytes: Bytes,
) -> Result<Response<Pieces>, hyper::http::Error> {
    let (head, mut body) = request.into_parts();
    while let Some(Ok(_)) = body.frame().await {}
    let query = head.uri.query().unwrap_or_default();
    let key = head.uri.path().rsplit('/').next().unwrap_or_default();
    let object = Object::of(key);
    let reply = Response::builder().header("etag", "\"reference\"");
    match (head.method, object) {
        (Method::GET | Method::HEAD, None) => {
            reply.status(StatusCode::NOT_FOUND).body(Pieces::none())
        }
        (Method::HEAD, Some(object)) => reply
            .header("content-length", object.length)
            .body(Pieces::none()),
        (Method::GET, Some(object)) => {
            let asked = head
                .headers
                .get("range")
                .and_then(|value| range(value.to_str().ok()?));
            let status = if asked.is_some() { 206 } else { 200 };
            let range = asked.unwrap_or(0..object.length);
            reply.status(status).body(Pieces::of(bytes, object, range))
        }
        (Method::POST, _) if query.starts_with("uploads") => {
            reply.body(Pieces::text("<UploadId>reference</UploadId>"))
        }
        (Method::POST, _) => reply.body(Pieces::text("<CompleteMultipartUploadResult/>")),
        (Method::DELETE, _) => reply.status(StatusCode::NO_CONTENT).body(Pieces::none()),
        _ => reply.body(Pieces::none()),
    }
}

/// `bytes=FROM-TO`, as the client asks.
fn range(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some(from.parse().ok()?..to.parse::<u64>().ok()? + 1)
}

/// Pieces of one buffer, which nobody copies on this side of the socket.
struct Pieces {
    bytes: Bytes,
    object: Object,
    left: Range<u64>,
}

impl Pieces {
    fn none() -> Self {
        Self::text("")
    }

    fn text(text: &'static str) -> Self {
        let length = text.len() as u64;
        let object = Object { seed: 0, length };
        Self::of(Bytes::from_static(text.as_bytes()), object, 0..length)
    }

    fn of(bytes: Bytes, object: Object, left: Range<u64>) -> Self {
        Self {
            bytes,
            object,
            left,
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.object.pieces(self.left.clone()).next();
        Poll::Ready(next.map(|piece| {
            debug_assert!(piece.len() <= PERIOD);
            self.left.start += piece.len() as u64;
            Ok(Frame::data(self.bytes.slice(piece)))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.end - self.left.start)
    }
}
