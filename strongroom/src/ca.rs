//! The cluster's own certificate authority, as a data folder keeps it.
//!
//! Made at first start. Its key stays in a file that only the owner reads. Certificates are issued anew
//! at every start. Servers' keys never touch a disk; the operator's certificate and key are a file, since
//! commands present them.

use crate::cluster::NODE;
use crate::files::{self, Access};
use anyhow::{Context, Result};
use ca::{Credentials, Identity, Issued, Role};
use std::fs;
use std::path::{Path, PathBuf};
use types::{ClusterId, NodeId};

/// The authority and where its files are.
pub(crate) struct Authority {
    authority: ca::Authority,
    cluster: ClusterId,
    operator: PathBuf,
}

impl Authority {
    /// Loads the authority of a data folder, or makes it: `ca.pem` for everybody, `tls/ca-key.pem` and
    /// `tls/operator.pem` (key and certificate) for the owner.
    pub(crate) fn load_or_make(data: &Path, cluster: ClusterId) -> Result<Self> {
        let private = data.join("tls");
        files::make_folder(&private)?;
        let (certificate_path, key_path) = (data.join("ca.pem"), private.join("ca-key.pem"));
        // The certificate is written last: without it, the key was never used.
        if !certificate_path.exists() {
            let made = ca::Authority::make()?;
            files::write(&key_path, made.key_pem.as_bytes(), Access::Private)?;
            let certificate = made.certificate_pem.as_bytes();
            files::write(&certificate_path, certificate, Access::Public)?;
        }
        let authority = Self::load(data, cluster)?;
        let holder = Identity::operator(cluster);
        let operator = authority.authority.client_files(&holder)?;
        files::write_pair(
            &authority.operator,
            &operator.key_pem,
            &operator.certificate_pem,
        )?;
        Ok(authority)
    }

    /// Loads the authority of a data folder.
    pub(crate) fn load(data: &Path, cluster: ClusterId) -> Result<Self> {
        let private = data.join("tls");
        let text = |path: PathBuf| {
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        let authority = ca::Authority::load(&Issued {
            certificate_pem: text(data.join("ca.pem"))?,
            key_pem: text(private.join("ca-key.pem"))?,
        });
        Ok(Self {
            authority: authority.context("reading the authority's files")?,
            cluster,
            operator: private.join("operator.pem"),
        })
    }

    /// A server's key and certificate, for a process that keeps them in a file. `names` are the IP addresses
    /// and host names of those who know it by no identity.
    pub(crate) fn server_pem(&self, role: Role, node: NodeId, names: &[String]) -> Result<String> {
        let identity = Identity::server(self.cluster, role, node);
        let issued = self.authority.server_files(&identity, names)?;
        Ok(format!("{}{}", issued.key_pem, issued.certificate_pem))
    }

    /// Where the operator's key and certificate are.
    pub(crate) fn operator_file(&self) -> &Path {
        &self.operator
    }

    /// A server's certificate and key, which it presents to other servers.
    pub(crate) fn credentials(&self, role: Role, node: NodeId) -> Result<Credentials> {
        let identity = Identity::server(self.cluster, role, node);
        Ok(self.authority.credentials(&identity, &[])?)
    }

    /// TLS for clients that prove themselves otherwise (S3 signs its requests). `names` are the IP
    /// addresses and host names that the certificate is valid for.
    pub(crate) fn server(&self, names: &[String]) -> Result<rustls::ServerConfig> {
        Ok(self.gateway(names)?.open_server()?)
    }

    /// TLS that admits only the operator.
    pub(crate) fn operators_server(&self, names: &[String]) -> Result<rustls::ServerConfig> {
        Ok(self.gateway(names)?.server(&[Role::Operator])?)
    }

    fn gateway(&self, names: &[String]) -> Result<Credentials> {
        let identity = Identity::server(self.cluster, Role::Gateway, NODE);
        Ok(self.authority.credentials(&identity, names)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::RootCertStore;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use std::io::{Read, Write};
    use std::sync::Arc;

    /// A client that trusts `ca.pem` reaches the server under the names it was issued for; the mutual
    /// one admits the operator, and neither another role, nor another cluster's operator, nor nobody.
    /// Method: handshakes in memory.
    #[test]
    fn certificates_open_what_they_should() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = ClusterId::new([1; 16]);
        let load = || Authority::load_or_make(folder.path(), cluster).unwrap();
        let (first, again) = (load(), load());
        let certificate = |of: &Authority| of.authority.certificate().clone();
        assert_eq!(certificate(&first), certificate(&again), "made once");

        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let open = Arc::new(again.server(&names).unwrap());
        let mutual = Arc::new(again.operators_server(&names).unwrap());
        let anonymous = Arc::new(client(folder.path(), false));
        let operator = Arc::new(client(folder.path(), true));

        assert!(handshake(&open, &anonymous, "127.0.0.1"));
        assert!(handshake(&open, &anonymous, "localhost"));
        assert!(!handshake(&open, &anonymous, "example.org"));
        assert!(handshake(&mutual, &operator, "localhost"));
        assert!(!handshake(&mutual, &anonymous, "localhost"));
        for role in [Role::Gateway, Role::Metadata, Role::Storage] {
            let server = again.credentials(role, NODE).unwrap();
            let server = Arc::new(server.client().unwrap());
            assert!(!handshake(&mutual, &server, "localhost"), "{role}");
        }
        drop(Authority::load_or_make(folder.path(), ClusterId::new([2; 16])).unwrap());
        let foreign = Arc::new(client(folder.path(), true));
        assert!(!handshake(&mutual, &foreign, "localhost"));
    }

    fn client(data: &Path, as_operator: bool) -> rustls::ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(data.join("ca.pem")).unwrap())
            .unwrap();
        let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
        if !as_operator {
            return builder.with_no_client_auth();
        }
        let pem = data.join("tls/operator.pem");
        let certificate = CertificateDer::from_pem_file(&pem).unwrap();
        let key = PrivateKeyDer::from_pem_file(&pem).unwrap();
        builder
            .with_client_auth_cert(vec![certificate], key)
            .unwrap()
    }

    /// Whether one byte of application data makes it to the server and back.
    fn handshake(
        server: &Arc<rustls::ServerConfig>,
        client: &Arc<rustls::ClientConfig>,
        name: &'static str,
    ) -> bool {
        let mut server = rustls::ServerConnection::new(server.clone()).unwrap();
        let name = ServerName::try_from(name).unwrap();
        let mut client = rustls::ClientConnection::new(client.clone(), name).unwrap();
        client.writer().write_all(b"?").unwrap();
        let mut echoed = false;
        for _ in 0..10 {
            let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
            while client.wants_write() {
                client.write_tls(&mut to_server).unwrap();
            }
            server.read_tls(&mut &to_server[..]).unwrap();
            if server.process_new_packets().is_err() {
                return false;
            }
            let mut byte = [0];
            if !echoed && server.reader().read(&mut byte).is_ok_and(|n| n == 1) {
                server.writer().write_all(&byte).unwrap();
                echoed = true;
            }
            while server.wants_write() {
                server.write_tls(&mut to_client).unwrap();
            }
            client.read_tls(&mut &to_client[..]).unwrap();
            if client.process_new_packets().is_err() {
                return false;
            }
            if client.reader().read(&mut byte).is_ok_and(|n| n == 1) {
                return byte == *b"?";
            }
        }
        false
    }
}
