//! Between an object's attributes and HTTP headers.

use crate::checksum;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use s3s::dto::{
    CopyObjectInput, CreateMultipartUploadInput, Metadata, PutObjectInput, Timestamp,
    TimestampFormat,
};
use s3s::{S3ErrorCode, S3Result, s3_error};
use std::time::{Duration, SystemTime};
use types::Attributes;
use types::attributes::ContentHeaders;
use types::wire::metadata::WallTime;

/// Names and values of user metadata together, as on S3.
const USER_METADATA: usize = 2 << 10;
/// All content headers together: what S3 leaves of its 8 KiB for a PUT's headers.
const CONTENT_HEADERS: usize = 6 << 10;

/// The headers that a GET may ask to be answered with, in place of the stored ones.
#[derive(Default)]
pub(crate) struct Overrides {
    /// response-cache-control.
    pub(crate) cache_control: Option<String>,
    /// response-content-disposition.
    pub(crate) disposition: Option<String>,
    /// response-content-encoding.
    pub(crate) encoding: Option<String>,
    /// response-content-language.
    pub(crate) language: Option<String>,
    /// response-content-type.
    pub(crate) media_type: Option<String>,
    /// response-expires.
    pub(crate) expires: Option<Timestamp>,
}

/// What a request says of an object besides its bytes.
#[derive(Default)]
pub(crate) struct Described {
    /// The content headers as sent.
    content: ContentHeaders,
    /// `x-amz-meta-*`, in any order.
    user: Option<Metadata>,
}

/// Three operations describe an object by the same headers.
macro_rules! describes {
    ($($input:ty)*) => {$(
        impl From<&mut $input> for Described {
            fn from(input: &mut $input) -> Self {
                Self {
                    content: ContentHeaders {
                        cache_control: input.cache_control.take(),
                        disposition: input.content_disposition.take(),
                        encoding: input.content_encoding.take(),
                        language: input.content_language.take(),
                        media_type: input.content_type.take(),
                        expires: input.expires.take(),
                        website_redirect: input.website_redirect_location.take(),
                    },
                    user: input.metadata.take(),
                }
            }
        }
    )*};
}

describes!(PutObjectInput CopyObjectInput CreateMultipartUploadInput);

/// What a request says of its object; ETag and checksums are still empty.
///
/// # Errors
/// Too much of it.
pub(crate) fn attributes(described: impl Into<Described>) -> S3Result<Attributes> {
    let Described { mut content, user } = described.into();
    let mut user: Vec<(String, String)> = user.into_iter().flatten().collect();
    user.sort();
    content.encoding = content.encoding.and_then(|sent| stored_encoding(&sent));
    content.media_type = content.media_type.filter(|kind| !kind.is_empty());
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let content_length = length(&content.cache_control)
        + length(&content.disposition)
        + length(&content.encoding)
        + length(&content.language)
        + length(&content.media_type)
        + length(&content.expires)
        + length(&content.website_redirect);
    let user_length: usize = user
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if user_length > USER_METADATA || content_length > CONTENT_HEADERS {
        return Err(S3ErrorCode::MetadataTooLarge.into());
    }
    Ok(Attributes {
        etag: String::new(),
        content,
        user,
        checksums: Vec::new(),
    })
}

/// `aws-chunked` is how the bytes travelled; it is not a property of the object. The rest stays as sent.
fn stored_encoding(sent: &str) -> Option<String> {
    let kept = sent.split(',').filter(|coding| {
        let coding = coding.trim();
        !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked")
    });
    let kept = kept.collect::<Vec<_>>().join(",");
    Some(kept.trim().to_owned()).filter(|kept| !kept.is_empty())
}

/// The headers of an answer that shows an object; its checksums are shown where `checksums_of` says how
/// many parts it has (0: a plain PUT).
///
/// # Errors
/// An override that is not a header value.
pub(crate) fn describe(
    attributes: &Attributes,
    overrides: Overrides,
    checksums_of: Option<u32>,
) -> S3Result<HeaderMap> {
    let content = &attributes.content;
    let expires = overrides.expires.as_ref().map(http_date);
    let media_type = overrides.media_type.or_else(|| content.media_type.clone());
    let binary = || Some("binary/octet-stream".to_owned());
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (
            header::CACHE_CONTROL,
            overrides
                .cache_control
                .or_else(|| content.cache_control.clone()),
        ),
        (
            header::CONTENT_DISPOSITION,
            overrides
                .disposition
                .or_else(|| content.disposition.clone()),
        ),
        (
            header::CONTENT_ENCODING,
            overrides.encoding.or_else(|| content.encoding.clone()),
        ),
        (
            header::CONTENT_LANGUAGE,
            overrides.language.or_else(|| content.language.clone()),
        ),
        (header::CONTENT_TYPE, media_type.or_else(binary)),
        (header::EXPIRES, expires.or_else(|| content.expires.clone())),
        (
            HeaderName::from_static("x-amz-website-redirect-location"),
            content.website_redirect.clone(),
        ),
        (header::ETAG, Some(format!("\"{}\"", attributes.etag))),
        (header::ACCEPT_RANGES, Some("bytes".to_owned())),
    ] {
        let Some(value) = value else { continue };
        let value = HeaderValue::try_from(value)
            .map_err(|_| s3_error!(InvalidArgument, "{name} is not a header value."))?;
        headers.insert(name, value);
    }
    if let Some(parts) = checksums_of {
        checksum::show(&attributes.checksums, parts, &mut headers);
    }
    Ok(headers)
}

