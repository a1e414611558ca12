//! What was ever sealed stays readable. The files in `golden/` were sealed once, by the first build
//! that knew their format, and are never made again: nonces are random, so they would differ. Only a MAC
//! has none, and is held to what is made today.

use crate::providers;
use seal::account::{AccountKey, SecretContext, open_secret};
use seal::frame::{FileId, FrameKey};
use seal::manifest::{ManifestKey, ManifestPart, ManifestRow};
use seal::row::{RowContext, RowKey, RowKind, open_bucket_tags, open_row, seal_row};
use seal::segment::{Last, SegmentId, open};
use seal::wrap::{
    IssueContext, ReferenceContext, unwrap_issued, unwrap_kek, unwrap_reference, unwrap_slot,
};
use seal::{Kek, Provider, RingKey, RootKey, StorageKey};
use types::secret::DataKey;
use types::{
    BlobId, BucketId, ByteCount, ByteOffset, ClusterId, Label, NodeId, ObjectKey, SessionId,
    VersionId,
};

macro_rules! golden {
    ($name:literal) => {
        hex::decode(include_str!(concat!("../golden/", $name, ".hex")).trim()).unwrap()
    };
}

/// Bytes that count up from `first`, so that no two fields look alike.
fn counting<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|i| first.wrapping_add(u8::try_from(i).unwrap()))
}

fn key() -> ObjectKey {
    ObjectKey::try_from("Prüfung/shard-000.tar".to_owned()).unwrap()
}

fn kek() -> Kek {
    Kek::new(0x0102_0304, counting(0x40))
}

fn data_key() -> DataKey {
    DataKey::new(counting(0x80))
}

fn id() -> SegmentId {
    SegmentId {
        blob: BlobId::new(0x1112_1314_1516_1718),
        index: 0x2122_2324_2526_2728,
        last: Last::Yes,
    }
}

fn label_digest() -> [u8; 32] {
    let label = Label {
        level: 3,
        compartments: [5, 6].into(),
        releasability: [276].into(),
    };
    label.digest()
}

fn reference(key: &ObjectKey) -> ReferenceContext<'_> {
    ReferenceContext {
        blob: BlobId::new(0x1112_1314_1516_1718),
        label_digest: label_digest(),
        bucket: BucketId::new(0x3132_3334_3536_3738),
        key,
        version: VersionId::new(counting(0xc0)),
        part: 0x4142,
        length: ByteCount::new(0x5152_5354_5556),
    }
}

fn issue() -> IssueContext {
    IssueContext {
        bucket: BucketId::new(0x3132_3334_3536_3738),
        blob: BlobId::new(0x1112_1314_1516_1718),
        session: SessionId::new(0x6162_6364_6566_6768),
        expires_ms: 0x7172_7374_7576,
    }
}

fn row(key: &ObjectKey) -> RowContext<'_> {
    row_of(RowKind::Attributes, key)
}

fn row_of(kind: RowKind, key: &ObjectKey) -> RowContext<'_> {
    RowContext {
        kind,
        bucket: BucketId::new(0x3132_3334_3536_3738),
        key,
        version: VersionId::new(counting(0xc0)),
    }
}

fn secret() -> SecretContext<'static> {
    SecretContext {
        user: "9f86d081884c7d659a2feaa0c55ad015",
        key: "SRGOLDEN",
        label_digest: label_digest(),
    }
}

fn frame_key(provider: &dyn Provider) -> FrameKey {
    let storage = StorageKey::new(counting(0x20));
    FrameKey::derive(provider, &storage, FileId(counting(0xd0)), &counting(0xa0))
}

