//! What a gateway holds before it writes: a session, leases, issued blobs.

use crate::id::{BlobId, ChunkId, LeaseId, SessionId};
use crate::secret::DataKey;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A session: how long it lives without a renewal, in cluster time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Renew well before this has passed.
    pub ttl_ms: u64,
}

/// A range of chunk ids that this gateway alone may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteLease {
    /// Its id.
    pub id: LeaseId,
    /// The first chunk id.
    pub first: ChunkId,
    /// How many.
    pub count: u64,
    /// New uploads may begin on it for so long.
    pub opens_for_ms: u64,
    /// It ends after so long unless renewed.
    pub ttl_ms: u64,
}

/// A blob id with its fresh data key and the proof that the service issued it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedBlob {
    /// The id.
    pub blob: BlobId,
    /// Its key.
    pub key: DataKey,
    /// The key, wrapped for this bucket, blob, session and expiry. Returned at commit.
    pub wrap: Bytes,
    /// Cluster time at which the wrap is refused, in milliseconds.
    pub expires_ms: u64,
}
