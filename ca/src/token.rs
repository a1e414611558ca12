//! A token: what one server needs to join, as a text to hand on.
//!
//! ```text
//! strongroom-join-1.  ‖ base64url of { authority, certificate, key, role, servers }, as `types::codec` encodes them
//! ```
//!
//! It is a certificate that lives as long as the token, and its key. So who joins proves itself as everybody else
//! does, no port is open to who has none, and both ends know the other's authority before anything is sent. That
//! it is used once, the metadata servers see to. Who holds the text is who joins: it is a secret.

use crate::identity::{Identity, Role};
use crate::tls::Credentials;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use types::codec;
use types::wire::members::ServerRole;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const PREFIX: &str = "strongroom-join-1.";

/// A token.
pub struct Token(Parts);

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Parts {
    #[serde(with = "serde_bytes")]
    authority: Vec<u8>,
    #[serde(with = "serde_bytes")]
    certificate: Vec<u8>,
    #[serde(with = "serde_bytes")]
    key: Vec<u8>,
    #[zeroize(skip)]
    role: ServerRole,
    #[zeroize(skip)]
    servers: BTreeMap<u64, String>,
}

/// Why a text is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It does not begin as one.
    #[error("it does not begin with {PREFIX}")]
    Foreign,
    /// Some of it is missing, or was changed.
    #[error("it is not complete")]
    Damaged,
}

impl Token {
    pub(crate) fn new(
        authority: &CertificateDer<'_>,
        certificate: &CertificateDer<'_>,
        key: Vec<u8>,
        role: ServerRole,
        servers: BTreeMap<u64, String>,
    ) -> Self {
        Self(Parts {
            authority: authority.to_vec(),
            certificate: certificate.to_vec(),
            key,
            role,
            servers,
        })
    }

    /// The text.
    pub fn text(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(codec::encode(&self.0));
        let mut text = Zeroizing::new(PREFIX.to_owned());
        BASE64_URL_SAFE_NO_PAD.encode_string(&bytes[..], &mut text);
        text
    }

    /// The token with this text; white space around it is passed over.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let encoded = text.trim().strip_prefix(PREFIX);
        let encoded = encoded.ok_or(TokenError::Foreign)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded);
        let bytes = Zeroizing::new(bytes.map_err(|_| TokenError::Damaged)?);
        let parts: Parts = codec::decode(&bytes).map_err(|_| TokenError::Damaged)?;
        let token = Self(parts);
        let complete = token.holder().is_some() && token.credentials().is_ok();
        complete.then_some(token).ok_or(TokenError::Damaged)
    }

    /// Who holds it.
    pub fn holder(&self) -> Option<Identity> {
        let certificate = CertificateDer::from(&self.0.certificate[..]);
        let holder = Identity::of(&certificate).ok()?;
        (holder.role == Role::Joiner).then_some(holder)
    }

    /// How the holder proves to be one.
    ///
    /// # Errors
    /// When the token's parts do not go together.
    pub fn credentials(&self) -> Result<Credentials, rustls::Error> {
        let certificate = CertificateDer::from(self.0.certificate.clone());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.key.clone()));
        Credentials::new(&self.authority(), vec![certificate], key)
    }

    /// The authority of its cluster.
    pub fn authority(&self) -> CertificateDer<'static> {
        CertificateDer::from(self.0.authority.clone())
    }

    /// What its holder becomes. The metadata servers know it, too, and go by that.
    pub fn role(&self) -> ServerRole {
        self.0.role
    }

    /// Metadata servers, and where they listen.
    pub fn servers(&self) -> &BTreeMap<u64, String> {
        &self.0.servers
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;
    use std::time::Duration;
    use types::ClusterId;

    /// A token's text says who may join what; with a letter less or another it is none.
    #[test]
    fn a_text_is_a_token_or_none() {
        let authority = Authority::load(&Authority::make().unwrap()).unwrap();
        let cluster = ClusterId::new([3; 16]);
        let servers = BTreeMap::from([(1, "10.0.0.1:9011".to_owned())]);
        let hour = Duration::from_secs(3600);
        let text = authority.token(cluster, 7, ServerRole::Storage, hour, servers.clone());
        let text = text.unwrap().text();
        let token = Token::parse(&format!(" {}\n", *text)).unwrap();
        let holder = token.holder().unwrap();
        assert_eq!((holder.cluster, holder.role), (cluster, Role::Joiner));
        assert_eq!(holder.node.unwrap().get(), 7);
        assert_eq!(token.authority(), *authority.certificate());
        assert_eq!(
            (token.role(), token.servers()),
            (ServerRole::Storage, &servers)
        );
        assert_eq!(format!("{token:?}"), "Token(..)");
        for cut in 0..text.len() {
            assert!(Token::parse(&text[..cut]).is_err(), "{cut}");
        }
        assert!(matches!(Token::parse("a-b.c"), Err(TokenError::Foreign)));
    }
}
