//! Whose disk this is: cluster, node and disk ids in a file `stamp` of one block.
//!
//! A disk is stamped once, when it is admitted, and never again: an emptied folder has lost its shards
//! and must not come back under an id that the cluster believes to hold them. It is admitted as a new
//! disk with a new id.

use crate::checksum::{CHECKSUM, checksum};
use crate::layout::{Reader, Writer};
use disk::{BLOCK, Buffer, Choice, Disk};
use std::io;
use std::path::Path;
use types::{ByteCount, ByteOffset, ClusterId, DiskId, NodeId};

/// The version that this build writes, and the only one so far.
pub const VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"STRSTAMP";
const NAME: &str = "stamp";
/// A stamp that was not finished; without the other name it means nothing.
const UNFINISHED: &str = "stamp.new";
/// What an engine may leave behind; it means nothing either.
const PROBE: &str = ".probe";
const CHECKSUM_AT: usize = BLOCK - CHECKSUM;

/// What a disk says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Whose data it holds.
    pub cluster: ClusterId,
    /// The server that it was admitted to.
    pub node: NodeId,
    /// Which disk it is.
    pub disk: DiskId,
}

/// What a folder says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A disk of some cluster.
    Stamp(Stamp),
    /// No file at all: fresh, or emptied.
    Empty,
    /// Files, but no stamp.
    Foreign,
    /// A stamp that does not verify, or of a later build; why.
    Damaged(StampError),
}

/// Why bytes are not a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// Not a stamp, or a damaged one.
    #[error("the stamp is damaged")]
    Damaged,
    /// From a later build.
    #[error("stamp version {0} is not known to this build (it knows {VERSION})")]
    Version(u16),
}

/// Why a folder was not stamped.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It holds something: a disk is admitted empty.
    #[error("the folder is not empty: it holds {found:?}")]
    NotEmpty {
        /// What.
        found: Found,
    },
    /// The device refused.
    #[error("stamping the folder")]
    Io(#[from] io::Error),
}

impl Stamp {
    /// The stamp's block.
    pub fn encode(&self) -> Buffer {
        let mut bytes = Buffer::zeroed(BLOCK);
        Writer::new(&mut bytes)
            .put(MAGIC)
            .put(&VERSION.to_be_bytes())
            .reserve(6)
            .put(self.cluster.as_bytes())
            .put(&self.node.to_be_bytes())
            .put(&self.disk.to_be_bytes());
        let sum = checksum(&[&bytes[..CHECKSUM_AT]]);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum);
        bytes
    }

    /// Reads a stamp's block.
    ///
    /// # Errors
    /// When any byte is not as it was written, or a later build wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Self, StampError> {
        let intact = bytes.len() == BLOCK
            && bytes.starts_with(MAGIC)
            && checksum(&[&bytes[..CHECKSUM_AT]]) == bytes[CHECKSUM_AT..];
        if !intact {
            return Err(StampError::Damaged);
        }
        let mut reader = Reader::new(bytes);
        let version = reader.skip(MAGIC.len()).u16();
        if version != VERSION {
            return Err(StampError::Version(version));
        }
        Ok(Self {
            cluster: ClusterId::new(reader.skip(6).take()),
            node: NodeId::new(reader.u64()),
            disk: DiskId::new(reader.u64()),
        })
    }
}

/// Reads what an open folder says of itself.
///
/// # Errors
/// When the device fails.
pub async fn read_from(disk: &dyn Disk) -> io::Result<Found> {
    let files = disk.list().await?;
    match files.iter().find(|file| file.name == NAME) {
        None if files.iter().all(|file| file.name == UNFINISHED) => Ok(Found::Empty),
        None => Ok(Found::Foreign),
        Some(file) if file.length.get() != BLOCK as u64 => Ok(Found::Damaged(StampError::Damaged)),
        Some(_) => {
            let file = disk.open(NAME).await?;
            let length = ByteCount::new(BLOCK as u64);
            let bytes = file.read(ByteOffset::ZERO, length).await?;
            Ok(Stamp::decode(&bytes).map_or_else(Found::Damaged, Found::Stamp))
        }
    }
}

/// Reads the stamp of a disk that is served, by its name.
///
/// # Errors
/// When there is none that can be read.
pub(crate) async fn read_served(disk: &dyn Disk) -> io::Result<Result<Stamp, StampError>> {
    let file = disk.open(NAME).await?;
    let block = file.read(ByteOffset::ZERO, ByteCount::new(BLOCK as u64));
    Ok(Stamp::decode(&block.await?))
}

/// Reads what a folder says of itself without opening it as a disk: nothing is locked or written. The calls
/// block.
///
/// # Errors
/// What the system says.
pub(crate) fn peek(folder: &Path) -> io::Result<Found> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.push(entry.file_name());
        }
    }
    if names.iter().any(|name| name == NAME) {
        let bytes = std::fs::read(folder.join(NAME))?;
        return Ok(Stamp::decode(&bytes).map_or_else(Found::Damaged, Found::Stamp));
    }
    let empty = names.iter().all(|name| name == UNFINISHED || name == PROBE);
    Ok(if empty { Found::Empty } else { Found::Foreign })
}

/// Stamps an open, empty folder; durable when it returns.
///
/// # Errors
/// When the folder is not empty, or the device fails.
pub async fn write_to(disk: &dyn Disk, stamp: &Stamp) -> Result<(), FormatError> {
    match read_from(disk).await? {
        Found::Empty => {}
        found => return Err(FormatError::NotEmpty { found }),
    }
    match disk.remove(UNFINISHED).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let file = disk.create(UNFINISHED).await?;
    file.write(ByteOffset::ZERO, stamp.encode()).await?;
    file.sync().await?;
    disk.rename(UNFINISHED, NAME).await?;
    disk.sync_folder().await?;
    Ok(())
}

/// Reads what a folder says of itself.
///
/// # Errors
/// `NotFound` when there is no such folder, `ResourceBusy` when a server has it open, and what the
/// device says.
pub async fn read(folder: &Path) -> io::Result<Found> {
    read_from(&*disk::open(folder, Choice::Threads)?).await
}

/// Admits a folder that exists and is empty, as that disk.
///
/// # Errors
/// When it is not empty, in use, or the device fails.
pub async fn format(folder: &Path, stamp: &Stamp) -> Result<(), FormatError> {
    write_to(&*disk::open(folder, Choice::Threads)?, stamp).await
}
