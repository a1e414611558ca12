//! Opening a disk: which shards its volumes hold.
//!
//! Sealed volumes are read by their footers, the open one is walked (`walk`). What they say counts in order
//! of volumes and sequence numbers: a tombstone kills what lies before it, and of several records under
//! one key the last one lives.
//!
//! Where dead records lay in a sealed volume may be a hole (`reclaim`). Without a footer nothing tells it from a
//! record that was lost; the comparison with the metadata does, when the disk serves.
//!
//! A bad record with a good one behind it is damage and reported. Bad bytes with nothing good behind
//! them are a tail that never became durable, in which nothing was acknowledged, and are cut. A device
//! that fails a read opens not at all: what cannot be read must not be cut.
//!
//! What was found is made durable before the disk serves: a killed process leaves records that nothing
//! but the page or device cache holds yet, and a retry of their writers would be told that they are safe.

use crate::footer::FooterError;
use crate::ledger::{self, Found, Ledger};
use crate::plan::{Limits, Tail};
use crate::record::HeaderError;
use crate::roster::{Roster, RosterError};
use crate::store::Store;
use crate::volume::VolumeId;
use crate::walk::{Unsealed, VolumeReader};
use crate::writer::{WriteError, is_full};
use disk::{Disk, File};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use types::{ByteCount, ByteOffset, DiskId};

/// A disk that is ready to serve.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) files: BTreeMap<VolumeId, Arc<dyn File>>,
    pub(crate) damage: Vec<Damage>,
    /// Always there once it is open.
    pub(crate) ledger: Option<Ledger>,
}

/// Something that was stored here and is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// No good record where one was, with a good one behind it.
    Record {
        /// In which volume.
        volume: VolumeId,
        /// Where the gap begins.
        at: ByteOffset,
        /// How long it is.
        length: ByteCount,
        /// Whether it is known to have been durable; else a power cut may have torn it before it was
        /// acknowledged.
        durable: bool,
    },
    /// A volume that was sealed has no good footer; its records were found by walking it.
    Footer(VolumeId),
    /// A volume's file is gone, and was not unlinked on purpose.
    Volume(VolumeId),
    /// The roster is: volumes may be missing. It is made anew from those that are there.
    Roster,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record {
                volume,
                at,
                length,
                durable,
            } => {
                let certain = if *durable {
                    "damaged"
                } else {
                    "damaged, or torn by a power cut before it was acknowledged"
                };
                write!(f, "{volume}: {length} from {at} on are {certain}")
            }
            Self::Footer(volume) => write!(f, "{volume}: its footer is damaged"),
            Self::Volume(volume) => write!(f, "{volume} is missing"),
            Self::Roster => write!(f, "the list of volumes is damaged; some may be missing"),
        }
    }
}

/// Why a disk does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{volume}: {source}")]
    Header {
        volume: VolumeId,
        source: HeaderError,
    },
    #[error("{volume}: {source}")]
    Footer {
        volume: VolumeId,
        source: FooterError,
    },
    #[error("reading its volumes: {0}")]
    Io(#[from] io::Error),
    #[error("its list of volumes: {0}")]
    Roster(#[source] WriteError),
    #[error("{0}")]
    Later(RosterError),
}

impl From<ledger::ReadError> for OpenError {
    fn from(error: ledger::ReadError) -> Self {
        match error {
            ledger::ReadError::Version(version) => Self::Later(version),
            ledger::ReadError::Io(error) => Self::Io(error),
        }
    }
}

/// How far a drive that failed had come: what lies behind was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// The open volume, or the one that would have been the next.
    pub(crate) volume: VolumeId,
    /// Behind its last record.
    pub(crate) end: ByteOffset,
}

