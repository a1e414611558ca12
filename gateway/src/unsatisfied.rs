//! What a range asked for that an object has not, and what the object has: told in the answer's document.
//!
//! Clients act on it. The AWS CRT asks for the first bytes of an object before it knows its length, and
//! learns from `ActualObjectSize` that the object is empty.

use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};

/// What a request asks for, should its range turn out to lie outside the object.
pub(crate) struct Unsatisfied {
    range: Option<HeaderValue>,
}

impl Unsatisfied {
    /// The range of a request: of what it reads, or of what it copies.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let copied = || headers.get("x-amz-copy-source-range");
        let range = headers.get(RANGE).or_else(copied).cloned();
        Self { range }
    }

    /// The elements for an answer whose headers tell the object's length, as `bytes */length`; else none.
    pub(crate) fn tell<'t>(&'t self, answer: &'t HeaderMap) -> Vec<(&'static str, &'t str)> {
        let told = answer
            .get(CONTENT_RANGE)
            .and_then(|told| told.to_str().ok());
        let Some(length) = told.and_then(|told| told.strip_prefix("bytes */")) else {
            return Vec::new();
        };
        let range = self.range.as_ref().and_then(|range| range.to_str().ok());
        let range = range.map(|range| ("RangeRequested", range));
        let length = ("ActualObjectSize", length);
        range.into_iter().chain([length]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only an answer that tells a length is told more in.
    /// Method: answers with and without, for requests with a range of each kind and with none.
    #[test]
    fn the_length_and_the_range_are_told() {
        let one = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(
                name.parse().expect("a name"),
                HeaderValue::from_static(value),
            )])
        };
        let answer = one("content-range", "bytes */7");
        let length = ("ActualObjectSize", "7");
        for (request, range) in [
            (one("range", "bytes=9-"), Some("bytes=9-")),
            (
                one("x-amz-copy-source-range", "bytes=9-9"),
                Some("bytes=9-9"),
            ),
            (HeaderMap::new(), None),
        ] {
            let unsatisfied = Unsatisfied::of(&request);
            let range = range.map(|range| ("RangeRequested", range));
            let expected: Vec<_> = range.into_iter().chain([length]).collect();
            assert_eq!(unsatisfied.tell(&answer), expected);
            assert_eq!(unsatisfied.tell(&one("content-range", "bytes 0-1/7")), []);
            assert_eq!(unsatisfied.tell(&HeaderMap::new()), []);
        }
    }
}
