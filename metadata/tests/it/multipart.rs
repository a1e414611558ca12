//! Uploads as a gateway sees them, over a log in memory.

use crate::fixture::key;
use crate::service::Gateway;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;
use strongroom_metadata::ServerConfig;
use strongroom_metadata::tables::*;
use types::attributes::{Attributes, Checksum, ChecksumAlgorithm, ChecksumKind};
use types::id::{BlobId, BucketId, VersionId};
use types::secret::DataKey;
use types::size::{ByteCount, ByteOffset};
use types::wire::Metadata;
use types::wire::metadata::{
    AbortUpload, ChosenPart, CommitPart, CompleteUpload, Condition, CreateUpload, DeleteBucket,
    DeleteObject, EtagMatch, ListParts, ListUploads, MetadataError, Part, PartPage, Tags,
    UploadEntry, Wanted, WrittenPlace,
};

const SEALED_WITH: (ChecksumAlgorithm, ChecksumKind) =
    (ChecksumAlgorithm::Crc32, ChecksumKind::Composite);

fn attributes(etag: &str) -> Attributes {
    Attributes {
        etag: etag.to_owned(),
        user: vec![("planted-name".to_owned(), "planted-value".to_owned())],
        ..Attributes::default()
    }
}

fn checksums(number: u32) -> Vec<Checksum> {
    vec![Checksum {
        algorithm: ChecksumAlgorithm::Crc32,
        kind: ChecksumKind::FullObject,
        value: number.to_be_bytes().into(),
    }]
}

impl Gateway {
    pub(crate) async fn begin_upload(&mut self, name: &str) -> VersionId {
        let request = self.request();
        let upload = VersionId::new((u128::from(request.sequence) << 64).to_be_bytes());
        let create = CreateUpload {
            request,
            bucket: self.bucket.id,
            key: key(name),
            upload,
            owner: "planted-owner".to_owned(),
            attributes: attributes(""),
            checksum: Some(SEALED_WITH),
            tags: Tags(vec![("planted-tag".to_owned(), "planted-value".to_owned())]),
        };
        self.server.create_upload(create).await.unwrap();
        upload
    }

    /// A part of `number` bytes, with the key that it is sealed under.
    async fn upload_part(&mut self, name: &str, upload: VersionId, number: u32) -> DataKey {
        let issued = self.issue().await;
        let part = CommitPart {
            request: self.request(),
            bucket: self.bucket.id,
            key: key(name),
            upload,
            number,
            etag: format!("planted-etag-{number}"),
            checksums: checksums(number),
            blob: issued.blob,
            wrap: issued.wrap.clone(),
            wrap_expires_ms: issued.expires_ms,
            length: ByteCount::new(number.into()),
            place: WrittenPlace::Inline {
                sealed: Bytes::from(vec![5; number as usize + 28]),
            },
        };
        self.server.commit_part(part).await.unwrap();
        issued.key
    }

    pub(crate) async fn parts(
        &self,
        name: &str,
        upload: VersionId,
    ) -> Result<PartPage, MetadataError> {
        let list = ListParts {
            bucket: self.bucket.id,
            key: key(name),
            upload,
            after: 0,
            limit: 10_000,
        };
        self.server.list_parts(list).await
    }

    pub(crate) async fn complete(
        &mut self,
        name: &str,
        upload: VersionId,
        condition: Condition,
    ) -> Result<(), MetadataError> {
        let page = self.parts(name, upload).await?;
        let chosen = |part: &Part| ChosenPart {
            number: part.number,
            born: part.born,
        };
        let complete = CompleteUpload {
            request: self.request(),
            bucket: self.bucket.id,
            key: key(name),
            upload,
            parts: page.parts.iter().map(chosen).collect(),
            attributes: attributes("planted-etag-of-all"),
            condition,
        };
        self.server.complete_upload(complete).await.map(drop)
    }

