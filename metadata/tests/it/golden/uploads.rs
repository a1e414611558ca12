//! Samples of what belongs to multipart uploads.

use super::{Samples, request, sealed_tags};
use crate::fixture::key;
use bytes::Bytes;
use strongroom_metadata::command::{
    CommitPart, CommittedPlace, CompleteUpload, CreateUpload, Expected, NamespaceCommand,
};
use strongroom_metadata::sealed::{PartFacts, UploadFacts};
use strongroom_metadata::tables::*;
use strongroom_metadata::{Asked, Refusal};
use types::attributes::{Attributes, Checksum, ChecksumAlgorithm, ChecksumKind};
use types::id::{BlobId, BucketId, VersionId};
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{AbortUpload, WallTime};

const BUCKET: BucketId = BucketId::new(41);
const UPLOAD: VersionId = VersionId::new([0x51; 16]);

fn create() -> CreateUpload {
    CreateUpload {
        request: request(),
        bucket: BUCKET,
        key: key("a\0key/ä"),
        upload: UPLOAD,
        kek_version: 1,
        sealed: Bytes::from_static(b"sealed upload"),
        tags: Some(sealed_tags()),
    }
}

fn commit_part() -> CommitPart {
    CommitPart {
        request: request(),
        bucket: BUCKET,
        key: key("a\0key/ä"),
        upload: UPLOAD,
        number: 3,
        length: ByteCount::new(5_000_000),
        kek_version: 1,
        sealed: Bytes::from_static(b"sealed part"),
        blob: BlobId::new(61),
        wrap: Bytes::from_static(b"wrap"),
        wrap_expires_ms: 70_000,
        place: CommittedPlace::Inline {
            sealed: Bytes::from_static(b"sealed segment"),
        },
    }
}

fn complete() -> CompleteUpload {
    CompleteUpload {
        request: request(),
        bucket: BUCKET,
        key: key("a\0key/ä"),
        upload: UPLOAD,
        kek_version: 1,
        attributes: Bytes::from_static(b"sealed"),
        parts: vec![(1, 70), (3, 64)],
        macs: vec![Bytes::from_static(b"mac")],
        expected: None,
    }
}

fn abort() -> AbortUpload {
    AbortUpload {
        request: request(),
        bucket: BUCKET,
        key: key("a\0key/ä"),
        upload: UPLOAD,
    }
}

pub(super) fn commands() -> Vec<(&'static str, NamespaceCommand)> {
    use NamespaceCommand as N;
    let expected = Some(Expected::Absent);
    let conditional = CompleteUpload {
        expected,
        ..complete()
    };
    let untagged = CreateUpload {
        tags: None,
        ..create()
    };
    let sweep = |kind| N::Sweep {
        kind,
        since_ms: 2001,
        version: UPLOAD,
    };
    vec![
        ("create upload", N::CreateUpload(create())),
        ("create upload untagged", N::CreateUpload(untagged)),
        ("commit part", N::CommitPart(commit_part())),
        ("complete upload", N::CompleteUpload(complete())),
        ("complete upload if absent", N::CompleteUpload(conditional)),
        ("abort upload", N::AbortUpload(abort())),
        (
            "expire uploads",
            N::ExpireUploads {
                began_before_ms: 2001,
            },
        ),
        ("clear bucket", N::ClearBucket { bucket: BUCKET }),
        ("sweep abandoned", sweep(SweepKind::Abandoned)),
        ("sweep superseded", sweep(SweepKind::Superseded)),
    ]
}

pub(super) fn refusals() -> Vec<(&'static str, Refusal)> {
    vec![
        ("no such upload", Refusal::NoSuchUpload),
        ("part changed", Refusal::PartChanged),
        ("bad parts", Refusal::BadParts),
    ]
}

pub(super) fn asked() -> Vec<(&'static str, Asked)> {
    vec![
        ("create upload", Asked::create_upload(&create())),
        ("commit part", Asked::commit_part(&commit_part())),
        ("complete upload", Asked::complete_upload(&complete())),
        ("abort upload", Asked::abort_upload(&abort())),
    ]
}

