//! Sessions, leases, and time, which ends both.
//!
//! ```text
//! open --renew--> open --time--> expired --ticks--> gone, with its leases and stored answers
//! ```
//!
//! A session that has expired is refused from that moment, whether or not its rows are gone yet. A
//! gateway that opens one too many loses the one that it has not renewed for longest: one that is killed
//! and started again and again leaves sessions behind, and must still come up.

use super::Applied;
use super::namespace::take;
use crate::command::Tick;
use crate::reply::{Refusal, Reply};
use crate::store::StoreError;
use crate::tables::{
    CLOCK, ClockRow, GATEWAY_SESSIONS, LEASES, LeaseRow, NamespaceId, REPLIES, SESSION_EXPIRY,
    SESSIONS, SessionRow, TableKey,
};
use crate::txn::{Rows, Txn};
use types::id::{ChunkId, LeaseId, NodeId, SessionId};
use types::wire::metadata::{Session, WriteLease};

/// A session lives so long without a renewal.
pub const SESSION_TTL_MS: u64 = 60_000;
/// New uploads may begin on a lease for so long.
pub const LEASE_OPENS_FOR_MS: u64 = 600_000;
/// Chunk ids of one lease: 512 GiB at 8+3.
pub const LEASE_CHUNKS: u64 = 1 << 16;
/// Leases that a session may hold at once: at 10 GB/s one lasts a minute, and uploads keep theirs.
pub const MAX_LEASES: usize = 64;
/// Sessions that a gateway may have at once.
pub const MAX_SESSIONS: usize = 16;
/// No tick moves time further: what was measured over a stall is not believed.
pub const MAX_TICK_MS: u64 = 10_000;

/// Most rows of expired sessions that one tick removes.
const EXPIRED_ROWS_PER_TICK: usize = 500;

pub(super) fn tick(txn: &mut Txn<'_>, tick: &Tick) -> Applied {
    let now_ms = now(txn)?;
    if tick.from_ms != now_ms {
        return Err(Refusal::TimeMoved { now_ms }.into());
    }
    let now_ms = now_ms.saturating_add(tick.elapsed_ms.min(MAX_TICK_MS));
    CLOCK.put(txn, &(), &ClockRow { now_ms });
    expire(txn, now_ms)?;
    Ok(Reply::Time { now_ms })
}

/// Cluster time.
pub(super) fn now(rows: &impl Rows) -> Result<u64, StoreError> {
    Ok(CLOCK.get(rows, &())?.unwrap_or_default().now_ms)
}

pub(super) fn open(txn: &mut Txn<'_>, gateway: NodeId) -> Applied {
    let live = live_sessions(txn, gateway)?;
    let session = SessionId::new(take(txn, NamespaceId::Session, 1)?);
    let row = SessionRow {
        gateway,
        expires_ms: now(txn)?.saturating_add(SESSION_TTL_MS),
        answered_below: 1,
        forgotten_below: 0,
    };
    SESSIONS.put(txn, &session, &row);
    SESSION_EXPIRY.put(txn, &(row.expires_ms, session), &session);
    GATEWAY_SESSIONS.put(txn, &(gateway, session), &session);
    if live.len() >= MAX_SESSIONS {
        let idle = live
            .into_iter()
            .min_by_key(|(id, row)| (row.expires_ms, *id));
        let (id, row) = idle.expect("there are as many as may be");
        set_expiry(txn, id, row, now(txn)?);
    }
    Ok(told(session))
}

/// The sessions of a gateway that live.
fn live_sessions(
    rows: &impl Rows,
    gateway: NodeId,
) -> Result<Vec<(SessionId, SessionRow)>, StoreError> {
    let now_ms = now(rows)?;
    let mut live = Vec::new();
    for row in GATEWAY_SESSIONS.scan(rows, &gateway.bytes()) {
        let (_, session) = row?;
        let row = SESSIONS.get(rows, &session)?;
        live.extend(
            row.filter(|row| now_ms < row.expires_ms)
                .map(|row| (session, row)),
        );
    }
    Ok(live)
}

