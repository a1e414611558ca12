//! Files of sealed frames: what log and snapshot files have in common.
//!
//! ```text
//! block 0   magic (8) ‖ format version (4) ‖ number (4) ‖ file id (16) ‖ salt (32) ‖ CRC (8) ‖ zeros
//! frame     magic (4) ‖ sealed length (4) ‖ frame number (8) ‖ CRC (8) ‖ sealed ‖ zeros
//! ```
//!
//! Integers are big-endian. Each frame begins on a block of 4 KiB and is padded to whole blocks, so
//! that no write ever touches a block that holds an earlier frame: a torn write can lose only itself.
//! (Sharing the last block between frames would save space, and risk what was acknowledged with each
//! rewrite.) The CRC, CRC-64/NVME over `file id ‖ frame up to the CRC ‖ sealed`, tells a frame from
//! rubbish without a key; the seal (`seal::frame`) keeps names unreadable and frames in their place.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest as Crc};
use disk::{BLOCK, Buffer, Disk, File};
use seal::frame::{FileId, FrameKey, SALT, random_salt};
use seal::{Provider, StorageKey};
use std::io;
use std::sync::Arc;
use types::{ByteCount, ByteOffset};

/// The only version so far.
pub(crate) const FORMAT: u32 = 1;
/// Bytes in front of what is sealed.
const FRAME_HEAD: usize = 24;
const FRAME_MAGIC: &[u8; 4] = b"SRfr";
const HEADER: usize = 72;
/// How much is read at once when frames are read in order.
const WINDOW: u64 = 1 << 20;

/// Which kind of file this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A piece of the log.
    Log,
    /// A snapshot.
    Snapshot,
}

impl Kind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Log => b"SRoomLog",
            Self::Snapshot => b"SRoomSna",
        }
    }
}

/// What seals the frames of one server's files.
#[derive(Clone, Debug)]
pub(crate) struct Sealing {
    provider: Arc<dyn Provider>,
    storage: StorageKey,
}

impl Sealing {
    pub(crate) fn new(provider: Arc<dyn Provider>, storage: StorageKey) -> Self {
        Self { provider, storage }
    }
}

/// Why frames cannot be read. Nothing that was read before such an error is in doubt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The disk failed.
    #[error("the disk failed")]
    Io(#[from] io::Error),
    /// The first block is not the header of such a file.
    #[error("the header is damaged, or of another kind of file")]
    Header,
    /// Written by a build that is too new.
    #[error("format version {0} is not known to this build (it knows {FORMAT})")]
    Version(u32),
    /// No frame is where one must be.
    #[error("frame {number} is damaged")]
    Damaged {
        /// Its number.
        number: u64,
    },
    /// A frame is whole, and does not open: another server's file, or an attack.
    #[error("frame {number} does not open under this server's storage key")]
    DoesNotOpen {
        /// Its number.
        number: u64,
    },
}

/// An open file of frames.
pub(crate) struct FrameFile {
    pub(crate) file: Arc<dyn File>,
    pub(crate) number: u32,
    id: FileId,
    key: FrameKey,
}

impl FrameFile {
    /// Creates a file and makes its header durable, though not its name.
    pub(crate) async fn create(
        disk: &dyn Disk,
        name: &str,
        kind: Kind,
        number: u32,
        allocate: ByteCount,
        sealing: &Sealing,
    ) -> io::Result<Self> {
        let file = disk.create(name).await?;
        if allocate > ByteCount::ZERO {
            file.allocate(allocate).await?;
        }
        let header = Header {
            number,
            id: FileId(random_id()),
            salt: random_salt(),
        };
        file.write(ByteOffset::ZERO, Buffer::copy_of(&header.encode(kind)))
            .await?;
        // No frame may be durable before the header is: a frame behind a bad header means damage.
        file.sync().await?;
        Ok(Self::new(file, &header, sealing))
    }

    /// Opens a file and reads its header.
    pub(crate) async fn open(
        disk: &dyn Disk,
        name: &str,
        kind: Kind,
        sealing: &Sealing,
    ) -> Result<Self, FrameError> {
        let file = disk.open(name).await?;
        if file.length().await?.get() < BLOCK as u64 {
            return Err(FrameError::Header);
        }
        let block = file
            .read(ByteOffset::ZERO, ByteCount::new(BLOCK as u64))
            .await?;
        let header = Header::decode(kind, &block)?;
        Ok(Self::new(file, &header, sealing))
    }

