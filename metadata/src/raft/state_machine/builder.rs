//! A snapshot file of the store's rows, made a little at a time while entries are applied and readers read on.
//!
//! ```text
//! begin   from here on each batch tells what it changes
//! scan    a slice of rows, between two batches; a rest, while others are served; the next slice …
//!         of what was told, what was scanned already: the rest of the rows is still to come
//! end     between two batches: what was told last, and the label
//! ```
//!
//! What always holds: readers and batches wait for a slice that was fetched just before, and hardly ever for a disk;
//! who applies waits only when much of what it told was not taken in yet; and a scan ends, however fast rows come.

use crate::raft::log::Progress;
use crate::raft::rebuild;
use crate::raft::rests::Rests;
use crate::raft::room::{self, Room};
use crate::raft::snapshot::{
    self, Changes, SnapshotError, SnapshotFile, SnapshotWriter, Snapshots,
};
use crate::raft::state_machine::{Gate, Snapshot, offered};
use crate::raft::types::{Mark, TypeConfig};
use crate::store::{SLICE, Store};
use crate::txn::{Row, Rows};
use openraft::storage::RaftSnapshotBuilder;
use std::io;
use std::ops::Bound;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use types::ByteCount;

/// Rows, or changes, of one frame of a snapshot, in bytes.
const PIECE: usize = 512 << 10;
/// Batches whose changes wait to be taken in.
const RECORDED: usize = 64;
/// A snapshot that found no room is tried again after this, then after twice as long, and so on.
const PAUSE: Duration = Duration::from_secs(1);
/// But never after longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Builds snapshot files.
pub(crate) struct Builder {
    pub(super) store: Arc<Store>,
    pub(super) gate: Arc<Gate>,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) room: Arc<Room>,
    pub(super) log: watch::Receiver<Progress>,
    pub(super) on_full: OnFull,
}

/// What a builder does that finds no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnFull {
    /// Says so: someone waits who cannot go on without the snapshot, as a start does that found a
    /// purged log and no snapshot that can be read.
    Fail,
    /// Waits until there is room.
    TryAgain,
}

impl Builder {
    /// Builds, and tries again and again while there is no room: an error from here would stop Raft on
    /// this server, and again after each restart, since the snapshot would be due at once. Entries are
    /// applied between tries.
    async fn build(&mut self) -> Result<Arc<SnapshotFile>, SnapshotError> {
        let mut likely = self.snapshots.size().await;
        let mut pause = PAUSE;
        loop {
            match self.attempt(&mut likely).await {
                Err(SnapshotError::Disk(error))
                    if self.on_full == OnFull::TryAgain && room::is_full(&error) =>
                {
                    self.snapshots.sweep().await;
                    tracing::warn!(%error, again_after = ?pause, "a snapshot does not fit");
                    self.wait(pause).await?;
                    pause = LONGEST_PAUSE.min(2 * pause);
                }
                // What was installed is the current snapshot, unless more was applied.
                Err(SnapshotError::Superseded) => {}
                result => return result,
            }
        }
    }

    /// Waits, but not longer than there is a log to be purged.
    async fn wait(&mut self, pause: Duration) -> io::Result<()> {
        let ended = self.log.wait_for(|log| log.failed.is_some());
        match tokio::time::timeout(pause, ended).await {
            Ok(_) => Err(io::Error::other("the log has ended")),
            Err(_) => Ok(()),
        }
    }

    /// Builds once; `likely` rises to what was written.
    pub(super) async fn attempt(
        &self,
        likely: &mut ByteCount,
    ) -> Result<Arc<SnapshotFile>, SnapshotError> {
        let (label, recorded) = {
            let mut changing = self.gate.changing.lock().await;
            let label = rebuild::mark_of(&self.store)?;
            if let Some(current) = self.snapshots.current().await
                && current.label == label
            {
                return Ok(current);
            }
            if !self.room.for_snapshot(*likely).await? {
                return Err(io::Error::from(io::ErrorKind::StorageFull).into());
            }
            let (tell, recorded) = mpsc::channel(RECORDED);
            *changing = Some(tell);
            (label, recorded)
        };
        let writer = self.snapshots.begin_scan(&label).await?;
        let mut scan = Scan::new(self, writer, recorded);
        loop {
            let rows = scan.piece().await?;
            if rows.is_empty() {
                break;
            }
            self.room.left_for_log().await?;
            scan.writer.add(&snapshot::encode_rows(&rows)).await?;
            *likely = scan.writer.bytes().max(*likely);
        }
        let label = scan.end().await?;
        let Scan { writer, .. } = scan;
        let rests = Rests::beside(&self.gate.served);
        let file = self.snapshots.finish_scan(writer, &label, rests).await?;
        self.snapshots.publish(&file).await
    }
}

/// How far a scan has come.
enum Scanned {
    Nothing,
    UpTo(Vec<u8>),
    Everything,
}

impl Scanned {
    /// Whether a row is behind it. A change of one that is not will be met by the scan.
    fn has(&self, key: &[u8]) -> bool {
        match self {
            Self::Nothing => false,
            Self::UpTo(last) => key <= last.as_slice(),
            Self::Everything => true,
        }
    }

