//! A blob's segments open in their places, whole and in order, and otherwise not at all.

use crate::{damaged, providers};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use seal::segment::{Last, SegmentId, SegmentOpener, SegmentSealer, open, seal};
use seal::{OpenError, Provider};
use types::BlobId;
use types::block::SEGMENT;
use types::secret::DataKey;

const BLOB: BlobId = BlobId::new(0x0102_0304_0506_0708);

fn key() -> DataKey {
    DataKey::new([9; 32])
}

/// Seals a blob of whole segments and a last one.
fn seal_blob(provider: &dyn Provider, blob: BlobId, segments: u64, last: &[u8]) -> Vec<Vec<u8>> {
    let sealer = SegmentSealer::new(provider, blob, &key());
    let full = vec![0x61; SEGMENT];
    (0..segments)
        .map(|index| {
            let mut out = Vec::new();
            if index + 1 == segments {
                sealer.seal(index, Last::Yes, last, &mut out);
            } else {
                sealer.seal(index, Last::No, &full, &mut out);
            }
            out
        })
        .collect()
}

/// Reads what claims to be all of a blob, as a reader does who knows nothing but its id and key.
fn open_blob(
    provider: &dyn Provider,
    blob: BlobId,
    sealed: &[Vec<u8>],
) -> Result<Vec<Bytes>, OpenError> {
    let opener = SegmentOpener::new(provider, blob, &key());
    let count = sealed.len() as u64;
    (0..)
        .zip(sealed)
        .map(|(index, segment)| opener.open(index, Last::from(index + 1 == count), segment))
        .collect()
}

/// One way of tampering with a blob without knowing its key.
#[derive(Clone, Debug)]
enum Tampering {
    Flip(Index, Index, u8),
    CutSegment(Index, Index),
    CutBlob(Index),
    Drop(Index),
    Repeat(Index),
    Swap(Index, Index),
    /// The same segment of a blob that was sealed under the very same key.
    Foreign(Index),
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let at = any::<Index>;
    prop_oneof![
        (at(), at(), 0u8..8).prop_map(|(segment, byte, bit)| Tampering::Flip(segment, byte, bit)),
        (at(), at()).prop_map(|(segment, length)| Tampering::CutSegment(segment, length)),
        at().prop_map(Tampering::CutBlob),
        at().prop_map(Tampering::Drop),
        at().prop_map(Tampering::Repeat),
        (at(), at()).prop_map(|(one, other)| Tampering::Swap(one, other)),
        at().prop_map(Tampering::Foreign),
    ]
}

impl Tampering {
    fn apply(&self, blob: &[Vec<u8>], foreign: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut bad = blob.to_vec();
        let count = bad.len();
        match self {
            Self::Flip(segment, byte, bit) => {
                let segment = &mut bad[segment.index(count)];
                let byte = byte.index(segment.len());
                segment[byte] ^= 1 << bit;
            }
            Self::CutSegment(segment, length) => {
                let segment = &mut bad[segment.index(count)];
                segment.truncate(length.index(segment.len()));
            }
            Self::CutBlob(length) => bad.truncate(length.index(count)),
            Self::Drop(segment) => drop(bad.remove(segment.index(count))),
            Self::Repeat(segment) => {
                let again = bad[segment.index(count)].clone();
                bad.insert(segment.index(count), again);
            }
            Self::Swap(one, other) => bad.swap(one.index(count), other.index(count)),
            Self::Foreign(segment) => {
                let segment = segment.index(count);
                bad[segment].clone_from(&foreign[segment]);
            }
        }
        bad
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// A flipped, swapped, cut, reordered, repeated or foreign segment is refused.
    #[test]
    fn a_tampered_blob_does_not_open(
        segments in 1u64..5,
        last in prop::collection::vec(any::<u8>(), 0..300),
        tampering in tampering(),
    ) {
        for provider in providers() {
            let provider = &*provider;
            let blob = seal_blob(provider, BLOB, segments, &last);
            let opened = open_blob(provider, BLOB, &blob).unwrap();
            prop_assert_eq!(opened.len() as u64, segments);
            prop_assert_eq!(opened.last().unwrap(), &last);

            let foreign = seal_blob(provider, BlobId::new(1), segments, &last);
            let bad = tampering.apply(&blob, &foreign);
            // Nothing at all is no blob: an empty one has a segment, too.
            let refused = bad.is_empty() || open_blob(provider, BLOB, &bad).is_err();
            prop_assert!(refused || bad == blob, "opens after {:?}", tampering);
        }
    }
}

/// Each bit of what a segment is bound to counts, and each byte of what it became.
/// Method: change id, index, last and key in turn; then every byte and every length.
#[test]
fn a_segment_opens_only_as_itself() {
    for provider in providers() {
        let provider = &*provider;
        let id = SegmentId {
            blob: BLOB,
            index: 3,
            last: Last::Yes,
        };
        let mut sealed = Vec::new();
        seal(provider, &key(), id, b"the last bytes", &mut sealed);
        assert_eq!(
            open(provider, &key(), id, &sealed).unwrap(),
            "the last bytes"
        );

        let last = Last::No;
        assert!(open(provider, &key(), SegmentId { last, ..id }, &sealed).is_err());
        assert!(open(provider, &DataKey::new([8; 32]), id, &sealed).is_err());
        for bit in 0..64 {
            let blob = BlobId::new(BLOB.get() ^ 1 << bit);
            assert!(open(provider, &key(), SegmentId { blob, ..id }, &sealed).is_err());
            let index = 3 ^ 1 << bit;
            assert!(open(provider, &key(), SegmentId { index, ..id }, &sealed).is_err());
        }
        for (what, bad) in damaged(&sealed) {
            assert!(open(provider, &key(), id, &bad).is_err(), "{what}");
        }
    }
}

/// Sealing in place and sealing into a buffer make the same thing, and touch nothing beside it.
#[test]
fn sealing_in_place_is_sealing() {
    for provider in providers() {
        let provider = &*provider;
        let mut buffer = [0xee; 8 + 12 + 5 + 16 + 8];
        buffer[20..25].copy_from_slice(b"plain");
        let sealer = SegmentSealer::new(provider, BLOB, &key());
        sealer.seal_in_place(3, Last::Yes, &mut buffer[8..41]);
        let opener = SegmentOpener::new(provider, BLOB, &key());
        assert_eq!(opener.open(3, Last::Yes, &buffer[8..41]).unwrap(), "plain");
        assert_eq!(
            (&buffer[..8], &buffer[41..]),
            (&[0xee; 8][..], &[0xee; 8][..])
        );
    }
}

/// Only the last segment may be short: a short one elsewhere would shift all that follow.
#[test]
#[should_panic(expected = "100 bytes are no segment")]
fn a_short_segment_in_the_middle_is_a_bug() {
    let sealer = SegmentSealer::new(&*seal::provider::default(), BLOB, &key());
    sealer.seal(0, Last::No, &[0; 100], &mut Vec::new());
}
