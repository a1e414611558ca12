//! Raft: one order of proposals on every metadata server.
//!
//! ```text
//! node.rs            the face: propose, read, status, shutdown
//! members.rs         servers in and out, and leadership handed over
//! peers.rs           how the others are, and whether this one is fit to lead
//! log/               write-ahead log of votes and entries                   \  the truth
//! snapshot.rs        snapshot files                                         /
//! frames.rs          sealed, checksummed frames, of which both are made
//! state_machine.rs   batches of entries into transactions of the store         a cache
//! backup.rs          a snapshot for another day, and a cluster begun of one
//! rebuild.rs         at start: may the store be used, or is it made anew
//! apart.rs           work that may block
//! audit.rs           whether every server has the same rows
//! due.rs             when a snapshot is to be taken
//! room.rs            whether there is space for what is to be written
//! reads.rs           one round to a quorum, shared by the reads that wait for it
//! network.rs         calls between servers: in one process, or over the wire
//! types.rs           openraft's parameters, and how its values are stored
//! ```
//!
//! All of openraft stays in this folder.

mod apart;
mod audit;
mod backup;
mod config;
mod due;
mod frames;
#[cfg(test)]
mod golden;
mod log;
mod members;
mod network;
mod node;
mod peers;
mod reads;
mod rebuild;
mod room;
mod snapshot;
mod state_machine;
#[cfg(test)]
mod suite;
mod types;

pub use backup::{About, BackupError, Restore};
pub use config::NodeConfig;
pub use log::LogOpenError;
#[cfg(debug_assertions)]
pub use log::{Carries, Logged};
pub use members::MembersError;
pub use network::{Between, Network, RaftCalls};
pub use node::{InitializeError, Node, StartError, Status};
pub use rebuild::RebuildError;
pub use snapshot::SnapshotError;
pub use types::Position;

/// Whether a disk holds a log: then this server ran before, and its slot must be there.
///
/// # Errors
/// When the disk cannot be listed.
pub async fn log_exists(disk: &dyn disk::Disk) -> std::io::Result<bool> {
    log::exists(disk).await
}
