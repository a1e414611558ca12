//! The shard service over the wire: what a request's path and body say, and what an answer's status. No I/O.
//!
//! ```text
//! PUT /shards/DISK/GROUP/CHUNK/INDEX                  body: u32 length, big-endian ‖ Preamble ‖ the payload
//! GET /shards/DISK/GROUP/CHUNK/INDEX?first=F&blocks=N framed blocks, as the disk holds them
//! GET /shards/DISK/GROUP/CHUNK/INDEX/description      a ChunkDescription
//! GET /disks                                          a list of DiskReport
//! GET /scrub                                          a list of DiskScrub
//! POST /scrub                                         begins a round of every disk that serves
//! POST /scrub/DISK                                    of this one
//! ```
//!
//! Numbers are decimal, each has one spelling. What is structured is encoded by [`crate::codec`]; bulk is sent
//! as it is. 200 brings what was asked for. Another status brings, encoded, the [`PutError`], [`ReadError`] or
//! [`NotScrubbed`], which alone is what counts; a text instead comes from a server that did not understand the
//! request. There is no deleting: a node pulls what it is to remove, and removes it itself.

use super::scrub::NotScrubbed;
use super::storage::{PutError, PutShard, ReadError, ReadShard};
use crate::block::FRAMED_BLOCK;
use crate::codec::{self, DecodeError};
use crate::id::{ChunkId, DiskId, GroupId};
use crate::placement::Epoch;
use crate::shard::{ChunkDescription, ShardKey};
use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};

/// The most blocks that a shard has: a spinning disk's segments a shard.
pub const MOST_BLOCKS: u32 = 64;
/// Longest payload.
pub const LONGEST_SHARD: usize = MOST_BLOCKS as usize * FRAMED_BLOCK;
/// Longest preamble: 24 digests and as many lengths are a quarter of it.
pub const LONGEST_PREAMBLE: usize = 4096;
/// Longest body of a PUT.
pub const LONGEST_PUT: usize = LENGTH + LONGEST_PREAMBLE + LONGEST_SHARD;
/// Longest answer that is not blocks: a report of some thousand disks.
pub const LONGEST_ANSWER: usize = 4 << 20;

const LENGTH: usize = 4;
const SHARDS: &str = "/shards/";
const DISKS: &str = "/disks";
const SCRUB: &str = "/scrub";
const DESCRIPTION: &str = "description";

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A shard's blocks.
    Shard(DiskId, ShardKey),
    /// What its record says of its chunk.
    Description(DiskId, ShardKey),
    /// The node's disks.
    Disks,
    /// Their scrub.
    Scrub,
    /// The scrub of one.
    ScrubOf(DiskId),
}

impl Resource {
    /// Its path.
    pub fn path(&self) -> String {
        let shard = |disk: &DiskId, key: &ShardKey| {
            let ShardKey {
                group,
                chunk,
                index,
            } = key;
            let (disk, group, chunk) = (disk.get(), group.get(), chunk.get());
            format!("{SHARDS}{disk}/{group}/{chunk}/{index}")
        };
        match self {
            Self::Shard(disk, key) => shard(disk, key),
            Self::Description(disk, key) => format!("{}/{DESCRIPTION}", shard(disk, key)),
            Self::Disks => DISKS.to_owned(),
            Self::Scrub => SCRUB.to_owned(),
            Self::ScrubOf(disk) => format!("{SCRUB}/{}", disk.get()),
        }
    }

    /// What has this path.
    pub fn parse(path: &str) -> Option<Self> {
        let resource = match path {
            DISKS => Self::Disks,
            SCRUB => Self::Scrub,
            _ => match path.strip_prefix(SCRUB) {
                Some(disk) => Self::ScrubOf(DiskId::new(disk.strip_prefix('/')?.parse().ok()?)),
                None => Self::of_shard(path.strip_prefix(SHARDS)?)?,
            },
        };
        (resource.path() == path).then_some(resource)
    }

    fn of_shard(path: &str) -> Option<Self> {
        let mut parts = path.split('/');
        let mut next = || parts.next()?.parse::<u64>().ok();
        let disk = DiskId::new(next()?);
        let key = ShardKey {
            group: GroupId::new(next()?),
            chunk: ChunkId::new(next()?),
            index: u8::try_from(next()?).ok()?,
        };
        Some(match parts.next() {
            None => Self::Shard(disk, key),
            Some(_) => Self::Description(disk, key),
        })
    }
}

/// Path and query of a read.
pub fn read_target(read: &ReadShard) -> String {
    let path = Resource::Shard(read.disk, read.key).path();
    format!("{path}?first={}&blocks={}", read.first_block, read.blocks)
}

/// First block and how many, as a query says it.
pub fn read_range(query: &str) -> Option<(u32, u32)> {
    let (first, blocks) = query.strip_prefix("first=")?.split_once("&blocks=")?;
    let range = (first.parse().ok()?, blocks.parse().ok()?);
    (format!("first={}&blocks={}", range.0, range.1) == query).then_some(range)
}

/// What goes before a payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preamble {
    /// The group's epoch as the writer knows it.
    pub epoch: Epoch,
    /// What every shard of the chunk says of the chunk.
    pub chunk: ChunkDescription,
}

/// Why a PUT's body is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It ends before its preamble does, or the preamble is too long.
    #[error("the body has no preamble of a length that is allowed")]
    Length,
    /// The preamble cannot be read.
    #[error("the preamble cannot be read")]
    Preamble(#[from] DecodeError),
}

