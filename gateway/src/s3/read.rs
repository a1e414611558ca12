//! GetObject and HeadObject.
//!
//! The first bytes are opened before the answer begins, so that an object that cannot be read is
//! answered with an error and not with a connection that breaks. What fails later breaks it: there is
//! no other way to tell a client that the bytes it has are not all.

use super::condition::Conditions;
use super::headers::{self, Overrides, timestamp};
use super::{Adapter, null_version, object_key};
use crate::checksum;
use crate::error::{self, ToS3};
use crate::identity::Access;
use bytes::Bytes;
use client::{Body, GetError, Head};
use futures::{Stream, StreamExt};
use http::HeaderMap;
use s3s::auth::Credentials;
use s3s::dto::{
    ChecksumMode, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Range,
    StreamingBlob, Timestamp,
};
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{S3Request, S3Response, S3Result, StdError, s3_error};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, ready};
use types::ObjectKey;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{Bucket, ListParts, Wanted};

/// The highest number that a part can have.
const LAST_PART: i32 = 10_000;

/// What GET and HEAD ask alike.
struct Asked {
    key: String,
    bucket: String,
    owner: Option<String>,
    version: Option<String>,
    range: Option<Range>,
    part: Option<i32>,
    conditions: Conditions,
    overrides: Overrides,
    checksums: bool,
}

/// s3s has a type for each of the two, with the same fields.
macro_rules! asks {
    ($($input:ty)*) => {$(
        impl From<$input> for Asked {
            fn from(input: $input) -> Self {
                Self {
                    key: input.key,
                    bucket: input.bucket,
                    owner: input.expected_bucket_owner,
                    version: input.version_id,
                    range: input.range,
                    part: input.part_number,
                    conditions: Conditions {
                        matches: input.if_match,
                        differs: input.if_none_match,
                        modified: input.if_modified_since,
                        unmodified: input.if_unmodified_since,
                    },
                    overrides: Overrides {
                        cache_control: input.response_cache_control,
                        disposition: input.response_content_disposition,
                        encoding: input.response_content_encoding,
                        language: input.response_content_language,
                        media_type: input.response_content_type,
                        expires: input.response_expires,
                    },
                    checksums: wants_checksums(input.checksum_mode.as_ref()),
                }
            }
        }
    )*};
}

asks!(GetObjectInput HeadObjectInput);

/// Which bytes a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selection {
    Whole,
    Range(Wanted),
    /// A part, by its number.
    Part(u32),
}

/// A request that was found good, and the bucket that it is about.
struct Question {
    bucket: Bucket,
    key: ObjectKey,
    selection: Selection,
    conditions: Conditions,
    overrides: Overrides,
    checksums: bool,
}

/// What GET and HEAD answer alike.
struct Shown {
    headers: HeaderMap,
    length: Option<i64>,
    range: Option<String>,
    modified: Option<Timestamp>,
    metadata: Option<s3s::dto::Metadata>,
    parts: Option<i32>,
    tags: Option<i32>,
}

pub(super) async fn get(
    adapter: &Adapter,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let credentials = request.credentials.as_ref();
    let question = Question::of(adapter, credentials, request.input.into()).await?;
    let (bucket, key) = (&question.bucket, &question.key);
    let wanted = match question.selection {
        Selection::Whole => Wanted::All,
        Selection::Range(wanted) => wanted,
        Selection::Part(number) => Wanted::Part(number),
    };
    let download = match adapter.client.get(bucket, key, wanted).await {
        Ok(download) => download,
        Err(error) => return Err(refused(adapter, &question, error).await),
    };
    let first = ByteOffset::new(download.range.start);
    let length = ByteOffset::new(download.range.end) - first;
    let shown = question
        .answer(adapter, &download.located, first, length)
        .await?;
    let output = GetObjectOutput {
        content_length: shown.length,
        content_range: shown.range,
        last_modified: shown.modified,
        metadata: shown.metadata,
        parts_count: shown.parts,
        tag_count: shown.tags,
        body: Some(outgoing(download.body, length).await?),
        ..Default::default()
    };
    Ok(S3Response::with_headers(output, shown.headers))
}