pub(super) fn rows(golden: &mut Samples) {
    let upload_key = (BUCKET, key("a\0key/ä"), 64);
    let upload = UploadRow {
        upload: UPLOAD,
        initiated: WallTime(1_700_000_000_000),
        began_ms: 2001,
        sealed: Bytes::from_static(b"sealed upload"),
        tags: None,
    };
    golden.check_row("upload", &UPLOADS, &upload_key, &upload);
    let tagged = UploadRow {
        tags: Some(sealed_tags()),
        ..upload
    };
    golden.check_row("upload tagged", &UPLOADS, &upload_key, &tagged);
    golden.check_row("upload age", &UPLOAD_AGES, &(2001, upload_key), &());
    let piece = PieceRow {
        blob: BlobId::new(61),
        offset: ByteOffset::new(7),
        length: ByteCount::new(5_000_000),
        wrap: Bytes::from_static(b"wrap"),
    };
    let part = PartRow {
        born: 70,
        modified: WallTime(1_700_000_000_000),
        length: ByteCount::new(10_000_000),
        sealed: Bytes::from_static(b"sealed part"),
        pieces: vec![piece; 2],
    };
    golden.check_row("part", &PARTS, &(UPLOAD, 3), &part);
    let entry = ManifestEntry {
        part: 3,
        blob: BlobId::new(61),
        offset: ByteOffset::new(7),
        end: ByteOffset::new(6_000_000),
    };
    let manifest = ManifestRow {
        first: ByteOffset::new(1_000_000),
        mac: Bytes::from_static(b"mac"),
        entries: vec![entry],
    };
    golden.check_row("manifest", &MANIFESTS, &(UPLOAD, 6_000_000), &manifest);
    for (name, kind, parts) in [
        ("sweep abandoned", SweepKind::Abandoned, Some(vec![2, 9])),
        ("sweep superseded", SweepKind::Superseded, None),
    ] {
        let row = SweepRow { born: 10, parts };
        golden.check_row(name, &SWEEPS, &(kind, 2001, UPLOAD), &row);
    }
    golden.check_row("gone bucket", &GONE_BUCKETS, &BUCKET, &());
    let head = HeadRow {
        version: UPLOAD,
        born: 71,
        modified: WallTime(1_700_000_000_000),
        length: ByteCount::new(6_000_000),
        attributes: Bytes::from_static(b"sealed"),
        extents: Vec::new(),
        manifest: Some(ManifestHead { parts: 2 }),
        tag_count: 1,
    };
    golden.check_row("head of parts", &HEADS, &(BUCKET, key("a\0key/ä")), &head);
    let version = VersionRow {
        born: 71,
        superseded: Some(80),
        began: Some(64),
        length: Some(ByteCount::new(6_000_000)),
        ..VersionRow::default()
    };
    golden.check_row("version of an upload", &VERSIONS, &UPLOAD, &version);
}

/// What is inside the sealed values of these rows outlives the build that sealed it.
#[test]
fn sealed_values_are_readable_for_ever() {
    let mut golden = Samples::of("sealed");
    let checksum = (ChecksumAlgorithm::Crc64Nvme, ChecksumKind::FullObject);
    let upload = UploadFacts {
        owner: "ab".repeat(32),
        attributes: Attributes {
            user: vec![("name".to_owned(), "value".to_owned())],
            ..Attributes::default()
        },
        checksum: Some(checksum),
    };
    golden.check("upload", &upload);
    let part = PartFacts {
        etag: "d41d8cd98f00b204e9800998ecf8427e".to_owned(),
        checksums: vec![Checksum {
            algorithm: ChecksumAlgorithm::Sha256,
            kind: ChecksumKind::FullObject,
            value: vec![7; 32],
        }],
        length: ByteCount::new(5_000_000),
    };
    golden.check("part", &part);
    golden.finish();
}
