//! The log: a write-ahead log of votes, entries, truncations and purges over a disk.
//!
//! ```text
//! openraft --append, save_vote, truncate, purge--> [`LogStore`] --bounded queue--> writer
//!               |                                                                    |
//!               v                                           one frame, write, sync, settle
//!         memory: readable at once                                                   |
//!         callback, durable index <--------------------------------------------------+
//! ```
//!
//! What always holds:
//! - nothing is answered before the frame that holds it is durable;
//! - one writer keeps the order of votes, entries and truncations, one frame a sync, so that at most
//!   the last frame of the last file can be torn;
//! - there is never a hole in the log, in memory or in the files;
//! - entries are purged only when this server's own snapshot file, read back, covers them.
//!
//! Files (`log-00000001`, …) are preallocated and hold sealed frames of records (`record.rs`). A file
//! is removed whole once all its entries are purged. After any failed write or sync the log answers
//! nothing but errors: what the disk then holds is unknown until it is opened again.

mod memory;
mod reader;
mod record;
mod recover;
mod storage;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use reader::LogReader;
#[cfg(debug_assertions)]
pub use reader::{Carries, Logged};
pub(crate) use storage::LogStore;

use crate::raft::frames::{FrameError, FrameFile, Sealing};
use crate::raft::types::Position;
use disk::{BLOCK, Disk};
use memory::{Hole, Memory};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use types::ByteCount;

/// Sizes of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogConfig {
    /// Of one file.
    pub(crate) segment: ByteCount,
    /// Of the payloads kept in memory.
    pub(crate) cache: ByteCount,
}

/// Why the log cannot be opened. Only `Disk` may pass by itself. After damage this server does not know for whom it
/// voted, nor what it was counted for: under its id it could vote twice in a term, or be taken for one who holds an
/// entry that nobody else does (decision 0029).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogOpenError {
    /// The disk failed.
    #[error("the log's disk failed")]
    Disk(#[from] io::Error),
    /// A file is damaged, and not at its tail.
    #[error("log file {file} is damaged at byte {at}, and not only at its tail: {MUST_NOT_VOTE}")]
    Damaged {
        /// Its name.
        file: String,
        /// Where.
        at: u64,
    },
    /// A file's header is damaged, or its contents are another file's.
    #[error(
        "log file {file} has a damaged header, or is not the file of that name: {MUST_NOT_VOTE}"
    )]
    Header {
        /// Its name.
        file: String,
    },
    /// Written by a build that is too new.
    #[error("log file {file} has format version {version}, which this build does not know")]
    Version {
        /// Its name.
        file: String,
        /// Its version.
        version: u32,
    },
    /// The storage key in the slot is not the one that this log was written with.
    #[error("log file {file} does not open under the storage key in this server's slot")]
    DoesNotOpen {
        /// Its name.
        file: String,
    },
    /// A file between others is missing.
    #[error("log file {file} is missing: {MUST_NOT_VOTE}")]
    Missing {
        /// Its name.
        file: String,
    },
    /// Entries are missing that are neither purged nor in any file.
    #[error("entry {index} of the log is missing: {MUST_NOT_VOTE}")]
    Hole {
        /// The first.
        index: u64,
    },
}

/// What is left to do for who has lost votes or entries.
const MUST_NOT_VOTE: &str = "votes or entries that this server acknowledged may be lost with it, so it must not vote \
     again; take this server out (metadata remove), and join a new one";

/// How far the log is durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// The last durable entry.
    pub(crate) durable: Option<u64>,
    /// Why nothing will become durable any more.
    pub(crate) failed: Option<Arc<str>>,
    /// Where the next frame goes.
    end: (u32, u64),
}

/// The label of this server's own snapshot file, from when that file was durable and read back.
#[derive(Debug, Default)]
pub(crate) struct Verified(Mutex<Option<u64>>);

impl Verified {
    /// A snapshot up to `index` is durable and was read back.
    pub(crate) fn raise(&self, index: u64) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *held = (*held).max(Some(index));
    }

    /// Whether entries up to `index` may be purged.
    pub(crate) fn covers(&self, index: u64) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) >= Some(index)
    }
}

/// What the log's owner, its readers and its writer share.
struct Shared {
    memory: Mutex<Memory>,
    files: Mutex<BTreeMap<u32, Arc<FrameFile>>>,
    progress: watch::Sender<Progress>,
    verified: Arc<Verified>,
    config: LogConfig,
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<FrameFile>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> io::Error {
        match &self.progress.borrow().failed {
            Some(why) => io::Error::other(format!("the log failed before: {why}")),
            None => io::Error::other("the log is closed"),
        }
    }
}

