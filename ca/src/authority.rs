//! The authority: a key that signs, and a certificate that everybody trusts.

use crate::identity::Identity;
use crate::tls::Credentials;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

const AUTHORITY_DAYS: i64 = 3650;
/// A new one is issued at every start.
const CERTIFICATE_DAYS: i64 = 825;

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
        (params.not_before, params.not_after) = valid_for(AUTHORITY_DAYS);
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

    fn sign(
        &self,
        identity: &Identity,
        names: &[String],
        usages: &[ExtendedKeyUsagePurpose],
    ) -> Result<(rcgen::Certificate, KeyPair), AuthorityError> {
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
        (params.not_before, params.not_after) = valid_for(CERTIFICATE_DAYS);
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?, key))
    }
}

/// A server calls others, too.
const BOTH: [ExtendedKeyUsagePurpose; 2] = [
    ExtendedKeyUsagePurpose::ServerAuth,
    ExtendedKeyUsagePurpose::ClientAuth,
];

/// From yesterday, so that a clock slightly behind does not refuse it.
fn valid_for(days: i64) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let now = time::OffsetDateTime::now_utc();
    (now - time::Duration::DAY, now + time::Duration::days(days))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{IdentityError, Role};
    use types::{ClusterId, NodeId};

    /// A certificate says who holds it; the authority's own says nothing.
    #[test]
    fn certificates_name_their_holders() {
        let authority = Authority::load(&Authority::make().unwrap()).unwrap();
        let cluster = ClusterId::new([7; 16]);
        let server = Identity::server(cluster, Role::Metadata, NodeId::new(3));
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let credentials = authority.credentials(&server, &names).unwrap();
        assert_eq!(Identity::of(credentials.certificate()).unwrap(), server);
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
