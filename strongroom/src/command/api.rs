//! A running cluster's admin API, as its operator's commands ask it: HTTPS, with the operator's certificate.

use crate::profile::ClusterProfile;
use anyhow::{Context, Result, bail};
use gateway::Complaint;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take over what is long: a line for every run of a disk of a million objects.
const LONG: Duration = Duration::from_secs(600);
/// Longest answer: hundreds of thousands of keys.
const ANSWER: usize = 64 << 20;

/// Which cluster is asked, and how the answer is printed.
#[derive(clap::Args)]
pub(crate) struct Target {
    /// The cluster's profile.toml, as `strongroom dev` writes it into its data folder
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "STRONGROOM_CLUSTER",
        default_value = "strongroom-data/profile.toml"
    )]
    cluster: PathBuf,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The API of one cluster.
pub(crate) struct Api {
    profile: ClusterProfile,
    admin: SocketAddr,
    runtime: tokio::runtime::Runtime,
}

impl Target {
    /// The cluster's API. Nothing is connected yet.
    pub(crate) fn api(&self) -> Result<Api> {
        let profile = self.profile()?;
        let admin = profile.admin.with_context(|| {
            let path = self.cluster.display();
            format!("{path} has no line `admin`: say there at which address a gateway or a storage process serves its operator")
        })?;
        Ok(Api {
            profile,
            admin,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        })
    }
}

impl Target {
    /// Where the profile is.
    pub(crate) fn file(&self) -> &Path {
        &self.cluster
    }

    /// The cluster's profile.
    pub(crate) fn profile(&self) -> Result<ClusterProfile> {
        ClusterProfile::read(&self.cluster)
    }
}

impl Api {
    /// Asks for what is at a path.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.ask(Method::GET, path, Vec::new())?;
        serde_json::from_slice(&answer).context("the answer is not as this build expects it")
    }

    /// Asks for a text.
    pub(crate) fn text(&self, path: &str) -> Result<String> {
        let answer = self.ask(Method::GET, path, Vec::new())?;
        String::from_utf8(answer.into()).context("the answer is no text")
    }

    /// Makes something, which is told.
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let answer = self.ask(Method::POST, path, serde_json::to_vec(body)?)?;
        serde_json::from_slice(&answer).context("the answer is not as this build expects it")
    }

    /// Makes something that takes its time, and is told.
    pub(crate) fn post_patiently<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.ask_within(LONG, Method::POST, path, b"null".to_vec())?;
        serde_json::from_slice(&answer).context("the answer is not as this build expects it")
    }

    /// Begins something that takes its time.
    pub(crate) fn begin(&self, path: &str, body: &impl Serialize) -> Result<()> {
        self.ask(Method::POST, path, serde_json::to_vec(body)?)
            .map(drop)
    }

    /// Sets something.
    pub(crate) fn put(&self, path: &str, body: &impl Serialize) -> Result<()> {
        self.ask(Method::PUT, path, serde_json::to_vec(body)?)
            .map(drop)
    }

    /// Sets something, which is told.
    pub(crate) fn set<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let answer = self.ask(Method::PUT, path, serde_json::to_vec(body)?)?;
        serde_json::from_slice(&answer).context("the answer is not as this build expects it")
    }

    /// Removes something.
    pub(crate) fn delete(&self, path: &str) -> Result<()> {
        self.ask(Method::DELETE, path, Vec::new()).map(drop)
    }

    fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes> {
        self.ask_within(PATIENCE, method, path, body)
    }

    fn ask_within(
        &self,
        patience: Duration,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Bytes> {
        self.runtime.block_on(async {
            let asked = tokio::time::timeout(patience, self.exchange(method, path, body)).await;
            asked.unwrap_or_else(|_| {
                let admin = self.admin;
                bail!("{admin} did not answer within {patience:?}; look at the log of the cluster")
            })
        })
    }

    async fn exchange(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes> {
        let admin = self.admin;
        let socket = TcpStream::connect(admin).await.with_context(|| {
            format!("connecting to {admin}; is the cluster running, and this its profile?")
        })?;
        let stream = TlsConnector::from(Arc::new(self.tls()?))
            .connect(ServerName::from(admin.ip()), socket)
            .await
            .with_context(|| format!("greeting {admin} over TLS"))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, admin.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let exchange = async { read(sender.send_request(request).await?).await };
        tokio::select! {
            answer = exchange => answer,
            closed = connection => bail!("the connection closed before the answer: {closed:?}"),
        }
    }

    fn tls(&self) -> Result<rustls::ClientConfig> {
        let ClusterProfile { ca, operator, .. } = &self.profile;
        let attempt = || -> Result<rustls::ClientConfig> {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(ca)?)?;
            let certificate = CertificateDer::from_pem_file(operator)?;
            let key = PrivateKeyDer::from_pem_file(operator)?;
            Ok(rustls::ClientConfig::builder()
                .with_root_certificates(roots)
                .with_client_auth_cert(vec![certificate], key)?)
        };
        attempt().with_context(|| format!("reading {} and {}", ca.display(), operator.display()))
    }
}

/// The body of an answer; a complaint is an error.
async fn read(response: Response<hyper::body::Incoming>) -> Result<Bytes> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER).collect().await;
    let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
    if status.is_success() {
        return Ok(body);
    }
    match serde_json::from_slice::<Complaint>(&body) {
        Ok(complaint) => bail!("{}", complaint.message),
        Err(_) => bail!("the server answered {status}"),
    }
}

/// A text as it may stand in a path or a query.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

/// Prints a line; a reader that has closed the pipe is not an error.
pub(crate) fn write_line(text: &str) -> Result<()> {
    use std::io::{ErrorKind, Write};
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints a value as JSON, for programs.
pub(crate) fn write_json(value: &impl Serialize) -> Result<()> {
    write_line(&serde_json::to_string(value)?)
}
