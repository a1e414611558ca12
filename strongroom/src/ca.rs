//! The cluster's own certificate authority.
//!
//! Made at first start. Its key stays in a file that only the owner reads. Certificates are issued anew
//! at every start. Servers' keys never touch a disk; the operator's certificate and key are a file, since
//! commands present them.

use crate::files::{self, Access};
use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const AUTHORITY_DAYS: i64 = 3650;
/// A new one is issued at every start.
const CERTIFICATE_DAYS: i64 = 825;

/// The authority and where its files are.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    operator: PathBuf,
}

impl Authority {
    /// Loads the authority of a data folder, or makes it: `ca.pem` for everybody, `tls/ca-key.pem` and
    /// `tls/operator.pem` (key and certificate) for the owner.
    pub(crate) fn load_or_make(data: &Path) -> Result<Self> {
        let private = data.join("tls");
        files::make_folder(&private)?;
        let (certificate_path, key_path) = (data.join("ca.pem"), private.join("ca-key.pem"));
        // The certificate is written last: without it, the key was never used.
        if !certificate_path.exists() {
            let made = make_authority()?;
            files::write(
                &key_path,
                made.key().serialize_pem().as_bytes(),
                Access::Private,
            )?;
            files::write(&certificate_path, made.pem().as_bytes(), Access::Public)?;
        }
        let text = |path: &Path| {
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
        };
        let key = KeyPair::from_pem(&text(&key_path)?).context("reading the authority's key")?;
        let pem = text(&certificate_path)?;
        let authority = Self {
            certificate: CertificateDer::from_pem_slice(pem.as_bytes())?,
            issuer: Issuer::from_ca_cert_pem(&pem, key)?,
            operator: private.join("operator.pem"),
        };
        let (certificate, key) =
            authority.issue("operator", &[], ExtendedKeyUsagePurpose::ClientAuth)?;
        let pem = format!("{}{}", key.serialize_pem(), certificate.pem());
        files::write(&authority.operator, pem.as_bytes(), Access::Private)?;
        Ok(authority)
    }

    /// Where the operator's key and certificate are.
    pub(crate) fn operator_file(&self) -> &Path {
        &self.operator
    }

    /// TLS for clients that prove themselves otherwise (S3 signs its requests). `names` are the IP
    /// addresses and host names that the certificate is valid for.
    pub(crate) fn server(&self, names: &[String]) -> Result<rustls::ServerConfig> {
        let (chain, key) = self.server_identity(names)?;
        Ok(rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)?)
    }

    /// TLS that admits only holders of a certificate of this authority.
    pub(crate) fn mutual_server(&self, names: &[String]) -> Result<rustls::ServerConfig> {
        let (chain, key) = self.server_identity(names)?;
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build()?;
        let builder = rustls::ServerConfig::builder().with_client_cert_verifier(verifier);
        Ok(builder.with_single_cert(chain, key)?)
    }

    fn server_identity(
        &self,
        names: &[String],
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let (certificate, key) =
            self.issue("gateway", names, ExtendedKeyUsagePurpose::ServerAuth)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        Ok((
            vec![certificate.der().clone(), self.certificate.clone()],
            key,
        ))
    }

    fn issue(
        &self,
        role: &str,
        names: &[String],
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<(rcgen::Certificate, KeyPair)> {
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, format!("Strongroom {role}"));
        params
            .distinguished_name
            .push(DnType::OrganizationalUnitName, role);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = valid_for(CERTIFICATE_DAYS);
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?, key))
    }
}

fn make_authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "Strongroom cluster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = valid_for(AUTHORITY_DAYS);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// From yesterday, so that a clock slightly behind does not refuse it.
fn valid_for(days: i64) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let now = time::OffsetDateTime::now_utc();
    (now - time::Duration::DAY, now + time::Duration::days(days))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;
    use std::io::{Read, Write};

    /// A client that trusts `ca.pem` reaches the server under the names it was issued for; the mutual
    /// one admits the operator and nobody without a certificate.
    /// Method: handshakes in memory.
    #[test]
    fn certificates_open_what_they_should() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_make(folder.path()).unwrap();
        let again = Authority::load_or_make(folder.path()).unwrap();
        assert_eq!(authority.certificate, again.certificate, "made once");

        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let open = Arc::new(again.server(&names).unwrap());
        let mutual = Arc::new(again.mutual_server(&names).unwrap());
        let anonymous = Arc::new(client(folder.path(), false));
        let operator = Arc::new(client(folder.path(), true));

        assert!(handshake(&open, &anonymous, "127.0.0.1"));
        assert!(handshake(&open, &anonymous, "localhost"));
        assert!(!handshake(&open, &anonymous, "example.org"));
        assert!(handshake(&mutual, &operator, "localhost"));
        assert!(!handshake(&mutual, &anonymous, "localhost"));
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