/// What goes before the payload of a PUT, with its length.
///
/// # Panics
/// When it describes a chunk of thousands of shards.
pub fn preamble(put: &PutShard) -> Vec<u8> {
    let encoded = codec::encode(&Preamble {
        epoch: put.epoch,
        chunk: put.chunk.clone(),
    });
    let length = u32::try_from(encoded.len()).expect("a chunk has few shards");
    let mut bytes = Vec::with_capacity(LENGTH + encoded.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&encoded);
    bytes
}

/// What a PUT to this shard with this body asks for. The payload shares the body's memory.
///
/// # Errors
/// When the body has no preamble that can be read.
pub fn put(disk: DiskId, key: ShardKey, mut body: Bytes) -> Result<PutShard, BodyError> {
    if body.len() < LENGTH {
        return Err(BodyError::Length);
    }
    let length = body.get_u32() as usize;
    if length > LONGEST_PREAMBLE || length > body.len() {
        return Err(BodyError::Length);
    }
    let Preamble { epoch, chunk } = codec::decode(&body.split_to(length))?;
    Ok(PutShard {
        disk,
        key,
        epoch,
        chunk,
        payload: body,
    })
}

/// The status that tells people and proxies what became of a PUT.
pub fn put_status(error: &PutError) -> u16 {
    match error {
        PutError::StaleEpoch { .. } | PutError::Conflict { .. } => 409,
        PutError::Damaged { .. } => 422,
        PutError::Busy { .. } => 429,
        PutError::Full { .. } => 507,
        _ => 503,
    }
}

/// The status that tells people and proxies why a scrub was not begun.
pub fn scrub_status(error: &NotScrubbed) -> u16 {
    match error {
        NotScrubbed::Unknown(_) => 404,
        NotScrubbed::Away(_) => 503,
    }
}

/// The status that tells people and proxies what became of a read.
pub fn read_status(error: &ReadError) -> u16 {
    match error {
        ReadError::Missing { .. } => 404,
        ReadError::OutOfRange { .. } => 416,
        ReadError::Busy { .. } => 429,
        ReadError::Corrupt { .. } | ReadError::Io { .. } => 500,
        _ => 503,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ShardKey {
        ShardKey {
            group: GroupId::new(5),
            chunk: ChunkId::new(u64::MAX),
            index: 7,
        }
    }

    /// A path reads as it was written, and nothing else reads as one.
    #[test]
    fn paths_are_read_strictly() {
        let disk = DiskId::new(3);
        let (shard, description) = (
            Resource::Shard(disk, key()),
            Resource::Description(disk, key()),
        );
        let (scrub, of_one) = (Resource::Scrub, Resource::ScrubOf(disk));
        for resource in [shard, description, Resource::Disks, scrub, of_one] {
            assert_eq!(Resource::parse(&resource.path()), Some(resource));
        }
        assert_eq!(of_one.path(), "/scrub/3");
        assert_eq!(shard.path(), "/shards/3/5/18446744073709551615/7");
        for bad in [
            "",
            "/",
            "/disks/",
            "/scrub/",
            "/scrub/03",
            "/scrub/3/",
            "/scrubs",
            "/shards/3/5/6",
            "/shards/3/5/6/256",
            "/shards/3/5/6/7/",
            "/shards/3/5/6/7/other",
            "/shards/3/5/6/7/description/",
            "/shards/03/5/6/7",
            "/shards/+3/5/6/7",
            "/shards/3/5/6/-7",
            "/shards//3/5/6/7",
            "/shards/3/5/18446744073709551616/7",
        ] {
            assert_eq!(Resource::parse(bad), None, "{bad}");
        }
    }

    /// So does a range.
    #[test]
    fn ranges_are_read_strictly() {
        let read = ReadShard {
            disk: DiskId::new(3),
            key: key(),
            first_block: 2,
            blocks: u32::MAX,
        };
        let target = read_target(&read);
        let (_, query) = target.split_once('?').unwrap();
        assert_eq!(read_range(query), Some((2, u32::MAX)));
        for bad in [
            "",
            "first=1",
            "blocks=1&first=1",
            "first=1&blocks=",
            "first=01&blocks=1",
            "first=1&blocks=1&more=1",
            "first=1&blocks=4294967296",
        ] {
            assert_eq!(read_range(bad), None, "{bad}");
        }
    }

    /// A body that ends too early, or whose preamble is too long or no preamble, is none.
    #[test]
    fn bodies_are_read_strictly() {
        let request = PutShard {
            disk: DiskId::new(3),
            key: key(),
            epoch: Epoch(2),
            chunk: ChunkDescription {
                blob: crate::BlobId::new(1),
                first_segment: 0,
                profile: "1+1".parse().unwrap(),
                data_lengths: vec![6],
                digests: vec![crate::shard::ShardDigest([0; 32]); 2],
            },
            payload: Bytes::from_static(b"payload"),
        };
        let before = preamble(&request);
        let body = [&before[..], b"payload"].concat();
        let read = put(request.disk, request.key, body.into()).unwrap();
        assert_eq!(read, request);
        for end in 0..before.len() {
            let short = Bytes::copy_from_slice(&before[..end]);
            assert!(put(request.disk, request.key, short).is_err(), "{end}");
        }
        let longest = u32::try_from(LONGEST_PREAMBLE).unwrap();
        for length in [longest + 1, u32::MAX] {
            let mut long = vec![0; LONGEST_PREAMBLE * 2];
            long[..LENGTH].copy_from_slice(&length.to_be_bytes());
            let refused = put(request.disk, request.key, long.into());
            assert!(matches!(refused, Err(BodyError::Length)), "{length}");
        }
    }
}
