//! What a client says of its body's checksum, and how stored ones are shown.
//!
//! A client sends at most one of `x-amz-checksum-*`, as a header or as a trailer that
//! `x-amz-trailer` announces. s3s hands both on unchecked; what does not match is not stored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders, s3_error};
use types::attributes::{Checksum, ChecksumAlgorithm, ChecksumKind};

/// Header, name in `x-amz-sdk-checksum-algorithm`, and length in bytes of each checksum we know.
const KNOWN: [(ChecksumAlgorithm, &str, &str, usize); 5] = [
    (ChecksumAlgorithm::Crc32, "x-amz-checksum-crc32", "CRC32", 4),
    (
        ChecksumAlgorithm::Crc32c,
        "x-amz-checksum-crc32c",
        "CRC32C",
        4,
    ),
    (
        ChecksumAlgorithm::Crc64Nvme,
        "x-amz-checksum-crc64nvme",
        "CRC64NVME",
        8,
    ),
    (ChecksumAlgorithm::Sha1, "x-amz-checksum-sha1", "SHA1", 20),
    (
        ChecksumAlgorithm::Sha256,
        "x-amz-checksum-sha256",
        "SHA256",
        32,
    ),
];

/// What S3 has beside them.
const NEWER: [&str; 5] = ["SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"];

/// Headers that begin like a checksum and say something about one.
const ABOUT: [&str; 3] = [
    "x-amz-checksum-mode",
    "x-amz-checksum-type",
    "x-amz-checksum-algorithm",
];

/// What a request says of its body's checksum.
#[derive(PartialEq)]
pub(crate) enum Promise {
    /// Nothing: CRC-64/NVME is computed and stored.
    Nothing,
    /// Its value, in a header.
    Header(Checksum),
    /// That it follows the body.
    Trailer(ChecksumAlgorithm),
}

impl Promise {
    /// Reads the headers of a request.
    ///
    /// # Errors
    /// Several checksums, malformed ones, or one of a kind that is not implemented.
    pub(crate) fn of(headers: &HeaderMap) -> S3Result<Self> {
        let mut promise = match only(headers)? {
            Some((algorithm, value)) => Self::Header(decode(algorithm, value)?),
            None => Self::Nothing,
        };
        for name in announced(headers)? {
            promise.settle(Self::Trailer(known(&name)?))?;
        }
        promise.agree(headers)?;
        Ok(promise)
    }

    /// What of it is about the body where the headers are about something else: the trailer alone.
    ///
    /// # Errors
    /// As [`Promise::of`].
    pub(crate) fn behind(headers: &HeaderMap) -> S3Result<Self> {
        let mut promise = Self::Nothing;
        for name in announced(headers)? {
            promise.settle(Self::Trailer(known(&name)?))?;
        }
        Ok(promise)
    }

    /// Of which algorithm.
    pub(crate) fn promised(&self) -> Option<ChecksumAlgorithm> {
        match self {
            Self::Nothing => None,
            Self::Header(checksum) => Some(checksum.algorithm),
            Self::Trailer(algorithm) => Some(*algorithm),
        }
    }

    /// Which checksum to compute.
    pub(crate) fn algorithm(&self) -> ChecksumAlgorithm {
        self.promised().unwrap_or(ChecksumAlgorithm::Crc64Nvme)
    }

