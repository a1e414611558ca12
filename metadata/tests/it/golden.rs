//! What was stored once is readable for ever.
//!
//! `tests/golden/{command,reply,row,asked}/` hold a sample of every command, reply, row and digest of a
//! request, a file each. To add a variant, a field or a table, add a sample under a *new* name and run
//! these tests with `STRONGROOM_GOLDEN=add`: files are added, none is ever changed.

mod joining;
mod upkeep;
mod uploads;
mod usage;

use crate::fixture::{World, bucket_name, key, profile};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;
use strongroom_metadata::command::{
    ClusterCommand, Commit, CommittedPlace, Copied, CopiedManifest, CopyObject, CopyPart, Delete,
    Expected, LearntGroup, MakeBucket, NamespaceCommand, Raise, SealedTags, SetBucketTags, SetTags,
    Tick,
};
use strongroom_metadata::tables::*;
use strongroom_metadata::{Asked, Command, Proposal, Refusal, Reply, plan};
use types::Label;
use types::codec::{decode, encode};
use types::id::{
    BlobId, BucketId, ChunkId, DiskId, GroupId, LeaseId, NodeId, RequestId, SessionId, TenantId,
    VersionId,
};
use types::manifest::Run;
use types::placement::{Disk, Epoch, Group, Member, Slot};
use types::profile::DiskClass;
use types::size::{ByteCount, ByteOffset};
use types::wire::accounts::{KeyInfo, KeyState, User};
use types::wire::metadata::{
    Bucket, CreateBucket, DeleteBucket, Session, WallTime, WriteLease, WrittenRun,
};

/// A folder of samples, one file each.
struct Samples {
    folder: &'static str,
    seen: BTreeSet<String>,
}

impl Samples {
    fn of(folder: &'static str) -> Self {
        Self {
            folder,
            seen: BTreeSet::new(),
        }
    }

    /// Compares one sample with its file, and returns what that holds.
    fn compare(&mut self, name: &str, today: &[u8]) -> Vec<u8> {
        let name = name.replace(' ', "-");
        let path = format!("{}/{name}", self.folder);
        assert!(self.seen.insert(name), "{path} has two samples");
        golden::check(env!("CARGO_MANIFEST_DIR"), &path, today)
    }

    fn check<T>(&mut self, name: &str, value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        let stored = self.compare(&format!("{name}.mp"), &encode(value));
        let read: T = decode(&stored).unwrap();
        assert_eq!(read, *value, "{name}");
    }

    /// A row's file has its key and its value, in hex, a line each.
    fn check_row<K: TableKey, V>(&mut self, name: &str, table: &Table<K, V>, row_key: &K, value: &V)
    where
        V: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = strongroom_metadata::Store::open(folder.path()).unwrap();
        let mut txn = store.begin();
        table.put(&mut txn, row_key, value);
        let changes = txn.into_changes();
        let (key, encoded) = changes.iter().next().unwrap();
        let today = format!("{}\n{}\n", hex::encode(key), hex::encode(encoded.unwrap()));
        let stored = self.compare(&format!("{name}.hex"), today.as_bytes());
        let stored = String::from_utf8(stored).unwrap();
        let read: V = decode(&hex::decode(stored.lines().nth(1).unwrap()).unwrap()).unwrap();
        assert_eq!(read, *value, "{name}");
    }

    /// Every file was looked at, so that nothing old is forgotten.
    fn finish(self) {
        assert_eq!(files(self.folder), self.seen);
    }
}

/// The names of a folder's files.
fn files(folder: &str) -> BTreeSet<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(folder);
    let names = std::fs::read_dir(folder).unwrap();
    let names = names.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn request() -> RequestId {
    RequestId {
        session: SessionId::new(21),
        sequence: 22,
        answered_below: 20,
    }
}

fn label() -> Label {
    Label {
        level: 2,
        compartments: [3, 5].into(),
        releasability: [7].into(),
    }
}

fn disk() -> Disk {
    Disk {
        id: DiskId::new(4),
        node: NodeId::new(1),
        class: DiskClass::Flash,
    }
}

