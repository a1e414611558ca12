//! `apply` under commands whose numbers lie at the ends of their ranges.

use crate::fixture::{World, bucket_name, key, profile};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;
use strongroom_metadata::command::{
    ClusterCommand, Command, Commit, CommitPart, CommittedPlace, CompleteUpload, Copied,
    CopyObject, CopyPart, CreateUpload, Delete, Expected, LearntGroup, MakeBucket, MemberSwap,
    NamespaceCommand, SealedTags, SetTags, Tick,
};
use strongroom_metadata::list::{MAX_ENTRIES, page};
use strongroom_metadata::locate::locate;
use strongroom_metadata::plan;
use strongroom_metadata::tables::SweepKind;
use types::Label;
use types::block::SEAL_OVERHEAD;
use types::id::{
    BlobId, BucketId, ChunkId, DiskId, GroupId, LeaseId, NodeId, RequestId, SessionId, TenantId,
    VersionId,
};
use types::placement::{Disk, Epoch, Member, Slot};
use types::profile::DiskClass;
use types::size::{ByteCount, ByteOffset};
use types::wire::members::ServerRole;
use types::wire::metadata::{
    AbortUpload, CreateBucket, DeleteBucket, List, Lookup, Wanted, WrittenRun,
};
use types::wire::upkeep::{Repaired, RunSlot};
use types::wire::usage::{Holder, Limit, QuotaChange};

/// The ends of 64 bits and of what fits in 32 and 48; and small numbers, which are ids of what a world
/// has.
fn number() -> impl Strategy<Value = u64> {
    let ends = vec![
        0,
        4096,
        u64::from(u32::MAX),
        types::id::MAX_COUNTER,
        u64::MAX - 1,
        u64::MAX,
    ];
    prop_oneof![3 => 1..4_u64, 2 => select(ends)]
}

fn short_number() -> impl Strategy<Value = u32> {
    prop_oneof![3 => 0..4_u32, 1 => select(vec![u32::MAX - 1, u32::MAX])]
}

fn slots() -> impl Strategy<Value = Vec<Slot>> {
    let slot = prop_oneof![2 => 0..6_u8, 1 => select(vec![6, 24, u8::MAX])];
    prop::collection::vec(slot.prop_map(Slot), 0..4)
}

fn request() -> impl Strategy<Value = RequestId> {
    let numbers = (number(), number(), number());
    numbers.prop_map(|(session, sequence, answered_below)| RequestId {
        session: SessionId::new(session),
        sequence,
        answered_below,
    })
}

fn run() -> impl Strategy<Value = WrittenRun> {
    let ids = (number(), number(), number(), number(), number());
    (ids, short_number(), slots()).prop_map(|(ids, chunks, missing)| WrittenRun {
        lease: LeaseId::new(ids.0),
        group: GroupId::new(ids.1),
        epoch: Epoch(ids.2),
        first_chunk: ChunkId::new(ids.3),
        chunks,
        first_index: ids.4,
        missing,
    })
}

fn place() -> impl Strategy<Value = CommittedPlace> {
    let inline = (0..3_usize).prop_map(|length| CommittedPlace::Inline {
        sealed: vec![7; length + SEAL_OVERHEAD].into(),
    });
    let runs = prop::collection::vec(run(), 0..3).prop_map(|runs| CommittedPlace::Runs {
        profile: profile(),
        runs,
    });
    prop_oneof![inline, runs]
}

fn commit() -> impl Strategy<Value = Commit> {
    let numbers = (number(), number(), number(), number(), short_number());
    (request(), numbers, any::<u8>(), place()).prop_map(|(request, numbers, version, place)| {
        Commit {
            request,
            bucket: BucketId::new(numbers.0),
            key: key("object"),
            version: VersionId::new([version; 16]),
            length: ByteCount::new(numbers.1),
            kek_version: numbers.4,
            attributes: Bytes::from_static(b"sealed attributes"),
            blob: BlobId::new(numbers.2),
            wrap: Bytes::from_static(b"wrap"),
            wrap_expires_ms: numbers.3,
            place,
            tags: None,
            expected: None,
        }
    })
}

/// What a world may show under the one key, or nothing.
fn expected() -> impl Strategy<Value = Option<Expected>> {
    let version = any::<u8>().prop_map(|byte| Expected::Version(VersionId::new([byte; 16])));
    prop::option::of(prop_oneof![Just(Expected::Absent), version])
}

fn sealed_tags() -> impl Strategy<Value = Option<SealedTags>> {
    let tags = short_number().prop_map(|count| SealedTags {
        count,
        sealed: Bytes::from_static(b"sealed tags"),
    });
    prop::option::of(tags)
}

