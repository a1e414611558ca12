//! Conditions of a read, in the order of RFC 9110 §13.2.2.

use http::{HeaderMap, HeaderValue, header};
use s3s::dto::{ETagCondition, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result};

/// The conditions that a GET or HEAD carries.
#[derive(Default)]
pub(crate) struct Conditions {
    /// If-Match.
    pub(crate) matches: Option<ETagCondition>,
    /// If-None-Match.
    pub(crate) differs: Option<ETagCondition>,
    /// If-Modified-Since.
    pub(crate) modified: Option<Timestamp>,
    /// If-Unmodified-Since.
    pub(crate) unmodified: Option<Timestamp>,
}

impl Conditions {
    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        self.matches.is_some()
            || self.differs.is_some()
            || self.modified.is_some()
            || self.unmodified.is_some()
    }

    /// Whether an object of this ETag (without quotes), last modified then (in whole seconds), is to
    /// be sent.
    ///
    /// # Errors
    /// 412 or 304, the latter with the validators.
    pub(crate) fn check(&self, etag: &str, modified: &Timestamp) -> S3Result<()> {
        let is = |condition: &ETagCondition| {
            condition.is_any() || condition.as_etag().is_some_and(|tag| tag.value() == etag)
        };
        let holds = match (&self.matches, &self.unmodified) {
            (Some(condition), _) => is(condition),
            (None, Some(since)) => modified <= since,
            (None, None) => true,
        };
        if !holds {
            return Err(S3ErrorCode::PreconditionFailed.into());
        }
        let fresh = match (&self.differs, &self.modified) {
            (Some(condition), _) => is(condition),
            (None, Some(since)) => modified <= since,
            (None, None) => false,
        };
        if fresh {
            return Err(not_modified(etag, modified));
        }
        Ok(())
    }
}

fn not_modified(etag: &str, modified: &Timestamp) -> S3Error {
    let mut headers = HeaderMap::new();
    if let Ok(tag) = HeaderValue::try_from(format!("\"{etag}\"")) {
        headers.insert(header::ETAG, tag);
    }
    if let Ok(date) = HeaderValue::try_from(super::headers::http_date(modified)) {
        headers.insert(header::LAST_MODIFIED, date);
    }
    let mut error = S3Error::new(S3ErrorCode::NotModified);
    error.set_headers(headers);
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn tag(text: &str) -> Option<ETagCondition> {
        let parsed = ETagCondition::parse_http_header(text.as_bytes());
        Some(parsed.expect("well-formed"))
    }

    /// Conditions decide as RFC 9110 orders them: ETags before dates, 412 before 304.
    /// Method: a table, against an object "a" of second 10.
    #[test]
    fn conditions_decide_in_order() {
        let none = Conditions::default;
        let cases = [
            (none(), 200),
            (
                Conditions {
                    matches: tag("\"a\""),
                    ..none()
                },
                200,
            ),
            (
                Conditions {
                    matches: tag("*"),
                    ..none()
                },
                200,
            ),
            (
                Conditions {
                    matches: tag("\"b\""),
                    ..none()
                },
                412,
            ),
            (
                Conditions {
                    differs: tag("\"a\""),
                    ..none()
                },
                304,
            ),
            (
                Conditions {
                    differs: tag("*"),
                    ..none()
                },
                304,
            ),
            (
                Conditions {
                    differs: tag("\"b\""),
                    ..none()
                },
                200,
            ),
            (
                Conditions {
                    modified: Some(at(9)),
                    ..none()
                },
                200,
            ),
            (
                Conditions {
                    modified: Some(at(10)),
                    ..none()
                },
                304,
            ),
            (
                Conditions {
                    unmodified: Some(at(9)),
                    ..none()
                },
                412,
            ),
            (
                Conditions {
                    unmodified: Some(at(10)),
                    ..none()
                },
                200,
            ),
            (
                Conditions {
                    matches: tag("\"a\""),
                    unmodified: Some(at(9)),
                    ..none()
                },
                200,
            ),
            (
                Conditions {
                    differs: tag("\"b\""),
                    modified: Some(at(10)),
                    ..none()
                },
                200,
            ),
            (
                Conditions {
                    matches: tag("\"b\""),
                    differs: tag("\"a\""),
                    ..none()
                },
                412,
            ),
        ];
        for (index, (conditions, expected)) in cases.into_iter().enumerate() {
            let status = match conditions.check("a", &at(10)) {
                Ok(()) => 200,
                Err(error) => error.status_code().expect("known").as_u16(),
            };
            assert_eq!(status, expected, "case {index}");
        }
    }
}