fn group() -> Group {
    let member = |disk| Member {
        disk: DiskId::new(disk),
        joined: Epoch(1),
    };
    plan::group(GroupId::new(11), profile(), (1..=6).map(member).collect())
}

fn written_run() -> WrittenRun {
    WrittenRun {
        lease: LeaseId::new(31),
        group: GroupId::new(11),
        epoch: Epoch(3),
        first_chunk: ChunkId::new(0x1_0001),
        chunks: 2,
        first_index: 0,
        missing: vec![Slot(4)],
    }
}

fn commit(place: CommittedPlace) -> Commit {
    Commit {
        request: request(),
        bucket: BucketId::new(41),
        key: key("a\0key/ä"),
        version: VersionId::new([0x51; 16]),
        length: ByteCount::new(5_000_000),
        kek_version: 1,
        attributes: Bytes::from_static(b"sealed"),
        blob: BlobId::new(61),
        wrap: Bytes::from_static(b"wrap"),
        wrap_expires_ms: 70_000,
        place,
        tags: None,
        expected: None,
    }
}

fn sealed_tags() -> SealedTags {
    SealedTags {
        count: 2,
        sealed: Bytes::from_static(b"sealed tags"),
    }
}

fn copied() -> Copied {
    Copied {
        bucket: BucketId::new(42),
        key: key("source"),
        version: VersionId::new([0x52; 16]),
    }
}

fn copy_object(manifest: Option<CopiedManifest>) -> CopyObject {
    CopyObject {
        request: request(),
        source: copied(),
        bucket: BucketId::new(41),
        key: key("a\0key/ä"),
        version: VersionId::new([0x51; 16]),
        kek_version: 1,
        attributes: Bytes::from_static(b"sealed"),
        tags: None,
        expected: None,
        wraps: vec![Bytes::from_static(b"wrap")],
        manifest,
    }
}

fn copy_part() -> CopyPart {
    CopyPart {
        request: request(),
        source: copied(),
        first: ByteOffset::new(7),
        length: ByteCount::new(5_000_000),
        bucket: BucketId::new(41),
        key: key("a\0key/ä"),
        upload: VersionId::new([0x51; 16]),
        number: 3,
        kek_version: 1,
        sealed: Bytes::from_static(b"sealed part"),
        wraps: vec![Bytes::from_static(b"wrap"); 2],
    }
}

/// Conditional writes, tags and copies.
fn later_commands() -> Vec<(&'static str, NamespaceCommand)> {
    use NamespaceCommand as N;
    let (bucket, version) = (BucketId::new(41), VersionId::new([0x51; 16]));
    let sealed = Bytes::from_static(b"sealed segment");
    let mut tagged = commit(CommittedPlace::Inline { sealed });
    tagged.tags = Some(sealed_tags());
    tagged.expected = Some(Expected::Absent);
    let delete = Delete {
        request: request(),
        bucket,
        key: key("a\0key/ä"),
        expected: Some(Expected::Version(version)),
    };
    let set_tags = SetTags {
        request: request(),
        bucket,
        key: key("a\0key/ä"),
        version,
        kek_version: 1,
        tags: Some(sealed_tags()),
    };
    let set_bucket_tags = SetBucketTags {
        request: request(),
        bucket,
        kek_version: 1,
        sealed: Some(Bytes::from_static(b"sealed tags")),
    };
    let mut tagged_copy = copy_object(None);
    tagged_copy.tags = Some(sealed_tags());
    tagged_copy.expected = Some(Expected::Version(version));
    let parts = CopiedManifest {
        parts: vec![Bytes::from_static(b"sealed part"); 2],
        macs: vec![Bytes::from_static(b"mac")],
    };
    vec![
        ("commit tagged if absent", N::Commit(tagged)),
        ("delete object if version", N::DeleteObject(delete)),
        ("set tags", N::SetTags(set_tags)),
        ("set bucket tags", N::SetBucketTags(set_bucket_tags)),
        ("copy object", N::CopyObject(copy_object(None))),
        ("copy object tagged", N::CopyObject(tagged_copy)),
        (
            "copy object of parts",
            N::CopyObject(copy_object(Some(parts))),
        ),
        ("copy part", N::CopyPart(copy_part())),
    ]
}

