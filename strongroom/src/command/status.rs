//! `strongroom status`: what the cluster says of itself.

use crate::profile::ClusterProfile;
use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The cluster's profile.toml, as `strongroom dev` writes it into its data folder
    #[arg(
        long,
        value_name = "FILE",
        env = "STRONGROOM_CLUSTER",
        default_value = "strongroom-data/profile.toml"
    )]
    cluster: PathBuf,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Asks for the status and prints it.
pub(crate) fn run(options: Options) -> Result<()> {
    let profile = ClusterProfile::read(&options.cluster)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(async {
        let asked = tokio::time::timeout(PATIENCE, get(&profile, "/status")).await;
        asked.unwrap_or_else(|_| bail!("no answer within {PATIENCE:?}"))
    });
    let answer = answer.with_context(|| format!("asking {} for its status", profile.admin))?;
    if options.json {
        write_line(&answer)
    } else {
        let status: crate::status::Status = serde_json::from_str(&answer)?;
        write_line(status.to_string().trim_end())
    }
}

/// Prints a line; a reader that has closed the pipe is not an error.
fn write_line(text: &str) -> Result<()> {
    use std::io::{ErrorKind, Write};
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// One GET over mutual TLS.
async fn get(profile: &ClusterProfile, path: &str) -> Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&profile.ca)?)?;
    let certificate = CertificateDer::from_pem_file(&profile.operator)?;
    let key = PrivateKeyDer::from_pem_file(&profile.operator)?;
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)?;

    let socket = TcpStream::connect(profile.admin).await?;
    let name = ServerName::from(profile.admin.ip());
    let stream = TlsConnector::from(Arc::new(tls))
        .connect(name, socket)
        .await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header("host", profile.admin.to_string())
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("the server answered {status}");
        }
        Ok(String::from_utf8(body.to_vec())?)
    };
    tokio::select! {
        answer = exchange => answer,
        closed = connection => bail!("the connection closed before the answer: {closed:?}"),
    }
}
