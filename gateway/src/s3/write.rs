//! PutObject: a body goes through once, to the disks and beside that to its sums.
//!
//! Everything that can be refused is refused before the first byte of the body is asked for. Nothing
//! is visible until all of it has been read and every sum that the client promised holds: a body that
//! is cut short, too long or altered leaves nothing behind.

use super::{Adapter, headers, object_key};
use crate::checksum::{self, Promise};
use crate::digest::{Lane, Sums};
use crate::error::{self, ToS3};
use crate::identity::Access;
use crate::md5;
use client::Upload;
use futures::StreamExt;
use http::HeaderMap;
use s3s::dto::{PutObjectInput, PutObjectOutput, StreamingBlob};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use std::time::Duration;
use types::attributes::ChecksumAlgorithm;
use types::size::{ByteCount, GIB};

/// The largest object of one PUT, as on S3.
const LARGEST: u64 = 5 * GIB;
/// How long an upload in signed chunks waits for its turn before it is told to slow down.
const PLACE_PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn put(
    adapter: &Adapter,
    request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let mut input = request.input;
    if input.if_match.is_some() || input.if_none_match.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "Conditional writes are not implemented."
        ));
    }
    let promise = Promise::of(&request.headers)?;
    let expected_md5 = md5::expected(&request.headers)?;
    let mut attributes = headers::attributes(&mut input)?;
    let length = length(input.content_length)?;
    let key = object_key(input.key)?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Write,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let _buffered = signed_stream(adapter, &request.headers).await?;

    let upload = adapter
        .client
        .put(&bucket, key, Some(length))
        .await
        .map_err(ToS3::to_s3)?;
    let (upload, sums) = receive(upload, input.body, length, promise.algorithm()).await?;
    md5::verify(expected_md5, &sums.md5)?;
    promise.keep(&sums.checksum, request.trailing_headers)?;

    attributes.etag = hex::encode(sums.md5);
    attributes.checksums = vec![sums.checksum];
    let mut answer = HeaderMap::new();
    checksum::show(&attributes.checksums, &mut answer);
    let etag = s3s::dto::ETag::Strong(attributes.etag.clone());
    upload.finish(attributes).await.map_err(ToS3::to_s3)?;
    let output = PutObjectOutput {
        e_tag: Some(etag),
        ..Default::default()
    };
    Ok(S3Response::with_headers(output, answer))
}

/// Reads the body to its end. Dropping the upload on an error abandons it.
async fn receive(
    mut upload: Upload,
    body: Option<StreamingBlob>,
    length: ByteCount,
    algorithm: ChecksumAlgorithm,
) -> S3Result<(Upload, Sums)> {
    let mut lane = Lane::new(algorithm);
    let mut received = ByteCount::ZERO;
    let mut body = body.unwrap_or_else(|| StreamingBlob::from_bytes(bytes::Bytes::new()));
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(error::body)?;
        received = received + ByteCount::of(&bytes);
        if received > length {
            return Err(S3ErrorCode::IncompleteBody.into());
        }
        lane.update(bytes.clone()).await;
        upload.write(bytes).await.map_err(ToS3::to_s3)?;
    }
    if received != length {
        return Err(S3ErrorCode::IncompleteBody.into());
    }
    Ok((upload, lane.finish().await))
}

/// An upload says its length: in Content-Length, or in x-amz-decoded-content-length.
fn length(declared: Option<i64>) -> S3Result<ByteCount> {
    let declared = declared.ok_or(S3ErrorCode::MissingContentLength)?;
    match u64::try_from(declared) {
        Ok(length) if length > LARGEST => Err(S3ErrorCode::EntityTooLarge.into()),
        Ok(length) => Ok(ByteCount::new(length)),
        Err(_) => Err(S3ErrorCode::InvalidArgument.into()),
    }
}

/// A place among the uploads whose chunks s3s holds back until it has checked their signatures.
async fn signed_stream<'a>(
    adapter: &'a Adapter,
    headers: &HeaderMap,
) -> S3Result<Option<tokio::sync::SemaphorePermit<'a>>> {
    let kind = headers.get("x-amz-content-sha256");
    if kind.is_none_or(|kind| !kind.as_bytes().starts_with(b"STREAMING-AWS4-")) {
        return Ok(None);
    }
    match tokio::time::timeout(PLACE_PATIENCE, adapter.signed_streams.acquire()).await {
        Ok(Ok(place)) => Ok(Some(place)),
        _ => Err(S3ErrorCode::SlowDown.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length is known, and not more than one PUT may bring, before any byte is asked for.
    /// Method: a table around the bound.
    #[test]
    fn lengths_are_bounded() {
        let bound = i64::try_from(LARGEST).expect("fits");
        for (declared, expected) in [
            (Some(0), Ok(0)),
            (Some(bound), Ok(LARGEST)),
            (Some(bound + 1), Err("EntityTooLarge")),
            (Some(i64::MAX), Err("EntityTooLarge")),
            (Some(-1), Err("InvalidArgument")),
            (None, Err("MissingContentLength")),
        ] {
            let told = length(declared).map(ByteCount::get);
            let told = told.map_err(|error| error.code().as_str().to_owned());
            assert_eq!(told, expected.map_err(str::to_owned), "{declared:?}");
        }
    }
}
