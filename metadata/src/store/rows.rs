//! How a row is stored: framed by a checksum, and in pieces where its value is long.

use super::engine::Batch;
use super::error::StoreError;
use crc_fast::{CrcAlgorithm, Digest as Crc};

/// Longest piece of a value in one stored row: with its frame it stays under 6 KiB, since sled puts 16
/// rows on a page, and pages above about 128 KiB into files that it never syncs.
const PIECE: usize = (6 << 10) - FRAME;
pub(super) const FRAME: usize = 8 + 2;

pub(super) const ROW: u8 = b'r';
const CONTINUATION: u8 = b'c';
pub(super) const MARK: &[u8] = b"m";

/// Puts a row into a batch, in as many stored rows as its value needs.
pub(super) fn insert_row(batch: &mut Batch, key: &[u8], value: &[u8]) {
    let count = continuations(value).to_be_bytes();
    let (first, rest) = value.split_at(value.len().min(PIECE));
    let stored = row_key(key);
    let framed_first = framed(&stored, &[&count, first]);
    batch.insert(stored, framed_first);
    for (number, piece) in (0..).zip(rest.chunks(PIECE)) {
        let stored = continuation_key(key, number);
        let framed_piece = framed(&stored, &[piece]);
        batch.insert(stored, framed_piece);
    }
}

/// How many continuation rows a value needs.
pub(super) fn continuations(value: &[u8]) -> u16 {
    let pieces = value.len().div_ceil(PIECE).max(1) - 1;
    u16::try_from(pieces).expect("no command writes a value of hundreds of megabytes")
}

pub(super) fn row_key(key: &[u8]) -> Vec<u8> {
    [&[ROW], key].concat()
}

pub(super) fn continuation_key(key: &[u8], number: u16) -> Vec<u8> {
    let length = u16::try_from(key.len()).expect("a row's key is short");
    [
        &[CONTINUATION][..],
        &length.to_be_bytes(),
        key,
        &number.to_be_bytes(),
    ]
    .concat()
}

pub(super) fn framed(stored_key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut value = vec![0; 8];
    for part in parts {
        value.extend_from_slice(part);
    }
    let crc = checksum(stored_key, &value[8..]);
    value[..8].copy_from_slice(&crc);
    value
}

pub(super) fn unframed<'a>(stored_key: &[u8], value: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let (crc, body) = value.split_first_chunk::<8>().ok_or(StoreError::Damaged)?;
    if checksum(stored_key, body) == *crc {
        Ok(body)
    } else {
        Err(StoreError::Damaged)
    }
}

fn checksum(stored_key: &[u8], body: &[u8]) -> [u8; 8] {
    let length = u32::try_from(stored_key.len()).expect("a row's key is short");
    let mut crc = Crc::new(CrcAlgorithm::Crc64Nvme);
    crc.update(&length.to_be_bytes());
    crc.update(stored_key);
    crc.update(body);
    crc.finalize().to_be_bytes()
}
