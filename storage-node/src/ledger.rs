//! The roster on the disk: reads it when the disk opens, and writes it before a volume counts or goes.

use crate::roster::{NAME, Roster, RosterError, UNFINISHED};
use crate::volume::VolumeId;
use crate::writer::WriteError;
use disk::{BLOCK, Disk, File};
use std::io;
use std::sync::Arc;
use types::{ByteCount, ByteOffset, DiskId};

/// Most bytes that are read of a file that says it is a roster.
const LONGEST: u64 = 64 << 20;

/// The roster and its file, once there is one.
pub(crate) struct Ledger {
    disk: DiskId,
    roster: Roster,
    file: Option<Arc<dyn File>>,
    half: ByteCount,
}

/// What a disk's file says.
pub(crate) enum Found {
    /// There is none: the disk is fresh, or of a version that unlinked nothing.
    None,
    /// It is good.
    Good(Ledger),
    /// Neither half is.
    Damaged,
}

impl Ledger {
    /// Of a disk that has none.
    pub(crate) fn fresh(disk: DiskId, roster: Roster) -> Self {
        Self {
            disk,
            roster,
            file: None,
            half: ByteCount::ZERO,
        }
    }

    /// Reads a disk's own.
    pub(crate) async fn read(device: &dyn Disk, disk: DiskId) -> Result<Found, ReadError> {
        let file = match device.open(NAME).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::None),
            other => other?,
        };
        let length = file.length().await?;
        let half = length.get() / 2;
        if half == 0 || !half.is_multiple_of(BLOCK as u64) || length.get() > LONGEST {
            return Ok(Found::Damaged);
        }
        let bytes = file.read(ByteOffset::ZERO, length).await?;
        match Roster::latest(&bytes, disk) {
            Ok(roster) => {
                // A killed process leaves it in the cache, and what is off it is about to be removed.
                file.sync().await?;
                Ok(Found::Good(Self {
                    disk,
                    roster,
                    file: Some(file),
                    half: ByteCount::new(half),
                }))
            }
            Err(RosterError::Invalid) => Ok(Found::Damaged),
            Err(version @ RosterError::Version(_)) => Err(ReadError::Version(version)),
        }
    }

    pub(crate) fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Puts a volume that was created on the roster, durably.
    pub(crate) async fn add(
        &mut self,
        device: &dyn Disk,
        volume: VolumeId,
    ) -> Result<(), WriteError> {
        let mut roster = self.roster.clone();
        roster.volumes.insert(volume);
        roster.next = roster.next.max(volume.next().0);
        self.write(device, roster).await
    }

    /// Takes volumes off that are about to be unlinked, durably.
    pub(crate) async fn remove(
        &mut self,
        device: &dyn Disk,
        volumes: &[VolumeId],
    ) -> Result<(), WriteError> {
        let mut roster = self.roster.clone();
        roster.volumes.retain(|volume| !volumes.contains(volume));
        self.write(device, roster).await
    }

    /// Makes it durable as it is to be from now on.
    pub(crate) async fn write(
        &mut self,
        device: &dyn Disk,
        mut roster: Roster,
    ) -> Result<(), WriteError> {
        roster.sequence = self.roster.sequence + 1;
        match &self.file {
            Some(file) if roster.length() <= self.half => {
                let at = ByteOffset::new(roster.sequence % 2 * self.half.get());
                let half = roster.encode(self.disk);
                file.write(at, half).await.map_err(WriteError::Write)?;
                file.sync().await.map_err(WriteError::Sync)?;
                if file.links().await.map_err(WriteError::Sync)? == 0 {
                    return Err(WriteError::RosterRemoved);
                }
            }
            _ => self.replace(device, &roster).await?,
        }
        self.roster = roster;
        Ok(())
    }

    /// A file with longer halves takes the place of the one before.
    async fn replace(&mut self, device: &dyn Disk, roster: &Roster) -> Result<(), WriteError> {
        match device.remove(UNFINISHED).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(WriteError::Write(error));
            }
            _ => {}
        }
        let half = ByteCount::new(roster.length().get().next_power_of_two());
        let file = device.create(UNFINISHED).await.map_err(WriteError::Write)?;
        let both = file.allocate(half + half).await;
        both.map_err(WriteError::Write)?;
        let at = ByteOffset::new(roster.sequence % 2 * half.get());
        let written = file.write(at, roster.encode(self.disk)).await;
        written.map_err(WriteError::Write)?;
        file.sync().await.map_err(WriteError::Sync)?;
        let renamed = device.rename(UNFINISHED, NAME).await;
        renamed.map_err(WriteError::Write)?;
        device.sync_folder().await.map_err(WriteError::Sync)?;
        (self.file, self.half) = (Some(file), half);
        Ok(())
    }
}

/// Why a roster cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{0}")]
    Version(RosterError),
    #[error(transparent)]
    Io(#[from] io::Error),
}
