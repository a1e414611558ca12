//! What a numbered request asked for, so that its number does not give another request its answer.
//!
//! Only what stays the same each time a gateway sends the request: ids that are reserved for it, keys
//! that are wrapped and attributes that are sealed on its way into the log differ each time.

use crate::command::{Commit, CommitPart, CompleteUpload, Copied, CopyPart, CreateUpload, Delete};
use serde::{Deserialize, Serialize};
use types::codec;
use types::id::{BucketId, VersionId};
use types::label::LengthPrefixed;
use types::name::ObjectKey;
use types::wire::metadata::{AbortUpload, CreateBucket, DeleteBucket};

/// SHA-256 over the request's kind (1 byte) and those fields, each length-prefixed; ids and lengths
/// big-endian, the label as its digest, the profile as `types::codec` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Asked(#[serde(with = "serde_bytes")] [u8; 32]);

impl Asked {
    /// Wraps a digest that was stored.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Tenant, owner, name, label, profile.
    pub fn create_bucket(request: &CreateBucket) -> Self {
        Self::of(
            1,
            &[
                &request.tenant.to_be_bytes(),
                request.owner.as_bytes(),
                request.name.as_str().as_bytes(),
                &request.label.digest(),
                &codec::encode(&request.profile),
            ],
        )
    }

    /// The bucket.
    pub fn delete_bucket(request: &DeleteBucket) -> Self {
        Self::of(2, &[&request.bucket.to_be_bytes()])
    }

    /// Bucket, key, version, blob, length.
    pub fn commit(commit: &Commit) -> Self {
        Self::of(
            3,
            &[
                &commit.bucket.to_be_bytes(),
                commit.key.as_str().as_bytes(),
                commit.version.as_bytes(),
                &commit.blob.to_be_bytes(),
                &commit.length.get().to_be_bytes(),
            ],
        )
    }

    /// Bucket, key.
    pub fn delete_object(request: &Delete) -> Self {
        let key = request.key.as_str().as_bytes();
        Self::of(4, &[&request.bucket.to_be_bytes(), key])
    }

    /// Bucket, key, upload.
    pub fn create_upload(create: &CreateUpload) -> Self {
        let key = create.key.as_str().as_bytes();
        let upload = create.upload.as_bytes();
        Self::of(5, &[&create.bucket.to_be_bytes(), key, upload])
    }

    /// Bucket, key, upload, number, blob, length.
    pub fn commit_part(part: &CommitPart) -> Self {
        Self::of(
            6,
            &[
                &part.bucket.to_be_bytes(),
                part.key.as_str().as_bytes(),
                part.upload.as_bytes(),
                &part.number.to_be_bytes(),
                &part.blob.to_be_bytes(),
                &part.length.get().to_be_bytes(),
            ],
        )
    }

    /// Bucket, key, upload; number (4) and revision (8) of each part, one behind the other.
    pub fn complete_upload(complete: &CompleteUpload) -> Self {
        let mut parts = Vec::with_capacity(complete.parts.len() * 12);
        for (number, born) in &complete.parts {
            parts.extend(number.to_be_bytes());
            parts.extend(born.to_be_bytes());
        }
        let key = complete.key.as_str().as_bytes();
        let upload = complete.upload.as_bytes();
        Self::of(7, &[&complete.bucket.to_be_bytes(), key, upload, &parts])
    }

    /// Bucket, key, upload.
    pub fn abort_upload(abort: &AbortUpload) -> Self {
        let key = abort.key.as_str().as_bytes();
        let upload = abort.upload.as_bytes();
        Self::of(8, &[&abort.bucket.to_be_bytes(), key, upload])
    }

    /// Bucket, key.
    pub fn set_tags(bucket: BucketId, key: &ObjectKey) -> Self {
        Self::of(20, &[&bucket.to_be_bytes(), key.as_str().as_bytes()])
    }

    /// Bucket.
    pub fn set_bucket_tags(bucket: BucketId) -> Self {
        Self::of(21, &[&bucket.to_be_bytes()])
    }

    /// Source bucket, key and version; bucket, key, version.
    pub fn copy_object(
        source: &Copied,
        bucket: BucketId,
        key: &ObjectKey,
        version: VersionId,
    ) -> Self {
        Self::of(
            22,
            &[
                &source.bucket.to_be_bytes(),
                source.key.as_str().as_bytes(),
                source.version.as_bytes(),
                &bucket.to_be_bytes(),
                key.as_str().as_bytes(),
                version.as_bytes(),
            ],
        )
    }

    /// Source bucket, key and version; first offset, length; bucket, key, upload, number.
    pub fn copy_part(copy: &CopyPart) -> Self {
        let source = &copy.source;
        Self::of(
            23,
            &[
                &source.bucket.to_be_bytes(),
                source.key.as_str().as_bytes(),
                source.version.as_bytes(),
                &copy.first.get().to_be_bytes(),
                &copy.length.get().to_be_bytes(),
                &copy.bucket.to_be_bytes(),
                copy.key.as_str().as_bytes(),
                copy.upload.as_bytes(),
                &copy.number.to_be_bytes(),
            ],
        )
    }

    fn of(kind: u8, fields: &[&[u8]]) -> Self {
        let mut hash = LengthPrefixed::default();
        hash.field(&[kind]);
        for field in fields {
            hash.field(field);
        }
        Self(hash.finish())
    }
}
