//! Namespace, placement and keys: a replicated state machine, and the metadata service on top of it.
//!
//! ```text
//! gateway -> Server -> Log (Raft) -> apply -> Store
//!              | seals                ^ pure    ^ sled, a cache
//!              +--- reads, linearizable --------+
//! ```
//!
//! A request becomes a [`Proposal`] that carries all that it needs: time, ids, sealed attributes,
//! wrapped keys. Every server applies the same proposals in the same order ([`apply()`]), to the same
//! rows ([`tables`]), and comes to the same digest. The rows are a cache of what snapshot file and log
//! say; they are believed only after they were checked.
//!
//! The fences that keep data safe are in `apply`: a commit needs a live session, its own lease, runs
//! that nobody wrote, an epoch that the group has come to, a wrap that has not expired, a version and a
//! blob that were never seen. What it acknowledged on slots that moved since becomes repair work in
//! the same commit.

pub mod apply;
pub mod asked;
pub mod command;
pub mod condition;
pub mod front;
pub mod keys;
pub mod level;
pub mod list;
pub mod locate;
pub mod log;
pub mod manifest;
mod own;
pub mod pieces;
pub mod plan;
pub mod raft;
pub mod replace;
pub mod replica;
pub mod reply;
mod restored;
pub mod sealed;
pub mod server;
pub mod share;
pub mod slot;
pub mod source;
pub mod store;
pub mod supervise;
pub mod tables;
pub mod txn;
pub mod uploads;

pub use apply::apply;
pub use asked::Asked;
pub use command::{Command, Proposal};
pub use front::Front;
pub use keys::Keyring;
pub use log::{Log, LogError, Read};
pub use replica::{Replica, ReplicaConfig, ReplicaError};
pub use reply::{Refusal, Reply};
pub use server::registrar::{Office, Registrar};
pub use server::{BootstrapError, Server, ServerConfig};
pub use store::{Changes, Opened, Store, StoreError};
pub use supervise::Supervised;
pub use txn::{Rows, Txn};
