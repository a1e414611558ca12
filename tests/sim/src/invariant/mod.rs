//! What always holds, one file each. Every invariant watches a run from its beginning to its end, and says what it
//! saw that cannot be; a run goes on after that, so that each says what it has to say.
//!
//! ```text
//! seen        the servers at one moment: who leads, how far each has applied, what is in each log
//! entry       a committed entry, once, in the log's order: the rows before it, what it changed, the answer
//! told        a call of a gateway or of the upkeep, and its answer; a shard that is durable; a read
//! stored      every shard that disks hold at one moment, beside the rows of that moment
//! end         nothing more will happen
//! ```
//!
//! Servers are looked at every quarter of a second and disks every two, of simulated time; what passes between them
//! is told as it passes. Nothing here changes what happens.
//!
//! Of the design's section 6 the sixth has no file: keys are not rotated yet, so none is retired and none destroyed
//! while anything is sealed under it.

mod acknowledged;
mod checked_plaintext;
mod dead_stays_dead;
mod election_safety;
mod equal_digests;
mod exactly_once;
mod fenced_deletes;
mod log_matching;
mod moved_last;
mod nothing_missing;
mod restored_backup;
mod shards;
mod snapshot_is_replay;
mod written_once;

use crate::chronicle::{Chronicle, Entry};
use metadata::Store;
use metadata::raft::{Logged, Position};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use types::{DiskId, RequestId, ShardKey};

/// Nothing is wrong; or what is.
pub(crate) type Holds = Result<(), String>;

/// Something that always holds.
pub(crate) trait Invariant: Send {
    /// What its verdicts begin with.
    fn name(&self) -> &'static str;

    /// The servers at one moment.
    fn seen(&mut self, _seen: &Seen<'_>) -> Holds {
        Ok(())
    }

    /// A committed entry.
    fn entry(&mut self, _entry: &Entry<'_>) -> Holds {
        Ok(())
    }

    /// Something passed.
    fn told(&mut self, _told: &Told) -> Holds {
        Ok(())
    }

    /// The shards that disks hold at one moment.
    fn stored(&mut self, _stored: &Stored<'_>) -> Holds {
        Ok(())
    }

    /// Nothing more will happen.
    fn end(&mut self) -> Holds {
        Ok(())
    }
}

/// All of them, for a cluster that keeps what is dead for so long.
pub(crate) fn all(reclaim_after: Duration) -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(election_safety::ElectionSafety::default()),
        Box::new(log_matching::LogMatching::default()),
        Box::new(acknowledged::Acknowledged::default()),
        Box::new(exactly_once::ExactlyOnce::default()),
        Box::new(equal_digests::EqualDigests::default()),
        Box::new(snapshot_is_replay::SnapshotIsReplay),
        Box::new(nothing_missing::NothingMissing::default()),
        Box::new(written_once::WrittenOnce::default()),
        Box::new(dead_stays_dead::DeadStaysDead { reclaim_after }),
        Box::new(fenced_deletes::FencedDeletes::default()),
        Box::new(moved_last::MovedLast::default()),
        Box::new(restored_backup::RestoredBackup::default()),
        Box::new(checked_plaintext::CheckedPlaintext),
    ]
}

/// The servers at one moment.
pub(crate) struct Seen<'a> {
    pub(crate) servers: &'a [Server],
    /// Every entry that is known to be committed, with the digest of the rows that replaying the log up to it makes.
    pub(crate) committed: &'a Chronicle,
}

pub(crate) type Digest = [u8; 32];

/// A server that runs.
pub(crate) struct Server {
    pub(crate) id: u64,
    /// Under which term it leads, if it says so.
    pub(crate) leads: Option<u64>,
    /// The last entry in its rows.
    pub(crate) applied: Option<Position>,
    /// Of its rows, as it was kept while they were written.
    pub(crate) kept: Digest,
    /// Of its rows, computed from what is stored; now and then.
    pub(crate) stored: Option<Digest>,
    /// The end of its log, committed or not.
    pub(crate) log: Vec<Logged>,
}

/// What disks hold at one moment.
pub(crate) struct Stored<'a> {
    /// The shards of each disk that serves.
    pub(crate) disks: &'a BTreeMap<DiskId, BTreeSet<ShardKey>>,
    /// Shards that were damaged at some time: they may be taken for missing until they are made again.
    pub(crate) spoilt: &'a BTreeSet<(DiskId, ShardKey)>,
    /// The rows, as far as they are known.
    pub(crate) rows: &'a Rows,
    /// Cluster time, by the rows.
    pub(crate) now_ms: u64,
    /// Whether nobody has looked yet since the rows were restored from a backup, as the run has it.
    pub(crate) holds: bool,
}

/// What passed.
pub(crate) enum Told {
    /// A gateway asks under a number for the first time, or again.
    Asked(RequestId),
    /// It was answered that it is done.
    Done(RequestId),
    /// A disk has a shard, durably; with a digest of what it says of its chunk.
    Stored {
        disk: DiskId,
        key: ShardKey,
        chunk: Digest,
    },
    /// A reader got other bytes than were written.
    ReadWrongly { content: u64, behind: usize },
}

/// The rows before an entry.
pub(crate) type Rows = Store;
