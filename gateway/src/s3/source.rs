//! What a copy is made from: named by `x-amz-copy-source`, found, and held against the copy's conditions.
//!
//! s3s has checked that the header is signed, like every `x-amz-*` header. Whoever copies reads: the source
//! is one that the caller may read, or it does not exist.

use super::condition::Conditions;
use super::headers::timestamp;
use super::{Adapter, null_version, object_key};
use crate::error::ToS3;
use crate::identity::Access;
use client::{Download, Head};
use http::HeaderMap;
use s3s::auth::Credentials;
use s3s::dto::{CopyObjectInput, CopySource as Named, UploadPartCopyInput};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use types::ObjectKey;
use types::size::ByteCount;
use types::wire::metadata::{Bucket, CopySource, Wanted};

use super::receive::LARGEST;

/// How often the source may change under a copy's hands before its client is told so.
pub(super) const ROUNDS: usize = 8;

/// What is copied, and under which conditions.
pub(super) struct Source {
    /// Its bucket.
    pub(super) bucket: Bucket,
    /// Its key.
    pub(super) key: ObjectKey,
    conditions: Conditions,
}

/// The headers that say what is copied.
pub(super) struct Asked {
    named: Named,
    owner: Option<String>,
    conditions: Conditions,
}

/// Two operations name a source by the same headers.
macro_rules! asks {
    ($($input:ty)*) => {$(
        impl From<&mut $input> for Asked {
            fn from(input: &mut $input) -> Self {
                Self {
                    named: input.copy_source.clone(),
                    owner: input.expected_source_bucket_owner.take(),
                    conditions: Conditions {
                        matches: input.copy_source_if_match.take(),
                        differs: input.copy_source_if_none_match.take(),
                        modified: input.copy_source_if_modified_since.take(),
                        unmodified: input.copy_source_if_unmodified_since.take(),
                    },
                }
            }
        }
    )*};
}

asks!(CopyObjectInput UploadPartCopyInput);

impl Source {
    /// Finds the bucket of what is asked for.
    ///
    /// # Errors
    /// There is none that the caller may read, or it is not named as it must be.
    pub(super) async fn find(
        adapter: &Adapter,
        headers: &HeaderMap,
        credentials: Option<&Credentials>,
        asked: Asked,
    ) -> S3Result<Self> {
        let Named::Bucket {
            bucket,
            key,
            version_id,
        } = spaced(headers, asked.named)
        else {
            return Err(s3_error!(
                NotImplemented,
                "There are no access points to copy from."
            ));
        };
        null_version(version_id.as_deref())?;
        if key.is_empty() {
            return Err(s3_error!(InvalidArgument, "Invalid copy source object key"));
        }
        let bucket = adapter
            .bucket(credentials, Access::Read, bucket.into(), asked.owner)
            .await?;
        Ok(Self {
            bucket,
            key: object_key(key.into())?,
            conditions: asked.conditions,
        })
    }

    /// The version that is there now, which the conditions allow to be copied.
    ///
    /// # Errors
    /// There is none, or they do not: a copy is never told that it is fresh, but that a precondition
    /// failed.
    pub(super) async fn look(&self, adapter: &Adapter) -> S3Result<Head> {
        let head = adapter
            .client
            .head(&self.bucket, &self.key, Wanted::Nothing)
            .await
            .map_err(ToS3::to_s3)?;
        let modified = timestamp(head.modified);
        self.conditions
            .check(&head.attributes.etag, &modified)
            .map_err(|_| S3Error::new(S3ErrorCode::PreconditionFailed))?;
        Ok(head)
    }

    /// That version, for the metadata service.
    pub(super) fn version(&self, head: &Head) -> CopySource {
        CopySource {
            bucket: self.bucket.id,
            key: self.key.clone(),
            version: head.version,
        }
    }

    /// Bytes of that version. None: it is no longer the current one.
    ///
    /// # Errors
    /// They cannot be read.
    pub(super) async fn read(
        &self,
        adapter: &Adapter,
        head: &Head,
        wanted: Wanted,
    ) -> S3Result<Option<Download>> {
        let download = adapter.client.get(&self.bucket, &self.key, wanted).await;
        let download = download.map_err(ToS3::to_s3)?;
        Ok((download.located.version == head.version).then_some(download))
    }
}

/// The source with its pluses taken for spaces, as S3 does and some clients (s5cmd) rely on. s3s decodes
/// percent signs alone.
fn spaced(headers: &HeaderMap, named: Named) -> Named {
    let told = headers.get("x-amz-copy-source");
    match told.and_then(|value| value.to_str().ok()) {
        Some(told) if told.contains('+') => {
            Named::parse(&told.replace('+', "%20")).unwrap_or(named)
        }
        _ => named,
    }
}

/// Whether one copy may be of so many bytes.
///
/// # Errors
/// It may not.
pub(super) fn copyable(length: ByteCount) -> S3Result<()> {
    if length.get() <= LARGEST {
        return Ok(());
    }
    Err(s3_error!(
        InvalidRequest,
        "The specified copy source is larger than the maximum allowable size for a copy source: {LARGEST}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// A plus in the header is a space, one that is encoded is a plus.
    /// Method: a table of headers as clients write them.
    #[test]
    fn a_plus_is_a_space() {
        for (header, expected) in [
            ("bucket/a+b", "a b"),
            ("/bucket/a%20b", "a b"),
            ("bucket/a%2Bb+c", "a+b c"),
            ("bucket/%C3%BC/x", "ü/x"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-amz-copy-source", HeaderValue::from_static(header));
            let plain = Named::parse(header).expect("a source");
            let Named::Bucket { key, .. } = spaced(&headers, plain) else {
                panic!("{header} names a bucket");
            };
            assert_eq!(&*key, expected);
        }
    }
}
