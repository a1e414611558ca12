//! One chunk's way onto disks: code it, send all shards at once, and go elsewhere if need be.
//!
//! What is decided is decided in [`crate::decide`]; this shell sends, waits and keeps time. A chunk
//! that fails in a group keeps its sealed bytes and gets a fresh id, another group and new checksums:
//! an id is never sent twice with different meaning. What reached the floor somewhere is kept for the case
//! that no other group does better: not one that is tried, nor any whose disks are known to be unwell.

use crate::chunk::{Coded, Filling, shard_key};
use crate::config::Sealing;
use crate::decide::{self, Shard, Verdict, decide};
use crate::error::{Pressure, PutError};
use crate::groups::{Load, Purpose};
use crate::inner::Inner;
use crate::lease::Lease;
use crate::runs::Landed;
use crate::session::Session;
use erasure::Coder;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};
use types::id::{BlobId, ChunkId, DiskId, GroupId};
use types::placement::{Epoch, Group};
use types::wire::storage::{self, PutShard};

/// Groups that are tried for one chunk.
const GROUPS_TRIED: usize = 4;

/// What all chunks of an upload share.
pub(crate) struct Origin {
    pub(crate) inner: Arc<Inner>,
    pub(crate) session: Arc<Session>,
    pub(crate) blob: BlobId,
    pub(crate) coder: Arc<Coder>,
}

/// Where a chunk is to go.
pub(crate) struct Target {
    pub(crate) group: Group,
    pub(crate) lease: Arc<Lease>,
    pub(crate) chunk: ChunkId,
    pub(crate) _under_way: Load,
}

/// How a chunk stood in a group when nothing was to be waited for any more.
struct Attempt {
    shards: Vec<Shard>,
    /// A node knows a newer epoch of the group.
    stale: bool,
}

/// Writes a chunk. `first_segment` counts from the blob's first.
pub(crate) async fn land(
    origin: Arc<Origin>,
    filling: Filling,
    first_segment: u64,
    mut target: Target,
) -> Result<Landed, PutError> {
    let profile = origin.coder.profile();
    let place = (target.group.id, target.chunk);
    let coding = {
        let origin = Arc::clone(&origin);
        move || filling.code(&origin.coder, origin.blob, first_segment, place)
    };
    let mut coded = Arc::new(on_a_core(origin.inner.config.sealing, coding).await?);
    let mut left: Vec<(GroupId, Epoch)> = Vec::new();
    let mut best: Option<(usize, Landed)> = None;
    let mut most = 0;
    loop {
        let attempt = send(&origin, &coded, &target).await;
        let durable = decide::durable(&attempt.shards);
        let place = (target.group.id, target.group.epoch);
        let landed = |missing| Landed {
            lease: Arc::clone(&target.lease),
            group: target.group.id,
            epoch: target.group.epoch,
            chunk: target.chunk,
            missing,
            left: left.clone(),
        };
        if let Verdict::Landed(missing) = decide(&attempt.shards, profile.durable_before_ack()) {
            return Ok(landed(missing));
        }
        tracing::debug!(group = %target.group.id, chunk = %target.chunk, durable, "a chunk did not land");
        if let Verdict::Landed(missing) = decide(&attempt.shards, profile.least_durable())
            && best.as_ref().is_none_or(|(most, _)| *most < durable)
        {
            best = Some((durable, landed(missing)));
        }
        left.push(place);
        most = most.max(durable);
        if attempt.stale {
            // Should it fail, the choice is made from the table at hand.
            let seen = origin.inner.groups.table().version;
            let _ = origin.inner.groups.refresh(seen).await;
        }
        if left.len() == GROUPS_TRIED {
            break;
        }
        // Of a group in which as many disks were unwell a moment ago, nothing better is to be had. That
        // knowledge ages in seconds, and then one chunk searches again.
        let tolerable = match &best {
            Some((durable, _)) => profile.shards() - durable - 1,
            None => usize::MAX,
        };
        match elsewhere(&origin, coded, &left, tolerable).await {
            Ok(Some(next)) => (target, coded) = next,
            Ok(None) => break,
            Err(error) if best.is_none() => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "a chunk stays at the floor");
                break;
            }
        }
    }
    let too_few = Pressure::Disks {
        durable: most,
        floor: profile.least_durable(),
    };
    let (durable, landed) = best.ok_or(too_few)?;
    tracing::info!(group = %landed.group, durable, "no group stores a chunk in full: kept at the floor");
    Ok(landed)
}

