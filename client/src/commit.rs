//! The commit of a blob: one command that makes all of it visible, or nothing.
//!
//! It is sent under the session that the blob and its chunk ids were issued to, and under no other: a
//! session that has ended takes its uploads with it.

use crate::error::PutError;
use crate::inner::{Attempt, Inner};
use crate::session::Session;
use crate::upload::Stored;
use types::attributes::{Attributes, Checksum};
use types::id::{BucketId, VersionId};
use types::name::ObjectKey;
use types::size::ByteCount;
use types::wire::metadata::{
    CommitObject, CommitPart, Condition, IssuedBlob, MetadataError, Tags, WallTime, WrittenPlace,
};

/// A blob whose bytes are all durable, and that nothing refers to yet.
pub(crate) struct Draft<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) session: &'a Session,
    pub(crate) bucket: BucketId,
    pub(crate) key: &'a ObjectKey,
    pub(crate) issued: &'a IssuedBlob,
    pub(crate) length: ByteCount,
    pub(crate) place: WrittenPlace,
}

impl Draft<'_> {
    /// Makes it a version of its object.
    pub(crate) async fn commit_object(
        self,
        attributes: Attributes,
        tags: Tags,
        condition: Condition,
    ) -> Result<Stored, PutError> {
        let version = self.inner.draw_version();
        let send = |request| {
            self.inner.metadata.commit_object(CommitObject {
                request,
                bucket: self.bucket,
                key: self.key.clone(),
                version,
                attributes: attributes.clone(),
                blob: self.issued.blob,
                wrap: self.issued.wrap.clone(),
                wrap_expires_ms: self.issued.expires_ms,
                length: self.length,
                place: self.place.clone(),
                tags: tags.clone(),
                condition: condition.clone(),
            })
        };
        let attempt = self.inner.send_under(self.session, send).await;
        let modified = self.outcome(attempt)?;
        Ok(Stored { version, modified })
    }

    /// Makes it a part of a multipart upload.
    pub(crate) async fn commit_part(
        self,
        upload: VersionId,
        number: u32,
        etag: String,
        checksums: Vec<Checksum>,
    ) -> Result<WallTime, PutError> {
        let send = |request| {
            self.inner.metadata.commit_part(CommitPart {
                request,
                bucket: self.bucket,
                key: self.key.clone(),
                upload,
                number,
                etag: etag.clone(),
                checksums: checksums.clone(),
                blob: self.issued.blob,
                wrap: self.issued.wrap.clone(),
                wrap_expires_ms: self.issued.expires_ms,
                length: self.length,
                place: self.place.clone(),
            })
        };
        let attempt = self.inner.send_under(self.session, send).await;
        self.outcome(attempt)
    }

    fn outcome<T>(&self, attempt: Attempt<T>) -> Result<T, PutError> {
        // Those that were issued with it are as old: none of them is tried.
        if matches!(attempt.answer, Err(MetadataError::WrapInvalid)) {
            self.session.issued.forget(self.bucket);
        }
        attempt.outcome()
    }
}
