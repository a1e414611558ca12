//! UploadPartCopy: bytes of an object become a part of an upload, by reference where the cluster can share
//! them, else by value.
//!
//! By reference nobody reads the bytes, so their MD5 is known only of a whole object that was put in one
//! piece; any other part's ETag is 32 digits that say which bytes of which version they are. And a checksum
//! is known only of a whole object: an upload that asks for one gets other bytes by value.

use super::checksum_fields::fill;
use super::headers::timestamp;
use super::multipart::upload_id;
use super::parts::{part_number, under_way};
use super::pour::pour;
use super::source::{ROUNDS, Source, copyable};
use super::{Adapter, object_key};
use crate::checksum;
use crate::checksum_object::UNASKED;
use crate::error::{self, ToS3};
use crate::identity::Access;
use client::{Head, PutError};
use s3s::crypto::{Checksum as _, Sha256};
use s3s::dto::{CopyPartResult, ETag, UploadPartCopyInput, UploadPartCopyOutput};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use types::attributes::{Checksum, ChecksumAlgorithm, ChecksumKind};
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{Bucket, Upload, WallTime, Wanted};
use types::{ObjectKey, VersionId};

/// The part that is to be.
struct Target {
    bucket: Bucket,
    key: ObjectKey,
    upload: VersionId,
    number: u32,
}

/// The part that is.
struct Made {
    modified: WallTime,
    etag: String,
    checksums: Vec<Checksum>,
}

pub(super) async fn copy(
    adapter: &Adapter,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    checksum::of_nothing(&request.headers)?;
    let mut input = request.input;
    let credentials = request.credentials.as_ref();
    let source = (&mut input).into();
    let range = input.copy_source_range.as_deref().map(parse).transpose()?;
    let number = part_number(input.part_number)?;
    let key = object_key(input.key)?;
    let bucket = adapter
        .bucket(
            credentials,
            Access::Write,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let source = Source::find(adapter, &request.headers, credentials, source).await?;
    let target = Target {
        upload: upload_id(&input.upload_id)?,
        bucket,
        key,
        number,
    };
    for _ in 0..ROUNDS {
        let upload = under_way(adapter, &target.bucket, &target.key, target.upload).await?;
        let head = source.look(adapter).await?;
        let (first, length) = within(range, head.length)?;
        copyable(length)?;
        let made = target.make(adapter, &upload, &source, &head, first, length);
        if let Some(made) = made.await? {
            return Ok(S3Response::new(UploadPartCopyOutput {
                copy_part_result: Some(shown(made)),
                ..Default::default()
            }));
        }
    }
    Err(S3ErrorCode::OperationAborted.into())
}

/// The first and the last byte of `x-amz-copy-source-range`, which knows one form.
fn parse(text: &str) -> S3Result<(u64, u64)> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits)
    };
    let range = text.strip_prefix("bytes=");
    let ends = range.and_then(|range| range.split_once('-'));
    let ends = ends.and_then(|(first, last)| number(first).zip(number(last)));
    ends.filter(|(first, last)| first <= last).ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy"
        )
    })
}

/// Where the bytes lie in an object of `length`. Unlike a GET's, the range is never cut short.
fn within(range: Option<(u64, u64)>, length: ByteCount) -> S3Result<(ByteOffset, ByteCount)> {
    match range {
        None => Ok((ByteOffset::ZERO, length)),
        Some((first, last)) if last < length.get() => {
            Ok((ByteOffset::new(first), ByteCount::new(last - first + 1)))
        }
        Some(_) => Err(error::outside(length)),
    }
}

impl Target {
    /// Copies bytes of that version of the source. None: it is not the current one any more.
    async fn make(
        &self,
        adapter: &Adapter,
        upload: &Upload,
        source: &Source,
        head: &Head,
        first: ByteOffset,
        length: ByteCount,
    ) -> S3Result<Option<Made>> {
        let (wanted, _) = upload.checksum.unwrap_or(UNASKED);
        let whole = length == head.length;
        let known = known(head, wanted).filter(|_| whole);
        if known.is_some() || upload.checksum.is_none() {
            let checksums: Vec<Checksum> = known.cloned().into_iter().collect();
            let etag = etag(head, first, length);
            let copied = adapter.client.copy_part(
                source.version(head),
                first,
                length,
                &self.bucket,
                self.key.clone(),
                self.upload,
                self.number,
                etag.clone(),
                checksums.clone(),
            );
            match copied.await {
                Ok(modified) => {
                    return Ok(Some(Made {
                        modified,
                        etag,
                        checksums,
                    }));
                }
                Err(PutError::SourceChanged) => return Ok(None),
                Err(PutError::NotShareable) => {}
                Err(error) => return Err(error.to_s3()),
            }
        }
        self.by_value(adapter, wanted, source, head, first, length)
            .await
    }

