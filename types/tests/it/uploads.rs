//! Uploads, copies, conditions and tags, and what lookups and listings tell since there are such.

use super::*;
use types::attributes::ChecksumAlgorithm::{Crc32, Sha256};

fn upload() -> VersionId {
    VersionId::new([9; 16])
}

fn checksums() -> Vec<Checksum> {
    vec![Checksum {
        algorithm: Sha256,
        kind: ChecksumKind::Composite,
        value: vec![2; 32],
    }]
}

fn tags() -> Tags {
    Tags(vec![("project".into(), "corpus".into())])
}

fn condition() -> Condition {
    Condition {
        matches: Some(EtagMatch::OneOf(vec!["etag".into()])),
        differs: Some(EtagMatch::Any),
        modified: Some(WallTime(1_700_000_000_000)),
        length: Some(ByteCount::new(10)),
    }
}

fn begun() -> Upload {
    Upload {
        id: upload(),
        key: key(),
        initiated: WallTime(1_700_000_000_000),
        owner: "owner".into(),
        attributes: attributes(),
        checksum: Some((Crc32, ChecksumKind::FullObject)),
    }
}

#[test]
fn requests_of_uploads() {
    golden(
        "create-upload",
        &CreateUpload {
            request: request(),
            bucket: BucketId::new(1),
            key: key(),
            upload: upload(),
            owner: "owner".into(),
            attributes: attributes(),
            checksum: Some((Sha256, ChecksumKind::Composite)),
            tags: tags(),
        },
    );
    golden(
        "commit-part",
        &CommitPart {
            request: request(),
            bucket: BucketId::new(1),
            key: key(),
            upload: upload(),
            number: 7,
            etag: "d41d8cd98f00b204e9800998ecf8427e".into(),
            checksums: checksums(),
            blob: BlobId::new(8),
            wrap: Bytes::from_static(b"wrap"),
            wrap_expires_ms: 90_000,
            length: ByteCount::new(5),
            place: WrittenPlace::Inline {
                sealed: Bytes::from_static(b"sealed"),
            },
        },
    );
    golden(
        "list-parts",
        &ListParts {
            bucket: BucketId::new(1),
            key: key(),
            upload: upload(),
            after: 3,
            limit: 10_000,
        },
    );
    let chosen = |number, born| ChosenPart { number, born };
    golden(
        "complete-upload",
        &CompleteUpload {
            request: request(),
            bucket: BucketId::new(1),
            key: key(),
            upload: upload(),
            parts: vec![chosen(1, 70), chosen(7, 64)],
            attributes: attributes(),
            condition: condition(),
        },
    );
    golden(
        "abort-upload",
        &AbortUpload {
            request: request(),
            bucket: BucketId::new(1),
            key: key(),
            upload: upload(),
        },
    );
    golden(
        "list-uploads",
        &ListUploads {
            bucket: BucketId::new(1),
            prefix: "train/".into(),
            delimiter: Some("/".into()),
            after: Some("train/a".into()),
            after_upload: Some(upload()),
            limit: 1000,
        },
    );
}

#[test]
fn answers_of_uploads() {
    let part = Part {
        number: 7,
        length: ByteCount::new(5),
        modified: WallTime(1_700_000_000_000),
        etag: "d41d8cd98f00b204e9800998ecf8427e".into(),
        checksums: checksums(),
        born: 64,
    };
    let page = |upload| PartPage {
        upload,
        parts: vec![part.clone()],
        truncated: true,
    };
    golden("part-pages", &[page(Some(begun())), page(None)]);
    golden(
        "upload-page",
        &UploadPage {
            entries: vec![
                UploadEntry::CommonPrefix("train/a/".into()),
                UploadEntry::Upload(begun()),
            ],
            truncated: false,
        },
    );
}

