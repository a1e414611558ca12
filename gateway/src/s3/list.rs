//! ListObjectsV2 and ListObjects: pages of a bucket in byte order of its keys.
//!
//! The metadata service seeks and cuts; here a request becomes its question, and its page the answer.
//! Where a listing goes on, a [`Token`](super::token) says.

use super::Adapter;
use super::headers::timestamp;
use super::token::Token;
use crate::checksum;
use crate::error::ToS3;
use crate::identity::Access;
use crate::xml;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, ETag, EncodingType, ListObjectsInput,
    ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass,
    OptionalObjectAttributes, Owner,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};
use types::attributes::ChecksumKind;
use types::wire::metadata::{Bucket, List, ListEntry, ListPage};

/// Entries on a page unless fewer are asked for; more are never given.
const PAGE: i32 = 1000;

/// The one attribute that may be asked for beside those that are always told. Nothing is ever archived
/// here, so no object has it.
const RESTORE_STATUS: &str = "RestoreStatus";

/// How keys and prefixes are written in the answer.
#[derive(Clone, Copy)]
pub(super) enum Encoding {
    /// As they are.
    Plain,
    /// Percent-encoded.
    Url,
}

/// What each operation that lists asks.
pub(super) struct Question {
    pub(super) prefix: Option<String>,
    pub(super) delimiter: Option<String>,
    pub(super) after: Option<String>,
    pub(super) limit: i32,
}

/// What each answers.
pub(super) struct Answer {
    pub(super) objects: Vec<Object>,
    pub(super) prefixes: Vec<CommonPrefix>,
    /// The last entry, when more follow.
    pub(super) last: Option<String>,
}

pub(super) async fn list_v2(
    adapter: &Adapter,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let limit = limit(input.max_keys, "maxKeys")?;
    optional(input.optional_object_attributes.as_deref())?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Read,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let owner = match input.fetch_owner {
        Some(true) => Some(adapter.owner(request.credentials.as_ref(), &bucket).await?),
        _ => None,
    };
    let delimiter = input.delimiter.filter(|text| !text.is_empty());
    let token = Token::of(bucket.id, input.prefix.as_deref(), delimiter.as_deref());
    let after = match input.continuation_token.as_deref() {
        None | Some("") => input.start_after.clone(),
        Some(sealed) => Some(token.open(sealed)?),
    };
    let question = Question {
        prefix: input.prefix.clone(),
        delimiter: delimiter.clone(),
        after,
        limit,
    };
    let answer = ask(adapter, &bucket, question, encoding, owner).await?;
    let count = answer.objects.len() + answer.prefixes.len();
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(bucket.name.into()),
        prefix: Some(encoding.write(input.prefix.unwrap_or_default())),
        delimiter: delimiter.map(|text| encoding.write(text)),
        max_keys: Some(limit),
        key_count: Some(i32::try_from(count).unwrap_or(PAGE)),
        continuation_token: input.continuation_token,
        start_after: input.start_after.map(|text| encoding.write(text)),
        encoding_type: input.encoding_type,
        is_truncated: Some(answer.last.is_some()),
        next_continuation_token: answer.last.map(|last| token.write(&last)),
        contents: Some(answer.objects),
        common_prefixes: Some(answer.prefixes),
        ..Default::default()
    }))
}

pub(super) async fn list_v1(
    adapter: &Adapter,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let limit = limit(input.max_keys, "maxKeys")?;
    optional(input.optional_object_attributes.as_deref())?;
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
        after: input.marker.clone(),
        limit,
    };
    let owner = adapter.owner(request.credentials.as_ref(), &bucket).await?;
    let answer = ask(adapter, &bucket, question, encoding, Some(owner)).await?;
    // Without a delimiter the last key serves as marker, and S3 does not repeat it.
    let truncated = answer.last.is_some();
    let next = answer.last.filter(|_| delimiter.is_some());
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(bucket.name.into()),
        prefix: Some(encoding.write_sparingly(input.prefix.unwrap_or_default())),
        marker: Some(encoding.write(input.marker.unwrap_or_default())),
        delimiter: delimiter.map(|text| encoding.write(text)),
        max_keys: Some(limit),
        encoding_type: input.encoding_type,
        is_truncated: Some(truncated),
        next_marker: next.map(|last| encoding.write(last)),
        contents: Some(answer.objects),
        common_prefixes: Some(answer.prefixes),
        ..Default::default()
    }))
}

