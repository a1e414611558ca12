//! Multipart uploads: what is sealed and wrapped on its way into the log.
//!
//! A part's data key is wrapped for the version that the upload will become, so that completing wraps
//! nothing: it lays the manifest out from the part rows, and makes its MACs.

use super::conditional::Target;
use super::tags::{self, MAX_TAGS};
use super::write::{MAX_OWNER, bounded_attributes, bounded_place, committed_place};
use super::{Inner, lock, unexpected};
use crate::asked::Asked;
use crate::command::{self, NamespaceCommand};
use crate::keys::BucketKey;
use crate::manifest::{Laid, lay_out};
use crate::reply::Reply;
use crate::sealed::{PartFacts, UploadFacts};
use crate::store::{Store, StoreError};
use crate::tables::{PARTS, PartRow};
use crate::uploads::MAX_PART_NUMBER;
use bytes::Bytes;
use seal::wrap::{IssueContext, ReferenceContext};
use types::attributes::Checksum;
use types::id::{BucketId, VersionId};
use types::size::ByteOffset;
use types::wire::metadata::{
    AbortUpload, ChosenPart, CommitPart, CompleteUpload, CreateUpload, MetadataError, WallTime,
};

/// A part has at most so many checksums, of so many bytes each.
const MAX_CHECKSUMS: usize = 8;
const MAX_CHECKSUM: usize = 64;
/// An ETag is 32 hex digits; another one of a copied part may be longer.
const MAX_ETAG: usize = 256;

impl Inner {
    pub(super) async fn create_upload(
        &self,
        request: CreateUpload,
    ) -> Result<WallTime, MetadataError> {
        bounded_attributes(&request.attributes)?;
        tags::bounded(&request.tags, MAX_TAGS)?;
        if request.owner.len() > MAX_OWNER {
            let text = format!("an owner of {} bytes", request.owner.len());
            return Err(MetadataError::Malformed(text));
        }
        let bucket = request.bucket;
        let created = self.seal_and_create(request).await;
        self.forget_if_failed(bucket, created)
    }

    async fn seal_and_create(&self, request: CreateUpload) -> Result<WallTime, MetadataError> {
        let row = self.bucket_row(request.bucket).await?;
        let sealer = self.bucket_key(request.bucket, row.kek_version).await?;
        let facts = UploadFacts {
            owner: request.owner,
            attributes: request.attributes,
            checksum: request.checksum,
        };
        let create = command::CreateUpload {
            request: request.request,
            bucket: request.bucket,
            upload: request.upload,
            kek_version: row.kek_version,
            sealed: sealer.seal_upload(&request.key, request.upload, &facts),
            tags: tags::sealed(&sealer, &request.key, request.upload, &request.tags),
            key: request.key,
        };
        self.commit_to_upload(NamespaceCommand::CreateUpload(create))
            .await
    }

    pub(super) async fn commit_part(&self, request: CommitPart) -> Result<WallTime, MetadataError> {
        bounded_part(request.number, &request.etag, &request.checksums)?;
        bounded_place(&request.place)?;
        let bucket = request.bucket;
        let committed = self.seal_and_commit_part(request).await;
        self.forget_if_failed(bucket, committed)
    }

    async fn seal_and_commit_part(&self, request: CommitPart) -> Result<WallTime, MetadataError> {
        let row = self.bucket_row(request.bucket).await?;
        let issued = IssueContext {
            bucket: request.bucket,
            blob: request.blob,
            session: request.request.session,
            expires_ms: request.wrap_expires_ms,
        };
        let data_key = self.take_back(&row, &request.wrap, &issued).await?;
        let sealer = self.bucket_key(request.bucket, row.kek_version).await?;
        let reference = ReferenceContext {
            blob: request.blob,
            label_digest: row.bucket.label.digest(),
            bucket: request.bucket,
            key: &request.key,
            version: request.upload,
            part: request.number,
            length: request.length,
        };
        let facts = PartFacts {
            etag: request.etag,
            checksums: request.checksums,
            length: request.length,
        };
        let part = command::CommitPart {
            request: request.request,
            bucket: request.bucket,
            upload: request.upload,
            number: request.number,
            length: request.length,
            kek_version: row.kek_version,
            sealed: sealer.seal_part(&request.key, request.upload, request.number, &facts),
            blob: request.blob,
            wrap: sealer.refer(&data_key, &reference),
            wrap_expires_ms: request.wrap_expires_ms,
            place: committed_place(request.place),
            key: request.key,
        };
        self.commit_to_upload(NamespaceCommand::CommitPart(part))
            .await
    }

