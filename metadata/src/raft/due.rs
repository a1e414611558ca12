//! When a snapshot is due: once the log behind the last is longer than that snapshot, and than a
//! limit. So a snapshot costs no more than the writing that made it necessary.

use crate::log::LogError;
use crate::raft::log::LogView;
use crate::raft::network::Server;
use crate::raft::room::Room;
use crate::raft::snapshot::Snapshots;
use crate::raft::types::TypeConfig;
use openraft::async_runtime::watch::WatchReceiver;
use std::sync::Arc;
use std::time::Duration;
use types::ByteCount;

/// Has openraft write a snapshot of all that is applied now, and waits for it.
pub(crate) async fn snapshot(
    raft: &Server,
    snapshots: &Snapshots,
    room: &Room,
    patience: Duration,
) -> Result<(), LogError> {
    let likely = snapshots.size().await;
    // A disk that does not say is left to fail by itself.
    if !room.for_snapshot(likely).await.unwrap_or(true) {
        let full = "the metadata disk has no room for a snapshot";
        return Err(LogError::Unavailable(full.into()));
    }
    let applied = raft.metrics().borrow_watched().last_applied;
    let Some(applied) = applied else {
        return Ok(());
    };
    let triggered = raft.trigger().snapshot().await;
    triggered.map_err(|_| LogError::Stopped)?;
    let waiting = raft.wait(Some(patience));
    let written = |metrics: &openraft::RaftMetrics<TypeConfig>| {
        metrics.snapshot.is_some_and(|at| at.index >= applied.index)
    };
    match waiting.metrics(written, "a snapshot").await {
        Ok(_) => Ok(()),
        Err(error) => Err(LogError::Unavailable(error.to_string())),
    }
}

/// Triggers a snapshot when one is due, and removes what unfinished ones left.
pub(crate) struct Due {
    pub(crate) raft: Server,
    pub(crate) log: LogView,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) room: Arc<Room>,
    pub(crate) after: ByteCount,
}

impl Due {
    /// How long one snapshot may take before the next is asked for.
    const PATIENCE: Duration = Duration::from_secs(600);
    /// After one that was not written, how long before it is asked for again.
    const PAUSE: Duration = Duration::from_secs(10);

    /// Runs until the log ends.
    pub(crate) async fn run(self) {
        let mut progress = self.log.progress();
        while progress.changed().await.is_ok() {
            self.snapshots.sweep().await;
            let current = self.snapshots.current().await;
            let label = current.as_ref().and_then(|file| file.label.applied);
            let size = current.as_ref().map_or(ByteCount::ZERO, |file| file.bytes);
            let behind = self.log.bytes_behind(label.map(|at| at.index));
            if behind > size.max(self.after)
                && let Err(error) =
                    snapshot(&self.raft, &self.snapshots, &self.room, Self::PATIENCE).await
            {
                tracing::warn!(%error, "a snapshot was due and was not written");
                tokio::time::sleep(Self::PAUSE).await;
            }
        }
    }
}
