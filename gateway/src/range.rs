//! Range headers that S3 does not know are ignored, not refused; numbers that s3s does not hold are the
//! largest that it does.
//!
//! S3 answers a range that is malformed, or several at once, with the whole object and status 200; s3s
//! refuses the request, and one whose numbers leave 63 bits, too. What is read instead is told here; the
//! header is changed once the signature, which may cover it, was checked (see [`crate::s3::Whole`]).

use http::header::RANGE;
use http::{HeaderMap, HeaderValue};

/// The largest number that s3s reads; no object is as long.
const LARGEST: u64 = i64::MAX as u64;

/// What a request's Range header means, where s3s does not read it so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    /// Nothing: it is ignored.
    Nothing,
    /// This.
    Range(HeaderValue),
}

/// What to read instead of the Range header of a request; none where s3s reads it well.
pub(crate) fn instead(headers: &HeaderMap) -> Option<Instead> {
    let mut ranges = headers.get_all(RANGE).iter();
    let only = ranges.next()?;
    let text = only.to_str().unwrap_or_default();
    match (ranges.next(), clamped(text)) {
        (None, Some(range)) if range == text => None,
        (None, Some(range)) => HeaderValue::try_from(range).ok().map(Instead::Range),
        _ => Some(Instead::Nothing),
    }
}

/// One range of bytes, `bytes=first-last`, `bytes=first-` or `bytes=-length`, its numbers clamped. None:
/// it is no such range.
fn clamped(header: &str) -> Option<String> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u128>().unwrap_or(u128::MAX))
    };
    let shown = |text: &str, number: u128| match u64::try_from(number) {
        Ok(number) if number <= LARGEST => text.to_owned(),
        _ => LARGEST.to_string(),
    };
    match (number(first), number(last)) {
        (Some(from), Some(to)) if from <= to => {
            Some(format!("bytes={}-{}", shown(first, from), shown(last, to)))
        }
        (Some(from), None) if last.is_empty() => Some(format!("bytes={}-", shown(first, from))),
        (None, Some(length)) if first.is_empty() => Some(format!("bytes=-{}", shown(last, length))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is no single range is ignored, numbers beyond 63 bits are clamped, all else stays.
    /// Method: a table of headers, none, and two.
    #[test]
    fn headers_are_read_as_s3_reads_them() {
        let mut headers = HeaderMap::new();
        assert_eq!(instead(&headers), None);
        let range = |text| Some(Instead::Range(HeaderValue::from_static(text)));
        for (header, read) in [
            ("bytes=0-0", None),
            ("bytes=5-", None),
            ("bytes=-5", None),
            ("bytes=007-9223372036854775807", None),
            (
                "bytes=0-9223372036854775808",
                range("bytes=0-9223372036854775807"),
            ),
            (
                "bytes=1-99999999999999999999999999999999999999999999",
                range("bytes=1-9223372036854775807"),
            ),
            (
                "bytes=18446744073709551616-",
                range("bytes=9223372036854775807-"),
            ),
            (
                "bytes=-18446744073709551616",
                range("bytes=-9223372036854775807"),
            ),
            ("bytes=5-2", Some(Instead::Nothing)),
            ("bytes=-", Some(Instead::Nothing)),
            ("bytes=0-1,4-5", Some(Instead::Nothing)),
            ("bytes=a-b", Some(Instead::Nothing)),
            ("bytes=1-b", Some(Instead::Nothing)),
            ("bytes=+1-2", Some(Instead::Nothing)),
            ("bytes=1-2-3", Some(Instead::Nothing)),
            ("items=0-1", Some(Instead::Nothing)),
            ("", Some(Instead::Nothing)),
        ] {
            headers.insert(RANGE, HeaderValue::from_static(header));
            assert_eq!(instead(&headers), read, "{header}");
        }
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        headers.append(RANGE, HeaderValue::from_static("bytes=0-0"));
        assert_eq!(instead(&headers), Some(Instead::Nothing));
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
            let ignored = instead(&headers) == Some(Instead::Nothing);
            prop_assert_eq!(ignored, !(form && order), "{}", spec);
        }
    }
}
