//! What only reads: lookups, listings, buckets, the group table.

use super::{Inner, damaged, lock, millis};
use crate::keys::BucketKey;
use crate::list::{self, Entry, MAX_ENTRIES};
use crate::locate::{self, Found, FoundExtent};
use crate::manifest::FoundRow;
use crate::store::{Store, StoreError};
use crate::tables::{BUCKET_NAMES, BUCKETS, DISKS, GROUP_TABLE_VERSION, GROUPS, HeadRow, TableKey};
use crate::txn::Rows;
use seal::wrap::ReferenceContext;
use seal::{row, wrap};
use std::collections::HashMap;
use std::sync::Arc;
use types::attributes::{Attributes, Checksum, ChecksumAlgorithm, ChecksumKind};
use types::id::{BucketId, VersionId};
use types::manifest::LocatedExtent;
use types::name::{BucketName, ObjectKey};
use types::placement::GroupTable;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{
    Bucket, List, ListEntry, ListPage, Located, Lookup, MAX_LOOKUPS, MetadataError, WallTime,
};

impl Inner {
    pub(super) async fn lookup(&self, request: Lookup) -> Result<Located, MetadataError> {
        let (request, found) = self
            .read(move |store| {
                let found = locate::locate(store, &request)?;
                Ok((request, found))
            })
            .await?;
        self.located(&request, found?).await
    }

    /// Many lookups, which see the rows of one moment after one round.
    pub(super) async fn lookups(
        &self,
        requests: Vec<Lookup>,
    ) -> Result<Vec<Result<Located, MetadataError>>, MetadataError> {
        if requests.len() > MAX_LOOKUPS {
            let text = format!("{} lookups; {MAX_LOOKUPS} are allowed", requests.len());
            return Err(MetadataError::Malformed(text));
        }
        let found = self
            .read(move |store| {
                let locate = |request: Lookup| {
                    let found = locate::locate(store, &request)?;
                    Ok((request, found))
                };
                requests
                    .into_iter()
                    .map(locate)
                    .collect::<Result<Vec<_>, _>>()
            })
            .await?;
        let mut answers = Vec::with_capacity(found.len());
        for (request, found) in found {
            answers.push(match found {
                Ok(found) => self.located(&request, found).await,
                Err(error) => Err(error),
            });
        }
        Ok(answers)
    }

    /// Opens what was found.
    async fn located(&self, request: &Lookup, found: Found) -> Result<Located, MetadataError> {
        let valid_for_ms = self.valid_for_ms(&found)?;
        let object = (request.bucket, &request.key);
        self.verify(object, found.version, found.length, &found.looked_at)
            .await?;
        let attributes = match &found.head {
            Some(head) => self.attributes(request.bucket, &request.key, head).await?,
            None => Attributes::default(),
        };
        let mut extents = Vec::with_capacity(found.extents.len());
        for extent in &found.extents {
            extents.push(self.open_extent(request, &found, extent).await?);
        }
        let parts = found.head.as_ref().and_then(|head| head.manifest);
        Ok(Located {
            version: found.version,
            length: found.length,
            modified: found
                .head
                .as_ref()
                .map_or(WallTime(0), |head| head.modified),
            attributes,
            first: ByteOffset::new(found.wanted.start),
            wanted: ByteCount::new(found.wanted.end - found.wanted.start),
            parts: parts.map_or(0, |manifest| manifest.parts),
            tags: found.head.as_ref().map_or(0, |head| head.tag_count),
            extents,
            valid_for_ms,
        })
    }

    /// For how long what was found may be read: half of what is left until disks may be told to remove it,
    /// since cluster time comes in steps and its servers' clocks differ.
    fn valid_for_ms(&self, found: &Found) -> Result<u64, MetadataError> {
        let delay_ms = millis(self.config.reclaim_after);
        let left_ms = match found.past_for_ms {
            None => delay_ms,
            Some(past_for_ms) if past_for_ms < delay_ms => delay_ms - past_for_ms,
            Some(_) => return Err(MetadataError::NoSuchObject),
        };
        Ok(left_ms / 2)
    }

    /// Verifies rows of an object's manifest.
    pub(super) async fn verify(
        &self,
        (bucket, key): (BucketId, &ObjectKey),
        version: VersionId,
        total: ByteCount,
        rows: &[FoundRow],
    ) -> Result<(), MetadataError> {
        for found in rows {
            let under = seal::manifest::kek_version(&found.row.mac);
            let under = under.map_err(|_| MetadataError::RowDamaged)?;
            let bucket_key = self.bucket_key(bucket, under).await?;
            bucket_key
                .verify(key, version, total, &found.row)
                .map_err(|error| damaged("a manifest row", bucket, error))?;
        }
        Ok(())
    }

    async fn open_extent(
        &self,
        request: &Lookup,
        found: &Found,
        extent: &FoundExtent,
    ) -> Result<LocatedExtent, MetadataError> {
        let row = &extent.extent;
        let version = wrap::wrapping_version(&row.wrap).map_err(|_| MetadataError::RowDamaged)?;
        let key = self.bucket_key(request.bucket, version).await?;
        let context = ReferenceContext {
            blob: row.blob,
            label_digest: found.label_digest,
            bucket: request.bucket,
            key: &request.key,
            version: found.version,
            part: row.part,
            length: row.length,
        };
        let key = key
            .follow(&row.wrap, &context)
            .map_err(|error| damaged("a reference", request.bucket, error))?;
        Ok(LocatedExtent {
            object_offset: extent.object_offset,
            blob: row.blob,
            blob_offset: row.offset,
            length: row.length,
            blob_length: extent.blob_length,
            key,
            place: extent.place.clone(),
        })
    }

