//! How a metadata server takes part in Raft, and what suits production.

use openraft::SnapshotPolicy;
use std::time::Duration;
use types::size::MIB;
use types::{ByteCount, NodeId};

/// How a server takes part.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Its id, never used by another server before or after.
    pub node: NodeId,
    /// How often a leader shows that it is there.
    pub heartbeat: Duration,
    /// After between one and two times as long without a leader, another is elected; so the election
    /// timeout is at most twice this. A third of it must be longer than the heartbeat's interval.
    pub election: Duration,
    /// How long a proposal or a read waits for its quorum.
    pub patience: Duration,
    /// Size of one log file.
    pub log_file: ByteCount,
    /// Payloads of entries kept in memory.
    pub log_cache: ByteCount,
    /// Entries kept behind a snapshot, so that peers that lag need no snapshot.
    pub keep_entries: u64,
    /// A snapshot is due when the log since the last exceeds this and the snapshot's size.
    pub snapshot_after: ByteCount,
    /// How often a server reads its stored rows through, and the leader has all compare theirs.
    pub audit_every: Duration,
    /// What decides when it stands for election; none: the system's randomness. With one, work that blocks is done at once.
    pub seed: Option<u64>,
}

impl NodeConfig {
    /// What suits production.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            heartbeat: Duration::from_millis(200),
            election: Duration::from_millis(1000),
            patience: Duration::from_secs(10),
            log_file: ByteCount::new(64 * MIB),
            log_cache: ByteCount::new(64 * MIB),
            keep_entries: 100_000,
            snapshot_after: ByteCount::new(64 * MIB),
            audit_every: Duration::from_secs(3600),
            seed: None,
        }
    }

    /// As openraft takes it.
    pub(crate) fn raft(&self) -> Result<openraft::Config, openraft::ConfigError> {
        let config = openraft::Config {
            cluster_name: "strongroom".into(),
            heartbeat_interval: milliseconds(self.heartbeat),
            // Openraft takes the maximum for the lease, too: a follower waits for that, and then for a
            // time between the two. So it stands for election after less than twice the maximum.
            election_timeout_min: milliseconds(self.election / 3),
            election_timeout_max: milliseconds(self.election),
            // A call is bounded by so many of the longest proposals.
            max_payload_entries: 64,
            // Bounds the installing of a snapshot, which is as long as the state is large.
            install_snapshot_timeout: 600_000,
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: self.keep_entries,
            enable_pre_vote: Some(true),
            // A leader may have committed, with its peers, what its own log had not made durable
            // when its power went. Restored without an election it would lead without it (decision
            // 0010).
            enable_leader_restore: Some(false),
            ..openraft::Config::default()
        };
        config.validate()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