    fn new(file: Arc<dyn File>, header: &Header, sealing: &Sealing) -> Self {
        let provider = sealing.provider.as_ref();
        Self {
            file,
            number: header.number,
            id: header.id,
            key: FrameKey::derive(provider, &sealing.storage, header.id, &header.salt),
        }
    }

    /// Which file it is.
    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// A frame as it goes to the disk.
    pub(crate) fn encode(&self, number: u64, plain: &[u8]) -> Buffer {
        let mut sealed = Vec::with_capacity(plain.len() + types::block::SEAL_OVERHEAD);
        self.key.seal(number, plain, &mut sealed);
        let length = u32::try_from(sealed.len()).expect("frames are far below 4 GiB");
        let mut buffer = Buffer::zeroed(FRAME_HEAD + sealed.len());
        buffer[..4].copy_from_slice(FRAME_MAGIC);
        buffer[4..8].copy_from_slice(&length.to_be_bytes());
        buffer[8..16].copy_from_slice(&number.to_be_bytes());
        let crc = self.checksum(&buffer[..16], &sealed);
        buffer[16..FRAME_HEAD].copy_from_slice(&crc);
        buffer[FRAME_HEAD..FRAME_HEAD + sealed.len()].copy_from_slice(&sealed);
        buffer
    }

    /// Reads and opens the frame that begins at a block.
    pub(crate) async fn read(&self, block: u32) -> Result<Vec<u8>, FrameError> {
        let at = ByteOffset::new(u64::from(block) * BLOCK as u64);
        let first = self.file.read(at, ByteCount::new(BLOCK as u64)).await?;
        let bad = FrameError::Damaged { number: 0 };
        let head = Head::parse(&first).ok_or(bad)?;
        let number = head.number;
        let bytes = if head.bytes() > BLOCK as u64 {
            // Nothing vouches for the length yet: it may ask for 4 GiB of a small file.
            let length = self.file.length().await?.get();
            if head.bytes() > length.saturating_sub(at.get()) {
                return Err(FrameError::Damaged { number });
            }
            self.file.read(at, ByteCount::new(head.bytes())).await?
        } else {
            first
        };
        let sealed = self.verify(&bytes).ok_or(FrameError::Damaged { number })?;
        self.key
            .open(number, sealed)
            .map_err(|_| FrameError::DoesNotOpen { number })
    }

    /// Reads frames in order, from block 1 on.
    pub(crate) async fn frames(&self) -> io::Result<Frames<'_>> {
        let length = self.file.length().await?.get();
        Ok(Frames {
            of: self,
            at: BLOCK as u64,
            number: 0,
            length: length - length % BLOCK as u64,
            window: (0, Bytes::new()),
        })
    }

    /// The sealed part of a frame whose checksum matches.
    fn verify<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        let head = Head::parse(frame)?;
        let sealed = frame.get(FRAME_HEAD..FRAME_HEAD + head.length)?;
        (self.checksum(&frame[..16], sealed) == frame[16..FRAME_HEAD]).then_some(sealed)
    }

    fn checksum(&self, head: &[u8], sealed: &[u8]) -> [u8; 8] {
        let mut crc = Crc::new(CrcAlgorithm::Crc64Nvme);
        crc.update(&self.id.0);
        crc.update(head);
        crc.update(sealed);
        crc.finalize().to_be_bytes()
    }
}

/// Whether any block of a file begins like a frame: then the file once had a good header.
pub(crate) async fn holds_frames(disk: &dyn Disk, name: &str) -> io::Result<bool> {
    let file = disk.open(name).await?;
    let length = file.length().await?.get();
    let mut at = 0;
    while at + BLOCK as u64 <= length {
        let size = WINDOW.min(length - at) / BLOCK as u64 * BLOCK as u64;
        let bytes = file.read(ByteOffset::new(at), ByteCount::new(size)).await?;
        if bytes
            .chunks(BLOCK)
            .any(|block| block.starts_with(FRAME_MAGIC))
        {
            return Ok(true);
        }
        at += size;
    }
    Ok(false)
}

/// A frame that was read.
pub(crate) struct Frame {
    /// The block in which it begins.
    pub(crate) block: u32,
    /// What was sealed in it.
    pub(crate) plain: Vec<u8>,
}

/// Reads a file's frames in order.
pub(crate) struct Frames<'a> {
    of: &'a FrameFile,
    at: u64,
    number: u64,
    length: u64,
    window: (u64, Bytes),
}

