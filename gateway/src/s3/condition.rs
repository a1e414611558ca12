//! What a request asks of the version that is there.
//!
//! A read is judged here, in the order of RFC 9110 §13.2.2. A write is judged by the metadata service, in
//! the same step that makes it visible, so that of racing writers one wins; here it is judged before
//! that, so that a body that is in vain is not asked for.

use super::Adapter;
use crate::error::ToS3;
use client::{GetError, PutError};
use http::{HeaderMap, HeaderValue, header};
use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result};
use types::ObjectKey;
use types::wire::metadata::{Bucket, Condition, EtagMatch, Wanted};

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
        let holds = match (&self.matches, &self.unmodified) {
            (Some(condition), _) => strong(condition).includes(etag),
            (None, Some(since)) => modified <= since,
            (None, None) => true,
        };
        if !holds {
            return Err(S3ErrorCode::PreconditionFailed.into());
        }
        let fresh = match (&self.differs, &self.modified) {
            (Some(condition), _) => weak(condition).includes(etag),
            (None, Some(since)) => modified <= since,
            (None, None) => false,
        };
        if fresh {
            return Err(not_modified(etag, modified));
        }
        Ok(())
    }
}

/// What If-Match and If-None-Match of a write ask.
pub(super) fn of_write(
    matches: Option<&ETagCondition>,
    differs: Option<&ETagCondition>,
) -> Condition {
    Condition {
        matches: matches.map(strong),
        differs: differs.map(weak),
        ..Condition::default()
    }
}

/// Refuses a write whose condition does not hold now, before its body is asked for.
///
/// # Errors
/// `NoSuchKey` when the condition asks for a version and there is none, else `PreconditionFailed`.
pub(super) async fn precheck(
    adapter: &Adapter,
    bucket: &Bucket,
    key: &ObjectKey,
    condition: &Condition,
) -> S3Result<()> {
    if condition.is_none() {
        return Ok(());
    }
    match adapter.client.head(bucket, key, Wanted::Nothing).await {
        Ok(head) => judge(condition, Some(&head.attributes.etag)),
        Err(GetError::NoSuchObject) => judge(condition, None),
        Err(error) => Err(error.to_s3()),
    }
}

/// Whether a write may go on, over a current version of this ETag.
fn judge(condition: &Condition, etag: Option<&str>) -> S3Result<()> {
    if let Some(matches) = &condition.matches {
        match etag {
            None => return Err(S3ErrorCode::NoSuchKey.into()),
            Some(etag) if !matches.includes(etag) => {
                return Err(S3ErrorCode::PreconditionFailed.into());
            }
            Some(_) => {}
        }
    }
    match (&condition.differs, etag) {
        (Some(differs), Some(etag)) if differs.includes(etag) => {
            Err(S3ErrorCode::PreconditionFailed.into())
        }
        _ => Ok(()),
    }
}

/// Why a write was not committed that [`precheck`] let pass. A version that was there and is gone was
/// deleted meanwhile: S3 calls that a conflict, which is to be looked at anew.
pub(super) fn lost(error: PutError) -> S3Error {
    match error {
        PutError::NoSuchObject => S3ErrorCode::ConditionalRequestConflict.into(),
        error => error.to_s3(),
    }
}

/// The ETags that If-Match means: a weak one is equal to none (RFC 9110 §8.8.3.2).
fn strong(condition: &ETagCondition) -> EtagMatch {
    match condition.as_etag() {
        None => EtagMatch::Any,
        Some(ETag::Weak(_)) => EtagMatch::OneOf(Vec::new()),
        Some(ETag::Strong(list)) => EtagMatch::OneOf(tags(list, false)),
    }
}

/// The ETags that If-None-Match means, weak ones among them.
pub(super) fn weak(condition: &ETagCondition) -> EtagMatch {
    match condition.as_etag() {
        None => EtagMatch::Any,
        Some(tag) => EtagMatch::OneOf(tags(tag.value(), true)),
    }
}

