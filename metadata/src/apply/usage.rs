//! Usage: what is in a bucket and in all buckets of a tenant, and how much may be.
//!
//! What makes or removes something that is counted changes the rows of its bucket and of the bucket's tenant in
//! the same transaction:
//!
//! ```text
//! rows as they are -> what goes is taken off, what comes is added -> within the quotas? -> written
//! ```
//!
//! While a bucket is [counted](super::count), only what lies where the count has been changes its row; the rest is
//! found as it is when the count gets there. What always holds: the row of a bucket says what its heads, uploads
//! and parts come to, as far as it is counted; a tenant's row is the sum of its buckets' rows; nothing that a
//! quota limits grows beyond it once all of that is counted. What shrinks is never refused, not even above a
//! quota that was set too low for what there was.

use super::{Applied, Stop};
use crate::reply::{Refusal, Reply};
use crate::store::StoreError;
use crate::tables::{
    BUCKET_USAGE, BUCKETS, BucketUsageRow, CountRow, HEADS, PARTS, Place, TENANT_USAGE,
    TenantUsageRow, UPLOAD_BYTES, USAGE_COUNT, UploadKey,
};
use crate::txn::{Rows, Txn};
use crate::uploads;
use types::id::{BucketId, TenantId, VersionId};
use types::name::ObjectKey;
use types::size::ByteCount;
use types::wire::usage::{Exceeded, Fits, Holder, Quota, QuotaChange, Usage};

/// Whether usage is kept. Until it is, no command touches a row of it: the one gate for servers that do not
/// know it, which `KeepUsage` opens on all of them at one entry of the log.
pub(super) fn on(rows: &impl Rows) -> Result<bool, StoreError> {
    USAGE_COUNT.contains(rows, &())
}

/// What a command does to usage. Decided, and not yet written.
#[must_use]
pub(super) struct Change {
    /// Rows of the bucket and its tenant; none where the bucket has none.
    kept: Option<Kept>,
    /// What the parts of an upload come to; none: the upload ends.
    upload: Option<(VersionId, Option<u64>)>,
}

struct Kept {
    bucket: BucketId,
    row: BucketUsageRow,
    tenant: TenantUsageRow,
    /// What bucket and tenant used before.
    before: (Usage, Usage),
    /// It comes to more than can be counted.
    too_much: bool,
}

/// A version becomes the one that a key shows, in place of the one that it shows.
pub(super) fn show(
    rows: &impl Rows,
    key: &(BucketId, ObjectKey),
    length: ByteCount,
) -> Result<Change, Stop> {
    let mut change = hide(rows, key)?;
    change.add(&object(&key.1), &Usage::of_object(length));
    change.admitted(rows)
}

/// Whether a key may come to show an object at all.
pub(super) fn room(rows: &impl Rows, key: &(BucketId, ObjectKey)) -> Result<(), Stop> {
    show(rows, key, ByteCount::ZERO).map(drop)
}

/// What a key shows goes.
pub(super) fn hide(rows: &impl Rows, key: &(BucketId, ObjectKey)) -> Result<Change, StoreError> {
    let mut change = Change::of(rows, key.0)?;
    if change.counts(&object(&key.1))
        && let Some(head) = HEADS.get(rows, key)?
    {
        change.take(&object(&key.1), &Usage::of_object(head.length))?;
    }
    Ok(change)
}

/// An upload begins.
pub(super) fn begin_upload(rows: &impl Rows, key: &UploadKey) -> Result<Change, Stop> {
    let mut change = Change::of(rows, key.0)?;
    change.add(&part_of(key, 0), &Usage::of_upload(0));
    change.admitted(rows)
}

/// A part comes, in place of the one of its number.
pub(super) fn part(
    rows: &impl Rows,
    key: &UploadKey,
    (upload, number): (VersionId, u32),
    length: ByteCount,
) -> Result<Change, Stop> {
    let place = part_of(key, number);
    let mut change = Change::of(rows, key.0)?;
    if !change.counts(&place) {
        return Ok(change);
    }
    let replaced = PARTS.get(rows, &(upload, number))?;
    let replaced = replaced.map_or(0, |part| part.length.get());
    let bytes = UPLOAD_BYTES.get(rows, &upload)?.unwrap_or(0);
    let rest = bytes.checked_sub(replaced).ok_or(StoreError::Damaged)?;
    change.take(&place, &Usage::of_parts(replaced))?;
    change.add(&place, &Usage::of_parts(length.get()));
    change.upload = Some((upload, rest.checked_add(length.get())));
    change.admitted(rows)
}

