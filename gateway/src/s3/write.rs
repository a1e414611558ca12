//! PutObject: everything that can be refused is refused before the first byte of the body is asked for;
//! then the body is [received](super::receive), and the object made visible.

use super::receive::{self, Incoming};
use super::{Adapter, condition, headers, object_key, tagging};
use crate::checksum;
use crate::error::ToS3;
use crate::identity::Access;
use http::HeaderMap;
use s3s::dto::{PutObjectInput, PutObjectOutput};
use s3s::{S3Request, S3Response, S3Result};

pub(super) async fn put(
    adapter: &Adapter,
    request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let mut input = request.input;
    let condition = condition::of_write(input.if_match.as_ref(), input.if_none_match.as_ref());
    let tags = tagging::of_header(input.tagging.as_deref())?;
    let incoming = Incoming::of(&request.headers, input.content_length)?;
    let mut attributes = headers::attributes(&mut input)?;
    let key = object_key(input.key)?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Write,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    condition::precheck(adapter, &bucket, &key, &condition).await?;
    let _buffered = receive::place(adapter, &request.headers).await?;

    let upload = adapter
        .client
        .put(&bucket, key, Some(incoming.length))
        .await
        .map_err(ToS3::to_s3)?;
    let (upload, sums) = incoming
        .receive(upload, input.body, request.trailing_headers, None)
        .await?;

    attributes.etag = hex::encode(sums.md5);
    attributes.checksums = sums.checksums;
    let mut answer = HeaderMap::new();
    checksum::show(&attributes.checksums, 0, &mut answer);
    let etag = s3s::dto::ETag::Strong(attributes.etag.clone());
    let finished = upload.finish(attributes, tags, condition).await;
    finished.map_err(condition::lost)?;
    let output = PutObjectOutput {
        e_tag: Some(etag),
        ..Default::default()
    };
    Ok(S3Response::with_headers(output, answer))
}
