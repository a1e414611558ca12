//! What a client can be told.

use seal::Provider;
use std::fmt;
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
    /// Where chunks are sealed.
    pub sealing: Sealing,
    /// What groups and versions' ids are drawn from. Keys are the provider's and the service's own.
    pub chance: Chance,
}

/// Where chunks are sealed and coded: some milliseconds of a core's time each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// On threads for it, several at a time.
    OnThreads,
    /// In the task that waits for it: where one thread does everything, no other one changes the order.
    InTask,
}

/// Where numbers come from that decide what happens, and that nobody has to keep from guessing.
#[derive(Clone)]
pub struct Chance(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Chance {
    /// The system's.
    pub fn of_the_system() -> Self {
        Self::from(|| getrandom::u64().expect("the system has randomness"))
    }

    /// 64 bits.
    pub(crate) fn draw(&self) -> u64 {
        (self.0)()
    }
}

impl<F: Fn() -> u64 + Send + Sync + 'static> From<F> for Chance {
    fn from(draw: F) -> Self {
        Self(Arc::new(draw))
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chance(..)")
    }
}

impl ClientConfig {
    /// Defaults: 512 MiB in all, 8 MiB a download, 10 s for each wait, 200 ms grace, AWS-LC on threads.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            memory: ByteCount::new(512 * MIB),
            window: ByteCount::new(8 * MIB),
            memory_patience: Duration::from_secs(10),
            metadata_patience: Duration::from_secs(10),
            shard_patience: Duration::from_secs(10),
            grace: Duration::from_millis(200),
            provider: seal::provider::default(),
            sealing: Sealing::OnThreads,
            chance: Chance::of_the_system(),
        }
    }
}
