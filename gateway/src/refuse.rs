//! What is not implemented is refused, never ignored.
//!
//! A header or parameter that S3 gives a meaning to, and we do not, would otherwise be dropped in
//! silence: an object believed locked, tagged or sealed under the client's own key. So of `x-amz-*`
//! only the names listed here pass, and those that one operation honours pass for that alone. This runs
//! after the signature has been checked, which covers every `x-amz-*` header there is, and before any of
//! the body is read.

use crate::acl;
use crate::service::Operation;
use crate::xml;
use http::{HeaderMap, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::Credentials;
use s3s::{S3ErrorCode, S3Result, s3_error};

/// Headers that pass whatever their value: each is honoured by s3s or by the operation, or is about
/// the request alone.
const PASS: [&str; 13] = [
    "x-amz-checksum-algorithm",
    "x-amz-checksum-mode",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-expected-bucket-owner",
    "x-amz-optional-object-attributes",
    "x-amz-request-payer",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-trailer",
    "x-amz-user-agent",
    "x-amz-website-redirect-location",
    "x-amz-bucket-region",
];

/// Headers that pass for the operations that honour them.
const PASS_FOR: [(&str, &[&str]); 18] = [
    // Nothing can be retained here, so that there is nothing to bypass.
    (
        "x-amz-bypass-governance-retention",
        &["DeleteObject", "DeleteObjects"],
    ),
    (
        "x-amz-checksum-type",
        &["CreateMultipartUpload", "CompleteMultipartUpload"],
    ),
    ("x-amz-copy-source", &["CopyObject", "UploadPartCopy"]),
    (
        "x-amz-copy-source-if-match",
        &["CopyObject", "UploadPartCopy"],
    ),
    (
        "x-amz-copy-source-if-modified-since",
        &["CopyObject", "UploadPartCopy"],
    ),
    (
        "x-amz-copy-source-if-none-match",
        &["CopyObject", "UploadPartCopy"],
    ),
    (
        "x-amz-copy-source-if-unmodified-since",
        &["CopyObject", "UploadPartCopy"],
    ),
    ("x-amz-copy-source-range", &["UploadPartCopy"]),
    ("x-amz-if-match-last-modified-time", &["DeleteObject"]),
    ("x-amz-if-match-size", &["DeleteObject"]),
    ("x-amz-max-parts", &["GetObjectAttributes"]),
    ("x-amz-metadata-directive", &["CopyObject"]),
    ("x-amz-mp-object-size", &["CompleteMultipartUpload"]),
    ("x-amz-object-attributes", &["GetObjectAttributes"]),
    ("x-amz-part-number-marker", &["GetObjectAttributes"]),
    (
        "x-amz-source-expected-bucket-owner",
        &["CopyObject", "UploadPartCopy"],
    ),
    (
        "x-amz-tagging",
        &["PutObject", "CreateMultipartUpload", "CopyObject"],
    ),
    ("x-amz-tagging-directive", &["CopyObject"]),
];

/// Headers that pass with the one value that asks for what we do anyway.
const PASS_AS: [(&str, &str); 4] = [
    ("x-amz-storage-class", "STANDARD"),
    ("x-amz-checksum-type", "FULL_OBJECT"),
    ("x-amz-bucket-object-lock-enabled", "false"),
    ("x-amz-object-ownership", "BucketOwnerEnforced"),
];

/// A canned access control list: see [`acl`].
const CANNED: &str = "x-amz-acl";

/// Beginnings of headers that pass: the operation reads them and refuses what it does not know.
const PASS_BEGINNINGS: [&str; 2] = ["x-amz-meta-", "x-amz-checksum-"];

/// Query parameters of a presigned URL that are part of its signature.
const SIGNATURE: [&str; 7] = [
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// Query parameters that change nothing: a mode that only adds response headers.
const HARMLESS: [&str; 2] = ["x-amz-checksum-mode", "x-amz-user-agent"];

/// The longest life of a presigned URL, in seconds.
const WEEK: i64 = 604_800;

/// The gate that every signed request passes.
pub(crate) struct Gate;

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        // An operation is a handle: setting it through a clone sets it for all.
        let operation = cx.extensions_mut().get::<Operation>().cloned();
        check(
            cx.s3_op().name(),
            operation,
            cx.credentials(),
            cx.headers(),
            cx.uri(),
        )
    }
}

/// What the gate asks of a signed request.
///
/// # Errors
/// The request is not signed, or asks for what is not implemented.
pub(crate) fn check(
    name: &str,
    operation: Option<Operation>,
    credentials: Option<&Credentials>,
    headers: &HeaderMap,
    uri: &Uri,
) -> S3Result<()> {
    if let Some(operation) = operation {
        operation.set(name.to_owned());
    }
    if credentials.is_none() {
        return Err(S3ErrorCode::AccessDenied.into());
    }
    signed_chunks(name, headers)?;
    known_headers(name, headers)?;
    query(uri.query().unwrap_or_default())
}

