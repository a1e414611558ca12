//! The writer: the one task that writes to the log.
//!
//! It takes what is queued into one frame, writes it, syncs, and only then answers for all of it; what
//! arrives meanwhile goes into the next frame. No timer delays a sync. That an entry is committed is a
//! hint (who reads asks a quorum first), so it rides along with the next frame, or is written when
//! nothing else has been for a while.
//!
//! A log that is closed ends with a frame that holds such a hint alone. What was answered for is then
//! never the log's tail, where damage would pass for a torn write.

use crate::raft::frames::{FrameFile, Kind, Sealing};
use crate::raft::log::memory::Location;
use crate::raft::log::record::{self, Checkpoint, Record};
use crate::raft::log::{LogConfig, Shared, file_name};
use crate::raft::types::{Position, StoredVote, TypeConfig};
use disk::{BLOCK, Disk};
use openraft::storage::IOFlushed;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use types::ByteOffset;

/// Appends that may wait for the writer; whoever comes later waits to queue.
const QUEUE: usize = 1024;
/// Plaintext of one frame, unless one record alone is larger.
const FRAME: usize = 1 << 20;
/// After so long without anything else to write, what is committed is written on its own.
const IDLE: Duration = Duration::from_millis(50);

/// Answers whoever asked for a step.
pub(super) type Answer = oneshot::Sender<io::Result<()>>;

/// A record to be written, and what it changes once it is durable.
pub(super) struct Item {
    pub(super) record: Record,
    pub(super) effect: Effect,
}

pub(super) enum Effect {
    /// An entry can be read from the file.
    Entry {
        at: Position,
        append: u32,
        /// On an append's last entry.
        done: Option<IOFlushed<TypeConfig>>,
    },
    Vote(StoredVote, Answer),
    /// The log ends here.
    Truncated(Option<Position>, Answer),
    /// The log begins behind this.
    Purged(Position, Answer),
    Committed(Option<Position>),
}

/// Where the next frame goes.
pub(super) struct End {
    pub(super) file: Arc<FrameFile>,
    pub(super) at: u64,
    pub(super) frame: u64,
}

impl End {
    /// The first file of a new log.
    pub(super) async fn first(
        disk: &dyn Disk,
        config: &LogConfig,
        sealing: &Sealing,
    ) -> io::Result<Self> {
        Self::create(disk, config, sealing, 1, Checkpoint::default()).await
    }

    /// A file that begins with a checkpoint, durable with its name.
    async fn create(
        disk: &dyn Disk,
        config: &LogConfig,
        sealing: &Sealing,
        number: u32,
        checkpoint: Checkpoint,
    ) -> io::Result<Self> {
        let name = file_name(number);
        let file =
            FrameFile::create(disk, &name, Kind::Log, number, config.segment, sealing).await?;
        let plain = record::encode(&Record::Checkpoint(checkpoint));
        let buffer = file.encode(0, &plain);
        let at = BLOCK as u64 + buffer.len() as u64;
        file.file
            .write(ByteOffset::new(BLOCK as u64), buffer)
            .await?;
        file.file.sync().await?;
        disk.sync_folder().await?;
        Ok(Self {
            file: Arc::new(file),
            at,
            frame: 1,
        })
    }

    pub(super) fn position(&self) -> (u32, u64) {
        (self.file.number, self.at)
    }
}

/// Starts the writer. It ends when the queue is dropped and everything in it is durable; it closes the
/// log then if `close` says so. One that was dropped without a word may have left the log to another.
pub(super) fn start(
    disk: Arc<dyn Disk>,
    sealing: Sealing,
    shared: Arc<Shared>,
    (end, state): (End, Checkpoint),
    close: oneshot::Receiver<()>,
) -> (mpsc::Sender<Vec<Item>>, JoinHandle<()>) {
    let (queue, incoming) = mpsc::channel(QUEUE);
    let writer = Writer {
        disk,
        sealing,
        shared,
        incoming,
        waiting: VecDeque::new(),
        committed: None,
        end,
        state,
    };
    (queue, tokio::spawn(writer.run(close)))
}

