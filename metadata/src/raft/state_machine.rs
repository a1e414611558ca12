//! The state machine as openraft drives it: batches of entries, each one transaction of the store.
//!
//! What always holds:
//! - an entry is applied only once it is durable in this server's own log (openraft applies what is
//!   committed elsewhere, and a store ahead of its log could not be rebuilt from it);
//! - a batch's rows and the mark of its last entry are committed together, and replies go out after;
//! - who reads rows holds [`Gate`] open, which a batch closes while it is committed;
//! - a batch ends with an audit, so that its digest is the one of that very entry on every server.
//!
//! An error from here stops Raft on this server for good: the store is broken, and the next start
//! rebuilds it. That a snapshot finds no room is no such error.

use crate::apply::apply;
use crate::command::{Command, Proposal};
use crate::level;
use crate::raft::apart::Apart;
use crate::raft::audit::Audits;
use crate::raft::log::Progress;
use crate::raft::rebuild;
use crate::raft::room::{self, Room};
use crate::raft::snapshot::{
    self, Changes, SnapshotError, SnapshotFile, SnapshotWriter, Snapshots,
};
use crate::raft::types::{
    Answer, LogId, Mark, Membership, Payload, SnapshotMeta, StoredMembership, TypeConfig,
};
use crate::store::{self, Store, StoreError};
use crate::txn::{Row, Rows, Txn};
use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{
    Mutex, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard, mpsc, watch,
};
use types::ByteCount;

/// Entries that are applied in one transaction.
const BATCH: usize = 256;
/// Rows of one frame of a snapshot, in bytes.
const PIECE: usize = 512 << 10;
/// Batches whose changes wait to be written to a snapshot that is being made.
const RECORDED: usize = 16;
/// A snapshot that found no room is tried again after this, then after twice as long, and so on.
const PAUSE: Duration = Duration::from_secs(1);
/// But never after longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

pub(crate) type Snapshot =
    openraft::Snapshot<crate::raft::types::LeaderId, u64, openraft::BasicNode, Arc<SnapshotFile>>;

/// Keeps readers and an applying batch apart. Who waits at it parks no thread: loading a snapshot holds
/// it closed while the runtime's threads bring the rows.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    rows: Arc<RwLock<()>>,
    /// Held while a batch is applied, and where a scan begins and ends: it then is at one entry.
    changing: Mutex<Recording>,
    /// Where rows are read and written by the thousand.
    pub(crate) apart: Apart,
}

/// Who is told of each batch, while it scans: what it changed, in order.
type Recording = Option<mpsc::Sender<Changes>>;

impl Gate {
    /// Of a server that does such work there.
    pub(crate) fn of(apart: Apart) -> Self {
        Self {
            apart,
            ..Self::default()
        }
    }

    /// While this is held no batch changes the rows.
    pub(crate) async fn read(&self) -> RwLockReadGuard<'_, ()> {
        self.rows.read().await
    }

    /// The same, for a thread that may block.
    pub(crate) async fn read_owned(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.rows).read_owned().await
    }

    /// Commits a batch's changes with its mark, and tells whoever scans. It waits for him, if he is behind, only
    /// after `answer` has gone out.
    async fn commit(
        &self,
        changing: &mut Recording,
        store: &Store,
        changes: store::Changes,
        mark: &Mark,
        answer: impl FnOnce(),
    ) -> Result<(), StoreError> {
        let recorded = changing.is_some().then(|| changes.0.clone());
        {
            let _closed = self.write().await;
            store.commit(changes, &types::codec::encode(mark))?;
        }
        answer();
        if let (Some(recorded), Some(scan)) = (recorded, changing.as_ref())
            && scan.send(recorded).await.is_err()
        {
            *changing = None;
        }
        Ok(())
    }

    /// While this is held nobody reads rows.
    pub(crate) async fn write(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.rows).write_owned().await
    }
}

/// What openraft applies entries to.
pub(crate) struct StateMachine {
    store: Arc<Store>,
    gate: Arc<Gate>,
    snapshots: Arc<Snapshots>,
    durable: watch::Receiver<Progress>,
    room: Arc<Room>,
    audits: Arc<Audits>,
    mark: Mark,
}

/// An entry that is to be applied, and who waits for the answer.
struct Decoded {
    at: LogId,
    what: What,
    responder: Option<ApplyResponder<TypeConfig>>,
}

enum What {
    Nothing,
    Servers(Membership),
    Proposal(Box<Proposal>),
}

