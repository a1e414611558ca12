//! The leader's rounds over what nobody needs any more: old uploads, dead parts, dead blobs; and over what is not
//! counted yet.
//!
//! A round asks what is due, proposes a command for each, and asks again, until nothing is or its time is
//! over; the rest waits for the next. What a command did is not undone when the next one fails.

use super::write::WRAP_TTL_MS;
use super::{Inner, millis};
use crate::apply::{COUNTED_AT_MOST, forgettable};
use crate::command::{Command, NamespaceCommand};
use crate::level;
use crate::store::{Store, StoreError};
use crate::tables::{
    CLOCK, CONDEMNED, CountRow, GONE_BUCKETS, HOLD, PASTS, RECLAIMS, SWEEPS, SweepKind, TableKey,
    UPLOAD_AGES, USAGE_COUNT,
};
use std::time::Duration;
use tokio::time::Instant;
use types::id::{BucketId, VersionId};
use types::wire::metadata::MetadataError;

/// A round ends after so long: the next tick waits for it.
const ROUND: Duration = Duration::from_millis(250);
/// Most commands between two looks at what is due.
const COMMANDS: usize = 8;

/// For how long what is dead is kept, in milliseconds of cluster time.
#[derive(Clone, Copy)]
struct Delays {
    abandoned_ms: u64,
    reclaim_ms: u64,
}

impl Inner {
    /// Proposes what is due.
    pub(super) async fn sweep_round(&self) -> Result<(), MetadataError> {
        let delays = Delays {
            abandoned_ms: millis(self.config.abandoned_after),
            reclaim_ms: millis(self.config.reclaim_after),
        };
        let began = Instant::now();
        loop {
            let due = self.read(move |store| due(store, delays)).await?;
            if due.is_empty() {
                return Ok(());
            }
            for command in due {
                if began.elapsed() > ROUND {
                    return Ok(());
                }
                self.propose(Command::Namespace(command)).await?;
            }
        }
    }
}

/// The next commands that are due.
fn due(store: &Store, delays: Delays) -> Result<Vec<NamespaceCommand>, StoreError> {
    let now_ms = CLOCK.get(store, &())?.unwrap_or_default().now_ms;
    let mut due = Vec::from_iter(counting(store)?);
    if !HOLD.contains(store, &())? {
        reclaims(store, now_ms, delays, &mut due)?;
    }
    if let Some(began_before_ms) = now_ms.checked_sub(delays.abandoned_ms)
        && began_before_ms > 0
    {
        let (from, to) = (0_u64.bytes(), began_before_ms.bytes());
        let oldest = UPLOAD_AGES.range(store, &from, &to).next();
        if oldest.transpose()?.is_some() {
            due.push(NamespaceCommand::ExpireUploads { began_before_ms });
        }
    }
    for row in GONE_BUCKETS.scan(store, &[]).take(COMMANDS) {
        let (row_key, ()) = row?;
        let id = row_key.first_chunk().ok_or(StoreError::Damaged)?;
        let bucket = BucketId::new(u64::from_be_bytes(*id));
        due.push(NamespaceCommand::ClearBucket { bucket });
    }
    sweeps(store, SweepKind::Abandoned, now_ms, &mut due)?;
    if let Some(before_ms) = now_ms.checked_sub(delays.reclaim_ms) {
        sweeps(store, SweepKind::Superseded, before_ms, &mut due)?;
    }
    due.truncate(COMMANDS);
    Ok(due)
}

/// What has usage kept, and then all of it counted that there was before.
///
/// The first waits until every server knows usage: before it is applied, none of them changes a row of it, whatever
/// else is.
fn counting(store: &Store) -> Result<Option<NamespaceCommand>, StoreError> {
    if level::of_namespace(store)? < level::USAGE {
        return Ok(None);
    }
    Ok(match USAGE_COUNT.get(store, &())? {
        None => Some(NamespaceCommand::KeepUsage),
        Some(CountRow::Counting { .. }) => Some(NamespaceCommand::CountUsage {
            rows: COUNTED_AT_MOST,
        }),
        Some(CountRow::Counted) => None,
    })
}

/// What died so long ago that nobody reads it any more is condemned; what disks have removed, forgotten.
fn reclaims(
    store: &Store,
    now_ms: u64,
    delays: Delays,
    due: &mut Vec<NamespaceCommand>,
) -> Result<(), StoreError> {
    if let Some(died_by_ms) = now_ms.checked_sub(delays.reclaim_ms) {
        let died_before_ms = died_by_ms.saturating_add(1);
        let (from, to) = (0_u64.bytes(), died_before_ms.bytes());
        let dead = RECLAIMS.range(store, &from, &to).next().transpose()?;
        let past = PASTS.range(store, &from, &to).next().transpose()?;
        if dead.is_some() || past.is_some() {
            due.push(NamespaceCommand::Condemn { died_before_ms });
        }
    }
    let died_before_ms = now_ms.saturating_sub(WRAP_TTL_MS);
    let (from, to) = (0_u64.bytes(), died_before_ms.bytes());
    let aged = CONDEMNED.range(store, &from, &to).next().transpose()?;
    if aged.is_some() || !forgettable(store)?.is_empty() {
        due.push(NamespaceCommand::Forget { died_before_ms });
    }
    Ok(())
}

/// The oldest sweeps of a kind, of what was dead at that time.
fn sweeps(
    store: &Store,
    kind: SweepKind,
    at_ms: u64,
    due: &mut Vec<NamespaceCommand>,
) -> Result<(), StoreError> {
    let from = kind.bytes();
    let mut to = from.clone();
    at_ms.saturating_add(1).write(&mut to);
    for row in SWEEPS.range(store, &from, &to).take(COMMANDS) {
        let (row_key, _) = row?;
        let since = row_key.get(1..).and_then(|key| key.split_first_chunk());
        let (since, version) = since.ok_or(StoreError::Damaged)?;
        let version = version.try_into().map_err(|_| StoreError::Damaged)?;
        due.push(NamespaceCommand::Sweep {
            kind,
            since_ms: u64::from_be_bytes(*since),
            version: VersionId::new(version),
        });
    }
    Ok(())
}
