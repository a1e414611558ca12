//! http and https. A client frames and signs a request otherwise over each of them, so what holds over one
//! need not hold over the other: tests of the shared cluster run over both ([`over_both`]), those with a
//! cluster of their own take turns.

use crate::support;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use strongroom_tests::Cluster;
use strongroom_tests::raw::{self, Answer};

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    /// The certificate is checked against the authority in the cluster's `ca.pem`.
    Https,
}

impl Scheme {
    /// Each in turn.
    pub(crate) fn turn(round: usize) -> Self {
        [Self::Http, Self::Https][round % 2]
    }

    pub(crate) fn server(self, cluster: &Cluster) -> SocketAddr {
        match self {
            Self::Http => cluster.endpoints().s3,
            Self::Https => cluster.endpoints().s3_tls,
        }
    }

    /// What a URL of the cluster begins with.
    pub(crate) fn url(self, cluster: &Cluster) -> String {
        let name = match self {
            Self::Http => "http",
            Self::Https => "https",
        };
        format!("{name}://{}", self.server(cluster))
    }

    /// A client with the cluster's own credentials.
    pub(crate) fn client(self, cluster: &Cluster) -> Client {
        let keys = cluster
            .credentials()
            .expect("the cluster wrote credentials");
        support::client_as(cluster, self, &keys.access_key, &keys.secret_key)
    }

    pub(crate) fn connector(self, cluster: &Cluster) -> SharedHttpClient {
        match self {
            Self::Http => Builder::new().build_http(),
            Self::Https => {
                let pem = fs::read(authority(cluster)).expect("the cluster wrote ca.pem");
                let trust = TrustStore::empty().with_pem_certificate(pem);
                let context = TlsContext::builder().with_trust_store(trust).build();
                Builder::new()
                    .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                    .tls_context(context.expect("a TLS context"))
                    .build_https()
            }
        }
    }

    /// One request as text.
    pub(crate) fn ask(
        self,
        cluster: &Cluster,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let server = self.server(cluster);
        let stream = raw::connect(server).expect("a connection");
        let answer = match self {
            Self::Http => raw::request_on(stream, server, method, target, headers, body),
            Self::Https => {
                let stream = session(cluster, stream);
                raw::request_on(stream, server, method, target, headers, body)
            }
        };
        answer.expect("an answer")
    }
}

/// A stream inside TLS.
pub(crate) type Session = StreamOwned<ClientConnection, TcpStream>;

/// TLS over a connection to the cluster, whose handshake is still to come.
pub(crate) fn session(cluster: &Cluster, stream: TcpStream) -> Session {
    let server = Scheme::Https.server(cluster);
    let mut roots = RootCertStore::empty();
    let pem = CertificateDer::from_pem_file(authority(cluster)).expect("a certificate");
    roots.add(pem).expect("a root");
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), server.ip().into());
    StreamOwned::new(session.expect("a session"), stream)
}

fn authority(cluster: &Cluster) -> PathBuf {
    cluster.data().join("ca.pem")
}

/// How one test reaches the shared cluster, with the name of a bucket that is nobody else's.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) scheme: Scheme,
    pub(crate) client: Client,
    /// Not created yet.
    pub(crate) bucket: String,
}

impl Reach {
    /// `test` is the test's name, which no other test over this scheme has.
    pub(crate) fn new(scheme: Scheme, test: &str) -> Self {
        let words = test.replace('_', "-");
        Self {
            scheme,
            client: scheme.client(support::cluster()),
            bucket: format!("{words}-{scheme:?}").to_lowercase(),
        }
    }

    /// The client and the bucket, created.
    pub(crate) async fn with_bucket(&self) -> (Client, String) {
        support::make_bucket(&self.client, &self.bucket).await;
        (self.client.clone(), self.bucket.clone())
    }

    /// One request as text to the shared cluster.
    pub(crate) fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.scheme
            .ask(support::cluster(), method, target, headers, body)
    }

    /// Path and query of a URL of the shared cluster.
    pub(crate) fn target(&self, url: &str) -> String {
        let server = self.scheme.url(support::cluster());
        url.strip_prefix(&server)
            .expect("a URL of this server")
            .to_owned()
    }
}

/// Makes of each `async fn NAME(reach: Reach)` a test over http and a test over https. One that is missing
/// from the list is dead code, which the lints refuse.
macro_rules! over_both {
    ($($test:ident),+ $(,)?) => {
        mod http {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::scheme::Reach::new($crate::scheme::Scheme::Http, stringify!($test))).await;
            })+
        }
        mod https {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::scheme::Reach::new($crate::scheme::Scheme::Https, stringify!($test))).await;
            })+
        }
    };
}
pub(crate) use over_both;
