//! Who holds a certificate.
//!
//! ```text
//! URI name   strongroom://CLUSTER/ROLE/NODE    read by servers, of their callers
//! DNS name   ROLE-NODE.CLUSTER.strongroom      checked by callers, of the server that they meant
//! ```
//!
//! CLUSTER is 32 hex digits, NODE a decimal number, absent for who is no server. The DNS name is never
//! resolved: TLS compares it, so that a caller who was sent to another server's address notices.

use rustls::pki_types::{CertificateDer, ServerName};
use std::fmt;
use types::wire::members::ServerRole;
use types::{ClusterId, NodeId};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

const SCHEME: &str = "strongroom://";
const DOMAIN: &str = "strongroom";

/// What a holder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// A metadata server.
    Metadata,
    /// A storage node.
    Storage,
    /// An S3 gateway.
    Gateway,
    /// A person or program that runs the operator's commands.
    Operator,
    /// Who holds a token, and may ask to become a server with it. Its number is the token's.
    Joiner,
}

impl Role {
    const ALL: [Self; 5] = [
        Self::Metadata,
        Self::Storage,
        Self::Gateway,
        Self::Operator,
        Self::Joiner,
    ];

    /// As certificates spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Storage => "storage",
            Self::Gateway => "gateway",
            Self::Operator => "operator",
            Self::Joiner => "joiner",
        }
    }
}

/// Whether a name may be a holder's besides its identity: none by which servers know each other.
pub(crate) fn is_free(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name != DOMAIN && !name.ends_with(&format!(".{DOMAIN}"))
}

impl From<ServerRole> for Role {
    fn from(role: ServerRole) -> Self {
        match role {
            ServerRole::Metadata => Self::Metadata,
            ServerRole::Storage => Self::Storage,
            ServerRole::Gateway => Self::Gateway,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who holds a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// What for.
    pub role: Role,
    /// Which server; none is no server.
    pub node: Option<NodeId>,
}

/// Why a certificate does not say who holds it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// It is not a certificate.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// No name of it, or more than one, is an identity.
    #[error("the certificate names {0} identities; one is expected")]
    NotOne(usize),
}

impl Identity {
    /// A server's.
    pub fn server(cluster: ClusterId, role: Role, node: NodeId) -> Self {
        Self {
            cluster,
            role,
            node: Some(node),
        }
    }

    /// The operator's.
    pub fn operator(cluster: ClusterId) -> Self {
        Self {
            cluster,
            role: Role::Operator,
            node: None,
        }
    }

    /// Who holds a certificate. That it is genuine, TLS has found out.
    ///
    /// # Errors
    /// When it does not say.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let parsed = X509Certificate::from_der(certificate);
        let (_, certificate) = parsed.map_err(|_| IdentityError::Unreadable)?;
        let names = certificate.subject_alternative_name();
        let names = names.map_err(|_| IdentityError::Unreadable)?;
        let names = names.map_or(&[][..], |names| &names.value.general_names);
        let found: Vec<Self> = names
            .iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Self::parse(uri),
                _ => None,
            })
            .collect();
        match found[..] {
            [one] => Ok(one),
            _ => Err(IdentityError::NotOne(found.len())),
        }
    }

    /// The identity with this URI name. Each has one spelling only.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(SCHEME)?.split('/');
        let cluster = ClusterId::parse(parts.next()?)?;
        let role = parts.next()?;
        let role = Role::ALL.into_iter().find(|known| known.name() == role)?;
        let number: Option<u64> = parts.next().and_then(|number| number.parse().ok());
        let identity = Self {
            cluster,
            role,
            node: number.map(NodeId::new),
        };
        (identity.uri() == text).then_some(identity)
    }

    /// Its URI name.
    pub fn uri(&self) -> String {
        let Self { cluster, role, .. } = self;
        match self.node {
            Some(node) => format!("{SCHEME}{cluster}/{role}/{}", node.get()),
            None => format!("{SCHEME}{cluster}/{role}"),
        }
    }

    /// The DNS name that a caller checks.
    ///
    /// # Panics
    /// Never: role, number and cluster are made of letters and digits.
    pub fn server_name(&self) -> ServerName<'static> {
        ServerName::try_from(self.dns()).expect("letters, digits, hyphens and dots")
    }

    pub(crate) fn dns(&self) -> String {
        let Self { cluster, role, .. } = self;
        match self.node {
            Some(node) => format!("{role}-{}.{cluster}.{DOMAIN}", node.get()),
            None => format!("{role}.{cluster}.{DOMAIN}"),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An identity reads as it was written, and nothing else reads as one.
    #[test]
    fn names_are_read_strictly() {
        let cluster = ClusterId::new([0xab; 16]);
        let second = Identity::server(cluster, Role::Metadata, NodeId::new(2));
        let operator = Identity::operator(cluster);
        for identity in [second, operator] {
            assert_eq!(Identity::parse(&identity.uri()), Some(identity));
        }
        assert_eq!(
            second.uri(),
            format!("strongroom://{}/metadata/2", "ab".repeat(16))
        );
        let good = second.uri();
        for bad in [
            "",
            "strongroom://",
            &good.replace("strongroom", "http"),
            &good.replace("metadata", "root"),
            &good.replace("/2", "/02"),
            &good.replace("/2", "/+2"),
            &good.replace("/2", "/"),
            &format!("{good}/3"),
            &good.replace("abab", "ABAB"),
        ] {
            assert_eq!(Identity::parse(bad), None, "{bad}");
        }
    }
}