    async fn by_value(
        &self,
        adapter: &Adapter,
        wanted: ChecksumAlgorithm,
        source: &Source,
        head: &Head,
        first: ByteOffset,
        length: ByteCount,
    ) -> S3Result<Option<Made>> {
        let _place = super::place(&adapter.copies).await?;
        let whole = length == head.length;
        let range = match whole {
            true => Wanted::All,
            false => Wanted::Range(first, length),
        };
        let Some(download) = source.read(adapter, head, range).await? else {
            return Ok(None);
        };
        let part = adapter
            .client
            .put_part(
                &self.bucket,
                self.key.clone(),
                self.upload,
                self.number,
                Some(length),
            )
            .await
            .map_err(ToS3::to_s3)?;
        let known: &[Checksum] = match whole {
            true => &head.attributes.checksums,
            false => &[],
        };
        let (part, sums) = pour(download, part, wanted, known).await?;
        let etag = hex::encode(sums.md5);
        let modified = part
            .finish_part(etag.clone(), sums.checksums.clone())
            .await
            .map_err(ToS3::to_s3)?;
        Ok(Some(Made {
            modified,
            etag,
            checksums: sums.checksums,
        }))
    }
}

/// The checksum over all bytes of an object, of that algorithm.
fn known(head: &Head, algorithm: ChecksumAlgorithm) -> Option<&Checksum> {
    let mut sums = head.attributes.checksums.iter();
    sums.find(|sum| sum.algorithm == algorithm && sum.kind == ChecksumKind::FullObject)
}

/// The ETag of a part that nobody has read.
fn etag(head: &Head, first: ByteOffset, length: ByteCount) -> String {
    let etag = &head.attributes.etag;
    let is_md5 = etag.len() == 32 && head.parts == 0;
    if is_md5 && length == head.length {
        return etag.clone();
    }
    let mut hash = Sha256::new();
    hash.update(head.version.as_bytes());
    hash.update(&first.get().to_be_bytes());
    hash.update(&length.get().to_be_bytes());
    hex::encode(&hash.finalize()[..16])
}

fn shown(made: Made) -> CopyPartResult {
    let mut result = CopyPartResult {
        e_tag: Some(ETag::Strong(made.etag)),
        last_modified: Some(timestamp(made.modified)),
        ..Default::default()
    };
    fill(&mut result, &made.checksums, 0);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Attributes;

    /// A range is of one form, and lies inside the object.
    /// Method: the forms that S3 refuses, and those around an object of ten bytes.
    #[test]
    fn ranges_are_strict() {
        for (text, expected) in [
            ("bytes=0-9", Ok((0, 10))),
            ("bytes=9-9", Ok((9, 1))),
            ("bytes=0-10", Err("InvalidRange")),
            ("bytes=10-10", Err("InvalidRange")),
            ("bytes=0-18446744073709551615", Err("InvalidRange")),
            ("bytes=0-18446744073709551616", Err("InvalidArgument")),
            ("bytes=5-2", Err("InvalidArgument")),
            ("0-2", Err("InvalidArgument")),
            ("bytes=0", Err("InvalidArgument")),
            ("bytes=hello-world", Err("InvalidArgument")),
            ("bytes=0-bar", Err("InvalidArgument")),
            ("bytes=hello-", Err("InvalidArgument")),
            ("bytes=0-2,3-5", Err("InvalidArgument")),
            ("bytes=-5", Err("InvalidArgument")),
            ("bytes=5-", Err("InvalidArgument")),
            ("bytes=+1-2", Err("InvalidArgument")),
            ("bytes= 1-2", Err("InvalidArgument")),
        ] {
            let told = parse(text).and_then(|range| within(Some(range), ByteCount::new(10)));
            let told = told.map(|(first, length)| (first.get(), length.get()));
            let told = told.map_err(|error| error.code().as_str().to_owned());
            assert_eq!(told, expected.map_err(str::to_owned), "{text}");
        }
    }

    /// Bytes that nobody reads have an ETag of 32 digits: the object's where that is theirs, else one that
    /// tells ranges and versions apart.
    /// Method: a table of ranges over two versions, plain and of parts.
    #[test]
    fn unread_bytes_have_etags() {
        let md5 = "25f9e794323b453885f5181f1b624d0b";
        let head = |version, etag: &str, parts| Head {
            version: VersionId::new([version; 16]),
            length: ByteCount::new(10),
            modified: WallTime(0),
            attributes: Attributes {
                etag: etag.to_owned(),
                ..Attributes::default()
            },
            first: ByteOffset::ZERO,
            wanted: ByteCount::ZERO,
            parts,
            tags: 0,
        };
        let of =
            |head: &Head, first, length| etag(head, ByteOffset::new(first), ByteCount::new(length));
        let plain = head(1, md5, 0);
        assert_eq!(of(&plain, 0, 10), md5);
        let others = [
            of(&plain, 0, 9),
            of(&plain, 1, 9),
            of(&head(2, md5, 0), 0, 9),
            of(&head(1, &format!("{md5}-2"), 2), 0, 10),
        ];
        for (at, etag) in others.iter().enumerate() {
            assert_eq!(etag.len(), 32);
            assert!(hex::decode(etag).is_ok() && !others[..at].contains(etag));
        }
    }
}