/// An upload ends, with all of its parts.
pub(super) fn end_upload(
    rows: &impl Rows,
    key: &UploadKey,
    upload: VersionId,
) -> Result<Change, StoreError> {
    let bytes = UPLOAD_BYTES.get(rows, &upload)?;
    let mut change = Change::of(rows, key.0)?;
    change.take(&part_of(key, 0), &Usage::of_upload(bytes.unwrap_or(0)))?;
    change.upload = bytes.map(|_| (upload, None));
    Ok(change)
}

/// An upload becomes an object of this length.
pub(super) fn complete(
    rows: &impl Rows,
    key: &UploadKey,
    upload: VersionId,
    length: ByteCount,
) -> Result<Change, Stop> {
    let mut change = end_upload(rows, key, upload)?;
    let place = object(&key.1);
    if change.counts(&place)
        && let Some(head) = HEADS.get(rows, &(key.0, key.1.clone()))?
    {
        change.take(&place, &Usage::of_object(head.length))?;
    }
    change.add(&place, &Usage::of_object(length));
    change.admitted(rows)
}

/// A bucket is made: there is nothing in it to be counted.
pub(super) fn begin_bucket(
    txn: &mut Txn<'_>,
    bucket: BucketId,
    tenant: TenantId,
) -> Result<(), StoreError> {
    if on(txn)? {
        let row = BucketUsageRow {
            tenant,
            used: Usage::default(),
            quota: Quota::default(),
            counted: None,
        };
        BUCKET_USAGE.put(txn, &bucket, &row);
    }
    Ok(())
}

/// A bucket is deleted, with uploads into it that are given up later.
pub(super) fn end_bucket(txn: &mut Txn<'_>, bucket: BucketId) -> Result<(), StoreError> {
    let Some(row) = BUCKET_USAGE.get(txn, &bucket)? else {
        return Ok(());
    };
    let tenant = TENANT_USAGE.get(txn, &row.tenant)?.unwrap_or_default();
    let used = tenant.used.minus(&row.used).ok_or(StoreError::Damaged)?;
    TENANT_USAGE.put(txn, &row.tenant, &TenantUsageRow { used, ..tenant });
    BUCKET_USAGE.delete(txn, &bucket);
    Ok(())
}

/// Sets a quota. A bucket that is not counted yet has one from then on, which holds once it is.
pub(super) fn set_quota(txn: &mut Txn<'_>, holder: Holder, change: QuotaChange) -> Applied {
    if !on(txn)? {
        return Err(Refusal::UsageNotKept.into());
    }
    let quota = match holder {
        Holder::Bucket(bucket) => {
            let mut row = bucket_row(txn, bucket)?;
            row.quota = change.over(row.quota);
            BUCKET_USAGE.put(txn, &bucket, &row);
            row.quota
        }
        Holder::Tenant(tenant) => {
            let mut row = TENANT_USAGE.get(txn, &tenant)?.unwrap_or_default();
            row.quota = change.over(row.quota);
            TENANT_USAGE.put(txn, &tenant, &row);
            row.quota
        }
    };
    Ok(Reply::Quota(quota))
}

/// The row of a bucket that there is: of one that the count has not come to, nothing is counted.
fn bucket_row(rows: &impl Rows, bucket: BucketId) -> Result<BucketUsageRow, Stop> {
    if let Some(row) = BUCKET_USAGE.get(rows, &bucket)? {
        return Ok(row);
    }
    let row = BUCKETS.get(rows, &bucket)?;
    let tenant = row.ok_or(Refusal::NoSuchBucket)?.bucket.tenant;
    Ok(uncounted(tenant))
}

/// The row of a bucket of which nothing is counted.
pub(super) fn uncounted(tenant: TenantId) -> BucketUsageRow {
    BucketUsageRow {
        tenant,
        used: Usage::default(),
        quota: Quota::default(),
        counted: Some(Place::Start),
    }
}

/// Why a body would not be admitted now, if it would not.
///
/// # Errors
/// When the store is broken.
pub fn fits(rows: &impl Rows, asked: &Fits) -> Result<Option<Exceeded>, StoreError> {
    let decided = match asked.part {
        None => show(rows, &(asked.bucket, asked.key.clone()), asked.length),
        Some((upload, number)) => {
            let Some((key, _)) = uploads::find(rows, asked.bucket, &asked.key, upload)? else {
                return Ok(None);
            };
            part(rows, &key, (upload, number), asked.length)
        }
    };
    match decided {
        Err(Stop::Refused(Refusal::QuotaExceeded(exceeded))) => Ok(Some(exceeded)),
        Err(Stop::Broken(error)) => Err(error),
        Ok(_) | Err(Stop::Refused(_)) => Ok(None),
    }
}

