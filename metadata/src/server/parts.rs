//! What is told of uploads: their parts, and which are under way.

use super::{Inner, damaged};
use crate::keys::BucketKey;
use crate::list::MAX_ENTRIES;
use crate::manifest::ManifestError;
use crate::store::{Store, StoreError};
use crate::tables::{BUCKETS, UploadRow};
use crate::uploads::{self, Entry, MAX_PART_NUMBER, PartsPage};
use seal::row;
use std::collections::HashMap;
use std::sync::Arc;
use types::id::BucketId;
use types::name::ObjectKey;
use types::wire::metadata::{
    ListParts, ListUploads, MetadataError, Part, PartPage, Upload, UploadEntry, UploadPage,
};

/// Parts of one page, at most: all that an upload may have.
const MAX_PARTS: u32 = MAX_PART_NUMBER;

impl Inner {
    pub(super) async fn list_parts(&self, request: ListParts) -> Result<PartPage, MetadataError> {
        if request.limit > MAX_PARTS {
            let text = format!("a page of {}; {MAX_PARTS} are allowed", request.limit);
            return Err(MetadataError::Malformed(text));
        }
        let (bucket, key, version) = (request.bucket, request.key.clone(), request.upload);
        let page = self
            .read(move |store| read_parts(store, &request))
            .await??;
        if let Some(head) = &page.head {
            self.verify((bucket, &key), version, head.length, &page.looked_at)
                .await?;
        }
        let upload = match &page.upload {
            Some(row) => Some(self.open_upload(bucket, &key, row).await?),
            None => None,
        };
        let mut keys = Keys::new(bucket);
        let mut parts = Vec::with_capacity(page.parts.len());
        for (number, row) in page.parts {
            let bucket_key = keys.of(self, &row.sealed).await?;
            let facts = bucket_key
                .open_part(&key, version, number, &row.sealed)
                .map_err(|error| damaged("a part", bucket, error))?;
            if facts.length != row.length {
                return Err(MetadataError::RowDamaged);
            }
            parts.push(Part {
                number,
                length: row.length,
                modified: row.modified,
                etag: facts.etag,
                checksums: facts.checksums,
                born: row.born,
            });
        }
        Ok(PartPage {
            upload,
            parts,
            truncated: page.truncated,
        })
    }

    pub(super) async fn list_uploads(
        &self,
        request: ListUploads,
    ) -> Result<UploadPage, MetadataError> {
        if request.limit > MAX_ENTRIES {
            let text = format!("a page of {}; {MAX_ENTRIES} are allowed", request.limit);
            return Err(MetadataError::Malformed(text));
        }
        let bucket = request.bucket;
        let list = move |store: &Store| {
            if !BUCKETS.contains(store, &request.bucket)? {
                return Ok(Err(MetadataError::NoSuchBucket));
            }
            uploads::page(store, &request).map(Ok)
        };
        let page = self.read(list).await??;
        let mut entries = Vec::with_capacity(page.entries.len());
        for entry in page.entries {
            entries.push(match entry {
                Entry::CommonPrefix(prefix) => UploadEntry::CommonPrefix(prefix),
                Entry::Upload(key, row) => {
                    UploadEntry::Upload(self.open_upload(bucket, &key, &row).await?)
                }
            });
        }
        Ok(UploadPage {
            entries,
            truncated: page.truncated,
        })
    }

    async fn open_upload(
        &self,
        bucket: BucketId,
        key: &ObjectKey,
        row: &UploadRow,
    ) -> Result<Upload, MetadataError> {
        let bucket_key = Keys::new(bucket).of(self, &row.sealed).await?;
        let facts = bucket_key
            .open_upload(key, row.upload, &row.sealed)
            .map_err(|error| damaged("an upload", bucket, error))?;
        Ok(Upload {
            id: row.upload,
            key: key.clone(),
            initiated: row.initiated,
            owner: facts.owner,
            attributes: facts.attributes,
            checksum: facts.checksum,
        })
    }
}

/// A bucket's keys that the rows of one page are sealed under, each fetched once.
struct Keys {
    bucket: BucketId,
    held: HashMap<u32, Arc<BucketKey>>,
}

impl Keys {
    fn new(bucket: BucketId) -> Self {
        let held = HashMap::new();
        Self { bucket, held }
    }

    /// The key that a value is sealed under.
    async fn of(&mut self, server: &Inner, sealed: &[u8]) -> Result<Arc<BucketKey>, MetadataError> {
        let version = row::kek_version(sealed).map_err(|_| MetadataError::RowDamaged)?;
        if let Some(held) = self.held.get(&version) {
            return Ok(held.clone());
        }
        let key = server.bucket_key(self.bucket, version).await?;
        self.held.insert(version, key.clone());
        Ok(key)
    }
}

fn read_parts(
    store: &Store,
    request: &ListParts,
) -> Result<Result<PartsPage, MetadataError>, StoreError> {
    if !BUCKETS.contains(store, &request.bucket)? {
        return Ok(Err(MetadataError::NoSuchBucket));
    }
    match uploads::parts(store, request) {
        Ok(Some(page)) => Ok(Ok(page)),
        Ok(None) => Ok(Err(MetadataError::NoSuchUpload)),
        Err(ManifestError::Damaged) => Ok(Err(MetadataError::RowDamaged)),
        Err(ManifestError::Store(error)) => Err(error),
    }
}
