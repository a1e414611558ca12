//! The service as a gateway sees it, over a log in memory.

use crate::fixture::{Machine, MemoryLog, Outage, bucket_name, chunk_bytes, key, profile};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use strongroom_metadata::apply::MAX_RUNS;
use strongroom_metadata::server::{MAX_ATTRIBUTES, MAX_LABEL_IDS, MAX_OWNER, MAX_SEALED, MAX_TAGS};
use strongroom_metadata::tables::{HEADS, KEKS};
use strongroom_metadata::{Keyring, Rows, Server, ServerConfig, Store};
use types::Label;
use types::attributes::{Attributes, ContentHeaders};
use types::id::{BucketId, NodeId, RequestId, SessionId, TenantId, VersionId};
use types::manifest::Place;
use types::placement::{Disk, Epoch, GroupTable, Slot};
use types::profile::DiskClass;
use types::size::{ByteCount, ByteOffset};
use types::wire::Metadata;
use types::wire::metadata::{
    Bucket, CommitObject, Condition, CreateBucket, DeleteBucket, DeleteObject, IssuedBlob, List,
    ListEntry, Located, Lookup, MAX_LOOKUPS, MetadataError, Tags, Wanted, WriteLease, WrittenPlace,
    WrittenRun,
};

pub(crate) struct Gateway {
    pub(crate) server: Arc<Server<MemoryLog>>,
    pub(crate) session: SessionId,
    lease: WriteLease,
    table: GroupTable,
    pub(crate) bucket: Bucket,
    sequence: u64,
    used_chunks: u64,
}

impl Gateway {
    pub(crate) async fn new() -> Self {
        Self::with(ServerConfig::new(profile())).await
    }

    pub(crate) async fn with(config: ServerConfig) -> Self {
        let ring = vec![seal::RingKey::random(1)];
        let keys = Keyring::new(seal::provider::default(), ring);
        let log = MemoryLog(Machine::new(), Outage::default());
        let server = Server::start(log, keys, config);
        let node = server.admit_node().await.unwrap();
        for _ in 0..6 {
            let id = server.reserve_disk_id().await.unwrap();
            let class = DiskClass::Flash;
            server.admit_disk(Disk { id, node, class }).await.unwrap();
        }
        server.create_groups(profile()).await.unwrap();
        server.create_groups(profile()).await.unwrap();
        let session = server.open_session(node).await.unwrap().id;
        let lease = server.open_lease(session).await.unwrap();
        let table = server.group_table(0).await.unwrap().unwrap();
        let mut request = CreateBucket {
            request: RequestId {
                session,
                sequence: 1,
                answered_below: 1,
            },
            tenant: TenantId::new(1),
            owner: "steward".to_owned(),
            name: bucket_name("planted-bucket"),
            label: Label::default(),
            profile: None,
        };
        let bucket = server.create_bucket(request.clone()).await.unwrap();
        assert_eq!(
            server.create_bucket(request.clone()).await,
            Ok(bucket.clone())
        );
        request.request.sequence = 2;
        let owner = "steward".to_owned();
        let taken = Err(MetadataError::BucketExists { owner });
        assert_eq!(server.create_bucket(request).await, taken);
        Self {
            server,
            session,
            lease,
            table,
            bucket,
            sequence: 2,
            used_chunks: 0,
        }
    }

    pub(crate) fn request(&mut self) -> RequestId {
        self.sequence += 1;
        RequestId {
            session: self.session,
            sequence: self.sequence,
            answered_below: self.sequence,
        }
    }

    pub(crate) fn create(&mut self, name: &str) -> CreateBucket {
        CreateBucket {
            request: self.request(),
            tenant: TenantId::new(1),
            owner: "steward".to_owned(),
            name: bucket_name(name),
            label: Label::default(),
            profile: None,
        }
    }

    pub(crate) async fn issue(&self) -> IssuedBlob {
        let issued = self
            .server
            .issue_blobs(self.session, self.bucket.id, 3)
            .await;
        issued.unwrap().remove(0)
    }

