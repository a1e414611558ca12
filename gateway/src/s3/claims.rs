//! What a client says of the object that its parts are to be: length, checksum, and of what kind that is.

use crate::checksum::{self, kind_name};
use crate::checksum_object::{self, Choice};
use http::{HeaderMap, HeaderValue};
use s3s::{S3ErrorCode, S3Result, s3_error};
use types::attributes::{Checksum, ChecksumAlgorithm, ChecksumKind};
use types::size::ByteCount;

/// What a request says of the object to be, besides its parts.
#[derive(Default)]
pub(super) struct Claims {
    /// Its length.
    length: Option<ByteCount>,
    /// Its checksum.
    checksum: Option<Claim>,
    /// Of what kind that is.
    kind: Option<ChecksumKind>,
}

/// A checksum as a client wrote it.
struct Claim {
    algorithm: ChecksumAlgorithm,
    value: Vec<u8>,
    /// Behind a composite one.
    parts: Option<u32>,
}

/// A header that is there at most once.
///
/// # Errors
/// It is there more often.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &str) -> S3Result<Option<&'a HeaderValue>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        _ => Err(s3_error!(InvalidRequest, "duplicate header: {name}")),
    }
}

impl Claims {
    /// Reads the headers of a request.
    ///
    /// # Errors
    /// They are malformed, or there are several checksums.
    pub(super) fn of(headers: &HeaderMap) -> S3Result<Self> {
        let text = |name| -> S3Result<Option<&str>> {
            let value = single(headers, name)?.map(HeaderValue::to_str).transpose();
            value.map_err(|_| S3ErrorCode::InvalidArgument.into())
        };
        let length = text("x-amz-mp-object-size")?.map(str::parse).transpose();
        let length = length.map_err(|_| {
            s3_error!(
                InvalidArgument,
                "The x-amz-mp-object-size header is not a length."
            )
        })?;
        Ok(Self {
            length: length.map(ByteCount::new),
            checksum: Claim::of(headers)?,
            kind: text("x-amz-checksum-type")?
                .map(checksum_object::parse_kind)
                .transpose()?,
        })
    }

    /// Holds them against what is: an upload of that choice, and what its parts amount to.
    ///
    /// # Errors
    /// `BadDigest` where the checksum differs, `InvalidRequest` for everything else.
    pub(super) fn hold(
        &self,
        length: ByteCount,
        parts: usize,
        (algorithm, kind): Choice,
        computed: Option<&Checksum>,
    ) -> S3Result<()> {
        if self.length.is_some_and(|claimed| claimed != length) {
            return Err(s3_error!(
                InvalidRequest,
                "The provided 'x-amz-mp-object-size' header value does not match what was computed."
            ));
        }
        if self.kind.is_some_and(|claimed| claimed != kind) {
            return Err(s3_error!(
                InvalidRequest,
                "The upload was created using the {} checksum mode. The complete request must use the same checksum mode.",
                kind_name(kind)
            ));
        }
        let Some(claim) = &self.checksum else {
            return Ok(());
        };
        let computed = computed.filter(|sum| sum.algorithm == claim.algorithm);
        let Some(computed) = computed else {
            return Err(s3_error!(
                InvalidRequest,
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                checksum::name(algorithm).to_ascii_lowercase(),
                checksum::name(claim.algorithm).to_ascii_lowercase()
            ));
        };
        let composite = kind == ChecksumKind::Composite;
        let counted = claim
            .parts
            .is_none_or(|claimed| composite && claimed as usize == parts);
        if counted && claim.value == computed.value {
            return Ok(());
        }
        Err(checksum::mismatch(claim.algorithm))
    }
}

impl Claim {
    /// The object's checksum in the headers: base64, and `-N` behind one that is over N parts'.
    fn of(headers: &HeaderMap) -> S3Result<Option<Self>> {
        let Some((algorithm, value)) = checksum::only(headers)? else {
            return Ok(None);
        };
        let text = value.to_str().unwrap_or_default();
        let (text, parts) = match text.split_once('-') {
            None => (text, None),
            Some((text, parts)) => (text, Some(parts.parse().unwrap_or_default())),
        };
        let value = checksum::parse(algorithm, text);
        Ok(Some(Self {
            algorithm,
            value: value.ok_or_else(|| checksum::mismatch(algorithm))?,
            parts,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pairs: &[(&'static str, &'static str)], kind: ChecksumKind) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let computed = Checksum {
            algorithm: ChecksumAlgorithm::Crc32,
            kind,
            value: vec![0, 0, 0, 1],
        };
        let choice = (ChecksumAlgorithm::Crc32, kind);
        let length = ByteCount::new(10);
        let held =
            Claims::of(&headers).and_then(|claims| claims.hold(length, 3, choice, Some(&computed)));
        held.err()
            .map_or(String::new(), |error| error.code().as_str().to_owned())
    }

    /// Whatever a client says of the object is so, or the upload is not completed.
    /// Method: each claim right, wrong and malformed, about three parts of ten bytes in all.
    #[test]
    fn claims_are_held() {
        let crc32 = "x-amz-checksum-crc32";
        for (pairs, full, composite) in [
            (vec![], "", ""),
            (vec![("x-amz-mp-object-size", "10")], "", ""),
            (
                vec![("x-amz-mp-object-size", "11")],
                "InvalidRequest",
                "InvalidRequest",
            ),
            (
                vec![("x-amz-mp-object-size", "-1")],
                "InvalidArgument",
                "InvalidArgument",
            ),
            (
                vec![
                    ("x-amz-mp-object-size", "10"),
                    ("x-amz-mp-object-size", "10"),
                ],
                "InvalidRequest",
                "InvalidRequest",
            ),
            (
                vec![("x-amz-checksum-type", "FULL_OBJECT")],
                "",
                "InvalidRequest",
            ),
            (
                vec![("x-amz-checksum-type", "COMPOSITE")],
                "InvalidRequest",
                "",
            ),
            (
                vec![("x-amz-checksum-type", "x")],
                "InvalidRequest",
                "InvalidRequest",
            ),
            (vec![(crc32, "AAAAAQ==")], "", ""),
            (vec![(crc32, "AAAAAg==")], "BadDigest", "BadDigest"),
            (vec![(crc32, "bad")], "BadDigest", "BadDigest"),
            (vec![(crc32, "AAAAAQ==-3")], "BadDigest", ""),
            (vec![(crc32, "AAAAAQ==-4")], "BadDigest", "BadDigest"),
            (vec![(crc32, "AAAAAQ==-x")], "BadDigest", "BadDigest"),
            (
                vec![("x-amz-checksum-sha1", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")],
                "InvalidRequest",
                "InvalidRequest",
            ),
            (
                vec![(crc32, "AAAAAQ=="), ("x-amz-checksum-crc32c", "AAAAAQ==")],
                "InvalidRequest",
                "InvalidRequest",
            ),
        ] {
            assert_eq!(told(&pairs, ChecksumKind::FullObject), full, "{pairs:?}");
            assert_eq!(
                told(&pairs, ChecksumKind::Composite),
                composite,
                "{pairs:?}"
            );
        }
    }
}
