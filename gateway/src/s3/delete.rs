//! DeleteObject, and each of DeleteObjects. Deleting what is not there succeeds.

use super::{Adapter, null_version, object_key};
use crate::error::ToS3;
use crate::identity::Access;
use s3s::dto::{DeleteObjectInput, DeleteObjectOutput, ObjectIdentifier};
use s3s::{S3Request, S3Response, S3Result, s3_error};
use types::wire::metadata::Bucket;

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

/// One of DeleteObjects.
pub(super) async fn each(
    adapter: &Adapter,
    bucket: &Bucket,
    object: &ObjectIdentifier,
) -> S3Result<()> {
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
