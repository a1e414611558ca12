//! A sealed row value opens in its own row.

use crate::{damaged, providers};
use seal::Kek;
use seal::row::{
    RowContext, RowError, RowKey, RowKind, kek_version, open_bucket_tags, open_row,
    seal_bucket_tags, seal_row,
};
use types::{BucketId, ObjectKey, VersionId};

/// Copied to another object, version, bucket or kind of row, damaged, or tried with another KEK: it does not open.
#[test]
fn a_row_opens_in_its_place_alone() {
    let key = ObjectKey::try_from("a".to_owned()).unwrap();
    let other = ObjectKey::try_from("b".to_owned()).unwrap();
    let good = RowContext {
        kind: RowKind::Attributes,
        bucket: BucketId::new(1),
        key: &key,
        version: VersionId::new([2; 16]),
    };
    let bad = [
        RowContext {
            bucket: BucketId::new(9),
            ..good.clone()
        },
        RowContext {
            key: &other,
            ..good.clone()
        },
        RowContext {
            version: VersionId::new([9; 16]),
            ..good.clone()
        },
        RowContext {
            kind: RowKind::Tags,
            ..good.clone()
        },
    ];
    let kek = Kek::new(3, [4; 32]);
    for provider in providers() {
        let provider = &*provider;
        let row_key = RowKey::derive(&kek);
        let sealed = seal_row(provider, &row_key, &good, b"etag");
        assert_eq!(kek_version(&sealed), Ok(3));
        assert_eq!(
            open_row(provider, &row_key, &good, &sealed).unwrap(),
            b"etag"
        );
        for context in &bad {
            let refused = open_row(provider, &row_key, context, &sealed);
            assert!(matches!(refused, Err(RowError::Refused(_))), "{context:?}");
        }
        for (what, bad) in damaged(&sealed) {
            assert!(open_row(provider, &row_key, &good, &bad).is_err(), "{what}");
        }
        let newer = RowKey::derive(&Kek::new(4, [4; 32]));
        let version = RowError::Version {
            sealed: 3,
            given: 4,
        };
        assert_eq!(open_row(provider, &newer, &good, &sealed), Err(version));
        // The row's key is derived: the KEK itself opens nothing.
        assert!(provider.open(kek.expose(), &[], &sealed[5..]).is_err());
    }
}

/// A part's row opens under its own number alone, and as no other kind of row of the same version.
#[test]
fn a_part_opens_under_its_number_alone() {
    let key = ObjectKey::try_from("a".to_owned()).unwrap();
    let context = |kind| RowContext {
        kind,
        bucket: BucketId::new(1),
        key: &key,
        version: VersionId::new([2; 16]),
    };
    let kinds = [
        RowKind::Attributes,
        RowKind::Tags,
        RowKind::Upload,
        RowKind::Part(0),
        RowKind::Part(1),
        RowKind::Part(256),
    ];
    let row_key = RowKey::derive(&Kek::new(3, [4; 32]));
    for provider in providers() {
        for sealed_as in kinds {
            let sealed = seal_row(&*provider, &row_key, &context(sealed_as), b"value");
            for opened_as in kinds {
                let opened = open_row(&*provider, &row_key, &context(opened_as), &sealed);
                assert_eq!(
                    opened.is_ok(),
                    opened_as == sealed_as,
                    "{sealed_as:?} {opened_as:?}"
                );
            }
        }
    }
}

/// A bucket's tags open as that bucket's alone, and as nothing else's.
#[test]
fn tags_of_a_bucket_open_as_its_own_alone() {
    let (bucket, other) = (BucketId::new(1), BucketId::new(2));
    let key = ObjectKey::try_from("a".to_owned()).unwrap();
    let object = RowContext {
        kind: RowKind::Tags,
        bucket,
        key: &key,
        version: VersionId::new([2; 16]),
    };
    let row_key = RowKey::derive(&Kek::new(3, [4; 32]));
    for provider in providers() {
        let provider = &*provider;
        let sealed = seal_bucket_tags(provider, &row_key, bucket, b"tags");
        let opened = open_bucket_tags(provider, &row_key, bucket, &sealed);
        assert_eq!(opened.unwrap(), b"tags");
        assert!(open_bucket_tags(provider, &row_key, other, &sealed).is_err());
        assert!(open_row(provider, &row_key, &object, &sealed).is_err());
        let of_object = seal_row(provider, &row_key, &object, b"tags");
        assert!(open_bucket_tags(provider, &row_key, bucket, &of_object).is_err());
        for (what, bad) in damaged(&sealed) {
            let refused = open_bucket_tags(provider, &row_key, bucket, &bad);
            assert!(refused.is_err(), "{what}");
        }
    }
}
