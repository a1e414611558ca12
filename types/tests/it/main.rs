//! Every message and value of this crate that is stored or sent, against its golden file.

mod calls;
mod members;
mod scrub;
mod upkeep;
mod uploads;
mod usage;

use bytes::Bytes;
use golden::check;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;
use strongroom_types as types;
use types::attributes::{Checksum, ChecksumAlgorithm, ChecksumKind, ContentHeaders};
use types::manifest::{LocatedExtent, Place, Run};
use types::placement::{Admission, Disk, Group, GroupTable, Member};
use types::profile::DiskClass;
use types::secret::DataKey;
use types::shard::{ChunkDescription, ShardDigest};
use types::wire::metadata::*;
use types::wire::shards;
use types::wire::storage::{self, DiskReport, DiskState, PutShard, ReadShard};
use types::*;

/// What is written today is what the files hold, and what they hold reads back as the same value.
fn golden<T: Serialize + DeserializeOwned + Debug>(name: &str, value: &T) {
    let file = check(
        env!("CARGO_MANIFEST_DIR"),
        &format!("{name}.mp"),
        &codec::encode(value),
    );
    let read: T = codec::decode(&file).unwrap();
    assert_eq!(codec::encode(&read), file, "{name} reads back as itself");
}

fn profile() -> Profile {
    "4+2".parse().unwrap()
}

fn label() -> Label {
    Label {
        level: 2,
        compartments: [7, 9].into(),
        releasability: [276].into(),
    }
}

fn name() -> BucketName {
    "corpus".to_owned().try_into().unwrap()
}

fn key() -> ObjectKey {
    "train/∞ \u{1}.tar".to_owned().try_into().unwrap()
}

fn request() -> RequestId {
    RequestId {
        session: SessionId::new(5),
        sequence: 6,
        answered_below: 4,
    }
}

fn shard() -> ShardKey {
    ShardKey {
        group: GroupId::new(1),
        chunk: ChunkId::new(2),
        index: 3,
    }
}

fn attributes() -> Attributes {
    Attributes {
        etag: "d41d8cd98f00b204e9800998ecf8427e".into(),
        content: ContentHeaders {
            media_type: Some("application/x-tar".into()),
            ..ContentHeaders::default()
        },
        user: vec![("source".into(), "tape 7".into())],
        checksums: vec![Checksum {
            algorithm: ChecksumAlgorithm::Crc64Nvme,
            kind: ChecksumKind::FullObject,
            value: vec![1; 8],
        }],
    }
}

#[test]
fn attributes_and_buckets() {
    golden("attributes", &attributes());
    golden(
        "bucket",
        &Bucket {
            id: BucketId::new(1),
            tenant: TenantId::new(0),
            owner: "SRKEY".into(),
            name: name(),
            label: label(),
            profile: profile(),
            created: WallTime(1_700_000_000_000),
        },
    );
}

#[test]
fn the_group_table() {
    golden(
        "group-table",
        &GroupTable {
            version: 3,
            disks: vec![Disk {
                id: DiskId::new(1),
                node: NodeId::new(2),
                class: DiskClass::Flash,
            }],
            groups: vec![Group {
                id: GroupId::new(1),
                profile: profile(),
                epoch: Epoch(4),
                admission: Admission::Open,
                members: vec![Member {
                    disk: DiskId::new(1),
                    joined: Epoch(2),
                }],
            }],
        },
    );
}

#[test]
fn requests_to_the_metadata_service() {
    golden(
        "create-bucket",
        &CreateBucket {
            request: request(),
            tenant: TenantId::new(0),
            owner: "SRKEY".into(),
            name: name(),
            label: label(),
            profile: Some(profile()),
        },
    );
    golden(
        "delete-bucket",
        &DeleteBucket {
            request: request(),
            bucket: BucketId::new(1),
        },
    );
    let commit = |place| CommitObject {
        request: request(),
        bucket: BucketId::new(1),
        key: key(),
        version: VersionId::new([9; 16]),
        attributes: attributes(),
        blob: BlobId::new(8),
        wrap: Bytes::from_static(b"wrap"),
        wrap_expires_ms: 90_000,
        length: ByteCount::new(5),
        place,
        tags: Tags::default(),
        condition: Condition::default(),
    };
    golden(
        "commit-inline",
        &commit(WrittenPlace::Inline {
            sealed: Bytes::from_static(b"sealed"),
        }),
    );
    let run = WrittenRun {
        lease: LeaseId::new(3),
        group: GroupId::new(1),
        epoch: Epoch(4),
        first_chunk: ChunkId::new(2),
        chunks: 64,
        first_index: 0,
        missing: vec![Slot(5)],
    };
    golden(
        "commit-runs",
        &commit(WrittenPlace::Runs {
            profile: profile(),
            runs: vec![run],
        }),
    );
    golden(
        "delete-object",
        &DeleteObject {
            request: request(),
            bucket: BucketId::new(1),
            key: key(),
            condition: Condition::default(),
        },
    );
    let wanted = [
        Wanted::Nothing,
        Wanted::All,
        Wanted::From(ByteOffset::new(1)),
        Wanted::Range(ByteOffset::new(1), ByteCount::new(2)),
        Wanted::Last(ByteCount::new(3)),
    ];
    golden(
        "lookups",
        &wanted.map(|wanted| Lookup {
            bucket: BucketId::new(1),
            key: key(),
            wanted,
            version: None,
        }),
    );
    golden(
        "list",
        &List {
            bucket: BucketId::new(1),
            prefix: "train/".into(),
            delimiter: Some("/".into()),
            after: Some("train/a".into()),
            limit: 1000,
        },
    );
}

