//! CompleteMultipartUpload: the parts that a client names become an object, or it is told why not.
//!
//! ```text
//! document, headers --> parts as stored --> choose --> one command --> answer
//!                           ^                             |
//!                           +-- a part was uploaded again +
//! ```
//!
//! Nothing is moved and nothing visible before that one command, which is refused when a part is no longer
//! what was looked at. Completing what was completed succeeds again, as long as the object is there: a
//! client that lost the answer asks once more.

use super::checksum_fields::fill;
use super::chosen::{choose, were_chosen};
use super::claims::{Claims, single};
use super::documents::{self, Document};
use super::list::Encoding;
use super::multipart::upload_id;
use super::parts::MOST;
use super::{Adapter, condition, object_key};
use crate::checksum::kind_name;
use crate::checksum_object::UNASKED;
use crate::error::ToS3;
use crate::xml;
use client::PutError;
use http::{HeaderMap, header};
use s3s::dto::{
    ChecksumType, CompleteMultipartUploadOutput, CompletedMultipartUpload, CompletedPart, ETag,
    ETagCondition,
};
use s3s::{Body, S3ErrorCode, S3Response, S3Result, s3_error};
use types::wire::metadata::{ListParts, PartPage, Wanted};
use types::{Attributes, ObjectKey, VersionId};

/// How often parts may change under a client's hands before it is told so.
const ROUNDS: usize = 8;

/// Completes the upload that a verified document is about.
pub(super) async fn complete(adapter: &Adapter, document: &Document) -> S3Result<S3Response<Body>> {
    let headers = document.headers();
    let claims = Claims::of(headers)?;
    let wanted = condition::of_write(
        etags(headers, header::IF_MATCH)?.as_ref(),
        etags(headers, header::IF_NONE_MATCH)?.as_ref(),
    );
    let key = object_key(document.key.clone().unwrap_or_default())?;
    let named = named(document)?;
    let upload = upload_id(&document.query("uploadId").unwrap_or_default())?;
    let _place = super::place(&adapter.completions).await?;

    for _ in 0..ROUNDS {
        let page = parts(adapter, document, &key, upload).await?;
        let Some(begun) = page.upload else {
            if !were_chosen(&named, &page.parts) {
                return Err(S3ErrorCode::InvalidPart.into());
            }
            return again(adapter, document, &key, upload).await;
        };
        let choice = begun.checksum.unwrap_or(UNASKED);
        let chosen = choose(&named, &page.parts, choice, &claims)?;
        let attributes = Attributes {
            etag: chosen.etag,
            checksums: chosen.checksum.into_iter().collect(),
            ..begun.attributes
        };
        let shown = shown(document, &key, &attributes, chosen.parts.len());
        let completed = adapter.client.complete_upload(
            &document.bucket,
            key.clone(),
            upload,
            chosen.parts,
            attributes,
            wanted.clone(),
        );
        match completed.await {
            Ok(_) => return documents::answer(&shown),
            // Of the second it is not known yet whether it became an object.
            Err(PutError::PartChanged | PutError::NoSuchUpload) => {}
            Err(error) => return Err(error.to_s3()),
        }
    }
    Err(S3ErrorCode::OperationAborted.into())
}

/// All parts of the upload, or of the object that it has become.
async fn parts(
    adapter: &Adapter,
    document: &Document,
    key: &ObjectKey,
    upload: VersionId,
) -> S3Result<PartPage> {
    let list = ListParts {
        bucket: document.bucket.id,
        key: key.clone(),
        upload,
        after: 0,
        limit: MOST,
    };
    adapter.client.parts(list).await.map_err(ToS3::to_s3)
}

/// The answer about an upload that was completed before.
async fn again(
    adapter: &Adapter,
    document: &Document,
    key: &ObjectKey,
    upload: VersionId,
) -> S3Result<S3Response<Body>> {
    let head = adapter
        .client
        .head(&document.bucket, key, Wanted::Nothing)
        .await
        .map_err(ToS3::to_s3)?;
    if head.version != upload {
        return Err(S3ErrorCode::NoSuchUpload.into());
    }
    documents::answer(&shown(document, key, &head.attributes, head.parts as usize))
}

/// The parts that the document names, in its order.
fn named(document: &Document) -> S3Result<Vec<CompletedPart>> {
    if document.is_empty() {
        return Err(S3ErrorCode::MalformedXML.into());
    }
    let parsed: CompletedMultipartUpload = document.parse()?;
    let parts = parsed.parts.unwrap_or_default();
    let whole = parts
        .iter()
        .all(|part| part.part_number.is_some() && part.e_tag.is_some());
    if parts.is_empty() || parts.len() > MOST as usize || !whole {
        return Err(S3ErrorCode::MalformedXML.into());
    }
    Ok(parts)
}

fn etags(headers: &HeaderMap, name: header::HeaderName) -> S3Result<Option<ETagCondition>> {
    let value = single(headers, name.as_str())?.filter(|value| !value.is_empty());
    let parsed = value.map(|value| ETagCondition::parse_http_header(value.as_bytes()));
    parsed
        .transpose()
        .map_err(|_| s3_error!(InvalidArgument, "{name} is not an ETag."))
}

fn shown(
    document: &Document,
    key: &ObjectKey,
    attributes: &Attributes,
    parts: usize,
) -> CompleteMultipartUploadOutput {
    let bucket = document.bucket.name.as_str();
    let kind = attributes.checksums.first().map(|sum| kind_name(sum.kind));
    let mut output = CompleteMultipartUploadOutput {
        bucket: Some(bucket.to_owned()),
        key: Some(xml::hide(key.as_str().to_owned())),
        location: Some(format!(
            "/{bucket}/{}",
            Encoding::Url.write(key.as_str().to_owned())
        )),
        e_tag: Some(ETag::Strong(attributes.etag.clone())),
        checksum_type: kind.map(ChecksumType::from_static),
        ..Default::default()
    };
    let parts = u32::try_from(parts).unwrap_or(MOST);
    fill(&mut output, &attributes.checksums, parts);
    output
}
