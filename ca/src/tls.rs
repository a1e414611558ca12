//! Mutual TLS between holders of one authority's certificates.

use crate::identity::{Identity, Role};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
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

/// One holder's certificate and key, and whom it trusts: its authority alone.
#[derive(Debug)]
pub struct Credentials {
    removed: Removed,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        Self {
            removed: self.removed.clone(),
            roots: Arc::clone(&self.roots),
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Credentials {
    /// Puts them together. `chain` begins with the holder's certificate.
    ///
    /// # Errors
    /// When the authority's certificate is none.
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
            chain,
            key,
        })
    }

    /// The same certificate, for who trusts another authority: servers do not admit it for that.
    ///
    /// # Errors
    /// When the authority's certificate is none.
    pub fn trusting(&self, authority: &CertificateDer<'static>) -> Result<Self, Error> {
        Self::new(authority, self.chain.clone(), self.key.clone_key())
    }

    /// The holder's certificate.
    ///
    /// # Panics
    /// When it was made without one.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.chain.first().expect("a chain begins with its holder")
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
        ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
    }

    /// TLS that admits only holders of a certificate of the authority who are of the same cluster and of
    /// one of these roles.
    ///
    /// # Errors
    /// When the key is not the certificate's.
    pub fn server(&self, roles: &'static [Role]) -> Result<ServerConfig, Error> {
        let own = Identity::of(self.certificate());
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
        ServerConfig::builder()
            .with_client_cert_verifier(Arc::new(admit))
            .with_single_cert(self.chain.clone(), self.key.clone_key())
    }

    /// TLS towards servers of the authority.
    ///
    /// # Errors
    /// When the key is not the certificate's.
    pub fn client(&self) -> Result<ClientConfig, Error> {
        ClientConfig::builder()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
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
