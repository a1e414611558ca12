//! The replicated log, as the server on top of it sees it.
//!
//! Raft implements it. Tests put a log of one server in memory in its place.

use crate::command::Proposal;
use crate::reply::Reply;
use crate::store::Store;
use futures::future::BoxFuture;

/// Why the log did not answer. A proposal may or may not have taken effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// No leader, no quorum, or another server leads: ask again, or elsewhere.
    #[error("no quorum, or not the leader: {0}")]
    Unavailable(String),
    /// This server has stopped, or its store is broken.
    #[error("the metadata server has stopped")]
    Stopped,
}

/// What is to be done with rows when they may be read; it keeps what it found.
pub type Read = Box<dyn FnOnce(&Store) + Send>;

/// The replicated log and the state machine behind it.
pub trait Log: Send + Sync + 'static {
    /// Proposes; answers once applied here.
    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Reply, LogError>>;

    /// Runs `read` on rows that hold everything acknowledged before the call, while no batch is being
    /// applied. It has been run when the answer is good, and not otherwise.
    fn linearizable(&self, read: Read) -> BoxFuture<'_, Result<(), LogError>>;

    /// Whether this server leads as far as it knows. Only the leader ticks.
    fn leads(&self) -> bool;
}

impl<L: Log> Log for std::sync::Arc<L> {
    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Reply, LogError>> {
        (**self).propose(proposal)
    }

    fn linearizable(&self, read: Read) -> BoxFuture<'_, Result<(), LogError>> {
        (**self).linearizable(read)
    }

    fn leads(&self) -> bool {
        (**self).leads()
    }
}