    /// Where it goes on.
    fn next(&self) -> Bound<Vec<u8>> {
        match self {
            Self::UpTo(last) => Bound::Excluded(last.clone()),
            Self::Nothing | Self::Everything => Bound::Unbounded,
        }
    }
}

/// What was told of rows that were scanned before, and is not written yet.
#[derive(Default)]
struct Kept {
    changes: Changes,
    bytes: usize,
    /// Bytes that were told in all, of rows scanned or not.
    told: u64,
}

impl Kept {
    fn take_in(&mut self, changes: Changes, scanned: &Scanned) {
        for (key, value) in changes {
            let bytes = key.len() + value.as_ref().map_or(0, Vec::len);
            self.told += bytes as u64;
            if scanned.has(&key) {
                self.bytes += bytes;
                self.changes.insert(key, value);
            }
        }
    }
}

/// A scan of all rows, under way.
struct Scan<'a> {
    of: &'a Builder,
    writer: SnapshotWriter,
    recorded: mpsc::Receiver<Changes>,
    scanned: Scanned,
    /// Bytes that were scanned.
    passed: u64,
    kept: Kept,
    rests: Rests,
}

impl<'a> Scan<'a> {
    fn new(of: &'a Builder, writer: SnapshotWriter, recorded: mpsc::Receiver<Changes>) -> Self {
        Self {
            of,
            writer,
            recorded,
            scanned: Scanned::Nothing,
            passed: 0,
            kept: Kept::default(),
            rests: Rests::beside(&of.gate.served),
        }
    }

    /// The next rows, as many as make a piece; none behind the last.
    async fn piece(&mut self) -> Result<Vec<Row>, SnapshotError> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while bytes < PIECE {
            let slice = self.slice().await?;
            let Some((last, _)) = slice.last() else { break };
            self.scanned = Scanned::UpTo(last.clone());
            let scanned = slice.iter().map(length).sum::<usize>();
            bytes += scanned;
            self.passed += scanned as u64;
            rows.extend(slice);
            self.rest().await?;
        }
        Ok(rows)
    }

    /// A few rows, as they are between two batches. They are fetched before nothing may change them.
    async fn slice(&self) -> Result<Vec<Row>, SnapshotError> {
        let (store, from) = (Arc::clone(&self.of.store), self.scanned.next());
        let warm = self.of.gate.apart.run(move || store.warm(from));
        warm.await?;
        let _open = self.of.gate.read_beside().await;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for row in self.of.store.scan(self.scanned.next(), Bound::Unbounded) {
            let row = row.map_err(io::Error::other)?;
            bytes += length(&row);
            rows.push(row);
            if bytes >= SLICE {
                break;
            }
        }
        Ok(rows)
    }

    /// Rests, while others are served, and takes in what is told meanwhile. It does neither while half as much was
    /// told as was scanned: rows that come as fast as they are scanned would never all have been, and who applies
    /// waits then.
    async fn rest(&mut self) -> Result<(), SnapshotError> {
        {
            let mut rest = pin!(self.rests.rest());
            loop {
                let ahead = self.passed > 2 * self.kept.told;
                tokio::select! {
                    biased;
                    changes = self.recorded.recv(), if ahead => {
                        let changes = changes.ok_or(SnapshotError::Superseded)?;
                        self.kept.take_in(changes, &self.scanned);
                    }
                    () = &mut rest, if ahead => break,
                    else => break,
                }
            }
        }
        // One that was done without is not owed later.
        self.rests.skip();
        if self.kept.bytes >= PIECE {
            self.write_kept().await?;
        }
        Ok(())
    }

    async fn write_kept(&mut self) -> Result<(), SnapshotError> {
        self.of.room.left_for_log().await?;
        self.kept.bytes = 0;
        let changes = std::mem::take(&mut self.kept.changes);
        for piece in snapshot::encode_mutations(&changes, PIECE) {
            self.writer.add(&piece).await?;
        }
        Ok(())
    }

    /// Writes what was told last, and stops being told; the label of what is written then.
    async fn end(&mut self) -> Result<Mark, SnapshotError> {
        self.scanned = Scanned::Everything;
        let of = self.of;
        let mut changing = {
            let mut lock = pin!(of.gate.changing.lock());
            loop {
                tokio::select! {
                    biased;
                    changing = &mut lock => break changing,
                    // One who applies may wait for this, and hold the lock.
                    changes = self.recorded.recv() => {
                        let changes = changes.ok_or(SnapshotError::Superseded)?;
                        self.kept.take_in(changes, &self.scanned);
                    }
                }
                // Little is left then to be written while nothing is applied.
                if self.kept.bytes >= SLICE {
                    self.write_kept().await?;
                }
            }
        };
        while let Ok(changes) = self.recorded.try_recv() {
            self.kept.take_in(changes, &self.scanned);
        }
        if changing.take().is_none() {
            return Err(SnapshotError::Superseded);
        }
        self.write_kept().await?;
        Ok(rebuild::mark_of(&of.store)?)
    }
}

fn length((key, value): &Row) -> usize {
    key.len() + value.len()
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Arc<SnapshotFile>;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        self.build().await.map(offered).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests;
