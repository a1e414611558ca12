//! Snapshot files: this server's state as of one log entry, and with the log the only truth.
//!
//! ```text
//! header block | label | rows … | mutations … | trailer
//! ```
//!
//! Every part behind the header is one sealed frame (`frames.rs`) whose first byte says what it holds:
//!
//! ```text
//! L   `types::codec` of the label: last entry in the state, and the membership
//!     (a server that scans its own rows leaves room behind it, zeros, since it knows the end only then)
//! R   rows in order of key:      (u32 length ‖ key ‖ u32 length ‖ value)*
//! M   changes made while the rows were scanned, in order, between them or behind them:
//!                                (u32 length ‖ key ‖ 0 | 1 ‖ u32 length ‖ value)*
//! T   `types::codec` of the trailer: how many, and SHA-256 over (u32 length ‖ frame)* before it
//! ```
//!
//! All rows, and over them all mutations, are the state at the label: a row is scanned before or after a change
//! of it was made, and the change is a mutation either way.
//!
//! What always holds: the one name `snapshot` is a whole, verified file at any time, since a file is
//! written under another name, synced, read back and only then renamed; an older snapshot never
//! replaces a newer one; `Verified` is raised, and so the log may be purged, only after all that.

mod incoming;
mod parts;
mod unfinished;

pub(crate) use incoming::{GoesOn, Incoming, Place};
pub(crate) use parts::{Changes, encode_mutations, encode_rows, rows_of};

use crate::raft::frames::{FrameError, FrameFile, Frames, Kind, Sealing};
use crate::raft::log::Verified;
use crate::raft::types::Mark;
use disk::{BLOCK, Disk};
use incoming::Kept;
use parts::{LABEL, MUTATIONS, Sum, TRAILER, Trailer, decode_mutations, split};
use seal::frame::FileId;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use tokio::sync::Mutex;
use types::{ByteCount, ByteOffset};
use unfinished::{Leftovers, Unfinished};

const CURRENT: &str = "snapshot";
const UNFINISHED: &str = "snapshot-new-";

/// Why a snapshot cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The disk failed.
    #[error("the snapshot's disk failed")]
    Disk(#[from] io::Error),
    /// Written by a build that is too new.
    #[error("the snapshot has format version {0}, which this build does not know")]
    Version(u32),
    /// Another snapshot took its place while it was made.
    #[error("another snapshot was installed meanwhile")]
    Superseded,
    /// Bytes are not as they were written, or are not a snapshot of this server.
    #[error("the snapshot file is damaged: {0}")]
    Damaged(&'static str),
}

impl From<FrameError> for SnapshotError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(source) => Self::Disk(source),
            FrameError::Version(version) => Self::Version(version),
            FrameError::Header => Self::Damaged("its header"),
            FrameError::Damaged { .. } => Self::Damaged("a frame"),
            FrameError::DoesNotOpen { .. } => {
                Self::Damaged("a frame does not open under this server's storage key")
            }
        }
    }
}

/// A snapshot file on this server's disk.
pub(crate) struct SnapshotFile {
    disk: Arc<dyn Disk>,
    frames: FrameFile,
    /// Unless it was opened as the current one.
    unfinished: Option<Unfinished>,
    pub(crate) label: Mark,
    pub(crate) bytes: ByteCount,
}

impl std::fmt::Debug for SnapshotFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "snapshot at {:?}", self.label.applied)
    }
}

impl SnapshotFile {
    async fn open(
        disk: &Arc<dyn Disk>,
        name: &str,
        sealing: &Sealing,
    ) -> Result<Self, SnapshotError> {
        let frames = FrameFile::open(disk.as_ref(), name, Kind::Snapshot, sealing).await?;
        let bytes = frames.file.length().await?;
        let first = frames.frames().await?.next().await?;
        let label = label_of(first.as_ref().map_or(&[], |frame| &frame.plain))?;
        Ok(Self {
            disk: Arc::clone(disk),
            frames,
            unfinished: None,
            label,
            bytes,
        })
    }

