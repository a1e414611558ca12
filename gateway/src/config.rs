//! What a gateway is told at its start. Defaults are right for production.

use crate::admin::{Operations, Report};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use types::TenantId;
use types::size::ByteCount;
use types::wire::{Accounts, Usages};

/// Where a gateway listens, and within which bounds it serves.
pub struct GatewayConfig {
    /// S3 in the clear; port 0 lets the system choose.
    pub s3: Option<SocketAddr>,
    /// S3 over TLS.
    pub s3_tls: Option<TlsListen>,
    /// The admin API. Its TLS configuration must ask for client certificates: nothing behind it does.
    pub admin: Option<AdminConfig>,
    /// What GetBucketLocation says, and the location that CreateBucket accepts. Signatures may name any.
    pub region: String,
    /// Below each of these `bucket.domain` names a bucket; path style always works.
    pub domains: Vec<String>,
    /// Bounds.
    pub limits: Limits,
}

/// An address served over TLS.
pub struct TlsListen {
    /// Where.
    pub address: SocketAddr,
    /// With which certificate, and which clients. What is there when a connection comes holds for that
    /// connection; with its own sessions, so that none of them is resumed under another certificate.
    pub tls: watch::Receiver<Arc<rustls::ServerConfig>>,
}

impl TlsListen {
    /// An address served with one configuration from start to end.
    pub fn fixed(address: SocketAddr, tls: Arc<rustls::ServerConfig>) -> Self {
        let (_, tls) = watch::channel(tls);
        Self { address, tls }
    }
}

/// The admin API's listener and what it reports.
pub struct AdminConfig {
    /// Where, over mutual TLS.
    pub listen: TlsListen,
    /// Readiness, status and metrics of this process.
    pub report: Arc<dyn Report>,
    /// What may be done to disks.
    pub operations: Arc<dyn Operations>,
    /// Users and access keys.
    pub accounts: Arc<dyn Accounts>,
    /// What is in buckets, and quotas.
    pub usages: Arc<dyn Usages>,
    /// Whose users are made here.
    pub tenant: TenantId,
}

/// How much and how long. Each is a bound on what one client, or all together, can hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections a listener; further ones wait in the kernel's backlog.
    pub connections: usize,
    /// A TLS handshake, and a request's head, must be complete within this; an idle kept-alive
    /// connection is closed after it.
    pub head: Duration,
    /// A body, in either direction, must move within this.
    pub idle: Duration,
    /// Every so many bytes of a body, in either direction, may be waited for `idle` long, all waits together.
    /// It bounds how long a transfer can hold what it holds.
    pub least: ByteCount,
    /// Requests under way at shutdown may finish within this.
    pub drain: Duration,
    /// Uploads at once whose every chunk is signed: each holds a chunk of up to 8 MiB until its
    /// signature is known, outside the client's memory budget. Further ones wait.
    pub signed_streams: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            least: ByteCount::new(64 << 10),
            drain: Duration::from_secs(30),
            signed_streams: 32,
        }
    }
}
