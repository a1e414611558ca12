//! Group commit: one task per disk that appends what waits and syncs once for all of it.
//!
//! While a sync runs, requests gather; the next round takes them all. Once a whole batch of them waits, it is
//! written before that sync is done, since it gains nothing by waiting: so a disk that is given much to write is
//! always writing. No timer ever delays a sync.
//!
//! ```text
//! write 1 | sync 1          | sync 2          |
//!         | write 2, if full | write 3, if full | ...
//! ```
//!
//! A sync makes durable what was written before it began, so no batch is acknowledged by the sync of another one.
//! Before anyone is answered the volume must still have a name: an open descriptor keeps a deleted file
//! writable, and what was acknowledged into it would be gone.
//!
//! After a failed write or sync nothing is known about what the device holds, and asking again would be
//! told that all is well: the disk is stopped for good. What waited behind the failure is refused unseen,
//! and nothing is written any more.

use crate::drive::Drive;
use crate::ledger::Ledger;
use crate::plan::{Action, Batch, Removed};
use crate::queue::Queue;
use crate::record;
use crate::ticket::{Refusal, Ticket};
use crate::volume::VolumeId;
use disk::{Buffer, File};
use futures::FutureExt;
use futures::future::{self, join, join_all};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use types::{ByteCount, ByteOffset};

/// Serves tickets until their senders are gone.
pub(crate) async fn run(drive: Arc<Drive>, mut ledger: Ledger, tickets: mpsc::Receiver<Ticket>) {
    let mut queue = Queue::of(tickets);
    // Whether something was written since the last look.
    let mut written = true;
    while queue.receive().await {
        let quiet = queue.is_looked_at() && queue.waiting.is_empty() && !written;
        written = !queue.waiting.is_empty();
        while !queue.waiting.is_empty() {
            drive.busy.begin();
            let done = round(&drive, &mut ledger, &mut queue).await;
            drive.busy.end();
            match done {
                Ok(()) => {}
                Err(error) if error.is_full() => refuse_full(&drive, &mut queue.waiting),
                Err(error) => {
                    drive.fail(error);
                    let waiting = queue.waiting.drain(..);
                    waiting.for_each(|ticket| ticket.refuse(&drive, Refusal::Failed));
                }
            }
        }
        drive.busy.begin();
        let done = tidy(&drive, &mut ledger, quiet).await;
        drive.busy.end();
        if let Some(error) = done.err().filter(|error| !error.is_full()) {
            drive.fail(error);
        }
        queue.looked();
    }
    stop(&drive).await;
}

/// Seals the open volume if it is long: the next start reads its footer instead of walking it.
async fn stop(drive: &Drive) {
    if drive.serving().is_err() {
        return;
    }
    let long = drive.state().store.seal_to_stop();
    if let Err(error) = seal_early(drive, long).await {
        // It is walked.
        tracing::warn!(disk = %drive.id, "the open volume was not sealed: {error}");
    }
}

/// Removes what nobody needs any more, and seals the open volume when that lets its waste go.
async fn tidy(drive: &Drive, ledger: &mut Ledger, quiet: bool) -> Result<(), WriteError> {
    unlink(drive, ledger, quiet).await?;
    if !quiet || drive.serving().is_err() {
        return Ok(());
    }
    let thin = drive.state().store.seal_thin();
    seal_early(drive, thin).await
}

/// Seals the open volume although it has room, if that is wanted.
async fn seal_early(drive: &Drive, wanted: Option<Action>) -> Result<(), WriteError> {
    if let Some(Action::Seal { volume, at, footer }) = wanted {
        seal(drive, volume, at, footer).await?;
    }
    Ok(())
}

/// Removes the volumes that nobody needs any more.
async fn unlink(drive: &Drive, ledger: &mut Ledger, quiet: bool) -> Result<(), WriteError> {
    if drive.serving().is_err() {
        return Ok(());
    }
    let volumes = drive.state_mut().store.disposable(quiet);
    if volumes.is_empty() {
        return Ok(());
    }
    let off = ledger.remove(&*drive.disk, &volumes).await;
    {
        let mut state = drive.state_mut();
        if let Err(error) = off {
            // They are looked at again.
            state.store.unlinked(&[]);
            return Err(error);
        }
        state.store.unlinked(&volumes);
        state.files.retain(|volume, _| !volumes.contains(volume));
    }
    for volume in &volumes {
        match drive.disk.remove(&volume.file_name()).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(WriteError::Write(error));
            }
            _ => {}
        }
    }
    drive.disk.sync_folder().await.map_err(WriteError::Sync)?;
    let free = drive.disk.free().await.map_err(WriteError::Write)?;
    drive.state_mut().store.measured(free);
    tracing::debug!(disk = %drive.id, ?volumes, "unlinked");
    Ok(())
}

