//! Opening a disk: which shards its volumes hold.
//!
//! Sealed volumes are read by their footers, the open one is walked (`walk`). What they say counts in order
//! of volumes and sequence numbers: a tombstone kills what lies before it, and of several records under
//! one key the last one lives.
//!
//! A bad record with a good one behind it is damage and reported. Bad bytes with nothing good behind
//! them are a tail that never became durable, in which nothing was acknowledged, and are cut. A device
//! that fails a read opens not at all: what cannot be read must not be cut.
//!
//! What was found is made durable before the disk serves: a killed process leaves records that nothing
//! but the page or device cache holds yet, and a retry of their writers would be told that they are safe.

use crate::footer::FooterError;
use crate::plan::{Limits, Tail};
use crate::record::HeaderError;
use crate::store::Store;
use crate::volume::VolumeId;
use crate::walk::{Unsealed, VolumeReader};
use disk::{Disk, File};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use types::{ByteCount, ByteOffset, DiskId};

/// A disk that is ready to serve.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) files: HashMap<VolumeId, Arc<dyn File>>,
    pub(crate) damage: Vec<Damage>,
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
    /// A volume's file is gone, with later ones there.
    Volume(VolumeId),
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
}

/// Opens a stamped disk.
pub(crate) async fn open(disk: &dyn Disk, id: DiskId, limits: Limits) -> Result<Opened, OpenError> {
    let mut opened = Opened {
        store: Store::new(id, limits),
        files: HashMap::new(),
        damage: Vec::new(),
    };
    let listed = disk.list().await?;
    let mut volumes: Vec<VolumeId> = listed
        .iter()
        .filter_map(|entry| VolumeId::of_file(&entry.name))
        .collect();
    volumes.sort_unstable();
    let mut expected = VolumeId::FIRST;
    for (position, &volume) in volumes.iter().enumerate() {
        while expected < volume {
            opened.damage.push(Damage::Volume(expected));
            expected = expected.next();
        }
        expected = volume.next();
        let file = disk.open(&volume.file_name()).await?;
        let newest = position + 1 == volumes.len();
        let reader = VolumeReader {
            file: &*file,
            disk: id,
            volume,
            length: file.length().await?,
        };
        adopt(&reader, newest, &mut opened).await?;
        opened.files.insert(volume, file);
    }
    disk.sync_folder().await?;
    opened.store.measured(disk.free().await?);
    Ok(opened)
}

async fn adopt(
    reader: &VolumeReader<'_>,
    newest: bool,
    opened: &mut Opened,
) -> Result<(), OpenError> {
    let volume = reader.volume;
    match reader.footer().await {
        Ok(entries) => {
            if newest {
                reader.file.sync().await?;
            }
            opened.store.adopt_sealed(volume, &entries, reader.length);
        }
        Err(Unsealed::Io(error)) => return Err(error.into()),
        Err(Unsealed::Footer(source @ FooterError::Version(_))) => {
            return Err(OpenError::Footer { volume, source });
        }
        Err(Unsealed::Footer(_)) => {
            let walk = reader.walk().await?;
            opened.damage.extend(walk.damage);
            if newest {
                let end = walk.end - ByteOffset::ZERO;
                if end != reader.length {
                    reader.file.set_length(end).await?;
                }
                reader.file.sync().await?;
                opened.store.adopt_tail(Tail {
                    volume,
                    sequence: walk.entries.last().map_or(1, |last| last.sequence + 1),
                    entries: walk.entries,
                    end: walk.end,
                    opened: walk.end,
                    allocated: end,
                });
            } else {
                opened.damage.push(Damage::Footer(volume));
                opened
                    .store
                    .adopt_sealed(volume, &walk.entries, reader.length);
            }
        }
    }
    Ok(())
}