    /// Which file it is: no other has its id.
    pub(crate) fn id(&self) -> FileId {
        self.frames.id()
    }

    /// Reads the whole file and checks it against its trailer. Returns the mutations, which go over
    /// the rows.
    pub(crate) async fn verify(&self) -> Result<Changes, SnapshotError> {
        let mut changes = Changes::new();
        let mut pieces = self.pieces().await?;
        while let Some(piece) = pieces.next().await? {
            if let (MUTATIONS, body) = split(&piece)? {
                changes.extend(decode_mutations(body)?);
            }
        }
        Ok(changes)
    }

    /// The label, rows and mutations as they are in the frames, in order. The end is reached only when
    /// everything before it adds up to the trailer.
    pub(crate) async fn pieces(&self) -> Result<Pieces<'_>, SnapshotError> {
        Ok(Pieces {
            frames: self.frames.frames().await?,
            sum: Sum::default(),
        })
    }
}

/// How much longer a label may become while rows are scanned: some tens of servers.
const LABEL_ROOM: usize = 2048;

/// A label as a first part.
fn label_piece(label: &Mark) -> Vec<u8> {
    let mut piece = vec![LABEL];
    piece.extend_from_slice(&types::codec::encode(label));
    piece
}

/// The label that a snapshot's first part holds.
pub(crate) fn label_of(piece: &[u8]) -> Result<Mark, SnapshotError> {
    let body = piece.strip_prefix(&[LABEL]);
    let label = body.and_then(|body| types::codec::decode(body).ok());
    label.ok_or(SnapshotError::Damaged("its label"))
}

/// A snapshot's parts, in order.
pub(crate) struct Pieces<'a> {
    frames: Frames<'a>,
    sum: Sum,
}

impl Pieces<'_> {
    /// The next part, first byte and all; nothing behind the last of a whole snapshot.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, SnapshotError> {
        let frame = self.frames.next().await?;
        let plain = frame
            .ok_or(SnapshotError::Damaged("its trailer is missing"))?
            .plain;
        match split(&plain)? {
            (TRAILER, body) => {
                let trailer: Trailer = types::codec::decode(body)
                    .map_err(|_| SnapshotError::Damaged("its trailer"))?;
                if trailer == self.sum.trailer() {
                    Ok(None)
                } else {
                    Err(SnapshotError::Damaged("it does not add up to its trailer"))
                }
            }
            _ => {
                self.sum.add(&plain)?;
                Ok(Some(plain))
            }
        }
    }
}

/// A snapshot being written under a name of its own.
pub(crate) struct SnapshotWriter {
    frames: FrameFile,
    unfinished: Unfinished,
    at: u64,
    next: u64,
    sum: Sum,
    /// Length of the first part.
    label: usize,
}

impl SnapshotWriter {
    /// Adds a part as [`Pieces`] gives them; the label was written already.
    pub(crate) async fn add(&mut self, piece: &[u8]) -> Result<(), SnapshotError> {
        self.sum.add(piece)?;
        self.write(piece).await
    }

    /// Adds a part that came from another server: rows or mutations, and nothing else.
    pub(crate) async fn add_received(&mut self, piece: &[u8]) -> Result<(), SnapshotError> {
        if piece.first() == Some(&LABEL) {
            return Err(SnapshotError::Damaged("a second label"));
        }
        self.add(piece).await
    }

    /// Bytes written so far.
    pub(crate) fn bytes(&self) -> ByteCount {
        ByteCount::new(self.at)
    }

    async fn write(&mut self, plain: &[u8]) -> Result<(), SnapshotError> {
        let buffer = self.frames.encode(self.next, plain);
        let length = buffer.len() as u64;
        let at = ByteOffset::new(self.at);
        self.frames.file.write(at, buffer).await?;
        self.at += length;
        self.next += 1;
        Ok(())
    }
}