/// Refuses the shards that wait. What is to be removed waits on, for it may find room that shards leave
/// free; it is refused when it waits alone.
fn refuse_full(drive: &Drive, waiting: &mut Vec<Ticket>) {
    let is_put = |ticket: &mut Ticket| ticket.shard().is_some();
    let puts: Vec<Ticket> = waiting.extract_if(.., is_put).collect();
    let refused = if puts.is_empty() {
        std::mem::take(waiting)
    } else {
        puts
    };
    for ticket in refused {
        ticket.refuse(drive, Refusal::Full);
    }
}

/// Why a round ended without an answer. All but a full file system stop the disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("it was stopped before")]
    Stopped,
    #[error("writing: {0}")]
    Write(#[source] io::Error),
    #[error("syncing: {0}")]
    Sync(#[source] io::Error),
    #[error("{0} was removed under the running server")]
    Removed(VolumeId),
    #[error("its list of volumes was removed under the running server")]
    RosterRemoved,
    #[error("its folder was removed or replaced")]
    Away,
    #[error("{0}")]
    Lost(String),
}

impl WriteError {
    /// Whether the file system refused for want of space: nothing was promised, and nothing is wrong.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Write(error) if is_full(error))
    }
}

/// Whether a file system, or its owner's quota, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// Performs one action, unless the disk has failed.
async fn round(drive: &Drive, ledger: &mut Ledger, queue: &mut Queue) -> Result<(), WriteError> {
    let ahead = queue.ahead.take();
    drive.serving()?;
    if let Some(batch) = ahead {
        return commit(drive, batch, queue).await;
    }
    let free = drive.disk.free().await.map_err(WriteError::Write)?;
    let action = {
        let mut state = drive.state_mut();
        state.store.measured(free);
        state.store.next(&queue.requests())
    };
    match action {
        Action::Append(batch) => append(drive, batch, queue).await,
        Action::Seal { volume, at, footer } => seal(drive, volume, at, footer).await,
        Action::Create(volume) => create(drive, ledger, volume).await,
        Action::Allocate(volume, length) => allocate(drive, volume, length).await,
    }
}

async fn append(drive: &Drive, batch: Batch, queue: &mut Queue) -> Result<(), WriteError> {
    if let Err(error) = write(drive, &batch, &queue.waiting).await {
        drive.state_mut().store.abandoned(&batch);
        return Err(error);
    }
    commit(drive, batch, queue).await
}

/// Makes a batch durable that is written, and answers. If the next one is full before that is done, it is written
/// meanwhile.
async fn commit(drive: &Drive, batch: Batch, queue: &mut Queue) -> Result<(), WriteError> {
    let answered: Vec<Ticket> = queue.waiting.drain(..batch.verdicts.len()).collect();
    let (removed, ahead) = match batch.volume {
        None => (Ok(Vec::new()), None),
        Some(volume) => {
            let (synced, ahead) = sync_and_write_ahead(drive, volume, &batch, queue).await;
            (synced.map(|()| appended(drive, &batch)), ahead)
        }
    };
    // Its volume may have been found missing meanwhile, by a comparison.
    let removed = removed.and_then(|removed| drive.serving().map(|()| removed));
    let removed = match removed {
        Ok(removed) => removed,
        Err(error) => {
            queue.waiting.splice(..0, answered);
            return Err(error);
        }
    };
    for (ticket, verdict) in answered.into_iter().zip(batch.verdicts) {
        ticket.answer(verdict, &removed);
    }
    let Some((ahead, written)) = ahead else {
        return Ok(());
    };
    if written.is_err() {
        drive.state_mut().store.abandoned(&ahead);
    }
    written.map(|()| queue.ahead = Some(ahead))
}

fn appended(drive: &Drive, batch: &Batch) -> Vec<Removed> {
    let records = batch.writes.len() + batch.tombstones.len();
    drive.records_a_sync.record(records as f64);
    drive.state_mut().store.appended(batch)
}

/// Syncs; and what came of a batch that was written meanwhile. No write is under way any more then.
async fn sync_and_write_ahead(
    drive: &Drive,
    volume: VolumeId,
    batch: &Batch,
    queue: &mut Queue,
) -> (
    Result<(), WriteError>,
    Option<(Batch, Result<(), WriteError>)>,
) {
    let file = drive.file(volume);
    let mut syncing = pin!(sync(drive, volume, &file));
    let ahead = tokio::select! {
        biased;
        synced = &mut syncing => return (synced, None),
        ahead = full_batch(drive, batch, queue) => ahead,
    };
    let (synced, written) = join(syncing, write(drive, &ahead, &queue.waiting)).await;
    (synced, Some((ahead, written)))
}

