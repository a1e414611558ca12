//! What a restore changes of the rows that a backup holds.
//!
//! ```text
//! incarnation    one more, in both halves: what was handed out after the backup is never handed out again
//! epochs         groups', and the table's version and the revision: beyond all that anybody has seen
//! sessions       gone, with leases and tokens: who had one opens another
//! servers        the metadata servers of before are out, and one is in
//! deletions      held
//! ```
//!
//! Numbers that only rise carry the incarnation in their highest byte from then on, as ids do.

use crate::level;
use crate::store::StoreError;
use crate::tables::{
    CLUSTER_COUNTERS, ClusterId, GATEWAY_SESSIONS, GROUP_EPOCHS, GROUP_TABLE_VERSION, GROUPS, HOLD,
    HoldRow, INCARNATION, LEASES, LEVEL, NAMESPACE_INCARNATION, NAMESPACE_LEVEL, NODES, NodeRow,
    REPLIES, REVISION, SESSION_EXPIRY, SESSIONS, TOKENS,
};
use crate::txn::Txn;
use types::id::{self, NodeId};
use types::placement::Epoch;
use types::wire::members::ServerRole;
use types::wire::metadata::WallTime;

/// Restores after the first, whose incarnation is 0, so many times.
const MOST: u8 = u8::MAX;

/// Why rows cannot be restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoredError {
    /// The store is broken, or of a later build.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Incarnations or ids have run out.
    #[error("incarnations or ids have run out")]
    Exhausted,
}

/// Changes the rows to those of a cluster that goes on from them, with one metadata server at this address. Its id.
pub(crate) fn restored(
    txn: &mut Txn<'_>,
    wall: WallTime,
    address: String,
    entry: u64,
) -> Result<NodeId, RestoredError> {
    let before = INCARNATION.get(txn, &())?;
    let before = before.max(NAMESPACE_INCARNATION.get(txn, &())?);
    let incarnation = match before.unwrap_or(0) {
        MOST => return Err(RestoredError::Exhausted),
        before => before + 1,
    };
    INCARNATION.put(txn, &(), &incarnation);
    NAMESPACE_INCARNATION.put(txn, &(), &incarnation);
    // An earlier build would hand out ids of incarnation 0.
    LEVEL.put(txn, &(), &level::KNOWN);
    NAMESPACE_LEVEL.put(txn, &(), &level::KNOWN);
    raise_numbers(txn, incarnation)?;

    SESSIONS.clear(txn)?;
    SESSION_EXPIRY.clear(txn)?;
    GATEWAY_SESSIONS.clear(txn)?;
    REPLIES.clear(txn)?;
    LEASES.clear(txn)?;
    TOKENS.clear(txn)?;
    HOLD.put(txn, &(), &HoldRow { since: wall, entry });
    replace_servers(txn, wall, address, incarnation)
}

fn raise_numbers(txn: &mut Txn<'_>, incarnation: u8) -> Result<(), StoreError> {
    let raised = |number: u64| u64::from(incarnation) << 56 | number & (u64::MAX >> 8);
    let revision = REVISION.get(txn, &())?.unwrap_or(0);
    REVISION.put(txn, &(), &raised(revision));
    let version = GROUP_TABLE_VERSION.get(txn, &())?.unwrap_or(0);
    GROUP_TABLE_VERSION.put(txn, &(), &raised(version));
    let groups: Vec<_> = GROUPS.scan(txn, &[]).collect::<Result<_, _>>()?;
    for (_, mut group) in groups {
        group.epoch = Epoch(raised(group.epoch.0));
        GROUPS.put(txn, &group.id, &group);
        if let Some(mut row) = GROUP_EPOCHS.get(txn, &group.id)? {
            row.epoch = Epoch(raised(row.epoch.0));
            GROUP_EPOCHS.put(txn, &group.id, &row);
        }
    }
    Ok(())
}

/// The metadata servers of before have lost what they knew, or must not know better: they are out.
fn replace_servers(
    txn: &mut Txn<'_>,
    wall: WallTime,
    address: String,
    incarnation: u8,
) -> Result<NodeId, RestoredError> {
    let servers: Vec<_> = NODES.scan(txn, &[]).collect::<Result<_, _>>()?;
    for (key, row) in servers {
        if row.role == Some(ServerRole::Metadata) && row.removed.is_none() {
            let id = key.last_chunk().ok_or(StoreError::Damaged)?;
            let removed = Some(wall);
            let row = NodeRow { removed, ..row };
            NODES.put(txn, &NodeId::new(u64::from_be_bytes(*id)), &row);
        }
    }
    let next = CLUSTER_COUNTERS.get(txn, &ClusterId::Node)?.unwrap_or(1);
    let own = id::compose(incarnation, 0, next).ok_or(RestoredError::Exhausted)?;
    CLUSTER_COUNTERS.put(txn, &ClusterId::Node, &(next + 1));
    let own = NodeId::new(own);
    let row = NodeRow {
        admitted: wall,
        role: Some(ServerRole::Metadata),
        address: Some(address),
        removed: None,
    };
    NODES.put(txn, &own, &row);
    Ok(own)
}
