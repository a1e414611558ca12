//! The life of a multipart upload, but for its parts and its completion: CreateMultipartUpload,
//! AbortMultipartUpload, ListMultipartUploads.
//!
//! An upload's id on the wire is the id of the version that it will become. Whatever is not such an id names
//! no upload.

use super::headers::{self, timestamp};
use super::list::{self, Encoding};
use super::tagging;
use super::{Adapter, object_key};
use crate::checksum;
use crate::checksum_object::{self, Choice};
use crate::error::ToS3;
use crate::identity::{Access, Caller};
use crate::xml;
use client::NewUpload;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CommonPrefix, CreateMultipartUploadInput, CreateMultipartUploadOutput, Initiator,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, MultipartUpload, Owner, StorageClass,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use types::VersionId;
use types::wire::metadata::{ListUploads, Upload, UploadEntry, UploadPage};

/// The upload that a request names.
///
/// # Errors
/// There can be none of that name.
pub(super) fn upload_id(text: &str) -> S3Result<VersionId> {
    VersionId::parse(text).ok_or_else(|| S3ErrorCode::NoSuchUpload.into())
}

/// The names of a choice in answers.
pub(super) fn names(choice: Option<Choice>) -> (Option<ChecksumAlgorithm>, Option<ChecksumType>) {
    let algorithm = choice.map(|(algorithm, _)| checksum::name(algorithm));
    let kind = choice.map(|(_, kind)| checksum::kind_name(kind));
    (
        algorithm.map(ChecksumAlgorithm::from_static),
        kind.map(ChecksumType::from_static),
    )
}

/// Whoever began an upload owns it.
pub(super) fn owners(id: &str, caller: &Caller) -> (Initiator, Owner) {
    let owner = caller.shown(id);
    let initiator = Initiator {
        id: owner.id.clone(),
        display_name: owner.display_name.clone(),
    };
    (initiator, owner)
}

pub(super) async fn create(
    adapter: &Adapter,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let owner = adapter
        .caller(request.credentials.as_ref())
        .await?
        .id()
        .to_owned();
    checksum::of_nothing(&request.headers)?;
    let mut input = request.input;
    let attributes = headers::attributes(&mut input)?;
    let checksum = checksum_object::choose(
        input.checksum_algorithm.as_ref().map(|name| name.as_str()),
        input.checksum_type.as_ref().map(|name| name.as_str()),
    )?;
    let tags = tagging::of_header(input.tagging.as_deref())?;
    let key = object_key(input.key)?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Write,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let upload = adapter
        .client
        .begin_upload(NewUpload {
            bucket: &bucket,
            key: key.clone(),
            owner,
            attributes,
            checksum,
            tags,
        })
        .await
        .map_err(ToS3::to_s3)?;
    let (checksum_algorithm, checksum_type) = names(checksum);
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(bucket.name.into()),
        key: Some(xml::hide(key.into())),
        upload_id: Some(upload.to_string()),
        checksum_algorithm,
        checksum_type,
        ..Default::default()
    }))
}

pub(super) async fn abort(
    adapter: &Adapter,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let input = request.input;
    let key = object_key(input.key)?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Write,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let upload = upload_id(&input.upload_id)?;
    adapter
        .client
        .abort_upload(&bucket, key, upload)
        .await
        .map_err(ToS3::to_s3)?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}

pub(super) async fn list(
    adapter: &Adapter,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let limit = list::limit(input.max_uploads, "max-uploads")?;
    let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let after = some(&input.key_marker);
    let after_upload = marker(after.as_deref(), input.upload_id_marker.as_deref())?;
    let caller = adapter.caller(request.credentials.as_ref()).await?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Read,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let page = adapter
        .client
        .uploads(ListUploads {
            bucket: bucket.id,
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: some(&input.delimiter),
            after,
            after_upload,
            limit: limit.unsigned_abs(),
        })
        .await
        .map_err(ToS3::to_s3)?;
    let (next_key, next_upload) = next(&page);
    let truncated = page.truncated;
    let (uploads, prefixes) = shown(page, encoding, &caller);
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(bucket.name.into()),
        prefix: Some(encoding.write(input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|text| encoding.write(text)),
        key_marker: Some(encoding.write(input.key_marker.unwrap_or_default())),
        upload_id_marker: Some(xml::hide(input.upload_id_marker.unwrap_or_default())),
        max_uploads: Some(limit),
        encoding_type: input.encoding_type,
        is_truncated: Some(truncated),
        next_key_marker: next_key.map(|key| encoding.write(key)),
        next_upload_id_marker: next_upload.map(|upload| upload.to_string()),
        uploads: Some(uploads),
        common_prefixes: Some(prefixes),
        ..Default::default()
    }))
}

