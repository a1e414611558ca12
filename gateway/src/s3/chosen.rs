//! What becomes of the parts that a client names: the object's parts, ETag and checksum, or a refusal.
//!
//! Pure: it is asked again with other parts when one was uploaded again meanwhile.

use super::checksum_fields;
use super::claims::Claims;
use crate::checksum;
use crate::checksum_object::{self, Choice};
use s3s::dto::CompletedPart;
use s3s::{S3Error, S3ErrorCode, S3Result};
use seal::md5::Md5;
use types::attributes::Checksum;
use types::size::{ByteCount, GIB, MIB};
use types::wire::metadata::{ChosenPart, Part};

/// The least that a part has unless it is the last, as on S3.
const SMALLEST: ByteCount = ByteCount::new(5 * MIB);
/// The largest object, as on S3.
const LARGEST: ByteCount = ByteCount::new(5 * 1024 * GIB);

/// The parts that were chosen, and what their object will say of itself.
pub(super) struct Chosen {
    /// The parts, by rising number.
    pub(super) parts: Vec<ChosenPart>,
    /// Without quotes.
    pub(super) etag: String,
    /// None where some part has none that could go into it.
    pub(super) checksum: Option<Checksum>,
}

/// Holds what the client says against the parts as they are stored.
///
/// # Errors
/// What S3 says of the first thing that is wrong: `InvalidPartOrder`, `InvalidPart`, `EntityTooSmall`,
/// `EntityTooLarge`, or what [`Claims::hold`] says.
pub(super) fn choose(
    named: &[CompletedPart],
    stored: &[Part],
    choice: Choice,
    claims: &Claims,
) -> S3Result<Chosen> {
    if !named.is_sorted_by_key(number) {
        return Err(S3ErrorCode::InvalidPartOrder.into());
    }
    let parts: S3Result<Vec<&Part>> = last_named(named).map(|part| find(part, stored)).collect();
    let parts = parts?;
    let (_, but_last) = parts.split_last().ok_or(S3ErrorCode::MalformedXML)?;
    if but_last.iter().any(|part| part.length < SMALLEST) {
        return Err(S3ErrorCode::EntityTooSmall.into());
    }
    let length: ByteCount = parts.iter().map(|part| part.length).sum();
    if length > LARGEST {
        return Err(S3ErrorCode::EntityTooLarge.into());
    }
    let checksum = checksum_object::of_parts(choice, &parts);
    claims.hold(length, parts.len(), choice, checksum.as_ref())?;
    Ok(Chosen {
        etag: etag(&parts)?,
        checksum,
        parts: parts
            .iter()
            .map(|part| ChosenPart {
                number: part.number,
                born: part.born,
            })
            .collect(),
    })
}

/// Whether exactly these parts were chosen before.
pub(super) fn were_chosen(named: &[CompletedPart], stored: &[Part]) -> bool {
    let named: Option<Vec<&Part>> = last_named(named)
        .map(|part| find(part, stored).ok())
        .collect();
    named.is_some_and(|named| named.into_iter().eq(stored))
}

/// Parts in their order; of one that is named several times in a row, as by a client that sent it again,
/// the last.
fn last_named(named: &[CompletedPart]) -> impl Iterator<Item = &CompletedPart> {
    let same = |part: &CompletedPart, next: &CompletedPart| number(part) == number(next);
    named.chunk_by(same).filter_map(<[CompletedPart]>::last)
}

fn number(part: &CompletedPart) -> i32 {
    part.part_number.unwrap_or_default()
}

/// The stored part that a named one is.
fn find<'a>(named: &CompletedPart, stored: &'a [Part]) -> S3Result<&'a Part> {
    let number = u32::try_from(number(named)).unwrap_or_default();
    let at = stored.binary_search_by_key(&number, |part| part.number);
    let part = at.ok().map(|at| &stored[at]);
    let same_etag = |part: &&Part| {
        named
            .e_tag
            .as_ref()
            .is_some_and(|tag| tag.value() == part.etag)
    };
    part.filter(same_etag)
        .filter(|part| same_sums(named, part))
        .ok_or_else(|| S3ErrorCode::InvalidPart.into())
}

/// Whether every checksum that the client says the part has is one that it has.
fn same_sums(named: &CompletedPart, part: &Part) -> bool {
    let has = |(algorithm, text)| {
        let value = checksum::parse(algorithm, text);
        let mut sums = part.checksums.iter();
        let sum = sums.find(|sum| sum.algorithm == algorithm);
        sum.is_some_and(|sum| value.as_ref() == Some(&sum.value))
    };
    checksum_fields::named(named).is_some_and(|mut named| named.all(has))
}