/// User metadata as s3s sends it: text beyond ASCII becomes RFC 2047 words.
pub(crate) fn user_metadata(attributes: &Attributes) -> Option<Metadata> {
    let user: Metadata = attributes.user.iter().cloned().collect();
    (!user.is_empty()).then_some(user)
}

/// When, in the whole seconds that HTTP dates have.
pub(crate) fn timestamp(at: WallTime) -> Timestamp {
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(at.0 / 1000))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date(at: &Timestamp) -> String {
    let mut text = Vec::new();
    at.format(TimestampFormat::HttpDate, &mut text)
        .expect("years have four digits");
    String::from_utf8(text).expect("dates are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::attributes::{Checksum, ChecksumAlgorithm, ChecksumKind};

    /// What a PUT says comes back: content headers as sent, without `aws-chunked`, metadata in order.
    /// Method: headers of a PUT, stored and described.
    #[test]
    fn attributes_come_back_as_headers() {
        let mut input = PutObjectInput {
            cache_control: Some("no-store".into()),
            content_encoding: Some("aws-chunked, gzip".into()),
            content_type: Some("text/plain".into()),
            expires: Some("whenever".into()),
            metadata: Some([("b".into(), "2".into()), ("a".into(), "1".into())].into()),
            ..Default::default()
        };
        let mut attributes = attributes(&mut input).expect("small");
        attributes.etag = "abc".into();
        attributes.checksums = vec![Checksum {
            algorithm: ChecksumAlgorithm::Crc32,
            kind: ChecksumKind::FullObject,
            value: vec![0, 0, 0, 1],
        }];
        assert_eq!(attributes.user[0].0, "a");
        let headers = describe(&attributes, Overrides::default(), Some(0)).expect("valid");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("content-encoding", "gzip"),
            ("content-type", "text/plain"),
            ("expires", "whenever"),
            ("etag", "\"abc\""),
            ("x-amz-checksum-crc32", "AAAAAQ=="),
            ("x-amz-checksum-type", "FULL_OBJECT"),
        ] {
            assert_eq!(headers[name], value);
        }
        let overrides = Overrides {
            media_type: Some("text/html".into()),
            expires: Some(timestamp(WallTime(784_111_777_999))),
            ..Default::default()
        };
        let headers = describe(&attributes, overrides, None).expect("valid");
        assert_eq!(headers["content-type"], "text/html");
        assert_eq!(headers["expires"], "Sun, 06 Nov 1994 08:49:37 GMT");
        assert!(!headers.contains_key("x-amz-checksum-crc32"));
        let overrides = Overrides {
            disposition: Some("a\r\nb: c".into()),
            ..Default::default()
        };
        assert!(describe(&attributes, overrides, None).is_err());
    }

    /// An encoding is stored as it was sent, but for how the bytes travelled.
    /// Method: a table of what clients send.
    #[test]
    fn encodings_stay_as_sent() {
        for (sent, stored) in [
            ("gzip", Some("gzip")),
            ("deflate, gzip", Some("deflate, gzip")),
            ("deflate, gzip,aws-chunked", Some("deflate, gzip")),
            ("aws-chunked,gzip", Some("gzip")),
            ("AWS-CHUNKED, gzip", Some("gzip")),
            ("aws-chunked", None),
            ("aws-chunked, aws-chunked", None),
            ("", None),
        ] {
            assert_eq!(stored_encoding(sent).as_deref(), stored, "{sent}");
        }
    }

    /// More metadata than S3 takes is refused.
    /// Method: user metadata and content headers at their bound and one byte above.
    #[test]
    fn metadata_is_bounded() {
        let user = |length| PutObjectInput {
            metadata: Some([("n".to_owned(), "x".repeat(length))].into()),
            ..Default::default()
        };
        let content = |length| PutObjectInput {
            content_disposition: Some("x".repeat(length)),
            ..Default::default()
        };
        assert!(attributes(&mut user(USER_METADATA - 1)).is_ok());
        assert!(attributes(&mut user(USER_METADATA)).is_err());
        assert!(attributes(&mut content(CONTENT_HEADERS)).is_ok());
        assert!(attributes(&mut content(CONTENT_HEADERS + 1)).is_err());
    }
}