/// `upload-id-marker`, which means something only beside a key.
fn marker(key: Option<&str>, upload: Option<&str>) -> S3Result<Option<VersionId>> {
    let upload = upload.filter(|upload| !upload.is_empty() && key.is_some());
    let parse = |upload| {
        VersionId::parse(upload)
            .ok_or_else(|| s3_error!(InvalidArgument, "Invalid uploadId marker."))
    };
    upload.map(parse).transpose()
}

/// Where the next page goes on.
fn next(page: &UploadPage) -> (Option<String>, Option<VersionId>) {
    match page.entries.last().filter(|_| page.truncated) {
        None => (None, None),
        Some(UploadEntry::CommonPrefix(prefix)) => (Some(prefix.clone()), None),
        Some(UploadEntry::Upload(upload)) => {
            (Some(upload.key.as_str().to_owned()), Some(upload.id))
        }
    }
}

fn shown(
    page: UploadPage,
    encoding: Encoding,
    caller: &Caller,
) -> (Vec<MultipartUpload>, Vec<CommonPrefix>) {
    let mut uploads = Vec::new();
    let mut prefixes = Vec::new();
    for entry in page.entries {
        match entry {
            UploadEntry::CommonPrefix(prefix) => prefixes.push(CommonPrefix {
                prefix: Some(encoding.write(prefix)),
            }),
            UploadEntry::Upload(upload) => uploads.push(shown_upload(upload, encoding, caller)),
        }
    }
    (uploads, prefixes)
}

fn shown_upload(upload: Upload, encoding: Encoding, caller: &Caller) -> MultipartUpload {
    let (initiator, owner) = owners(&upload.owner, caller);
    let (checksum_algorithm, checksum_type) = names(upload.checksum);
    MultipartUpload {
        key: Some(encoding.write(upload.key.into())),
        upload_id: Some(upload.id.to_string()),
        initiated: Some(timestamp(upload.initiated)),
        initiator: Some(initiator),
        owner: Some(owner),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        checksum_algorithm,
        checksum_type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Markers lead to where a page ended, and are ignored where S3 ignores them.
    /// Method: a table of key and upload.
    #[test]
    fn markers_are_read() {
        let id = VersionId::new([7; 16]);
        let text = id.to_string();
        for (key, upload, expected) in [
            (None, None, Ok(None)),
            (Some("k"), None, Ok(None)),
            (Some("k"), Some(""), Ok(None)),
            (Some("k"), Some(text.as_str()), Ok(Some(id))),
            (None, Some("whatever"), Ok(None)),
            (Some("k"), Some("whatever"), Err("InvalidArgument")),
        ] {
            let told = marker(key, upload).map_err(|e| e.code().as_str().to_owned());
            assert_eq!(told, expected.map_err(str::to_owned), "{key:?} {upload:?}");
        }
    }

    /// What is not the id of an upload names none.
    /// Method: an id, and texts that are none.
    #[test]
    fn only_ids_name_uploads() {
        let id = VersionId::new([7; 16]);
        assert_eq!(upload_id(&id.to_string()).ok(), Some(id));
        for text in [
            "",
            "56788",
            "abc1234def",
            "../../etc/passwd",
            &"0".repeat(31),
        ] {
            let error = upload_id(text).expect_err("no id");
            assert_eq!(*error.code(), S3ErrorCode::NoSuchUpload, "{text}");
        }
    }
}
