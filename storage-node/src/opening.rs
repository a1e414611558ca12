//! Opening a disk: which shards its volumes hold.
//!
//! Sealed volumes are read by their footers. The open one is walked: headers from record to record,
//! block by block where there is none, and the blocks of those records that were not known to be
//! durable when the last header was written.
//!
//! A bad record with a good one behind it is damage and reported. Bad bytes with nothing good behind
//! them are a tail that never became durable, in which nothing was acknowledged, and are cut. A device
//! that fails a read opens not at all: what cannot be read must not be cut.
//!
//! What was found is made durable before the disk serves: a killed process leaves records that nothing
//! but the page or device cache holds yet, and a retry of their writers would be told that they are safe.

use crate::footer::{self, Entry, FooterError};
use crate::record::{self, Header, HeaderError};
use crate::store::{Limits, Store, Tail};
use crate::volume::VolumeId;
use bytes::Bytes;
use disk::{BLOCK, Disk, File};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use types::{ByteCount, ByteOffset, DiskId, ShardKey, block};

/// Read at once while walking: a few small records, or one header and little waste.
const WINDOW: u64 = 128 << 10;
const BLOCK_BYTES: u64 = BLOCK as u64;

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
    /// A key has several records: only the last one counts.
    Twice(ShardKey),
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
            Self::Twice(key) => write!(f, "shard {key} has several records"),
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
        reader.adopt(newest, &mut opened).await?;
        opened.files.insert(volume, file);
    }
    disk.sync_folder().await?;
    opened.store.measured(disk.free().await?);
    Ok(opened)
}

struct VolumeReader<'a> {
    file: &'a dyn File,
    disk: DiskId,
    volume: VolumeId,
    length: ByteCount,
}

impl VolumeReader<'_> {
    async fn adopt(&self, newest: bool, opened: &mut Opened) -> Result<(), OpenError> {
        let volume = self.volume;
        let twice = match self.footer().await {
            Ok(entries) => {
                if newest {
                    self.file.sync().await?;
                }
                opened.store.adopt_sealed(volume, &entries, self.length)
            }
            Err(Unsealed::Io(error)) => return Err(error.into()),
            Err(Unsealed::Footer(source @ FooterError::Version(_))) => {
                return Err(OpenError::Footer { volume, source });
            }
            Err(Unsealed::Footer(_)) => {
                let walk = self.walk().await?;
                opened.damage.extend(walk.damage);
                if newest {
                    let end = walk.end - ByteOffset::ZERO;
                    if end != self.length {
                        self.file.set_length(end).await?;
                    }
                    self.file.sync().await?;
                    opened.store.adopt_tail(Tail {
                        volume,
                        sequence: walk.entries.last().map_or(1, |last| last.sequence + 1),
                        entries: walk.entries,
                        end: walk.end,
                        opened: walk.end,
                        allocated: end,
                    })
                } else {
                    opened.damage.push(Damage::Footer(volume));
                    opened
                        .store
                        .adopt_sealed(volume, &walk.entries, self.length)
                }
            }
        };
        opened.damage.extend(twice.into_iter().map(Damage::Twice));
        Ok(())
    }

    async fn footer(&self) -> Result<Vec<Entry>, Unsealed> {
        let Some(last) = self.length.get().checked_sub(BLOCK_BYTES) else {
            return Err(FooterError::None.into());
        };
        if !self.length.get().is_multiple_of(BLOCK_BYTES) {
            return Err(FooterError::None.into());
        }
        let block = self.read(ByteOffset::new(last), BLOCK_BYTES).await?;
        let trailer = footer::trailer(&block, self.length)?;
        let length = (ByteOffset::ZERO + self.length) - trailer.start;
        let footer = self.file.read(trailer.start, length).await?;
        Ok(footer::decode(&footer, trailer, self.disk, self.volume)?)
    }

    /// All good records, wherever they are.
    async fn walk(&self) -> Result<Walk, OpenError> {
        let mut found = self.headers().await?;
        let durable = found.iter().map(|(_, header)| header.durable).max();
        let durable = durable.unwrap_or(ByteOffset::ZERO);
        let first_unsure = found.partition_point(|(at, _)| *at < durable);
        for (at, header) in found.split_off(first_unsure) {
            if self.verify(at, &header).await? {
                found.push((at, header));
            }
        }
        Ok(self.assemble(&found))
    }

    async fn headers(&self) -> Result<Vec<(ByteOffset, Header)>, OpenError> {
        let mut found: Vec<(ByteOffset, Header)> = Vec::new();
        let end = ByteOffset::new(self.length.get() / BLOCK_BYTES * BLOCK_BYTES);
        let mut window = (ByteOffset::ZERO, Bytes::new());
        let mut at = ByteOffset::ZERO;
        let mut last_sequence = 0;
        while at < end {
            let behind = window.0 + ByteCount::of(&window.1);
            if at < window.0 || at >= behind {
                let length = WINDOW.min((end - at).get());
                window = (at, self.read(at, length).await?);
            }
            let bytes = &window.1[(at - window.0).as_usize()..];
            match Header::decode(bytes, self.disk, self.volume) {
                Ok(header)
                    if header.sequence > last_sequence
                        && header.opened <= header.durable
                        && header.durable <= at
                        && at + header.length() <= end =>
                {
                    last_sequence = header.sequence;
                    let next = at + header.length();
                    found.push((at, header));
                    at = next;
                }
                Err(source @ HeaderError::Version(_)) => {
                    let volume = self.volume;
                    return Err(OpenError::Header { volume, source });
                }
                Ok(_) | Err(HeaderError::Invalid) => at = at + ByteCount::new(BLOCK_BYTES),
            }
        }
        Ok(found)
    }

    /// Whether all blocks of a record are as they were sent.
    async fn verify(&self, at: ByteOffset, header: &Header) -> io::Result<bool> {
        let bytes = self.read(at, header.length().get()).await?;
        let payload = record::HEADER..record::HEADER + header.payload().as_usize();
        Ok(block::verify(header.key, 0, &bytes.slice(payload)).is_ok())
    }

    fn assemble(&self, found: &[(ByteOffset, Header)]) -> Walk {
        let was_durable = |gap: ByteOffset| {
            let proves = |header: &Header| header.opened <= gap && gap < header.durable;
            found.iter().any(|(_, header)| proves(header))
        };
        let mut walk = Walk {
            entries: Vec::new(),
            damage: Vec::new(),
            end: ByteOffset::ZERO,
        };
        for (at, header) in found {
            if *at > walk.end {
                walk.damage.push(Damage::Record {
                    volume: self.volume,
                    at: walk.end,
                    length: *at - walk.end,
                    durable: was_durable(walk.end),
                });
            }
            let payload = header.payload().get();
            walk.entries.push(Entry {
                key: header.key,
                epoch: header.epoch,
                at: *at,
                payload: u32::try_from(payload).expect("lengths in a header are 32 bits"),
                sequence: header.sequence,
            });
            walk.end = *at + header.length();
        }
        walk
    }

    async fn read(&self, at: ByteOffset, length: u64) -> io::Result<Bytes> {
        self.file.read(at, ByteCount::new(length)).await
    }
}

/// What walking a volume found.
struct Walk {
    entries: Vec<Entry>,
    damage: Vec<Damage>,
    /// Behind the last good record.
    end: ByteOffset,
}

#[derive(Debug, thiserror::Error)]
enum Unsealed {
    #[error(transparent)]
    Footer(#[from] FooterError),
    #[error(transparent)]
    Io(#[from] io::Error),
}
