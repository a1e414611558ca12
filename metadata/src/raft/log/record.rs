//! What a log file's frames hold: records, in the order in which they took effect.
//!
//! ```text
//! frame = record*            record = u32 length ‖ types::codec encoding
//! ```
//!
//! Reading all records of all files in order gives the log's state. Each file begins with a checkpoint
//! of everything that earlier files would have said, so that these can be removed.

use crate::raft::types::{Position, StoredEntry, StoredVote};
use serde::{Deserialize, Serialize};

/// One step of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// The state at the beginning of a file.
    Checkpoint(Checkpoint),
    /// A vote, given or heard of.
    Vote(StoredVote),
    /// An entry behind the last.
    Entry(StoredEntry),
    /// Entries behind an index (or all) are void.
    Truncated {
        /// The last index that stays.
        after: Option<u64>,
    },
    /// Entries up to here are committed.
    Committed(Option<Position>),
    /// Entries up to here are in this server's snapshot file, and gone.
    Purged(Position),
}

/// The log's state where a file begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Frames in the file before this one: one that ends earlier is damaged.
    pub(crate) frames_before: u64,
    /// The last vote.
    pub(crate) vote: Option<StoredVote>,
    /// The last entry known to be committed.
    pub(crate) committed: Option<Position>,
    /// The last entry purged.
    pub(crate) purged: Option<Position>,
    /// The last entry.
    pub(crate) last: Option<Position>,
}

/// A frame's plaintext cannot be what this log wrote, though it opened.
#[derive(Debug, thiserror::Error)]
#[error("a frame opens but does not hold records")]
pub(crate) struct NotRecords;

/// Bytes in front of each record.
pub(crate) const PREFIX: usize = 4;

/// Encodes a record with its length.
pub(crate) fn encode(record: &Record) -> Vec<u8> {
    let body = types::codec::encode(record);
    let length = u32::try_from(body.len()).expect("a proposal is far below 4 GiB");
    let mut bytes = Vec::with_capacity(PREFIX + body.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// Decodes one record that begins at `offset` of a frame's plaintext, and says where the next begins.
pub(crate) fn decode_at(plain: &[u8], offset: usize) -> Result<(Record, usize), NotRecords> {
    let rest = plain.get(offset..).ok_or(NotRecords)?;
    let (prefix, body) = rest.split_first_chunk::<PREFIX>().ok_or(NotRecords)?;
    let length = usize::try_from(u32::from_be_bytes(*prefix)).map_err(|_| NotRecords)?;
    let body = body.get(..length).ok_or(NotRecords)?;
    let record = types::codec::decode(body).map_err(|_| NotRecords)?;
    Ok((record, offset + PREFIX + length))
}