/// The batch behind `pending`, as soon as so much waits that it is full. Given up before that, it leaves all that
/// came waiting.
async fn full_batch(drive: &Drive, pending: &Batch, queue: &mut Queue) -> Batch {
    while !queue.is_worth(drive.batch) {
        if !queue.receive_more().await {
            return future::pending().await;
        }
    }
    let ahead = drive.state().store.next_behind(pending, &queue.requests());
    match ahead {
        Some(ahead) => ahead,
        None => future::pending().await,
    }
}

/// Writes a batch. When it returns no write is under way any more.
async fn write(drive: &Drive, batch: &Batch, waiting: &[Ticket]) -> Result<(), WriteError> {
    let Some(volume) = batch.volume else {
        return Ok(());
    };
    let file = &drive.file(volume);
    // Each is under way before the next one is copied: the disk need not wait for all copies.
    let shards = batch.writes.iter().map(|write| {
        let put = waiting[write.request].shard().expect("it is to be written");
        let record = move || record::encode(drive.id, &write.header, &put.payload);
        async move { file.write(write.at, record()).await }.boxed()
    });
    let tombstones = batch.tombstones.iter();
    let tombstones = tombstones.map(|(at, record)| file.write(*at, record.encode(drive.id)));
    gravest(join_all(shards.chain(tombstones)).await)
}

/// The outcome of several writes: an error that stops the disk counts before one that does not.
fn gravest(results: Vec<io::Result<()>>) -> Result<(), WriteError> {
    let errors = results.into_iter().filter_map(Result::err);
    let gravest = errors
        .map(WriteError::Write)
        .min_by_key(WriteError::is_full);
    gravest.map_or(Ok(()), Err)
}

async fn sync(drive: &Drive, volume: VolumeId, file: &Arc<dyn File>) -> Result<(), WriteError> {
    file.sync().await.map_err(WriteError::Sync)?;
    named(drive, volume, file).await
}

/// Whether a volume's file still has a name. Without one its records are gone at the next start, though
/// the open descriptor goes on reading them.
pub(crate) async fn named(
    drive: &Drive,
    volume: VolumeId,
    file: &Arc<dyn File>,
) -> Result<(), WriteError> {
    match file.links().await.map_err(WriteError::Sync)? {
        // The drive lets go of a volume before it removes the file itself.
        0 if drive.file_of(volume).is_some() => Err(WriteError::Removed(volume)),
        _ => Ok(()),
    }
}

/// Looks after the volumes that nobody writes to. Asked once a volume, it costs nothing.
pub(crate) async fn all_named(drive: &Drive) -> Result<(), WriteError> {
    let files = drive.state().files.clone();
    for (volume, file) in &files {
        named(drive, *volume, file).await?;
    }
    Ok(())
}

async fn seal(
    drive: &Drive,
    volume: VolumeId,
    at: ByteOffset,
    footer: Buffer,
) -> Result<(), WriteError> {
    let file = drive.file(volume);
    let end = (at + ByteCount::of(&footer)) - ByteOffset::ZERO;
    file.write(at, footer).await.map_err(WriteError::Write)?;
    file.set_length(end).await.map_err(WriteError::Write)?;
    sync(drive, volume, &file).await?;
    drive.state_mut().store.sealed();
    Ok(())
}

async fn create(drive: &Drive, ledger: &mut Ledger, volume: VolumeId) -> Result<(), WriteError> {
    all_named(drive).await?;
    let name = volume.file_name();
    let file = match drive.disk.create(&name).await {
        // An earlier attempt met a full file system before it was done; nothing was written to it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => drive.disk.open(&name).await,
        other => other,
    };
    let file = file.map_err(WriteError::Write)?;
    file.sync().await.map_err(WriteError::Sync)?;
    drive.disk.sync_folder().await.map_err(WriteError::Sync)?;
    ledger.add(&*drive.disk, volume).await?;
    let mut state = drive.state_mut();
    state.files.insert(volume, file);
    state.store.created(volume);
    Ok(())
}

async fn allocate(drive: &Drive, volume: VolumeId, length: ByteCount) -> Result<(), WriteError> {
    let allocated = drive.file(volume).allocate(length).await;
    allocated.map_err(WriteError::Write)?;
    drive.state_mut().store.allocated(length);
    Ok(())
}
