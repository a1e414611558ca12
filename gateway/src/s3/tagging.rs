//! Tags of objects and buckets: what a set of them may be, and its operations.
//!
//! A set is checked where it comes in, from a header or a document, and kept in order of name: so it is
//! shown in one order, however it was sent.

use super::documents::Document;
use super::{Adapter, null_version, object_key};
use crate::error::ToS3;
use crate::identity::Access;
use crate::refuse;
use s3s::dto::{
    DeleteBucketTaggingInput, DeleteBucketTaggingOutput, DeleteObjectTaggingInput,
    DeleteObjectTaggingOutput, GetBucketTaggingInput, GetBucketTaggingOutput,
    GetObjectTaggingInput, GetObjectTaggingOutput, Tag, Tagging,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use types::wire::metadata::Tags;

/// Tags of one object, as on S3.
const OF_OBJECT: usize = 10;
/// Tags of one bucket, as on S3.
const OF_BUCKET: usize = 50;
/// UTF-16 units of a name.
const NAME: usize = 128;
/// UTF-16 units of a value.
const VALUE: usize = 256;
/// Besides letters, digits and spaces.
const SIGNS: &str = "_.:/=+-@";
/// Names that S3 keeps for itself.
const RESERVED: &str = "aws:";

/// The tags in `x-amz-tagging`: names and values encoded as in a query.
///
/// # Errors
/// `InvalidArgument` when it is no such text, `InvalidTag` when a tag or their number is not allowed.
pub(super) fn of_header(header: Option<&str>) -> S3Result<Tags> {
    let pairs = header.unwrap_or_default().split('&');
    let pairs = pairs.filter(|pair| !pair.is_empty());
    let tags: S3Result<Vec<_>> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((plain(name)?, plain(value)?))
        })
        .collect();
    checked(tags?, OF_OBJECT)
}

/// Undoes the encoding of a query, in which a space may be a plus.
fn plain(text: &str) -> S3Result<String> {
    let bytes = refuse::decode_bytes(&text.replace('+', " "));
    String::from_utf8(bytes).map_err(|_| {
        s3_error!(
            InvalidArgument,
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates."
        )
    })
}

/// The tags in a document.
///
/// # Errors
/// `MalformedXML` when a tag has no name or no value, `InvalidTag` as [`of_header`].
fn of_document(tagging: Tagging, most: usize) -> S3Result<Tags> {
    let both = |tag: Tag| tag.key.zip(tag.value);
    let tags: Option<Vec<_>> = tagging.tag_set.into_iter().map(both).collect();
    checked(tags.ok_or(S3ErrorCode::MalformedXML)?, most)
}

fn checked(mut tags: Vec<(String, String)>, most: usize) -> S3Result<Tags> {
    if tags.len() > most {
        return Err(s3_error!(InvalidTag, "There can be {most} tags at most."));
    }
    for (name, value) in &tags {
        if !(1..=NAME).contains(&units(name)) || !is_allowed(name) {
            return Err(s3_error!(
                InvalidTag,
                "The TagKey you have provided is invalid"
            ));
        }
        if name.starts_with(RESERVED) {
            return Err(s3_error!(
                InvalidTag,
                "System tags cannot be added/updated by requester"
            ));
        }
        if units(value) > VALUE || !is_allowed(value) {
            return Err(s3_error!(
                InvalidTag,
                "The TagValue you have provided is invalid"
            ));
        }
    }
    tags.sort();
    if tags.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(s3_error!(
            InvalidTag,
            "Cannot provide multiple Tags with the same key"
        ));
    }
    Ok(Tags(tags))
}

/// S3 counts as Java does.
fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

fn is_allowed(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_alphanumeric() || SIGNS.contains(c) || (c.is_whitespace() && !c.is_control()))
}

fn shown(tags: Tags) -> Vec<Tag> {
    let tag = |(key, value)| Tag {
        key: Some(key),
        value: Some(value),
    };
    tags.0.into_iter().map(tag).collect()
}

/// PutObjectTagging, its document read and verified.
pub(super) async fn put_object(adapter: &Adapter, document: &Document) -> S3Result<()> {
    null_version(document.query("versionId").as_deref())?;
    let key = object_key(document.key.clone().unwrap_or_default())?;
    let tags = of_document(document.parse()?, OF_OBJECT)?;
    adapter
        .client
        .set_tags(&document.bucket, key, tags)
        .await
        .map_err(ToS3::to_s3)
}

/// PutBucketTagging, its document read and verified.
pub(super) async fn put_bucket(adapter: &Adapter, document: &Document) -> S3Result<()> {
    let tags = of_document(document.parse()?, OF_BUCKET)?;
    adapter
        .client
        .set_bucket_tags(&document.bucket, Some(tags))
        .await
        .map_err(ToS3::to_s3)
}

pub(super) async fn get_object(
    adapter: &Adapter,
    request: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let input = request.input;
    null_version(input.version_id.as_deref())?;
    let key = object_key(input.key)?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Read,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let tags = adapter.client.tags(&bucket, &key).await;
    Ok(S3Response::new(GetObjectTaggingOutput {
        tag_set: shown(tags.map_err(ToS3::to_s3)?),
        version_id: None,
    }))
}