/// A group that was not tried yet with a fresh id, and the chunk for it; `None` when all others were
/// tried, or are known to have more than `tolerable` unwell disks.
async fn elsewhere(
    origin: &Origin,
    coded: Arc<Coded>,
    left: &[(GroupId, Epoch)],
    tolerable: usize,
) -> Result<Option<(Target, Arc<Coded>)>, PutError> {
    let inner = &origin.inner;
    let uses = |slot| coded.layout.blocks(slot) > 0;
    let profile = coded.layout.profile();
    let Some(group) = inner
        .groups
        .choose(profile, uses, left, tolerable, || inner.draw())
    else {
        return Ok(None);
    };
    let mut ids = inner.chunk_ids(&origin.session, 1).await?;
    let chunk = ids.next().expect("at least one id was taken");
    let coded = Coded::restamp(coded, &inner.budget, group.id, chunk).await?;
    let target = Target {
        _under_way: inner.groups.load(group.id),
        group,
        lease: ids.lease,
        chunk,
    };
    Ok(Some((target, Arc::new(coded))))
}

/// Sends all shards and waits until the chunk has landed, or can land no more, not even at the floor.
async fn send(origin: &Origin, coded: &Arc<Coded>, target: &Target) -> Attempt {
    let inner = &origin.inner;
    let profile = coded.layout.profile();
    let mut stale = false;
    let mut shards = vec![Shard::Empty; profile.shards()];
    let mut answers = FuturesUnordered::new();
    for (index, shard) in shards.iter_mut().enumerate() {
        let Some(payload) = coded.payload(index) else {
            continue;
        };
        *shard = Shard::Sent;
        let request = PutShard {
            disk: target.group.members[index].disk,
            key: shard_key(target.group.id, target.chunk, index),
            epoch: target.group.epoch,
            chunk: coded.description.clone(),
            payload,
        };
        let answer = inner.shards.put(request);
        answers.push(async move { (index, answer.await) });
    }

    let sent = Instant::now();
    let mut limit = sent + inner.config.shard_patience;
    let mut needed = profile.durable_before_ack();
    loop {
        match decide(&shards, needed) {
            Verdict::Wait => {}
            Verdict::Enough => limit = limit.min(Instant::now() + inner.config.grace),
            Verdict::Failed if needed > profile.least_durable() => {
                needed = profile.least_durable();
                continue;
            }
            Verdict::Landed(_) | Verdict::Failed => break,
        }
        let Ok(Some((index, answer))) = timeout_at(limit, answers.next()).await else {
            break;
        };
        let disk = target.group.members[index].disk;
        shards[index] = note(inner, disk, answer, &mut stale);
    }
    late(&mut shards, |slot| {
        if sent.elapsed() >= inner.config.shard_patience {
            let disk = target.group.members[slot].disk;
            inner.groups.note_unwell(disk, Purpose::Write);
        }
    });
    Attempt { shards, stale }
}

fn note(
    inner: &Inner,
    disk: DiskId,
    answer: Result<(), storage::PutError>,
    stale: &mut bool,
) -> Shard {
    let Err(error) = answer else {
        inner.groups.note_well(disk, Purpose::Write);
        return Shard::Durable;
    };
    tracing::debug!(%disk, %error, "a shard was refused");
    match error {
        storage::PutError::StaleEpoch { .. } => *stale = true,
        storage::PutError::Conflict { .. } | storage::PutError::Damaged { .. } => {}
        storage::PutError::Full { .. } | storage::PutError::Busy { .. } => {
            inner.groups.note_unwell(disk, Purpose::Write);
        }
        _ => {
            inner.groups.note_unwell(disk, Purpose::Write);
            inner.groups.note_unwell(disk, Purpose::Read);
        }
    }
    Shard::Refused
}

/// Who has not answered by now is not waited for.
fn late(shards: &mut [Shard], note: impl Fn(usize)) {
    for (slot, shard) in shards.iter_mut().enumerate() {
        if *shard == Shard::Sent {
            note(slot);
            *shard = Shard::Refused;
        }
    }
}

/// Runs what keeps a core busy for a while.
async fn on_a_core<T: Send + 'static>(
    place: Sealing,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PutError> {
    if place == Sealing::InTask {
        return Ok(work());
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Pressure::Stopping.into()),
    }
}
