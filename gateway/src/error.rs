//! One table: what went wrong inside -> what S3 calls it.
//!
//! ```text
//! ours                                   S3                          status
//! -------------------------------------  --------------------------  ------
//! SlowDown (memory, metadata, disks)     SlowDown                    503
//! Unavailable (too few shards)           ServiceUnavailable          503
//! OutcomeUnknown, Refused, Damaged       InternalError               500
//! NoSuchBucket, NoSuchObject             NoSuchBucket, NoSuchKey     404
//! ConditionFailed                        PreconditionFailed          412
//! NoSuchUpload                           NoSuchUpload                404
//! NoSuchPart                             InvalidPart                 400
//! QuotaExceeded                          QuotaExceeded               403
//! Exists                                 BucketAlreadyOwnedByYou or
//!                                        BucketAlreadyExists         409
//! NotEmpty                               BucketNotEmpty              409
//! RangeNotSatisfiable                    InvalidRange                416
//! Length, a body cut short               IncompleteBody              400
//! a body's signed hash differs           XAmzContentSHA256Mismatch   400
//! a chunk's signature differs            SignatureDoesNotMatch       403
//! a chunk's head is malformed            InvalidRequest              400
//! the last chunk is missing              IncompleteBody              400
//! a chunk or a body too large            EntityTooLarge              400
//! a body that stands still or trickles   RequestTimeout              400
//! ```
//!
//! What a client may not act on (status 500 and above) is logged here, with its causes; the client is
//! told the code alone. Everything else is the client's affair and is not logged.

use crate::framing::BadFraming;
use crate::ingress::Stalled;
use client::{BucketError, DeleteError, GetError, ListError, PutError};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::LengthLimitError;
use s3s::stream::aws_chunked_stream::AwsChunkedStreamError;
use s3s::stream::upload_stream::UploadStreamError;
use s3s::{BodySizeLimitExceeded, S3Error, S3ErrorCode, StdError, s3_error};
use std::error::Error;
use types::size::ByteCount;
use types::wire::usage::Exceeded;

/// Turns an error of ours into S3's.
pub(crate) trait ToS3 {
    /// The answer for the client. Logs what it hides.
    fn to_s3(self) -> S3Error;
}

impl ToS3 for PutError {
    fn to_s3(self) -> S3Error {
        match self {
            Self::SlowDown(_) => hidden(S3ErrorCode::SlowDown, &self),
            Self::NoSuchBucket => S3ErrorCode::NoSuchBucket.into(),
            Self::NoSuchObject => S3ErrorCode::NoSuchKey.into(),
            Self::ConditionFailed => S3ErrorCode::PreconditionFailed.into(),
            Self::NoSuchUpload => S3ErrorCode::NoSuchUpload.into(),
            Self::QuotaExceeded(exceeded) => quota(exceeded),
            Self::Length { .. } => S3ErrorCode::IncompleteBody.into(),
            _ => hidden(S3ErrorCode::InternalError, &self),
        }
    }
}

impl ToS3 for GetError {
    fn to_s3(self) -> S3Error {
        match self {
            Self::NoSuchBucket => S3ErrorCode::NoSuchBucket.into(),
            Self::NoSuchObject => S3ErrorCode::NoSuchKey.into(),
            Self::NoSuchPart { .. } => S3ErrorCode::InvalidPart.into(),
            Self::NoSuchUpload => S3ErrorCode::NoSuchUpload.into(),
            Self::RangeNotSatisfiable { length } => outside(length),
            Self::SlowDown(_) => hidden(S3ErrorCode::SlowDown, &self),
            Self::Unavailable { .. } => hidden(S3ErrorCode::ServiceUnavailable, &self),
            _ => hidden(S3ErrorCode::InternalError, &self),
        }
    }
}

impl ToS3 for DeleteError {
    fn to_s3(self) -> S3Error {
        match self {
            Self::NoSuchBucket => S3ErrorCode::NoSuchBucket.into(),
            Self::NoSuchObject => S3ErrorCode::NoSuchKey.into(),
            Self::ConditionFailed => S3ErrorCode::PreconditionFailed.into(),
            Self::SlowDown(_) => hidden(S3ErrorCode::SlowDown, &self),
            _ => hidden(S3ErrorCode::InternalError, &self),
        }
    }
}