    /// Compares what was computed with what was promised, once the whole body has been read.
    ///
    /// # Errors
    /// They differ, or the trailer did not come.
    pub(crate) fn keep(
        self,
        computed: &Checksum,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<()> {
        let promised = match self {
            Self::Nothing => return Ok(()),
            Self::Header(checksum) => checksum,
            Self::Trailer(algorithm) => {
                let trailers = trailers.and_then(|trailers| trailers.take());
                trailer(algorithm, &trailers.unwrap_or_default())?
            }
        };
        if promised == *computed {
            return Ok(());
        }
        Err(mismatch(promised.algorithm))
    }

    fn settle(&mut self, found: Self) -> S3Result<()> {
        if *self != Self::Nothing {
            return Err(several());
        }
        *self = found;
        Ok(())
    }

    /// `x-amz-sdk-checksum-algorithm` must name what was sent.
    fn agree(&self, headers: &HeaderMap) -> S3Result<()> {
        let Some(claimed) = headers.get("x-amz-sdk-checksum-algorithm") else {
            return Ok(());
        };
        let (_, _, name, _) = row(self.algorithm());
        let sent = *self != Self::Nothing;
        if sent && claimed.as_bytes().eq_ignore_ascii_case(name.as_bytes()) {
            return Ok(());
        }
        Err(s3_error!(
            InvalidRequest,
            "x-amz-sdk-checksum-algorithm names a checksum that is in no x-amz-checksum-* header or trailer."
        ))
    }
}

/// Adds the headers that show the checksums of an object of so many parts (0: a plain PUT).
pub(crate) fn show(checksums: &[Checksum], parts: u32, headers: &mut HeaderMap) {
    for checksum in checksums {
        insert(checksum, text(checksum, parts), checksum.kind, headers);
    }
}

/// Adds the headers that show the checksums of one part of an object: their values, and of what kind the
/// object's are, as S3 has it.
pub(crate) fn show_part(checksums: &[Checksum], kind: ChecksumKind, headers: &mut HeaderMap) {
    for checksum in checksums {
        insert(checksum, text(checksum, 0), kind, headers);
    }
}

fn insert(checksum: &Checksum, text: String, kind: ChecksumKind, headers: &mut HeaderMap) {
    let (_, name, _, _) = row(checksum.algorithm);
    let value = HeaderValue::try_from(text);
    headers.insert(
        HeaderName::from_static(name),
        value.expect("base64 is a header value"),
    );
    let kind = HeaderValue::from_static(kind_name(kind));
    headers.insert("x-amz-checksum-type", kind);
}

/// A checksum as S3 writes it: base64, and behind that the number of parts when it is over theirs.
pub(crate) fn text(checksum: &Checksum, parts: u32) -> String {
    let value = STANDARD.encode(&checksum.value);
    match checksum.kind {
        ChecksumKind::Composite => format!("{value}-{parts}"),
        _ => value,
    }
}

/// `CRC32`, `SHA256` …
pub(crate) fn name(algorithm: ChecksumAlgorithm) -> &'static str {
    let (_, _, name, _) = row(algorithm);
    name
}

/// `FULL_OBJECT` or `COMPOSITE`.
pub(crate) fn kind_name(kind: ChecksumKind) -> &'static str {
    match kind {
        ChecksumKind::Composite => "COMPOSITE",
        _ => "FULL_OBJECT",
    }
}

/// The algorithm that S3 calls so.
///
/// # Errors
/// There is none, or it is not implemented.
pub(crate) fn by_name(name: &str) -> S3Result<ChecksumAlgorithm> {
    let same = |known: &str| known.eq_ignore_ascii_case(name);
    if let Some((algorithm, ..)) = KNOWN.iter().find(|(_, _, known, _)| same(known)) {
        return Ok(*algorithm);
    }
    if NEWER.iter().any(|known| same(known)) {
        return Err(s3_error!(
            NotImplemented,
            "The checksum algorithm is not implemented."
        ));
    }
    Err(s3_error!(
        InvalidRequest,
        "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"
    ))
}

/// The bytes of a checksum that a client wrote; none: it is no checksum of that algorithm.
pub(crate) fn parse(algorithm: ChecksumAlgorithm, text: &str) -> Option<Vec<u8>> {
    let (_, _, _, length) = row(algorithm);
    let value = STANDARD.decode(text).ok();
    value.filter(|value| value.len() == length)
}

/// What a client says that differs from what is: nothing is stored.
pub(crate) fn mismatch(algorithm: ChecksumAlgorithm) -> S3Error {
    let name = name(algorithm);
    s3_error!(
        BadDigest,
        "The {name} you specified did not match the calculated checksum."
    )
}

/// The one checksum in a request's headers, as it was written.
///
/// # Errors
/// There are several, or it is of a kind that is not implemented.
pub(crate) fn only(headers: &HeaderMap) -> S3Result<Option<(ChecksumAlgorithm, &HeaderValue)>> {
    let mut found = None;
    for (name, value) in headers {
        let name = name.as_str();
        if !name.starts_with("x-amz-checksum-") || ABOUT.contains(&name) {
            continue;
        }
        if found.replace((known(name)?, value)).is_some() {
            return Err(several());
        }
    }
    Ok(found)
}