pub(super) async fn ask(
    adapter: &Adapter,
    bucket: &Bucket,
    question: Question,
    encoding: Encoding,
    owner: Option<Owner>,
) -> S3Result<Answer> {
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let page = adapter
        .client
        .list(List {
            bucket: bucket.id,
            prefix: question.prefix.unwrap_or_default(),
            delimiter: question.delimiter,
            after: some(question.after),
            limit: question.limit.unsigned_abs(),
        })
        .await
        .map_err(ToS3::to_s3)?;
    Ok(answer(page, encoding, owner.as_ref()))
}

fn answer(page: ListPage, encoding: Encoding, owner: Option<&Owner>) -> Answer {
    let last = page.entries.last().filter(|_| page.truncated);
    let last = last.map(|entry| match entry {
        ListEntry::Object { key, .. } => key.as_str().to_owned(),
        ListEntry::CommonPrefix(prefix) => prefix.clone(),
    });
    let mut objects = Vec::new();
    let mut prefixes = Vec::new();
    for entry in page.entries {
        match entry {
            ListEntry::CommonPrefix(prefix) => prefixes.push(CommonPrefix {
                prefix: Some(encoding.write(prefix)),
            }),
            ListEntry::Object {
                key,
                length,
                modified,
                etag,
                checksums,
            } => objects.push(Object {
                key: Some(encoding.write(key.into())),
                size: i64::try_from(length.get()).ok(),
                last_modified: Some(timestamp(modified)),
                e_tag: Some(ETag::Strong(etag)),
                storage_class: Some(ObjectStorageClass::from_static(
                    ObjectStorageClass::STANDARD,
                )),
                checksum_type: checksums
                    .first()
                    .map(|(_, kind)| ChecksumType::from_static(checksum::kind_name(*kind))),
                checksum_algorithm: algorithms(&checksums),
                owner: owner.cloned(),
                ..Default::default()
            }),
        }
    }
    Answer {
        objects,
        prefixes,
        last,
    }
}

/// What an object is stored with; nothing where that is nothing.
fn algorithms(
    checksums: &[(types::attributes::ChecksumAlgorithm, ChecksumKind)],
) -> Option<Vec<ChecksumAlgorithm>> {
    let named = checksums
        .iter()
        .map(|(algorithm, _)| ChecksumAlgorithm::from_static(checksum::name(*algorithm)));
    let named: Vec<_> = named.collect();
    (!named.is_empty()).then_some(named)
}

/// Whether there are such attributes.
pub(super) fn optional(asked: Option<&[OptionalObjectAttributes]>) -> S3Result<()> {
    let names = asked.unwrap_or_default().iter();
    let mut names = names.flat_map(|names| names.as_str().split(','));
    if names.all(|name| name.trim() == RESTORE_STATUS) {
        return Ok(());
    }
    Err(s3_error!(
        InvalidArgument,
        "Invalid attribute name specified"
    ))
}

/// How many entries a page has, where `argument` asked for so many: at most 1000.
///
/// # Errors
/// Fewer than none were asked for.
pub(super) fn limit(asked: Option<i32>, argument: &str) -> S3Result<i32> {
    match asked {
        None => Ok(PAGE),
        Some(asked) if asked >= 0 => Ok(asked.min(PAGE)),
        Some(_) => Err(s3_error!(
            InvalidArgument,
            "Argument {argument} must be an integer between 0 and 2147483647."
        )),
    }
}

