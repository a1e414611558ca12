//! Listeners: their end, and the admin API's door.

use crate::cluster::{World, service};
use crate::wire::{ask, now};
use futures::future::BoxFuture;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use strongroom_gateway::{AdminConfig, CheckRequest, Operations, Report, ScrubRequest, TlsListen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use types::wire::{Accounts, Usages};
use types::{DiskId, NodeId, TenantId};

/// Shutdown lets a request under way finish, closes idle connections, and accepts no more.
/// Method: an upload whose body is half sent, and a connection that says nothing.
#[tokio::test]
async fn shutdown_drains() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let _idle = TcpStream::connect(at).await.expect("listens");
    let mut upload = TcpStream::connect(at).await.expect("listens");
    let (head, _) = ask("PUT", "/bucket/key")
        .header("expect", "100-continue")
        .body("123456789")
        .head(at, &now());
    upload.write_all(head.as_bytes()).await.expect("sent");
    let mut interim = [0; 25];
    upload.read_exact(&mut interim).await.expect("asked for");
    upload.write_all(b"1234").await.expect("sent");

    let shutdown = tokio::spawn(world.gateway.shutdown());
    tokio::task::yield_now().await;
    upload.write_all(b"56789").await.expect("still served");
    let mut answer = Vec::new();
    upload.read_to_end(&mut answer).await.expect("answered");
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    let ended = tokio::time::timeout(Duration::from_secs(10), shutdown).await;
    ended.expect("it ends").expect("in order");
    assert!(TcpStream::connect(at).await.is_err());
    world.client.shutdown().await;
}

/// A client that stops sending is given up, and its upload with it.
/// Method: a short idle time; a body that stops in the middle.
#[tokio::test]
async fn bodies_must_move() {
    let world = World::with(|config| config.limits.idle = Duration::from_millis(50)).await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let (head, _) = ask("PUT", "/bucket/key").body("123456789").head(at, &now());
    let mut upload = TcpStream::connect(at).await.expect("listens");
    upload.write_all(head.as_bytes()).await.expect("sent");
    upload.write_all(b"1234").await.expect("sent");
    let mut answer = Vec::new();
    upload.read_to_end(&mut answer).await.expect("answered");
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("RequestTimeout"), "{answer}");
    assert_eq!(ask("HEAD", "/bucket/key").send(at).await.status, 404);
}

/// A client that sends a little now and then is given up like one that sends nothing.
/// Method: a byte whenever a fraction of a short idle time has passed, until the server answers.
#[tokio::test]
async fn bodies_may_not_trickle() {
    let idle = Duration::from_millis(200);
    let world = World::with(|config| config.limits.idle = idle).await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let put = ask("PUT", "/bucket/key").body(vec![0; 100_000]);
    let (head, _) = put.head(at, &now());
    let upload = TcpStream::connect(at).await.expect("listens");
    let (mut answers, mut upload) = upload.into_split();
    upload.write_all(head.as_bytes()).await.expect("sent");
    let trickle = async {
        let mut ticks = tokio::time::interval(idle / 10);
        loop {
            ticks.tick().await;
            if upload.write_all(b"0").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = trickle => {}
        read = answers.read_to_end(&mut answer) => drop(read),
        () = tokio::time::sleep(Duration::from_secs(10)) => {}
    }
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.contains("RequestTimeout"), "{answer}");
    assert_eq!(ask("HEAD", "/bucket/key").send(at).await.status, 404);
}

/// A head is held only as far as S3's heads go.
/// Method: a header of a size that is served, and one that is not.
#[tokio::test]
async fn heads_are_bounded() {
    let world = World::new().await;
    let at = world.address;
    let fits = ask("GET", "/").header("padding", &"x".repeat(48 << 10));
    assert_eq!(fits.send(at).await.status, 200);
    let large = ask("GET", "/").header("padding", &"x".repeat(128 << 10));
    let (head, _) = large.head(at, &now());
    let mut stream = TcpStream::connect(at).await.expect("listens");
    // The server hangs up on what it has not read, which may overtake its answer.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).expect("text");
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
}

