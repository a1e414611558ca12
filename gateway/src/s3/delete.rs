//! DeleteObject and DeleteObjects. Deleting what is not there succeeds.

use super::{Adapter, null_version, object_key};
use crate::checksum::Promise;
use crate::digest::{Digests, Sums};
use crate::error::ToS3;
use crate::identity::Access;
use crate::ingress::Tap;
use crate::md5;
use crate::xml;
use futures::{StreamExt, stream};
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    ObjectIdentifier,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use types::attributes::ChecksumAlgorithm;
use types::wire::metadata::Bucket;

/// Objects in one DeleteObjects, as on S3.
const MOST: usize = 1000;
/// Deletions under way at once for one request: they share the metadata service's batches.
const ABREAST: usize = 32;

pub(super) async fn one(
    adapter: &Adapter,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let input = request.input;
    null_version(input.version_id.as_deref())?;
    if input.if_match.is_some() || input.mfa.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "Conditional deletion is not implemented."
        ));
    }
    let key = object_key(input.key)?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Write,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    adapter
        .client
        .delete(&bucket, &key)
        .await
        .map_err(ToS3::to_s3)?;
    Ok(S3Response::new(DeleteObjectOutput::default()))
}

pub(super) async fn many(
    adapter: &Adapter,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let promise = Promise::of(&request.headers)?;
    let expected = md5::expected(&request.headers)?;
    let sums = sums(request.extensions.get::<Option<Tap>>(), promise.algorithm())?;
    md5::verify(expected, &sums.md5)?;
    promise.keep(&sums.checksum, request.trailing_headers)?;
    let input = request.input;
    let objects = input.delete.objects;
    if objects.is_empty() || objects.len() > MOST {
        return Err(S3ErrorCode::MalformedXML.into());
    }
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Write,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let quiet = input.delete.quiet.unwrap_or(false);
    let outcomes: Vec<(ObjectIdentifier, S3Result<()>)> = stream::iter(objects)
        .map(|object| async {
            let outcome = each(adapter, &bucket, &object).await;
            (object, outcome)
        })
        .buffered(ABREAST)
        .collect()
        .await;
    let mut deleted = Vec::new();
    let mut errors = Vec::new();
    for (object, outcome) in outcomes {
        let key = Some(xml::hide(object.key));
        let version_id = object.version_id.map(xml::hide);
        match outcome {
            Ok(()) if quiet => {}
            Ok(()) => deleted.push(DeletedObject {
                key,
                version_id,
                ..Default::default()
            }),
            Err(error) => errors.push(s3s::dto::Error {
                code: Some(error.code().as_str().to_owned()),
                message: error.message().map(str::to_owned),
                key,
                version_id,
            }),
        }
    }
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted: Some(deleted),
        errors: Some(errors),
        ..Default::default()
    }))
}

async fn each(adapter: &Adapter, bucket: &Bucket, object: &ObjectIdentifier) -> S3Result<()> {
    null_version(object.version_id.as_deref())?;
    if object.e_tag.is_some() || object.last_modified_time.is_some() || object.size.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "Conditional deletion is not implemented."
        ));
    }
    let key = object_key(object.key.clone())?;
    adapter
        .client
        .delete(bucket, &key)
        .await
        .map_err(ToS3::to_s3)
}

/// The sums of the document, which has been read and parsed by now.
fn sums(tap: Option<&Option<Tap>>, algorithm: ChecksumAlgorithm) -> S3Result<Sums> {
    let tap = tap.and_then(Option::as_ref);
    let tap = tap.ok_or_else(|| S3Error::new(S3ErrorCode::InternalError))?;
    let mut digests = tap.lock().expect("nobody panics holding it");
    Ok(std::mem::replace(&mut *digests, Digests::new(algorithm)).finish())
}
