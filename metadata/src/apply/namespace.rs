//! Commands of the namespace half: which function does which, and buckets and groups.
//!
//! Nothing here reads a table of the cluster half: what is needed of it comes in the command.

use super::{
    Applied, Stop, copy, count, held, numbered, objects, reclaim, repairs, sessions, sweep, tags,
    take_ids, uploads, usage,
};
use crate::asked::Asked;
use crate::command::{LearntGroup, MakeBucket, NamespaceCommand};
use crate::reply::{Refusal, Reply};
use crate::store::StoreError;
use crate::tables::{
    BUCKET_IDS, BUCKET_NAMES, BUCKET_TAGS, BUCKETS, BucketIdRow, BucketRow, GROUP_EPOCHS,
    GroupEpochRow, HEADS, NAMESPACE_COUNTERS, NAMESPACE_INCARNATION, NamespaceId, REVISION,
    TableKey,
};
use crate::txn::{Rows, Txn};
use types::id::{BucketId, GroupId};
use types::placement::{Epoch, Slot};
use types::wire::metadata::{Bucket, WallTime};

pub(super) fn apply(txn: &mut Txn<'_>, wall: WallTime, command: &NamespaceCommand) -> Applied {
    match command {
        NamespaceCommand::OpenSession { gateway } => sessions::open(txn, *gateway),
        NamespaceCommand::RenewSession { session } => sessions::renew(txn, *session),
        NamespaceCommand::OpenLease { session } => sessions::open_lease(txn, *session),
        NamespaceCommand::CloseLease { session, lease } => {
            sessions::close_lease(txn, *session, *lease)
        }
        NamespaceCommand::ReserveBlobIds { count } => reserve(txn, NamespaceId::Blob, *count),
        NamespaceCommand::ReserveBucketId => reserve_bucket_id(txn),
        NamespaceCommand::RetireBucketId { bucket } => retire_bucket_id(txn, *bucket),
        NamespaceCommand::ForgetBucketId { bucket } => forget_bucket_id(txn, *bucket),
        NamespaceCommand::ReleaseDeletions => held::release(txn),
        NamespaceCommand::LearnGroups { groups } => learn_groups(txn, groups),
        NamespaceCommand::RaiseEpoch {
            group,
            epoch,
            slots,
        } => raise_epoch(txn, *group, *epoch, slots),
        NamespaceCommand::MakeBucket(make) => {
            let asked = Asked::create_bucket(&make.request);
            numbered::once(txn, &make.request.request, asked, |txn| {
                make_bucket(txn, wall, make)
            })
        }
        NamespaceCommand::DeleteBucket(delete) => {
            let asked = Asked::delete_bucket(delete);
            numbered::once(txn, &delete.request, asked, |txn| {
                delete_bucket(txn, delete.bucket)
            })
        }
        NamespaceCommand::ChangeOwner { bucket, from, to } => change_owner(txn, *bucket, from, to),
        NamespaceCommand::Commit(commit) => {
            let asked = Asked::commit(commit);
            numbered::once(txn, &commit.request, asked, |txn| {
                objects::commit(txn, wall, commit)
            })
        }
        NamespaceCommand::DeleteObject(delete) => {
            let asked = Asked::delete_object(delete);
            numbered::once(txn, &delete.request, asked, |txn| {
                objects::delete(txn, delete)
            })
        }
        NamespaceCommand::CreateUpload(create) => {
            let asked = Asked::create_upload(create);
            numbered::once(txn, &create.request, asked, |txn| {
                uploads::create(txn, wall, create)
            })
        }
        NamespaceCommand::CommitPart(part) => {
            let asked = Asked::commit_part(part);
            numbered::once(txn, &part.request, asked, |txn| {
                uploads::commit_part(txn, wall, part)
            })
        }
        NamespaceCommand::CompleteUpload(complete) => {
            let asked = Asked::complete_upload(complete);
            numbered::once(txn, &complete.request, asked, |txn| {
                uploads::complete(txn, wall, complete)
            })
        }
        NamespaceCommand::AbortUpload(abort) => {
            let asked = Asked::abort_upload(abort);
            numbered::once(txn, &abort.request, asked, |txn| uploads::abort(txn, abort))
        }
        NamespaceCommand::ExpireUploads { began_before_ms } => {
            uploads::expire(txn, *began_before_ms)
        }
        NamespaceCommand::ClearBucket { bucket } => uploads::clear_bucket(txn, *bucket),
        NamespaceCommand::Sweep {
            kind,
            since_ms,
            version,
        } => sweep::sweep(txn, *kind, *since_ms, *version),
        NamespaceCommand::SetTags(set) => {
            let asked = Asked::set_tags(set.bucket, &set.key);
            numbered::once(txn, &set.request, asked, |txn| tags::set(txn, set))
        }
        NamespaceCommand::SetBucketTags(set) => {
            let asked = Asked::set_bucket_tags(set.bucket);
            numbered::once(txn, &set.request, asked, |txn| {
                tags::set_of_bucket(txn, set)
            })
        }
        NamespaceCommand::CopyObject(copy) => {
            let asked = Asked::copy_object(&copy.source, copy.bucket, &copy.key, copy.version);
            numbered::once(txn, &copy.request, asked, |txn| {
                copy::object(txn, wall, copy)
            })
        }
        NamespaceCommand::CopyPart(copy) => {
            let asked = Asked::copy_part(copy);
            numbered::once(txn, &copy.request, asked, |txn| copy::part(txn, wall, copy))
        }
        NamespaceCommand::Condemn { died_before_ms } => reclaim::condemn(txn, *died_before_ms),
        NamespaceCommand::Deleted { slots } => reclaim::deleted(txn, slots),
        NamespaceCommand::Forget { died_before_ms } => reclaim::forget(txn, *died_before_ms),
        NamespaceCommand::RecordMissing { slots } => repairs::record(txn, slots),
        NamespaceCommand::RecordSlot { group, slot, from } => {
            repairs::record_slot(txn, *group, *slot, *from)
        }
        NamespaceCommand::ClearRepairs { done } => repairs::clear(txn, done),
        NamespaceCommand::KeepUsage => count::keep(txn),
        NamespaceCommand::CountUsage { rows } => count::count(txn, *rows),
        NamespaceCommand::SetQuota { holder, change } => usage::set_quota(txn, *holder, *change),
    }
}