/// The MD5 of the parts' MD5s, and their number.
fn etag(parts: &[&Part]) -> S3Result<String> {
    let mut md5 = Md5::new();
    for part in parts {
        let bytes = hex::decode(&part.etag).map_err(|error| {
            tracing::error!(number = part.number, "a part's ETag is not an MD5");
            S3Error::internal_error(error)
        })?;
        md5.update(&bytes);
    }
    Ok(format!("{}-{}", hex::encode(md5.finalize()), parts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum_object::UNASKED;
    use s3s::dto::ETag;
    use types::attributes::{ChecksumAlgorithm, ChecksumKind};
    use types::wire::metadata::WallTime;

    /// Parts 1, 2, 4: the first two as small as they may be, the last smaller.
    fn stored() -> Vec<Part> {
        let part = |(number, length): (u32, u64)| Part {
            number,
            length: ByteCount::new(length),
            modified: WallTime(0),
            etag: format!("{number:032x}"),
            checksums: vec![Checksum {
                algorithm: ChecksumAlgorithm::Crc64Nvme,
                kind: ChecksumKind::FullObject,
                value: vec![0; 8],
            }],
            born: u64::from(number) + 100,
        };
        let parts = [(1, 5 * MIB), (2, 5 * MIB), (4, 1)];
        parts.into_iter().map(part).collect()
    }

    fn named(number: i32) -> CompletedPart {
        CompletedPart {
            part_number: Some(number),
            e_tag: Some(ETag::Strong(format!("{number:032x}"))),
            ..Default::default()
        }
    }

    fn told(named: &[CompletedPart], stored: &[Part]) -> Result<Vec<u32>, String> {
        let chosen = choose(named, stored, UNASKED, &Claims::default());
        let numbers = |chosen: Chosen| chosen.parts.iter().map(|part| part.number).collect();
        let code = |error: S3Error| error.code().as_str().to_owned();
        chosen.map(numbers).map_err(code)
    }

    /// Parts are chosen by number and ETag, in order, all but the last of 5 MiB or more.
    /// Method: a table of numbers.
    #[test]
    fn parts_are_chosen_as_on_s3() {
        for (numbers, expected) in [
            (&[1, 2, 4][..], Ok(vec![1, 2, 4])),
            (&[1, 4], Ok(vec![1, 4])),
            (&[2], Ok(vec![2])),
            (&[4], Ok(vec![4])),
            (&[], Err("MalformedXML")),
            (&[2, 1], Err("InvalidPartOrder")),
            (&[1, 1, 4, 4], Ok(vec![1, 4])),
            (&[1, 2, 1], Err("InvalidPartOrder")),
            (&[3], Err("InvalidPart")),
            (&[1, 9999], Err("InvalidPart")),
            (&[0], Err("InvalidPart")),
            (&[-1], Err("InvalidPart")),
        ] {
            let parts: Vec<_> = numbers.iter().map(|number| named(*number)).collect();
            let expected = expected.map_err(str::to_owned);
            assert_eq!(told(&parts, &stored()), expected, "{numbers:?}");
        }
        let mut small = stored();
        small[1].length = ByteCount::new(5 * MIB - 1);
        let all = [named(1), named(2), named(4)];
        assert_eq!(told(&all, &small), Err("EntityTooSmall".to_owned()));
        assert_eq!(told(&[named(1), named(2)], &small), Ok(vec![1, 2]));
        let huge = ByteCount::new(5 * GIB);
        let many = |count: u32| -> (Vec<CompletedPart>, Vec<Part>) {
            let part = |number| Part {
                number,
                length: huge,
                etag: format!("{number:032x}"),
                ..stored().remove(0)
            };
            let names = 1..=i32::try_from(count).expect("few");
            (names.map(named).collect(), (1..=count).map(part).collect())
        };
        let (names, parts) = many(1024);
        assert!(told(&names, &parts).is_ok());
        let (names, parts) = many(1025);
        assert_eq!(told(&names, &parts), Err("EntityTooLarge".to_owned()));
    }

    /// A part is the one that the client means: its ETag is, and every checksum that the client names.
    /// Method: a part with each of these wrong, absent, of another algorithm.
    #[test]
    fn parts_are_what_the_client_says() {
        let with = |change: fn(&mut CompletedPart)| {
            let mut part = named(4);
            change(&mut part);
            told(&[part], &stored())
        };
        let invalid = Err("InvalidPart".to_owned());
        let mut stale = named(4);
        stale.e_tag = Some(ETag::Strong("f".repeat(32)));
        let twice = told(&[stale.clone(), named(4)], &stored());
        assert_eq!(
            twice,
            Ok(vec![4]),
            "sent again, and named as both were answered"
        );
        assert_eq!(told(&[named(4), stale], &stored()), invalid);
        let good = Ok(vec![4]);
        assert_eq!(
            with(|part| part.e_tag = Some(ETag::Strong("f".repeat(32)))),
            invalid
        );
        assert_eq!(
            with(|part| part.checksum_crc64nvme = Some("AAAAAAAAAAA=".into())),
            good
        );
        assert_eq!(
            with(|part| part.checksum_crc64nvme = Some("AAAAAAAAAAE=".into())),
            invalid
        );
        assert_eq!(
            with(|part| part.checksum_crc64nvme = Some("bad".into())),
            invalid
        );
        assert_eq!(
            with(|part| part.checksum_crc32 = Some("AAAAAA==".into())),
            invalid
        );
        assert_eq!(
            with(|part| part.checksum_sha512 = Some("AAAA".into())),
            invalid
        );
    }

    /// The object's ETag is S3's: the MD5 of the MD5s, and how many.
    /// Method: the ETag of three parts of 5 MiB of A, B and C, as published by ceph/s3-tests.
    #[test]
    fn etags_are_the_published_ones() {
        let mut parts = stored();
        let md5s = [
            "b8fc857a25e7958868c2f003d5e0952d",
            "ba8c3fac0e224c9b79a8e74bebd54654",
            "99167c91c1541375b4f9df4b5e051387",
        ];
        for (part, md5) in parts.iter_mut().zip(md5s) {
            md5.clone_into(&mut part.etag);
        }
        let parts: Vec<&Part> = parts.iter().collect();
        let expected = "b2add96cc9702bbf4efb0ccdfc6b7747-3";
        assert_eq!(etag(&parts).ok().as_deref(), Some(expected));
    }

    /// What was chosen before is told from what was not.
    /// Method: the same parts, fewer, and one with another ETag.
    #[test]
    fn the_same_choice_is_known_again() {
        let all = [named(1), named(2), named(4)];
        assert!(were_chosen(&all, &stored()));
        assert!(!were_chosen(&all[..2], &stored()));
        let mut other = all.clone();
        other[1].e_tag = Some(ETag::Strong("f".repeat(32)));
        assert!(!were_chosen(&other, &stored()));
    }
}