    pub(crate) fn put(
        &mut self,
        name: &str,
        issued: &IssuedBlob,
        length: u64,
        place: WrittenPlace,
    ) -> CommitObject {
        let request = self.request();
        CommitObject {
            request,
            bucket: self.bucket.id,
            key: key(name),
            version: VersionId::new(u128::from(request.sequence).to_be_bytes()),
            attributes: Attributes {
                etag: format!("etag of {name}"),
                content: ContentHeaders {
                    media_type: Some("planted/type".to_owned()),
                    ..ContentHeaders::default()
                },
                user: vec![("planted-name".to_owned(), "planted-value".to_owned())],
                checksums: Vec::new(),
            },
            blob: issued.blob,
            wrap: issued.wrap.clone(),
            wrap_expires_ms: issued.expires_ms,
            length: ByteCount::new(length),
            place,
            tags: Tags::default(),
            condition: Condition::default(),
        }
    }

    pub(crate) async fn inline(&mut self, name: &str, length: u64) -> (CommitObject, IssuedBlob) {
        let issued = self.issue().await;
        let sealed = Bytes::from(vec![5; usize::try_from(length).unwrap() + 28]);
        let place = WrittenPlace::Inline { sealed };
        (self.put(name, &issued, length, place), issued)
    }

    pub(crate) async fn delete(&mut self, bucket: BucketId, name: &str) {
        let delete = DeleteObject {
            request: self.request(),
            bucket,
            key: key(name),
            condition: Condition::default(),
        };
        self.server.delete_object(delete).await.unwrap();
    }

    /// An object of `length` bytes in one run of the first group.
    pub(crate) async fn chunked(&mut self, name: &str, length: u64) -> (CommitObject, IssuedBlob) {
        let issued = self.issue().await;
        let place = self.run(length);
        (self.put(name, &issued, length, place), issued)
    }

