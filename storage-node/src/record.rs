//! One shard on disk: a header of exactly 1 KiB, the shard's blocks right behind it, zeros up to a
//! multiple of 4 KiB.
//!
//! The header's checksum is keyed by disk, volume and sequence number, so that a record that was
//! written to the wrong place, or that an earlier life of the file left behind, is not taken for one.
//! Blocks carry their own checksums (`types::block`); the header does not repeat them.
//!
//! There is always at least one zero behind the blocks. So no file of records ends like a sealed one,
//! whatever a writer chose to store (see `footer`).
//!
//! `docs/formats/storage.md` draws every byte.

use crate::checksum::{CHECKSUM, checksum};
use crate::layout::{Reader, Writer};
use crate::volume::VolumeId;
use disk::{BLOCK, Buffer};
use types::profile::{Code, DiskClass, MAX_SHARDS, ProfileError};
use types::shard::{ChunkDescription, ShardDigest};
use types::{
    BlobId, ByteCount, ByteOffset, ChunkId, DiskId, Epoch, GroupId, Profile, ShardKey, block,
};

/// Length of a header.
pub const HEADER: usize = 1024;
/// The version that this build writes, and the only one so far.
pub const VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"STRSHARD";
const LENGTHS_AT: usize = 96;
const DIGESTS_AT: usize = LENGTHS_AT + 4 * MAX_SHARDS;
const OPENED_AT: usize = DIGESTS_AT + 32 * MAX_SHARDS;
const CHECKSUM_AT: usize = HEADER - CHECKSUM;

/// What a record's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The shard.
    pub key: ShardKey,
    /// The group's epoch as its writer knew it.
    pub epoch: Epoch,
    /// What every shard of the chunk says of the chunk.
    pub chunk: ChunkDescription,
    /// The volume that it was written to.
    pub volume: VolumeId,
    /// Rises from record to record within a volume; a number is never used twice.
    pub sequence: u64,
    /// Everything in the volume before this position was durable when the record was written.
    pub durable: ByteOffset,
    /// Where the volume ended when it was opened last. A bad record from here to `durable` is damage;
    /// one before it may have been torn by the power cut before that opening.
    pub opened: ByteOffset,
}

/// Why bytes are not a record's header.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not a header that belongs here, or a damaged one.
    #[error("no record header, or a damaged one")]
    Invalid,
    /// Intact, and from a later build: this one must leave the disk alone.
    #[error("record version {0} is not known to this build (it knows {VERSION})")]
    Version(u16),
}

/// Why a description of a chunk contradicts itself.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the description of the chunk contradicts itself")]
pub struct Contradiction;

/// Whether a description fits its profile and has a shard of that index that is worth a record.
///
/// # Errors
/// When it does not.
pub fn check(chunk: &ChunkDescription, index: u8) -> Result<(), Contradiction> {
    let profile = chunk.profile;
    let longest = profile.segments_per_shard() * block::SEALED_SEGMENT;
    let fits = chunk.data_lengths.len() == profile.data()
        && chunk.digests.len() == profile.shards()
        && usize::from(index) < profile.shards()
        && chunk
            .data_lengths
            .iter()
            .all(|length| *length as usize <= longest)
        && chunk.sealed_length(index) > ByteCount::ZERO
        // The index and footers hold it in 32 bits.
        && u32::try_from(chunk.payload_length(index).get()).is_ok();
    fits.then_some(()).ok_or(Contradiction)
}

/// Length of a record with a payload of that length.
pub fn length(payload: ByteCount) -> ByteCount {
    let end = HEADER as u64 + payload.get() + 1;
    ByteCount::new(end.next_multiple_of(BLOCK as u64))
}

/// A whole record, ready to be written. The only copy of the payload.
///
/// # Panics
/// When `payload` is not as long as the header says, or the description contradicts itself.
pub fn encode(disk: DiskId, header: &Header, payload: &[u8]) -> Buffer {
    assert_eq!(header.payload(), ByteCount::of(payload));
    let mut record = Buffer::recycled(header.length().as_usize());
    record[..HEADER].copy_from_slice(&header.encode(disk));
    let (blocks, padding) = record[HEADER..].split_at_mut(payload.len());
    blocks.copy_from_slice(payload);
    padding.fill(0);
    record
}

impl Header {
    /// Length of the shard's blocks with their checksums.
    pub fn payload(&self) -> ByteCount {
        self.chunk.payload_length(self.key.index)
    }

    /// Length of the whole record.
    pub fn length(&self) -> ByteCount {
        length(self.payload())
    }

