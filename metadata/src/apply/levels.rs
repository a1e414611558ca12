//! The feature level rises; and what is of a level that the state does not have is refused.

use super::{Applied, Stop};
use crate::command::Raise;
use crate::level;
use crate::reply::{Refusal, Reply};
use crate::store::StoreError;
use crate::tables::{LEVEL, NAMESPACE_LEVEL};
use crate::txn::{Rows, Txn};

/// Raises both copies. One that is there already stays.
pub(super) fn raise(txn: &mut Txn<'_>, raise: Raise) -> Applied {
    let Raise { level } = raise;
    if level > level::KNOWN {
        let known = level::KNOWN;
        return Err(StoreError::Later { level, known }.into());
    }
    if level > level::of_cluster(txn)? {
        LEVEL.put(txn, &(), &level);
    }
    if level > level::of_namespace(txn)? {
        NAMESPACE_LEVEL.put(txn, &(), &level);
    }
    Ok(Reply::Done)
}

/// Whether the namespace half is of a level.
pub(super) fn needs(rows: &impl Rows, level: u32) -> Result<(), Stop> {
    match level::of_namespace(rows)? < level {
        true => Err(Refusal::LevelTooLow.into()),
        false => Ok(()),
    }
}

/// An audit looks at the rows, and leaves them as they are.
pub(super) fn audit(txn: &Txn<'_>) -> Applied {
    match level::of_cluster(txn)? {
        level::AUDITS.. => Ok(Reply::Done),
        _ => Err(Refusal::LevelTooLow.into()),
    }
}