fn set_tags() -> impl Strategy<Value = SetTags> {
    let ids = (number(), any::<u8>(), short_number());
    (request(), ids, sealed_tags()).prop_map(|(request, ids, tags)| SetTags {
        request,
        bucket: BucketId::new(ids.0),
        key: key("object"),
        version: VersionId::new([ids.1; 16]),
        kek_version: ids.2,
        tags,
    })
}

fn copied() -> impl Strategy<Value = Copied> {
    (number(), any::<u8>()).prop_map(|(bucket, version)| Copied {
        bucket: BucketId::new(bucket),
        key: key("object"),
        version: VersionId::new([version; 16]),
    })
}

fn copy_part() -> impl Strategy<Value = CopyPart> {
    let ids = (
        number(),
        any::<u8>(),
        short_number(),
        short_number(),
        0..3_usize,
    );
    (request(), copied(), ids, number(), number()).prop_map(
        |(request, source, ids, first, length)| CopyPart {
            request,
            source,
            first: ByteOffset::new(first),
            length: ByteCount::new(length),
            bucket: BucketId::new(ids.0),
            key: key("object"),
            upload: VersionId::new([ids.1; 16]),
            number: ids.2,
            kek_version: ids.3,
            sealed: Bytes::from_static(b"sealed part"),
            wraps: vec![Bytes::from_static(b"wrap"); ids.4],
        },
    )
}

fn copy_object() -> impl Strategy<Value = CopyObject> {
    let ids = (number(), any::<u8>(), short_number(), 0..3_usize);
    (request(), copied(), ids, sealed_tags(), expected()).prop_map(
        |(request, source, ids, tags, expected)| CopyObject {
            request,
            source,
            bucket: BucketId::new(ids.0),
            key: key("object"),
            version: VersionId::new([ids.1; 16]),
            kek_version: ids.2,
            attributes: Bytes::from_static(b"sealed attributes"),
            tags,
            expected,
            wraps: vec![Bytes::from_static(b"wrap"); ids.3],
            manifest: None,
        },
    )
}

fn make_bucket() -> impl Strategy<Value = MakeBucket> {
    (request(), number(), short_number()).prop_map(|(request, bucket, kek_version)| MakeBucket {
        request: CreateBucket {
            request,
            tenant: TenantId::new(u64::MAX),
            owner: String::new(),
            name: bucket_name("another"),
            label: Label::default(),
            profile: None,
        },
        bucket: BucketId::new(bucket),
        default_profile: profile(),
        kek_version,
    })
}

fn group_command() -> impl Strategy<Value = ClusterCommand> {
    (number(), number()).prop_map(|(id, first)| {
        let member = |number: u64| Member {
            disk: DiskId::new(first.wrapping_add(number)),
            joined: Epoch(1),
        };
        let members = (0..6).map(member).collect();
        ClusterCommand::CreateGroups {
            groups: vec![plan::group(GroupId::new(id), profile(), members)],
            completes: None,
        }
    })
}

fn cluster() -> impl Strategy<Value = ClusterCommand> {
    use ClusterCommand as C;
    prop_oneof![
        Just(C::AdmitNode),
        Just(C::ReserveDiskId),
        (number(), number()).prop_map(|(disk, node)| C::AdmitDisk {
            disk: Disk {
                id: DiskId::new(disk),
                node: NodeId::new(node),
                class: DiskClass::Flash,
            },
        }),
        short_number().prop_map(|count| C::ReserveGroupIds { count }),
        number().prop_map(|lifetime_ms| C::AddToken {
            role: ServerRole::Storage,
            lifetime_ms,
        }),
        number().prop_map(|token| C::UseToken {
            token,
            key: [1; 32],
            address: None,
        }),
        number().prop_map(|token| C::RemoveToken { token }),
        number().prop_map(|node| C::RemoveNode {
            node: NodeId::new(node),
        }),
        group_command(),
        (number(), short_number()).prop_map(|(bucket, version)| C::InstallKek {
            bucket: BucketId::new(bucket),
            version,
            wrapped: Bytes::new(),
        }),
        number().prop_map(|bucket| C::DestroyKeks {
            bucket: BucketId::new(bucket),
        }),
    ]
}