impl Decoded {
    fn new((entry, responder): EntryResponder<TypeConfig>) -> io::Result<Self> {
        let what = match entry.payload {
            Payload::Blank => What::Nothing,
            Payload::Membership(servers) => What::Servers(servers),
            Payload::Normal(proposal) => {
                let proposal = types::codec::decode(&proposal.0);
                What::Proposal(Box::new(proposal.map_err(io::Error::other)?))
            }
        };
        Ok(Self {
            at: entry.log_id,
            what,
            responder,
        })
    }

    fn is_audit(&self) -> bool {
        matches!(&self.what, What::Proposal(proposal) if proposal.command == Command::Audit)
    }
}

impl StateMachine {
    /// Goes on from the store's mark.
    pub(crate) fn new(
        store: Arc<Store>,
        gate: Arc<Gate>,
        snapshots: Arc<Snapshots>,
        durable: watch::Receiver<Progress>,
        room: Arc<Room>,
        audits: Arc<Audits>,
    ) -> io::Result<Self> {
        let mark = rebuild::mark_of(&store)?;
        Ok(Self {
            store,
            gate,
            snapshots,
            durable,
            room,
            audits,
            mark,
        })
    }

    /// Waits until this server's log is durable up to `index`.
    async fn durable_here(&mut self, index: u64) -> io::Result<()> {
        let reached = self
            .durable
            .wait_for(|log| log.failed.is_some() || log.durable >= Some(index))
            .await;
        match reached.map_err(io::Error::other)?.failed.as_deref() {
            None => Ok(()),
            Some(why) => Err(io::Error::other(format!("the log failed: {why}"))),
        }
    }

    fn builder(&self, on_full: OnFull) -> Builder {
        Builder {
            store: Arc::clone(&self.store),
            gate: Arc::clone(&self.gate),
            snapshots: Arc::clone(&self.snapshots),
            room: Arc::clone(&self.room),
            log: self.durable.clone(),
            on_full,
        }
    }

    async fn apply_batch(&mut self, batch: Vec<Decoded>) -> io::Result<()> {
        let Some(last) = batch.last() else {
            return Ok(());
        };
        let (index, audit) = (last.at.index, last.is_audit());
        self.durable_here(index).await?;
        let mut waiting: Vec<(Option<ApplyResponder<TypeConfig>>, Answer)> =
            Vec::with_capacity(batch.len());
        let gate = Arc::clone(&self.gate);
        let mut changing = gate.changing.lock().await;
        let mut mark = self.mark.clone();
        let changes = {
            let mut txn = self.store.begin();
            for entry in batch {
                let answer = apply_entry(&mut txn, &mut mark, entry.at, entry.what)?;
                waiting.push((entry.responder, answer));
            }
            txn.into_changes()
        };
        let answer = || {
            for (responder, answer) in waiting {
                if let Some(responder) = responder {
                    responder.send(answer);
                }
            }
        };
        let committed = gate.commit(&mut changing, &self.store, changes, &mark, answer);
        committed.await.map_err(io::Error::other)?;
        if audit {
            self.audits.note(index, self.store.running_digest());
        }
        self.mark = mark;
        Ok(())
    }
}

/// Applies one entry to a transaction, and moves the mark.
fn apply_entry(txn: &mut Txn<'_>, mark: &mut Mark, at: LogId, what: What) -> io::Result<Answer> {
    let (membership, proposal) = match what {
        What::Nothing => (mark.membership(), None),
        What::Servers(servers) => (StoredMembership::new(Some(at), servers), None),
        What::Proposal(proposal) => (mark.membership(), Some(proposal)),
    };
    *mark = Mark::new(Some(at), &membership);
    let reply = proposal.map(|proposal| apply(txn, &proposal)).transpose();
    Ok(Answer(reply.map_err(io::Error::other)?))
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Arc<SnapshotFile>;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.mark.applied_id(), self.mark.membership()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut batch = Vec::new();
        while let Some(entry) = entries.next().await {
            let entry = Decoded::new(entry?)?;
            let ends = entry.is_audit();
            batch.push(entry);
            if ends || batch.len() == BATCH {
                self.apply_batch(std::mem::take(&mut batch)).await?;
            }
        }
        self.apply_batch(batch).await
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        let likely = self.snapshots.size().await;
        // A disk that does not say is left to fail by itself.
        let room = self.room.for_snapshot(likely).await.unwrap_or(true);
        if force {
            Some(self.builder(OnFull::Fail))
        } else if room {
            Some(self.builder(OnFull::TryAgain))
        } else {
            tracing::warn!("a snapshot is put off: the metadata disk has no room for it");
            None
        }
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.builder(OnFull::Fail)
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta,
        file: Arc<SnapshotFile>,
    ) -> io::Result<()> {
        let published = self.snapshots.publish(&file).await;
        let file = published.map_err(io::Error::other)?;
        if file.label.applied <= self.mark.applied {
            return Ok(());
        }
        let gate = Arc::clone(&self.gate);
        let mut changing = gate.changing.lock().await;
        // Who scans has seen rows that are gone now.
        *changing = None;
        let changes = file.verify().await.map_err(io::Error::other)?;
        rebuild::load(&self.store, &gate, &file, changes)
            .await
            .map_err(io::Error::other)?;
        level::check(&*self.store).map_err(io::Error::other)?;
        self.mark = file.label.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.snapshots.current().await.map(offered))
    }
}