    pub(super) async fn complete_upload(
        &self,
        request: CompleteUpload,
    ) -> Result<WallTime, MetadataError> {
        bounded_attributes(&request.attributes)?;
        if request.parts.len() > MAX_PART_NUMBER as usize {
            let text = format!(
                "{} parts; {MAX_PART_NUMBER} are allowed",
                request.parts.len()
            );
            return Err(MetadataError::Malformed(text));
        }
        let bucket = request.bucket;
        let completed = self.seal_and_complete(request).await;
        self.forget_if_failed(bucket, completed)
    }

    async fn seal_and_complete(&self, request: CompleteUpload) -> Result<WallTime, MetadataError> {
        let row = self.bucket_row(request.bucket).await?;
        let sealer = self.bucket_key(request.bucket, row.kek_version).await?;
        let (key, upload) = (&request.key, request.upload);
        let macs = self.macs(&request, &sealer).await?;
        let complete = command::CompleteUpload {
            request: request.request,
            bucket: request.bucket,
            key: key.clone(),
            upload,
            kek_version: row.kek_version,
            attributes: sealer.seal_attributes(key, upload, &request.attributes),
            parts: request
                .parts
                .iter()
                .map(|part| (part.number, part.born))
                .collect(),
            macs,
            expected: None,
        };
        let target = Target {
            request: request.request,
            asked: Asked::complete_upload(&complete),
            bucket: request.bucket,
            key: key.clone(),
        };
        let command = |expected| {
            let complete = complete.clone();
            NamespaceCommand::CompleteUpload(command::CompleteUpload {
                expected,
                ..complete
            })
        };
        match self.propose_if(target, &request.condition, command).await? {
            Reply::Committed { modified } => Ok(modified),
            _ => Err(unexpected()),
        }
    }

    /// The MACs of the manifest that the chosen parts make, as the rows have them now. Where that is
    /// none, `apply` says why; it knows, too, what to answer if all this was done before.
    async fn macs(
        &self,
        request: &CompleteUpload,
        sealer: &BucketKey,
    ) -> Result<Vec<Bytes>, MetadataError> {
        let (upload, chosen) = (request.upload, request.parts.clone());
        let rows = self
            .read(move |store| lay_out_chosen(store, upload, &chosen))
            .await?;
        let total = rows.last().map_or(ByteOffset::ZERO, Laid::end) - ByteOffset::ZERO;
        let mac = |row: &Laid| sealer.mac(&request.key, upload, total, row.first, &row.entries);
        Ok(rows.iter().map(mac).collect())
    }

    pub(super) async fn abort_upload(&self, request: AbortUpload) -> Result<(), MetadataError> {
        let command = NamespaceCommand::AbortUpload(request);
        let command = command::Command::Namespace(command);
        self.propose(command).await.map(drop)
    }

    async fn commit_to_upload(&self, command: NamespaceCommand) -> Result<WallTime, MetadataError> {
        match self.propose(command::Command::Namespace(command)).await? {
            Reply::Committed { modified } => Ok(modified),
            _ => Err(unexpected()),
        }
    }

    /// What was known of a bucket may be why something failed.
    pub(super) fn forget_if_failed<T>(
        &self,
        bucket: BucketId,
        result: Result<T, MetadataError>,
    ) -> Result<T, MetadataError> {
        if result.is_err() {
            lock(&self.buckets).remove(&bucket);
        }
        result
    }
}

/// The manifest of the chosen parts; none where they are not all there or make no object.
fn lay_out_chosen(
    store: &Store,
    upload: VersionId,
    chosen: &[ChosenPart],
) -> Result<Vec<Laid>, StoreError> {
    let mut rows: Vec<(u32, PartRow)> = Vec::with_capacity(chosen.len());
    for part in chosen {
        match PARTS.get(store, &(upload, part.number))? {
            Some(row) => rows.push((part.number, row)),
            None => return Ok(Vec::new()),
        }
    }
    let rows = rows.iter().map(|(number, row)| (*number, row));
    Ok(lay_out(rows).unwrap_or_default())
}

/// Refuses a part that no gateway makes.
pub(super) fn bounded_part(
    number: u32,
    etag: &str,
    checksums: &[Checksum],
) -> Result<(), MetadataError> {
    let text = if !(1..=MAX_PART_NUMBER).contains(&number) {
        format!("part {number}; 1 to {MAX_PART_NUMBER} are allowed")
    } else if etag.len() > MAX_ETAG {
        format!("an ETag of {} bytes; {MAX_ETAG} are allowed", etag.len())
    } else if checksums.len() > MAX_CHECKSUMS
        || checksums.iter().any(|sum| sum.value.len() > MAX_CHECKSUM)
    {
        "checksums that are too many or too long".to_owned()
    } else {
        return Ok(());
    };
    Err(MetadataError::Malformed(text))
}