/// Signed chunks are held back until their signatures are known, each in a place of its own: see
/// [`crate::Limits::signed_streams`]. Documents, which s3s reads by itself, have no such places.
fn signed_chunks(operation: &str, headers: &HeaderMap) -> S3Result<()> {
    let kind = headers.get("x-amz-content-sha256");
    let signed = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"STREAMING-AWS4-"));
    if signed && !matches!(operation, "PutObject" | "UploadPart") {
        return Err(s3_error!(
            NotImplemented,
            "Signed chunks are implemented for objects alone."
        ));
    }
    Ok(())
}

fn known_headers(operation: &str, headers: &HeaderMap) -> S3Result<()> {
    if headers.contains_key("x-amz-security-token") {
        return Err(s3_error!(
            InvalidToken,
            "No temporary credentials were issued here."
        ));
    }
    if headers.contains_key(http::header::IF_RANGE) {
        return Err(s3_error!(NotImplemented, "If-Range is not implemented."));
    }
    for (name, value) in headers {
        let name = name.as_str();
        if name == CANNED {
            acl::canned(value.to_str().unwrap_or_default())?;
            continue;
        }
        let passes = !name.starts_with("x-amz-")
            || PASS.contains(&name)
            || PASS_BEGINNINGS.iter().any(|begin| name.starts_with(begin))
                && name != "x-amz-checksum-type"
            || PASS_FOR
                .iter()
                .any(|(known, honour)| *known == name && honour.contains(&operation))
            || PASS_AS
                .iter()
                .any(|(known, only)| *known == name && value == only);
        if !passes {
            return Err(s3_error!(
                NotImplemented,
                "The header {name} asks for something that is not implemented."
            ));
        }
    }
    Ok(())
}

/// Signers may move headers into the query of a presigned URL, where s3s does not look for them.
fn query(query: &str) -> S3Result<()> {
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name).to_ascii_lowercase();
        if name == CANNED {
            acl::canned(&decode(value))?;
            continue;
        }
        let passes = !name.starts_with("x-amz-")
            || SIGNATURE.contains(&name.as_str())
            || HARMLESS.contains(&name.as_str())
            || PASS_AS
                .iter()
                .any(|(known, only)| *known == name && value == *only);
        if !passes {
            let name = xml::hide(name);
            return Err(s3_error!(
                NotImplemented,
                "The query parameter {name} asks for something that is not implemented: send it as a signed header."
            ));
        }
    }
    Ok(())
}