fn bucket() -> Bucket {
    Bucket {
        id: BucketId::new(41),
        tenant: TenantId::new(1),
        owner: "owner".to_owned(),
        name: bucket_name("bucket"),
        label: label(),
        profile: profile(),
        created: WallTime(1_700_000_000_000),
    }
}

fn make_bucket() -> MakeBucket {
    MakeBucket {
        request: CreateBucket {
            request: request(),
            tenant: TenantId::new(1),
            owner: "owner".to_owned(),
            name: bucket_name("bucket"),
            label: label(),
            profile: Some(profile()),
        },
        bucket: BucketId::new(41),
        default_profile: profile(),
        kek_version: 1,
    }
}

fn cluster_commands() -> Vec<(&'static str, ClusterCommand)> {
    use ClusterCommand as C;
    let (bucket, wrapped) = (BucketId::new(41), Bytes::from_static(b"kek"));
    let groups = vec![group()];
    vec![
        ("admit node", C::AdmitNode),
        ("reserve disk id", C::ReserveDiskId),
        ("admit disk", C::AdmitDisk { disk: disk() }),
        ("reserve group ids", C::ReserveGroupIds { count: 102 }),
        (
            "create groups",
            C::CreateGroups {
                groups,
                completes: Some(profile()),
            },
        ),
        ("destroy keks", C::DestroyKeks { bucket }),
        (
            "install kek",
            C::InstallKek {
                bucket,
                version: 1,
                wrapped,
            },
        ),
    ]
}

fn key_info() -> KeyInfo {
    KeyInfo {
        id: "SRGOLDEN".to_owned(),
        user: "user".to_owned(),
        label: label(),
        state: KeyState::Active,
        created: WallTime(1_700_000_000_000),
    }
}

fn user() -> User {
    User {
        name: "user".to_owned(),
        id: "ab".repeat(32),
        tenant: TenantId::new(1),
        created: WallTime(1_700_000_000_000),
    }
}

fn account_commands() -> Vec<(&'static str, ClusterCommand)> {
    use ClusterCommand as C;
    let (
        User {
            name, id, tenant, ..
        },
        key,
    ) = (user(), key_info());
    let (user, user_id) = (name.clone(), id.clone());
    let secret = Bytes::from_static(b"sealed secret");
    let state = |state| C::SetKeyState {
        id: key_info().id,
        state,
    };
    vec![
        (
            "add user",
            C::AddUser {
                name: name.clone(),
                id: id.clone(),
                tenant,
            },
        ),
        ("remove user", C::RemoveUser { name, id }),
        ("enable key", state(KeyState::Active)),
        ("disable key", state(KeyState::Disabled)),
        ("remove key", C::RemoveKey { id: key.id.clone() }),
        (
            "add key",
            C::AddKey {
                id: key.id,
                user,
                user_id,
                label: key.label,
                secret,
            },
        ),
    ]
}