/// The admin API answers those who show a certificate, and nobody else; S3 over TLS serves S3.
/// Method: one authority; ask with and without a certificate of it.
#[tokio::test]
async fn the_admin_door_wants_a_certificate() {
    let tls = Tls::new();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let (accounts, _) = service().await;
    let world = World::with(|config| {
        config.s3_tls = Some(TlsListen::fixed(free, tls.server(false)));
        config.admin = Some(tls.admin(accounts));
    })
    .await;
    let addresses = world.gateway.addresses();
    let admin = addresses.admin.expect("listens");
    let request = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answer = tls.exchange(admin, true, request).await.expect("let in");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(tls.exchange(admin, false, request).await.is_err());
    let s3 = addresses.s3_tls.expect("listens");
    let (list, _) = ask("GET", "/").head(s3, &now());
    let answer = tls.exchange(s3, false, &list).await.expect("let in");
    assert!(answer.contains("<ListAllMyBucketsResult"), "{answer}");
}

struct Quiet;

impl Report for Quiet {
    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
    fn status(&self) -> BoxFuture<'_, serde_json::Value> {
        Box::pin(async { serde_json::Value::Null })
    }
    fn metrics(&self) -> String {
        String::new()
    }
}

impl Operations for Quiet {
    fn replace(&self, lost: DiskId) -> BoxFuture<'_, Result<DiskId, String>> {
        let replaced = match lost.get() {
            4 => Ok(DiskId::new(9)),
            _ => Err(format!("{lost} serves")),
        };
        Box::pin(async { replaced })
    }
    fn begin_check(&self, request: CheckRequest) -> BoxFuture<'_, Result<(), String>> {
        let begun = request.deep.then_some(()).ok_or("one runs".to_owned());
        Box::pin(async { begun })
    }
    fn check(&self) -> serde_json::Value {
        serde_json::json!({ "done": true })
    }
    fn begin_scrub(&self, request: ScrubRequest) -> BoxFuture<'_, Result<(), String>> {
        let begun = match request.disk {
            Some(disk) if disk.get() != 4 => Err(format!("there is no disk {}", disk.get())),
            _ => Ok(()),
        };
        Box::pin(async { begun })
    }
    fn scrub(&self) -> BoxFuture<'_, serde_json::Value> {
        Box::pin(async { serde_json::json!([{ "disk": 4 }]) })
    }
    fn add_node(&self) -> BoxFuture<'_, Result<NodeId, String>> {
        Box::pin(async { Ok(NodeId::new(12)) })
    }
}

/// An authority and one certificate of it, for `localhost`, for both ends.
pub(crate) struct Tls {
    roots: Arc<RootCertStore>,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Tls {
    pub(crate) fn new() -> Self {
        let authority_key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::new(Vec::<String>::new()).expect("valid");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = authority.self_signed(&authority_key).expect("signed");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("valid");
        let issuer = Issuer::new(authority, authority_key);
        let certificate = params.signed_by(&key, &issuer).expect("signed");
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).expect("a root");
        Self {
            roots: Arc::new(roots),
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
        }
    }

    /// An admin API on a free port.
    pub(crate) fn admin<S: Accounts + Usages>(&self, service: Arc<S>) -> AdminConfig {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        AdminConfig {
            listen: TlsListen::fixed(free, self.server(true)),
            report: Arc::new(Quiet),
            operations: Arc::new(Quiet),
            accounts: service.clone(),
            usages: service,
            tenant: TenantId::new(1),
        }
    }

    fn identity(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivatePkcs8KeyDer::from(self.key.clone());
        (vec![self.certificate.clone()], key.into())
    }

    fn provider() -> Arc<rustls::crypto::CryptoProvider> {
        Arc::new(rustls::crypto::aws_lc_rs::default_provider())
    }

    pub(crate) fn server(&self, mutual: bool) -> Arc<rustls::ServerConfig> {
        let builder = rustls::ServerConfig::builder_with_provider(Self::provider())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let roots = Arc::clone(&self.roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Self::provider());
        let builder = if mutual {
            builder.with_client_cert_verifier(verifier.build().expect("roots"))
        } else {
            builder.with_no_client_auth()
        };
        let (chain, key) = self.identity();
        Arc::new(builder.with_single_cert(chain, key).expect("a pair"))
    }

    pub(crate) async fn exchange(
        &self,
        at: SocketAddr,
        shown: bool,
        request: &str,
    ) -> io::Result<String> {
        let builder = rustls::ClientConfig::builder_with_provider(Self::provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(Arc::clone(&self.roots));
        let config = if shown {
            let (chain, key) = self.identity();
            builder.with_client_auth_cert(chain, key).expect("a pair")
        } else {
            builder.with_no_client_auth()
        };
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TcpStream::connect(at).await?;
        let mut stream = connector.connect(name, stream).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        match stream.read_to_string(&mut answer).await {
            // The server hangs up without a farewell.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            _ => Ok(answer),
        }
    }
}