/// This server's snapshot files: the current one, and those that are being written.
pub(crate) struct Snapshots {
    disk: Arc<dyn Disk>,
    sealing: Sealing,
    verified: Arc<Verified>,
    current: Mutex<Option<Arc<SnapshotFile>>>,
    /// Why there is a current one that could not be opened.
    unread: std::sync::Mutex<Option<SnapshotError>>,
    leftovers: Arc<Leftovers>,
    written: AtomicU64,
    /// What came of a snapshot whose sender broke off.
    kept: Kept,
}

impl Snapshots {
    /// Finds the current snapshot and removes what was never finished. Why a current one cannot be read
    /// is told by [`Snapshots::verify_current`]: it may not be needed.
    ///
    /// # Errors
    /// When the disk cannot be listed, or the file is of a build that is too new.
    pub(crate) async fn open(
        disk: Arc<dyn Disk>,
        sealing: Sealing,
        verified: Arc<Verified>,
    ) -> Result<Self, SnapshotError> {
        let (mut current, mut unread) = (None, None);
        for entry in disk.list().await? {
            if entry.name.starts_with(UNFINISHED) {
                disk.remove(&entry.name).await?;
            } else if entry.name == CURRENT {
                match SnapshotFile::open(&disk, CURRENT, &sealing).await {
                    Ok(file) => current = Some(Arc::new(file)),
                    Err(error @ SnapshotError::Version(_)) => return Err(error),
                    Err(error) => unread = Some(error),
                }
            }
        }
        Ok(Self {
            disk,
            sealing,
            verified,
            current: Mutex::new(current),
            unread: std::sync::Mutex::new(unread),
            leftovers: Arc::default(),
            written: AtomicU64::new(0),
            kept: Kept::default(),
        })
    }

    /// The current snapshot.
    pub(crate) async fn current(&self) -> Option<Arc<SnapshotFile>> {
        self.current.lock().await.clone()
    }

