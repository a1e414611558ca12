//! The operator's own S3 certificate.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use strongroom_tests::{Cluster, Shape, place, wait_until};

const NOTICED: Duration = Duration::from_secs(10);

/// An authority of the operator's.
struct Operator {
    issuer: Issuer<'static, KeyPair>,
    roots: Arc<RootCertStore>,
}

/// A certificate and its key, as files hold them.
struct Pair {
    der: CertificateDer<'static>,
    certificate: String,
    key: String,
}

impl Operator {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut roots = RootCertStore::empty();
        roots
            .add(params.self_signed(&key).unwrap().der().clone())
            .unwrap();
        Self {
            issuer: Issuer::new(params, key),
            roots: Arc::new(roots),
        }
    }

    fn issue(&self) -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            der: certificate.der().clone(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn connect(&self, config: &Arc<ClientConfig>, server: SocketAddr) -> Connection {
        let session = ClientConnection::new(config.clone(), server.ip().into()).unwrap();
        let stream = TcpStream::connect(server).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Connection(StreamOwned::new(session, stream))
    }

    /// A client that remembers sessions, as real ones do.
    fn client(&self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder().with_root_certificates(self.roots.clone());
        Arc::new(builder.with_no_client_auth())
    }
}

/// A kept-alive connection.
struct Connection(StreamOwned<ClientConnection, TcpStream>);

impl Connection {
    /// Whether a request without a signature is answered, as it must be: by a refusal.
    fn answers(&mut self) -> bool {
        let request = b"GET / HTTP/1.1\r\nhost: s3\r\n\r\n";
        let mut answer = [0; 12];
        let sent = self.0.write_all(request).and_then(|()| self.0.flush());
        if sent.is_err() || self.0.read_exact(&mut answer).is_err() {
            return false;
        }
        // The rest of this answer, so that the next one begins where it is looked for.
        let mut rest = Vec::new();
        while !rest.ends_with(b"</Error>") {
            let mut byte = [0];
            if self.0.read_exact(&mut byte).is_err() {
                return false;
            }
            rest.push(byte[0]);
        }
        answer == *b"HTTP/1.1 403"
    }

    fn certificate(&self) -> CertificateDer<'static> {
        let chain = self.0.conn.peer_certificates().expect("a handshake");
        chain[0].clone().into_owned()
    }
}

fn files(name: &str) -> [PathBuf; 2] {
    let folder = place::scratch()
        .unwrap()
        .join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    ["cert.pem", "key.pem"].map(|file| folder.join(file))
}

fn write([certificate, key]: &[PathBuf; 2], first: &str, second: &str) {
    fs::write(certificate, first).unwrap();
    fs::write(key, second).unwrap();
}

fn arguments([certificate, key]: &[PathBuf; 2]) -> [String; 4] {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    [
        "--s3-cert".into(),
        text(certificate),
        "--s3-key".into(),
        text(key),
    ]
}

/// A renewed certificate is served to new connections without a restart, even to clients that would resume a
/// session; open ones go on; a broken or half-written renewal changes nothing.
#[test]
fn a_certificate_is_renewed_while_serving() {
    let operator = Operator::new();
    let (first, second) = (operator.issue(), operator.issue());
    let files = files("certificate-files");
    write(&files, &first.certificate, &first.key);
    let arguments = arguments(&files);
    let arguments = arguments.each_ref().map(String::as_str);
    let cluster = Cluster::start_with("certificate", Shape::default(), &arguments).unwrap();
    let server = cluster.endpoints().s3_tls;
    let client = operator.client();
    let seen = || {
        let mut connection = operator.connect(&client, server);
        assert!(connection.answers());
        connection.certificate()
    };
    let mut old = operator.connect(&client, server);
    assert!(old.answers());
    assert_eq!(old.certificate(), first.der);

    let log = || fs::read_to_string(cluster.log()).unwrap();
    let refusals = || log().matches("cannot be used").count();
    // The second certificate before its key, as a renewal may be seen half done; then garbage.
    for (step, (certificate, key)) in [(&*second.certificate, &*first.key), ("garbage", "garbage")]
        .into_iter()
        .enumerate()
    {
        let before = refusals();
        write(&files, certificate, key);
        wait_until("it is noticed", NOTICED, || refusals() > before);
        assert_eq!(seen(), first.der, "step {step}");
    }
    write(&files, &second.certificate, &second.key);
    wait_until("the new one is served", NOTICED, || seen() == second.der);
    for _ in 0..3 {
        assert_eq!(seen(), second.der);
    }
    assert!(old.answers(), "what was open goes on");
    assert_eq!(old.certificate(), first.der);
    fs::remove_dir_all(files[0].parent().unwrap()).unwrap();
}

/// A pair that cannot be served is refused at start, with what is wrong.
/// Method: no files; a key of another certificate; a certificate alone.
#[test]
fn a_bad_pair_is_refused_at_start() {
    let operator = Operator::new();
    let (first, second) = (operator.issue(), operator.issue());
    let files = files("bad-certificate-files");
    let arguments = arguments(&files);
    let arguments = arguments.each_ref().map(String::as_str);
    let refused = |name: &str, arguments: &[&str]| {
        let started = Cluster::start_with(name, Shape::default(), arguments);
        format!("{:#}", started.expect_err("it is refused"))
    };
    let told = refused("certificate-missing", &arguments);
    assert!(
        told.contains("cert.pem") && told.contains("exit status: 1"),
        "{told}"
    );
    write(&files, &first.certificate, &second.key);
    let told = refused("certificate-mixed", &arguments);
    assert!(
        told.contains("does not go with the first certificate"),
        "{told}"
    );
    let told = refused("certificate-alone", &arguments[..2]);
    assert!(
        told.contains("--s3-key") && told.contains("exit status: 2"),
        "{told}"
    );
    fs::remove_dir_all(files[0].parent().unwrap()).unwrap();
}
