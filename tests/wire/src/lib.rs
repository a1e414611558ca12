//! An S3 client made of nothing: requests are signed here by Signature Version 4, written byte by byte,
//! and answers read byte by byte, so that tests can send what no SDK sends.
//!
//! ```text
//! ask.rs       a request; its head, signed in its headers, in its query, or not at all
//! sign.rs      the signature, held to the published vectors
//! chunks.rs    bodies in aws-chunks, each signed after the one before it
//! exchange.rs  sending it, and the answer
//! ```
//!
//! The gateway's signatures are checked by another implementation (s3s): that the two agree on every
//! request of every test is itself a test.

mod ask;
mod chunks;
mod exchange;
mod sign;

pub use ask::{Ask, encode, path};
pub use chunks::{Signed, signed_chunks, signed_trailer};
pub use exchange::{Reply, cut, exchange, exchange_on, try_exchange};
pub use sign::{Signer, now};