    pub(crate) async fn abort_it(
        &mut self,
        name: &str,
        upload: VersionId,
    ) -> Result<(), MetadataError> {
        let abort = AbortUpload {
            request: self.request(),
            bucket: self.bucket.id,
            key: key(name),
            upload,
        };
        self.server.abort_upload(abort).await
    }

    /// An object of that many parts, part n of n bytes.
    async fn multipart(&mut self, name: &str, parts: u32) -> VersionId {
        let upload = self.begin_upload(name).await;
        for number in 1..=parts {
            self.upload_part(name, upload, number).await;
        }
        self.complete(name, upload, Condition::default())
            .await
            .unwrap();
        upload
    }

    /// Waits until there is no row of uploads but those of objects that are shown.
    pub(crate) async fn swept(&self) {
        let store = &self.server.log().0.store;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let left = [
                UPLOADS.scan(store, &[]).count(),
                SWEEPS.scan(store, &[]).count(),
                GONE_BUCKETS.scan(store, &[]).count(),
            ];
            if left == [0; 3] {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "left: {left:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Parts are uploaded out of order and again, listed, completed and read: each under the key that it was
/// issued, with its ETag and checksums; the object has the tags of the upload.
#[tokio::test]
async fn an_upload_becomes_an_object() {
    let mut gateway = Gateway::new().await;
    let upload = gateway.begin_upload("object").await;
    let mut keys = BTreeMap::new();
    for number in [5, 2, 9, 2] {
        let data_key = gateway.upload_part("object", upload, number).await;
        keys.insert(number, data_key);
    }
    let page = gateway.parts("object", upload).await.unwrap();
    let begun = page.upload.unwrap();
    assert_eq!((begun.id, &begun.owner[..]), (upload, "planted-owner"));
    assert_eq!(begun.checksum, Some(SEALED_WITH));
    assert!(begun.attributes == attributes(""));
    let numbers: Vec<_> = page.parts.iter().map(|part| part.number).collect();
    assert_eq!(numbers, [2, 5, 9]);
    for part in &page.parts {
        assert_eq!(part.etag, format!("planted-etag-{}", part.number));
        assert!(part.checksums == checksums(part.number));
        assert_eq!(part.length, ByteCount::new(part.number.into()));
    }
    let none = gateway.lookup("object", Wanted::All).await;
    assert_eq!(none.unwrap_err(), MetadataError::NoSuchObject);

    gateway
        .complete("object", upload, Condition::default())
        .await
        .unwrap();
    let found = gateway.lookup("object", Wanted::All).await.unwrap();
    assert_eq!((found.version, found.length), (upload, ByteCount::new(16)));
    assert_eq!((found.parts, found.tags), (3, 1));
    assert_eq!(
        (found.first, found.wanted),
        (ByteOffset::ZERO, ByteCount::new(16))
    );
    assert!(found.attributes == attributes("planted-etag-of-all"));
    let found_keys: Vec<_> = found.extents.iter().map(|extent| &extent.key).collect();
    assert_eq!(found_keys, keys.values().collect::<Vec<_>>());
    let part = gateway.lookup("object", Wanted::Part(5)).await.unwrap();
    assert_eq!(
        (part.first, part.wanted),
        (ByteOffset::new(2), ByteCount::new(5))
    );
    assert_eq!(part.extents.len(), 1);
    let missing = gateway.lookup("object", Wanted::Part(3)).await;
    assert_eq!(missing.unwrap_err(), MetadataError::NoSuchPart { parts: 3 });
    let tags = gateway.server.tags(gateway.bucket.id, key("object")).await;
    assert_eq!(tags.unwrap().0.len(), 1);

    let page = gateway.parts("object", upload).await.unwrap();
    assert!(page.upload.is_none() && page.parts.len() == 3);
    let gone = gateway
        .complete("other", upload, Condition::default())
        .await;
    assert_eq!(gone, Err(MetadataError::NoSuchUpload));
    let gone = gateway.abort_it("object", upload).await;
    assert_eq!(gone, Err(MetadataError::NoSuchUpload));
}

/// A completion is conditional as a PUT is; and it is applied once, also where its own object now fails its
/// condition.
#[tokio::test]
async fn a_completion_is_conditional() {
    let mut gateway = Gateway::new().await;
    let only_if_new = || Condition {
        differs: Some(EtagMatch::Any),
        ..Condition::default()
    };
    let (one, other) = (
        gateway.begin_upload("object").await,
        gateway.begin_upload("object").await,
    );
    for upload in [one, other] {
        gateway.upload_part("object", upload, 1).await;
    }
    gateway
        .complete("object", one, only_if_new())
        .await
        .unwrap();
    let refused = gateway.complete("object", other, only_if_new()).await;
    assert_eq!(refused, Err(MetadataError::ConditionFailed));
    let page = gateway.parts("object", other).await.unwrap();
    let complete = CompleteUpload {
        request: gateway.request(),
        bucket: gateway.bucket.id,
        key: key("object"),
        upload: other,
        parts: vec![ChosenPart {
            number: 1,
            born: page.parts[0].born,
        }],
        attributes: attributes("another"),
        condition: Condition {
            matches: Some(EtagMatch::OneOf(vec!["planted-etag-of-all".to_owned()])),
            ..Condition::default()
        },
    };
    let done = gateway
        .server
        .complete_upload(complete.clone())
        .await
        .unwrap();
    assert_eq!(gateway.server.complete_upload(complete).await, Ok(done));
    let found = gateway.lookup("object", Wanted::All).await.unwrap();
    assert_eq!(found.version, other);
}

/// Whoever edits the rows of a manifest, or of a part, gets nothing read: of what was edited, moved, swapped
/// or taken away nothing is returned.
/// Method: an object over three rows, one thing changed at a time, then put back.
#[tokio::test]
async fn edited_manifests_and_parts_are_refused() {
    let mut gateway = Gateway::new().await;
    let version = gateway.multipart("object", 600).await;
    let other = gateway.multipart("other", 600).await;
    let store = &gateway.server.log().0.store;
    let manifest: Vec<(u64, ManifestRow)> = MANIFESTS
        .scan(store, &version.bytes())
        .map(|row| {
            let (row_key, row) = row.unwrap();
            (u64::from_be_bytes(row_key[16..].try_into().unwrap()), row)
        })
        .collect();
    assert_eq!(manifest.len(), 3);
    type Edit = fn(&mut ManifestRow);
    let edits: [(&str, Edit); 8] = [
        ("a blob", |row| row.entries[7].blob = BlobId::new(1)),
        ("an offset", |row| {
            row.entries[7].offset = ByteOffset::new(1)
        }),
        ("a number", |row| row.entries[7].part += 1),
        ("an end", |row| {
            row.entries[7].end = ByteOffset::new(row.entries[7].end.get() + 1);
        }),
        ("the order", |row| {
            let (one, two) = (row.entries[7].blob, row.entries[8].blob);
            (row.entries[7].blob, row.entries[8].blob) = (two, one);
        }),
        ("the MAC", |row| {
            let mut mac = row.mac.to_vec();
            mac[20] ^= 1;
            row.mac = mac.into();
        }),
        ("the MAC's suite", |row| {
            row.mac = Bytes::from_static(&[9; 37])
        }),
        ("no MAC", |row| row.mac = Bytes::new()),
    ];
    for (end, good) in &manifest {
        let at = (version, *end);
        let wanted = Wanted::Range(good.first, ByteCount::new(1));
        assert!(gateway.lookup("object", wanted).await.is_ok());
        for (what, edit) in edits {
            let mut bad = good.clone();
            edit(&mut bad);
            put(&gateway, &MANIFESTS, &at, &bad);
            let refused = gateway.lookup("object", wanted).await;
            assert_eq!(refused.unwrap_err(), MetadataError::RowDamaged, "{what}");
            let listed = gateway.parts("object", version).await;
            assert_eq!(listed.unwrap_err(), MetadataError::RowDamaged, "{what}");
        }
        let theirs = MANIFESTS.get(store, &(other, *end)).unwrap().unwrap();
        put(&gateway, &MANIFESTS, &at, &theirs);
        let refused = gateway.lookup("object", wanted).await;
        assert_eq!(refused.unwrap_err(), MetadataError::RowDamaged);
        put(&gateway, &MANIFESTS, &at, good);
    }
    let (end, good) = &manifest[1];
    let mut txn = store.begin();
    MANIFESTS.delete(&mut txn, &(version, *end));
    store.commit(txn.into_changes(), b"").unwrap();
    let from = Wanted::From(ByteOffset::new(good.first.get() - 1));
    let refused = gateway.lookup("object", from).await;
    assert_eq!(refused.unwrap_err(), MetadataError::RowDamaged);
    put(&gateway, &MANIFESTS, &(version, *end), good);

    let head_key = (gateway.bucket.id, key("object"));
    let head = HEADS.get(store, &head_key).unwrap().unwrap();
    let shorter = HeadRow {
        length: ByteCount::new(*end),
        ..head.clone()
    };
    put(&gateway, &HEADS, &head_key, &shorter);
    let refused = gateway.lookup("object", Wanted::All).await;
    assert_eq!(refused.unwrap_err(), MetadataError::RowDamaged);
    put(&gateway, &HEADS, &head_key, &head);

    // Part 3 in the place of part 4, and the other object's part in its place.
    let (at, good) = part(&gateway, version, 4);
    let (_, third) = part(&gateway, version, 3);
    let (_, theirs) = part(&gateway, other, 4);
    let mut rewrapped = good.clone();
    rewrapped.pieces[0].wrap = theirs.pieces[0].wrap.clone();
    let mut longer = good.clone();
    longer.length = ByteCount::new(5);
    for (bad, read) in [
        (third, true),
        (theirs, true),
        (rewrapped, true),
        (longer, false),
    ] {
        put(&gateway, &PARTS, &at, &bad);
        if read {
            let refused = gateway.lookup("object", Wanted::Part(4)).await;
            assert_eq!(refused.unwrap_err(), MetadataError::RowDamaged);
        }
        if bad.sealed != good.sealed || bad.length != good.length {
            let listed = gateway.parts("object", version).await;
            assert_eq!(listed.unwrap_err(), MetadataError::RowDamaged);
        }
    }
    put(&gateway, &PARTS, &at, &good);
    let whole = gateway.lookup("object", Wanted::All).await.unwrap();
    assert_eq!(
        (whole.extents.len(), whole.length),
        (128, ByteCount::new(180_300))
    );
}

pub(crate) fn put<K: TableKey, V>(gateway: &Gateway, table: &Table<K, V>, row_key: &K, row: &V)
where
    V: serde::Serialize + serde::de::DeserializeOwned,
{
    let store = &gateway.server.log().0.store;
    let mut txn = store.begin();
    table.put(&mut txn, row_key, row);
    store.commit(txn.into_changes(), b"").unwrap();
}

fn part(gateway: &Gateway, version: VersionId, number: u32) -> ((VersionId, u32), PartRow) {
    let store = &gateway.server.log().0.store;
    let row = PARTS.get(store, &(version, number)).unwrap();
    ((version, number), row.unwrap())
}

/// Uploads are listed by key, those of one key by when they began, rolled up at a delimiter, by pages of any
/// size; an upload that ended between two pages hides no other.
#[tokio::test]
async fn uploads_are_listed_in_order() {
    let mut gateway = Gateway::new().await;
    let names = ["b", "a/1", "a/2", "c", "a/1", "b", "b", "a\0", "ab"];
    let mut begun = Vec::new();
    for (order, name) in names.into_iter().enumerate() {
        let upload = gateway.begin_upload(name).await;
        begun.push((name.to_owned(), order, upload));
    }
    begun.sort();
    for delimiter in [None, Some("/"), Some("")] {
        for prefix in ["", "a", "a/", "b", "z"] {
            let mut expected: Vec<String> = Vec::new();
            for (name, _, upload) in begun.iter().filter(|row| row.0.starts_with(prefix)) {
                let behind = &name[prefix.len()..];
                match behind.find('/').filter(|_| delimiter == Some("/")) {
                    Some(at) => expected.push(name[..=prefix.len() + at].to_owned()),
                    None => expected.push(format!("{name} {upload}")),
                }
            }
            expected.dedup();
            for limit in [1, 2, 1000] {
                let listed = all_uploads(&gateway, prefix, delimiter, limit).await;
                assert_eq!(listed, expected, "{prefix:?} {delimiter:?} {limit}");
            }
        }
    }
    let second = begun.iter().filter(|row| row.0 == "b").nth(1).unwrap().2;
    gateway.abort_it("b", second).await.unwrap();
    let list = ListUploads {
        bucket: gateway.bucket.id,
        prefix: String::new(),
        delimiter: None,
        after: Some("b".to_owned()),
        after_upload: Some(second),
        limit: 1,
    };
    let page = gateway.server.list_uploads(list.clone()).await.unwrap();
    let third = begun.iter().filter(|row| row.0 == "b").nth(2).unwrap().2;
    assert!(matches!(&page.entries[..], [UploadEntry::Upload(upload)] if upload.id == third));
    let unknown = ListUploads {
        bucket: BucketId::new(999),
        ..list
    };
    let refused = gateway.server.list_uploads(unknown).await;
    assert_eq!(refused.unwrap_err(), MetadataError::NoSuchBucket);
}

async fn all_uploads(
    gateway: &Gateway,
    prefix: &str,
    delimiter: Option<&str>,
    limit: u32,
) -> Vec<String> {
    let mut list = ListUploads {
        bucket: gateway.bucket.id,
        prefix: prefix.to_owned(),
        delimiter: delimiter.map(str::to_owned),
        after: None,
        after_upload: None,
        limit,
    };
    let mut all = Vec::new();
    loop {
        let page = gateway.server.list_uploads(list.clone()).await.unwrap();
        assert!(page.entries.len() <= limit as usize);
        assert!(all.len() < 100, "pages do not go on");
        for entry in page.entries {
            (list.after, list.after_upload) = match &entry {
                UploadEntry::Upload(upload) => {
                    (Some(upload.key.as_str().to_owned()), Some(upload.id))
                }
                UploadEntry::CommonPrefix(prefix) => (Some(prefix.clone()), None),
            };
            all.push(match entry {
                UploadEntry::Upload(upload) => format!("{} {}", upload.key.as_str(), upload.id),
                UploadEntry::CommonPrefix(prefix) => prefix,
            });
        }
        if !page.truncated {
            return all;
        }
    }
}

/// The leader takes away what nobody will see: of uploads that were aborted, are too old or whose bucket is
/// gone, and of objects that were deleted. Method: a service that keeps nothing for long.
#[tokio::test]
async fn the_leader_sweeps() {
    let config = ServerConfig {
        abandoned_after: Duration::from_secs(2),
        reclaim_after: Duration::ZERO,
        ..ServerConfig::new(crate::fixture::profile())
    };
    let mut gateway = Gateway::with(config).await;
    gateway.multipart("object", 300).await;
    let delete = DeleteObject {
        request: gateway.request(),
        bucket: gateway.bucket.id,
        key: key("object"),
        condition: Condition::default(),
    };
    gateway.server.delete_object(delete).await.unwrap();
    let aborted = gateway.begin_upload("aborted").await;
    gateway.upload_part("aborted", aborted, 1).await;
    gateway.abort_it("aborted", aborted).await.unwrap();
    for name in ["old", "older"] {
        let upload = gateway.begin_upload(name).await;
        gateway.upload_part(name, upload, 3).await;
    }
    gateway.swept().await;

    let left = gateway.begin_upload("left").await;
    gateway.upload_part("left", left, 1).await;
    let delete = DeleteBucket {
        request: gateway.request(),
        bucket: gateway.bucket.id,
    };
    gateway.server.delete_bucket(delete).await.unwrap();
    gateway.swept().await;
    let store = &gateway.server.log().0.store;
    assert_eq!(PARTS.scan(store, &[]).count(), 0);
    assert_eq!(MANIFESTS.scan(store, &[]).count(), 0);
    for row in BLOBS.scan(store, &[]) {
        assert_eq!(row.unwrap().1.references, 0);
    }
}

/// No ETag, checksum, tag, owner or attribute of an upload is in the clear in a row.
#[tokio::test]
async fn rows_of_uploads_hold_no_plaintext() {
    let mut gateway = Gateway::new().await;
    gateway.multipart("shown", 3).await;
    let under_way = gateway.begin_upload("under way").await;
    gateway.upload_part("under way", under_way, 1).await;
    let store = &gateway.server.log().0.store;
    let tables = [0x53, 0x54, 0x55, 0x56, 0x57];
    for row in store.rows() {
        let (row_key, value) = row.unwrap();
        let planted = value.windows(7).any(|window| window == b"planted");
        assert!(!planted || row_key[0] == 0x47, "table {:x}", row_key[0]);
        let named = |name: &[u8]| value.windows(name.len()).any(|window| window == name);
        let named = named(b"under way") || named(b"shown");
        assert!(
            !tables.contains(&row_key[0]) || !named,
            "table {:x}",
            row_key[0]
        );
    }
}

/// What no gateway sends is refused before it is sealed.
#[tokio::test]
async fn malformed_uploads_are_refused() {
    let mut gateway = Gateway::new().await;
    let upload = gateway.begin_upload("object").await;
    let issued = gateway.issue().await;
    let good = CommitPart {
        request: gateway.request(),
        bucket: gateway.bucket.id,
        key: key("object"),
        upload,
        number: 1,
        etag: "etag".to_owned(),
        checksums: Vec::new(),
        blob: issued.blob,
        wrap: issued.wrap.clone(),
        wrap_expires_ms: issued.expires_ms,
        length: ByteCount::new(1),
        place: WrittenPlace::Inline {
            sealed: Bytes::from(vec![5; 29]),
        },
    };
    type Spoil = fn(&mut CommitPart);
    let spoils: [Spoil; 6] = [
        |part| part.number = 0,
        |part| part.number = 10_001,
        |part| part.etag = "e".repeat(1000),
        |part| part.checksums = (0..9).flat_map(checksums).collect(),
        |part| {
            part.checksums = vec![Checksum {
                value: vec![0; 65],
                ..checksums(1).remove(0)
            }]
        },
        |part| {
            part.place = WrittenPlace::Inline {
                sealed: vec![0; 5000].into(),
            }
        },
    ];
    for spoil in spoils {
        let mut bad = good.clone();
        spoil(&mut bad);
        let refused = gateway.server.commit_part(bad).await;
        assert!(matches!(refused, Err(MetadataError::Malformed(_))));
    }
    let mut forged = good.clone();
    forged.upload = VersionId::new([9; 16]);
    let refused = gateway.server.commit_part(forged).await;
    assert_eq!(refused, Err(MetadataError::NoSuchUpload));
    let mut stolen = good;
    stolen.request = gateway.request();
    stolen.wrap_expires_ms += 1;
    let refused = gateway.server.commit_part(stolen).await;
    assert_eq!(refused, Err(MetadataError::WrapInvalid));
}