#[test]
fn answers_of_the_metadata_service() {
    golden(
        "session",
        &Session {
            id: SessionId::new(5),
            ttl_ms: 60_000,
        },
    );
    golden(
        "write-lease",
        &WriteLease {
            id: LeaseId::new(3),
            first: ChunkId::new(2),
            count: 65_536,
            opens_for_ms: 600_000,
            ttl_ms: 60_000,
        },
    );
    golden(
        "issued-blob",
        &IssuedBlob {
            blob: BlobId::new(8),
            key: DataKey::new([7; 32]),
            wrap: Bytes::from_static(b"wrap"),
            expires_ms: 90_000,
        },
    );
    let place = Place::Runs {
        profile: profile(),
        runs: vec![Run {
            group: GroupId::new(1),
            first_chunk: ChunkId::new(2),
            chunks: 64,
            first_index: 0,
            missing: vec![Slot(5)],
        }],
    };
    let extent = |place| LocatedExtent {
        object_offset: ByteOffset::new(0),
        blob: BlobId::new(8),
        blob_offset: ByteOffset::new(0),
        length: ByteCount::new(5),
        blob_length: ByteCount::new(5),
        key: DataKey::new([7; 32]),
        place,
    };
    golden(
        "located",
        &Located {
            version: VersionId::new([9; 16]),
            length: ByteCount::new(10),
            modified: WallTime(1_700_000_000_000),
            attributes: attributes(),
            first: ByteOffset::ZERO,
            wanted: ByteCount::ZERO,
            parts: 0,
            tags: 0,
            extents: vec![
                extent(Place::Inline {
                    sealed: Bytes::from_static(b"sealed"),
                }),
                extent(place),
            ],
            valid_for_ms: 0,
        },
    );
    golden(
        "list-page",
        &ListPage {
            entries: vec![
                ListEntry::CommonPrefix("train/a/".into()),
                ListEntry::Object {
                    key: key(),
                    length: ByteCount::new(10),
                    modified: WallTime(1_700_000_000_000),
                    etag: "d41d8cd98f00b204e9800998ecf8427e".into(),
                    checksums: Vec::new(),
                },
            ],
            truncated: true,
        },
    );
    golden(
        "metadata-errors",
        &vec![
            MetadataError::Unavailable("no leader".into()),
            MetadataError::NoSuchBucket,
            MetadataError::BucketExists {
                owner: "SRKEY".into(),
            },
            MetadataError::BucketNotEmpty,
            MetadataError::NoSuchObject,
            MetadataError::RangeNotSatisfiable { length: 10 },
            MetadataError::SessionExpired,
            MetadataError::LeaseInvalid,
            MetadataError::RunOverlaps,
            MetadataError::WrapInvalid,
            MetadataError::VersionExists,
            MetadataError::Malformed("what".into()),
            MetadataError::RowDamaged,
        ],
    );
}

#[test]
fn messages_of_the_shard_service() {
    let disk = DiskId::new(1);
    golden(
        "put-shard",
        &PutShard {
            disk,
            key: shard(),
            epoch: Epoch(4),
            chunk: ChunkDescription {
                blob: BlobId::new(8),
                first_segment: 64,
                profile: profile(),
                data_lengths: vec![65_564, 0, 0, 0],
                digests: vec![ShardDigest([3; 32]); 6],
            },
            payload: Bytes::from_static(b"blocks"),
        },
    );
    golden(
        "read-shard",
        &ReadShard {
            disk,
            key: shard(),
            first_block: 1,
            blocks: 2,
        },
    );
    let key = shard();
    golden(
        "put-errors",
        &vec![
            storage::PutError::DiskUnavailable { disk },
            storage::PutError::Full { disk },
            storage::PutError::StaleEpoch {
                sent: Epoch(1),
                current: Epoch(2),
            },
            storage::PutError::Conflict { key },
            storage::PutError::Damaged { key },
            storage::PutError::Busy { disk },
            storage::PutError::DiskFailed { disk },
        ],
    );
    golden(
        "read-errors",
        &vec![
            storage::ReadError::DiskUnavailable { disk },
            storage::ReadError::Missing { key },
            storage::ReadError::Corrupt { key, block: 4 },
            storage::ReadError::OutOfRange { key },
            storage::ReadError::Busy { disk },
            storage::ReadError::Io { disk, key },
        ],
    );
    let request = PutShard {
        disk,
        key,
        epoch: Epoch(1),
        chunk: ChunkDescription {
            blob: BlobId::new(1),
            first_segment: 704,
            profile: profile(),
            data_lengths: vec![65_564, 65_564, 30, 0],
            digests: vec![ShardDigest([7; 32]); 6],
        },
        payload: Bytes::from_static(b"behind it"),
    };
    golden(
        "shard-preamble",
        &shards::Preamble {
            epoch: request.epoch,
            chunk: request.chunk.clone(),
        },
    );
    let body = [&shards::preamble(&request)[..], &request.payload].concat();
    let file = check(env!("CARGO_MANIFEST_DIR"), "shard-body.bin", &body);
    assert_eq!(shards::put(disk, key, file.into()).unwrap(), request);
    golden("chunk-description", &request.chunk);
    let states = [
        DiskState::Serving,
        DiskState::Absent("empty".into()),
        DiskState::Failed("fsync".into()),
    ];
    golden(
        "disk-reports",
        &states.map(|state| DiskReport {
            disk,
            state,
            slow: None,
            engine: "io_uring".into(),
            shards: 10,
            used: ByteCount::new(4096),
            free: ByteCount::new(8192),
        }),
    );
}
