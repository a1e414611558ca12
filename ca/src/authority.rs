//! The authority: a key that signs, and a certificate that everybody trusts.

use crate::identity::{Identity, IdentityError, Role, is_free};
use crate::tls::Credentials;
use crate::token::Token;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer,
};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use types::wire::members::ServerRole;
use types::{ClusterId, NodeId};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

const DAY: Duration = Duration::from_secs(24 * 3600);
const AUTHORITY_FOR: Duration = DAY.saturating_mul(3650);
/// Of certificates that are issued at every start, or made by hand.
const CERTIFICATE_FOR: Duration = DAY.saturating_mul(825);
/// Of certificates that are renewed by themselves.
const RENEWED_FOR: Duration = DAY.saturating_mul(90);

/// Why there is no authority, or no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The certificates cannot be made, or the authority's own not be used.
    #[error("making a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The authority's certificate cannot be read.
    #[error("reading the authority's certificate")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// TLS refuses what was issued.
    #[error("using a certificate")]
    Tls(#[from] rustls::Error),
    /// It would pass for another server.
    #[error("the name {0:?} is one by which servers of the cluster know each other")]
    Name(String),
    /// The key is not one of this authority.
    #[error("the authority's key is not the one of its certificate")]
    Key,
}

/// The authority of one cluster.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate and its key, as files hold them.
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// Its key.
    pub key_pem: String,
}

impl Authority {
    /// A new authority, for its files.
    ///
    /// # Errors
    /// When its key cannot be made.
    pub fn make() -> Result<Issued, AuthorityError> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Strongroom cluster authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = valid_for(AUTHORITY_FOR);
        let made = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Issued {
            certificate_pem: made.pem(),
            key_pem: made.key().serialize_pem(),
        })
    }

    /// The authority whose files these are.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn load(files: &Issued) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pem(&files.key_pem)?;
        let pem = &files.certificate_pem;
        Ok(Self {
            certificate: CertificateDer::from_pem_slice(pem.as_bytes())?,
            issuer: Issuer::from_ca_cert_pem(pem, key)?,
        })
    }

    /// The authority of this certificate, whose key is kept elsewhere than in a file of its own, as
    /// [`Authority::key`] gave it.
    ///
    /// # Errors
    /// When either cannot be read, or they do not go together.
    pub fn with_key(certificate_pem: &str, key: &[u8]) -> Result<Self, AuthorityError> {
        let key = KeyPair::try_from(key)?;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())?;
        if public_key(&certificate).is_none_or(|public| public != key.subject_public_key_info()) {
            return Err(AuthorityError::Key);
        }
        Ok(Self {
            certificate,
            issuer: Issuer::from_ca_cert_pem(certificate_pem, key)?,
        })
    }

    /// Its key, to be kept where secrets are.
    pub fn key(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.issuer.key().serialize_der())
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What a server needs to call others and to be called. `names` are the IP addresses and host names
    /// under which those reach it who know it by no identity.
    ///
    /// # Errors
    /// When a name is none.
    pub fn credentials(
        &self,
        identity: &Identity,
        names: &[String],
    ) -> Result<Credentials, AuthorityError> {
        let (certificate, key) = self.sign(identity, names, &BOTH)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        Ok(Credentials::new(&self.certificate, chain, key)?)
    }

    /// A certificate for who only calls, as a file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn client_files(&self, identity: &Identity) -> Result<Issued, AuthorityError> {
        let (certificate, key) = self.sign(identity, &[], &BOTH[1..])?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// As [`Authority::credentials`], as files of a server that keeps them.
    ///
    /// # Errors
    /// When a name is none.
    pub fn server_files(
        &self,
        identity: &Identity,
        names: &[String],
    ) -> Result<Issued, AuthorityError> {
        let (certificate, key) = self.sign(identity, names, &BOTH)?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// The certificate of a server that has made its key itself, and shows with its request that it has it. What
    /// else the request says is ignored.
    ///
    /// # Errors
    /// When the request cannot be read, or a name is none, or one of another server.
    pub fn answer(
        &self,
        request: &[u8],
        identity: &Identity,
        names: &[String],
    ) -> Result<String, AuthorityError> {
        let request = CertificateSigningRequestDer::from(request);
        let asked = CertificateSigningRequestParams::from_der(&request)?;
        let params = params(identity, names, &BOTH, RENEWED_FOR)?;
        Ok(params.signed_by(&asked.public_key, &self.issuer)?.pem())
    }

    /// A token for one who is to join, and knows then where these servers are.
    ///
    /// # Errors
    /// When its certificate cannot be made.
    pub fn token(
        &self,
        cluster: ClusterId,
        number: u64,
        role: ServerRole,
        valid: Duration,
        servers: BTreeMap<u64, String>,
    ) -> Result<Token, AuthorityError> {
        let holder = Identity::server(cluster, Role::Joiner, NodeId::new(number));
        let key = KeyPair::generate()?;
        let certificate = params(&holder, &[], &BOTH[1..], valid)?.signed_by(&key, &self.issuer)?;
        Ok(Token::new(
            &self.certificate,
            certificate.der(),
            key.serialize_der(),
            role,
            servers,
        ))
    }

    fn sign(
        &self,
        identity: &Identity,
        names: &[String],
        usages: &[ExtendedKeyUsagePurpose],
    ) -> Result<(rcgen::Certificate, KeyPair), AuthorityError> {
        let key = KeyPair::generate()?;
        let params = params(identity, names, usages, CERTIFICATE_FOR)?;
        Ok((params.signed_by(&key, &self.issuer)?, key))
    }
}

