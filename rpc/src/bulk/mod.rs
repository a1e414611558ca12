//! Bulk between servers: HTTP/1.1 over mutual TLS, a request at a time on a connection.
//!
//! ```text
//! Pool -- connections that are used again, one request each --> BulkListener -> Service, with the caller's identity
//! ```
//!
//! Megabytes go faster so than as frames among others on one connection, and a slow reader holds up nobody
//! behind it. What always holds: everything is bounded, in number, in bytes and in time; nobody is answered who
//! holds no certificate of the cluster's authority; a connection is used again only when the answer to its last
//! request was read to its end.

mod gather;
mod listener;
mod pool;

pub use gather::{GatherError, gather, length};
pub use listener::{BulkLimits, BulkListener};
pub use pool::{Pool, PoolLimits, Sent};

/// What both ends say they speak.
const HTTP_1_1: &[u8] = b"http/1.1";
