//! A wrap opens for what it was made for, under the key it was made with.

use crate::{damaged, providers};
use seal::provider::RawKey;
use seal::wrap::{
    IssueContext, ReferenceContext, UnwrapError, unwrap_issued, unwrap_kek, unwrap_reference,
    unwrap_slot, wrap_issued, wrap_kek, wrap_reference, wrap_slot, wrapping_version,
};
use seal::{Kek, Provider, RingKey, RootKey};
use types::secret::DataKey;
use types::{
    BlobId, BucketId, ByteCount, ClusterId, Label, NodeId, ObjectKey, SessionId, VersionId,
};

fn kek() -> Kek {
    Kek::new(7, [1; 32])
}

fn dek() -> DataKey {
    DataKey::new([2; 32])
}

fn object(key: &str) -> ObjectKey {
    ObjectKey::try_from(key.to_owned()).unwrap()
}

fn reference(key: &ObjectKey) -> ReferenceContext<'_> {
    ReferenceContext {
        blob: BlobId::new(1),
        label_digest: Label::default().digest(),
        bucket: BucketId::new(2),
        key,
        version: VersionId::new([3; 16]),
        part: 0,
        length: ByteCount::new(4),
    }
}

const ISSUE: IssueContext = IssueContext {
    bucket: BucketId::new(1),
    blob: BlobId::new(2),
    session: SessionId::new(3),
    expires_ms: 4,
};

