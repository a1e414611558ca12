//! GetObjectAttributes: what is known of an object without its metadata, parts among it.

use super::checksum_fields::fill;
use super::headers::timestamp;
use super::list;
use super::parts::page_start;
use super::{Adapter, null_version, object_key};
use crate::checksum;
use crate::error::ToS3;
use crate::identity::Access;
use client::{GetError, Head};
use s3s::dto::{
    Checksum as ShownChecksum, ChecksumType, ETag, GetObjectAttributesInput,
    GetObjectAttributesOutput, GetObjectAttributesParts, ObjectAttributes, ObjectPart,
    StorageClass,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use types::ObjectKey;
use types::wire::metadata::{Bucket, ListParts, PartPage, Wanted};

/// How often the object may change between two questions about it.
const ROUNDS: usize = 8;

/// What is asked for.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
struct Asked {
    checksum: bool,
    etag: bool,
    parts: bool,
    size: bool,
    storage_class: bool,
}

/// Which parts are asked for.
#[derive(Clone, Copy)]
struct Page {
    after: u32,
    limit: i32,
}

pub(super) async fn get(
    adapter: &Adapter,
    request: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let input = request.input;
    null_version(input.version_id.as_deref())?;
    let asked = Asked::of(&input.object_attributes)?;
    let page = Page {
        after: page_start(input.part_number_marker)?,
        limit: list::limit(input.max_parts, "max-parts")?,
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
    for _ in 0..ROUNDS {
        let head = adapter.client.head(&bucket, &key, Wanted::Nothing).await;
        let head = head.map_err(ToS3::to_s3)?;
        let parts = match asked.parts && head.parts > 0 {
            false => None,
            true => match parts(adapter, &bucket, &key, &head, page).await? {
                Some(parts) => Some(parts),
                None => continue,
            },
        };
        return Ok(S3Response::new(asked.answer(head, parts)));
    }
    Err(S3ErrorCode::OperationAborted.into())
}

/// The parts of that version. None: it is not the current one any more.
async fn parts(
    adapter: &Adapter,
    bucket: &Bucket,
    key: &ObjectKey,
    head: &Head,
    page: Page,
) -> S3Result<Option<GetObjectAttributesParts>> {
    let listed = adapter.client.parts(ListParts {
        bucket: bucket.id,
        key: key.clone(),
        upload: head.version,
        after: page.after,
        limit: page.limit.unsigned_abs(),
    });
    match listed.await {
        Ok(listed) => Ok(Some(shown(listed, head, page))),
        Err(GetError::NoSuchUpload) => Ok(None),
        Err(error) => Err(error.to_s3()),
    }
}

fn shown(listed: PartPage, head: &Head, page: Page) -> GetObjectAttributesParts {
    let last = listed.parts.last().map_or(page.after, |part| part.number);
    // Of a part's checksums, that which went into the object's.
    let sums = &head.attributes.checksums;
    let of_object = |algorithm| sums.iter().any(|sum| sum.algorithm == algorithm);
    let parts = listed.parts.iter().map(|part| {
        let mut shown = ObjectPart {
            part_number: i32::try_from(part.number).ok(),
            size: i64::try_from(part.length.get()).ok(),
            ..Default::default()
        };
        let checksums = part.checksums.iter();
        fill(
            &mut shown,
            checksums.filter(|sum| of_object(sum.algorithm)),
            0,
        );
        shown
    });
    GetObjectAttributesParts {
        is_truncated: Some(listed.truncated),
        max_parts: Some(page.limit),
        part_number_marker: i32::try_from(page.after).ok(),
        next_part_number_marker: i32::try_from(last).ok(),
        parts: Some(parts.collect()),
        total_parts_count: i32::try_from(head.parts).ok(),
    }
}

impl Asked {
    /// Reads `x-amz-object-attributes`: one header or several, each a list.
    fn of(headers: &[ObjectAttributes]) -> S3Result<Self> {
        let mut asked = Self::default();
        let names = headers.iter().flat_map(|header| header.as_str().split(','));
        for name in names {
            let field = match name.trim() {
                ObjectAttributes::CHECKSUM => &mut asked.checksum,
                ObjectAttributes::ETAG => &mut asked.etag,
                ObjectAttributes::OBJECT_PARTS => &mut asked.parts,
                ObjectAttributes::OBJECT_SIZE => &mut asked.size,
                ObjectAttributes::STORAGE_CLASS => &mut asked.storage_class,
                _ => {
                    return Err(s3_error!(
                        InvalidArgument,
                        "Invalid attribute name specified."
                    ));
                }
            };
            *field = true;
        }
        Ok(asked)
    }

    fn answer(
        self,
        head: Head,
        object_parts: Option<GetObjectAttributesParts>,
    ) -> GetObjectAttributesOutput {
        let sums = &head.attributes.checksums;
        let checksum = sums.first().filter(|_| self.checksum).map(|first| {
            let mut shown = ShownChecksum {
                checksum_type: Some(ChecksumType::from_static(checksum::kind_name(first.kind))),
                ..Default::default()
            };
            fill(&mut shown, sums, head.parts);
            shown
        });
        let standard = || StorageClass::from_static(StorageClass::STANDARD);
        GetObjectAttributesOutput {
            checksum,
            object_size: self
                .size
                .then(|| i64::try_from(head.length.get()).unwrap_or(i64::MAX)),
            e_tag: self
                .etag
                .then(|| ETag::Strong(head.attributes.etag.clone())),
            storage_class: self.storage_class.then(standard),
            object_parts,
            last_modified: Some(timestamp(head.modified)),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked for is told, however the list is sent, and an unknown name is refused.
    /// Method: a table of headers.
    #[test]
    fn attributes_are_listed() {
        let of = |headers: &[&'static str]| {
            let headers: Vec<_> = headers
                .iter()
                .map(|header| ObjectAttributes::from_static(header))
                .collect();
            Asked::of(&headers).ok()
        };
        let both = Asked {
            etag: true,
            size: true,
            ..Asked::default()
        };
        assert_eq!(of(&["ETag,ObjectSize"]), Some(both));
        assert_eq!(of(&["ObjectSize, ETag"]), Some(both));
        assert_eq!(of(&["ETag", "ObjectSize"]), Some(both));
        for bad in ["", "etag", "ETag,,ObjectSize", "ETag,Owner"] {
            assert_eq!(of(&[bad]), None, "{bad}");
        }
    }
}
