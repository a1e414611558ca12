//! Reading the log back.
//!
//! ```text
//! the newest file has no checkpoint, and no frame anywhere    it was being made: removed
//! no whole frame follows, in the newest file                  the tail: the next frame goes there
//! a bad frame, and a whole one behind it                      damage: refused
//! an older file ends before the frames that its successor     damage: refused
//! says it has
//! ```
//!
//! A crash can cost frames that were never answered for, and those only at the very end. A log that was
//! closed ends with a frame that holds nothing, so that no damage of what counts passes for that.

use crate::raft::frames::{self, Frame, FrameError, FrameFile, Kind, Sealing};
use crate::raft::log::memory::{Location, Memory};
use crate::raft::log::record::{self, Checkpoint, Record};
use crate::raft::log::writer::End;
use crate::raft::log::{LogConfig, LogOpenError, file_name, file_number, in_file};
use crate::raft::types::Position;
use disk::Disk;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The log as it was found.
pub(super) struct Recovered {
    pub(super) memory: Memory,
    pub(super) files: BTreeMap<u32, Arc<FrameFile>>,
    /// Where writing goes on.
    pub(super) end: End,
    /// The state at the end, for the next file's checkpoint.
    pub(super) state: Checkpoint,
}

pub(super) async fn recover(
    disk: &dyn Disk,
    config: &LogConfig,
    sealing: &Sealing,
) -> Result<Recovered, LogOpenError> {
    let mut numbers = numbers(disk).await?;
    if let Some(newest) = numbers.last().copied()
        && is_void(disk, newest, sealing).await?
    {
        disk.remove(&file_name(newest)).await?;
        disk.sync_folder().await?;
        numbers.pop();
    }
    let mut memory = Memory::new(config.cache.as_usize());
    let mut files = BTreeMap::new();
    let mut end = None;
    for number in numbers {
        let name = file_name(number);
        let file = FrameFile::open(disk, &name, Kind::Log, sealing)
            .await
            .map_err(|error| in_file(&name, 0, error))?;
        if file.number != number {
            return Err(LogOpenError::Header { file: name });
        }
        let file = Arc::new(file);
        end = Some(replay(&name, Arc::clone(&file), &mut memory, end).await?);
        files.insert(number, file);
    }
    let end = match end {
        Some(end) => settle(disk, end).await?,
        None => {
            let end = End::first(disk, config, sealing).await?;
            files.insert(end.file.number, Arc::clone(&end.file));
            end
        }
    };
    check_whole(&memory)?;
    // What was committed elsewhere may not have reached this log before the stop.
    memory.committed = memory
        .committed
        .filter(|at| memory.last().is_some_and(|last| at.index <= last.index));
    let state = Checkpoint {
        frames_before: 0,
        vote: memory.vote,
        committed: memory.committed,
        purged: memory.purged(),
        last: memory.last(),
    };
    Ok(Recovered {
        memory,
        files,
        end,
        state,
    })
}

/// The numbers of the log's files, which follow one another.
async fn numbers(disk: &dyn Disk) -> Result<Vec<u32>, LogOpenError> {
    let mut numbers: Vec<u32> = disk
        .list()
        .await?
        .iter()
        .filter_map(|entry| file_number(&entry.name))
        .collect();
    numbers.sort_unstable();
    match numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
        None => Ok(numbers),
        Some(pair) => Err(LogOpenError::Missing {
            file: file_name(pair[0] + 1),
        }),
    }
}

/// Whether making this file was interrupted before anything was answered from it.
async fn is_void(disk: &dyn Disk, number: u32, sealing: &Sealing) -> Result<bool, LogOpenError> {
    let name = file_name(number);
    match FrameFile::open(disk, &name, Kind::Log, sealing).await {
        Ok(file) => {
            let mut frames = file.frames().await?;
            let first = frames
                .next()
                .await
                .map_err(|error| in_file(&name, 0, error))?;
            Ok(first.is_none() && !frames.more_behind().await?)
        }
        Err(FrameError::Header) => Ok(!frames::holds_frames(disk, &name).await?),
        Err(error) => Err(in_file(&name, 0, error)),
    }
}