fn namespace_commands() -> Vec<(&'static str, NamespaceCommand)> {
    use NamespaceCommand as N;
    let (session, lease) = (SessionId::new(21), LeaseId::new(31));
    let (group, epoch, slots) = (GroupId::new(11), Epoch(3), vec![Slot(0), Slot(5)]);
    let bucket = BucketId::new(41);
    let sealed = Bytes::from_static(b"sealed segment");
    let runs = CommittedPlace::Runs {
        profile: profile(),
        runs: vec![written_run()],
    };
    let delete = Delete {
        request: request(),
        bucket,
        key: key("a\0key/ä"),
        expected: None,
    };
    let learnt = LearntGroup {
        group,
        epoch,
        profile: profile(),
    };
    vec![
        (
            "open session",
            N::OpenSession {
                gateway: NodeId::new(1),
            },
        ),
        ("renew session", N::RenewSession { session }),
        ("open lease", N::OpenLease { session }),
        ("close lease", N::CloseLease { session, lease }),
        ("reserve blob ids", N::ReserveBlobIds { count: 4096 }),
        ("reserve bucket id", N::ReserveBucketId),
        ("retire bucket id", N::RetireBucketId { bucket }),
        ("forget bucket id", N::ForgetBucketId { bucket }),
        (
            "learn groups",
            N::LearnGroups {
                groups: vec![learnt],
            },
        ),
        (
            "raise epoch",
            N::RaiseEpoch {
                group,
                epoch,
                slots,
            },
        ),
        ("make bucket", N::MakeBucket(make_bucket())),
        (
            "delete bucket",
            N::DeleteBucket(DeleteBucket {
                request: request(),
                bucket,
            }),
        ),
        (
            "change owner",
            N::ChangeOwner {
                bucket,
                from: "from".to_owned(),
                to: "to".to_owned(),
            },
        ),
        (
            "commit inline",
            N::Commit(commit(CommittedPlace::Inline { sealed })),
        ),
        ("commit runs", N::Commit(commit(runs))),
        ("delete object", N::DeleteObject(delete)),
    ]
}

#[test]
fn commands_are_readable_for_ever() {
    let mut golden = Samples::of("command");
    let mut check = |name: &str, command| {
        let wall = WallTime(1_700_000_000_000);
        golden.check(name, &Proposal { wall, command });
    };
    let (from_ms, elapsed_ms) = (1000, 1001);
    check(
        "tick",
        Command::Tick(Tick {
            from_ms,
            elapsed_ms,
        }),
    );
    check("raise", Command::Raise(Raise { level: 2 }));
    check("audit", Command::Audit);
    check(
        "release deletions",
        Command::Namespace(NamespaceCommand::ReleaseDeletions),
    );
    let of_cluster = cluster_commands().into_iter().chain(account_commands());
    for (name, command) in of_cluster.chain(joining::commands()) {
        check(name, Command::Cluster(command));
    }
    for (name, command) in namespace_commands().into_iter().chain(later_commands()) {
        check(name, Command::Namespace(command));
    }
    for (name, command) in uploads::commands().into_iter().chain(usage::commands()) {
        check(name, Command::Namespace(command));
    }
    for (name, command) in upkeep::commands() {
        check(name, command);
    }
    golden.finish();
}

fn replies() -> Vec<(&'static str, Reply)> {
    let session = Session {
        id: SessionId::new(21),
        ttl_ms: 60_000,
    };
    let lease = WriteLease {
        id: LeaseId::new(31),
        first: ChunkId::new(0x1_0001),
        count: 65_536,
        opens_for_ms: 600_000,
        ttl_ms: 60_000,
    };
    vec![
        ("done", Reply::Done),
        ("time", Reply::Time { now_ms: 2001 }),
        ("node", Reply::Node(NodeId::new(1))),
        ("disk", Reply::Disk(DiskId::new(4))),
        ("ids", Reply::Ids { first: 7, count: 3 }),
        ("session", Reply::Session(session)),
        ("lease", Reply::Lease(lease)),
        ("bucket", Reply::Bucket(bucket())),
        ("user", Reply::User(user())),
        ("key", Reply::Key(key_info())),
        (
            "committed",
            Reply::Committed {
                modified: WallTime(5),
            },
        ),
    ]
}