impl Frames<'_> {
    /// The next frame, or nothing where none that is whole follows.
    ///
    /// # Errors
    /// When the disk fails, or a whole frame does not open.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(bytes) = self.whole_at(self.at).await? else {
            return Ok(None);
        };
        let head = Head::parse(&bytes).expect("it was verified");
        let number = self.number;
        if head.number != number {
            return Ok(None);
        }
        let plain = self
            .of
            .key
            .open(number, &bytes[FRAME_HEAD..FRAME_HEAD + head.length])
            .map_err(|_| FrameError::DoesNotOpen { number })?;
        let block = u32::try_from(self.at / BLOCK as u64).expect("files stay below 16 TiB");
        self.at += head.bytes();
        self.number += 1;
        Ok(Some(Frame { block, plain }))
    }

    /// The number of the next frame, which is how many there were.
    pub(crate) fn count(&self) -> u64 {
        self.number
    }

    /// Where the next frame begins or would begin.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// Whether a whole later frame stands anywhere behind: then what `next` found bad is not a tail.
    pub(crate) async fn more_behind(&mut self) -> io::Result<bool> {
        let mut at = self.at;
        while at < self.length {
            if let Some(bytes) = self.whole_at(at).await? {
                let head = Head::parse(&bytes).expect("it was verified");
                if head.number >= self.number {
                    return Ok(true);
                }
            }
            at += BLOCK as u64;
        }
        Ok(false)
    }

    /// The bytes of a frame at `at` whose checksum matches.
    async fn whole_at(&mut self, at: u64) -> io::Result<Option<Bytes>> {
        if at + BLOCK as u64 > self.length {
            return Ok(None);
        }
        let first = self.bytes(at, BLOCK as u64).await?;
        let Some(head) = Head::parse(&first) else {
            return Ok(None);
        };
        if at + head.bytes() > self.length {
            return Ok(None);
        }
        let bytes = self.bytes(at, head.bytes()).await?;
        Ok(self.of.verify(&bytes).is_some().then_some(bytes))
    }

    async fn bytes(&mut self, at: u64, count: u64) -> io::Result<Bytes> {
        let (from, window) = &self.window;
        let inside = *from <= at && at + count <= from + window.len() as u64;
        if !inside {
            let size = count.max(WINDOW).min(self.length - at);
            let read = self
                .of
                .file
                .read(ByteOffset::new(at), ByteCount::new(size))
                .await?;
            self.window = (at, read);
        }
        let start = ByteCount::new(at - self.window.0).as_usize();
        let count = ByteCount::new(count).as_usize();
        Ok(self.window.1.slice(start..start + count))
    }
}

/// What stands in front of what is sealed.
struct Head {
    length: usize,
    number: u64,
}

impl Head {
    fn parse(block: &[u8]) -> Option<Self> {
        let rest = block.strip_prefix(FRAME_MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (number, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            length: usize::try_from(u32::from_be_bytes(*length)).ok()?,
            number: u64::from_be_bytes(*number),
        })
    }

    /// Length of the padded frame.
    fn bytes(&self) -> u64 {
        ((FRAME_HEAD + self.length).div_ceil(BLOCK) * BLOCK) as u64
    }
}

/// The first block.
struct Header {
    number: u32,
    id: FileId,
    salt: [u8; SALT],
}

impl Header {
    fn encode(&self, kind: Kind) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(kind.magic());
        bytes[8..12].copy_from_slice(&FORMAT.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_be_bytes());
        bytes[16..32].copy_from_slice(&self.id.0);
        bytes[32..64].copy_from_slice(&self.salt);
        let crc = header_checksum(&bytes[..64]);
        bytes[64..].copy_from_slice(&crc);
        bytes
    }

    fn decode(kind: Kind, block: &[u8]) -> Result<Self, FrameError> {
        let bytes: &[u8; HEADER] = block.first_chunk().ok_or(FrameError::Header)?;
        if &bytes[..8] != kind.magic() || header_checksum(&bytes[..64]) != bytes[64..] {
            return Err(FrameError::Header);
        }
        match u32::from_be_bytes(array(&bytes[8..12])) {
            FORMAT => Ok(Self {
                number: u32::from_be_bytes(array(&bytes[12..16])),
                id: FileId(array(&bytes[16..32])),
                salt: array(&bytes[32..64]),
            }),
            version => Err(FrameError::Version(version)),
        }
    }
}

fn header_checksum(bytes: &[u8]) -> [u8; 8] {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes).to_be_bytes()
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the caller sliced it so")
}

fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("the system has randomness");
    id
}

#[cfg(test)]
mod tests;