/// Takes a file's records into memory; `before` is where the file before it ended.
async fn replay(
    name: &str,
    file: Arc<FrameFile>,
    memory: &mut Memory,
    before: Option<End>,
) -> Result<End, LogOpenError> {
    let damaged = |at| LogOpenError::Damaged {
        file: name.to_owned(),
        at,
    };
    let mut frames = file.frames().await?;
    let mut before = Some(before);
    loop {
        let at = frames.position();
        let next = frames.next().await;
        let Some(frame) = next.map_err(|error| in_file(name, at, error))? else {
            break;
        };
        let mut offset = 0;
        while offset < frame.plain.len() {
            let (record, next) =
                record::decode_at(&frame.plain, offset).map_err(|_| damaged(at))?;
            match (before.take(), record) {
                (Some(before), Record::Checkpoint(checkpoint)) => {
                    resume(memory, &checkpoint, before.as_ref())?;
                }
                (Some(_), _) | (None, Record::Checkpoint(_)) => return Err(damaged(at)),
                (None, record) => take(memory, record, &frame, file.number, offset)?,
            }
            offset = next;
        }
    }
    if before.is_some() || frames.more_behind().await? {
        return Err(damaged(frames.position()));
    }
    let (at, frame) = (frames.position(), frames.count());
    Ok(End { file, at, frame })
}

/// Goes on from a checkpoint, which must say what the files before it said.
fn resume(
    memory: &mut Memory,
    checkpoint: &Checkpoint,
    before: Option<&End>,
) -> Result<(), LogOpenError> {
    let Some(before) = before else {
        memory.resume(checkpoint);
        return Ok(());
    };
    // Of entries that removed files held, memory knows the index alone.
    let index = |at: Option<Position>| at.map(|at| at.index);
    let same = before.frame == checkpoint.frames_before
        && memory.vote == checkpoint.vote
        && memory.purged() == checkpoint.purged
        && index(memory.last()) == index(checkpoint.last);
    if same {
        Ok(())
    } else {
        Err(LogOpenError::Damaged {
            file: file_name(before.file.number),
            at: before.at,
        })
    }
}

fn take(
    memory: &mut Memory,
    record: Record,
    frame: &Frame,
    segment: u32,
    offset: usize,
) -> Result<(), LogOpenError> {
    match record {
        Record::Checkpoint(_) => unreachable!("the caller takes checkpoints"),
        Record::Vote(vote) => memory.vote = Some(vote),
        Record::Committed(committed) => memory.committed = committed,
        Record::Truncated { after } => memory.truncate(after),
        Record::Purged(upto) => memory.purge(upto),
        Record::Entry(entry) => {
            let location = Location {
                segment,
                block: frame.block,
                offset: u32::try_from(offset).expect("frames are far below 4 GiB"),
            };
            let index = entry.at.index;
            memory
                .recover(entry.into(), location)
                .map_err(|_| LogOpenError::Hole { index })?;
        }
    }
    Ok(())
}

/// Makes durable what was read: a process that was killed may have left it in the kernel alone.
async fn settle(disk: &dyn Disk, end: End) -> Result<End, LogOpenError> {
    end.file.file.sync().await?;
    disk.sync_folder().await?;
    Ok(end)
}

fn check_whole(memory: &Memory) -> Result<(), LogOpenError> {
    let begins_late = match (memory.purged(), memory.first_index()) {
        (None, Some(first)) if first > 0 => Some(0),
        _ => None,
    };
    match memory.first_absent().or(begins_late) {
        None => Ok(()),
        Some(index) => Err(LogOpenError::Hole { index }),
    }
}
