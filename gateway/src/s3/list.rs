//! ListObjectsV2 and ListObjects: pages of a bucket in byte order of its keys.
//!
//! The metadata service seeks and cuts; here a request becomes its question, and its page the answer.
//! A continuation token is the last entry in base64: opaque to clients, and any gateway can go on.

use super::Adapter;
use super::headers::timestamp;
use crate::error::ToS3;
use crate::identity::Access;
use crate::xml;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::{
    CommonPrefix, ETag, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, ObjectStorageClass, Owner,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};
use types::wire::metadata::{Bucket, List, ListEntry, ListPage};

/// Entries on a page unless fewer are asked for; more are never given.
const PAGE: i32 = 1000;

/// How keys and prefixes are written in the answer.
#[derive(Clone, Copy)]
enum Encoding {
    /// As they are.
    Plain,
    /// Percent-encoded.
    Url,
}

/// What both versions of the operation ask.
struct Question {
    prefix: Option<String>,
    delimiter: Option<String>,
    after: Option<String>,
    limit: i32,
}

/// What both versions answer.
struct Answer {
    objects: Vec<Object>,
    prefixes: Vec<CommonPrefix>,
    /// The last entry, when more follow.
    last: Option<String>,
}

pub(super) async fn list_v2(
    adapter: &Adapter,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let input = request.input;
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let limit = limit(input.max_keys)?;
    let after = match &input.continuation_token {
        Some(token) => Some(open_token(token)?),
        None => input.start_after.clone(),
    };
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Read,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let owner = input.fetch_owner.unwrap_or(false);
    let question = Question {
        prefix: input.prefix.clone(),
        delimiter: input.delimiter.clone(),
        after,
        limit,
    };
    let answer = ask(adapter, &bucket, question, encoding, owner).await?;
    let count = answer.objects.len() + answer.prefixes.len();
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(bucket.name.into()),
        prefix: Some(encoding.write(input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|text| encoding.write(text)),
        max_keys: Some(limit),
        key_count: Some(i32::try_from(count).unwrap_or(PAGE)),
        continuation_token: input.continuation_token,
        start_after: input.start_after.map(|text| encoding.write(text)),
        encoding_type: input.encoding_type,
        is_truncated: Some(answer.last.is_some()),
        next_continuation_token: answer.last.map(|last| URL_SAFE_NO_PAD.encode(last)),
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
    let limit = limit(input.max_keys)?;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Read,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let question = Question {
        prefix: input.prefix.clone(),
        delimiter: input.delimiter.clone(),
        after: input.marker.clone(),
        limit,
    };
    let answer = ask(adapter, &bucket, question, encoding, true).await?;
    // Without a delimiter the last key serves as marker, and S3 does not repeat it.
    let delimited = input
        .delimiter
        .as_ref()
        .is_some_and(|text| !text.is_empty());
    let truncated = answer.last.is_some();
    let next = answer.last.filter(|_| delimited);
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(bucket.name.into()),
        prefix: Some(encoding.write(input.prefix.unwrap_or_default())),
        marker: Some(encoding.write(input.marker.unwrap_or_default())),
        delimiter: input.delimiter.map(|text| encoding.write(text)),
        max_keys: Some(limit),
        encoding_type: input.encoding_type,
        is_truncated: Some(truncated),
        next_marker: next.map(|last| encoding.write(last)),
        contents: Some(answer.objects),
        common_prefixes: Some(answer.prefixes),
        ..Default::default()
    }))
}

async fn ask(
    adapter: &Adapter,
    bucket: &Bucket,
    question: Question,
    encoding: Encoding,
    owner: bool,
) -> S3Result<Answer> {
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let page = adapter
        .client
        .list(List {
            bucket: bucket.id,
            prefix: question.prefix.unwrap_or_default(),
            delimiter: some(question.delimiter),
            after: some(question.after),
            limit: question.limit.unsigned_abs(),
        })
        .await
        .map_err(ToS3::to_s3)?;
    Ok(answer(
        page,
        encoding,
        owner.then_some(bucket.owner.as_str()),
    ))
}

fn answer(page: ListPage, encoding: Encoding, owner: Option<&str>) -> Answer {
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
            } => objects.push(Object {
                key: Some(encoding.write(key.into())),
                size: i64::try_from(length.get()).ok(),
                last_modified: Some(timestamp(modified)),
                e_tag: Some(ETag::Strong(etag)),
                storage_class: Some(ObjectStorageClass::from_static(
                    ObjectStorageClass::STANDARD,
                )),
                owner: owner.map(|id| Owner {
                    id: Some(id.to_owned()),
                    display_name: Some(id.to_owned()),
                }),
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

/// Entries on this page.
fn limit(asked: Option<i32>) -> S3Result<i32> {
    match asked {
        None => Ok(PAGE),
        Some(asked) if asked >= 0 => Ok(asked.min(PAGE)),
        Some(_) => Err(s3_error!(
            InvalidArgument,
            "Argument maxKeys must be an integer between 0 and 2147483647."
        )),
    }
}

fn open_token(token: &str) -> S3Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let last = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    last.filter(|last| !last.is_empty()).ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "The continuation token provided is incorrect."
        )
    })
}

impl Encoding {
    fn of(asked: Option<&EncodingType>) -> S3Result<Self> {
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
    fn write(self, text: String) -> String {
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
        }
    }

    /// A truncated page says where to go on, in a token that leads back to exactly there.
    /// Method: pages that end with an object, with a common prefix, and that end the listing.
    #[test]
    fn tokens_lead_back() {
        for last in ["a\u{1}/ä+%2F", "🗄", "x"] {
            for entry in [object(last), ListEntry::CommonPrefix(last.to_owned())] {
                let page = ListPage {
                    entries: vec![object("a"), entry],
                    truncated: true,
                };
                let answer = answer(page, Encoding::Url, None);
                let token = URL_SAFE_NO_PAD.encode(answer.last.expect("truncated"));
                assert_eq!(open_token(&token).expect("ours"), last);
            }
        }
        let page = ListPage {
            entries: vec![object("a")],
            truncated: false,
        };
        assert!(answer(page, Encoding::Plain, None).last.is_none());
        for bad in ["", "?", "a b", "_w"] {
            assert!(open_token(bad).is_err(), "{bad}");
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

    /// A page has at most 1000 entries, and no negative number of them.
    /// Method: a table.
    #[test]
    fn pages_are_bounded() {
        assert_eq!(limit(None).ok(), Some(1000));
        assert_eq!(limit(Some(0)).ok(), Some(0));
        assert_eq!(limit(Some(7)).ok(), Some(7));
        assert_eq!(limit(Some(100_000)).ok(), Some(1000));
        assert!(limit(Some(-1)).is_err());
    }
}