fn refusals() -> Vec<(&'static str, Refusal)> {
    use Refusal as R;
    let current = Epoch(3);
    vec![
        ("time moved", R::TimeMoved { now_ms: 2001 }),
        ("id not reserved", R::IdNotReserved),
        ("bad group", R::BadGroup),
        ("kek exists", R::KekExists),
        ("ids exhausted", R::IdsExhausted),
        ("too large", R::TooLarge),
        ("session expired", R::SessionExpired),
        ("answer forgotten", R::AnswerForgotten),
        ("too many unanswered", R::TooManyUnanswered),
        ("number used", R::NumberUsed),
        ("no such bucket", R::NoSuchBucket),
        (
            "bucket exists",
            R::BucketExists {
                owner: "owner".to_owned(),
            },
        ),
        ("bucket not empty", R::BucketNotEmpty),
        ("too many leases", R::TooManyLeases),
        ("lease invalid", R::LeaseInvalid),
        ("run overlaps", R::RunOverlaps),
        ("bad runs", R::BadRuns),
        ("unknown group", R::UnknownGroup),
        ("epoch ahead", R::EpochAhead { current }),
        ("too few remain", R::TooFewRemain),
        ("epoch not raised", R::EpochNotRaised { current }),
        ("wrap expired", R::WrapExpired),
        ("kek retired", R::KekRetired),
        ("version exists", R::VersionExists),
        ("blob not fresh", R::BlobNotFresh),
        ("bad inline", R::BadInline),
        ("user exists", R::UserExists),
        ("no such user", R::NoSuchUser),
        ("user in use", R::UserInUse),
        ("key exists", R::KeyExists),
        ("no such key", R::NoSuchKey),
        ("owner changed", R::OwnerChanged),
        ("head moved", R::HeadMoved),
        ("no such object", R::NoSuchObject),
        ("source changed", R::SourceChanged),
        ("not shareable", R::NotShareable),
        ("bad copy", R::BadCopy),
        ("level too low", R::LevelTooLow),
        ("deletions held", R::DeletionsHeld),
    ]
}

#[test]
fn replies_are_readable_for_ever() {
    let mut golden = Samples::of("reply");
    for (name, reply) in replies() {
        golden.check(name, &reply);
    }
    golden.check("walked", &upkeep::walked());
    for (name, reply) in joining::replies().into_iter().chain(usage::replies()) {
        golden.check(name, &reply);
    }
    let later = uploads::refusals().into_iter().chain(upkeep::refusals());
    for (name, refusal) in refusals().into_iter().chain(later) {
        let name = format!("refused {name}");
        golden.check(&name, &Reply::Refused(refusal));
    }
    golden.finish();
}

/// A request that is sent again after an upgrade is still known to be the same.
#[test]
fn digests_of_requests_stay_the_same() {
    let mut golden = Samples::of("asked");
    let sealed = Bytes::from_static(b"sealed segment");
    let bucket = BucketId::new(41);
    let delete_bucket = DeleteBucket {
        request: request(),
        bucket,
    };
    let delete_object = Delete {
        request: request(),
        bucket,
        key: key("a\0key/ä"),
        expected: None,
    };
    for (name, asked) in [
        (
            "create bucket",
            Asked::create_bucket(&make_bucket().request),
        ),
        ("delete bucket", Asked::delete_bucket(&delete_bucket)),
        (
            "commit",
            Asked::commit(&commit(CommittedPlace::Inline { sealed })),
        ),
        ("delete object", Asked::delete_object(&delete_object)),
        ("set tags", Asked::set_tags(bucket, &key("a\0key/ä"))),
        ("set bucket tags", Asked::set_bucket_tags(bucket)),
        (
            "copy object",
            Asked::copy_object(
                &copied(),
                bucket,
                &key("a\0key/ä"),
                VersionId::new([0x51; 16]),
            ),
        ),
        ("copy part", Asked::copy_part(&copy_part())),
    ] {
        golden.compare(&format!("{name}.bin"), asked.as_bytes());
    }
    for (name, asked) in uploads::asked() {
        golden.compare(&format!("{name}.bin"), asked.as_bytes());
    }
    golden.finish();
}