fn upload_command() -> impl Strategy<Value = NamespaceCommand> {
    use NamespaceCommand as N;
    let version = || (0..3_u8).prop_map(|version| VersionId::new([version; 16]));
    let create = (request(), version()).prop_map(|(request, upload)| {
        N::CreateUpload(CreateUpload {
            request,
            bucket: BucketId::new(1),
            key: key("object"),
            upload,
            kek_version: 1,
            sealed: Bytes::from_static(b"sealed upload"),
            tags: None,
        })
    });
    let numbers = (number(), number(), number(), short_number());
    let part = (request(), numbers, version(), place());
    let part = part.prop_map(|(request, numbers, upload, place)| {
        N::CommitPart(CommitPart {
            request,
            bucket: BucketId::new(1),
            key: key("object"),
            upload,
            number: numbers.3,
            length: ByteCount::new(numbers.0),
            kek_version: 1,
            sealed: Bytes::from_static(b"sealed part"),
            blob: BlobId::new(numbers.1),
            wrap: Bytes::from_static(b"wrap"),
            wrap_expires_ms: numbers.2,
            place,
        })
    });
    let parts = prop::collection::vec((short_number(), number()), 0..3);
    let complete = (request(), version(), parts).prop_map(|(request, upload, parts)| {
        N::CompleteUpload(CompleteUpload {
            request,
            bucket: BucketId::new(1),
            key: key("object"),
            upload,
            kek_version: 1,
            attributes: Bytes::from_static(b"sealed attributes"),
            parts,
            macs: vec![Bytes::from_static(b"mac")],
            expected: None,
        })
    });
    let abort = (request(), number(), version()).prop_map(|(request, bucket, upload)| {
        N::AbortUpload(AbortUpload {
            request,
            bucket: BucketId::new(bucket),
            key: key("object"),
            upload,
        })
    });
    let sweep = (any::<bool>(), number(), version());
    let sweep = sweep.prop_map(|(superseded, since_ms, version)| N::Sweep {
        kind: if superseded {
            SweepKind::Superseded
        } else {
            SweepKind::Abandoned
        },
        since_ms,
        version,
    });
    prop_oneof![
        2 => create,
        3 => part,
        2 => complete,
        1 => abort,
        1 => sweep,
        1 => number().prop_map(|began_before_ms| N::ExpireUploads { began_before_ms }),
        1 => number().prop_map(|bucket| N::ClearBucket {
            bucket: BucketId::new(bucket),
        }),
    ]
}

fn run_slots() -> impl Strategy<Value = Vec<RunSlot>> {
    let at = (number(), number(), slots()).prop_map(|(group, chunk, slots)| RunSlot {
        group: GroupId::new(group),
        first_chunk: ChunkId::new(chunk),
        slot: slots.first().copied().unwrap_or(Slot(0)),
    });
    prop::collection::vec(at, 0..4)
}

fn upkeep() -> impl Strategy<Value = NamespaceCommand> {
    use NamespaceCommand as N;
    prop_oneof![
        2 => number().prop_map(|died_before_ms| N::Condemn { died_before_ms }),
        1 => run_slots().prop_map(|slots| N::Deleted { slots }),
        1 => number().prop_map(|died_before_ms| N::Forget { died_before_ms }),
        1 => run_slots().prop_map(|slots| N::RecordMissing { slots }),
        1 => (number(), 0..8_u8, number()).prop_map(|(group, slot, from)| N::RecordSlot {
            group: GroupId::new(group),
            slot: Slot(slot),
            from: ChunkId::new(from),
        }),
        1 => (run_slots(), number()).prop_map(|(slots, epoch)| {
            let epoch = Epoch(epoch);
            let done = slots.into_iter().map(|at| Repaired { at, epoch }).collect();
            N::ClearRepairs { done }
        }),
    ]
}

fn usage() -> impl Strategy<Value = NamespaceCommand> {
    use NamespaceCommand as N;
    let limit = || {
        prop_oneof![
            Just(Limit::Keep),
            Just(Limit::Unlimited),
            number().prop_map(Limit::AtMost)
        ]
    };
    let holder = prop_oneof![
        number().prop_map(|id| Holder::Bucket(BucketId::new(id))),
        number().prop_map(|id| Holder::Tenant(TenantId::new(id))),
    ];
    let change = (limit(), limit()).prop_map(|(bytes, objects)| QuotaChange { bytes, objects });
    prop_oneof![
        1 => Just(N::KeepUsage),
        1 => short_number().prop_map(|rows| N::CountUsage { rows }),
        2 => (holder, change).prop_map(|(holder, change)| N::SetQuota { holder, change }),
    ]
}

fn replacement() -> impl Strategy<Value = ClusterCommand> {
    use ClusterCommand as C;
    let swap = (number(), 0..8_u8, number(), number()).prop_map(|(group, slot, expects, epoch)| {
        MemberSwap {
            group: GroupId::new(group),
            slot: Slot(slot),
            expects: Epoch(expects),
            epoch: Epoch(epoch),
        }
    });
    let id = || number().prop_map(DiskId::new);
    prop_oneof![
        (id(), id()).prop_map(|(lost, id)| C::BeginReplacement {
            lost,
            new: Disk {
                id,
                node: NodeId::new(1),
                class: DiskClass::Flash
            },
        }),
        (id(), prop::collection::vec(swap, 0..3))
            .prop_map(|(lost, swaps)| C::SwapMembers { lost, swaps }),
        id().prop_map(|lost| C::EndReplacement { lost }),
    ]
}

