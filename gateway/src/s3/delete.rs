//! DeleteObject, and each of DeleteObjects. Deleting what is not there succeeds, whatever was asked of
//! it: S3 says so for each condition.

use super::{Adapter, condition, null_version, object_key};
use crate::error::ToS3;
use crate::identity::Access;
use client::DeleteError;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, ETagCondition, ObjectIdentifier, Timestamp,
    TimestampFormat,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use types::ObjectKey;
use types::size::ByteCount;
use types::wire::metadata::{Bucket, Condition, WallTime};

pub(super) async fn one(
    adapter: &Adapter,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let input = request.input;
    null_version(input.version_id.as_deref())?;
    if input.mfa.is_some() {
        return Err(s3_error!(NotImplemented, "MFA Delete is not implemented."));
    }
    let condition = asked(
        input.if_match.as_ref(),
        input.if_match_last_modified_time,
        input.if_match_size,
    )?;
    let key = object_key(input.key)?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Write,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    delete(adapter, &bucket, &key, condition).await?;
    Ok(S3Response::new(DeleteObjectOutput::default()))
}

/// One of DeleteObjects.
pub(super) async fn each(
    adapter: &Adapter,
    bucket: &Bucket,
    object: &ObjectIdentifier,
) -> S3Result<()> {
    null_version(object.version_id.as_deref())?;
    let matches = object.e_tag.clone().map(|tag| match tag.value() {
        "*" => ETagCondition::Any,
        _ => ETagCondition::ETag(tag),
    });
    let modified = object.last_modified_time.clone();
    let condition = asked(matches.as_ref(), modified, object.size)?;
    let key = object_key(object.key.clone())?;
    delete(adapter, bucket, &key, condition).await
}

async fn delete(
    adapter: &Adapter,
    bucket: &Bucket,
    key: &ObjectKey,
    condition: Condition,
) -> S3Result<()> {
    match adapter.client.delete(bucket, key, condition).await {
        Ok(()) | Err(DeleteError::NoSuchObject) => Ok(()),
        Err(error) => Err(error.to_s3()),
    }
}

/// What must hold of the version that is deleted.
fn asked(
    matches: Option<&ETagCondition>,
    modified: Option<Timestamp>,
    size: Option<i64>,
) -> S3Result<Condition> {
    let length = size.map(u64::try_from).transpose();
    let length = length.map_err(|_| S3ErrorCode::InvalidArgument)?;
    Ok(Condition {
        modified: modified.as_ref().map(wall),
        length: length.map(ByteCount::new),
        ..condition::of_write(matches, None)
    })
}

/// When, in whole seconds of milliseconds. Before 1970 nothing was modified.
fn wall(at: &Timestamp) -> WallTime {
    let mut text = Vec::new();
    at.format(TimestampFormat::EpochSeconds, &mut text)
        .expect("years have four digits");
    let seconds = text.split(|byte| *byte == b'.').next().unwrap_or_default();
    let seconds = std::str::from_utf8(seconds).ok();
    let seconds = seconds.and_then(|seconds| seconds.parse::<u64>().ok());
    WallTime(seconds.map_or(u64::MAX, |seconds| seconds * 1000))
}
