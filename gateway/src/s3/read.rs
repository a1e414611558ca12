//! GetObject and HeadObject.
//!
//! The first bytes are opened before the answer begins, so that an object that cannot be read is
//! answered with an error and not with a connection that breaks. What fails later breaks it: there is
//! no other way to tell a client that the bytes it has are not all.

use super::condition::Conditions;
use super::headers::{self, Overrides, timestamp};
use super::{Adapter, null_version, object_key};
use crate::error::{self, ToS3};
use crate::identity::Access;
use bytes::Bytes;
use client::{Body, GetError};
use futures::{Stream, StreamExt};
use s3s::dto::{
    ChecksumMode, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Range,
    StreamingBlob,
};
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{S3Request, S3Response, S3Result, StdError, s3_error};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, ready};
use types::ObjectKey;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{Bucket, Wanted};

pub(super) async fn get(
    adapter: &Adapter,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let input = request.input;
    null_version(input.version_id.as_deref())?;
    no_part(input.part_number)?;
    let conditions = Conditions {
        matches: input.if_match,
        differs: input.if_none_match,
        modified: input.if_modified_since,
        unmodified: input.if_unmodified_since,
    };
    let overrides = Overrides {
        cache_control: input.response_cache_control,
        disposition: input.response_content_disposition,
        encoding: input.response_content_encoding,
        language: input.response_content_language,
        media_type: input.response_content_type,
        expires: input.response_expires,
    };
    let key = object_key(input.key)?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Read,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let wanted = input.range.map_or(Wanted::All, wanted);
    let found = adapter.client.get(&bucket, &key, wanted).await;
    let download = match found {
        Ok(download) => download,
        Err(error) => return Err(refused(adapter, &bucket, &key, &conditions, error).await),
    };
    let located = &download.located;
    let modified = timestamp(located.modified);
    conditions.check(&located.attributes.etag, &modified)?;
    let first = ByteOffset::new(download.range.start);
    let length = ByteOffset::new(download.range.end) - first;
    if input.range.is_some() && length == ByteCount::ZERO {
        return Err(error::outside(located.length));
    }
    let whole = input.range.is_none();
    let shown = whole && wants_checksums(input.checksum_mode.as_ref());
    let headers = headers::describe(&located.attributes, overrides, shown)?;
    let output = GetObjectOutput {
        content_length: i64::try_from(length.get()).ok(),
        content_range: (!whole).then(|| content_range(first, length, located.length)),
        last_modified: Some(modified),
        metadata: headers::user_metadata(&located.attributes),
        body: Some(outgoing(download.body, length).await?),
        ..Default::default()
    };
    Ok(S3Response::with_headers(output, headers))
}

pub(super) async fn head(
    adapter: &Adapter,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let input = request.input;
    null_version(input.version_id.as_deref())?;
    no_part(input.part_number)?;
    let conditions = Conditions {
        matches: input.if_match,
        differs: input.if_none_match,
        modified: input.if_modified_since,
        unmodified: input.if_unmodified_since,
    };
    let overrides = Overrides {
        cache_control: input.response_cache_control,
        disposition: input.response_content_disposition,
        encoding: input.response_content_encoding,
        language: input.response_content_language,
        media_type: input.response_content_type,
        expires: input.response_expires,
    };
    let key = object_key(input.key)?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Read,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let located = adapter
        .client
        .head(&bucket, &key)
        .await
        .map_err(ToS3::to_s3)?;
    let modified = timestamp(located.modified);
    conditions.check(&located.attributes.etag, &modified)?;
    let (first, length) = match input.range {
        None => (ByteOffset::ZERO, located.length),
        Some(range) => {
            clamp(wanted(range), located.length).ok_or_else(|| error::outside(located.length))?
        }
    };
    let whole = input.range.is_none();
    let shown = whole && wants_checksums(input.checksum_mode.as_ref());
    let headers = headers::describe(&located.attributes, overrides, shown)?;
    let output = HeadObjectOutput {
        content_length: i64::try_from(length.get()).ok(),
        content_range: (!whole).then(|| content_range(first, length, located.length)),
        last_modified: Some(modified),
        metadata: headers::user_metadata(&located.attributes),
        ..Default::default()
    };
    Ok(S3Response::with_headers(output, headers))
}

/// A range that cannot be satisfied is the second thing to say: conditions come first.
async fn refused(
    adapter: &Adapter,
    bucket: &Bucket,
    key: &ObjectKey,
    conditions: &Conditions,
    error: GetError,
) -> s3s::S3Error {
    if matches!(error, GetError::RangeNotSatisfiable { .. }) && conditions.any() {
        let checked = match adapter.client.head(bucket, key).await {
            Ok(head) => conditions.check(&head.attributes.etag, &timestamp(head.modified)),
            Err(error) => Err(error.to_s3()),
        };
        if let Err(error) = checked {
            return error;
        }
    }
    error.to_s3()
}

/// Objects of one part have no part numbers yet, and no others are made.
fn no_part(number: Option<i32>) -> S3Result<()> {
    match number {
        None => Ok(()),
        Some(_) => Err(s3_error!(NotImplemented, "partNumber is not implemented.")),
    }
}

fn wants_checksums(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str().eq_ignore_ascii_case("enabled"))
}

/// What a Range header asks for; s3s has refused one whose end lies before its beginning.
fn wanted(range: Range) -> Wanted {
    match range {
        Range::Int { first, last: None } => Wanted::From(ByteOffset::new(first)),
        Range::Int {
            first,
            last: Some(last),
        } => Wanted::Range(
            ByteOffset::new(first),
            ByteCount::new((last - first).saturating_add(1)),
        ),
        Range::Suffix { length } => Wanted::Last(ByteCount::new(length)),
    }
}

