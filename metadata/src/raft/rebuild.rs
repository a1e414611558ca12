//! At start: deciding whether the store's rows may be used, and rebuilding them if not.
//!
//! ```text
//! store           snapshot, log                          what is done
//! at entry i      log holds i, as the store has it       used as it is
//! at entry i      snapshot is at i                       used as it is
//! ahead of both   the store kept what the log lost       wiped, rebuilt
//! behind          the log was purged beyond i            wiped, rebuilt
//! behind          the snapshot is ahead of it            wiped, rebuilt
//! none            nothing was ever purged                empty; the log is applied again
//! ```
//!
//! Rebuilt means loaded from the snapshot file; openraft then applies the log behind it. When neither
//! the store nor the snapshot can be used and the log was purged, only a peer has the state. The log is
//! whole then: this server knows whom it voted for and which entries it has acknowledged. It takes no part
//! until a leader, who hears of it, has sent a snapshot that reaches beyond all of them: what it goes on
//! with is decided, and holds everything that it was ever counted for.

use crate::raft::apart::Apart;
use crate::raft::log::LogView;
use crate::raft::network::Network;
use crate::raft::snapshot::{Changes, SnapshotError, SnapshotFile, Snapshots, rows_of};
use crate::raft::state_machine::Gate;
use crate::raft::types::{Mark, Position};
use crate::store::{Store, StoreError};
use crate::txn::Row;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Why the state cannot be brought back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The store cannot be written.
    #[error("the store cannot be rebuilt")]
    Store(#[from] StoreError),
    /// The snapshot file cannot be read.
    #[error("the snapshot cannot be read")]
    Snapshot(#[from] SnapshotError),
    /// The state before the log's first entry is nowhere on this server.
    #[error(
        "the log begins behind {purged}, and neither the store nor a snapshot file holds what was before: this server's state is lost, and no peer has sent it; see that the others run, or restore a backup"
    )]
    Lost {
        /// The last entry purged.
        purged: Position,
    },
    /// The log is gone, but there is state: votes and entries were lost with it.
    #[error(
        "there is a store or a snapshot, but no log: this server's votes are lost, and it must not vote again; take this server out (metadata remove), and join a new one"
    )]
    LogMissing,
}

/// What is to become of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Use,
    Rebuild(&'static str),
}

/// How long a leader is waited for, who may send what this server has lost. Then the start fails, and is tried again.
const ASKED_FOR: Duration = Duration::from_secs(30);

impl RebuildError {
    /// Whether it is the state that is lost, and the log whole.
    fn is_state_alone(&self) -> bool {
        let damaged = matches!(self, Self::Snapshot(SnapshotError::Damaged(_)));
        damaged || matches!(self, Self::Lost { .. })
    }
}

/// As [`prepare`], with a peer's snapshot where this server's own state is lost.
///
/// # Errors
/// When nobody sends one in time, or disk or store fail.
pub(crate) async fn prepare_or_ask(
    store: &Arc<Store>,
    gate: &Arc<Gate>,
    snapshots: &Arc<Snapshots>,
    log: &LogView,
    network: &Network,
) -> Result<(), RebuildError> {
    let lost = match prepare(store, gate, snapshots, log).await {
        Err(lost) if lost.is_state_alone() => lost,
        prepared => return prepared,
    };
    // Beyond everything that this server has acknowledged, and what the file that cannot be read may have held.
    let label = snapshots.current().await;
    let label = label.and_then(|file| file.label.applied);
    let reached = log.last().max(label).map_or(0, |at| at.index);
    complain(
        &lost,
        "this server's state is lost: it takes no part until the leader has sent it",
    );
    if !network.restored(snapshots, reached + 1, ASKED_FOR).await {
        return Err(lost);
    }
    tracing::warn!("this server's state came from a peer");
    prepare(store, gate, snapshots, log).await
}

/// Makes the store fit for openraft to go on from.
///
/// # Errors
/// When the state is lost, or disk or store fail.
async fn prepare(
    store: &Arc<Store>,
    gate: &Arc<Gate>,
    snapshots: &Snapshots,
    log: &LogView,
) -> Result<(), RebuildError> {
    let applied = mark_of(store).map_err(SnapshotError::from)?.applied;
    let mut current = snapshots.current().await;
    let label = current.as_ref().and_then(|file| file.label.applied);
    let state = applied.is_some() || label.is_some() || snapshots.is_unread();
    if log.is_pristine() && state {
        return Err(RebuildError::LogMissing);
    }
    let verdict = judge(applied, label, log);
    if let Verdict::Rebuild(reason) = verdict {
        tracing::warn!(
            reason,
            "the metadata store is rebuilt from snapshot and log"
        );
    }
    // The log may be cut or purged to the snapshot soon: it has to be whole.
    let needed = verdict != Verdict::Use || label > log.last();
    let changes = match snapshots.verify_current().await {
        Ok(changes) => changes,
        Err(error @ SnapshotError::Version(_)) => return Err(error.into()),
        // Damaged, or the disk does not give it: neither store nor log depend on it.
        Err(error) if !needed || log.purged().is_none() => {
            complain(
                &error,
                "the snapshot file is not used; another is to be made",
            );
            snapshots.forget_current().await;
            current = None;
            None
        }
        Err(error) => return Err(error.into()),
    };
    match (verdict, current, changes) {
        (Verdict::Use, ..) => Ok(()),
        (Verdict::Rebuild(_), Some(file), Some(changes)) => load(store, gate, &file, changes).await,
        (Verdict::Rebuild(_), ..) => match log.purged() {
            Some(purged) => Err(RebuildError::Lost { purged }),
            None => {
                let none: [Result<Row, StoreError>; 0] = [];
                store.replace(none, &types::codec::encode(&Mark::default()))?;
                Ok(())
            }
        },
    }
}