/// A MAC has no nonce: it can be made again.
fn manifest(key: &ObjectKey) -> [u8; 37] {
    let part = |number: u8| ManifestPart {
        number: u32::from(number),
        blob: BlobId::new(u64::from_be_bytes(counting(number))),
        blob_offset: ByteOffset::new(u64::from_be_bytes(counting(number + 8))),
        object_end: ByteOffset::new(u64::from_be_bytes(counting(number + 16))),
    };
    ManifestKey::derive(&kek()).mac(&ManifestRow {
        bucket: BucketId::new(0x3132_3334_3536_3738),
        key,
        version: VersionId::new(counting(0xc0)),
        first_offset: ByteOffset::new(0x1112_1314_1516),
        total: ByteCount::new(0x5152_5354_5556),
        last: true,
        parts: &[part(1), part(2)],
    })
}

const CLUSTER: ClusterId = ClusterId::new([0xe1; 16]);
const NODE: NodeId = NodeId::new(0x8182_8384_8586_8788);

/// Each stored format, sealed when it was fixed, opens to what it held, by either provider.
#[test]
fn what_was_sealed_once_still_opens() {
    let (key, ring, root) = (
        key(),
        RingKey::new(9, counting(0x60)),
        RootKey::new(1, counting(0)),
    );
    for provider in providers() {
        let p = &*provider;
        let segment = open(p, &data_key(), id(), &golden!("segment")).unwrap();
        assert_eq!(segment, "the last bytes of a blob");

        let unwrapped = unwrap_reference(p, &kek(), &golden!("reference"), &reference(&key));
        assert_eq!(unwrapped.unwrap(), data_key());
        let unwrapped = unwrap_issued(p, &kek(), &golden!("issued"), &issue());
        assert_eq!(unwrapped.unwrap(), data_key());
        let unwrapped = unwrap_kek(p, &ring, &golden!("kek"), issue().bucket, kek().version());
        assert_eq!(unwrapped.unwrap(), kek());
        let secret = open_secret(
            p,
            &AccountKey::derive(&ring),
            &secret(),
            &golden!("account"),
        );
        assert_eq!(secret.unwrap().as_slice(), b"a secret");
        let slot = unwrap_slot(p, &root, &golden!("slot"), CLUSTER, NODE).unwrap();
        assert_eq!(slot.as_slice(), b"what a slot holds");

        let attributes = open_row(p, &RowKey::derive(&kek()), &row(&key), &golden!("row")).unwrap();
        assert_eq!(attributes, b"attributes");
        let tags = golden!("row-tags");
        let tags = open_row(
            p,
            &RowKey::derive(&kek()),
            &row_of(RowKind::Tags, &key),
            &tags,
        );
        assert_eq!(tags.unwrap(), b"tags");
        let tags = golden!("row-bucket-tags");
        let tags = open_bucket_tags(p, &RowKey::derive(&kek()), issue().bucket, &tags);
        assert_eq!(tags.unwrap(), b"tags of a bucket");
        let frame = frame_key(p).open(0x9192_9394, &golden!("frame")).unwrap();
        assert_eq!(frame, b"a log entry");
    }
    let today = format!("{}\n", hex::encode(manifest(&key)));
    golden::check(env!("CARGO_MANIFEST_DIR"), "manifest.hex", today.as_bytes());
}

/// What uploads and parts keep sealed opens, a part's under its own number.
#[test]
fn rows_of_uploads_still_open() {
    let key = key();
    let row_key = RowKey::derive(&kek());
    for (name, kind, held) in [
        ("row-upload.hex", RowKind::Upload, "an upload"),
        ("row-part.hex", RowKind::Part(0x4142), "a part"),
    ] {
        let context = row_of(kind, &key);
        let make = || {
            let provider = seal::provider::default();
            let sealed = seal_row(&*provider, &row_key, &context, held.as_bytes());
            format!("{}\n", hex::encode(sealed)).into_bytes()
        };
        let stored = golden::written_once(env!("CARGO_MANIFEST_DIR"), name, make);
        let stored = hex::decode(stored.trim_ascii()).unwrap();
        for provider in providers() {
            let opened = open_row(&*provider, &row_key, &context, &stored);
            assert_eq!(opened.unwrap(), held.as_bytes(), "{name}");
        }
    }
}