pub(super) async fn head(
    adapter: &Adapter,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let credentials = request.credentials.as_ref();
    let question = Question::of(adapter, credentials, request.input.into()).await?;
    let wanted = match question.selection {
        Selection::Part(number) => Wanted::Part(number),
        Selection::Whole | Selection::Range(_) => Wanted::Nothing,
    };
    let found = adapter.client.head(&question.bucket, &question.key, wanted);
    let located = match found.await {
        Ok(located) => located,
        Err(error) => return Err(refused(adapter, &question, error).await),
    };
    let (first, length) = match question.selection {
        Selection::Whole => (ByteOffset::ZERO, located.length),
        Selection::Part(_) => (located.first, located.wanted),
        // Not a byte: refused below, behind the conditions.
        Selection::Range(wanted) => {
            clamp(wanted, located.length).unwrap_or((ByteOffset::ZERO, ByteCount::ZERO))
        }
    };
    let shown = question.answer(adapter, &located, first, length).await?;
    let output = HeadObjectOutput {
        content_length: shown.length,
        content_range: shown.range,
        last_modified: shown.modified,
        metadata: shown.metadata,
        parts_count: shown.parts,
        tag_count: shown.tags,
        ..Default::default()
    };
    Ok(S3Response::with_headers(output, shown.headers))
}

impl Question {
    async fn of(
        adapter: &Adapter,
        credentials: Option<&Credentials>,
        asked: Asked,
    ) -> S3Result<Self> {
        null_version(asked.version.as_deref())?;
        let selection = selection(asked.range, asked.part)?;
        let key = object_key(asked.key)?;
        let bucket = adapter
            .bucket(credentials, Access::Read, asked.bucket, asked.owner)
            .await?;
        Ok(Self {
            bucket,
            key,
            selection,
            conditions: asked.conditions,
            overrides: asked.overrides,
            checksums: asked.checksums,
        })
    }

    /// The answer that shows `length` bytes from `first` of an object.
    ///
    /// # Errors
    /// A condition does not hold, the range has no bytes, or an override is malformed.
    async fn answer(
        self,
        adapter: &Adapter,
        located: &Head,
        first: ByteOffset,
        length: ByteCount,
    ) -> S3Result<Shown> {
        let modified = timestamp(located.modified);
        self.conditions.check(&located.attributes.etag, &modified)?;
        let ranged = matches!(self.selection, Selection::Range(_));
        if ranged && length == ByteCount::ZERO {
            return Err(error::outside(located.length));
        }
        let numbered = matches!(self.selection, Selection::Part(_));
        let of_parts = numbered && located.parts > 0;
        let whole = self.checksums && !ranged && !of_parts;
        let shown = whole.then_some(located.parts);
        let mut headers = headers::describe(&located.attributes, self.overrides, shown)?;
        if let (Selection::Part(number), true) = (self.selection, of_parts && self.checksums) {
            let sums = part_checksums(adapter, &self.bucket, &self.key, located, number).await?;
            let kind = located.attributes.checksums.first().map(|sum| sum.kind);
            checksum::show_part(&sums, kind.unwrap_or_default(), &mut headers);
        }
        // An object without bytes has no range that could be named.
        let partial = ranged || (numbered && length > ByteCount::ZERO);
        Ok(Shown {
            headers,
            length: i64::try_from(length.get()).ok(),
            range: partial.then(|| content_range(first, length, located.length)),
            modified: Some(modified),
            metadata: headers::user_metadata(&located.attributes),
            parts: of_parts.then_some(located.parts).and_then(count),
            tags: count(located.tags),
        })
    }
}

/// A number that is shown where there is something to count.
fn count(of: u32) -> Option<i32> {
    i32::try_from(of).ok().filter(|count| *count > 0)
}

