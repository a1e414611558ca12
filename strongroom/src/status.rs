//! What a cluster says of itself.

use serde::{Deserialize, Serialize};
use std::fmt;
use types::wire::storage::{DiskReport, DiskState};
use types::{ClusterId, Profile};

/// The answer to `strongroom status`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Which cluster.
    pub(crate) cluster: ClusterId,
    /// How new buckets are coded.
    pub(crate) profile: Profile,
    /// The metadata servers.
    pub(crate) metadata: Vec<MetadataStatus>,
    /// Every admitted disk.
    pub(crate) disks: Vec<DiskReport>,
}

/// One metadata server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetadataStatus {
    /// Its node id.
    pub(crate) node: u64,
    /// Whether it leads.
    pub(crate) leader: bool,
    /// Its Raft term.
    pub(crate) term: u64,
    /// The last log index that it applied.
    pub(crate) applied: u64,
    /// By how much another has applied more.
    #[serde(default)]
    pub(crate) lag: u64,
    /// Why it does not run; none: it does.
    #[serde(default)]
    pub(crate) stopped: Option<String>,
}

impl Status {
    fn serving(&self) -> usize {
        self.disks
            .iter()
            .filter(|disk| disk.state == DiskState::Serving)
            .count()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cluster  {}  profile {}", self.cluster, self.profile)?;
        writeln!(
            f,
            "disks    {} of {} serving",
            self.serving(),
            self.disks.len()
        )?;
        for server in &self.metadata {
            writeln!(f, "metadata {}  {server}", server.node)?;
        }
        for disk in &self.disks {
            let state = match &disk.state {
                DiskState::Serving => format!("serving  {}", disk.engine),
                DiskState::Absent(why) => format!("absent   {why}"),
                DiskState::Failed(why) => format!("failed   {why}"),
                other => format!("{other:?}"),
            };
            let (shards, used, free) = (disk.shards, mebibytes(disk.used), mebibytes(disk.free));
            writeln!(
                f,
                "{}  {shards:>8} shards  {used:>8} MiB used  {free:>8} MiB free  {state}",
                disk.disk
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for MetadataStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { term, applied, .. } = self;
        if let Some(why) = &self.stopped {
            return write!(f, "stopped   {why}");
        }
        let role = if self.leader { "leader" } else { "follower" };
        write!(f, "{role}, term {term}, applied {applied}")?;
        match self.lag {
            0 => Ok(()),
            lag => write!(f, ", {lag} behind"),
        }
    }
}

fn mebibytes(count: types::ByteCount) -> u64 {
    count.get() / types::size::MIB
}
