//! Range headers that S3 does not know are ignored, not refused.
//!
//! S3 answers a range that is malformed, or several at once, with the whole object and status 200; s3s
//! refuses the request. So such a header is taken away first. Where it is part of the signature that
//! cannot be: it stays, and s3s refuses it.

use crate::refuse::decode;
use http::header::{AUTHORIZATION, RANGE};
use http::request::Parts;

/// Takes the Range header away where it is to be ignored.
pub(crate) fn ignore_unknown(parts: &mut Parts) {
    let mut ranges = parts.headers.get_all(RANGE).iter();
    let known = match (ranges.next(), ranges.next()) {
        (None, _) => return,
        (Some(only), None) => only.to_str().is_ok_and(is_single),
        (Some(_), Some(_)) => false,
    };
    if !known && !is_signed(parts) {
        parts.headers.remove(RANGE);
    }
}

/// Whether a header is one range of bytes: `bytes=first-last`, `bytes=first-` or `bytes=-length`.
fn is_single(header: &str) -> bool {
    let range = header.strip_prefix("bytes=");
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return false;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) || (first.is_empty() && last.is_empty()) {
        return false;
    }
    match (first.parse::<u128>(), last.parse::<u128>()) {
        (Ok(first), Ok(last)) => first <= last,
        _ => true,
    }
}

/// Whether the request's signature covers the Range header.
fn is_signed(parts: &Parts) -> bool {
    let header = parts.headers.get(AUTHORIZATION);
    let header = header.and_then(|header| header.to_str().ok());
    let in_header = header
        .into_iter()
        .flat_map(|header| header.split([' ', ',']))
        .filter_map(|part| part.trim().strip_prefix("SignedHeaders="))
        .any(names_range);
    let query = parts.uri.query().unwrap_or_default();
    let in_query = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| decode(name).eq_ignore_ascii_case("x-amz-signedheaders"))
        .any(|(_, value)| names_range(&decode(value)));
    in_header || in_query
}

fn names_range(list: &str) -> bool {
    list.split(';').any(|name| name.trim() == "range")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header goes when it is no single range and was not signed, and stays otherwise.
    /// Method: a table of requests.
    #[test]
    fn only_unknown_unsigned_ranges_go() {
        let signed =
            "AWS4-HMAC-SHA256 Credential=a/b,SignedHeaders=host;range;x-amz-date,Signature=c";
        let others = "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;x-range, Signature=c";
        for (range, authorization, query, kept) in [
            ("bytes=0-0", others, "", true),
            ("bytes=5-", others, "", true),
            ("bytes=-5", others, "", true),
            ("bytes=0-99999999999999999999", others, "", true),
            ("bytes=5-2", others, "", false),
            ("bytes=-", others, "", false),
            ("bytes=0-1,4-5", others, "", false),
            ("bytes=a-b", others, "", false),
            ("bytes=+1-2", others, "", false),
            ("items=0-1", others, "", false),
            ("", others, "", false),
            ("bytes=5-2", signed, "", true),
            ("bytes=5-2", "", "X-Amz-SignedHeaders=host%3Brange", true),
            ("bytes=5-2", "", "X-Amz-SignedHeaders=host", false),
        ] {
            let request = http::Request::get(format!("http://host/b/k?{query}"))
                .header(RANGE, range)
                .header(AUTHORIZATION, authorization);
            let (mut parts, ()) = request.body(()).expect("a request").into_parts();
            ignore_unknown(&mut parts);
            assert_eq!(parts.headers.contains_key(RANGE), kept, "{range} {query}");
        }
    }
}