/// The checksums of one part of an object, which has it.
async fn part_checksums(
    adapter: &Adapter,
    bucket: &Bucket,
    key: &ObjectKey,
    located: &Head,
    number: u32,
) -> S3Result<Vec<types::attributes::Checksum>> {
    let page = adapter
        .client
        .parts(ListParts {
            bucket: bucket.id,
            key: key.clone(),
            upload: located.version,
            after: number - 1,
            limit: 1,
        })
        .await;
    match page {
        Ok(page) => {
            let mut parts = page.parts.into_iter();
            let part = parts.find(|part| part.number == number);
            Ok(part.map(|part| part.checksums).unwrap_or_default())
        }
        // Replaced since it was looked up: what is answered is still what it was.
        Err(GetError::NoSuchUpload | GetError::NoSuchObject) => Ok(Vec::new()),
        Err(error) => Err(error.to_s3()),
    }
}

/// A range that cannot be satisfied, or a part that is not there, is the second thing to say: conditions
/// come first.
async fn refused(adapter: &Adapter, question: &Question, error: GetError) -> s3s::S3Error {
    let second = matches!(
        error,
        GetError::RangeNotSatisfiable { .. } | GetError::NoSuchPart { .. }
    );
    if second && question.conditions.any() {
        let head = adapter
            .client
            .head(&question.bucket, &question.key, Wanted::Nothing)
            .await;
        let checked = match head {
            Ok(head) => question
                .conditions
                .check(&head.attributes.etag, &timestamp(head.modified)),
            Err(error) => Err(error.to_s3()),
        };
        if let Err(error) = checked {
            return error;
        }
    }
    error.to_s3()
}

/// What a request is about.
///
/// # Errors
/// Both a range and a part, or no part's number.
fn selection(range: Option<Range>, part: Option<i32>) -> S3Result<Selection> {
    match (range, part) {
        (None, None) => Ok(Selection::Whole),
        (Some(range), None) => Ok(Selection::Range(wanted(range))),
        (Some(_), Some(_)) => Err(s3_error!(
            InvalidRequest,
            "Cannot specify both Range header and partNumber query parameter"
        )),
        (None, Some(number)) => match u32::try_from(number) {
            Ok(known @ 1..) if number <= LAST_PART => Ok(Selection::Part(known)),
            _ => Err(s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and {LAST_PART}, inclusive"
            )),
        },
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
        Wanted::Nothing | Wanted::Part(_) => return None,
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

    proptest::proptest! {
        /// A range is served as RFC 9110 §14.1.2 has it.
        /// Method: any range of a small object, against the positions that it names, one by one.
        #[test]
        fn ranges_follow_the_rfc(
            length in 0u64..20,
            first in 0u64..25,
            more in proptest::option::of(0u64..25),
            suffix in proptest::bool::ANY,
        ) {
            let range = match more {
                _ if suffix => Range::Suffix { length: first },
                None => Range::Int { first, last: None },
                Some(more) => Range::Int { first, last: Some(first + more) },
            };
            let named = |position: &u64| match range {
                Range::Suffix { length: last } => *position + last >= length,
                Range::Int { first, last } => {
                    *position >= first && last.is_none_or(|last| *position <= last)
                }
            };
            let naive: Vec<u64> = (0..length).filter(named).collect();
            let served = clamp(wanted(range), ByteCount::new(length));
            let served = served.map_or(Vec::new(), |(first, count)| {
                (first.get()..first.get() + count.get()).collect()
            });
            proptest::prop_assert_eq!(served, naive, "{:?} of {}", range, length);
        }
    }

    /// A request is about all of an object, a range or a part, never about two of these.
    /// Method: a table.
    #[test]
    fn selections_are_one() {
        let range = Range::Int {
            first: 0,
            last: None,
        };
        for (range, part, expected) in [
            (None, None, Ok(Selection::Whole)),
            (None, Some(1), Ok(Selection::Part(1))),
            (None, Some(10_000), Ok(Selection::Part(10_000))),
            (None, Some(0), Err("InvalidArgument")),
            (None, Some(-1), Err("InvalidArgument")),
            (None, Some(10_001), Err("InvalidArgument")),
            (Some(range), Some(1), Err("InvalidRequest")),
            (
                Some(range),
                None,
                Ok(Selection::Range(Wanted::From(ByteOffset::ZERO))),
            ),
        ] {
            let told = selection(range, part).map_err(|e| e.code().as_str().to_owned());
            assert_eq!(told, expected.map_err(str::to_owned), "{range:?} {part:?}");
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