fn reserve_bucket_id(txn: &mut Txn<'_>) -> Applied {
    let first = take(txn, NamespaceId::Bucket, 1)?;
    let since_ms = sessions::now(txn)?;
    let row = BucketIdRow::Reserved { since_ms };
    BUCKET_IDS.put(txn, &BucketId::new(first), &row);
    Ok(Reply::Ids { first, count: 1 })
}

fn retire_bucket_id(txn: &mut Txn<'_>, bucket: BucketId) -> Applied {
    if !BUCKET_IDS.contains(txn, &bucket)? {
        return Err(Refusal::IdNotReserved.into());
    }
    BUCKET_IDS.put(txn, &bucket, &BucketIdRow::Retired);
    Ok(Reply::Done)
}

/// An id that was forgotten before is fine: two who destroyed its keys both say so.
fn forget_bucket_id(txn: &mut Txn<'_>, bucket: BucketId) -> Applied {
    match BUCKET_IDS.get(txn, &bucket)? {
        Some(BucketIdRow::Reserved { .. }) => Err(Refusal::IdNotReserved.into()),
        Some(BucketIdRow::Retired) | None => {
            BUCKET_IDS.delete(txn, &bucket);
            Ok(Reply::Done)
        }
    }
}

fn make_bucket(txn: &mut Txn<'_>, wall: WallTime, make: &MakeBucket) -> Applied {
    let request = &make.request;
    let name = (request.name.clone(), request.label.digest());
    if let Some(taken) = BUCKET_NAMES.get(txn, &name)? {
        let owner = BUCKETS.get(txn, &taken)?.map(|row| row.bucket.owner);
        let owner = owner.unwrap_or_default();
        return Err(Refusal::BucketExists { owner }.into());
    }
    let reserved = BUCKET_IDS.get(txn, &make.bucket)?;
    if !matches!(reserved, Some(BucketIdRow::Reserved { .. })) {
        return Err(Refusal::IdNotReserved.into());
    }
    let bucket = Bucket {
        id: make.bucket,
        tenant: request.tenant,
        owner: request.owner.clone(),
        name: request.name.clone(),
        label: request.label.clone(),
        profile: request.profile.unwrap_or(make.default_profile),
        created: wall,
    };
    let row = BucketRow {
        bucket: bucket.clone(),
        kek_version: make.kek_version,
        live_keks: vec![make.kek_version],
        born: next_revision(txn)?,
    };
    BUCKET_IDS.delete(txn, &make.bucket);
    BUCKETS.put(txn, &make.bucket, &row);
    BUCKET_NAMES.put(txn, &name, &make.bucket);
    usage::begin_bucket(txn, make.bucket, request.tenant)?;
    Ok(Reply::Bucket(bucket))
}