struct Writer {
    disk: Arc<dyn Disk>,
    sealing: Sealing,
    shared: Arc<Shared>,
    incoming: mpsc::Receiver<Vec<Item>>,
    waiting: VecDeque<Item>,
    /// What is committed, to ride along.
    committed: Option<Option<Position>>,
    end: End,
    /// The log's state as the files have it.
    state: Checkpoint,
}

impl Writer {
    async fn run(mut self, close: oneshot::Receiver<()>) {
        while self.something_waits().await {
            let items = self.take();
            if let Err(error) = self.write_and_settle(items).await {
                self.fail(&error).await;
                return;
            }
        }
        if close.await.is_ok()
            && let Err(error) = self.close().await
        {
            // As after a crash: all that was answered for is durable.
            tracing::warn!(%error, "the metadata log was not closed");
        }
    }

    /// Writes the frame that is the tail in place of the last one that counts.
    async fn close(&mut self) -> io::Result<()> {
        let hint = record::encode(&Record::Committed(self.state.committed));
        self.write(&hint).await.map(drop)
    }

    /// Waits for something to write; false once there never will be.
    async fn something_waits(&mut self) -> bool {
        loop {
            while let Ok(items) = self.incoming.try_recv() {
                self.accept(items);
            }
            if !self.waiting.is_empty() {
                return true;
            }
            let next = match self.committed {
                None => Ok(self.incoming.recv().await),
                Some(_) => tokio::time::timeout(IDLE, self.incoming.recv()).await,
            };
            match next {
                Ok(Some(items)) => self.accept(items),
                Ok(None) | Err(_) if self.committed.is_some() => return true,
                Ok(None) => return false,
                Err(_) => {}
            }
        }
    }

    fn accept(&mut self, items: Vec<Item>) {
        for item in items {
            match item.effect {
                Effect::Committed(committed) => self.committed = Some(committed),
                _ => self.waiting.push_back(item),
            }
        }
    }

    /// The items of the next frame, encoded.
    fn take(&mut self) -> Vec<(Vec<u8>, Effect)> {
        let mut items = Vec::new();
        let mut bytes = 0;
        while bytes < FRAME
            && let Some(item) = self.waiting.pop_front()
        {
            let record = record::encode(&item.record);
            bytes += record.len();
            items.push((record, item.effect));
        }
        if let Some(committed) = self.committed.take() {
            let record = record::encode(&Record::Committed(committed));
            items.push((record, Effect::Committed(committed)));
        }
        items
    }

    async fn write_and_settle(&mut self, items: Vec<(Vec<u8>, Effect)>) -> io::Result<()> {
        let plain: Vec<u8> = items
            .iter()
            .flat_map(|(record, _)| record)
            .copied()
            .collect();
        match self.write(&plain).await {
            Ok(block) => self.settle(items, block).await,
            Err(error) => {
                for (_, effect) in items {
                    effect.answer(Err(copy_of(&error)));
                }
                Err(error)
            }
        }
    }

    /// Makes a frame durable, and says in which block it begins.
    async fn write(&mut self, plain: &[u8]) -> io::Result<u32> {
        let padded = self.end.file.encode(self.end.frame, plain);
        let fits = self.end.at + padded.len() as u64 <= self.shared.config.segment.get();
        let buffer = if fits || self.end.frame == 1 {
            padded
        } else {
            self.next_file().await?;
            self.end.file.encode(self.end.frame, plain)
        };
        let length = buffer.len() as u64;
        let file = &self.end.file.file;
        file.write(ByteOffset::new(self.end.at), buffer).await?;
        file.sync().await?;
        if file.links().await? == 0 {
            return Err(io::Error::other(
                "the log's file was removed by someone else",
            ));
        }
        let block = u32::try_from(self.end.at / BLOCK as u64).expect("files stay below 16 TiB");
        self.end.at += length;
        self.end.frame += 1;
        Ok(block)
    }