/// Of a request that brings no bytes no checksum is read: it is refused, not dropped.
///
/// # Errors
/// There is one.
pub(crate) fn of_nothing(headers: &HeaderMap) -> S3Result<()> {
    match only(headers)? {
        None => Ok(()),
        Some(_) => Err(s3_error!(
            InvalidRequest,
            "There are no bytes that an x-amz-checksum- header could be of."
        )),
    }
}

fn several() -> S3Error {
    s3_error!(
        InvalidRequest,
        "Expecting a single x-amz-checksum- header. Multiple checksum types are not allowed."
    )
}

/// The checksum names in `x-amz-trailer`.
fn announced(headers: &HeaderMap) -> S3Result<Vec<String>> {
    let mut names = Vec::new();
    for value in headers.get_all("x-amz-trailer") {
        let value = value.to_str().map_err(|_| S3ErrorCode::InvalidRequest)?;
        names.extend(
            value
                .split(',')
                .map(|name| name.trim().to_ascii_lowercase()),
        );
    }
    Ok(names)
}

/// The one checksum in `trailers`, which must be the announced one.
fn trailer(algorithm: ChecksumAlgorithm, trailers: &HeaderMap) -> S3Result<Checksum> {
    let (_, name, _, _) = row(algorithm);
    let malformed = || {
        let mut error = s3_error!(
            InvalidRequest,
            "The trailer {name} that x-amz-trailer announced is missing, or is not alone."
        );
        error.set_code(S3ErrorCode::Custom("MalformedTrailerError".into()));
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        error
    };
    let mut sums = trailers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-amz-checksum-"));
    match (sums.next(), sums.next()) {
        (Some((found, value)), None) if found == name => decode(algorithm, value),
        _ => Err(malformed()),
    }
}

fn known(name: &str) -> S3Result<ChecksumAlgorithm> {
    let found = KNOWN.iter().find(|(_, header, _, _)| *header == name);
    found
        .map(|(algorithm, ..)| *algorithm)
        .ok_or_else(|| s3_error!(NotImplemented, "{name} is not implemented."))
}

fn row(algorithm: ChecksumAlgorithm) -> (ChecksumAlgorithm, &'static str, &'static str, usize) {
    *KNOWN
        .iter()
        .find(|(known, ..)| *known == algorithm)
        .expect("every checksum has its row")
}