    /// Whether there is a current snapshot that could not be opened.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread().is_some()
    }

    fn unread(&self) -> std::sync::MutexGuard<'_, Option<SnapshotError>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current snapshot's size; none is nothing.
    pub(crate) async fn size(&self) -> ByteCount {
        let current = self.current().await;
        current.map_or(ByteCount::ZERO, |file| file.bytes)
    }

    /// Reads the current snapshot to its end; from then on the log may be purged behind it.
    pub(crate) async fn verify_current(&self) -> Result<Option<Changes>, SnapshotError> {
        let Some(file) = self.current().await else {
            return self.unread().take().map_or(Ok(None), Err);
        };
        let changes = file.verify().await?;
        if let Some(at) = file.label.applied {
            self.verified.raise(at.index);
        }
        Ok(Some(changes))
    }

    /// Stops using a current snapshot that cannot be read: there is none then.
    pub(crate) async fn forget_current(&self) {
        *self.current.lock().await = None;
    }

    /// Begins a file for a state with this label.
    pub(crate) async fn begin(&self, label: &Mark) -> Result<SnapshotWriter, SnapshotError> {
        self.begin_with(label_piece(label)).await
    }

    /// Begins a file for the state that rows have come to when they are scanned: with the label that they have now,
    /// and room for the one that they will have.
    pub(crate) async fn begin_scan(&self, label: &Mark) -> Result<SnapshotWriter, SnapshotError> {
        let mut piece = label_piece(label);
        piece.resize(piece.len() + LABEL_ROOM, 0);
        self.begin_with(piece).await
    }

    async fn begin_with(&self, label: Vec<u8>) -> Result<SnapshotWriter, SnapshotError> {
        self.sweep().await;
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let unfinished = Unfinished::new(format!("{UNFINISHED}{number}"), &self.leftovers);
        let disk = self.disk.as_ref();
        let frames = FrameFile::create(
            disk,
            &unfinished.name,
            Kind::Snapshot,
            0,
            ByteCount::ZERO,
            &self.sealing,
        )
        .await?;
        let mut writer = SnapshotWriter {
            frames,
            unfinished,
            at: BLOCK as u64,
            next: 0,
            sum: Sum::default(),
            label: 0,
        };
        writer.add(&label).await?;
        writer.label = label.len();
        Ok(writer)
    }

    /// Ends a file whose label is known only now. What was written is read back from the disk, label and all, and
    /// what it adds up to becomes the trailer.
    pub(crate) async fn finish_scan(
        &self,
        mut writer: SnapshotWriter,
        label: &Mark,
    ) -> Result<Arc<SnapshotFile>, SnapshotError> {
        let mut piece = label_piece(label);
        if piece.len() > writer.label {
            return Err(io::Error::other("the membership grew beyond the room for it").into());
        }
        piece.resize(writer.label, 0);
        let first = writer.frames.encode(0, &piece);
        let at = ByteOffset::new(BLOCK as u64);
        writer.frames.file.write(at, first).await?;
        writer.frames.file.sync().await?;
        let mut sum = Sum::default();
        let mut frames = writer.frames.frames().await?;
        for _ in 0..writer.next {
            let frame = frames.next().await?;
            let frame = frame.ok_or(SnapshotError::Damaged("it ends early"))?;
            sum.add(&frame.plain)?;
        }
        drop(frames);
        if sum.trailer().counts() != writer.sum.trailer().counts() {
            return Err(SnapshotError::Damaged("it is not what was written"));
        }
        writer.sum = sum;
        self.finish(writer).await
    }

    /// Ends a file: synced, and read back from the disk. It is not the current snapshot yet.
    pub(crate) async fn finish(
        &self,
        mut writer: SnapshotWriter,
    ) -> Result<Arc<SnapshotFile>, SnapshotError> {
        let mut piece = vec![TRAILER];
        piece.extend_from_slice(&types::codec::encode(&writer.sum.trailer()));
        writer.write(&piece).await?;
        writer.frames.file.sync().await?;
        let name = &writer.unfinished.name;
        let mut file = SnapshotFile::open(&self.disk, name, &self.sealing).await?;
        file.verify().await?;
        file.unfinished = Some(writer.unfinished);
        Ok(Arc::new(file))
    }

    /// Removes the files that were not finished or are not wanted, and that nobody holds any more.
    pub(crate) async fn sweep(&self) {
        while let Some(name) = self.leftovers.take() {
            match self.disk.remove(&name).await {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // It is removed at the next start.
                Err(error) => {
                    tracing::debug!(%error, name, "an unfinished snapshot stays for now");
                }
            }
        }
    }

    /// Makes a finished file the current snapshot, unless the current one is as new. One that is on
    /// another server's disk is copied first.
    pub(crate) async fn publish(
        &self,
        file: &Arc<SnapshotFile>,
    ) -> Result<Arc<SnapshotFile>, SnapshotError> {
        let received = if Arc::ptr_eq(&file.disk, &self.disk) {
            Arc::clone(file)
        } else {
            self.receive(file).await?
        };
        let file = &received;
        let mut current = self.current.lock().await;
        if let Some(newer) = current.as_ref()
            && newer.label.applied >= file.label.applied
        {
            return Ok(Arc::clone(newer));
        }
        let Some(unfinished) = &file.unfinished else {
            return Ok(received);
        };
        self.disk.rename(&unfinished.name, CURRENT).await?;
        unfinished.published();
        self.disk.sync_folder().await?;
        let published = SnapshotFile::open(&self.disk, CURRENT, &self.sealing).await?;
        let published = Arc::new(published);
        if let Some(at) = published.label.applied {
            self.verified.raise(at.index);
        }
        self.kept.outdated_by(&published.label);
        *current = Some(Arc::clone(&published));
        Ok(published)
    }

    /// Copies another server's snapshot, sealed under its key, into a finished file of this server.
    /// What a copy that fails or is given up leaves is swept.
    pub(crate) async fn receive(
        &self,
        from: &SnapshotFile,
    ) -> Result<Arc<SnapshotFile>, SnapshotError> {
        let mut writer = self.begin(&from.label).await?;
        let mut pieces = from.pieces().await?;
        while let Some(piece) = pieces.next().await? {
            if piece.first() != Some(&LABEL) {
                writer.add(&piece).await?;
            }
        }
        self.finish(writer).await
    }
}

#[cfg(test)]
mod tests;