/// Anything that a reference is bound to, changed, and it does not open.
#[test]
fn a_reference_opens_for_its_version_alone() {
    let (key, other) = (object("a/b"), object("a/c"));
    let good = reference(&key);
    let label = Label {
        level: 1,
        ..Label::default()
    };
    let bad: [(&str, ReferenceContext<'_>); 7] = [
        (
            "blob",
            ReferenceContext {
                blob: BlobId::new(9),
                ..good.clone()
            },
        ),
        (
            "label",
            ReferenceContext {
                label_digest: label.digest(),
                ..good.clone()
            },
        ),
        (
            "bucket",
            ReferenceContext {
                bucket: BucketId::new(9),
                ..good.clone()
            },
        ),
        (
            "key",
            ReferenceContext {
                key: &other,
                ..good.clone()
            },
        ),
        (
            "version",
            ReferenceContext {
                version: VersionId::new([9; 16]),
                ..good.clone()
            },
        ),
        (
            "part",
            ReferenceContext {
                part: 1,
                ..good.clone()
            },
        ),
        (
            "length",
            ReferenceContext {
                length: ByteCount::new(5),
                ..good.clone()
            },
        ),
    ];
    for provider in providers() {
        let provider = &*provider;
        let wrapped = wrap_reference(provider, &kek(), &dek(), &good);
        assert_eq!(wrapped.len(), 1 + 4 + 12 + 32 + 16 + 32);
        assert_eq!(wrapping_version(&wrapped), Ok(7));
        assert_eq!(
            unwrap_reference(provider, &kek(), &wrapped, &good),
            Ok(dek())
        );
        for (what, context) in &bad {
            let refused = unwrap_reference(provider, &kek(), &wrapped, context);
            assert!(matches!(refused, Err(UnwrapError::Refused(_))), "{what}");
        }
        for (what, bad) in damaged(&wrapped) {
            assert!(
                unwrap_reference(provider, &kek(), &bad, &good).is_err(),
                "{what}"
            );
        }
    }
}

/// Anything that an issued wrap is bound to, changed, and it does not open; nor is it a reference.
#[test]
fn an_issued_wrap_opens_for_its_session_alone() {
    let bad = [
        IssueContext {
            bucket: BucketId::new(9),
            ..ISSUE
        },
        IssueContext {
            blob: BlobId::new(9),
            ..ISSUE
        },
        IssueContext {
            session: SessionId::new(9),
            ..ISSUE
        },
        IssueContext {
            expires_ms: 5,
            ..ISSUE
        },
    ];
    let key = object("k");
    for provider in providers() {
        let provider = &*provider;
        let wrapped = wrap_issued(provider, &kek(), &dek(), &ISSUE);
        assert_eq!(unwrap_issued(provider, &kek(), &wrapped, &ISSUE), Ok(dek()));
        for context in &bad {
            assert!(
                unwrap_issued(provider, &kek(), &wrapped, context).is_err(),
                "{context:?}"
            );
        }
        for (what, bad) in damaged(&wrapped) {
            assert!(
                unwrap_issued(provider, &kek(), &bad, &ISSUE).is_err(),
                "{what}"
            );
        }
        assert!(unwrap_reference(provider, &kek(), &wrapped, &reference(&key)).is_err());
    }
}

/// A KEK is its bucket's and its version's; a slot its server's.
#[test]
fn keks_and_slots_open_in_their_places_alone() {
    let (ring, bucket) = (RingKey::new(5, [4; 32]), BucketId::new(1));
    let (root, cluster, node) = (
        RootKey::new(6, [5; 32]),
        ClusterId::new([6; 16]),
        NodeId::new(7),
    );
    for provider in providers() {
        let provider = &*provider;
        let wrapped = wrap_kek(provider, &ring, &kek(), bucket);
        assert_eq!(wrapping_version(&wrapped), Ok(5));
        assert_eq!(unwrap_kek(provider, &ring, &wrapped, bucket, 7), Ok(kek()));
        assert!(unwrap_kek(provider, &ring, &wrapped, BucketId::new(2), 7).is_err());
        assert!(unwrap_kek(provider, &ring, &wrapped, bucket, 8).is_err());

        let slot = wrap_slot(provider, &root, cluster, node, b"storage key and ring keys");
        let opened = unwrap_slot(provider, &root, &slot, cluster, node).unwrap();
        assert_eq!(opened.as_slice(), b"storage key and ring keys");
        let (other_cluster, other_node) = (ClusterId::new([7; 16]), NodeId::new(8));
        assert!(unwrap_slot(provider, &root, &slot, other_cluster, node).is_err());
        assert!(unwrap_slot(provider, &root, &slot, cluster, other_node).is_err());
    }
}

/// The error says what would help: another key's version, a newer build, or nothing.
#[test]
fn an_error_says_what_would_help() {
    let provider = &*seal::provider::default();
    let wrapped = wrap_issued(provider, &kek(), &dek(), &ISSUE);
    let unwrap = |kek: &Kek, bytes: &[u8]| unwrap_issued(provider, kek, bytes, &ISSUE).unwrap_err();

    let newer = Kek::new(8, [1; 32]);
    let version = UnwrapError::Version {
        wrapped: 7,
        given: 8,
    };
    assert_eq!(unwrap(&newer, &wrapped), version);
    let impostor = Kek::new(7, [9; 32]);
    assert!(matches!(
        unwrap(&impostor, &wrapped),
        UnwrapError::Refused(_)
    ));
    let mut later = wrapped.to_vec();
    later[0] = 2;
    assert_eq!(unwrap(&kek(), &later), UnwrapError::Suite(2));
    assert_eq!(unwrap(&kek(), &[]), UnwrapError::Malformed { length: 0 });
}

/// A wrap whose tag is right and whose secret is not the one committed to is refused.
/// Method: put the commitment of one wrap behind the sealed key of another.
#[test]
fn a_wrap_commits_to_its_key() {
    let provider = &*seal::provider::default();
    let one = wrap_issued(provider, &kek(), &dek(), &ISSUE);
    let other = wrap_issued(provider, &kek(), &DataKey::new([3; 32]), &ISSUE);
    let behind_the_tag = one.len() - 32;
    let forged = [&one[..behind_the_tag], &other[behind_the_tag..]].concat();
    assert_eq!(
        unwrap_issued(provider, &kek(), &forged, &ISSUE),
        Err(UnwrapError::Commitment)
    );
}

/// A secret that is no key of 32 bytes is not taken for one.
#[test]
fn a_secret_of_another_length_is_no_key() {
    let provider = &*seal::provider::default();
    let sealed = seal_by_hand(provider, kek().expose(), 7, b"short");
    let refused = unwrap_kek(
        provider,
        &RingKey::new(7, [1; 32]),
        &sealed,
        BucketId::new(1),
        2,
    );
    assert!(
        matches!(refused, Err(UnwrapError::Malformed { .. })),
        "{refused:?}"
    );
}

/// A slot's wrap has the shape of a KEK's but for its associated data: so make one that agrees.
fn seal_by_hand(provider: &dyn Provider, key: &RawKey, version: u32, secret: &[u8]) -> Vec<u8> {
    let associated = [&[1][..], &1u64.to_be_bytes(), &2u32.to_be_bytes()].concat();
    let slot = wrap_slot(
        provider,
        &RootKey::new(version, *key),
        ClusterId::new([0; 16]),
        NodeId::new(0),
        secret,
    );
    let mut wrapped = slot[..5].to_vec();
    provider.seal_into(key, &associated, secret, &mut wrapped);
    wrapped.extend_from_slice(&slot[slot.len() - 32..]);
    wrapped
}

/// No key prints.
#[test]
fn keys_do_not_print() {
    let printed = format!(
        "{:?} {:?} {:?} {:?}",
        kek(),
        RingKey::new(1, [0xab; 32]),
        RootKey::new(1, [0xab; 32]),
        seal::StorageKey::new([0xab; 32]),
    );
    assert_eq!(
        printed,
        "Kek(version 7, ..) RingKey(version 1, ..) RootKey(version 1, ..) StorageKey(..)"
    );
}
