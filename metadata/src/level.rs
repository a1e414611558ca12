//! The feature level: what the log may hold, so that every server can apply it.
//!
//! Servers of two builds apply one log, and must come to the same rows. So what a build knows that earlier ones do
//! not (a command, another effect of an old one, another row) is asleep until the state is of its level:
//!
//! ```text
//! level   what it brings
//! 1       all that there was before there were levels
//! 2       audits: servers compare their rows; usage and quotas; answers are forgotten from where they were before
//! ```
//!
//! The level is in the state, one copy in each half, and rises by a command, for good. An operator asks for it once
//! every server runs a build that knows it; until then each server may go back to the build that it came from. A
//! cluster that is begun has its build's level from its first moment. A build that meets a higher level than it knows
//! stops: it would come to other rows.

use crate::store::StoreError;
use crate::tables::{LEVEL, NAMESPACE_LEVEL};
use crate::txn::Rows;

/// The highest level that this build knows.
pub const KNOWN: u32 = 2;
/// The level of a state that does not say.
pub const FIRST: u32 = 1;

/// From which on servers compare their rows.
pub const AUDITS: u32 = 2;
/// From which on a session's row says below what its answers are forgotten.
pub const FORGETTING: u32 = 2;
/// From which on usage may be kept.
pub const USAGE: u32 = 2;

/// The level of the cluster half.
///
/// # Errors
/// When the store is broken.
pub fn of_cluster(rows: &impl Rows) -> Result<u32, StoreError> {
    Ok(LEVEL.get(rows, &())?.unwrap_or(FIRST))
}

/// The level of the namespace half.
///
/// # Errors
/// When the store is broken.
pub fn of_namespace(rows: &impl Rows) -> Result<u32, StoreError> {
    Ok(NAMESPACE_LEVEL.get(rows, &())?.unwrap_or(FIRST))
}

/// Whether this build may apply to these rows.
///
/// # Errors
/// When they are of a level that it does not know, or the store is broken.
pub fn check(rows: &impl Rows) -> Result<(), StoreError> {
    let level = of_cluster(rows)?.max(of_namespace(rows)?);
    if level > KNOWN {
        return Err(StoreError::Later {
            level,
            known: KNOWN,
        });
    }
    Ok(())
}
