//! Mutual TLS between holders of one authority's certificates.

use crate::identity::{Identity, Role};
use arc_swap::ArcSwap;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use types::{ClusterId, NodeId};

/// What servers speak among each other: HTTP/2.
pub const H2: &[u8] = b"h2";

/// Servers that are no more of the cluster, as far as a holder knows. What was made from its credentials shares
/// it. Ids are never used again, so none is ever taken off.
#[derive(Clone, Debug, Default)]
pub struct Removed(Arc<RwLock<BTreeSet<NodeId>>>);

impl Removed {
    /// Notes further ones.
    pub fn add(&self, nodes: impl IntoIterator<Item = NodeId>) {
        let mut removed = self.0.write().unwrap_or_else(PoisonError::into_inner);
        removed.extend(nodes);
    }

    /// All of them.
    pub fn all(&self) -> BTreeSet<NodeId> {
        let removed = self.0.read().unwrap_or_else(PoisonError::into_inner);
        removed.clone()
    }

    /// Whether a holder is one.
    pub fn has(&self, holder: &Identity) -> bool {
        let is_server = !matches!(holder.role, Role::Operator | Role::Joiner);
        let removed = self.0.read().unwrap_or_else(PoisonError::into_inner);
        is_server && holder.node.is_some_and(|node| removed.contains(&node))
    }
}

/// One holder's certificate and key, and whom it trusts: its authority alone. Clones, and what was made from them,
/// share them: when they are renewed, new connections use the new ones, and open ones go on.
#[derive(Clone, Debug)]
pub struct Credentials {
    removed: Removed,
    roots: Arc<RootCertStore>,
    held: Held,
}

/// What is presented to the other end.
#[derive(Clone, Debug)]
struct Held(Arc<ArcSwap<CertifiedKey>>);

impl ResolvesServerCert for Held {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ResolvesClientCert for Held {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A chain and its key, which must be of its first certificate.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, Error> {
    if chain.is_empty() {
        return Err(Error::NoCertificatesPresented);
    }
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
}

impl Credentials {
    /// Puts them together. `chain` begins with the holder's certificate.
    ///
    /// # Errors
    /// When the authority's certificate is none, or the key is not the holder's.
    pub fn new(
        authority: &CertificateDer<'static>,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone())?;
        Ok(Self {
            removed: Removed::default(),
            roots: Arc::new(roots),
            held: Held(Arc::new(ArcSwap::from_pointee(certified(chain, key)?))),
        })
    }

    /// From now on new connections present this.
    ///
    /// # Errors
    /// When the key is not the certificate's; then all is as it was.
    pub fn renew(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), Error> {
        self.held.0.store(Arc::new(certified(chain, key)?));
        Ok(())
    }

    /// The same certificate, for who trusts another authority: servers do not admit it for that.
    ///
    /// # Errors
    /// When the authority's certificate is none.
    pub fn trusting(&self, authority: &CertificateDer<'static>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone())?;
        Ok(Self {
            roots: Arc::new(roots),
            ..self.clone()
        })
    }

    /// The holder's certificate, as it is now.
    ///
    /// # Panics
    /// Never: there is none without a certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        let held = self.held.0.load();
        let own = held.cert.first();
        own.expect("a chain begins with its holder").clone()
    }

    /// Whom what is made from these refuses, though they have a certificate.
    pub fn removed(&self) -> &Removed {
        &self.removed
    }

    /// TLS for who proves itself otherwise: S3 signs its requests.
    ///
    /// # Errors
    /// When the key is not the certificate's.
    pub fn open_server(&self) -> Result<ServerConfig, Error> {
        let builder = ServerConfig::builder().with_no_client_auth();
        Ok(builder.with_cert_resolver(Arc::new(self.held.clone())))
    }

    /// TLS that admits only holders of a certificate of the authority who are of the same cluster and of
    /// one of these roles.
    ///
    /// # Errors
    /// When the key is not the certificate's.
    pub fn server(&self, roles: &'static [Role]) -> Result<ServerConfig, Error> {
        let own = Identity::of(&self.certificate());
        let own = own.map_err(|error| Error::General(error.to_string()))?;
        let verifier = WebPkiClientVerifier::builder(Arc::clone(&self.roots)).build();
        let genuine =
            verifier.map_err(|error: VerifierBuilderError| Error::General(error.to_string()))?;
        let admit = Admit {
            genuine,
            cluster: own.cluster,
            roles,
            removed: self.removed.clone(),
        };
        Ok(ServerConfig::builder()
            .with_client_cert_verifier(Arc::new(admit))
            .with_cert_resolver(Arc::new(self.held.clone())))
    }