pub(super) async fn delete_object(
    adapter: &Adapter,
    request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let input = request.input;
    null_version(input.version_id.as_deref())?;
    let key = object_key(input.key)?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Write,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    adapter
        .client
        .set_tags(&bucket, key, Tags::default())
        .await
        .map_err(ToS3::to_s3)?;
    Ok(S3Response::new(DeleteObjectTaggingOutput::default()))
}

pub(super) async fn get_bucket(
    adapter: &Adapter,
    request: S3Request<GetBucketTaggingInput>,
) -> S3Result<S3Response<GetBucketTaggingOutput>> {
    let input = request.input;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Read,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let tags = adapter.client.bucket_tags(&bucket).await;
    match tags.map_err(ToS3::to_s3)? {
        Some(tags) => Ok(S3Response::new(GetBucketTaggingOutput {
            tag_set: shown(tags),
        })),
        None => Err(no_tag_set()),
    }
}

pub(super) async fn delete_bucket(
    adapter: &Adapter,
    request: S3Request<DeleteBucketTaggingInput>,
) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
    let input = request.input;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Write,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    adapter
        .client
        .set_bucket_tags(&bucket, None)
        .await
        .map_err(ToS3::to_s3)?;
    Ok(S3Response::new(DeleteBucketTaggingOutput {}))
}

fn no_tag_set() -> S3Error {
    s3_error!(NoSuchTagSet, "The TagSet does not exist")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(result: S3Result<Tags>) -> Result<Vec<(String, String)>, String> {
        result
            .map(|tags| tags.0)
            .map_err(|error| error.code().as_str().to_owned())
    }

    fn pairs(tags: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        tags.iter().map(owned).collect()
    }

    /// A header says names and values, encoded as in a query; what cannot be one is refused.
    /// Method: a table of headers.
    #[test]
    fn headers_become_tags() {
        for (header, expected) in [
            ("", Ok(pairs(&[]))),
            ("foo=bar&bar", Ok(pairs(&[("bar", ""), ("foo", "bar")]))),
            ("a=1&&b=", Ok(pairs(&[("a", "1"), ("b", "")]))),
            ("a+b=c%2Bd", Ok(pairs(&[("a b", "c+d")]))),
            ("%C3%A4=%F0%9D%90%80", Ok(pairs(&[("ä", "𝐀")]))),
            ("a=b=c", Ok(pairs(&[("a", "b=c")]))),
            ("=x", Err("InvalidTag")),
            ("a=1&a=2", Err("InvalidTag")),
            ("aws:a=1", Err("InvalidTag")),
            ("a=%0A", Err("InvalidTag")),
            ("a%3Cb=1", Err("InvalidTag")),
            ("a=%FF", Err("InvalidArgument")),
            ("a&b&c&d&e&f&g&h&i&j&k", Err("InvalidTag")),
        ] {
            let expected = expected.map_err(str::to_owned);
            assert_eq!(told(of_header(Some(header))), expected, "{header}");
        }
        assert_eq!(told(of_header(None)), Ok(pairs(&[])));
    }

    /// Tags are as many and as long as S3 allows, counted in UTF-16 units, and no more.
    /// Method: each bound and one above it; a letter of two units.
    #[test]
    fn tags_are_bounded() {
        let one = |name: &str, value: &str| told(checked(pairs(&[(name, value)]), 1)).is_ok();
        assert!(one(&"n".repeat(NAME), &"v".repeat(VALUE)));
        assert!(!one(&"n".repeat(NAME + 1), ""));
        assert!(!one("n", &"v".repeat(VALUE + 1)));
        assert!(one(&"𝐀".repeat(NAME / 2), &"𝐀".repeat(VALUE / 2)));
        assert!(!one(&"𝐀".repeat(NAME / 2 + 1), ""));
        assert!(!one("n", &"𝐀".repeat(VALUE / 2 + 1)));
        for most in [OF_OBJECT, OF_BUCKET] {
            let tags = |count: usize| (0..count).map(|n| (n.to_string(), String::new())).collect();
            assert!(checked(tags(most), most).is_ok());
            assert!(checked(tags(most + 1), most).is_err());
        }
    }

    /// A document's tag has both a name and a value.
    /// Method: tags that lack one.
    #[test]
    fn documents_are_whole() {
        let tag = |key: Option<&str>, value: Option<&str>| Tag {
            key: key.map(str::to_owned),
            value: value.map(str::to_owned),
        };
        for (tag, expected) in [
            (tag(Some("a"), Some("")), Ok(pairs(&[("a", "")]))),
            (tag(Some("a"), None), Err("MalformedXML".to_owned())),
            (tag(None, Some("a")), Err("MalformedXML".to_owned())),
        ] {
            let tagging = Tagging { tag_set: vec![tag] };
            assert_eq!(told(of_document(tagging, 1)), expected);
        }
    }
}