/// The life of a presigned URL: a week at most, as on S3, and not over when it begins. s3s calls what is not
/// in these bounds malformed.
///
/// # Errors
/// The query is signed for longer, or for no time at all.
pub(crate) fn lifetime(query: &str) -> S3Result<()> {
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decode(name) != "X-Amz-Expires" {
            continue;
        }
        match decode(value).parse::<i64>() {
            Ok(..=0) => return Err(s3_error!(AccessDenied, "Request has expired")),
            Ok(seconds) if seconds > WEEK => {
                return Err(s3_error!(
                    AccessDenied,
                    "X-Amz-Expires must be less than a week (in seconds)."
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Undoes percent-encoding; what is malformed stays as it is.
pub(crate) fn decode(text: &str) -> String {
    String::from_utf8_lossy(&decode_bytes(text)).into_owned()
}

/// Undoes percent-encoding, whatever the bytes are; what is malformed stays as it is.
pub(crate) fn decode_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = (first == b'%').then(|| behind.get(..2)).flatten();
        match digits.and_then(|digits| hex::decode(digits).ok()) {
            Some(byte) => {
                bytes.extend(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn answer(result: S3Result<()>) -> String {
        match result {
            Ok(()) => String::new(),
            Err(error) => error.code().as_str().to_owned(),
        }
    }

    /// What we do not do is refused by name; what clients send beside it passes.
    /// Method: a table of headers, on an upload.
    #[test]
    fn headers_that_mean_something_are_refused() {
        for (name, value, expected) in [
            ("content-type", "text/plain", ""),
            ("x-amz-meta-anything", "x", ""),
            ("x-amz-acl", "private", ""),
            ("x-amz-acl", "public-read", "NotImplemented"),
            ("x-amz-acl", "open", "InvalidArgument"),
            ("x-amz-storage-class", "STANDARD", ""),
            ("x-amz-storage-class", "GLACIER", "NotImplemented"),
            ("x-amz-checksum-sha256", "x", ""),
            ("x-amz-checksum-type", "FULL_OBJECT", ""),
            ("x-amz-checksum-type", "COMPOSITE", "NotImplemented"),
            ("x-amz-copy-source", "/b/k", "NotImplemented"),
            ("x-amz-tagging", "a=b", ""),
            ("x-amz-tagging-directive", "COPY", "NotImplemented"),
            ("x-amz-if-match-size", "5", "NotImplemented"),
            ("x-amz-grant-read", "id=x", "NotImplemented"),
            ("x-amz-object-lock-mode", "GOVERNANCE", "NotImplemented"),
            ("x-amz-server-side-encryption", "aws:kms", "NotImplemented"),
            (
                "x-amz-server-side-encryption-customer-key",
                "x",
                "NotImplemented",
            ),
            ("x-amz-something-new", "x", "NotImplemented"),
            ("x-amz-security-token", "x", "InvalidToken"),
            ("if-range", "\"x\"", "NotImplemented"),
        ] {
            let mut map = HeaderMap::new();
            map.insert(name, HeaderValue::from_static(value));
            let told = answer(known_headers("PutObject", &map));
            assert_eq!(told, expected, "{name}: {value}");
        }
    }

    /// What one operation honours passes for it, and for no other.
    /// Method: each header of the table, on its operations and on one that is not.
    #[test]
    fn headers_pass_where_they_are_honoured() {
        for (name, honour) in PASS_FOR {
            let mut map = HeaderMap::new();
            map.insert(name, HeaderValue::from_static("x"));
            for operation in honour {
                assert_eq!(answer(known_headers(operation, &map)), "", "{operation}");
            }
            assert_eq!(answer(known_headers("GetObject", &map)), "NotImplemented");
        }
    }

    /// A presigned URL lives for some time, up to a week.
    /// Method: each bound and what lies outside it.
    #[test]
    fn presigned_urls_live_a_week_at_most() {
        for (text, expected) in [
            ("", ""),
            ("X-Amz-Expires=1", ""),
            ("X-Amz-Expires=604800", ""),
            ("X-Amz-Expires=604801", "AccessDenied"),
            ("X-Amz-Expires=0", "AccessDenied"),
            ("X-Amz-Expires=-1000", "AccessDenied"),
            ("X%2DAmz-Expires=-7", "AccessDenied"),
            ("X-Amz-Expires=x", ""),
        ] {
            assert_eq!(answer(lifetime(text)), expected, "{text}");
        }
    }

    /// A refusal names the parameter, and can be written whatever it is called.
    /// Method: a control character in the name: s3s writes no document that holds one.
    #[test]
    fn names_in_messages_can_be_written() {
        let error = query("x-amz-%01=x").expect_err("refused");
        let message = error.message().expect("named").to_owned();
        assert!(message.contains("x-amz-") && !message.contains('\u{1}'));
    }

    /// Nobody holds a signed chunk but an upload that has its place.
    /// Method: each kind of body, for an upload and for a document.
    #[test]
    fn documents_do_not_come_in_signed_chunks() {
        for (kind, upload, document) in [
            ("UNSIGNED-PAYLOAD", "", ""),
            ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "", ""),
            ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "", "NotImplemented"),
            (
                "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
                "",
                "NotImplemented",
            ),
        ] {
            let mut map = HeaderMap::new();
            map.insert("x-amz-content-sha256", HeaderValue::from_static(kind));
            assert_eq!(answer(signed_chunks("PutObject", &map)), upload);
            assert_eq!(answer(signed_chunks("CreateBucket", &map)), document);
        }
    }

    /// A header that was moved into a presigned URL is not lost in silence.
    /// Method: a table of queries, names encoded and in any case.
    #[test]
    fn hoisted_headers_are_refused() {
        for (text, expected) in [
            ("", ""),
            ("list-type=2&prefix=x-amz-acl", ""),
            ("X-Amz-Signature=1&X-Amz-Expires=5&x-id=GetObject", ""),
            ("x-amz-checksum-mode=ENABLED", ""),
            ("x-amz-acl=private", ""),
            ("x-amz-acl=public-read", "NotImplemented"),
            ("X-Amz-Acl=public%2dread", "NotImplemented"),
            ("x-amz-acl=open", "InvalidArgument"),
            ("X-Amz-Tagging=a", "NotImplemented"),
            ("x%2Damz%2dtagging=a", "NotImplemented"),
            ("x-amz-checksum-crc32=AAAAAA%3D%3D", "NotImplemented"),
            ("X-Amz-Security-Token=x", "NotImplemented"),
        ] {
            assert_eq!(answer(query(text)), expected, "{text}");
        }
    }
}