pub(super) fn renew(txn: &mut Txn<'_>, session: SessionId) -> Applied {
    let row = live(txn, session)?;
    let expires_ms = now(txn)?.saturating_add(SESSION_TTL_MS);
    set_expiry(txn, session, row, expires_ms);
    Ok(told(session))
}

fn set_expiry(txn: &mut Txn<'_>, session: SessionId, mut row: SessionRow, expires_ms: u64) {
    SESSION_EXPIRY.delete(txn, &(row.expires_ms, session));
    row.expires_ms = expires_ms;
    SESSIONS.put(txn, &session, &row);
    SESSION_EXPIRY.put(txn, &(expires_ms, session), &session);
}

fn told(id: SessionId) -> Reply {
    let ttl_ms = SESSION_TTL_MS;
    Reply::Session(Session { id, ttl_ms })
}

pub(super) fn open_lease(txn: &mut Txn<'_>, session: SessionId) -> Applied {
    live(txn, session)?;
    if LEASES.scan(txn, &session.bytes()).take(MAX_LEASES).count() == MAX_LEASES {
        return Err(Refusal::TooManyLeases.into());
    }
    let id = LeaseId::new(take(txn, NamespaceId::Lease, 1)?);
    let row = LeaseRow {
        first: ChunkId::new(take(txn, NamespaceId::Chunk, LEASE_CHUNKS)?),
        count: LEASE_CHUNKS,
        opened_ms: now(txn)?,
    };
    LEASES.put(txn, &(session, id), &row);
    Ok(Reply::Lease(WriteLease {
        id,
        first: row.first,
        count: row.count,
        opens_for_ms: LEASE_OPENS_FOR_MS,
        ttl_ms: SESSION_TTL_MS,
    }))
}

pub(super) fn close_lease(txn: &mut Txn<'_>, session: SessionId, lease: LeaseId) -> Applied {
    live(txn, session)?;
    LEASES.delete(txn, &(session, lease));
    Ok(Reply::Done)
}

/// The session, if it lives.
pub(super) fn live(rows: &impl Rows, session: SessionId) -> Result<SessionRow, super::Stop> {
    let now_ms = now(rows)?;
    let row = SESSIONS.get(rows, &session)?;
    let row = row.filter(|row| now_ms < row.expires_ms);
    Ok(row.ok_or(Refusal::SessionExpired)?)
}

/// Removes rows of expired sessions, as many as one command may.
fn expire(txn: &mut Txn<'_>, now_ms: u64) -> Result<(), StoreError> {
    let expired: Vec<SessionId> = SESSION_EXPIRY
        .range(txn, &0_u64.bytes(), &now_ms.saturating_add(1).bytes())
        .take(EXPIRED_ROWS_PER_TICK)
        .map(|row| row.map(|(_, session)| session))
        .collect::<Result<_, _>>()?;
    let mut budget = EXPIRED_ROWS_PER_TICK;
    for session in expired {
        let prefix = session.bytes();
        let answers: Vec<_> = REPLIES
            .scan(txn, &prefix)
            .take(budget)
            .collect::<Result<_, _>>()?;
        budget -= answers.len();
        for (key, _) in answers {
            REPLIES.delete(txn, &(session, trailing_number(&key)));
        }
        let leases: Vec<_> = LEASES
            .scan(txn, &prefix)
            .take(budget)
            .collect::<Result<_, _>>()?;
        budget -= leases.len();
        for (key, _) in leases {
            LEASES.delete(txn, &(session, LeaseId::new(trailing_number(&key))));
        }
        // The session's own rows go last, once nothing is left that only they lead to.
        if budget < 3 {
            return Ok(());
        }
        budget -= 3;
        if let Some(row) = SESSIONS.get(txn, &session)? {
            SESSION_EXPIRY.delete(txn, &(row.expires_ms, session));
            GATEWAY_SESSIONS.delete(txn, &(row.gateway, session));
        }
        SESSIONS.delete(txn, &session);
    }
    Ok(())
}

/// The last eight bytes of a key.
pub(super) fn trailing_number(key: &[u8]) -> u64 {
    let number = key.last_chunk().expect("the key ends with a number");
    u64::from_be_bytes(*number)
}
