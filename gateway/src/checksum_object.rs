//! The checksum of an object that comes in parts.
//!
//! ```text
//!                        CRC32, CRC32C   CRC64NVME   SHA1, SHA256
//! composite              by default      no          by default
//! full object            if asked for    by default  no
//! ```
//!
//! A composite one is the checksum of the parts' checksums, one behind the other; a full-object one is that
//! of all bytes, which CRCs [can be combined to](crate::checksum_combine). Where a client asks for none, the
//! object has a CRC64NVME, as on S3.

use crate::checksum::{self, kind_name};
use crate::checksum_combine::Combined;
use crate::digest::Digests;
use s3s::{S3Result, s3_error};
use types::attributes::{Checksum, ChecksumAlgorithm, ChecksumKind};
use types::wire::metadata::Part;

/// Which checksum an upload asks for.
pub(crate) type Choice = (ChecksumAlgorithm, ChecksumKind);

/// What an upload has that asks for none.
pub(crate) const UNASKED: Choice = (ChecksumAlgorithm::Crc64Nvme, ChecksumKind::FullObject);

/// The choice that `x-amz-checksum-algorithm` and `x-amz-checksum-type` make.
///
/// # Errors
/// There is no such algorithm or type, or the two do not go together.
pub(crate) fn choose(algorithm: Option<&str>, kind: Option<&str>) -> S3Result<Option<Choice>> {
    let kind = kind.map(parse_kind).transpose()?;
    let Some(algorithm) = algorithm else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(s3_error!(
                InvalidRequest,
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            )),
        };
    };
    let algorithm = checksum::by_name(algorithm)?;
    let (usual, other) = kinds(algorithm);
    match kind {
        None => Ok(Some((algorithm, usual))),
        Some(kind) if kind == usual || Some(kind) == other => Ok(Some((algorithm, kind))),
        Some(kind) => Err(s3_error!(
            InvalidRequest,
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind_name(kind),
            checksum::name(algorithm).to_ascii_lowercase()
        )),
    }
}

/// A value of `x-amz-checksum-type`.
///
/// # Errors
/// It is neither of the two.
pub(crate) fn parse_kind(name: &str) -> S3Result<ChecksumKind> {
    let all = [ChecksumKind::FullObject, ChecksumKind::Composite];
    let found = all.into_iter().find(|kind| kind_name(*kind) == name);
    found.ok_or_else(|| {
        s3_error!(
            InvalidRequest,
            "Value for x-amz-checksum-type header is invalid."
        )
    })
}

/// The kind that an algorithm has unless the other is asked for, and the other.
fn kinds(algorithm: ChecksumAlgorithm) -> (ChecksumKind, Option<ChecksumKind>) {
    match algorithm {
        ChecksumAlgorithm::Crc64Nvme => (ChecksumKind::FullObject, None),
        ChecksumAlgorithm::Crc32 | ChecksumAlgorithm::Crc32c => {
            (ChecksumKind::Composite, Some(ChecksumKind::FullObject))
        }
        _ => (ChecksumKind::Composite, None),
    }
}