impl Change {
    fn of(rows: &impl Rows, bucket: BucketId) -> Result<Self, StoreError> {
        let upload = None;
        let Some(row) = BUCKET_USAGE.get(rows, &bucket)? else {
            return Ok(Self { kept: None, upload });
        };
        let tenant = TENANT_USAGE.get(rows, &row.tenant)?.unwrap_or_default();
        let kept = Some(Kept {
            bucket,
            before: (row.used, tenant.used),
            row,
            tenant,
            too_much: false,
        });
        Ok(Self { kept, upload })
    }

    /// Whether what is at that place is counted.
    fn counts(&self, place: &Place) -> bool {
        let counted = self.kept.as_ref().map(|kept| kept.row.counted.as_ref());
        counted.is_some_and(|counted| counted.is_none_or(|counted| place <= counted))
    }

    /// What was counted at a place goes.
    fn take(&mut self, place: &Place, less: &Usage) -> Result<(), StoreError> {
        if self.counts(place)
            && let Some(kept) = &mut self.kept
        {
            kept.row.used = kept.row.used.minus(less).ok_or(StoreError::Damaged)?;
            let left = kept.tenant.used.minus(less);
            kept.tenant.used = left.ok_or(StoreError::Damaged)?;
        }
        Ok(())
    }

    /// Something comes at a place.
    fn add(&mut self, place: &Place, more: &Usage) {
        if self.counts(place)
            && let Some(kept) = &mut self.kept
        {
            match (kept.row.used.plus(more), kept.tenant.used.plus(more)) {
                (Some(bucket), Some(tenant)) => {
                    (kept.row.used, kept.tenant.used) = (bucket, tenant);
                }
                _ => kept.too_much = true,
            }
        }
    }

    /// Itself, unless a quota leaves no room for it.
    fn admitted(self, rows: &impl Rows) -> Result<Self, Stop> {
        let Some(kept) = &self.kept else {
            return Ok(self);
        };
        if kept.too_much {
            return Err(Refusal::QuotaExceeded(Exceeded::BucketBytes).into());
        }
        let (bucket, tenant) = &kept.before;
        if kept.row.counted.is_none() {
            let of = [Exceeded::BucketBytes, Exceeded::BucketObjects];
            within(kept.row.quota, bucket, &kept.row.used, of)?;
        }
        if kept.tenant.quota != Quota::default() && all_counted(rows)? {
            let of = [Exceeded::TenantBytes, Exceeded::TenantObjects];
            within(kept.tenant.quota, tenant, &kept.tenant.used, of)?;
        }
        Ok(self)
    }

    /// At most three rows.
    pub(super) fn write(self, txn: &mut Txn<'_>) {
        if let Some(kept) = self.kept {
            BUCKET_USAGE.put(txn, &kept.bucket, &kept.row);
            TENANT_USAGE.put(txn, &kept.row.tenant, &kept.tenant);
        }
        match self.upload {
            Some((upload, Some(bytes))) if bytes > 0 => UPLOAD_BYTES.put(txn, &upload, &bytes),
            Some((upload, _)) => UPLOAD_BYTES.delete(txn, &upload),
            None => {}
        }
    }
}

/// Refused where it grows beyond a quota: bytes, or objects.
fn within(
    quota: Quota,
    before: &Usage,
    after: &Usage,
    [bytes, objects]: [Exceeded; 2],
) -> Result<(), Refusal> {
    let beyond = |most: Option<u64>, before: u64, after: u64| {
        most.is_some_and(|most| after > most && after > before)
    };
    if beyond(quota.bytes, before.held_bytes(), after.held_bytes()) {
        Err(Refusal::QuotaExceeded(bytes))
    } else if beyond(quota.objects, before.versions, after.versions) {
        Err(Refusal::QuotaExceeded(objects))
    } else {
        Ok(())
    }
}

fn all_counted(rows: &impl Rows) -> Result<bool, StoreError> {
    Ok(USAGE_COUNT.get(rows, &())? == Some(CountRow::Counted))
}

fn object(key: &ObjectKey) -> Place {
    let key = key.clone();
    Place::Object { key }
}

/// A part of an upload; number 0: the upload itself.
fn part_of((_, key, began): &UploadKey, number: u32) -> Place {
    Place::Part {
        key: key.clone(),
        began: *began,
        number,
    }
}