/// A value that is no checksum of that algorithm is the checksum of no body: a wrong one, like any other.
fn decode(algorithm: ChecksumAlgorithm, value: &HeaderValue) -> S3Result<Checksum> {
    let (_, name, _, _) = row(algorithm);
    let value = value.to_str().ok().and_then(|text| parse(algorithm, text));
    let value = value.ok_or_else(|| s3_error!(BadDigest, "Value for {name} header is invalid."))?;
    Ok(Checksum {
        algorithm,
        kind: ChecksumKind::FullObject,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn code(pairs: &[(&'static str, &'static str)]) -> String {
        let error = Promise::of(&headers(pairs)).err().expect("refused");
        error.code().as_str().to_owned()
    }

    /// A request says nothing, a value, or that one will follow; all else is refused.
    /// Method: the headers that SDKs send, and those that none should.
    #[test]
    fn promises_are_read_from_headers() {
        assert!(Promise::of(&headers(&[])).is_ok_and(|p| p == Promise::Nothing));
        let mode = headers(&[("x-amz-checksum-mode", "ENABLED")]);
        assert!(Promise::of(&mode).is_ok_and(|p| p == Promise::Nothing));
        let sent = headers(&[
            ("x-amz-checksum-crc32", "AAAAAQ=="),
            ("x-amz-sdk-checksum-algorithm", "CRC32"),
        ]);
        let checksum = Checksum {
            algorithm: ChecksumAlgorithm::Crc32,
            kind: ChecksumKind::FullObject,
            value: vec![0, 0, 0, 1],
        };
        assert!(Promise::of(&sent).is_ok_and(|p| p == Promise::Header(checksum)));
        let follows = headers(&[
            ("x-amz-trailer", "x-amz-checksum-crc64nvme"),
            ("x-amz-sdk-checksum-algorithm", "CRC64NVME"),
        ]);
        let trailer = Promise::Trailer(ChecksumAlgorithm::Crc64Nvme);
        assert!(Promise::of(&follows).is_ok_and(|p| p == trailer));
        let crc32 = ("x-amz-checksum-crc32", "AAAAAQ==");
        for (pairs, expected) in [
            (vec![crc32, crc32], "InvalidRequest"),
            (
                vec![crc32, ("x-amz-checksum-crc32c", "AAAAAQ==")],
                "InvalidRequest",
            ),
            (
                vec![crc32, ("x-amz-trailer", "x-amz-checksum-crc32")],
                "InvalidRequest",
            ),
            (
                vec![crc32, ("x-amz-sdk-checksum-algorithm", "SHA1")],
                "InvalidRequest",
            ),
            (
                vec![("x-amz-sdk-checksum-algorithm", "SHA1")],
                "InvalidRequest",
            ),
            (vec![("x-amz-checksum-crc32", "AAAA")], "BadDigest"),
            (vec![("x-amz-checksum-crc32", "?")], "BadDigest"),
            (
                vec![("x-amz-checksum-xxhash64", "AAAAAQ==")],
                "NotImplemented",
            ),
            (vec![("x-amz-trailer", "x-amz-meta-a")], "NotImplemented"),
        ] {
            assert_eq!(code(&pairs), expected, "{pairs:?}");
        }
    }

    /// An announced trailer must come, alone, and be the announced one.
    /// Method: a table of trailers.
    #[test]
    fn the_announced_trailer_must_come() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            trailer(ChecksumAlgorithm::Crc32, &headers(pairs))
                .map(|checksum| checksum.value)
                .map_err(|error| error.code().as_str().to_owned())
        };
        let crc32 = ("x-amz-checksum-crc32", "AAAAAQ==");
        let malformed = Err("MalformedTrailerError".to_owned());
        assert_eq!(of(&[crc32]), Ok(vec![0, 0, 0, 1]));
        assert_eq!(
            of(&[crc32, ("x-amz-trailer-signature", "ab")]),
            Ok(vec![0, 0, 0, 1])
        );
        assert_eq!(of(&[]), malformed);
        assert_eq!(of(&[crc32, crc32]), malformed);
        assert_eq!(of(&[("x-amz-checksum-sha1", "AAAAAQ==")]), malformed);
    }

    /// A checksum is shown as S3 writes it, and an algorithm is found by its name.
    /// Method: both kinds, of an object and of its part; names in several cases.
    #[test]
    fn checksums_are_shown() {
        let sum = |kind| Checksum {
            algorithm: ChecksumAlgorithm::Crc32,
            kind,
            value: vec![0, 0, 0, 1],
        };
        for (kind, expected, named) in [
            (ChecksumKind::FullObject, "AAAAAQ==", "FULL_OBJECT"),
            (ChecksumKind::Composite, "AAAAAQ==-3", "COMPOSITE"),
        ] {
            let mut headers = HeaderMap::new();
            show(&[sum(kind)], 3, &mut headers);
            assert_eq!(headers["x-amz-checksum-crc32"], expected);
            assert_eq!(headers["x-amz-checksum-type"], named);
            show_part(&[sum(ChecksumKind::FullObject)], kind, &mut headers);
            assert_eq!(headers["x-amz-checksum-crc32"], "AAAAAQ==");
            assert_eq!(headers["x-amz-checksum-type"], named);
        }
        for (name, expected) in [
            ("CRC32", Ok(ChecksumAlgorithm::Crc32)),
            ("crc64nvme", Ok(ChecksumAlgorithm::Crc64Nvme)),
            ("SHA512", Err("NotImplemented")),
            ("ROT13", Err("InvalidRequest")),
        ] {
            let found = by_name(name).map_err(|error| error.code().as_str().to_owned());
            assert_eq!(found, expected.map_err(str::to_owned), "{name}");
        }
    }

    /// What differs from its promise is refused; what equals it, or had none, is not.
    /// Method: each kind against an equal and a different value.
    #[test]
    fn promises_are_kept() {
        let sum = |byte| Checksum {
            algorithm: ChecksumAlgorithm::Crc32,
            kind: ChecksumKind::FullObject,
            value: vec![byte; 4],
        };
        assert!(Promise::Nothing.keep(&sum(1), None).is_ok());
        assert!(Promise::Header(sum(1)).keep(&sum(1), None).is_ok());
        let error = Promise::Header(sum(2))
            .keep(&sum(1), None)
            .expect_err("differs");
        assert_eq!(*error.code(), S3ErrorCode::BadDigest);
        let promise = Promise::Trailer(ChecksumAlgorithm::Crc32);
        assert!(promise.keep(&sum(1), None).is_err());
    }
}
