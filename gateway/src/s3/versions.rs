//! ListObjectVersions. A bucket without versioning has one version of each object, whose id is `null`: tools
//! that empty a bucket ask for them here, and name them when they delete.

use super::Adapter;
use super::list::{self, Encoding, Question};
use crate::identity::Access;
use s3s::dto::{
    ListObjectVersionsInput, ListObjectVersionsOutput, Object, ObjectVersion,
    ObjectVersionStorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

/// The version that every object has.
const NULL: &str = "null";

pub(super) async fn list(
    adapter: &Adapter,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let limit = list::limit(input.max_keys, "maxKeys")?;
    list::optional(input.optional_object_attributes.as_deref())?;
    let after_version = input.version_id_marker.filter(|text| !text.is_empty());
    let after_key = input.key_marker.filter(|text| !text.is_empty());
    marker(after_key.as_deref(), after_version.as_deref())?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Read,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let delimiter = input.delimiter.filter(|text| !text.is_empty());
    let question = Question {
        prefix: input.prefix.clone(),
        delimiter: delimiter.clone(),
        after: after_key.clone(),
        limit,
    };
    let owner = adapter.owner(request.credentials.as_ref(), &bucket).await?;
    let answer = list::ask(adapter, &bucket, question, encoding, Some(owner)).await?;
    let next_version = answer.last.as_ref().map(|_| NULL.to_owned());
    Ok(S3Response::new(ListObjectVersionsOutput {
        name: Some(bucket.name.into()),
        prefix: Some(encoding.write(input.prefix.unwrap_or_default())),
        delimiter: delimiter.map(|text| encoding.write(text)),
        key_marker: Some(encoding.write(after_key.unwrap_or_default())),
        version_id_marker: Some(after_version.unwrap_or_default()),
        max_keys: Some(limit),
        encoding_type: input.encoding_type,
        is_truncated: Some(answer.last.is_some()),
        next_key_marker: answer.last.map(|last| encoding.write(last)),
        next_version_id_marker: next_version,
        versions: Some(answer.objects.into_iter().map(only_version).collect()),
        common_prefixes: Some(answer.prefixes),
        ..Default::default()
    }))
}

/// Whether a listing can go on there. A page never ends within the versions of a key, so that the key alone
/// says where.
fn marker(key: Option<&str>, version: Option<&str>) -> S3Result<()> {
    match (key, version) {
        (_, None) | (Some(_), Some(NULL)) => Ok(()),
        (None, Some(_)) => Err(s3_error!(
            InvalidArgument,
            "A version-id marker cannot be specified without a key marker."
        )),
        (Some(_), Some(_)) => Err(s3_error!(InvalidArgument, "Invalid version id specified")),
    }
}

fn only_version(object: Object) -> ObjectVersion {
    ObjectVersion {
        version_id: Some(NULL.to_owned()),
        is_latest: Some(true),
        key: object.key,
        size: object.size,
        last_modified: object.last_modified,
        e_tag: object.e_tag,
        storage_class: Some(ObjectVersionStorageClass::from_static(
            ObjectVersionStorageClass::STANDARD,
        )),
        checksum_type: object.checksum_type,
        checksum_algorithm: object.checksum_algorithm,
        owner: object.owner,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listing goes on behind a key, and behind its only version.
    /// Method: a table of markers.
    #[test]
    fn markers_are_checked() {
        for (key, version, fits) in [
            (None, None, true),
            (Some("k"), None, true),
            (Some("k"), Some("null"), true),
            (None, Some("null"), false),
            (Some("k"), Some("3HL4kqtJvjVBH40Nrjfkd"), false),
        ] {
            assert_eq!(marker(key, version).is_ok(), fits, "{key:?} {version:?}");
        }
    }
}