    pub(super) async fn attributes(
        &self,
        bucket: BucketId,
        key: &ObjectKey,
        head: &HeadRow,
    ) -> Result<Attributes, MetadataError> {
        let version = sealed_under(head)?;
        let bucket_key = self.bucket_key(bucket, version).await?;
        open_attributes(&bucket_key, bucket, key, head)
    }

    pub(super) async fn list(&self, request: List) -> Result<ListPage, MetadataError> {
        if request.limit > MAX_ENTRIES {
            let text = format!("a page of {}; {MAX_ENTRIES} are allowed", request.limit);
            return Err(MetadataError::Malformed(text));
        }
        let bucket = request.bucket;
        let page = self
            .read(move |store| {
                if !BUCKETS.contains(store, &request.bucket)? {
                    return Ok(Err(MetadataError::NoSuchBucket));
                }
                list::page(store, &request).map(Ok)
            })
            .await??;
        let mut keys: HashMap<u32, Arc<BucketKey>> = HashMap::new();
        let mut entries = Vec::with_capacity(page.entries.len());
        for entry in page.entries {
            entries.push(match entry {
                Entry::CommonPrefix(prefix) => ListEntry::CommonPrefix(prefix),
                Entry::Object(key, head) => {
                    let version = sealed_under(&head)?;
                    let bucket_key = match keys.get(&version) {
                        Some(held) => held.clone(),
                        None => self.bucket_key(bucket, version).await?,
                    };
                    keys.insert(version, bucket_key.clone());
                    let attributes = open_attributes(&bucket_key, bucket, &key, &head)?;
                    ListEntry::Object {
                        key,
                        length: head.length,
                        modified: head.modified,
                        etag: attributes.etag,
                        checksums: stored_with(&attributes.checksums),
                    }
                }
            });
        }
        Ok(ListPage {
            entries,
            truncated: page.truncated,
        })
    }

    pub(super) async fn bucket(&self, name: BucketName) -> Result<Bucket, MetadataError> {
        let named = self
            .read(move |store| buckets_named(store, &name.bytes()))
            .await?;
        named.into_iter().next().ok_or(MetadataError::NoSuchBucket)
    }

    pub(super) async fn buckets(&self) -> Result<Vec<Bucket>, MetadataError> {
        self.read(|store| buckets_named(store, &[])).await
    }

    pub(super) async fn group_table(
        &self,
        known: u64,
    ) -> Result<Option<GroupTable>, MetadataError> {
        let held = lock(&self.table).clone();
        let held_version = held.as_ref().map(|table| table.version);
        let read = self
            .read(move |store| {
                let version = GROUP_TABLE_VERSION.get(store, &())?.unwrap_or(0);
                if Some(version) == held_version {
                    return Ok(None);
                }
                read_table(store, version).map(Some)
            })
            .await?;
        let table = match (read, held) {
            (Some(table), _) => {
                let table = Arc::new(table);
                *lock(&self.table) = Some(table.clone());
                table
            }
            (None, Some(held)) => held,
            (None, None) => unreachable!("no table is held under any version"),
        };
        Ok((table.version != known).then(|| GroupTable::clone(&table)))
    }
}

/// What a listing tells of checksums.
fn stored_with(checksums: &[Checksum]) -> Vec<(ChecksumAlgorithm, ChecksumKind)> {
    let kind = |sum: &Checksum| (sum.algorithm, sum.kind);
    checksums.iter().map(kind).collect()
}

fn sealed_under(head: &HeadRow) -> Result<u32, MetadataError> {
    row::kek_version(&head.attributes).map_err(|_| MetadataError::RowDamaged)
}

fn open_attributes(
    bucket_key: &BucketKey,
    bucket: BucketId,
    key: &ObjectKey,
    head: &HeadRow,
) -> Result<Attributes, MetadataError> {
    bucket_key
        .open_attributes(key, head.version, &head.attributes)
        .map_err(|error| damaged("an object's attributes", bucket, error))
}

/// The buckets whose rows among the names begin with `prefix`, in order of name.
pub(super) fn buckets_named(rows: &impl Rows, prefix: &[u8]) -> Result<Vec<Bucket>, StoreError> {
    let mut buckets = Vec::new();
    for row in BUCKET_NAMES.scan(rows, prefix) {
        let (_, id) = row?;
        let row = BUCKETS.get(rows, &id)?.ok_or(StoreError::Damaged)?;
        buckets.push(row.bucket);
    }
    Ok(buckets)
}

fn read_table(store: &Store, version: u64) -> Result<GroupTable, StoreError> {
    let disks = DISKS.scan(store, &[]).map(|row| row.map(|(_, disk)| disk));
    let groups = GROUPS
        .scan(store, &[])
        .map(|row| row.map(|(_, group)| group));
    Ok(GroupTable {
        version,
        disks: disks.collect::<Result<_, _>>()?,
        groups: groups.collect::<Result<_, _>>()?,
    })
}
