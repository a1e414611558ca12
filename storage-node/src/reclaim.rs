//! Space that dead records take is given back.
//!
//! ```text
//! wholly dead volume    unlinked (`writer`)
//! thin sealed volume    what lives in it is moved to the open one; then it is wholly dead
//! any other sealed one  where its dead records lay is punched out of the file
//! ```
//!
//! A moved shard is read, proved and appended like one that a client sends, and its old record is dead as of
//! the new one: a power cut leaves either, or both, and of both the later one lives. The index moves from one
//! to the other in one step; a reader that was on its way to the old one looks again (`reading`).
//!
//! A punched record needs no sync: it is dead by a later record, whether or not its bytes are still there. Its
//! footer goes on naming it, so whatever killed it stays, too.
//!
//! All of it goes at the pace of upkeep, a piece at a time, and off the ring's thread.

use crate::drive::{ServingDrive, lock};
use crate::index::Location;
use crate::store::Store;
use crate::upkeep::Pace;
use crate::volume::VolumeId;
use crate::volumes::Range;
use crate::writer::WriteError;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use types::ShardKey;
use types::wire::storage::ReadError;

/// Shards that are moved at once, while nobody is served: they share a sync.
const AT_ONCE: usize = 8;
/// How long a stop waits for a piece of work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Ranges that are punched in one piece of work.
const PUNCHED_AT_ONCE: usize = 32;

/// What a disk's reclaiming remembers from one look to the next.
#[derive(Default)]
pub(crate) struct Reclaiming {
    /// Held while it is under way.
    turn: tokio::sync::Mutex<()>,
    stop: AtomicBool,
    /// Volumes that were left with so many shards that could not be moved: damaged ones, which are made again
    /// elsewhere.
    stuck: Mutex<BTreeMap<VolumeId, u64>>,
}

impl Reclaiming {
    /// Ends it, and returns when it has ended; a disk whose calls do not return is waited for only so long.
    pub(crate) async fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let _hangs = timeout(PATIENCE, self.turn.lock()).await;
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// Why a shard was not moved.
enum Unmoved {
    /// It cannot be read, or is not what it was.
    Bad(ShardKey),
    /// The disk takes nothing more now.
    Later,
}

impl ServingDrive {
    /// Gives back what can be given back now, unless that is under way. Tells which shards were found bad.
    pub(crate) async fn reclaim(&self, pace: &Pace) -> Vec<ShardKey> {
        let mut bad = Vec::new();
        let Ok(_turn) = self.reclaiming().turn.try_lock() else {
            return bad;
        };
        while let Some(volume) = self.thin() {
            match self.compact(volume, pace, &mut bad).await {
                // It is wholly dead now, unless some could not be moved.
                Ok(()) => self.tidy().await,
                Err(_no_room) => break,
            }
        }
        if let Err(error) = self.punch_all(pace).await
            && !error.is_full()
        {
            self.drive().fail(error);
        }
        bad
    }

    fn thin(&self) -> Option<VolumeId> {
        self.drive().serving().ok()?;
        if self.reclaiming().is_stopped() {
            return None;
        }
        let stuck = lock(&self.reclaiming().stuck);
        let drive = self.drive();
        let state = drive.state();
        let volumes = state.store.volumes();
        volumes.thin(|volume, account| stuck.get(&volume) != Some(&account.live))
    }

    /// Moves what lives in a sealed volume to the open one.
    async fn compact(
        &self,
        volume: VolumeId,
        pace: &Pace,
        bad: &mut Vec<ShardKey>,
    ) -> Result<(), Unmoved> {
        let slots = self.drive().state().store.slots();
        for (group, index, _) in slots {
            // Slot by slot: others wait for the lock.
            let there = {
                let state = self.drive().state();
                state.store.in_volume(group, index, volume)
            };
            let moves = there
                .into_iter()
                .map(|(key, from)| self.relocate(key, from, pace));
            let mut moves = futures::stream::iter(moves).buffer_unordered(AT_ONCE);
            while let Some(moved) = moves.next().await {
                match moved {
                    Ok(()) => {}
                    Err(Unmoved::Bad(key)) => bad.push(key),
                    Err(later) => return Err(later),
                }
            }
        }
        let left = {
            let state = self.drive().state();
            state
                .store
                .volumes()
                .get(volume)
                .map_or(0, |account| account.live)
        };
        tracing::debug!(disk = %self.id(), %volume, left, "compacted");
        let mut stuck = lock(&self.reclaiming().stuck);
        match left {
            0 => drop(stuck.remove(&volume)),
            left => drop(stuck.insert(volume, left)),
        }
        Ok(())
    }

    /// Moves a shard that lies at `from`. One that lies there no more was removed or written anew.
    async fn relocate(&self, key: ShardKey, from: Location, pace: &Pace) -> Result<(), Unmoved> {
        let piece = async {
            match self.drive().read_record(key, from).await {
                Ok(put) => match self.send_move(put, from).await {
                    Ok(_moved_or_gone) => Ok(()),
                    Err(_refused) => Err(Unmoved::Later),
                },
                Err(ReadError::Corrupt { .. } | ReadError::Io { .. }) if self.lies(key, from) => {
                    Err(Unmoved::Bad(key))
                }
                Err(ReadError::Busy { .. } | ReadError::DiskUnavailable { .. }) => {
                    Err(Unmoved::Later)
                }
                Err(_moved) => Ok(()),
            }
        };
        pace.piece(piece).await
    }

    fn lies(&self, key: ShardKey, at: Location) -> bool {
        self.drive().state().store.get(key) == Some(at)
    }

    async fn punch_all(&self, pace: &Pace) -> Result<(), WriteError> {
        loop {
            self.drive().serving()?;
            if self.reclaiming().is_stopped() {
                return Ok(());
            }
            let taken = {
                let mut state = self.drive().state_mut();
                state.store.volumes_mut().take_waste(PUNCHED_AT_ONCE)
            };
            let Some((volume, ranges)) = taken else {
                return Ok(());
            };
            pace.piece(self.punch(volume, &ranges)).await?;
        }
    }

    async fn punch(&self, volume: VolumeId, ranges: &[Range]) -> Result<(), WriteError> {
        let drive = self.drive();
        // It may be gone by now.
        let Some(file) = drive.file_of(volume) else {
            return Ok(());
        };
        let note = |change: &dyn Fn(&mut Store)| change(&mut drive.state_mut().store);
        for (position, (at, length)) in ranges.iter().enumerate() {
            match file.punch(*at, *length).await {
                Ok(()) => note(&|store| store.volumes_mut().punched(volume, *length)),
                Err(error) => {
                    let left = &ranges[position..];
                    note(&|store| store.volumes_mut().not_punched(volume, left));
                    if error.kind() == io::ErrorKind::Unsupported {
                        note(&|store| store.volumes_mut().cannot_punch());
                        tracing::warn!(disk = %drive.id, "its file system cannot punch holes: space comes back later, by moving");
                        return Ok(());
                    }
                    return Err(WriteError::Write(error));
                }
            }
        }
        Ok(())
    }
}
