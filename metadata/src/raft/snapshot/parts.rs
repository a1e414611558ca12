//! The parts of a snapshot: what each of its frames holds, and what they add up to.

use crate::raft::snapshot::SnapshotError;
use crate::txn::Row;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub(super) const LABEL: u8 = b'L';
pub(super) const ROWS: u8 = b'R';
pub(super) const MUTATIONS: u8 = b'M';
pub(super) const TRAILER: u8 = b'T';

/// The last frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trailer {
    rows: u64,
    mutations: u64,
    #[serde(with = "serde_bytes")]
    digest: [u8; 32],
}

impl Trailer {
    /// How many rows and mutations.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.rows, self.mutations)
    }
}

/// What changed after a key was scanned: its value, or that it is gone.
pub(crate) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The rows of a part, or none if it holds something else.
pub(crate) fn rows_of(piece: &[u8]) -> Result<Vec<Row>, SnapshotError> {
    match split(piece)? {
        (ROWS, body) => decode_rows(body),
        _ => Ok(Vec::new()),
    }
}

/// Encodes rows as one part.
pub(crate) fn encode_rows(rows: &[Row]) -> Vec<u8> {
    let mut piece = vec![ROWS];
    for (key, value) in rows {
        put_field(&mut piece, key);
        put_field(&mut piece, value);
    }
    piece
}

/// Encodes what a batch changed as parts, of about so many bytes each.
pub(crate) fn encode_mutations(changes: &Changes, bytes: usize) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut piece = vec![MUTATIONS];
    for (key, value) in changes {
        put_field(&mut piece, key);
        match value {
            None => piece.push(0),
            Some(value) => {
                piece.push(1);
                put_field(&mut piece, value);
            }
        }
        if piece.len() > bytes {
            pieces.push(std::mem::replace(&mut piece, vec![MUTATIONS]));
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

/// Counts and digest of the parts so far.
#[derive(Default)]
pub(super) struct Sum {
    rows: u64,
    mutations: u64,
    digest: Sha256,
}

impl Sum {
    pub(super) fn add(&mut self, piece: &[u8]) -> Result<(), SnapshotError> {
        match split(piece)? {
            (LABEL, _) => {}
            (ROWS, body) => self.rows += decode_rows(body)?.len() as u64,
            (MUTATIONS, body) => self.mutations += decode_mutations(body)?.len() as u64,
            _ => {
                return Err(SnapshotError::Damaged(
                    "a frame of a kind that is not known",
                ));
            }
        }
        let length = u32::try_from(piece.len()).expect("frames are far below 4 GiB");
        self.digest.update(length.to_be_bytes());
        self.digest.update(piece);
        Ok(())
    }

    pub(super) fn trailer(&self) -> Trailer {
        Trailer {
            rows: self.rows,
            mutations: self.mutations,
            digest: self.digest.clone().finalize().into(),
        }
    }
}

pub(super) fn split(piece: &[u8]) -> Result<(u8, &[u8]), SnapshotError> {
    piece
        .split_first()
        .map(|(kind, body)| (*kind, body))
        .ok_or(SnapshotError::Damaged("an empty frame"))
}

fn put_field(piece: &mut Vec<u8>, field: &[u8]) {
    let length = u32::try_from(field.len()).expect("keys and values are far below 4 GiB");
    piece.extend_from_slice(&length.to_be_bytes());
    piece.extend_from_slice(field);
}

fn take_field<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = body.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (field, rest) = rest.split_at_checked(length)?;
    *body = rest;
    Some(field)
}

fn decode_rows(mut body: &[u8]) -> Result<Vec<Row>, SnapshotError> {
    let mut rows = Vec::new();
    while !body.is_empty() {
        let row = take_field(&mut body)
            .zip(take_field(&mut body))
            .ok_or(SnapshotError::Damaged("its rows"))?;
        rows.push((row.0.to_vec(), row.1.to_vec()));
    }
    Ok(rows)
}

type Mutation = (Vec<u8>, Option<Vec<u8>>);

pub(super) fn decode_mutations(mut body: &[u8]) -> Result<Vec<Mutation>, SnapshotError> {
    let mut mutations = Vec::new();
    while !body.is_empty() {
        let mutation = take_mutation(&mut body).ok_or(SnapshotError::Damaged("its mutations"))?;
        mutations.push(mutation);
    }
    Ok(mutations)
}

fn take_mutation(body: &mut &[u8]) -> Option<Mutation> {
    let key = take_field(body)?.to_vec();
    let (kind, rest) = body.split_first()?;
    *body = rest;
    match kind {
        0 => Some((key, None)),
        1 => Some((key, Some(take_field(body)?.to_vec()))),
        _ => None,
    }
}