    /// A run of fresh chunks for so many bytes.
    pub(crate) fn run(&mut self, length: u64) -> WrittenPlace {
        let chunks = length.div_ceil(chunk_bytes());
        let run = WrittenRun {
            lease: self.lease.id,
            group: self.table.groups[0].id,
            epoch: Epoch(1),
            first_chunk: self.lease.first.plus(self.used_chunks),
            chunks: u32::try_from(chunks).unwrap(),
            first_index: 0,
            missing: Vec::new(),
        };
        self.used_chunks += chunks;
        WrittenPlace::Runs {
            profile: profile(),
            runs: vec![run],
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.server.log().0.store
    }

    pub(crate) async fn lookup(
        &self,
        name: &str,
        wanted: Wanted,
    ) -> Result<Located, MetadataError> {
        self.server.lookup(self.asked(name, wanted)).await
    }

    fn asked(&self, name: &str, wanted: Wanted) -> Lookup {
        Lookup {
            bucket: self.bucket.id,
            key: key(name),
            wanted,
            version: None,
        }
    }
}

/// Many lookups in one call are each answered as by themselves, refusals too; more than are allowed are refused.
#[tokio::test]
async fn many_lookups_in_one_call() {
    let mut gateway = Gateway::new().await;
    for (name, length) in [("one", 100), ("two", 200)] {
        let (put, _) = gateway.inline(name, length).await;
        gateway.server.commit_object(put).await.unwrap();
    }
    let beyond = Wanted::From(ByteOffset::new(5000));
    let asked: Vec<Lookup> = [
        ("two", Wanted::All),
        ("none", Wanted::All),
        ("one", Wanted::Nothing),
        ("one", beyond),
        ("two", Wanted::All),
    ]
    .map(|(name, wanted)| gateway.asked(name, wanted))
    .into();
    let together = gateway.server.lookups(asked.clone()).await.unwrap();
    assert_eq!(together.len(), asked.len());
    let mut found = 0;
    for (lookup, answer) in asked.iter().zip(together) {
        let alone = gateway.server.lookup(lookup.clone()).await;
        found += usize::from(answer.is_ok());
        assert_eq!(format!("{answer:?}"), format!("{alone:?}"));
        let key = |answer: Result<Located, _>| Some(answer.ok()?.extents.pop()?.key);
        assert!(key(answer) == key(alone), "{lookup:?}");
    }
    assert_eq!(found, 3);
    assert!(gateway.server.lookups(Vec::new()).await.unwrap().is_empty());
    let most = vec![asked[0].clone(); MAX_LOOKUPS];
    assert_eq!(
        gateway.server.lookups(most).await.unwrap().len(),
        MAX_LOOKUPS
    );
    let more = vec![asked[0].clone(); MAX_LOOKUPS + 1];
    let refused = gateway.server.lookups(more).await.unwrap_err();
    assert!(matches!(refused, MetadataError::Malformed(_)), "{refused}");
}

/// What was committed is found: attributes, keys and the runs that cover the range, no others.
#[tokio::test]
async fn an_object_is_committed_found_listed_and_deleted() {
    let mut gateway = Gateway::new().await;
    assert_eq!(gateway.table.groups.len() % 6, 0);
    assert!(
        gateway
            .server
            .group_table(gateway.table.version)
            .await
            .unwrap()
            .is_none()
    );

    let (small, small_issued) = gateway.inline("small", 100).await;
    gateway.server.commit_object(small.clone()).await.unwrap();
    let found = gateway.lookup("small", Wanted::All).await.unwrap();
    assert_eq!((found.version, found.length), (small.version, small.length));
    assert!(found.attributes == small.attributes);
    assert_eq!(found.extents.len(), 1);
    assert_eq!(found.extents[0].key, small_issued.key);
    assert!(matches!(&found.extents[0].place, Place::Inline { sealed } if sealed.len() == 128));
    assert!(
        gateway
            .lookup("small", Wanted::Nothing)
            .await
            .unwrap()
            .extents
            .is_empty()
    );

    let issued = gateway.issue().await;
    let run = |group: usize, first_index: u64, chunks: u32| WrittenRun {
        lease: gateway.lease.id,
        group: gateway.table.groups[group].id,
        epoch: Epoch(1),
        first_chunk: gateway.lease.first.plus(first_index),
        chunks,
        first_index,
        missing: Vec::new(),
    };
    let place = WrittenPlace::Runs {
        profile: profile(),
        runs: vec![run(0, 0, 64), run(1, 64, 10)],
    };
    let length = 73 * chunk_bytes() + 5;
    let large = gateway.put("large", &issued, length, place);
    let modified = gateway.server.commit_object(large.clone()).await.unwrap();
    assert_eq!(gateway.server.commit_object(large).await.unwrap(), modified);
    let chunk = chunk_bytes();
    // range, indices of the runs that are returned
    for (wanted, expected) in [
        (Wanted::All, vec![0, 64]),
        (
            Wanted::Range(ByteOffset::ZERO, ByteCount::new(64 * chunk)),
            vec![0],
        ),
        (
            Wanted::Range(ByteOffset::new(64 * chunk - 1), ByteCount::new(2)),
            vec![0, 64],
        ),
        (Wanted::From(ByteOffset::new(64 * chunk)), vec![64]),
        (Wanted::Last(ByteCount::new(5)), vec![64]),
    ] {
        let found = gateway.lookup("large", wanted).await.unwrap();
        let Place::Runs { runs, .. } = &found.extents[0].place else {
            panic!()
        };
        let indices: Vec<_> = runs.iter().map(|run| run.first_index).collect();
        assert_eq!(indices, expected, "{wanted:?}");
        assert_eq!(found.extents[0].key, issued.key);
        assert_eq!(found.extents[0].blob_length.get(), length);
    }
    let outside = gateway
        .lookup("large", Wanted::From(ByteOffset::new(length)))
        .await;
    assert_eq!(
        outside.unwrap_err(),
        MetadataError::RangeNotSatisfiable { length }
    );

    let list = List {
        bucket: gateway.bucket.id,
        prefix: String::new(),
        delimiter: None,
        after: None,
        limit: 1000,
    };
    let page = gateway.server.list(list.clone()).await.unwrap();
    let etags = page.entries.iter().map(|entry| match entry {
        ListEntry::Object { etag, .. } => etag.as_str(),
        ListEntry::CommonPrefix(_) => panic!(),
    });
    assert_eq!(
        etags.collect::<Vec<_>>(),
        ["etag of large", "etag of small"]
    );

    assert_eq!(
        gateway.server.buckets().await.unwrap(),
        [gateway.bucket.clone()]
    );
    let named = gateway.server.bucket(bucket_name("planted-bucket")).await;
    assert_eq!(named, Ok(gateway.bucket.clone()));
    let bucket = gateway.bucket.id;
    let request = gateway.request();
    let not_empty = gateway
        .server
        .delete_bucket(DeleteBucket { request, bucket })
        .await;
    assert_eq!(not_empty, Err(MetadataError::BucketNotEmpty));
    for name in ["small", "large", "never"] {
        let (request, key) = (gateway.request(), key(name));
        gateway
            .server
            .delete_object(DeleteObject {
                request,
                bucket,
                key,
                condition: Condition::default(),
            })
            .await
            .unwrap();
    }
    let gone = gateway.lookup("small", Wanted::All).await.unwrap_err();
    assert_eq!(gone, MetadataError::NoSuchObject);
    let request = gateway.request();
    gateway
        .server
        .delete_bucket(DeleteBucket { request, bucket })
        .await
        .unwrap();
    let gone = gateway.server.list(list).await;
    assert_eq!(gone, Err(MetadataError::NoSuchBucket));
    let gone = gateway.server.issue_blobs(gateway.session, bucket, 1).await;
    assert_eq!(gone, Err(MetadataError::NoSuchBucket));
    gateway.server.shutdown().await;
}

/// A wrap is good for the blob, bucket, session and expiry that it was issued for, and for nothing else.
#[tokio::test]
async fn wraps_are_good_for_what_they_were_issued_for() {
    let mut gateway = Gateway::new().await;
    let other = gateway
        .server
        .open_session(NodeId::new(1))
        .await
        .unwrap()
        .id;
    let second = gateway.issue().await;
    type Spoil<'a> = Box<dyn Fn(&mut CommitObject) + 'a>;
    let spoils: Vec<(&str, Spoil<'_>)> = vec![
        ("another blob", Box::new(|commit| commit.blob = second.blob)),
        (
            "another wrap",
            Box::new(|commit| commit.wrap = second.wrap.clone()),
        ),
        (
            "another expiry",
            Box::new(|commit| commit.wrap_expires_ms += 1),
        ),
        (
            "another session",
            Box::new(|commit| {
                commit.request.session = other;
                commit.request.sequence = 1;
                commit.request.answered_below = 1;
            }),
        ),
        ("no wrap", Box::new(|commit| commit.wrap = Bytes::new())),
        (
            "a flipped bit",
            Box::new(|commit| {
                let mut wrap = commit.wrap.to_vec();
                wrap[30] ^= 1;
                commit.wrap = wrap.into();
            }),
        ),
        (
            "another key version",
            Box::new(|commit| {
                let mut wrap = commit.wrap.to_vec();
                wrap[4] = 9;
                commit.wrap = wrap.into();
            }),
        ),
    ];
    for (what, spoil) in spoils {
        let (mut commit, _) = gateway.inline("object", 1).await;
        let good = commit.clone();
        spoil(&mut commit);
        let refused = gateway.server.commit_object(commit).await;
        assert_eq!(refused, Err(MetadataError::WrapInvalid), "{what}");
        gateway.server.commit_object(good).await.unwrap();
    }
}

/// A head moved to another key, or a key to another bucket, does not open; and its bytes are not told.
#[tokio::test]
async fn rows_that_were_swapped_do_not_open() {
    let mut gateway = Gateway::new().await;
    for name in ["a", "b"] {
        let (commit, _) = gateway.inline(name, 1).await;
        gateway.server.commit_object(commit).await.unwrap();
    }
    let store = &gateway.server.log().0.store;
    let bucket = gateway.bucket.id;
    let a = HEADS.get(store, &(bucket, key("a"))).unwrap().unwrap();
    let b = HEADS.get(store, &(bucket, key("b"))).unwrap().unwrap();
    let mut attributes_swapped = b.clone();
    attributes_swapped.attributes = a.attributes.clone();
    let mut wrap_swapped = b.clone();
    wrap_swapped.extents[0].wrap = a.extents[0].wrap.clone();
    let mut blob_swapped = b;
    blob_swapped.extents[0].blob = a.extents[0].blob;
    for swapped in [a, attributes_swapped, wrap_swapped, blob_swapped] {
        let mut txn = store.begin();
        HEADS.put(&mut txn, &(bucket, key("b")), &swapped);
        store.commit(txn.into_changes(), b"").unwrap();
        let refused = gateway.lookup("b", Wanted::All).await.unwrap_err();
        assert_eq!(refused, MetadataError::RowDamaged);
    }
}

/// No key, attribute or user metadata is in any row in the clear.
#[tokio::test]
async fn rows_hold_no_attribute_and_no_key() {
    let mut gateway = Gateway::new().await;
    let (commit, issued) = gateway.inline("object", 1).await;
    gateway.server.commit_object(commit).await.unwrap();
    let store = &gateway.server.log().0.store;
    assert!(KEKS.get(store, &(gateway.bucket.id, 1)).unwrap().is_some());
    for row in store.rows() {
        let (_, value) = row.unwrap();
        for planted in [
            &b"planted-name"[..],
            b"planted-value",
            b"planted/type",
            b"etag of",
            issued.key.expose(),
        ] {
            assert!(!value.windows(planted.len()).any(|window| window == planted));
        }
    }
}

/// While the server leads, time passes: a session that is not renewed expires, one that is does not.
#[tokio::test(start_paused = true)]
async fn time_passes_and_ends_sessions() {
    let gateway = Gateway::new().await;
    let kept = gateway.server.open_session(NodeId::new(1)).await.unwrap();
    for _ in 0..9 {
        tokio::time::sleep(Duration::from_millis(kept.ttl_ms / 8)).await;
        gateway.server.renew_session(kept.id).await.unwrap();
    }
    let expired = gateway.server.open_lease(gateway.session).await;
    assert_eq!(expired, Err(MetadataError::SessionExpired));
    let expired = gateway
        .server
        .issue_blobs(gateway.session, gateway.bucket.id, 1)
        .await;
    assert_eq!(expired, Err(MetadataError::SessionExpired));
    gateway.server.open_lease(kept.id).await.unwrap();
    gateway.server.shutdown().await;
    let before = gateway.server.log().0.store.mark();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(gateway.server.log().0.store.mark(), before);
}

/// A number that was used gives another request no answer, and no panic, whatever the kinds of both.
#[tokio::test]
async fn a_used_number_is_refused_to_another_request() {
    let mut gateway = Gateway::new().await;
    let (commit, _) = gateway.inline("object", 1).await;
    gateway.server.commit_object(commit.clone()).await.unwrap();
    let (request, bucket) = (commit.request, gateway.bucket.id);
    let key = key("object");
    let create = CreateBucket {
        request,
        tenant: TenantId::new(1),
        owner: "steward".to_owned(),
        name: bucket_name("another"),
        label: Label::default(),
        profile: None,
    };
    let mut other = commit.clone();
    other.version = VersionId::new([9; 16]);
    let delete = DeleteObject {
        request,
        bucket,
        key,
        condition: Condition::default(),
    };
    let server = &gateway.server;
    let answers = [
        server.create_bucket(create).await.map(drop),
        server.delete_bucket(DeleteBucket { request, bucket }).await,
        server.delete_object(delete).await,
        server.commit_object(other).await.map(drop),
    ];
    for answer in answers {
        assert!(
            matches!(answer, Err(MetadataError::Malformed(_))),
            "{answer:?}"
        );
    }
    server.commit_object(commit).await.unwrap();
    gateway.lookup("object", Wanted::All).await.unwrap();
}

/// The largest requests that are served make commands of the size that commands may have.
/// Method: the log of the fixture refuses larger ones.
#[tokio::test]
async fn the_largest_requests_are_small_commands() {
    let mut gateway = Gateway::new().await;
    let mut create = gateway.create(&"b".repeat(63));
    create.owner = "o".repeat(MAX_OWNER);
    let first = u32::MAX - u32::try_from(MAX_LABEL_IDS).unwrap();
    create.label.compartments = (first..u32::MAX).collect();
    gateway.server.create_bucket(create).await.unwrap();

    let issued = gateway.issue().await;
    let run = |index: u64| WrittenRun {
        lease: gateway.lease.id,
        group: gateway.table.groups[0].id,
        epoch: Epoch(1),
        first_chunk: gateway.lease.first.plus(index),
        chunks: 1,
        first_index: index,
        missing: vec![Slot(0), Slot(5)],
    };
    let runs: Vec<_> = (0..MAX_RUNS as u64).map(run).collect();
    let length = runs.len() as u64 * chunk_bytes();
    let place = WrittenPlace::Runs {
        profile: profile(),
        runs,
    };
    let mut commit = gateway.put(&"\0".repeat(1024), &issued, length, place);
    commit.attributes.etag.clear();
    commit.attributes.user = vec![(String::new(), "v".repeat(MAX_ATTRIBUTES - 300))];
    commit.tags = Tags(vec![(String::new(), "v".repeat(MAX_TAGS - 16))]);
    gateway.server.commit_object(commit.clone()).await.unwrap();
    let found = gateway
        .lookup(&"\0".repeat(1024), Wanted::All)
        .await
        .unwrap();
    assert!(found.attributes == commit.attributes);

    // What no profile makes possible today, and a later one could: all slots of the widest one.
    let WrittenPlace::Runs { runs, .. } = &mut commit.place else {
        panic!()
    };
    for run in runs {
        run.missing = (0..24).map(Slot).collect();
        run.first_chunk = types::id::ChunkId::new(u64::MAX - 1);
        run.epoch = Epoch(u64::MAX);
    }
    commit.request = gateway.request();
    let issued = gateway.issue().await;
    (commit.blob, commit.wrap, commit.wrap_expires_ms) =
        (issued.blob, issued.wrap, issued.expires_ms);
    commit.version = VersionId::new([9; 16]);
    let refused = gateway.server.commit_object(commit).await;
    assert_eq!(refused, Err(MetadataError::RunOverlaps));
}

/// What is asked wrongly is refused before anything is proposed.
#[tokio::test]
async fn malformed_requests_are_refused() {
    let mut gateway = Gateway::new().await;
    let before = gateway.server.log().0.store.running_digest();
    for count in [0, 65] {
        let refused = gateway
            .server
            .issue_blobs(gateway.session, gateway.bucket.id, count)
            .await;
        assert!(matches!(refused, Err(MetadataError::Malformed(_))));
    }
    let bucket = BucketId::new(gateway.bucket.id.get() + 1000);
    let list = List {
        bucket,
        prefix: String::new(),
        delimiter: None,
        after: None,
        limit: 1001,
    };
    assert!(matches!(
        gateway.server.list(list).await,
        Err(MetadataError::Malformed(_))
    ));
    assert_eq!(gateway.server.log().0.store.running_digest(), before);
    let (commit, _) = gateway.inline("object", 1).await;
    let run = WrittenRun {
        lease: gateway.lease.id,
        group: gateway.table.groups[0].id,
        epoch: Epoch(1),
        first_chunk: gateway.lease.first,
        chunks: 1,
        first_index: 0,
        missing: vec![],
    };
    let missing = |slots: Vec<u8>| {
        let missing = slots.into_iter().map(Slot).collect();
        let run = WrittenRun {
            missing,
            ..run.clone()
        };
        vec![run]
    };
    let profile = profile();
    let places = [
        WrittenPlace::Inline {
            sealed: vec![0; usize::try_from(MAX_SEALED).unwrap() + 1].into(),
        },
        WrittenPlace::Runs {
            profile,
            runs: missing((0..25).collect()),
        },
        WrittenPlace::Runs {
            profile,
            runs: missing(vec![3, 3]),
        },
        WrittenPlace::Runs {
            profile,
            runs: vec![run.clone(); MAX_RUNS + 1],
        },
    ];
    let mut long = vec![commit.clone()];
    long[0].attributes.user = vec![("name".to_owned(), "v".repeat(20_000))];
    long.extend(places.map(|place| CommitObject {
        place,
        ..commit.clone()
    }));
    let before = gateway.server.log().0.store.running_digest();
    for commit in long {
        let refused = gateway.server.commit_object(commit).await;
        assert!(matches!(refused, Err(MetadataError::Malformed(_))));
    }
    let (mut one, mut other) = (gateway.create("another"), gateway.create("another"));
    one.owner = "o".repeat(MAX_OWNER + 1);
    let ids = u32::try_from(MAX_LABEL_IDS).unwrap();
    other.label.compartments = (0..=ids).collect();
    for create in [one, other] {
        let refused = gateway.server.create_bucket(create).await;
        assert!(matches!(refused, Err(MetadataError::Malformed(_))));
    }
    assert_eq!(gateway.server.log().0.store.running_digest(), before);
    assert!(
        gateway
            .server
            .log()
            .0
            .store
            .get(b"nothing")
            .unwrap()
            .is_none()
    );
}
