//! Calls between servers: HTTP/2 over mutual TLS. And bulk: HTTP/1.1 over the same (`bulk`).
//!
//! ```text
//! Channel -- one connection, many calls --> Listener -> Service, with the caller's identity
//! ```
//!
//! A call is a POST to a path; what its bytes mean is for the two ends. What always holds: nobody is
//! answered who holds no certificate of the cluster's authority; a caller knows whether a call that failed
//! may have been carried out ([`CallError`]); a peer that falls silent is noticed, since both ends ask for
//! signs of life.

mod book;
pub mod bulk;
mod channel;
mod listener;
mod pace;
mod stall;
mod streamed;

pub use book::{AddressBook, Addresses, Places, Stream};
pub use channel::{Body, CallError, Channel, empty, whole};
pub use listener::{Answer, Door, Listener, Request, Service, answer, collect};
pub use pace::Pace;
pub use stall::Moving;
pub use streamed::{Hungup, PartError, PartReader, Parts, streamed};

pub use hyper::body::Incoming;
pub use hyper::{Method, StatusCode};
use std::time::Duration;

/// How often a sign of life is asked for, and how long it may take.
const ALIVE_EVERY: Duration = Duration::from_secs(2);
const ALIVE_WITHIN: Duration = Duration::from_secs(3);
/// What may be on its way unread: a connection carries bulk (snapshots) beside what is urgent.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