fn delete_bucket(txn: &mut Txn<'_>, id: BucketId) -> Applied {
    let row = BUCKETS.get(txn, &id)?.ok_or(Refusal::NoSuchBucket)?;
    if HEADS.scan(txn, &id.bytes()).next().transpose()?.is_some() {
        return Err(Refusal::BucketNotEmpty.into());
    }
    uploads::leave(txn, id)?;
    usage::end_bucket(txn, id)?;
    BUCKETS.delete(txn, &id);
    BUCKET_TAGS.delete(txn, &id);
    BUCKET_IDS.put(txn, &id, &BucketIdRow::Retired);
    BUCKET_NAMES.delete(txn, &(row.bucket.name, row.bucket.label.digest()));
    next_revision(txn)?;
    Ok(Reply::Done)
}

/// Who asks again for what was done is answered again.
fn change_owner(txn: &mut Txn<'_>, id: BucketId, from: &str, to: &str) -> Applied {
    let mut row = BUCKETS.get(txn, &id)?.ok_or(Refusal::NoSuchBucket)?;
    if row.bucket.owner == to {
        return Ok(Reply::Done);
    }
    if row.bucket.owner != from {
        return Err(Refusal::OwnerChanged.into());
    }
    row.bucket.owner = to.to_owned();
    BUCKETS.put(txn, &id, &row);
    next_revision(txn)?;
    Ok(Reply::Done)
}

fn learn_groups(txn: &mut Txn<'_>, groups: &[LearntGroup]) -> Applied {
    if groups.len() > super::cluster::MAX_GROUPS {
        return Err(Refusal::TooLarge.into());
    }
    for learnt in groups {
        if !GROUP_EPOCHS.contains(txn, &learnt.group)? {
            let row = GroupEpochRow {
                epoch: learnt.epoch,
                profile: learnt.profile,
                changed: vec![learnt.epoch; learnt.profile.shards()],
            };
            GROUP_EPOCHS.put(txn, &learnt.group, &row);
        }
    }
    Ok(Reply::Done)
}

fn raise_epoch(txn: &mut Txn<'_>, group: GroupId, epoch: Epoch, slots: &[Slot]) -> Applied {
    let row = GROUP_EPOCHS.get(txn, &group)?;
    let mut row = row.ok_or(Refusal::UnknownGroup)?;
    if slots.len() > row.changed.len() {
        return Err(Refusal::TooLarge.into());
    }
    if epoch <= row.epoch {
        return Err(Refusal::EpochNotRaised { current: row.epoch }.into());
    }
    row.epoch = epoch;
    for slot in slots {
        let changed = row.changed.get_mut(usize::from(slot.0));
        *changed.ok_or(Refusal::BadGroup)? = epoch;
    }
    GROUP_EPOCHS.put(txn, &group, &row);
    Ok(Reply::Done)
}

fn reserve(txn: &mut Txn<'_>, kind: NamespaceId, count: u32) -> Applied {
    let first = take(txn, kind, u64::from(count))?;
    Ok(Reply::Ids { first, count })
}

/// Takes `count` ids; the first.
pub(super) fn take(txn: &mut Txn<'_>, kind: NamespaceId, count: u64) -> Result<u64, Stop> {
    let next = NAMESPACE_COUNTERS.get(txn, &kind)?;
    let (first, after) = take_ids(incarnation(txn)?, next, count)?;
    NAMESPACE_COUNTERS.put(txn, &kind, &after);
    Ok(first)
}

/// How many restores from a backup the namespace has seen.
pub(super) fn incarnation(rows: &impl Rows) -> Result<u8, StoreError> {
    Ok(NAMESPACE_INCARNATION.get(rows, &())?.unwrap_or(0))
}

/// Raises the namespace's revision; the new one.
pub(super) fn next_revision(txn: &mut Txn<'_>) -> Result<u64, StoreError> {
    let revision = REVISION.get(txn, &())?.unwrap_or(0) + 1;
    REVISION.put(txn, &(), &revision);
    Ok(revision)
}
