//! The count: what there was before usage was kept.
//!
//! ```text
//! KeepUsage: the buckets that there are become to be counted, new ones are from their first byte
//! CountUsage: the next rows of the first bucket that is not counted yet, then of the next bucket
//! ```
//!
//! It is done by commands in the log, so that every server counts the same rows at the same entry, and goes on
//! while objects come and go: a bucket's row says how far it is counted ([`Place`]), and what changes before that
//! place changes the row, too.

use super::usage::{on, uncounted};
use super::{Applied, levels};
use crate::level;
use crate::reply::Reply;
use crate::store::StoreError;
use crate::tables::{
    BUCKET_USAGE, BUCKETS, CountRow, HEADS, PARTS, Place, TENANT_USAGE, TableKey, TenantUsageRow,
    UPLOAD_BYTES, UPLOADS, USAGE_COUNT, UploadKey, after_all, unescape, unupload,
};
use crate::txn::Txn;
use crate::uploads::part_number;
use types::id::{BucketId, TenantId};
use types::size::ByteCount;
use types::wire::usage::Usage;

/// Most rows that one command looks at, and so most that it changes but for the count's own.
pub const COUNTED_AT_MOST: u32 = 900;
/// Of fewer nothing would come.
pub const COUNTED_AT_LEAST: u32 = 3;
/// What a bucket takes of them itself: its row, and its tenant's.
const ROWS_OF_BUCKET: usize = 2;
/// Behind the last part of an upload.
const WHOLE: u32 = u32::MAX;

/// Usage is kept from now on.
pub(super) fn keep(txn: &mut Txn<'_>) -> Applied {
    levels::needs(txn, level::USAGE)?;
    if !on(txn)? {
        let from = BucketId::new(0);
        let row = match next_bucket(txn, from)? {
            Some(_) => CountRow::Counting { from },
            None => CountRow::Counted,
        };
        USAGE_COUNT.put(txn, &(), &row);
    }
    Ok(Reply::Done)
}

/// Counts on, over so many rows.
pub(super) fn count(txn: &mut Txn<'_>, rows: u32) -> Applied {
    let Some(CountRow::Counting { mut from }) = USAGE_COUNT.get(txn, &())? else {
        return Ok(Reply::Done);
    };
    let rows = rows.clamp(COUNTED_AT_LEAST, COUNTED_AT_MOST);
    let mut left = rows as usize;
    let row = loop {
        let Some((bucket, tenant)) = next_bucket(txn, from)? else {
            break CountRow::Counted;
        };
        if left <= ROWS_OF_BUCKET {
            break CountRow::Counting { from };
        }
        left -= ROWS_OF_BUCKET;
        if !count_bucket(txn, bucket, tenant, &mut left)? {
            break CountRow::Counting { from: bucket };
        }
        from = BucketId::new(bucket.get() + 1);
    };
    USAGE_COUNT.put(txn, &(), &row);
    Ok(Reply::Done)
}

/// The first bucket from an id on, and its tenant.
fn next_bucket(txn: &Txn<'_>, from: BucketId) -> Result<Option<(BucketId, TenantId)>, StoreError> {
    let to = BucketId::new(u64::MAX).bytes();
    let row = BUCKETS.range(txn, &from.bytes(), &to).next().transpose()?;
    Ok(row.map(|(_, row)| (row.bucket.id, row.bucket.tenant)))
}

/// Counts on in a bucket, as far as the rows that are left allow; whether that is to its end.
fn count_bucket(
    txn: &mut Txn<'_>,
    bucket: BucketId,
    tenant: TenantId,
    left: &mut usize,
) -> Result<bool, StoreError> {
    let row = BUCKET_USAGE.get(txn, &bucket)?;
    let mut row = row.unwrap_or_else(|| uncounted(tenant));
    let Some(place) = row.counted.take() else {
        return Ok(true);
    };
    let mut walk = Walk {
        bucket,
        place,
        found: Usage::default(),
    };
    let done = walk.objects(txn, left)? && walk.uploads(txn, left)?;
    row.used = plus(&row.used, &walk.found)?;
    row.counted = (!done).then_some(walk.place);
    let sum = TENANT_USAGE.get(txn, &tenant)?.unwrap_or_default();
    let used = plus(&sum.used, &walk.found)?;
    TENANT_USAGE.put(txn, &tenant, &TenantUsageRow { used, ..sum });
    BUCKET_USAGE.put(txn, &bucket, &row);
    Ok(done)
}