/// What of an object of `length` a request is served. `None`: not a byte.
fn clamp(wanted: Wanted, length: ByteCount) -> Option<(ByteOffset, ByteCount)> {
    let end = length.get();
    let (first, count) = match wanted {
        Wanted::Nothing => return None,
        Wanted::All => (0, end),
        Wanted::From(first) => (first.get(), end),
        Wanted::Range(first, count) => (first.get(), count.get()),
        Wanted::Last(count) => (end.saturating_sub(count.get()), count.get()),
    };
    let count = count.min(end.saturating_sub(first));
    (count > 0).then_some((ByteOffset::new(first), ByteCount::new(count)))
}

fn content_range(first: ByteOffset, length: ByteCount, whole: ByteCount) -> String {
    let first = first.get();
    let last = (first + length.get()).saturating_sub(1);
    format!("bytes {first}-{last}/{}", whole.get())
}

/// An object's bytes on their way out, exactly as many as the answer's Content-Length says.
struct Outgoing {
    first: Option<Bytes>,
    /// Locked by nobody: it makes the stream `Sync`, as s3s wants it.
    rest: Mutex<Body>,
    remaining: ByteCount,
    /// The request's, which has been answered by the time these bytes flow.
    span: tracing::Span,
}

/// The stream gave more or fewer bytes than the lookup said.
#[derive(Debug, thiserror::Error)]
#[error("an object's bytes ended {remaining} before or ran past their length")]
struct Uneven {
    remaining: ByteCount,
}

async fn outgoing(mut body: Body, length: ByteCount) -> S3Result<StreamingBlob> {
    let first = match length {
        ByteCount::ZERO => None,
        _ => body.next().await.transpose().map_err(ToS3::to_s3)?,
    };
    Ok(StreamingBlob::new(Outgoing {
        first,
        rest: Mutex::new(body),
        remaining: length,
        span: tracing::Span::current(),
    }))
}

impl Stream for Outgoing {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let span = self.span.clone();
        let _inside = span.enter();
        let next = match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => {
                let rest = self.rest.get_mut().expect("nobody locks it");
                ready!(rest.poll_next_unpin(cx))
            }
        };
        let remaining = self.remaining;
        Poll::Ready(match next {
            Some(Ok(bytes)) if ByteCount::of(&bytes) <= remaining => {
                self.remaining = remaining - ByteCount::of(&bytes);
                metrics::counter!("strongroom_gateway_sent_bytes_total")
                    .increment(bytes.len() as u64);
                Some(Ok(bytes))
            }
            None if remaining == ByteCount::ZERO => None,
            Some(Err(error)) => {
                tracing::warn!(%error, "an answer breaks off");
                Some(Err(Box::new(error)))
            }
            Some(Ok(_)) | None => {
                tracing::error!(%remaining, "an answer breaks off: its length is wrong");
                Some(Err(Box::new(Uneven { remaining })))
            }
        })
    }
}

impl ByteStream for Outgoing {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(self.remaining.as_usize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    /// Ranges are served as far as there are bytes, and not at all where there are none.
    /// Method: a table of Range headers over objects of several lengths.
    #[test]
    fn ranges_are_clamped() {
        for (header, length, served) in [
            ("bytes=0-0", 10, Some("bytes 0-0/10")),
            ("bytes=3-", 10, Some("bytes 3-9/10")),
            ("bytes=0-52428799", 10, Some("bytes 0-9/10")),
            ("bytes=9-9", 10, Some("bytes 9-9/10")),
            ("bytes=10-", 10, None),
            ("bytes=10-20", 10, None),
            ("bytes=-3", 10, Some("bytes 7-9/10")),
            ("bytes=-30", 10, Some("bytes 0-9/10")),
            ("bytes=-0", 10, None),
            ("bytes=0-", 0, None),
            ("bytes=-5", 0, None),
            ("bytes=0-9223372036854775807", 10, Some("bytes 0-9/10")),
        ] {
            let range = Range::parse(header).expect("well-formed");
            let whole = ByteCount::new(length);
            let shown = clamp(wanted(range), whole)
                .map(|(first, count)| content_range(first, count, whole));
            assert_eq!(shown.as_deref(), served, "{header} of {length}");
        }
    }

    /// An answer is exactly as long as it says, or it breaks off.
    /// Method: bodies that are right, short, long and failing, after their first piece.
    #[tokio::test]
    async fn bodies_are_exact_or_break_off() {
        let piece = || Ok(Bytes::from_static(b"abc"));
        let failed = || Err(GetError::Damaged { segment: 1 });
        for (pieces, good) in [
            (vec![piece(), piece()], true),
            (vec![piece()], false),
            (vec![piece(), piece(), piece()], false),
            (vec![piece(), failed()], false),
        ] {
            let body = stream::iter(pieces).boxed();
            let mut body = outgoing(body, ByteCount::new(6))
                .await
                .expect("a first piece");
            assert_eq!(body.remaining_length().exact(), Some(6));
            let mut last = None;
            while let Some(next) = body.next().await {
                let broken = next.is_err();
                last = Some(next);
                if broken {
                    break;
                }
            }
            assert_eq!(last.expect("something").is_ok(), good);
        }
        let body = stream::iter(vec![failed()]).boxed();
        let error = outgoing(body, ByteCount::new(6))
            .await
            .expect_err("before the answer");
        assert_eq!(error.code().as_str(), "InternalError");
    }
}
