//! The shard service of a process of its own: HTTP/1.1 over mutual TLS.
//!
//! ```text
//! gateways       put, read, describe, report, scrub ─┐
//! other nodes    read, describe, report ─────────────┴─► certificate ─► route ─► memory ─► the service
//! ```
//!
//! Nothing is decided here that the service does not decide when it is called directly: epochs and fences are its
//! own. What this adds is bounds. Connections are counted, and each has one request under way. The bytes of
//! bodies, going in either direction, are paid for out of two budgets, before a body is read and before a disk
//! is; when one is used up, the answer is `Busy` at once. A body keeps a least pace, or its connection is given
//! up. An answer holds its memory until it is sent, and nothing of the disk that it was read from.

mod budget;
mod meter;
mod requests;

use ca::{Credentials, Role};
use requests::Requests;
use rpc::bulk::{BulkLimits, BulkListener};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use types::ByteCount;
use types::size::MIB;
use types::wire::{Scrubs, ShardStore};

/// Whom TLS lets in at all: gateways, and other nodes, which read what they make again.
pub const ADMITTED: &[Role] = &[Role::Gateway, Role::Storage];

/// How much of everything. Defaults are right for production: as many connections as there may be can each have a
/// shard of 1 MiB on its way to a reader, who would rebuild it from others if he were told `Busy`.
#[derive(Clone, Debug)]
pub struct ServeLimits {
    /// Bytes of shards that are being received.
    pub received: ByteCount,
    /// Bytes of answers that are being sent, or read from disks to be.
    pub sent: ByteCount,
    /// Connections, and how long each may take.
    pub bulk: BulkLimits,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            received: ByteCount::new(512 * MIB),
            sent: ByteCount::new(1024 * MIB),
            bulk: BulkLimits::default(),
        }
    }
}

/// Why shards are not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The node's certificate cannot be used.
    #[error("using the node's certificate")]
    Tls(#[from] rustls::Error),
    /// The address cannot be listened on.
    #[error("listening for shards on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A shard service that others reach. Dropped, it closes with every connection.
pub struct ShardServer(BulkListener);

impl ShardServer {
    /// Serves `shards` at an address to whoever is of the same cluster and has one of the [`ADMITTED`] roles. Of a
    /// scrub nobody is told anything.
    ///
    /// # Errors
    /// When the certificate cannot be used, or the address is taken.
    pub async fn start(
        address: SocketAddr,
        credentials: &Credentials,
        shards: Arc<dyn ShardStore>,
        limits: ServeLimits,
    ) -> Result<Self, ServeError> {
        Self::listen(address, credentials, Requests::new(shards, &limits), limits).await
    }

    /// The same, and to gateways the scrub of the disks.
    ///
    /// # Errors
    /// As [`ShardServer::start`].
    pub async fn start_with_scrubs(
        address: SocketAddr,
        credentials: &Credentials,
        shards: Arc<dyn ShardStore>,
        scrubs: Arc<dyn Scrubs>,
        limits: ServeLimits,
    ) -> Result<Self, ServeError> {
        let requests = Requests::new(shards, &limits).with_scrubs(scrubs);
        Self::listen(address, credentials, requests, limits).await
    }

    async fn listen(
        address: SocketAddr,
        credentials: &Credentials,
        requests: Requests,
        limits: ServeLimits,
    ) -> Result<Self, ServeError> {
        let tls = credentials.server(ADMITTED)?;
        let requests = Arc::new(requests);
        let listener = BulkListener::bind(address, tls, requests, limits.bulk).await;
        let listening = listener.map_err(|source| ServeError::Listen { address, source })?;
        Ok(Self(listening))
    }

    /// Where it listens, port chosen.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Takes no new requests, finishes those under way within the drain time, and returns when none is left.
    pub async fn shutdown(&self) {
        self.0.close().await;
    }
}
