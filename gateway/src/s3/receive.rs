//! A body on its way in, of PutObject and UploadPart alike: it goes through once, to the disks and beside
//! that to its sums.
//!
//! What can be refused is refused before the first byte of the body is asked for. Nothing is visible until
//! all of it has been read and every sum that the client promised holds: a body that is cut short, too long
//! or altered leaves nothing behind.

use super::Adapter;
use crate::checksum::Promise;
use crate::digest::{Lane, Sums};
use crate::error::{self, ToS3};
use crate::md5;
use client::Upload;
use futures::StreamExt;
use http::HeaderMap;
use s3s::dto::StreamingBlob;
use s3s::{S3ErrorCode, S3Result, TrailingHeaders};
use tokio::sync::SemaphorePermit;
use types::attributes::ChecksumAlgorithm;
use types::size::{ByteCount, GIB};

/// The largest object of one PUT, and the largest part, as on S3.
pub(super) const LARGEST: u64 = 5 * GIB;

/// What a request says of its body.
pub(super) struct Incoming {
    promise: Promise,
    md5: Option<[u8; 16]>,
    /// In Content-Length, or in x-amz-decoded-content-length.
    pub(super) length: ByteCount,
}

impl Incoming {
    /// Reads the headers of a request; `declared` is its length as s3s has it.
    ///
    /// # Errors
    /// No length, one that is too large, malformed sums.
    pub(super) fn of(headers: &HeaderMap, declared: Option<i64>) -> S3Result<Self> {
        Ok(Self {
            promise: Promise::of(headers)?,
            md5: md5::expected(headers)?,
            length: length(declared)?,
        })
    }

    /// Which checksum the client promises.
    pub(super) fn promised(&self) -> Option<ChecksumAlgorithm> {
        self.promise.promised()
    }

    /// Reads the body to its end, into `upload`, and holds it against what was said of it. Besides the
    /// MD5 and what was promised (CRC-64/NVME when nothing was) it computes `also`, where given.
    /// Dropping the upload on an error abandons it.
    ///
    /// # Errors
    /// Another length, another sum, or a body or disk that fails.
    pub(super) async fn receive(
        self,
        mut upload: Upload,
        body: Option<StreamingBlob>,
        trailers: Option<TrailingHeaders>,
        also: Option<ChecksumAlgorithm>,
    ) -> S3Result<(Upload, Sums)> {
        let promised = self.promise.algorithm();
        let mut algorithms = vec![promised];
        algorithms.extend(also);
        let mut lane = Lane::new(&algorithms);
        let mut received = ByteCount::ZERO;
        let mut body = body.unwrap_or_else(|| StreamingBlob::from_bytes(bytes::Bytes::new()));
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(error::body)?;
            received = received + ByteCount::of(&bytes);
            if received > self.length {
                return Err(S3ErrorCode::IncompleteBody.into());
            }
            lane.update(bytes.clone()).await;
            upload.write(bytes).await.map_err(ToS3::to_s3)?;
        }
        if received != self.length {
            return Err(S3ErrorCode::IncompleteBody.into());
        }
        let sums = lane.finish().await;
        md5::verify(self.md5, &sums.md5)?;
        self.promise.keep(sums.of(promised), trailers)?;
        Ok((upload, sums))
    }
}

fn length(declared: Option<i64>) -> S3Result<ByteCount> {
    let declared = declared.ok_or(S3ErrorCode::MissingContentLength)?;
    match u64::try_from(declared) {
        Ok(length) if length > LARGEST => Err(S3ErrorCode::EntityTooLarge.into()),
        Ok(length) => Ok(ByteCount::new(length)),
        Err(_) => Err(S3ErrorCode::InvalidArgument.into()),
    }
}

/// A place among the uploads whose chunks s3s holds back until it has checked their signatures.
pub(super) async fn place<'a>(
    adapter: &'a Adapter,
    headers: &HeaderMap,
) -> S3Result<Option<SemaphorePermit<'a>>> {
    let kind = headers.get("x-amz-content-sha256");
    if kind.is_none_or(|kind| !kind.as_bytes().starts_with(b"STREAMING-AWS4-")) {
        return Ok(None);
    }
    super::place(&adapter.signed_streams).await.map(Some)
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
