//! When a request was signed, where its client says so in `Date` alone.
//!
//! Signature Version 4 takes the time of signing from `x-amz-date`, or from `Date` where that is missing;
//! s3s knows the former alone. The time is part of what is signed, whichever header carries it: one that was
//! changed fits no signature. So s3s is told that `x-amz-date` need not be among the signed headers, and one
//! that its client sent without signing it is refused here, like every other `x-amz-*` header.

use crate::refuse::decode;
use http::header::{AUTHORIZATION, DATE};
use http::{HeaderMap, HeaderValue};
use s3s::dto::{Timestamp, TimestampFormat};
use s3s::{S3Result, s3_error};

/// The header that carries the time of signing.
pub(crate) const SIGNED_AT: &str = "x-amz-date";
const SCHEME: &[u8] = b"AWS4-HMAC-SHA256";

/// Says in `x-amz-date` what a signed request says in `Date` alone. A date that is none stays as it is, and
/// its request is refused for the want of one.
///
/// # Errors
/// The client sent an `x-amz-date` that it did not sign.
pub(crate) fn fill(headers: &mut HeaderMap, query: &str) -> S3Result<()> {
    if headers.contains_key(SIGNED_AT) {
        return match is_signed(headers, query) {
            true => Ok(()),
            false => Err(s3_error!(
                AccessDenied,
                "There were headers present in the request which were not signed"
            )),
        };
    }
    let by_header = headers.get(AUTHORIZATION);
    let by_header = by_header.is_some_and(|signed| signed.as_bytes().starts_with(SCHEME));
    let mut dates = headers.get_all(DATE).iter();
    if let (true, Some(only), None) = (by_header, dates.next(), dates.next())
        && let Some(date) = only.to_str().ok().and_then(compact)
    {
        headers.insert(SIGNED_AT, date);
    }
    Ok(())
}

/// Whether `x-amz-date` is among the signed headers, as far as those are told.
fn is_signed(headers: &HeaderMap, query: &str) -> bool {
    let authorization = headers.get(AUTHORIZATION).and_then(|a| a.to_str().ok());
    let mut fields = authorization.into_iter().flat_map(|a| a.split([',', ' ']));
    let in_header = fields.find_map(|field| field.strip_prefix("SignedHeaders="));
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let in_query = pairs.find(|(name, _)| decode(name) == "X-Amz-SignedHeaders");
    let in_query = in_query.map(|(_, names)| decode(names));
    let told = in_header.map(str::to_owned).into_iter().chain(in_query);
    let mut lists = told.map(|names| {
        let mut names = names.split(';');
        names.any(|name| name.eq_ignore_ascii_case(SIGNED_AT))
    });
    lists.all(|has| has)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as `19941106T084937Z`. botocore writes the zone as mail does, `-0000`.
fn compact(date: &str) -> Option<HeaderValue> {
    let zones = [" GMT", " -0000", " +0000"];
    let time = zones.iter().find_map(|zone| date.strip_suffix(zone))?;
    let date = format!("{time} GMT");
    let at = Timestamp::parse(TimestampFormat::HttpDate, &date).ok()?;
    let mut text = Vec::new();
    at.format(TimestampFormat::DateTime, &mut text).ok()?;
    let text = String::from_utf8(text).ok()?;
    // `1994-11-06T08:49:37.000Z`
    let seconds = text.split(['.', 'Z']).next()?;
    let digits = seconds.replace(['-', ':'], "");
    HeaderValue::try_from(format!("{digits}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time of signing is where s3s looks for it, and no other request is touched.
    /// Method: a table of headers.
    #[test]
    fn dates_are_filled_in() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let signed = ("authorization", "AWS4-HMAC-SHA256 Credential=x");
        let expected = Some("19941106T084937Z");
        for (given, filled) in [
            (&[signed, date][..], expected),
            (
                &[signed, ("date", "Sun, 06 Nov 1994 08:49:37 -0000")],
                expected,
            ),
            (&[signed, ("date", "Sun, 06 Nov 1994 08:49:37 +0200")], None),
            (&[date], None),
            (&[signed], None),
            (&[signed, ("date", "")], None),
            (&[signed, ("date", "yesterday")], None),
            (&[signed, date, date], None),
            (&[("authorization", "AWS x:y"), date], None),
            (&[signed, date, (SIGNED_AT, "whatever")], Some("whatever")),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.append(*name, HeaderValue::from_static(value));
            }
            fill(&mut headers, "").expect("its signed headers are not told");
            let told = headers
                .get(SIGNED_AT)
                .map(|date| date.to_str().expect("text"));
            assert_eq!(told, filled, "{given:?}");
        }
    }

    /// A date that a client sent must be signed, however it signs.
    /// Method: signed headers that are told in the header and in the query, with the date and without.
    #[test]
    fn a_date_that_was_sent_is_signed() {
        let with = "AWS4-HMAC-SHA256 Credential=x,SignedHeaders=host;x-amz-date,Signature=y";
        let blanks = "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host;X-Amz-Date, Signature=y";
        let without = "AWS4-HMAC-SHA256 Credential=x,SignedHeaders=host,Signature=y";
        for (authorization, query, good) in [
            (Some(with), "", true),
            (Some(blanks), "", true),
            (Some(without), "", false),
            (None, "X-Amz-SignedHeaders=host%3Bx-amz-date", true),
            (None, "a=b&X-Amz-SignedHeaders=host", false),
            (Some(with), "X-Amz-SignedHeaders=host", false),
            (None, "", true),
        ] {
            let date = HeaderValue::from_static("20261123T032729Z");
            let mut headers = HeaderMap::new();
            headers.insert(SIGNED_AT, date);
            if let Some(authorization) = authorization {
                headers.insert(AUTHORIZATION, HeaderValue::from_static(authorization));
            }
            let told = fill(&mut headers, query);
            assert_eq!(told.is_ok(), good, "{authorization:?} {query}");
        }
    }
}
