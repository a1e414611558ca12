//! Tags: those of a version live and die with it, those of a bucket with the bucket.
//!
//! They come sealed for the version or bucket, and stay so. A version that has none has no row.

use super::Applied;
use super::namespace::next_revision;
use crate::command::{SealedTags, SetBucketTags, SetTags};
use crate::reply::{Refusal, Reply};
use crate::tables::{BUCKET_TAGS, BUCKETS, HEADS, HeadRow, TAGS};
use crate::txn::Txn;
use types::id::VersionId;

pub(super) fn set(txn: &mut Txn<'_>, set: &SetTags) -> Applied {
    let bucket = BUCKETS.get(txn, &set.bucket)?;
    let bucket = bucket.ok_or(Refusal::NoSuchBucket)?;
    if !bucket.live_keks.contains(&set.kek_version) {
        return Err(Refusal::KekRetired.into());
    }
    let key = (set.bucket, set.key.clone());
    let mut head = HEADS.get(txn, &key)?.ok_or(Refusal::NoSuchObject)?;
    if head.version != set.version {
        return Err(Refusal::HeadMoved.into());
    }
    next_revision(txn)?;
    drop(txn, &head);
    head.tag_count = put(txn, head.version, set.tags.as_ref());
    HEADS.put(txn, &key, &head);
    Ok(Reply::Done)
}

pub(super) fn set_of_bucket(txn: &mut Txn<'_>, set: &SetBucketTags) -> Applied {
    let bucket = BUCKETS.get(txn, &set.bucket)?;
    let bucket = bucket.ok_or(Refusal::NoSuchBucket)?;
    if !bucket.live_keks.contains(&set.kek_version) {
        return Err(Refusal::KekRetired.into());
    }
    next_revision(txn)?;
    match &set.sealed {
        Some(sealed) => BUCKET_TAGS.put(txn, &set.bucket, sealed),
        None => BUCKET_TAGS.delete(txn, &set.bucket),
    }
    Ok(Reply::Done)
}

/// Writes the tags of a version that has none yet; how many there are.
pub(super) fn put(txn: &mut Txn<'_>, version: VersionId, tags: Option<&SealedTags>) -> u32 {
    let Some(tags) = tags.filter(|tags| tags.count > 0) else {
        return 0;
    };
    TAGS.put(txn, &version, &tags.sealed);
    tags.count
}

/// Removes the tags of a version.
pub(super) fn drop(txn: &mut Txn<'_>, head: &HeadRow) {
    if head.tag_count > 0 {
        TAGS.delete(txn, &head.version);
    }
}