    /// TLS towards servers of the authority.
    ///
    /// # Errors
    /// When the key is not the certificate's.
    pub fn client(&self) -> Result<ClientConfig, Error> {
        Ok(ClientConfig::builder()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_client_cert_resolver(Arc::new(self.held.clone())))
    }
}

/// Admits genuine certificates of some roles, unless their holders were removed.
#[derive(Debug)]
struct Admit {
    genuine: Arc<dyn ClientCertVerifier>,
    cluster: ClusterId,
    roles: &'static [Role],
    removed: Removed,
}

impl ClientCertVerifier for Admit {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.genuine.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .genuine
            .verify_client_cert(certificate, intermediates, now)?;
        let admitted = Identity::of(certificate).is_ok_and(|holder| {
            holder.cluster == self.cluster
                && self.roles.contains(&holder.role)
                && !self.removed.has(&holder)
        });
        if admitted {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.genuine
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.genuine
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.genuine.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, Request};
    use rustls::pki_types::pem::PemObject;
    use types::NodeId;

    /// A renewed certificate is shared by all who had the old one, under its names; a key that is not its own changes
    /// nothing.
    #[test]
    fn a_renewed_certificate_is_shared() {
        let authority = Authority::load(&Authority::make().unwrap()).unwrap();
        let cluster = ClusterId::new([4; 16]);
        let identity = Identity::server(cluster, Role::Storage, NodeId::new(4));
        let names = ["localhost".to_owned(), "10.0.0.4".to_owned()];
        let held = authority.credentials(&identity, &names).unwrap();
        let (shared, first) = (held.clone(), held.certificate());
        let before = crate::holding(&first).unwrap();
        assert_eq!(before.names, names);

        let request = Request::make().unwrap();
        let signed = authority.answer(&request.request, &identity, &before.names);
        let next = CertificateDer::from_pem_slice(signed.unwrap().as_bytes()).unwrap();
        let other = Request::make().unwrap();
        let key = |pem: &str| PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert!(held.renew(vec![next.clone()], key(&other.key_pem)).is_err());
        assert_eq!(held.certificate(), first);
        held.renew(vec![next.clone()], key(&request.key_pem))
            .unwrap();
        assert_eq!(shared.certificate(), next);
        let after = crate::holding(&next).unwrap();
        assert_eq!(after.names, names);
        assert!(after.left < before.left, "{:?}", after.left);
        assert_eq!(Identity::of(&next).unwrap(), identity);
    }

    /// No certificate is made with a name by which another server is known.
    #[test]
    fn nobody_gets_anothers_name() {
        let authority = Authority::load(&Authority::make().unwrap()).unwrap();
        let cluster = ClusterId::new([4; 16]);
        let identity = Identity::server(cluster, Role::Storage, NodeId::new(4));
        let theirs = Identity::server(cluster, Role::Metadata, NodeId::new(1));
        let name = theirs.server_name().to_str().into_owned();
        for name in [
            name.clone(),
            name.to_ascii_uppercase(),
            format!("{name}."),
            "strongroom".into(),
        ] {
            let request = Request::make().unwrap();
            assert!(
                authority
                    .answer(&request.request, &identity, std::slice::from_ref(&name))
                    .is_err(),
                "{name}"
            );
            assert!(authority.credentials(&identity, &[name]).is_err());
        }
        let request = Request::make().unwrap();
        let fine = ["strongroom.example.org".to_owned()];
        authority
            .answer(&request.request, &identity, &fine)
            .unwrap();
    }

    /// Servers that were removed are refused; an operator, or a token, of the same number is not one.
    #[test]
    fn who_was_removed_is_told_apart() {
        let cluster = ClusterId::new([4; 16]);
        let removed = Removed::default();
        let shared = removed.clone();
        shared.add([NodeId::new(4)]);
        let of = |role, node| Identity::server(cluster, role, NodeId::new(node));
        assert!(removed.has(&of(Role::Gateway, 4)) && removed.has(&of(Role::Metadata, 4)));
        assert!(!removed.has(&of(Role::Gateway, 5)));
        assert!(!removed.has(&of(Role::Joiner, 4)));
        assert!(!removed.has(&Identity::operator(cluster)));
    }
}
