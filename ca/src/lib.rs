//! The cluster's certificate authority: who a server is, and how its peers know.
//!
//! ```text
//! identity.rs    cluster, role and node id, as a certificate names them
//! authority.rs   issues certificates, each for one identity
//! tls.rs         mutual TLS between holders of such certificates
//! token.rs       what one server needs to join
//! ```
//!
//! Every hop between processes is mutual TLS under this one authority. TLS proves that a peer holds a
//! certificate of the authority, and to a client that the server is the one that it meant; what a caller's
//! role may do is for the server to decide, by [`Identity::of`] its certificate. No I/O happens here.

mod authority;
mod identity;
mod tls;
mod token;

pub use authority::{
    Authority, AuthorityError, Holding, Issued, Request, holding, pem, requested_key,
};
pub use identity::{Identity, IdentityError, Role};
pub use tls::{Credentials, H2, Removed};
pub use token::{Token, TokenError};