/// Opens a stamped disk. After a failure nothing is trusted that was not acknowledged before: it may be in
/// the page cache alone, and a sync that succeeds now would prove nothing.
pub(crate) async fn open(
    disk: &dyn Disk,
    id: DiskId,
    limits: Limits,
    failed_at: Option<Acknowledged>,
) -> Result<Opened, OpenError> {
    let names = disk.list().await?;
    let held = names.iter().map(|entry| entry.length.get());
    let capacity = disk.free().await?.get() + held.sum::<u64>();
    let limits = limits.on(ByteCount::new(capacity));
    let there = names
        .iter()
        .filter_map(|entry| VolumeId::of_file(&entry.name));
    let there: BTreeSet<VolumeId> = there.collect();
    let mut damage = Vec::new();
    let mut ledger = match Ledger::read(disk, id).await? {
        Found::Good(ledger) => ledger,
        found => {
            let mut roster = Roster::default();
            if matches!(found, Found::Damaged) {
                damage.push(Damage::Roster);
            } else if let Some(last) = there.last() {
                // The version before unlinked nothing.
                roster.next = last.next().0;
                roster.volumes = (1..roster.next).map(VolumeId).collect();
            }
            Ledger::fresh(id, roster)
        }
    };
    let listed = &ledger.roster().volumes;
    damage.extend(listed.difference(&there).copied().map(Damage::Volume));
    // Fresh ones were created just before the power went; others were about to be unlinked.
    let lost_roster = damage.contains(&Damage::Roster);
    let next = VolumeId(ledger.roster().next);
    let stays = |volume: &VolumeId| lost_roster || *volume >= next || listed.contains(volume);
    let (stay, go): (Vec<VolumeId>, Vec<VolumeId>) = there.iter().partition(|v| stays(v));

    let mut opened = Opened {
        store: Store::new(id, limits),
        files: BTreeMap::new(),
        damage,
        ledger: None,
    };
    for &volume in &stay {
        let file = disk.open(&volume.file_name()).await?;
        let newest = stay.last() == Some(&volume);
        if let Some(failed_at) = failed_at.filter(|at| at.volume == volume && newest) {
            file.set_length(failed_at.end - ByteOffset::ZERO).await?;
        }
        let reader = VolumeReader {
            file: &*file,
            disk: id,
            volume,
            length: file.length().await?,
        };
        adopt(&reader, newest, &mut opened, limits).await?;
        opened.files.insert(volume, file);
    }
    for (volume, file) in &opened.files {
        let allocated = file.allocated().await?;
        opened.store.volumes_mut().takes(*volume, allocated);
    }
    disk.sync_folder().await?;
    let mut roster = ledger.roster().clone();
    roster.volumes.extend(&stay);
    roster.next = roster.next.max(stay.last().map_or(1, |last| last.next().0));
    opened.store.begin_at(VolumeId(roster.next));
    if (roster != *ledger.roster() || failed_at.is_some())
        && let Err(error) = ledger.write(disk, roster).await
        && !error.is_full()
    {
        return Err(OpenError::Roster(error));
    }
    for volume in go {
        disk.remove(&volume.file_name()).await?;
    }
    disk.sync_folder().await?;
    opened.store.measured(disk.free().await?);
    opened.ledger = Some(ledger);
    Ok(opened)
}

async fn adopt(
    reader: &VolumeReader<'_>,
    newest: bool,
    opened: &mut Opened,
    limits: Limits,
) -> Result<(), OpenError> {
    let volume = reader.volume;
    match reader.footer().await {
        Ok(footer) => {
            if newest {
                reader.file.sync().await?;
            }
            let store = &mut opened.store;
            store.adopt_sealed(volume, footer.entries(), reader.length);
        }
        Err(Unsealed::Io(error)) => return Err(error.into()),
        Err(Unsealed::Footer(source @ FooterError::Version(_))) => {
            return Err(OpenError::Footer { volume, source });
        }
        Err(Unsealed::Footer(_)) => {
            let walk = reader.walk().await?;
            for damage in walk.damage {
                if newest || !reader.is_hole(&damage).await? {
                    opened.damage.push(damage);
                }
            }
            if newest {
                let end = walk.end - ByteOffset::ZERO;
                let allocated = cut(reader, end, limits.spare()).await?;
                reader.file.sync().await?;
                opened.store.adopt_tail(Tail {
                    volume,
                    sequence: walk.entries.last().map_or(1, |last| last.sequence + 1),
                    entries: walk.entries,
                    end: walk.end,
                    opened: walk.end,
                    allocated,
                });
            } else {
                opened.damage.push(Damage::Footer(volume));
                let store = &mut opened.store;
                store.adopt_sealed(volume, walk.entries, reader.length);
            }
        }
    }
    Ok(())
}

/// Cuts a tail off behind its last record, and keeps what tombstones may need. Returns how long it is.
async fn cut(reader: &VolumeReader<'_>, end: ByteCount, spare: ByteCount) -> io::Result<ByteCount> {
    if end == reader.length {
        return Ok(end);
    }
    reader.file.set_length(end).await?;
    match reader.file.allocate(end + spare).await {
        Ok(()) => Ok(end + spare),
        Err(error) if is_full(&error) => Ok(end),
        Err(error) => Err(error),
    }
}