/// A function, so that no error is held across a wait.
fn complain(error: &(dyn std::error::Error + 'static), what: &'static str) {
    tracing::error!(error, "{what}");
}

fn judge(applied: Option<Position>, label: Option<Position>, log: &LogView) -> Verdict {
    let Some(at) = applied else {
        return match (label, log.purged()) {
            (None, None) => Verdict::Use,
            _ => Verdict::Rebuild("it holds nothing"),
        };
    };
    if applied < label {
        return Verdict::Rebuild("the snapshot file is ahead of it");
    }
    if applied == label {
        return Verdict::Use;
    }
    if log.purged().is_some_and(|purged| at.index < purged.index) {
        return Verdict::Rebuild("the log was purged beyond it");
    }
    match log.position_of(at.index) {
        Some(held) if held == at => Verdict::Use,
        _ => Verdict::Rebuild("it is ahead of the log"),
    }
}

/// The mark that a store holds; the default where it holds none.
pub(crate) fn mark_of(store: &Store) -> io::Result<Mark> {
    match store.mark() {
        None => Ok(Mark::default()),
        Some(bytes) => types::codec::decode(&bytes).map_err(io::Error::other),
    }
}

/// Replaces a store's rows by a snapshot's; `changes` are its mutations.
pub(crate) async fn load(
    store: &Arc<Store>,
    gate: &Arc<Gate>,
    file: &Arc<SnapshotFile>,
    changes: Changes,
) -> Result<(), RebuildError> {
    let mark = types::codec::encode(&file.label);
    let closed = gate.write().await;
    if gate.apart == Apart::AtOnce {
        return load_at_once(store, file, changes, &mark).await;
    }
    let (batches, incoming) = mpsc::channel::<Result<Vec<Row>, SnapshotError>>(2);
    let target = Arc::clone(store);
    let replacing = tokio::task::spawn_blocking(move || {
        let _closed = closed;
        target.replace(Incoming::new(incoming), &mark)
    });
    feed(file, changes, &batches).await;
    drop(batches);
    replacing
        .await
        .map_err(|error| SnapshotError::Disk(io::Error::other(error)))?
}

/// The same on one thread, which cannot read and write by turns: it reads all before it writes.
async fn load_at_once(
    store: &Store,
    file: &SnapshotFile,
    changes: Changes,
    mark: &[u8],
) -> Result<(), RebuildError> {
    let (batches, mut incoming) = mpsc::channel::<Result<Vec<Row>, SnapshotError>>(2);
    let read = async {
        let mut all = Vec::new();
        while let Some(batch) = incoming.recv().await {
            all.push(batch);
        }
        all
    };
    let fed = async {
        feed(file, changes, &batches).await;
        drop(batches);
    };
    let (all, ()) = futures::join!(read, fed);
    let rows = all.into_iter().flat_map(|batch| match batch {
        Ok(rows) => rows.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error.into())],
    });
    store.replace(rows, mark)
}

/// Sends a snapshot's rows, and then what changed after they were scanned.
async fn feed(
    file: &SnapshotFile,
    changes: Changes,
    batches: &mpsc::Sender<Result<Vec<Row>, SnapshotError>>,
) {
    let mut pieces = match file.pieces().await {
        Ok(pieces) => pieces,
        Err(error) => {
            drop(batches.send(Err(error)).await);
            return;
        }
    };
    loop {
        let rows = match pieces.next().await {
            Ok(Some(piece)) => rows_of(&piece),
            Ok(None) => break,
            Err(error) => Err(error),
        };
        let rows = rows.map(|mut rows| {
            rows.retain(|(key, _)| !changes.contains_key(key));
            rows
        });
        let failed = rows.is_err();
        // A store that takes no more has failed, and says so itself.
        if batches.send(rows).await.is_err() || failed {
            return;
        }
    }
    let changed = changes
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key, value)))
        .collect();
    drop(batches.send(Ok(changed)).await);
}

/// Rows that arrive in batches, for a thread that may block.
struct Incoming {
    batches: mpsc::Receiver<Result<Vec<Row>, SnapshotError>>,
    rows: std::vec::IntoIter<Row>,
}

impl Incoming {
    fn new(batches: mpsc::Receiver<Result<Vec<Row>, SnapshotError>>) -> Self {
        Self {
            batches,
            rows: Vec::new().into_iter(),
        }
    }
}

impl Iterator for Incoming {
    type Item = Result<Row, RebuildError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            match self.batches.blocking_recv()? {
                Ok(rows) => self.rows = rows.into_iter(),
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests;
