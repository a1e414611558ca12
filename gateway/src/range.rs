//! Range headers that S3 does not know are ignored, not refused.
//!
//! S3 answers a range that is malformed, or several at once, with the whole object and status 200; s3s
//! refuses the request. Which headers these are is told here; they are taken away once the signature,
//! which may cover them, was checked (see [`crate::s3::Whole`]).

use http::HeaderMap;
use http::header::RANGE;

/// Whether the Range header of a request is to be ignored.
pub(crate) fn is_unknown(headers: &HeaderMap) -> bool {
    let mut ranges = headers.get_all(RANGE).iter();
    match (ranges.next(), ranges.next()) {
        (None, _) => false,
        (Some(only), None) => !only.to_str().is_ok_and(is_single),
        (Some(_), Some(_)) => true,
    }
}

/// Whether a header is one range of bytes: `bytes=first-last`, `bytes=first-` or `bytes=-length`. Numbers
/// that s3s does not hold make none.
fn is_single(header: &str) -> bool {
    let range = header.strip_prefix("bytes=");
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return false;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u128>().unwrap_or(u128::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) => first <= last,
        (Some(_), None) => last.is_empty(),
        (None, Some(_)) => first.is_empty(),
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    /// A header is ignored when it is no single range.
    /// Method: a table of headers, none, and two.
    #[test]
    fn only_single_ranges_are_known() {
        let mut headers = HeaderMap::new();
        assert!(!is_unknown(&headers));
        for (range, known) in [
            ("bytes=0-0", true),
            ("bytes=5-", true),
            ("bytes=-5", true),
            ("bytes=0-99999999999999999999", true),
            ("bytes=5-2", false),
            ("bytes=-", false),
            ("bytes=0-1,4-5", false),
            ("bytes=a-b", false),
            ("bytes=1-b", false),
            ("bytes=+1-2", false),
            ("bytes=1-2-3", false),
            ("items=0-1", false),
            ("", false),
        ] {
            headers.insert(RANGE, HeaderValue::from_static(range));
            assert_eq!(is_unknown(&headers), !known, "{range}");
        }
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        headers.append(RANGE, HeaderValue::from_static("bytes=0-0"));
        assert!(is_unknown(&headers));
    }

    proptest! {
        /// Every header that has the form of a range, and no other, is known.
        /// Method: any text of the signs that ranges are made of, against the grammar of RFC 9110 §14.1.1.
        #[test]
        fn the_grammar_decides(spec in "[0-9,\\- ]{0,8}") {
            let (first, last) = spec.split_once('-').unwrap_or(("x", "x"));
            let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
            let form = digits(first) && digits(last) && spec != "-";
            let order = match (first.parse::<u64>(), last.parse::<u64>()) {
                (Ok(first), Ok(last)) => first <= last,
                _ => true,
            };
            let mut headers = HeaderMap::new();
            let value = HeaderValue::try_from(format!("bytes={spec}")).expect("ASCII");
            headers.insert(RANGE, value);
            prop_assert_eq!(is_unknown(&headers), !(form && order), "{}", spec);
        }
    }
}