impl ToS3 for ListError {
    fn to_s3(self) -> S3Error {
        match self {
            Self::NoSuchBucket => S3ErrorCode::NoSuchBucket.into(),
            Self::SlowDown(_) => hidden(S3ErrorCode::SlowDown, &self),
            _ => hidden(S3ErrorCode::InternalError, &self),
        }
    }
}

impl ToS3 for BucketError {
    /// A name that is taken is answered as another's: who asks as its owner is told so by the caller.
    fn to_s3(self) -> S3Error {
        match self {
            Self::NoSuchBucket => S3ErrorCode::NoSuchBucket.into(),
            Self::Exists { .. } => S3ErrorCode::BucketAlreadyExists.into(),
            Self::NotEmpty => S3ErrorCode::BucketNotEmpty.into(),
            Self::SlowDown(_) => hidden(S3ErrorCode::SlowDown, &self),
            _ => hidden(S3ErrorCode::InternalError, &self),
        }
    }
}

/// A quota leaves no room. S3 has no code for it; this is the one of Ceph and others, with a status that clients
/// do not try again. How much there is and may be is not told: a tenant's usage is of all labels.
fn quota(exceeded: Exceeded) -> S3Error {
    let code = S3ErrorCode::Custom("QuotaExceeded".into());
    let mut error = S3Error::with_message(
        code,
        format!("There is no room: {exceeded} would be exceeded."),
    );
    error.set_status_code(StatusCode::FORBIDDEN);
    error
}

/// A range outside an object of `length`, which the answer tells.
pub(crate) fn outside(length: ByteCount) -> S3Error {
    let mut error = s3_error!(InvalidRange);
    let mut headers = HeaderMap::new();
    let whole = HeaderValue::try_from(format!("bytes */{}", length.get()));
    headers.insert(header::CONTENT_RANGE, whole.expect("digits"));
    let xml = HeaderValue::from_static("application/xml");
    headers.insert(header::CONTENT_TYPE, xml);
    error.set_headers(headers);
    error
}

/// Why a request's body could not be read to its end. The cause that we know lies somewhere below what
/// each layer wrapped around it.
pub(crate) fn body(error: StdError) -> S3Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error.as_ref());
    while let Some(this) = cause {
        if let Some(answer) = known(this) {
            return answer;
        }
        cause = this.source();
    }
    S3ErrorCode::IncompleteBody.into()
}

