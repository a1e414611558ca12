//! Linearizable reads: who reads first asks a quorum whether this server still leads.
//!
//! Lookups that arrive while a round is under way wait for the next one, and share it: a round that
//! was sent before a lookup arrived may have been confirmed before a write that the lookup must see.

use crate::log::LogError;
use crate::raft::network::Server;
use openraft::ReadPolicy;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Lookups that may wait for a round; whoever comes later waits to queue.
const QUEUE: usize = 4096;

type Waiting = oneshot::Sender<Result<(), LogError>>;

/// Shares rounds among lookups.
pub(crate) struct Rounds {
    queue: mpsc::Sender<Waiting>,
}

impl Rounds {
    /// Starts the task that sends rounds, one after another. It ends when the rounds are dropped.
    pub(crate) fn start(raft: Server, limit: Duration) -> (Self, JoinHandle<()>) {
        let (queue, mut incoming) = mpsc::channel::<Waiting>(QUEUE);
        let task = tokio::spawn(async move {
            while let Some(first) = incoming.recv().await {
                let mut joined = vec![first];
                while let Ok(next) = incoming.try_recv() {
                    joined.push(next);
                }
                let result = round(&raft, limit).await;
                for waiting in joined {
                    // Who no longer waits does not need the answer.
                    drop(waiting.send(result.clone()));
                }
            }
        });
        (Self { queue }, task)
    }

    /// Joins the next round; afterwards this server's rows hold all that was acknowledged before the
    /// call.
    pub(crate) async fn join(&self) -> Result<(), LogError> {
        let (waiting, answer) = oneshot::channel();
        let queued = self.queue.send(waiting).await;
        queued.map_err(|_| LogError::Stopped)?;
        answer.await.map_err(|_| LogError::Stopped)?
    }
}

async fn round(raft: &Server, limit: Duration) -> Result<(), LogError> {
    let confirmed = raft.ensure_linearizable(ReadPolicy::ReadIndex);
    match tokio::time::timeout(limit, confirmed).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(openraft::errors::RaftError::Fatal(_))) => Err(LogError::Stopped),
        Ok(Err(openraft::errors::RaftError::APIError(error))) => {
            Err(LogError::Unavailable(error.to_string()))
        }
        Err(_) => Err(LogError::Unavailable("no quorum answered in time".into())),
    }
}
