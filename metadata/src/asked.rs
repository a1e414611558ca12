//! What a numbered request asked for, so that its number does not give another request its answer.
//!
//! Only what stays the same each time a gateway sends the request: ids that are reserved for it, keys
//! that are wrapped and attributes that are sealed on its way into the log differ each time.

use crate::command::Commit;
use serde::{Deserialize, Serialize};
use types::codec;
use types::label::LengthPrefixed;
use types::wire::metadata::{CreateBucket, DeleteBucket, DeleteObject};

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
    pub fn delete_object(request: &DeleteObject) -> Self {
        let key = request.key.as_str().as_bytes();
        Self::of(4, &[&request.bucket.to_be_bytes(), key])
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
