//! What a client can be told.

use seal::Provider;
use std::sync::Arc;
use std::time::Duration;
use types::NodeId;
use types::size::{ByteCount, MIB};

/// The client's configuration. [`ClientConfig::new`] gives what is right for production.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The gateway that this client belongs to.
    pub node: NodeId,
    /// All memory for objects' bytes. Uploads get up to 9/16 of it, which must be a few chunks of the
    /// largest profile, parity included: 64 MiB is little.
    pub memory: ByteCount,
    /// The most that one download reads ahead.
    pub window: ByteCount,
    /// How long an operation waits for memory before it is told to slow down.
    pub memory_patience: Duration,
    /// How long the metadata service may be unavailable before an operation gives up. An election of a
    /// leader passes unnoticed within it.
    pub metadata_patience: Duration,
    /// How long a disk may take for one shard before it counts as failed.
    pub shard_patience: Duration,
    /// How long a written chunk waits for its last shards before they are noted as missing.
    pub grace: Duration,
    /// Who seals and opens.
    pub provider: Arc<dyn Provider>,
}

impl ClientConfig {
    /// Defaults: 512 MiB in all, 16 MiB a download, 10 s for each wait, 200 ms grace, AWS-LC.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            memory: ByteCount::new(512 * MIB),
            window: ByteCount::new(16 * MIB),
            memory_patience: Duration::from_secs(10),
            metadata_patience: Duration::from_secs(10),
            shard_patience: Duration::from_secs(10),
            grace: Duration::from_millis(200),
            provider: seal::provider::default(),
        }
    }
}