    async fn next_file(&mut self) -> io::Result<()> {
        let number = self.end.file.number + 1;
        let checkpoint = Checkpoint {
            frames_before: self.end.frame,
            ..self.state.clone()
        };
        let config = &self.shared.config;
        let disk = self.disk.as_ref();
        self.end = End::create(disk, config, &self.sealing, number, checkpoint).await?;
        let file = Arc::clone(&self.end.file);
        self.shared.files().insert(number, file);
        Ok(())
    }

    /// Tells everyone that a frame is durable.
    async fn settle(&mut self, items: Vec<(Vec<u8>, Effect)>, block: u32) -> io::Result<()> {
        let mut durable = self.shared.progress.borrow().durable;
        let mut offset = 0;
        let mut purged = false;
        for (record, effect) in &items {
            match effect {
                Effect::Entry { at, append, .. } => {
                    let location = Location {
                        segment: self.end.file.number,
                        block,
                        offset,
                    };
                    self.shared.memory().written(at.index, *append, location);
                    self.state.last = Some(*at);
                    durable = Some(at.index);
                }
                Effect::Vote(vote, _) => {
                    self.state.vote = Some(*vote);
                    self.shared.memory().vote = Some(*vote);
                }
                Effect::Truncated(last, _) => {
                    self.state.last = *last;
                    durable = last.map(|at| at.index);
                }
                Effect::Purged(upto, _) => {
                    purged = true;
                    self.state.purged = Some(*upto);
                    let behind = self.state.last.filter(|last| last.index > upto.index);
                    self.state.last = behind.or(Some(*upto));
                    durable = durable.max(Some(upto.index));
                }
                Effect::Committed(committed) => self.state.committed = *committed,
            }
            offset += u32::try_from(record.len()).expect("frames are far below 4 GiB");
        }
        self.shared.memory().evict();
        let end = self.end.position();
        self.shared.progress.send_modify(|progress| {
            progress.durable = durable;
            progress.end = end;
        });
        let removed = if purged {
            self.remove_purged().await
        } else {
            Ok(())
        };
        for (_, effect) in items {
            effect.answer(match &removed {
                Ok(()) => Ok(()),
                Err(error) => Err(copy_of(error)),
            });
        }
        removed
    }

    /// Removes the files that hold no live entry, oldest first, each durably before the next: what is
    /// left is always without a gap.
    async fn remove_purged(&mut self) -> io::Result<()> {
        let current = self.end.file.number;
        let live = self.shared.memory().location_behind(None);
        let keep = live.map_or(current, |location| location.segment.min(current));
        loop {
            let oldest = self
                .shared
                .files()
                .first_key_value()
                .map(|(number, _)| *number);
            let Some(number) = oldest.filter(|number| *number < keep) else {
                return Ok(());
            };
            self.disk.remove(&file_name(number)).await?;
            self.disk.sync_folder().await?;
            self.shared.files().remove(&number);
        }
    }

    /// Nothing is durable any more: everyone who waits or comes later is told so.
    async fn fail(&mut self, error: &io::Error) {
        tracing::error!(%error, "the metadata log failed");
        let why: Arc<str> = error.to_string().into();
        self.shared
            .progress
            .send_modify(|progress| progress.failed = Some(why));
        self.incoming.close();
        while let Some(items) = self.incoming.recv().await {
            self.accept(items);
        }
        for item in self.waiting.drain(..) {
            item.effect.answer(Err(copy_of(error)));
        }
    }
}

impl Effect {
    fn answer(self, result: io::Result<()>) {
        match self {
            Self::Entry { done, .. } => {
                if let Some(done) = done {
                    done.io_completed(result);
                }
            }
            // Who no longer waits does not need the answer.
            Self::Vote(_, answer) | Self::Truncated(_, answer) | Self::Purged(_, answer) => {
                drop(answer.send(result));
            }
            Self::Committed(_) => {}
        }
    }
}

/// The same error for another waiter.
fn copy_of(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