/// What is in a holder's certificate.
fn params(
    identity: &Identity,
    names: &[String],
    usages: &[ExtendedKeyUsagePurpose],
    valid: Duration,
) -> Result<CertificateParams, AuthorityError> {
    if let Some(name) = names.iter().find(|name| !is_free(name)) {
        return Err(AuthorityError::Name(name.clone()));
    }
    let mut params = CertificateParams::new(names)?;
    let uri = Ia5String::try_from(identity.uri())?;
    let dns = Ia5String::try_from(identity.dns())?;
    params
        .subject_alt_names
        .extend([SanType::URI(uri), SanType::DnsName(dns)]);
    let role = identity.role.name();
    let name = match identity.node {
        Some(node) => format!("Strongroom {role} {}", node.get()),
        None => format!("Strongroom {role}"),
    };
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationalUnitName, role);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usages.to_vec();
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = valid_for(valid);
    Ok(params)
}

/// The key that a certificate is of, as it spells it.
fn public_key(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.public_key().raw.to_vec())
}

/// A certificate as PEM files hold it.
pub fn pem(certificate: &CertificateDer<'_>) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", certificate.as_ref()))
}

/// What its holder has to know of a certificate to renew it.
pub struct Holding {
    /// Whether it is valid now, by the clock of this machine.
    pub valid: bool,
    /// For how long it is still valid; zero where it is not.
    pub left: Duration,
    /// The names and IP addresses in it besides its identity.
    pub names: Vec<String>,
}

/// Reads a holder's own certificate.
///
/// # Errors
/// When it cannot be read.
pub fn holding(certificate: &CertificateDer<'_>) -> Result<Holding, IdentityError> {
    let unreadable = |_| IdentityError::Unreadable;
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(unreadable)?;
    let left = parsed.validity().time_to_expiration();
    let names = parsed.subject_alternative_name();
    let names = names.map_err(|_| IdentityError::Unreadable)?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => is_free(name).then(|| (*name).to_owned()),
        GeneralName::IPAddress(bytes) => ip_address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    Ok(Holding {
        valid: parsed.validity().is_valid(),
        left: left.map_or(Duration::ZERO, time::Duration::unsigned_abs),
        names: names.iter().filter_map(name).collect(),
    })
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// The public key that a request is for, as certificates spell it.
///
/// # Errors
/// When the request cannot be read, or whoever made it does not have the key.
pub fn requested_key(request: &[u8]) -> Result<Vec<u8>, AuthorityError> {
    let request = CertificateSigningRequestDer::from(request);
    let asked = CertificateSigningRequestParams::from_der(&request)?;
    Ok(asked.public_key.subject_public_key_info())
}

/// A key that its holder makes, and the request for its certificate.
pub struct Request {
    /// The key, in PEM.
    pub key_pem: Zeroizing<String>,
    /// What is sent to the authority.
    pub request: Vec<u8>,
}

impl Request {
    /// With a new key.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make() -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        Self::with(&key)
    }

    /// With the key of an earlier request, which may have been answered.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn again(key_pem: &str) -> Result<Self, AuthorityError> {
        Self::with(&KeyPair::from_pem(key_pem)?)
    }

    fn with(key: &KeyPair) -> Result<Self, AuthorityError> {
        let request = CertificateParams::default().serialize_request(key)?;
        Ok(Self {
            key_pem: Zeroizing::new(key.serialize_pem()),
            request: request.der().to_vec(),
        })
    }
}

/// A server calls others, too.
const BOTH: [ExtendedKeyUsagePurpose; 2] = [
    ExtendedKeyUsagePurpose::ServerAuth,
    ExtendedKeyUsagePurpose::ClientAuth,
];

/// From yesterday, so that a clock slightly behind does not refuse it.
fn valid_for(valid: Duration) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let now = time::OffsetDateTime::now_utc();
    (now - time::Duration::DAY, now + valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate says who holds it; the authority's own says nothing.
    #[test]
    fn certificates_name_their_holders() {
        let authority = Authority::load(&Authority::make().unwrap()).unwrap();
        let cluster = ClusterId::new([7; 16]);
        let server = Identity::server(cluster, Role::Metadata, NodeId::new(3));
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let credentials = authority.credentials(&server, &names).unwrap();
        assert_eq!(Identity::of(&credentials.certificate()).unwrap(), server);
        let operator = authority
            .client_files(&Identity::operator(cluster))
            .unwrap();
        let der = CertificateDer::from_pem_slice(operator.certificate_pem.as_bytes()).unwrap();
        assert_eq!(Identity::of(&der).unwrap(), Identity::operator(cluster));
        assert!(matches!(
            Identity::of(authority.certificate()),
            Err(IdentityError::NotOne(0))
        ));
        let nothing = CertificateDer::from(vec![1, 2, 3]);
        assert!(Identity::of(&nothing).is_err());
    }
}
