//! A manifest row is what it was, or it is refused.

use crate::damaged;
use seal::Kek;
use seal::manifest::{ManifestError, ManifestKey, ManifestPart, ManifestRow, kek_version};
use types::{BlobId, BucketId, ByteCount, ByteOffset, ObjectKey, VersionId};

fn part(number: u32) -> ManifestPart {
    ManifestPart {
        number,
        blob: BlobId::new(u64::from(number) + 100),
        blob_offset: ByteOffset::new(7),
        object_end: ByteOffset::new(u64::from(number) * 1000),
    }
}

fn object(key: &str) -> ObjectKey {
    ObjectKey::try_from(key.to_owned()).unwrap()
}

/// Any field edited, any part left out, repeated, swapped or taken from elsewhere is refused.
#[test]
fn an_edited_manifest_is_refused() {
    let manifest_key = ManifestKey::derive(&Kek::new(2, [1; 32]));
    let (key, other) = (object("a"), object("b"));
    let parts = [part(1), part(2), part(3)];
    let good = ManifestRow {
        bucket: BucketId::new(1),
        key: &key,
        version: VersionId::new([2; 16]),
        first_offset: ByteOffset::new(0),
        total: ByteCount::new(3000),
        last: true,
        parts: &parts,
    };
    let edited = |edit: fn(&mut ManifestPart)| {
        let mut parts = parts;
        edit(&mut parts[1]);
        parts.to_vec()
    };
    let lists = [
        vec![],
        vec![part(1), part(2)],
        vec![part(2), part(3)],
        vec![part(2), part(1), part(3)],
        vec![part(1), part(2), part(2), part(3)],
        edited(|part| part.number += 1),
        edited(|part| part.blob = BlobId::new(1)),
        edited(|part| part.blob_offset = ByteOffset::new(8)),
        edited(|part| part.object_end = ByteOffset::new(2001)),
    ];
    let mut bad: Vec<ManifestRow<'_>> = (lists.iter())
        .map(|parts| ManifestRow {
            parts,
            ..good.clone()
        })
        .collect();
    bad.extend([
        ManifestRow {
            bucket: BucketId::new(2),
            ..good.clone()
        },
        ManifestRow {
            key: &other,
            ..good.clone()
        },
        ManifestRow {
            version: VersionId::new([3; 16]),
            ..good.clone()
        },
        ManifestRow {
            first_offset: ByteOffset::new(1),
            ..good.clone()
        },
        ManifestRow {
            total: ByteCount::new(3001),
            ..good.clone()
        },
        ManifestRow {
            last: false,
            ..good.clone()
        },
    ]);

    let stored = manifest_key.mac(&good);
    assert_eq!(manifest_key.verify(&good, &stored), Ok(()));
    assert_eq!(kek_version(&stored), Ok(2));
    for row in &bad {
        let refused = manifest_key.verify(row, &stored);
        assert_eq!(refused, Err(ManifestError::Refused), "{row:?}");
    }
    for (what, bad) in damaged(&stored) {
        assert!(manifest_key.verify(&good, &bad).is_err(), "{what}");
    }
    let newer = ManifestKey::derive(&Kek::new(3, [1; 32]));
    let version = ManifestError::Version { made: 2, given: 3 };
    assert_eq!(newer.verify(&good, &stored), Err(version));
    let impostor = ManifestKey::derive(&Kek::new(2, [9; 32]));
    assert_eq!(impostor.verify(&good, &stored), Err(ManifestError::Refused));
}
