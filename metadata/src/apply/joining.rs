//! Servers that join by a token, and that are no more of the cluster.
//!
//! ```text
//! AddToken -> number --UseToken(key)--> a server's id, told again to the same key and to nobody else
//! ```
//!
//! That a token is used once is decided here, in the order of the log: of two who present it, one joins. The
//! secret itself never comes here, nor a key: the authority signs what the reply allows.

use super::cluster::take;
use super::sessions::now;
use super::{Applied, Stop};
use crate::reply::{Refusal, Reply};
use crate::tables::{ClusterId, NODES, NodeRow, TOKENS, TokenRow, TokenUse};
use crate::txn::Txn;
use types::id::NodeId;
use types::wire::members::ServerRole;
use types::wire::metadata::WallTime;

/// Most tokens that have not expired.
pub const MAX_TOKENS: usize = 1000;

pub(super) fn add_token(txn: &mut Txn<'_>, role: ServerRole, lifetime_ms: u64) -> Applied {
    let now = now(txn)?;
    let tokens: Vec<_> = TOKENS.scan(txn, &[]).collect::<Result<_, _>>()?;
    let (over, living): (Vec<_>, Vec<_>) = tokens
        .into_iter()
        .partition(|(_, row)| row.expires_ms <= now);
    if living.len() >= MAX_TOKENS {
        return Err(Refusal::TooManyTokens.into());
    }
    let number = take(txn, ClusterId::Token, 1)?;
    for (key, _) in over {
        let token = key.first_chunk().expect("the key is a number");
        TOKENS.delete(txn, &u64::from_be_bytes(*token));
    }
    let row = TokenRow {
        role,
        expires_ms: now.saturating_add(lifetime_ms),
        used: None,
    };
    TOKENS.put(txn, &number, &row);
    Ok(Reply::Token(number))
}

pub(super) fn remove_token(txn: &mut Txn<'_>, token: u64) -> Applied {
    TOKENS.delete(txn, &token);
    Ok(Reply::Done)
}

pub(super) fn use_token(
    txn: &mut Txn<'_>,
    wall: WallTime,
    token: u64,
    key: &[u8; 32],
    address: Option<&String>,
) -> Applied {
    let now = now(txn)?;
    let row = TOKENS.get(txn, &token)?.filter(|row| row.expires_ms > now);
    let Some(row) = row else {
        return Err(Refusal::TokenInvalid.into());
    };
    let role = row.role;
    match &row.used {
        Some(used) if used.key == *key => {
            let node = used.node;
            // A server that was removed does not come back by its old token.
            let known = NODES.get(txn, &node)?;
            if known.is_none_or(|row| row.removed.is_some()) {
                return Err(Refusal::TokenInvalid.into());
            }
            Ok(Reply::Enrolled { node, role })
        }
        Some(_) => Err(Refusal::TokenInvalid.into()),
        None => {
            let node = NodeId::new(take(txn, ClusterId::Node, 1)?);
            let joined = NodeRow {
                admitted: wall,
                role: Some(role),
                address: address.cloned(),
                removed: None,
            };
            NODES.put(txn, &node, &joined);
            let used = Some(TokenUse { key: *key, node });
            TOKENS.put(txn, &token, &TokenRow { used, ..row });
            Ok(Reply::Enrolled { node, role })
        }
    }
}

pub(super) fn remove_node(txn: &mut Txn<'_>, wall: WallTime, node: NodeId) -> Applied {
    let row = NODES.get(txn, &node)?;
    let row = row.ok_or(Stop::from(Refusal::NoSuchServer))?;
    if row.removed.is_none() {
        let removed = Some(wall);
        NODES.put(txn, &node, &NodeRow { removed, ..row });
    }
    Ok(Reply::Done)
}