impl Encoding {
    pub(super) fn of(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self::Plain),
            Some(EncodingType::URL) => Ok(Self::Url),
            Some(_) => Err(s3_error!(
                InvalidArgument,
                "Invalid Encoding Method specified in Request."
            )),
        }
    }

    /// Clients decode `+` as a space, or leave it: so neither is sent.
    pub(super) fn write(self, text: String) -> String {
        if matches!(self, Self::Plain) {
            return xml::hide(text);
        }
        let mut encoded = String::with_capacity(text.len() + 16);
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                    encoded.push(char::from(byte));
                }
                _ => encoded.push_str(&format!("%{byte:02X}")),
            }
        }
        encoded
    }

    /// For the prefix that ListObjects repeats: botocore asks for this encoding and undoes it everywhere but
    /// there, other SDKs there, too. So nothing is encoded that a decoder leaves alone and XML can carry.
    fn write_sparingly(self, text: String) -> String {
        if matches!(self, Self::Plain) {
            return xml::hide(text);
        }
        let mut encoded = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            match c {
                '%' | '+' | '\0'..='\x08' | '\x0b'..='\x1f' => {
                    encoded.push_str(&format!("%{:02X}", u32::from(c)));
                }
                _ => encoded.push(c),
            }
        }
        encoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::ObjectKey;
    use types::size::ByteCount;
    use types::wire::metadata::WallTime;

    fn object(key: &str) -> ListEntry {
        ListEntry::Object {
            key: ObjectKey::try_from(key.to_owned()).expect("a key"),
            length: ByteCount::new(3),
            modified: WallTime(1500),
            etag: "e".into(),
            checksums: Vec::new(),
        }
    }

    /// A truncated page says where to go on: behind its last entry.
    /// Method: pages that end with an object, with a common prefix, and that end the listing.
    #[test]
    fn truncated_pages_name_their_last_entry() {
        for last in ["a\u{1}/ä+%2F", "🗄", "x"] {
            for entry in [object(last), ListEntry::CommonPrefix(last.to_owned())] {
                let page = ListPage {
                    entries: vec![object("a"), entry],
                    truncated: true,
                };
                let answer = answer(page, Encoding::Url, None);
                assert_eq!(answer.last.as_deref(), Some(last));
            }
        }
        let page = ListPage {
            entries: vec![object("a")],
            truncated: false,
        };
        assert!(answer(page, Encoding::Plain, None).last.is_none());
    }

    /// Attributes that may be asked for are known by name.
    /// Method: a table of headers.
    #[test]
    fn optional_attributes_are_known() {
        for (names, known) in [
            (&[][..], true),
            (&["RestoreStatus"], true),
            (&["RestoreStatus", "RestoreStatus"], true),
            (&["RestoreStatus, RestoreStatus"], true),
            (&["Colour"], false),
            (&["RestoreStatus,Colour"], false),
        ] {
            let asked = names
                .iter()
                .map(|name| OptionalObjectAttributes::from_static(name));
            let asked: Vec<_> = asked.collect();
            assert_eq!(optional(Some(&asked)).is_ok(), known, "{names:?}");
        }
    }

    /// Hostile keys survive the encoding.
    /// Method: a table; what a client decodes is what was stored.
    #[test]
    fn keys_are_percent_encoded() {
        for (raw, encoded) in [
            ("a/b-c_d.e~f", "a/b-c_d.e~f"),
            ("a b+c%2F", "a%20b%2Bc%252F"),
            ("../x//\r\u{0}", "../x//%0D%00"),
            ("ä🗄", "%C3%A4%F0%9F%97%84"),
        ] {
            assert_eq!(Encoding::Url.write(raw.to_owned()), encoded);
        }
    }

    /// A prefix is what it was, whether it is decoded or not, as far as XML can carry it.
    /// Method: a table; a decoder in its middle.
    #[test]
    fn prefixes_are_encoded_sparingly() {
        for (raw, encoded) in [
            ("a b/ä\n\t\u{7f}", "a b/ä\n\t\u{7f}"),
            ("a+b%2F", "a%2Bb%252F"),
            ("\r\u{0}\u{b}\u{1f}", "%0D%00%0B%1F"),
        ] {
            let written = Encoding::Url.write_sparingly(raw.to_owned());
            assert_eq!(written, encoded);
            assert_eq!(crate::refuse::decode(&written), raw);
        }
    }

    /// A page has at most 1000 entries, and no negative number of them.
    /// Method: a table.
    #[test]
    fn pages_are_bounded() {
        assert_eq!(limit(None, "maxKeys").ok(), Some(1000));
        assert_eq!(limit(Some(0), "maxKeys").ok(), Some(0));
        assert_eq!(limit(Some(7), "maxKeys").ok(), Some(7));
        assert_eq!(limit(Some(100_000), "maxKeys").ok(), Some(1000));
        assert!(limit(Some(-1), "maxKeys").is_err());
    }
}
