//! Runs: those of a new blob, against their leases, their groups' epochs, and all runs there are.

use super::Stop;
use crate::reply::Refusal;
use crate::store::StoreError;
use crate::tables::{GROUP_EPOCHS, GROUP_RUNS, GroupEpochRow, LEASES, TableKey};
use crate::txn::Txn;
use std::collections::BTreeSet;
use types::block::SEGMENT;
use types::id::{ChunkId, SessionId};
use types::manifest::Run;
use types::placement::Slot;
use types::profile::Profile;
use types::size::ByteCount;
use types::wire::metadata::WrittenRun;

/// Most runs of one blob.
pub const MAX_RUNS: usize = 256;

/// Checks the runs of a blob of that length, which a session wrote. What its row will say of them, and of
/// the slots on which they may be missing; in at most `max_rows` rows.
pub(super) fn admit_runs(
    txn: &Txn<'_>,
    session: SessionId,
    length: ByteCount,
    profile: Profile,
    written: &[WrittenRun],
    max_rows: usize,
) -> Result<Vec<Run>, Stop> {
    if written.len() > MAX_RUNS {
        return Err(Refusal::TooLarge.into());
    }
    if !covers(profile, length, written) {
        return Err(Refusal::BadRuns.into());
    }
    if overlap_each_other(written) {
        return Err(Refusal::RunOverlaps.into());
    }
    let mut runs = Vec::with_capacity(written.len());
    for run in written {
        let missing = admit_run(txn, session, profile, run)?;
        runs.push(Run {
            group: run.group,
            first_chunk: run.first_chunk,
            chunks: run.chunks,
            first_index: run.first_index,
            missing,
        });
    }
    let rows: usize = runs.iter().map(|run| 1 + run.missing.len()).sum();
    if rows > max_rows {
        return Err(Refusal::TooLarge.into());
    }
    Ok(runs)
}

/// Checks one run against its lease, its group's epoch, and all runs that the group has. The slots on
/// which it may be missing: what the writer said, and each slot that was closed or moved since.
fn admit_run(
    txn: &Txn<'_>,
    session: SessionId,
    profile: Profile,
    run: &WrittenRun,
) -> Result<Vec<Slot>, Stop> {
    let lease = LEASES.get(txn, &(session, run.lease))?;
    let lease = lease.ok_or(Refusal::LeaseInvalid)?;
    let (first, last) = ends(run).ok_or(Refusal::LeaseInvalid)?;
    let lease_last = lease.first.get() + (lease.count - 1);
    if first < lease.first.get() || last > lease_last {
        return Err(Refusal::LeaseInvalid.into());
    }
    let group = GROUP_EPOCHS.get(txn, &run.group)?;
    let group = group.filter(|group| group.profile == profile);
    let group = group.ok_or(Refusal::UnknownGroup)?;
    if run.epoch > group.epoch {
        let current = group.epoch;
        return Err(Refusal::EpochAhead { current }.into());
    }
    if is_taken(txn, run, first, last)? {
        return Err(Refusal::RunOverlaps.into());
    }
    Ok(missing_slots(&group, run)?)
}

/// Refused when a chunk of the run might be left with fewer than k shards where commits look for them
/// (docs/decisions/0003). No chunk was acknowledged with more than m - 1 slots missing, however many
/// the writer names for the whole run.
fn missing_slots(group: &GroupEpochRow, run: &WrittenRun) -> Result<Vec<Slot>, Refusal> {
    let said: BTreeSet<Slot> = run.missing.iter().copied().collect();
    if said
        .iter()
        .any(|slot| usize::from(slot.0) >= group.changed.len())
    {
        return Err(Refusal::BadRuns);
    }
    let changed = (0..).map(Slot).zip(&group.changed);
    let since: BTreeSet<Slot> = changed
        .filter(|(_, changed)| **changed > run.epoch)
        .map(|(slot, _)| slot)
        .collect();
    let profile = group.profile;
    let unacknowledged = profile.shards() - profile.least_durable();
    let besides = said.difference(&since).count().min(unacknowledged);
    if since.len() + besides > profile.parity() {
        return Err(Refusal::TooFewRemain);
    }
    Ok(said.union(&since).copied().collect())
}

/// Whether the group has a run with one of these chunks. Runs are disjoint and lie in order of their
/// last chunk, so the first that ends at or behind `first` is the only one to look at.
fn is_taken(txn: &Txn<'_>, run: &WrittenRun, first: u64, last: u64) -> Result<bool, StoreError> {
    let from = (run.group, ChunkId::new(first)).bytes();
    let to = (run.group, ChunkId::new(u64::MAX)).bytes();
    let next = GROUP_RUNS.range(txn, &from, &to).next().transpose()?;
    Ok(next.is_some_and(|(_, row)| row.first.get() <= last))
}

/// Whether the runs are the blob's chunks from the first to the last, each once.
fn covers(profile: Profile, length: ByteCount, runs: &[WrittenRun]) -> bool {
    let chunk = (profile.segments_per_chunk() * SEGMENT) as u64;
    let mut next = 0;
    for run in runs {
        if run.first_index != next || run.chunks == 0 {
            return false;
        }
        next += u64::from(run.chunks);
    }
    length > ByteCount::ZERO && next == length.get().div_ceil(chunk)
}

fn overlap_each_other(runs: &[WrittenRun]) -> bool {
    let mut sorted: Vec<_> = runs
        .iter()
        .filter_map(|run| ends(run).map(|(first, last)| (run.group, first, last)))
        .collect();
    sorted.sort_unstable();
    sorted
        .windows(2)
        .any(|pair| pair[0].0 == pair[1].0 && pair[1].1 <= pair[0].2)
}

/// First and last chunk id of a run that has chunks and does not leave 64 bits.
fn ends(run: &WrittenRun) -> Option<(u64, u64)> {
    let first = run.first_chunk.get();
    let last = first.checked_add(u64::from(run.chunks).checked_sub(1)?)?;
    Some((first, last))
}
