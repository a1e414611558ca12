//! What plain objects showed that were replaced or deleted: kept for those who read them.
//!
//! It holds no reference: the blob may be dead, and the row goes when that is condemned.

use crate::store::StoreError;
use crate::tables::{HeadRow, PASTS, PastRow, TableKey};
use crate::txn::Txn;
use types::id::VersionId;

/// Keeps what a plain object showed.
pub(super) fn keep(txn: &mut Txn<'_>, now_ms: u64, head: &HeadRow) {
    let row = PastRow {
        length: head.length,
        extents: head.extents.clone(),
    };
    PASTS.put(txn, &(now_ms, head.version), &row);
}

/// Drops what was replaced or deleted before a time, the oldest first; how many rows.
pub(super) fn drop_old(
    txn: &mut Txn<'_>,
    before_ms: u64,
    most: usize,
) -> Result<usize, StoreError> {
    let old: Vec<_> = PASTS
        .range(txn, &0_u64.bytes(), &before_ms.bytes())
        .take(most)
        .collect::<Result<_, _>>()?;
    for (row_key, _) in &old {
        let (since, version) = row_key.split_first_chunk().ok_or(StoreError::Damaged)?;
        let version = version.try_into().map_err(|_| StoreError::Damaged)?;
        let since = u64::from_be_bytes(*since);
        PASTS.delete(txn, &(since, VersionId::new(version)));
    }
    Ok(old.len())
}
