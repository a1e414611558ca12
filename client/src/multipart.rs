//! Multipart uploads, as far as no bytes move. Parts themselves are put like objects.
//!
//! An upload's id is the version that the object gets. What S3 says about parts (their least size, their
//! order, how ETags and checksums combine) is the gateway's: it lists the parts, chooses, and completes.
//! A completion is one command, whatever the number of parts; when its outcome is unknown, the object's
//! current version tells: it is the upload's id once the upload is complete.

use crate::error::{GetError, ListError, PutError};
use crate::{Client, Stored};
use types::attributes::{ChecksumAlgorithm, ChecksumKind};
use types::wire::metadata::{
    AbortUpload, Bucket, ChosenPart, CompleteUpload, Condition, CreateUpload, ListParts,
    ListUploads, PartPage, Tags, UploadPage,
};
use types::{Attributes, ObjectKey, VersionId};

/// A multipart upload to be begun.
#[derive(Clone, Debug)]
pub struct NewUpload<'a> {
    /// Where.
    pub bucket: &'a Bucket,
    /// Under which key.
    pub key: ObjectKey,
    /// The user who begins it.
    pub owner: String,
    /// Content headers and user metadata of the object to be.
    pub attributes: Attributes,
    /// The checksum that every part must have, and how those of the parts become the object's.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
    /// The object's tags.
    pub tags: Tags,
}

impl Client {
    /// Begins a multipart upload.
    ///
    /// # Errors
    /// When the bucket is gone, or nobody answers.
    pub async fn begin_upload(&self, new: NewUpload<'_>) -> Result<VersionId, PutError> {
        let upload = self.inner.draw_version();
        let send = |request| {
            let new = new.clone();
            self.inner.metadata.create_upload(CreateUpload {
                request,
                bucket: new.bucket.id,
                key: new.key,
                upload,
                owner: new.owner,
                attributes: new.attributes,
                checksum: new.checksum,
                tags: new.tags,
            })
        };
        self.inner.commit(send).await?;
        Ok(upload)
    }

    /// Makes an object of an upload's parts. `parts` by rising number; those that are not named are dead.
    ///
    /// # Errors
    /// `PartChanged` when a part is not as it was listed, `NoSuchUpload` when it was completed before,
    /// too; see [`PutError`].
    pub async fn complete_upload(
        &self,
        bucket: &Bucket,
        key: ObjectKey,
        upload: VersionId,
        parts: Vec<ChosenPart>,
        attributes: Attributes,
        condition: Condition,
    ) -> Result<Stored, PutError> {
        let send = |request| {
            self.inner.metadata.complete_upload(CompleteUpload {
                request,
                bucket: bucket.id,
                key: key.clone(),
                upload,
                parts: parts.clone(),
                attributes: attributes.clone(),
                condition: condition.clone(),
            })
        };
        let modified = self.inner.commit(send).await?;
        Ok(Stored {
            version: upload,
            modified,
        })
    }

    /// Gives an upload up: its parts are dead.
    ///
    /// # Errors
    /// When there is none, or nobody answers.
    pub async fn abort_upload(
        &self,
        bucket: &Bucket,
        key: ObjectKey,
        upload: VersionId,
    ) -> Result<(), PutError> {
        let send = |request| {
            self.inner.metadata.abort_upload(AbortUpload {
                request,
                bucket: bucket.id,
                key: key.clone(),
                upload,
            })
        };
        self.inner.commit(send).await
    }

    /// Parts of an upload, or of the object that it has become.
    ///
    /// # Errors
    /// `NoSuchUpload` when it is neither.
    pub async fn parts(&self, list: ListParts) -> Result<PartPage, GetError> {
        let ask = || self.inner.metadata.list_parts(list.clone());
        Ok(self.inner.ask(ask).await?)
    }

    /// One page of the uploads under way in a bucket.
    ///
    /// # Errors
    /// When the bucket is gone, or nobody answers.
    pub async fn uploads(&self, list: ListUploads) -> Result<UploadPage, ListError> {
        let ask = || self.inner.metadata.list_uploads(list.clone());
        Ok(self.inner.ask(ask).await?)
    }
}