/// How far one command has come in a bucket.
struct Walk {
    bucket: BucketId,
    place: Place,
    found: Usage,
}

impl Walk {
    /// Goes on over the objects; whether to their end.
    fn objects(&mut self, txn: &Txn<'_>, left: &mut usize) -> Result<bool, StoreError> {
        if self.place >= Place::Objects {
            return Ok(true);
        }
        let prefix = self.bucket.bytes();
        let from = match &self.place {
            Place::Object { key } => behind(&(self.bucket, key.clone())),
            _ => prefix.clone(),
        };
        let to = after_all(&prefix).ok_or(StoreError::Damaged)?;
        let mut seen = 0;
        for row in HEADS.range(txn, &from, &to).take(*left) {
            let (row_key, head) = row?;
            let escaped = row_key.get(prefix.len()..).unwrap_or_default();
            let key = unescape(escaped).ok_or(StoreError::Damaged)?;
            self.found = plus(&self.found, &Usage::of_object(head.length))?;
            self.place = Place::Object { key };
            seen += 1;
        }
        let done = seen < *left;
        *left -= seen;
        if done {
            self.place = Place::Objects;
        }
        Ok(done)
    }

    /// Goes on over the uploads and their parts; whether to their end.
    fn uploads(&mut self, txn: &mut Txn<'_>, left: &mut usize) -> Result<bool, StoreError> {
        while *left > 0 {
            let (key, number) = match &self.place {
                Place::Part { key, began, number } if *number < WHOLE => {
                    ((self.bucket, key.clone(), *began), *number)
                }
                _ => match self.next_upload(txn)? {
                    None => return Ok(true),
                    Some(key) => {
                        self.found = plus(&self.found, &Usage::of_upload(0))?;
                        *left -= 1;
                        (key, 0)
                    }
                },
            };
            let number = self.parts(txn, &key, number, left)?;
            let (_, key, began) = key;
            self.place = Place::Part { key, began, number };
        }
        Ok(false)
    }

    /// The first upload behind the place.
    fn next_upload(&self, txn: &Txn<'_>) -> Result<Option<UploadKey>, StoreError> {
        let prefix = self.bucket.bytes();
        let from = match &self.place {
            Place::Part { key, began, .. } => behind(&(self.bucket, key.clone(), *began)),
            _ => prefix.clone(),
        };
        let to = after_all(&prefix).ok_or(StoreError::Damaged)?;
        let row = UPLOADS.range(txn, &from, &to).next().transpose()?;
        let key = row.map(|(row_key, _)| unupload(&row_key).ok_or(StoreError::Damaged));
        key.transpose()
    }

    /// Counts parts of an upload behind a number; the number that it came to.
    fn parts(
        &mut self,
        txn: &mut Txn<'_>,
        key: &UploadKey,
        behind: u32,
        left: &mut usize,
    ) -> Result<u32, StoreError> {
        // One that ended since the count began with it was taken off then.
        let Some(row) = UPLOADS.get(txn, key)? else {
            return Ok(WHOLE);
        };
        let (from, to) = (
            (row.upload, behind + 1).bytes(),
            (row.upload, WHOLE).bytes(),
        );
        let (mut seen, mut bytes, mut number) = (0, ByteCount::ZERO, behind);
        for part in PARTS.range(txn, &from, &to).take(*left) {
            let (row_key, part) = part?;
            number = part_number(&row_key)?;
            bytes = bytes + part.length;
            seen += 1;
        }
        let done = seen < *left;
        *left -= seen;
        if bytes > ByteCount::ZERO {
            let bytes = bytes.get();
            self.found = plus(&self.found, &Usage::of_parts(bytes))?;
            let before = UPLOAD_BYTES.get(txn, &row.upload)?.unwrap_or(0);
            let sum = before.checked_add(bytes).ok_or(StoreError::Damaged)?;
            UPLOAD_BYTES.put(txn, &row.upload, &sum);
        }
        Ok(if done { WHOLE } else { number })
    }
}

/// The first key behind a row's.
fn behind(key: &impl TableKey) -> Vec<u8> {
    let mut bytes = key.bytes();
    bytes.push(0);
    bytes
}

fn plus(sum: &Usage, more: &Usage) -> Result<Usage, StoreError> {
    sum.plus(more).ok_or(StoreError::Damaged)
}