#[test]
fn rows_are_readable_for_ever() {
    let mut golden = Samples::of("row");
    let (session, blob, bucket_id) = (SessionId::new(21), BlobId::new(61), BucketId::new(41));
    let (group_id, chunk, epoch) = (GroupId::new(11), ChunkId::new(0x1_0001), Epoch(3));
    let version = VersionId::new([0x51; 16]);
    let g = &mut golden;
    g.check_row("cluster counter", &CLUSTER_COUNTERS, &ClusterId::Node, &2);
    g.check_row(
        "cluster counter disk",
        &CLUSTER_COUNTERS,
        &ClusterId::Disk,
        &2,
    );
    g.check_row(
        "cluster counter group",
        &CLUSTER_COUNTERS,
        &ClusterId::Group,
        &2,
    );
    let node = NodeRow {
        admitted: WallTime(1_700_000_000_000),
        role: None,
        address: None,
        removed: None,
    };
    g.check_row("node", &NODES, &NodeId::new(1), &node);
    g.check_row("disk", &DISKS, &DiskId::new(4), &disk());
    g.check_row("group", &GROUPS, &group_id, &group());
    g.check_row("group table version", &GROUP_TABLE_VERSION, &(), &7);
    let completed = WallTime(1_700_000_000_000);
    g.check_row("layout", &LAYOUTS, &profile(), &LayoutRow { completed });
    let wrapped = Bytes::from_static(b"kek");
    g.check_row("kek", &KEKS, &(bucket_id, 1), &KekRow { wrapped });
    let name = user().name;
    g.check_row("user", &USERS, &name, &UserRow { user: user() });
    let key_id = key_info().id;
    let held = AccessKeyRow::Held {
        key: key_info(),
        secret: Bytes::from_static(b"sealed secret"),
    };
    g.check_row("access key", &ACCESS_KEYS, &key_id, &held);
    let at = WallTime(1_700_000_000_000);
    let removed = AccessKeyRow::Removed { at };
    g.check_row("access key removed", &ACCESS_KEYS, &key_id, &removed);
    g.check_row("user key", &USER_KEYS, &(name, key_id.clone()), &key_id);

    g.check_row("clock", &CLOCK, &(), &ClockRow { now_ms: 2001 });
    for (name, id) in [
        ("session", NamespaceId::Session),
        ("lease", NamespaceId::Lease),
        ("chunk", NamespaceId::Chunk),
        ("blob", NamespaceId::Blob),
        ("bucket", NamespaceId::Bucket),
    ] {
        g.check_row(
            &format!("namespace counter {name}"),
            &NAMESPACE_COUNTERS,
            &id,
            &300,
        );
    }
    g.check_row("revision", &REVISION, &(), &9);
    let row = SessionRow {
        gateway: NodeId::new(1),
        expires_ms: 62_001,
        answered_below: 20,
        forgotten_below: 0,
    };
    g.check_row("session", &SESSIONS, &session, &row);
    let forgot = SessionRow {
        forgotten_below: 19,
        ..row
    };
    g.check_row("session that forgot", &SESSIONS, &session, &forgot);
    g.check_row(
        "session expiry",
        &SESSION_EXPIRY,
        &(62_001, session),
        &session,
    );
    let gateway = (NodeId::new(1), session);
    g.check_row("gateway session", &GATEWAY_SESSIONS, &gateway, &session);
    let row = ReplyRow {
        asked: Asked::new([0x71; 32]),
        reply: Reply::Done,
    };
    g.check_row("reply", &REPLIES, &(session, 22), &row);
    let row = LeaseRow {
        first: chunk,
        count: 65_536,
        opened_ms: 2001,
    };
    g.check_row("lease", &LEASES, &(session, LeaseId::new(31)), &row);
    let row = BucketRow {
        bucket: bucket(),
        kek_version: 1,
        live_keks: vec![1],
        born: 9,
    };
    g.check_row("bucket", &BUCKETS, &bucket_id, &row);
    let reserved = BucketIdRow::Reserved { since_ms: 2001 };
    g.check_row("bucket id reserved", &BUCKET_IDS, &bucket_id, &reserved);
    let retired = BucketIdRow::Retired;
    g.check_row("bucket id retired", &BUCKET_IDS, &bucket_id, &retired);
    let name = (bucket_name("bucket"), label().digest());
    g.check_row("bucket name", &BUCKET_NAMES, &name, &bucket_id);
    let extent = ExtentRow {
        blob,
        offset: ByteOffset::ZERO,
        length: ByteCount::new(5_000_000),
        part: 0,
        wrap: Bytes::from_static(b"wrap"),
    };
    let row = HeadRow {
        version,
        born: 9,
        modified: WallTime(1_700_000_000_000),
        length: ByteCount::new(5_000_000),
        attributes: Bytes::from_static(b"sealed"),
        extents: vec![extent],
        manifest: None,
        tag_count: 0,
    };
    g.check_row("head", &HEADS, &(bucket_id, key("a\0key/ä")), &row);
    let row = HeadRow {
        tag_count: 2,
        ..row
    };
    g.check_row("head tagged", &HEADS, &(bucket_id, key("a\0key/ä")), &row);
    let tags = Bytes::from_static(b"sealed tags");
    g.check_row("tags", &TAGS, &version, &tags);
    g.check_row("bucket tags", &BUCKET_TAGS, &bucket_id, &tags);
    let row = VersionRow {
        born: 9,
        superseded: Some(10),
        ..VersionRow::default()
    };
    g.check_row("version", &VERSIONS, &version, &row);
    let run = Run {
        group: group_id,
        first_chunk: chunk,
        chunks: 2,
        first_index: 0,
        missing: vec![Slot(4)],
    };
    let place = BlobPlace::Runs {
        profile: profile(),
        runs: vec![run],
    };
    for (name, place) in [("blob inline", BlobPlace::Inline), ("blob runs", place)] {
        let row = BlobRow {
            length: ByteCount::new(5_000_000),
            references: 1,
            generation: 1,
            place,
            condemned: None,
        };
        g.check_row(name, &BLOBS, &blob, &row);
    }
    g.check_row(
        "inline",
        &INLINE,
        &blob,
        &Bytes::from_static(b"sealed segment"),
    );
    let row = GroupRunRow {
        first: chunk,
        blob,
        condemned: false,
    };
    g.check_row("group run", &GROUP_RUNS, &(group_id, chunk.plus(1)), &row);
    let row = GroupEpochRow {
        epoch,
        profile: profile(),
        changed: vec![epoch; 6],
    };
    g.check_row("group epoch", &GROUP_EPOCHS, &group_id, &row);
    let row = RepairRow {
        chunks: 2,
        blob,
        born: 9,
    };
    g.check_row("repair", &REPAIRS, &(group_id, chunk, Slot(4)), &row);
    g.check_row(
        "reclaim",
        &RECLAIMS,
        &(2001, blob),
        &ReclaimRow { born: 10 },
    );
    g.check_row("level", &LEVEL, &(), &2);
    g.check_row("namespace level", &NAMESPACE_LEVEL, &(), &2);
    g.check_row("incarnation", &INCARNATION, &(), &1);
    g.check_row("namespace incarnation", &NAMESPACE_INCARNATION, &(), &1);
    let since = WallTime(1_700_000_000_000);
    g.check_row("hold", &HOLD, &(), &HoldRow { since, entry: 12 });
    uploads::rows(&mut golden);
    upkeep::rows(&mut golden);
    joining::rows(&mut golden);
    usage::rows(&mut golden);
    golden.finish();
}

/// Every table that a working machine fills has a golden row.
#[test]
fn no_table_is_without_a_golden_row() {
    let mut world = World::new();
    world.machine.tick(5);
    let mut chunked = world.chunked("chunked", 1);
    crate::fixture::run_of(&mut chunked).missing = vec![Slot(0)];
    let mut inline = world.inline("chunked", 1);
    inline.tags = Some(sealed_tags());
    for commit in [chunked, inline] {
        assert!(matches!(world.commit(&commit), Reply::Committed { .. }));
    }
    let install = ClusterCommand::InstallKek {
        bucket: world.bucket,
        version: 1,
        wrapped: Bytes::new(),
    };
    world.machine.cluster(install);
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/row");
    let table_of = |file| std::fs::read_to_string(folder.join(file)).unwrap()[..2].to_owned();
    let prefixes: BTreeSet<String> = files("row").into_iter().map(table_of).collect();
    for row in world.machine.store.rows() {
        let table = hex::encode(&row.unwrap().0[..1]);
        assert!(prefixes.contains(&table), "table {table}");
    }
}
