//! Checksums in documents: S3 has a field for each algorithm, in every structure that shows one.

use crate::checksum;
use s3s::dto::{
    Checksum as ObjectChecksum, CompleteMultipartUploadOutput, CompletedPart, CopyObjectResult,
    CopyPartResult, ObjectPart, Part,
};
use types::attributes::{Checksum, ChecksumAlgorithm};

/// A structure with a field for each algorithm.
pub(super) trait ChecksumFields {
    /// The field of an algorithm.
    fn field(&mut self, algorithm: ChecksumAlgorithm) -> &mut Option<String>;
}

macro_rules! has_fields {
    ($($name:ty)*) => {$(
        impl ChecksumFields for $name {
            fn field(&mut self, algorithm: ChecksumAlgorithm) -> &mut Option<String> {
                match algorithm {
                    ChecksumAlgorithm::Crc32 => &mut self.checksum_crc32,
                    ChecksumAlgorithm::Crc32c => &mut self.checksum_crc32c,
                    ChecksumAlgorithm::Sha1 => &mut self.checksum_sha1,
                    ChecksumAlgorithm::Sha256 => &mut self.checksum_sha256,
                    _ => &mut self.checksum_crc64nvme,
                }
            }
        }
    )*};
}

has_fields!(CompleteMultipartUploadOutput CopyObjectResult CopyPartResult ObjectChecksum ObjectPart Part);

/// What a client says that a part's checksums are. None: it has one of an algorithm that we have not.
pub(super) fn named(
    part: &CompletedPart,
) -> Option<impl Iterator<Item = (ChecksumAlgorithm, &str)>> {
    let others = [
        &part.checksum_md5,
        &part.checksum_sha512,
        &part.checksum_xxhash64,
        &part.checksum_xxhash3,
        &part.checksum_xxhash128,
    ];
    let ours = [
        (ChecksumAlgorithm::Crc32, &part.checksum_crc32),
        (ChecksumAlgorithm::Crc32c, &part.checksum_crc32c),
        (ChecksumAlgorithm::Crc64Nvme, &part.checksum_crc64nvme),
        (ChecksumAlgorithm::Sha1, &part.checksum_sha1),
        (ChecksumAlgorithm::Sha256, &part.checksum_sha256),
    ];
    let known = others.iter().all(|other| other.is_none());
    known.then(|| {
        let said = ours.into_iter();
        said.filter_map(|(algorithm, text)| Some((algorithm, text.as_deref()?)))
    })
}

/// Shows checksums of an object of so many parts (of a part, or of a plain PUT: 0).
pub(super) fn fill<'a>(
    shown: &mut impl ChecksumFields,
    checksums: impl IntoIterator<Item = &'a Checksum>,
    parts: u32,
) {
    for checksum in checksums {
        *shown.field(checksum.algorithm) = Some(checksum::text(checksum, parts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::attributes::ChecksumKind;

    /// Each algorithm has a field of its own.
    /// Method: fill all of them with different values, and look where they are.
    #[test]
    fn fields_do_not_mix() {
        let sum = |(value, algorithm): (u8, &ChecksumAlgorithm)| Checksum {
            algorithm: *algorithm,
            kind: ChecksumKind::FullObject,
            value: vec![value; 3],
        };
        let algorithms = [
            ChecksumAlgorithm::Crc32,
            ChecksumAlgorithm::Crc32c,
            ChecksumAlgorithm::Crc64Nvme,
            ChecksumAlgorithm::Sha1,
            ChecksumAlgorithm::Sha256,
        ];
        let sums: Vec<Checksum> = (0..).zip(&algorithms).map(sum).collect();
        let mut part = Part::default();
        fill(&mut part, &sums, 0);
        let shown = [
            part.checksum_crc32,
            part.checksum_crc32c,
            part.checksum_crc64nvme,
            part.checksum_sha1,
            part.checksum_sha256,
        ];
        let expected = ["AAAA", "AQEB", "AgIC", "AwMD", "BAQE"];
        assert_eq!(shown.map(Option::unwrap), expected);
    }
}
