//! Group commit: one task per disk that appends what waits and syncs once for all of it.
//!
//! While a sync runs, requests gather; the next round takes them all. No timer ever delays a sync.
//! Before anyone is answered the volume must still have a name: an open descriptor keeps a deleted file
//! writable, and what was acknowledged into it would be gone.
//!
//! After a failed write or sync nothing is known about what the device holds, and asking again would be
//! told that all is well: the disk is stopped for good. What waited behind the failure is refused unseen,
//! and nothing is written any more.

use crate::drive::Drive;
use crate::record;
use crate::store::{Action, Batch, Verdict};
use crate::{index::Location, volume::VolumeId};
use disk::{Buffer, File};
use futures::future::join_all;
use std::io;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use types::wire::storage::{PutError, PutShard};
use types::{ByteCount, ByteOffset};

/// Requests that may wait for a disk; more are told that it is busy.
pub(crate) const QUEUE: usize = 256;

/// A request that waits for its record to be durable.
pub(crate) struct Ticket {
    pub(crate) put: PutShard,
    pub(crate) answer: oneshot::Sender<Result<Stored, PutError>>,
}

/// What happened to it.
#[derive(Debug)]
pub(crate) enum Stored {
    /// It is durable.
    Durable,
    /// A durable record stands under its key already: compare.
    Before(Location),
}

/// Serves tickets until their senders are gone.
pub(crate) async fn run(drive: Arc<Drive>, mut tickets: mpsc::Receiver<Ticket>) {
    let mut waiting = Vec::with_capacity(QUEUE);
    while tickets.recv_many(&mut waiting, QUEUE).await > 0 {
        while !waiting.is_empty() {
            let refusal = match round(&drive, &mut waiting).await {
                Ok(()) => continue,
                Err(error) if error.is_full() => PutError::Full { disk: drive.id },
                Err(error) => {
                    drive.fail(&error);
                    PutError::DiskFailed { disk: drive.id }
                }
            };
            for ticket in waiting.drain(..) {
                let _abandoned = ticket.answer.send(Err(refusal.clone()));
            }
        }
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
}

impl WriteError {
    /// Whether the file system refused for want of space: nothing was promised, and nothing is wrong.
    fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Write(error) if matches!(error.kind(), StorageFull | QuotaExceeded))
    }
}

/// Performs one action, unless the disk has failed.
async fn round(drive: &Drive, waiting: &mut Vec<Ticket>) -> Result<(), WriteError> {
    drive.serving()?;
    let free = drive.disk.free().await.map_err(WriteError::Write)?;
    let action = {
        let mut state = drive.state_mut();
        state.store.measured(free);
        let puts: Vec<&PutShard> = waiting.iter().map(|ticket| &ticket.put).collect();
        state.store.next(&puts)
    };
    match action {
        Action::Append(batch) => append(drive, batch, waiting).await,
        Action::Seal { volume, at, footer } => seal(drive, volume, at, footer).await,
        Action::Create(volume) => create(drive, volume).await,
        Action::Allocate(volume, length) => allocate(drive, volume, length).await,
    }
}

async fn append(drive: &Drive, batch: Batch, waiting: &mut Vec<Ticket>) -> Result<(), WriteError> {
    if let Some(volume) = batch.volume {
        let written = write(drive, volume, &batch, waiting).await;
        let mut state = drive.state_mut();
        if let Err(error) = written {
            state.store.abandoned(&batch);
            return Err(error);
        }
        state.store.appended(&batch);
    }
    // Its volume may have been found missing meanwhile, by a comparison.
    drive.serving()?;
    let answered = waiting.drain(..batch.verdicts.len());
    for (ticket, verdict) in answered.zip(batch.verdicts) {
        let answer = match verdict {
            Verdict::Append(_) | Verdict::Joined(_) => Ok(Stored::Durable),
            Verdict::Compare(location) => Ok(Stored::Before(location)),
            Verdict::Refuse(error) => Err(error),
        };
        // The writer may have given up waiting; the record stands all the same.
        let _abandoned = ticket.answer.send(answer);
    }
    Ok(())
}

/// Writes a batch and makes it durable. When it returns no write is under way any more.
async fn write(
    drive: &Drive,
    volume: VolumeId,
    batch: &Batch,
    waiting: &[Ticket],
) -> Result<(), WriteError> {
    let file = drive.file(volume);
    let writes = batch.writes.iter().map(|write| {
        let payload = &waiting[write.request].put.payload;
        file.write(write.at, record::encode(drive.id, &write.header, payload))
    });
    gravest(join_all(writes).await)?;
    sync(volume, &file).await
}

/// The outcome of several writes: an error that stops the disk counts before one that does not.
fn gravest(results: Vec<io::Result<()>>) -> Result<(), WriteError> {
    let errors = results.into_iter().filter_map(Result::err);
    let gravest = errors
        .map(WriteError::Write)
        .min_by_key(WriteError::is_full);
    gravest.map_or(Ok(()), Err)
}

async fn sync(volume: VolumeId, file: &Arc<dyn File>) -> Result<(), WriteError> {
    file.sync().await.map_err(WriteError::Sync)?;
    named(volume, file).await
}

/// Whether a volume's file still has a name. Without one its records are gone at the next start, though
/// the open descriptor goes on reading them.
pub(crate) async fn named(volume: VolumeId, file: &Arc<dyn File>) -> Result<(), WriteError> {
    match file.links().await.map_err(WriteError::Sync)? {
        0 => Err(WriteError::Removed(volume)),
        _ => Ok(()),
    }
}

/// Looks after the volumes that nobody writes to. Asked once a volume, it costs nothing.
async fn all_named(drive: &Drive) -> Result<(), WriteError> {
    let files = drive.state().files.clone();
    for (volume, file) in &files {
        named(*volume, file).await?;
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
    sync(volume, &file).await?;
    drive.state_mut().store.sealed();
    Ok(())
}

async fn create(drive: &Drive, volume: VolumeId) -> Result<(), WriteError> {
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