/// s3s takes off the first and the last quote: what is between is one ETag, or `a", W/"b`. No ETag of ours
/// holds a comma.
fn tags(list: &str, weak: bool) -> Vec<String> {
    let bare = |tag: &str| {
        let tag = tag.trim();
        let strong = tag.strip_prefix("W/");
        let tag = match strong {
            Some(_) if !weak => return None,
            Some(tag) => tag,
            None => tag,
        };
        Some(tag.trim_matches('"').to_owned())
    };
    list.split(',').filter_map(bare).collect()
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

    /// A list of ETags means each of them; a weak one is met by If-None-Match alone.
    /// Method: a table of headers, against an object "a".
    #[test]
    fn lists_of_etags_are_read() {
        for (header, matched, differs) in [
            ("\"a\"", true, true),
            ("a", true, true),
            ("*", true, true),
            ("\"b\"", false, false),
            ("\"b\", \"a\"", true, true),
            ("\"b\",\"c\"", false, false),
            ("W/\"a\"", false, true),
            ("\"b\", W/\"a\"", false, true),
        ] {
            let condition = tag(header).expect("parsed");
            assert_eq!(strong(&condition).includes("a"), matched, "{header}");
            assert_eq!(weak(&condition).includes("a"), differs, "{header}");
        }
    }

    /// A write is refused by what it asks for, as S3 calls it.
    /// Method: a table over a version "a", and over none.
    #[test]
    fn writes_are_judged() {
        for (matches, differs, etag, expected) in [
            (None, None, None, ""),
            (None, Some("*"), None, ""),
            (None, Some("*"), Some("a"), "PreconditionFailed"),
            (None, Some("\"a\""), Some("a"), "PreconditionFailed"),
            (None, Some("\"b\""), Some("a"), ""),
            (Some("*"), None, Some("a"), ""),
            (Some("*"), None, None, "NoSuchKey"),
            (Some("\"a\""), None, Some("a"), ""),
            (Some("\"b\""), None, Some("a"), "PreconditionFailed"),
            (Some("\"b\""), None, None, "NoSuchKey"),
            (Some("\"a\""), Some("*"), Some("a"), "PreconditionFailed"),
        ] {
            let (matches, differs) = (matches.and_then(tag), differs.and_then(tag));
            let condition = of_write(matches.as_ref(), differs.as_ref());
            let told = judge(&condition, etag).map_err(|e| e.code().as_str().to_owned());
            let told = told.err().unwrap_or_default();
            assert_eq!(told, expected, "{condition:?} over {etag:?}");
        }
    }

    proptest::proptest! {
        /// A read is answered as RFC 9110 §13.2.2 has it, step by step.
        /// Method: any conditions over few ETags and seconds, against the section's five steps.
        #[test]
        fn reads_follow_the_rfc(
            matches in etags(),
            differs in etags(),
            modified in proptest::option::of(9u64..12),
            unmodified in proptest::option::of(9u64..12),
        ) {
            let header = |chosen: &Option<Vec<&'static str>>| {
                chosen.as_ref().and_then(|chosen| tag(&chosen.join(", ")))
            };
            let conditions = Conditions {
                matches: header(&matches),
                differs: header(&differs),
                modified: modified.map(at),
                unmodified: unmodified.map(at),
            };
            let meets = |chosen: &[&str], weakly: bool| {
                chosen.iter().any(|t| *t == "*" || *t == "\"a\"" || (weakly && *t == "W/\"a\""))
            };
            let mut status = 200;
            if let Some(chosen) = &matches {
                if !meets(chosen, false) { status = 412; }
            } else if unmodified.is_some_and(|since| 10 > since) {
                status = 412;
            }
            if status == 200 {
                if let Some(chosen) = &differs {
                    if meets(chosen, true) { status = 304; }
                } else if modified.is_some_and(|since| 10 <= since) {
                    status = 304;
                }
            }
            let told = match conditions.check("a", &at(10)) {
                Ok(()) => 200,
                Err(error) => error.status_code().expect("known").as_u16(),
            };
            proptest::prop_assert_eq!(told, status);
        }
    }

    /// A header's ETags: `*` alone, or one or two others.
    fn etags() -> impl proptest::strategy::Strategy<Value = Option<Vec<&'static str>>> {
        use proptest::prelude::*;
        let one = || prop::sample::select(vec!["\"a\"", "\"b\"", "W/\"a\""]);
        let list = prop_oneof![
            Just(vec!["*"]),
            one().prop_map(|tag| vec![tag]),
            prop::sample::select(vec!["\"a\"", "\"b\""])
                .prop_flat_map(move |first| one().prop_map(move |second| vec![first, second])),
        ];
        prop::option::of(list)
    }
}