#[test]
fn requests_of_copies_conditions_and_tags() {
    let source = || CopySource {
        bucket: BucketId::new(2),
        key: key(),
        version: VersionId::new([8; 16]),
    };
    golden(
        "copy-object",
        &CopyObject {
            request: request(),
            source: source(),
            bucket: BucketId::new(1),
            key: key(),
            version: upload(),
            attributes: attributes(),
            tags: tags(),
            condition: condition(),
        },
    );
    golden(
        "copy-part",
        &CopyPart {
            request: request(),
            source: source(),
            first: ByteOffset::new(1),
            length: ByteCount::new(2),
            bucket: BucketId::new(1),
            key: key(),
            upload: upload(),
            number: 7,
            etag: "d41d8cd98f00b204e9800998ecf8427e".into(),
            checksums: checksums(),
        },
    );
    golden("conditions", &[Condition::default(), condition()]);
    golden(
        "commit-tagged",
        &CommitObject {
            request: request(),
            bucket: BucketId::new(1),
            key: key(),
            version: upload(),
            attributes: attributes(),
            blob: BlobId::new(8),
            wrap: Bytes::from_static(b"wrap"),
            wrap_expires_ms: 90_000,
            length: ByteCount::new(5),
            place: WrittenPlace::Inline {
                sealed: Bytes::from_static(b"sealed"),
            },
            tags: tags(),
            condition: condition(),
        },
    );
    golden(
        "delete-object-if",
        &DeleteObject {
            request: request(),
            bucket: BucketId::new(1),
            key: key(),
            condition: condition(),
        },
    );
    golden(
        "set-tags",
        &SetTags {
            request: request(),
            bucket: BucketId::new(1),
            key: key(),
            tags: tags(),
        },
    );
    let set = |tags| SetBucketTags {
        request: request(),
        bucket: BucketId::new(1),
        tags,
    };
    golden("set-bucket-tags", &[set(Some(tags())), set(None)]);
}

#[test]
fn lookups_of_parts_and_versions() {
    let lookup = |wanted, version| Lookup {
        bucket: BucketId::new(1),
        key: key(),
        wanted,
        version,
    };
    golden(
        "lookups-of-parts",
        &[
            lookup(Wanted::Part(7), None),
            lookup(Wanted::All, Some(upload())),
        ],
    );
    let both: Vec<Result<Located, MetadataError>> = vec![
        Ok(Located {
            version: upload(),
            length: ByteCount::new(10),
            modified: WallTime(1_700_000_000_000),
            attributes: attributes(),
            first: ByteOffset::ZERO,
            wanted: ByteCount::new(10),
            parts: 0,
            tags: 0,
            extents: Vec::new(),
            valid_for_ms: 300_000,
        }),
        Err(MetadataError::NoSuchObject),
    ];
    golden("answers-to-lookups", &both);
    golden("no-such-call", &MetadataError::NoSuchCall);
    golden(
        "located-part",
        &Located {
            version: upload(),
            length: ByteCount::new(10),
            modified: WallTime(1_700_000_000_000),
            attributes: Attributes {
                checksums: checksums(),
                ..attributes()
            },
            first: ByteOffset::new(5),
            wanted: ByteCount::new(5),
            parts: 2,
            tags: 1,
            extents: Vec::new(),
            valid_for_ms: 0,
        },
    );
    golden(
        "located-for-a-while",
        &Located {
            version: upload(),
            length: ByteCount::new(10),
            modified: WallTime(0),
            attributes: Attributes::default(),
            first: ByteOffset::new(5),
            wanted: ByteCount::new(5),
            parts: 0,
            tags: 0,
            extents: Vec::new(),
            valid_for_ms: 300_000,
        },
    );
    golden(
        "list-page-with-checksums",
        &ListPage {
            entries: vec![ListEntry::Object {
                key: key(),
                length: ByteCount::new(10),
                modified: WallTime(1_700_000_000_000),
                etag: "etag-2".into(),
                checksums: vec![(Sha256, ChecksumKind::Composite)],
            }],
            truncated: false,
        },
    );
    golden(
        "metadata-errors-of-uploads",
        &[
            MetadataError::ConditionFailed,
            MetadataError::NoSuchUpload,
            MetadataError::NoSuchPart { parts: 2 },
            MetadataError::PartChanged,
            MetadataError::SourceChanged,
            MetadataError::NotShareable,
            MetadataError::TooFewRemain,
        ],
    );
}