fn known(error: &(dyn Error + 'static)) -> Option<S3Error> {
    if error.is::<Stalled>() {
        return Some(S3ErrorCode::RequestTimeout.into());
    }
    match error.downcast_ref::<BadFraming>() {
        None => {}
        Some(BadFraming::Head) => {
            return Some(s3_error!(
                InvalidRequest,
                "The head of a chunk is not its size and, where chunks are signed, its signature."
            ));
        }
        Some(BadFraming::Unfinished) => return Some(S3ErrorCode::IncompleteBody.into()),
    }
    if error.is::<BodySizeLimitExceeded>() || error.is::<LengthLimitError>() {
        return Some(S3ErrorCode::EntityTooLarge.into());
    }
    match error.downcast_ref::<AwsChunkedStreamError>() {
        None | Some(AwsChunkedStreamError::Underlying(_)) => {}
        Some(chunked) => return Some(chunked.to_s3_error_code().into()),
    }
    match error.downcast_ref::<UploadStreamError>() {
        None | Some(UploadStreamError::Underlying(_)) => None,
        Some(UploadStreamError::Sha256Mismatch) => Some(content_sha256()),
        Some(_) => Some(S3ErrorCode::IncompleteBody.into()),
    }
}

fn content_sha256() -> S3Error {
    let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
    let mut error = S3Error::with_message(
        code,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    );
    error.set_status_code(StatusCode::BAD_REQUEST);
    error
}

/// `code` for the client, the causes for the log.
fn hidden(code: S3ErrorCode, error: &(dyn Error + 'static)) -> S3Error {
    let mut causes = error.to_string();
    let mut cause = error.source();
    while let Some(this) = cause {
        causes.push_str(": ");
        causes.push_str(&this.to_string());
        cause = this.source();
    }
    tracing::warn!(answer = code.as_str(), causes, "a request failed");
    code.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::Pressure;
    use types::wire::metadata::MetadataError;

    fn is(error: impl ToS3, code: &str, status: u16) {
        let answer = error.to_s3();
        assert_eq!(answer.code().as_str(), code);
        assert_eq!(answer.status_code().map(|s| s.as_u16()), Some(status));
    }

    /// The table above is what clients get.
    /// Method: one error of each row.
    #[test]
    fn the_table_holds() {
        let pressure = || Pressure::Metadata(MetadataError::Unavailable(String::new()));
        is(PutError::SlowDown(pressure()), "SlowDown", 503);
        is(GetError::SlowDown(pressure()), "SlowDown", 503);
        is(DeleteError::SlowDown(pressure()), "SlowDown", 503);
        is(ListError::SlowDown(pressure()), "SlowDown", 503);
        is(BucketError::SlowDown(pressure()), "SlowDown", 503);
        let few = GetError::Unavailable {
            available: 3,
            needed: 4,
        };
        is(few, "ServiceUnavailable", 503);
        is(GetError::Damaged { segment: 1 }, "InternalError", 500);
        is(
            PutError::OutcomeUnknown(String::new()),
            "InternalError",
            500,
        );
        is(GetError::NoSuchBucket, "NoSuchBucket", 404);
        is(GetError::NoSuchObject, "NoSuchKey", 404);
        is(PutError::NoSuchObject, "NoSuchKey", 404);
        is(PutError::ConditionFailed, "PreconditionFailed", 412);
        is(DeleteError::ConditionFailed, "PreconditionFailed", 412);
        is(PutError::NoSuchUpload, "NoSuchUpload", 404);
        let exceeded = PutError::QuotaExceeded(Exceeded::TenantObjects);
        is(exceeded, "QuotaExceeded", 403);
        is(GetError::NoSuchUpload, "NoSuchUpload", 404);
        is(GetError::NoSuchPart { parts: 3 }, "InvalidPart", 400);
        let owner = String::from("someone");
        is(BucketError::Exists { owner }, "BucketAlreadyExists", 409);
        is(BucketError::NotEmpty, "BucketNotEmpty", 409);
        let length = ByteCount::new(7);
        let range = GetError::RangeNotSatisfiable { length }.to_s3();
        assert_eq!(range.status_code(), Some(StatusCode::RANGE_NOT_SATISFIABLE));
        let headers = range.headers().expect("its length is told");
        assert_eq!(headers[header::CONTENT_RANGE], "bytes */7");
    }

    /// A body that fails is answered by its innermost cause.
    /// Method: each cause, bare and wrapped as s3s wraps it.
    #[test]
    fn bodies_fail_by_their_cause() {
        for (error, code) in [
            (StdError::from(Stalled), "RequestTimeout"),
            (
                Box::new(AwsChunkedStreamError::Underlying(Box::new(Stalled))),
                "RequestTimeout",
            ),
            (
                Box::new(AwsChunkedStreamError::Underlying(Box::new(
                    BadFraming::Head,
                ))),
                "InvalidRequest",
            ),
            (
                Box::new(UploadStreamError::Underlying(Box::new(Stalled))),
                "RequestTimeout",
            ),
            (
                Box::new(AwsChunkedStreamError::SignatureMismatch),
                "SignatureDoesNotMatch",
            ),
            (
                Box::new(AwsChunkedStreamError::Incomplete),
                "IncompleteBody",
            ),
            (
                Box::new(UploadStreamError::Sha256Mismatch),
                "XAmzContentSHA256Mismatch",
            ),
            (Box::new(std::io::Error::other("cut")), "IncompleteBody"),
        ] {
            assert_eq!(body(error).code().as_str(), code);
        }
    }
}