    /// The header's bytes on that disk.
    ///
    /// # Panics
    /// When the description contradicts itself.
    pub fn encode(&self, disk: DiskId) -> [u8; HEADER] {
        check(&self.chunk, self.key.index).expect("checked when the shard arrived");
        let profile = self.chunk.profile;
        let small = |count: usize| u8::try_from(count).expect("a profile's k and m are small");
        let segments = u16::try_from(profile.segments_per_shard()).expect("a profile's S is small");
        let mut bytes = [0; HEADER];
        Writer::new(&mut bytes)
            .put(MAGIC)
            .put(&VERSION.to_be_bytes())
            .put(&[u8::from(profile.code()), u8::from(profile.class())])
            .put(&[small(profile.data()), small(profile.parity())])
            .put(&segments.to_be_bytes())
            .put(&self.key.to_be_bytes())
            .reserve(7)
            .put(&self.epoch.0.to_be_bytes())
            .put(&self.chunk.blob.to_be_bytes())
            .put(&self.chunk.first_segment.to_be_bytes())
            .put(&self.payload().get().to_be_bytes())
            .put(&u64::from(self.volume.0).to_be_bytes())
            .put(&self.sequence.to_be_bytes())
            .put(&self.durable.get().to_be_bytes());
        let mut lengths = Writer::new(&mut bytes[LENGTHS_AT..DIGESTS_AT]);
        for length in &self.chunk.data_lengths {
            lengths.put(&length.to_be_bytes());
        }
        let mut digests = Writer::new(&mut bytes[DIGESTS_AT..OPENED_AT]);
        for digest in &self.chunk.digests {
            digests.put(&digest.0);
        }
        Writer::new(&mut bytes[OPENED_AT..]).put(&self.opened.get().to_be_bytes());
        let sum = keyed(disk, self.volume, self.sequence, &bytes);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum);
        bytes
    }

    /// Reads a header that should lie in that volume of that disk, from the beginning of `bytes`.
    ///
    /// # Errors
    /// When there is none that belongs there, and when a later build wrote it.
    pub fn decode(bytes: &[u8], disk: DiskId, volume: VolumeId) -> Result<Self, HeaderError> {
        let bytes = bytes
            .first_chunk::<HEADER>()
            .filter(|bytes| bytes.starts_with(MAGIC))
            .ok_or(HeaderError::Invalid)?;
        let mut reader = Reader::new(bytes);
        let version = reader.skip(MAGIC.len()).u16();
        let raw = RawHeader {
            code: reader.u8(),
            class: reader.u8(),
            data: reader.u8(),
            parity: reader.u8(),
            segments: reader.u16(),
            key: ShardKey {
                group: GroupId::new(reader.u64()),
                chunk: ChunkId::new(reader.u64()),
                index: reader.u8(),
            },
            epoch: reader.skip(7).u64(),
            blob: reader.u64(),
            first_segment: reader.u64(),
            payload: reader.u64(),
            volume: reader.u64(),
            sequence: reader.u64(),
            durable: reader.u64(),
            opened: Reader::new(&bytes[OPENED_AT..]).u64(),
        };
        // Magic, version, sequence and checksum stay where they are in every version, so that a later
        // one can be told from damage.
        if keyed(disk, volume, raw.sequence, bytes) != bytes[CHECKSUM_AT..] {
            return Err(HeaderError::Invalid);
        }
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        raw.header(bytes, volume).ok_or(HeaderError::Invalid)
    }
}

/// The checksum of a header, keyed by where it belongs.
fn keyed(disk: DiskId, volume: VolumeId, sequence: u64, header: &[u8; HEADER]) -> [u8; CHECKSUM] {
    checksum(&[
        &disk.to_be_bytes(),
        &u64::from(volume.0).to_be_bytes(),
        &sequence.to_be_bytes(),
        &header[..CHECKSUM_AT],
    ])
}

/// The fixed fields, unchecked.
struct RawHeader {
    code: u8,
    class: u8,
    data: u8,
    parity: u8,
    segments: u16,
    key: ShardKey,
    epoch: u64,
    blob: u64,
    first_segment: u64,
    payload: u64,
    volume: u64,
    sequence: u64,
    durable: u64,
    opened: u64,
}

impl RawHeader {
    fn profile(&self) -> Result<Profile, ProfileError> {
        let code = Code::try_from(self.code)?;
        let class = DiskClass::try_from(self.class)?;
        Profile::from_parts(code, self.data, self.parity, self.segments, class)
    }

    fn header(&self, bytes: &[u8; HEADER], volume: VolumeId) -> Option<Header> {
        let profile = self.profile().ok()?;
        let mut lengths = Reader::new(&bytes[LENGTHS_AT..]);
        let mut digests = Reader::new(&bytes[DIGESTS_AT..]);
        let chunk = ChunkDescription {
            blob: BlobId::new(self.blob),
            first_segment: self.first_segment,
            profile,
            data_lengths: (0..profile.data()).map(|_| lengths.u32()).collect(),
            digests: (0..profile.shards())
                .map(|_| ShardDigest(digests.take()))
                .collect(),
        };
        check(&chunk, self.key.index).ok()?;
        let header = Header {
            key: self.key,
            epoch: Epoch(self.epoch),
            chunk,
            volume,
            sequence: self.sequence,
            durable: ByteOffset::new(self.durable),
            opened: ByteOffset::new(self.opened),
        };
        let agrees = header.payload().get() == self.payload && u64::from(volume.0) == self.volume;
        agrees.then_some(header)
    }
}
