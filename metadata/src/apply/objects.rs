//! Objects: a commit is checked against every fence, then written as a whole; a blob whose last
//! reference goes is dead for good.

use super::namespace::next_revision;
use super::sessions::now;
use super::{Applied, Stop, handed_out};
use crate::command::{Commit, CommittedPlace};
use crate::reply::{Refusal, Reply};
use crate::store::StoreError;
use crate::tables::{
    BLOBS, BUCKETS, BlobPlace, BlobRow, ExtentRow, GROUP_EPOCHS, GROUP_RUNS, GroupEpochRow,
    GroupRunRow, HEADS, HeadRow, INLINE, LEASES, NAMESPACE_COUNTERS, NamespaceId, RECLAIMS,
    REPAIRS, ReclaimRow, RepairRow, TableKey, VERSIONS, VersionRow,
};
use crate::txn::Txn;
use std::collections::BTreeSet;
use types::block::{SEAL_OVERHEAD, SEGMENT};
use types::id::{BucketId, ChunkId, SessionId};
use types::manifest::{INLINE_LIMIT, Run};
use types::name::ObjectKey;
use types::placement::Slot;
use types::profile::Profile;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{DeleteObject, WallTime, WrittenRun};

/// Most runs of one blob.
pub const MAX_RUNS: usize = 256;
/// Most rows that a commit writes for its runs.
pub const MAX_COMMIT_ROWS: usize = 900;

pub(super) fn commit(txn: &mut Txn<'_>, wall: WallTime, commit: &Commit) -> Applied {
    let place = admit(txn, commit)?;
    let born = next_revision(txn)?;
    let key = (commit.bucket, commit.key.clone());
    supersede(txn, &key, born)?;
    write_blob(txn, commit, place, born);
    let version = VersionRow {
        born,
        superseded: None,
    };
    VERSIONS.put(txn, &commit.version, &version);
    let extent = ExtentRow {
        blob: commit.blob,
        offset: ByteOffset::ZERO,
        length: commit.length,
        part: 0,
        wrap: commit.wrap.clone(),
    };
    let head = HeadRow {
        version: commit.version,
        born,
        modified: wall,
        length: commit.length,
        attributes: commit.attributes.clone(),
        extents: vec![extent],
    };
    HEADS.put(txn, &key, &head);
    Ok(Reply::Committed { modified: wall })
}

pub(super) fn delete(txn: &mut Txn<'_>, delete: &DeleteObject) -> Applied {
    if !BUCKETS.contains(txn, &delete.bucket)? {
        return Err(Refusal::NoSuchBucket.into());
    }
    let key = (delete.bucket, delete.key.clone());
    if HEADS.contains(txn, &key)? {
        let revision = next_revision(txn)?;
        supersede(txn, &key, revision)?;
        HEADS.delete(txn, &key);
    }
    Ok(Reply::Done)
}

/// Checks a commit against every fence. Where its bytes will be said to be.
fn admit(txn: &Txn<'_>, commit: &Commit) -> Result<BlobPlace, Stop> {
    let bucket = BUCKETS.get(txn, &commit.bucket)?;
    let bucket = bucket.ok_or(Refusal::NoSuchBucket)?;
    if !bucket.live_keks.contains(&commit.kek_version) {
        return Err(Refusal::KekRetired.into());
    }
    if commit.wrap_expires_ms <= now(txn)? {
        return Err(Refusal::WrapExpired.into());
    }
    if VERSIONS.contains(txn, &commit.version)? {
        return Err(Refusal::VersionExists.into());
    }
    let next = NAMESPACE_COUNTERS.get(txn, &NamespaceId::Blob)?;
    if !handed_out(next, commit.blob.get()) || BLOBS.contains(txn, &commit.blob)? {
        return Err(Refusal::BlobNotFresh.into());
    }
    match &commit.place {
        CommittedPlace::Inline { sealed } => {
            let sealed_length = commit.length.get().checked_add(SEAL_OVERHEAD as u64);
            if commit.length.get() > INLINE_LIMIT || sealed_length != Some(sealed.len() as u64) {
                return Err(Refusal::BadInline.into());
            }
            Ok(BlobPlace::Inline)
        }
        CommittedPlace::Runs { profile, runs } => {
            let runs = admit_runs(txn, commit, *profile, runs)?;
            let profile = *profile;
            Ok(BlobPlace::Runs { profile, runs })
        }
    }
}

fn admit_runs(
    txn: &Txn<'_>,
    commit: &Commit,
    profile: Profile,
    written: &[WrittenRun],
) -> Result<Vec<Run>, Stop> {
    if written.len() > MAX_RUNS {
        return Err(Refusal::TooLarge.into());
    }
    if !covers(profile, commit.length, written) {
        return Err(Refusal::BadRuns.into());
    }
    if overlap_each_other(written) {
        return Err(Refusal::RunOverlaps.into());
    }
    let mut runs = Vec::with_capacity(written.len());
    for run in written {
        let missing = admit_run(txn, commit.request.session, profile, run)?;
        runs.push(Run {
            group: run.group,
            first_chunk: run.first_chunk,
            chunks: run.chunks,
            first_index: run.first_index,
            missing,
        });
    }
    let rows: usize = runs.iter().map(|run| 1 + run.missing.len()).sum();
    if rows > MAX_COMMIT_ROWS {
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

fn write_blob(txn: &mut Txn<'_>, commit: &Commit, place: BlobPlace, born: u64) {
    if let CommittedPlace::Inline { sealed } = &commit.place {
        INLINE.put(txn, &commit.blob, sealed);
    }
    if let BlobPlace::Runs { runs, .. } = &place {
        for run in runs {
            let last = run.first_chunk.plus(u64::from(run.chunks) - 1);
            let row = GroupRunRow {
                first: run.first_chunk,
                blob: commit.blob,
            };
            GROUP_RUNS.put(txn, &(run.group, last), &row);
            let repair = RepairRow {
                chunks: run.chunks,
                blob: commit.blob,
                born,
            };
            for slot in &run.missing {
                REPAIRS.put(txn, &(run.group, run.first_chunk, *slot), &repair);
            }
        }
    }
    let row = BlobRow {
        length: commit.length,
        references: 1,
        generation: 1,
        place,
    };
    BLOBS.put(txn, &commit.blob, &row);
}

/// Ends the version that the key shows, if it shows one. What it alone referred to is dead.
fn supersede(
    txn: &mut Txn<'_>,
    key: &(BucketId, ObjectKey),
    revision: u64,
) -> Result<(), StoreError> {
    let Some(head) = HEADS.get(txn, key)? else {
        return Ok(());
    };
    let version = VersionRow {
        born: head.born,
        superseded: Some(revision),
    };
    VERSIONS.put(txn, &head.version, &version);
    let now_ms = now(txn)?;
    for extent in head.extents {
        let Some(mut blob) = BLOBS.get(txn, &extent.blob)? else {
            continue;
        };
        blob.references = blob.references.saturating_sub(1);
        BLOBS.put(txn, &extent.blob, &blob);
        if blob.references == 0 {
            let row = ReclaimRow { born: revision };
            RECLAIMS.put(txn, &(now_ms, extent.blob), &row);
        }
    }
    Ok(())
}