fn namespace() -> impl Strategy<Value = NamespaceCommand> {
    use NamespaceCommand as N;
    let session = || number().prop_map(SessionId::new);
    let bucket = || number().prop_map(BucketId::new);
    prop_oneof![
        4 => commit().prop_map(N::Commit),
        1 => set_tags().prop_map(N::SetTags),
        1 => copy_object().prop_map(N::CopyObject),
        1 => copy_part().prop_map(N::CopyPart),
        1 => make_bucket().prop_map(N::MakeBucket),
        1 => (request(), bucket())
            .prop_map(|(request, bucket)| N::DeleteBucket(DeleteBucket { request, bucket })),
        1 => (request(), bucket()).prop_map(|(request, bucket)| {
            let (key, expected) = (key("object"), None);
            N::DeleteObject(Delete { request, bucket, key, expected })
        }),
        2 => upload_command(),
        1 => number().prop_map(|node| N::OpenSession { gateway: NodeId::new(node) }),
        1 => session().prop_map(|session| N::RenewSession { session }),
        1 => session().prop_map(|session| N::OpenLease { session }),
        1 => (session(), number()).prop_map(|(session, lease)| N::CloseLease {
            session,
            lease: LeaseId::new(lease),
        }),
        1 => short_number().prop_map(|count| N::ReserveBlobIds { count }),
        1 => Just(N::ReserveBucketId),
        1 => bucket().prop_map(|bucket| N::RetireBucketId { bucket }),
        1 => bucket().prop_map(|bucket| N::ForgetBucketId { bucket }),
        1 => (number(), number()).prop_map(|(group, epoch)| N::LearnGroups {
            groups: vec![LearntGroup {
                group: GroupId::new(group),
                epoch: Epoch(epoch),
                profile: profile(),
            }],
        }),
        4 => upkeep(),
        2 => usage(),
        1 => (number(), number(), slots()).prop_map(|(group, epoch, slots)| N::RaiseEpoch {
            group: GroupId::new(group),
            epoch: Epoch(epoch),
            slots,
        }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let tick = (number(), number()).prop_map(|(from_ms, elapsed_ms)| {
        Command::Tick(Tick {
            from_ms,
            elapsed_ms,
        })
    });
    prop_oneof![
        1 => tick,
        2 => cluster().prop_map(Command::Cluster),
        1 => replacement().prop_map(Command::Cluster),
        6 => namespace().prop_map(Command::Namespace),
    ]
}

fn lookup() -> impl Strategy<Value = Lookup> {
    let wanted = (number(), number()).prop_flat_map(|(at, count)| {
        let (at, count) = (ByteOffset::new(at), ByteCount::new(count));
        select(vec![
            Wanted::All,
            Wanted::From(at),
            Wanted::Range(at, count),
            Wanted::Last(count),
            Wanted::Part(u32::try_from(count.get()).unwrap_or(u32::MAX)),
        ])
    });
    (number(), wanted).prop_map(|(bucket, wanted)| Lookup {
        bucket: BucketId::new(bucket),
        key: key("object"),
        wanted,
        version: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// No command makes `apply` panic, since it would again at every start; and two servers to which
    /// they came in batches of another size have one digest. Nor does a lookup or a listing.
    #[test]
    fn no_number_is_too_large(
        commands in prop::collection::vec(command(), 1..40),
        lookups in prop::collection::vec(lookup(), 4),
    ) {
        let (one, other) = (World::older(), World::older());
        for world in [&one, &other] {
            world.fresh_blob();
        }
        let replies: Vec<_> = commands
            .iter()
            .map(|command| one.machine.apply(command.clone()))
            .collect();
        prop_assert_eq!(other.machine.apply_all(commands), replies);
        let digest = one.machine.store.digest().unwrap();
        prop_assert_eq!(digest, one.machine.store.running_digest());
        prop_assert_eq!(digest, other.machine.store.digest().unwrap());
        for lookup in lookups {
            locate(&one.machine.store, &lookup).unwrap().ok();
            let list = List {
                bucket: lookup.bucket,
                prefix: String::new(),
                delimiter: None,
                after: Some("\u{10ffff}".to_owned()),
                limit: MAX_ENTRIES,
            };
            page(&one.machine.store, &list).unwrap();
        }
    }
}
