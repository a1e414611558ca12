//! Copies by reference: one command, and no byte moves.
//!
//! Where sharing is not allowed the service says `NotShareable`, and the caller reads the bytes and puts
//! them, under a key of their own. This module never does that by itself: only the caller knows what
//! ETag and checksums the new bytes are to have.

use crate::error::PutError;
use crate::{Client, Stored};
use types::attributes::Checksum;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{Bucket, Condition, CopyObject, CopyPart, CopySource, Tags, WallTime};
use types::{Attributes, ObjectKey, VersionId};

impl Client {
    /// Makes an object that shows what another one shows.
    ///
    /// # Errors
    /// `NotShareable` and `SourceChanged` as their names say; see [`PutError`].
    pub async fn copy(
        &self,
        source: CopySource,
        bucket: &Bucket,
        key: ObjectKey,
        attributes: Attributes,
        tags: Tags,
        condition: Condition,
    ) -> Result<Stored, PutError> {
        let version = self.inner.draw_version();
        let send = |request| {
            self.inner.metadata.copy_object(CopyObject {
                request,
                source: source.clone(),
                bucket: bucket.id,
                key: key.clone(),
                version,
                attributes: attributes.clone(),
                tags: tags.clone(),
                condition: condition.clone(),
            })
        };
        let modified = self.inner.commit(send).await?;
        Ok(Stored { version, modified })
    }

    /// Makes `length` bytes of an object from `first` on, all of which lie inside it, a part of an
    /// upload. Answers with when.
    ///
    /// # Errors
    /// `NotShareable` and `SourceChanged` as their names say; see [`PutError`].
    #[expect(
        clippy::too_many_arguments,
        reason = "a range, where it goes, what it is"
    )]
    pub async fn copy_part(
        &self,
        source: CopySource,
        first: ByteOffset,
        length: ByteCount,
        bucket: &Bucket,
        key: ObjectKey,
        upload: VersionId,
        number: u32,
        etag: String,
        checksums: Vec<Checksum>,
    ) -> Result<WallTime, PutError> {
        let send = |request| {
            self.inner.metadata.copy_part(CopyPart {
                request,
                source: source.clone(),
                first,
                length,
                bucket: bucket.id,
                key: key.clone(),
                upload,
                number,
                etag: etag.clone(),
                checksums: checksums.clone(),
            })
        };
        self.inner.commit(send).await
    }
}