fn offered(file: Arc<SnapshotFile>) -> Snapshot {
    Snapshot {
        meta: file.label.meta(),
        snapshot: file,
    }
}

/// Builds a snapshot file of the store's rows, a piece at a time, while entries are applied and readers read on.
///
/// ```text
/// begin   from here on each batch tells what it changes
/// scan    a piece of rows, between two batches; what was told meanwhile; the next piece …
/// end     between two batches: what was told last, and the label
/// ```
///
/// Who applies waits when too much of what it told is not written yet.
pub(crate) struct Builder {
    store: Arc<Store>,
    gate: Arc<Gate>,
    snapshots: Arc<Snapshots>,
    room: Arc<Room>,
    log: watch::Receiver<Progress>,
    on_full: OnFull,
}

/// What a builder does that finds no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnFull {
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
    async fn attempt(&self, likely: &mut ByteCount) -> Result<Arc<SnapshotFile>, SnapshotError> {
        let (label, mut recorded) = {
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
        let mut writer = self.snapshots.begin_scan(&label).await?;
        let mut from = Bound::Unbounded;
        loop {
            while let Ok(changes) = recorded.try_recv() {
                self.write_changes(&mut writer, &changes).await?;
            }
            let rows = self.piece(from).await?;
            let Some((last, _)) = rows.last() else { break };
            from = Bound::Excluded(last.clone());
            self.room.left_for_log().await?;
            writer.add(&snapshot::encode_rows(&rows)).await?;
            *likely = writer.bytes().max(*likely);
        }
        let label = self.end(&mut writer, &mut recorded).await?;
        let file = self.snapshots.finish_scan(writer, &label).await?;
        self.snapshots.publish(&file).await
    }

    /// The rows from here on, as many as make a piece, as they are between two batches.
    async fn piece(&self, from: Bound<Vec<u8>>) -> Result<Vec<Row>, SnapshotError> {
        let (store, open) = (Arc::clone(&self.store), self.gate.read_owned().await);
        let read = self.gate.apart.run(move || {
            let _open = open;
            let (mut rows, mut bytes): (Vec<Row>, usize) = (Vec::new(), 0);
            for row in store.scan(from, Bound::Unbounded) {
                let row = row?;
                bytes += row.0.len() + row.1.len();
                rows.push(row);
                if bytes >= PIECE {
                    break;
                }
            }
            Ok::<_, StoreError>(rows)
        });
        Ok(read.await?.map_err(io::Error::other)?)
    }

    /// Writes what was told last, and stops being told; the label of what is written then.
    async fn end(
        &self,
        writer: &mut SnapshotWriter,
        recorded: &mut mpsc::Receiver<Changes>,
    ) -> Result<Mark, SnapshotError> {
        loop {
            let mut changing = tokio::select! {
                biased;
                // One who applies may wait for this, and hold the lock.
                changes = recorded.recv() => {
                    let changes = changes.ok_or(SnapshotError::Superseded)?;
                    self.write_changes(writer, &changes).await?;
                    continue;
                }
                changing = self.gate.changing.lock() => changing,
            };
            while let Ok(changes) = recorded.try_recv() {
                self.write_changes(writer, &changes).await?;
            }
            if changing.take().is_none() {
                return Err(SnapshotError::Superseded);
            }
            return Ok(rebuild::mark_of(&self.store)?);
        }
    }

    async fn write_changes(
        &self,
        writer: &mut SnapshotWriter,
        changes: &Changes,
    ) -> Result<(), SnapshotError> {
        self.room.left_for_log().await?;
        for piece in snapshot::encode_mutations(changes, PIECE) {
            writer.add(&piece).await?;
        }
        Ok(())
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Arc<SnapshotFile>;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        self.build().await.map(offered).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests;
