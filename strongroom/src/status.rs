//! What a cluster says of itself.

use serde::{Deserialize, Serialize};
use std::fmt;
use storage_node::upkeep::Done;
use types::wire::storage::{DiskReport, DiskState};
use types::wire::upkeep::{Backlog, Health};
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
    /// How safe the data is; none while the metadata servers do not answer.
    pub(crate) health: Option<Health>,
    /// What is being done about it.
    pub(crate) upkeep: UpkeepStatus,
}

/// What the upkeep of the disks has done since the process started, and does.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct UpkeepStatus {
    /// Shards that were made again.
    pub(crate) repaired_shards: u64,
    /// Bytes in them.
    pub(crate) repaired_bytes: u64,
    /// Bytes a second lately.
    pub(crate) bytes_a_second: f64,
    /// Shards a second lately.
    pub(crate) shards_a_second: f64,
    /// Shards that were removed.
    pub(crate) removed_shards: u64,
}

impl From<Done> for UpkeepStatus {
    fn from(done: Done) -> Self {
        Self {
            repaired_shards: done.shards,
            repaired_bytes: done.bytes,
            bytes_a_second: done.bytes_a_second,
            shards_a_second: done.shards_a_second,
            removed_shards: done.removed,
        }
    }
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

/// As one server sees itself: whether others have applied more, it does not know.
impl From<metadata::raft::Status> for MetadataStatus {
    fn from(status: metadata::raft::Status) -> Self {
        Self {
            node: status.node.get(),
            leader: status.leader == Some(status.node),
            term: status.term,
            applied: status.applied.unwrap_or(0),
            lag: 0,
            stopped: status.stopped,
        }
    }
}

/// A disk's state in a word, and why it does not serve or is slow.
pub(crate) fn told(disk: &DiskReport) -> (&'static str, &str) {
    match &disk.state {
        DiskState::Serving => match &disk.slow {
            Some(why) => ("slow", why),
            None => ("serving", ""),
        },
        DiskState::Absent(why) => ("absent", why),
        DiskState::Failed(why) => ("failed", why),
        DiskState::Stalled(why) => ("stalled", why),
        _ => ("unknown", "a later build says why"),
    }
}

impl Status {
    fn serving(&self) -> usize {
        self.disks
            .iter()
            .filter(|disk| disk.state == DiskState::Serving)
            .count()
    }
}

impl Status {
    fn safety(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(health) = &self.health else {
            return writeln!(f, "data     unknown: the metadata servers do not answer");
        };
        match health.tolerates {
            None => writeln!(f, "data     none stored")?,
            Some(0) => writeln!(f, "data     whole, but no further disk may fail")?,
            Some(n @ 1..) => writeln!(f, "data     whole; {n} more disks may fail")?,
            Some(n) => writeln!(
                f,
                "data     NOT WHOLE: {} disks too few for some objects; bring disks back",
                -n
            )?,
        }
        let shards: u64 = health.repairs.iter().map(|backlog| backlog.shards).sum();
        if shards > 0 {
            let runs: u64 = health.repairs.iter().map(|backlog| backlog.runs).sum();
            let rate = self.upkeep.shards_a_second;
            let left = if rate > 0.0 {
                let speed = self.upkeep.bytes_a_second / types::size::MIB as f64;
                format!("{speed:.0} MiB/s, {:.0} s left", shards as f64 / rate)
            } else {
                "waiting for disks".to_owned()
            };
            writeln!(f, "repair   up to {shards} shards in {runs} runs: {left}")?;
            for Backlog { disk, shards, .. } in &health.repairs {
                writeln!(f, "         {shards} on {disk}")?;
            }
        }
        if health.deletes + health.waiting > 0 {
            writeln!(
                f,
                "deleted  {} objects wait for the reclaim delay, {} slots for their disks",
                health.waiting, health.deletes
            )?;
        }
        Ok(())
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
        self.safety(f)?;
        for server in &self.metadata {
            writeln!(f, "metadata {}  {server}", server.node)?;
        }
        for disk in &self.disks {
            let (state, why) = told(disk);
            let (shards, used, free) = (disk.shards, mebibytes(disk.used), mebibytes(disk.free));
            writeln!(
                f,
                "{}  {shards:>8} shards  {used:>8} MiB used  {free:>8} MiB free  {state:<8} {}",
                disk.disk,
                if why.is_empty() { &disk.engine } else { why }
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