/// A look at the log from outside Raft.
#[derive(Clone)]
pub(crate) struct LogView {
    shared: Arc<Shared>,
}

impl LogView {
    /// Follows how far the log is durable.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    /// The last entry purged.
    pub(crate) fn purged(&self) -> Option<Position> {
        self.shared.memory().purged()
    }

    /// The last entry, or the last one purged.
    pub(crate) fn last(&self) -> Option<Position> {
        self.shared.memory().last()
    }

    /// The id of the entry at an index, unless it was purged or is not there yet.
    pub(crate) fn position_of(&self, index: u64) -> Option<Position> {
        self.shared.memory().position_of(index)
    }

    /// Its entries from an index on, or from the first one that is there.
    #[cfg(debug_assertions)]
    pub(crate) async fn entries(&self, from: u64) -> io::Result<Vec<Logged>> {
        let reader = LogReader::new(Arc::clone(&self.shared));
        reader.logged(from).await
    }

    /// Whether nothing was ever written.
    pub(crate) fn is_pristine(&self) -> bool {
        let memory = self.shared.memory();
        memory.last().is_none() && memory.vote.is_none()
    }

    /// Bytes of log behind an index, or from the oldest entry on.
    pub(crate) fn bytes_behind(&self, index: Option<u64>) -> ByteCount {
        let (segment, at) = self.shared.progress.borrow().end;
        let Some(from) = self.shared.memory().location_behind(index) else {
            return ByteCount::ZERO;
        };
        let files = u64::from(segment.saturating_sub(from.segment));
        let bytes = files * self.shared.config.segment.get() + at;
        ByteCount::new(bytes.saturating_sub(u64::from(from.block) * BLOCK as u64))
    }
}

/// The writer, to be waited for once Raft has let the log go.
pub(crate) struct LogTask {
    join: JoinHandle<()>,
    close: oneshot::Sender<()>,
}

impl LogTask {
    /// Waits until all that was queued is durable, the log is closed and the writer has ended.
    pub(crate) async fn ended(self) {
        // A writer that failed takes no orders.
        let _gone = self.close.send(());
        // A panic of the writer has shown in every answer that it did not give.
        drop(self.join.await);
    }
}

/// Opens the log on a disk, or begins one.
///
/// # Errors
/// When the disk fails or the log is damaged anywhere but at its tail.
pub(crate) async fn open(
    disk: Arc<dyn Disk>,
    config: LogConfig,
    sealing: Sealing,
    verified: Arc<Verified>,
) -> Result<(LogStore, LogView, LogTask), LogOpenError> {
    let recovered = recover::recover(disk.as_ref(), &config, &sealing).await?;
    let progress = Progress {
        durable: recovered.memory.last().map(|at| at.index),
        failed: None,
        end: recovered.end.position(),
    };
    let shared = Arc::new(Shared {
        memory: Mutex::new(recovered.memory),
        files: Mutex::new(recovered.files),
        progress: watch::Sender::new(progress),
        verified,
        config,
    });
    let (close, asked) = oneshot::channel();
    let (queue, join) = writer::start(
        disk,
        sealing,
        Arc::clone(&shared),
        (recovered.end, recovered.state),
        asked,
    );
    let view = LogView {
        shared: Arc::clone(&shared),
    };
    Ok((LogStore::new(shared, queue), view, LogTask { join, close }))
}

/// Whether a disk holds any log file.
pub(crate) async fn exists(disk: &dyn Disk) -> io::Result<bool> {
    let names = disk.list().await?;
    Ok(names.iter().any(|entry| file_number(&entry.name).is_some()))
}

fn file_name(number: u32) -> String {
    format!("log-{number:08x}")
}

fn file_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("log-")?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    (file_name(number) == name).then_some(number)
}

/// What went wrong in a file.
fn in_file(file: &str, at: u64, error: FrameError) -> LogOpenError {
    let file = file.to_owned();
    match error {
        FrameError::Io(source) => LogOpenError::Disk(source),
        FrameError::Header => LogOpenError::Header { file },
        FrameError::Version(version) => LogOpenError::Version { file, version },
        FrameError::Damaged { .. } => LogOpenError::Damaged { file, at },
        FrameError::DoesNotOpen { .. } => LogOpenError::DoesNotOpen { file },
    }
}

impl From<Hole> for io::Error {
    fn from(hole: Hole) -> Self {
        Self::other(hole)
    }
}
