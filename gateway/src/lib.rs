//! The gateway: S3 on top of the data path.
//!
//! Life of a request:
//!
//! ```text
//! server    a connection, in the clear or over TLS, bounded in number and in time
//! service   an id, a span, a body that must keep moving
//! s3s       the signature, by the secret that `identity` asks for; the operation and its input
//! refuse    what we do not implement, before any of the body is asked for
//! route     what s3s cannot do as S3 does: documents that are verified, ranges that are ignored
//! s3        the operation, over `client`; sums beside the bytes
//! service   the answer, with the request's id
//! ```
//!
//! What always holds:
//! - nothing is done for a request without a valid signature, not even reading its body: hyper answers
//!   `Expect: 100-continue` at the first read, which is after every check that needs no body;
//! - what a client asks for is done or refused, never silently left out;
//! - an object is stored only if every sum and length that the client promised holds;
//! - no key, secret, header value or byte of an object is logged. s3s logs names and documents:
//!   silence it with [`may_log`].

mod acl;
mod admin;
mod checksum;
mod checksum_combine;
mod checksum_object;
mod config;
mod date;
mod digest;
mod domain;
mod error;
mod framing;
mod gather;
mod identity;
mod ingress;
mod known;
mod linger;
mod md5;
mod range;
mod refuse;
mod repeated;
mod route;
mod s3;
mod server;
mod service;
mod unsatisfied;
mod xml;

pub use admin::{
    AddedNode, CheckRequest, Complaint, ELSEWHERE, LaidOut, MadeKey, Metrics, Operations,
    Replacement, Report, ScrubRequest,
};
pub use config::{AdminConfig, GatewayConfig, Limits, TlsListen};
pub use identity::Identity;
pub use server::{Addresses, AdminServer, Gateway, StartError};

/// Whether a line may be logged: nothing of s3s may, which prints object names at any level, and
/// documents that it cannot parse. A filter for the log layer of every process that runs a gateway; as
/// a directive it would be overruled by any that is more specific.
pub fn may_log(metadata: &tracing::Metadata<'_>) -> bool {
    !metadata.target().starts_with("s3s")
}