/// The object's checksum out of its parts', in their order. None: a part has none of that algorithm.
pub(crate) fn of_parts(choice: Choice, parts: &[&Part]) -> Option<Checksum> {
    let (algorithm, kind) = choice;
    let has = |checksum: &&Checksum| checksum.algorithm == algorithm;
    let value = |part: &Part| part.checksums.iter().find(has).map(|sum| sum.value.clone());
    let value = match kind {
        ChecksumKind::Composite => {
            let mut digests = Digests::new(&[algorithm]);
            for part in parts {
                digests.update(&value(part)?);
            }
            digests.finish().of(algorithm).value.clone()
        }
        _ => {
            let mut combined = Combined::new(algorithm)?;
            for part in parts {
                combined.append(&value(part)?, part.length.get());
            }
            combined.finish()
        }
    };
    Some(Checksum {
        algorithm,
        kind,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use types::size::ByteCount;
    use types::wire::metadata::WallTime;

    const MIB_5: u64 = 5 << 20;

    /// The choices of S3, and no others.
    /// Method: every algorithm with every type.
    #[test]
    fn choices_are_those_of_s3() {
        let (full, composite) = (ChecksumKind::FullObject, ChecksumKind::Composite);
        for (algorithm, usual, full_works, composite_works) in [
            ("CRC32", composite, true, true),
            ("CRC32C", composite, true, true),
            ("CRC64NVME", full, true, false),
            ("SHA1", composite, false, true),
            ("SHA256", composite, false, true),
        ] {
            let of = |kind| choose(Some(algorithm), kind).map(|choice| choice.map(|c| c.1));
            assert_eq!(of(None).ok(), Some(Some(usual)), "{algorithm}");
            for (name, kind, works) in [
                ("FULL_OBJECT", full, full_works),
                ("COMPOSITE", composite, composite_works),
            ] {
                let expected = works.then_some(Some(kind));
                assert_eq!(of(Some(name)).ok(), expected, "{algorithm} {name}");
            }
            assert!(of(Some("BOTH")).is_err());
        }
        assert!(choose(None, None).is_ok_and(|choice| choice.is_none()));
        assert!(choose(None, Some("COMPOSITE")).is_err());
        assert!(choose(Some("ROT13"), None).is_err());
    }

    /// Parts give the object's checksum as every S3 does.
    /// Method: checksums of three parts of 5 MiB of A, B and C, and of the object, as published by
    /// ceph/s3-tests.
    #[test]
    fn objects_have_the_published_checksums() {
        let (full, composite) = (ChecksumKind::FullObject, ChecksumKind::Composite);
        for (algorithm, kind, sums, expected) in [
            (
                "SHA256",
                composite,
                [
                    "275VF5loJr1YYawit0XSHREhkFXYkkPKGuoK0x9VKxI=",
                    "mrHwOfjTL5Zwfj74F05HOQGLdUb7E5szdCbxgUSq6NM=",
                    "Vw7oB/nKQ5xWb3hNgbyfkvDiivl+U+/Dft48nfJfDow=",
                ],
                "uWBwpe1dxI4Vw8Gf0X9ynOdw/SS6VBzfWm9giiv1sf4=-3",
            ),
            (
                "SHA1",
                composite,
                [
                    "iIaTCGbm+vdVjNqIMF2S0T7ibMk=",
                    "LS/TJ32bAVKEwRu+sE3X7awh/lk=",
                    "6DDwovUaHwrKNXDMzOGbuvj9kxI=",
                ],
                "sizjvY4eud3MrcHdZM3cQ/ol39o=-3",
            ),
            (
                "CRC64NVME",
                full,
                ["L/E4WYn8v98=", "xW1l19VobYM=", "cK5MnNaWrW4="],
                "i+6LR0y3eFo=",
            ),
            (
                "CRC32",
                full,
                ["JRTCyQ==", "QoZTGg==", "YAgjqw=="],
                "WgDhBQ==",
            ),
            (
                "CRC32C",
                full,
                ["MDaLrw==", "TH4EZg==", "Z7mBIQ=="],
                "xU+Krw==",
            ),
        ] {
            let algorithm = checksum::by_name(algorithm).expect("known");
            let part = |(number, sum): (u32, &&str)| Part {
                number,
                length: ByteCount::new(MIB_5),
                modified: WallTime(0),
                etag: String::new(),
                checksums: vec![Checksum {
                    algorithm,
                    kind: full,
                    value: STANDARD.decode(sum).expect("base64"),
                }],
                born: 0,
            };
            let mut parts: Vec<Part> = (1..).zip(&sums).map(part).collect();
            let object = of_parts((algorithm, kind), &parts.iter().collect::<Vec<_>>());
            let object = object.expect("all parts have one");
            assert_eq!(checksum::text(&object, 3), expected);
            parts[1].checksums.clear();
            assert!(of_parts((algorithm, kind), &parts.iter().collect::<Vec<_>>()).is_none());
        }
    }
}
