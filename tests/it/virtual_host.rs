//! Virtual-host style on the real program: the bucket in the host.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use strongroom_tests::{Cluster, Shape};
use strongroom_wire::{Ask, Reply, exchange, now};

/// Both styles name the same bucket under each domain, in the clear and over TLS, whose certificate is good
/// for every bucket's host.
#[tokio::test]
async fn both_styles_work() {
    let domains = ["--s3-domain", "s3.test", "--s3-domain", "store.example"];
    let cluster = Cluster::start_with("virtual-host", Shape::default(), &domains).unwrap();
    let keys = cluster.credentials().unwrap();
    let ask = |method, path: &str| Ask::new(method, path, &keys.access_key, &keys.secret_key);
    let send = async |host: &str, ask: Ask| -> Reply {
        let (head, _) = ask.head_for(host, &now());
        exchange(cluster.endpoints().s3, head.as_bytes(), &ask.body).await
    };
    assert_eq!(send("bucket.s3.test", ask("PUT", "/")).await.status, 200);
    let put = ask("PUT", "/folder/key").body("hello");
    assert_eq!(send("bucket.store.example:9000", put).await.status, 200);
    for (host, path) in [
        ("bucket.s3.test", "/folder/key"),
        ("s3.test", "/bucket/folder/key"),
        ("localhost", "/bucket/folder/key"),
    ] {
        let got = send(host, ask("GET", path)).await;
        assert_eq!((got.status, got.text()), (200, "hello"), "{host}");
    }

    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(cluster.data().join("ca.pem")).unwrap();
    roots.add(authority).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = Arc::new(config.with_no_client_auth());
    for host in ["bucket.s3.test", "bucket.store.example", "s3.test"] {
        let session = ClientConnection::new(config.clone(), host.try_into().unwrap()).unwrap();
        let stream = TcpStream::connect(cluster.endpoints().s3_tls).unwrap();
        let mut stream = StreamOwned::new(session, stream);
        stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        stream.flush().unwrap();
        assert!(!stream.conn.is_handshaking(), "{host}");
    }
}
