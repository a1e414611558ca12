//! UploadPart and ListParts.
//!
//! A part has the checksum that its upload asks for, computed here if the client sends none. What else the
//! client sends is verified and kept, too, so that what it says of its parts when it completes them can be
//! held against something.

use super::checksum_fields::fill;
use super::headers::timestamp;
use super::list;
use super::multipart::{names, owners, upload_id};
use super::receive::{self, Incoming};
use super::{Adapter, object_key};
use crate::checksum;
use crate::checksum_object::{Choice, UNASKED};
use crate::error::ToS3;
use crate::identity::Access;
use crate::xml;
use http::HeaderMap;
use s3s::dto::{
    ETag, ListPartsInput, ListPartsOutput, Part as ShownPart, StorageClass, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use types::attributes::ChecksumAlgorithm;
use types::wire::metadata::{Bucket, ListParts, Part, Upload};
use types::{ObjectKey, VersionId};

/// The highest number of a part, as on S3; the lowest is 1.
pub(super) const MOST: u32 = 10_000;

/// The number of a part.
///
/// # Errors
/// It is not 1 to 10 000.
pub(super) fn part_number(number: i32) -> S3Result<u32> {
    let number = u32::try_from(number).ok();
    let number = number.filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "Part number must be an integer between 1 and 10000, inclusive"
        )
    })
}

/// An upload under way, without its parts.
///
/// # Errors
/// `NoSuchUpload`: also when it has become an object.
pub(super) async fn under_way(
    adapter: &Adapter,
    bucket: &Bucket,
    key: &ObjectKey,
    upload: VersionId,
) -> S3Result<Upload> {
    let page = adapter.client.parts(ListParts {
        bucket: bucket.id,
        key: key.clone(),
        upload,
        after: 0,
        limit: 0,
    });
    let page = page.await.map_err(ToS3::to_s3)?;
    page.upload.ok_or_else(|| S3ErrorCode::NoSuchUpload.into())
}

pub(super) async fn upload(
    adapter: &Adapter,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let input = request.input;
    let incoming = Incoming::of(&request.headers, input.content_length)?;
    let number = part_number(input.part_number)?;
    let key = object_key(input.key)?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Write,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let id = upload_id(&input.upload_id)?;
    let upload = under_way(adapter, &bucket, &key, id).await?;
    agree(upload.checksum, incoming.promised())?;
    let (wanted, _) = upload.checksum.unwrap_or(UNASKED);
    let shown = incoming.promised().unwrap_or(wanted);
    let _buffered = receive::place(adapter, &request.headers).await?;

    let part = adapter
        .client
        .put_part(&bucket, key, id, number, Some(incoming.length))
        .await
        .map_err(ToS3::to_s3)?;
    let (part, sums) = incoming
        .receive(part, input.body, request.trailing_headers, Some(wanted))
        .await?;
    let etag = hex::encode(sums.md5);
    let mut answer = HeaderMap::new();
    checksum::show(std::slice::from_ref(sums.of(shown)), 0, &mut answer);
    answer.remove("x-amz-checksum-type");
    let mut kept = sums.checksums;
    // What was computed and neither asked for nor sent says nothing.
    kept.retain(|sum| sum.algorithm == wanted || sum.algorithm == shown);
    part.finish_part(etag.clone(), kept)
        .await
        .map_err(ToS3::to_s3)?;
    let output = UploadPartOutput {
        e_tag: Some(ETag::Strong(etag)),
        ..Default::default()
    };
    Ok(S3Response::with_headers(output, answer))
}

/// A part's checksum is of the algorithm that its upload asks for; where that asks for none, of any.
fn agree(asked: Option<Choice>, sent: Option<ChecksumAlgorithm>) -> S3Result<()> {
    match (asked, sent) {
        (Some((asked, _)), Some(sent)) if asked != sent => Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            checksum::name(asked).to_ascii_lowercase(),
            checksum::name(sent).to_ascii_lowercase()
        )),
        _ => Ok(()),
    }
}

pub(super) async fn list(
    adapter: &Adapter,
    request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let input = request.input;
    let limit = list::limit(input.max_parts, "max-parts")?;
    let after = page_start(input.part_number_marker)?;
    let key = object_key(input.key)?;
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
        .parts(ListParts {
            bucket: bucket.id,
            key,
            upload: upload_id(&input.upload_id)?,
            after,
            limit: limit.unsigned_abs(),
        })
        .await
        .map_err(ToS3::to_s3)?;
    let upload = page.upload.ok_or(S3ErrorCode::NoSuchUpload)?;
    let caller = adapter.caller(request.credentials.as_ref()).await?;
    let (initiator, owner) = owners(&upload.owner, &caller);
    let (checksum_algorithm, checksum_type) = names(upload.checksum);
    let last = page.parts.last().map_or(after, |part| part.number);
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(bucket.name.into()),
        key: Some(xml::hide(upload.key.into())),
        upload_id: Some(input.upload_id),
        initiator: Some(initiator),
        owner: Some(owner),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        checksum_algorithm,
        checksum_type,
        max_parts: Some(limit),
        part_number_marker: i32::try_from(after).ok(),
        next_part_number_marker: i32::try_from(last).ok(),
        is_truncated: Some(page.truncated),
        parts: Some(page.parts.into_iter().map(shown).collect()),
        ..Default::default()
    }))
}

/// Behind which number a page begins.
///
/// # Errors
/// Behind a negative one.
pub(super) fn page_start(marker: Option<i32>) -> S3Result<u32> {
    u32::try_from(marker.unwrap_or(0)).map_err(|_| {
        s3_error!(
            InvalidArgument,
            "Argument part-number-marker must be an integer between 0 and 2147483647."
        )
    })
}

fn shown(part: Part) -> ShownPart {
    let mut shown = ShownPart {
        part_number: i32::try_from(part.number).ok(),
        size: i64::try_from(part.length.get()).ok(),
        last_modified: Some(timestamp(part.modified)),
        e_tag: Some(ETag::Strong(part.etag)),
        ..Default::default()
    };
    fill(&mut shown, &part.checksums, 0);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::attributes::ChecksumKind;

    /// Parts are numbered 1 to 10 000.
    /// Method: a table around the bounds.
    #[test]
    fn numbers_are_bounded() {
        for (number, expected) in [
            (1, Some(1)),
            (10_000, Some(10_000)),
            (0, None),
            (-1, None),
            (10_001, None),
            (i32::MAX, None),
        ] {
            assert_eq!(part_number(number).ok(), expected, "{number}");
        }
    }

    /// A checksum that the upload did not ask for is refused; where it asked for none, any will do.
    /// Method: a table of what was asked for and sent.
    #[test]
    fn checksums_must_be_what_was_asked_for() {
        let sha = ChecksumAlgorithm::Sha256;
        let asked = Some((sha, ChecksumKind::Composite));
        for (asked, sent, good) in [
            (None, None, true),
            (None, Some(ChecksumAlgorithm::Crc32), true),
            (asked, None, true),
            (asked, Some(sha), true),
            (asked, Some(ChecksumAlgorithm::Crc32), false),
        ] {
            assert_eq!(agree(asked, sent).is_ok(), good, "{asked:?} {sent:?}");
        }
    }
}
