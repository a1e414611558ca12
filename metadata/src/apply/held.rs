//! Deletions are held from a restore until an operator releases them.
//!
//! A backup does not know what was written after it: by its rows that is garbage. Nor does anybody know yet whether
//! it is the right backup. So nothing is removed from a disk, and no key destroyed, before somebody has looked.

use super::Applied;
use crate::reply::Reply;
use crate::store::StoreError;
use crate::tables::HOLD;
use crate::txn::{Rows, Txn};

/// Whether they are.
pub(super) fn held(rows: &impl Rows) -> Result<bool, StoreError> {
    HOLD.contains(rows, &())
}

/// From now on what is dead goes. Asked again, nothing changes.
pub(super) fn release(txn: &mut Txn<'_>) -> Applied {
    HOLD.delete(txn, &());
    Ok(Reply::Done)
}
