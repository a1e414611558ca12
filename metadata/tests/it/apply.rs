//! The fences of `apply`, one by one.

use crate::fixture::{World, chunk_bytes, close_lease, key, open_lease, open_session, run_of};
use bytes::Bytes;
use strongroom_metadata::apply::{
    MAX_LEASES, MAX_SESSIONS, MAX_TICK_MS, MAX_UNANSWERED, SESSION_TTL_MS,
};
use strongroom_metadata::command::{
    Command, Commit, CommittedPlace, Delete, NamespaceCommand, Tick,
};
use strongroom_metadata::tables::{
    BLOBS, GATEWAY_SESSIONS, GROUP_RUNS, HEADS, LEASES, NAMESPACE_COUNTERS, NamespaceId, RECLAIMS,
    REPAIRS, REPLIES, SESSION_EXPIRY, SESSIONS, TableKey,
};
use strongroom_metadata::{Refusal, Reply, Rows, StoreError};
use types::id::{BlobId, BucketId, ChunkId, GroupId, LeaseId, NodeId};
use types::placement::{Epoch, Slot};
use types::size::ByteCount;
use types::wire::metadata::DeleteBucket;

fn count<T>(rows: impl Iterator<Item = Result<T, StoreError>>) -> usize {
    rows.map(Result::unwrap).count()
}

/// A commit is refused whenever a fence of the design says so, and a refused one leaves nothing behind.
/// Method: a commit that is accepted, with one thing changed at a time.
#[test]
fn each_fence_refuses_and_leaves_nothing() {
    type Spoil = fn(&mut World, &mut Commit);
    type Expected = fn(&Refusal) -> bool;
    let cases: Vec<(&str, Spoil, Expected)> = vec![
        (
            "another session's lease",
            |world, commit| {
                let other = open_session(&world.machine);
                let lease = open_lease(&world.machine, other);
                let run = run_of(commit);
                (run.lease, run.first_chunk) = (lease.id, lease.first);
            },
            |r| *r == Refusal::LeaseInvalid,
        ),
        (
            "a lease that never was",
            |_, commit| {
                run_of(commit).lease = LeaseId::new(99);
            },
            |r| *r == Refusal::LeaseInvalid,
        ),
        (
            "a lease that was closed",
            |world, _| {
                close_lease(&world.machine, world.session, world.lease.id);
            },
            |r| *r == Refusal::LeaseInvalid,
        ),
        (
            "a run before its lease",
            |world, commit| {
                run_of(commit).first_chunk = ChunkId::new(world.lease.first.get() - 1);
            },
            |r| *r == Refusal::LeaseInvalid,
        ),
        (
            "a run past its lease",
            |world, commit| {
                run_of(commit).first_chunk = world.lease.first.plus(world.lease.count - 1);
            },
            |r| *r == Refusal::LeaseInvalid,
        ),
        (
            "a run past 64 bits",
            |_, commit| {
                run_of(commit).first_chunk = ChunkId::new(u64::MAX);
            },
            |r| *r == Refusal::LeaseInvalid,
        ),
        (
            "a run that was committed",
            |world, commit| {
                let mut first = world.chunked("other", 2);
                run_of(&mut first).first_chunk = run_of(commit).first_chunk.plus(1);
                assert!(matches!(world.commit(&first), Reply::Committed { .. }));
            },
            |r| *r == Refusal::RunOverlaps,
        ),
        (
            "the same chunks twice in one commit",
            |_, commit| {
                let CommittedPlace::Runs { runs, .. } = &mut commit.place else {
                    panic!()
                };
                let mut again = runs[0].clone();
                again.first_index = 2;
                again.first_chunk = again.first_chunk.plus(1);
                runs.push(again);
                commit.length = ByteCount::new(4 * chunk_bytes());
            },
            |r| *r == Refusal::RunOverlaps,
        ),
        (
            "too few chunks",
            |_, commit| {
                commit.length = ByteCount::new(2 * chunk_bytes() + 1);
            },
            |r| *r == Refusal::BadRuns,
        ),
        (
            "too many chunks",
            |_, commit| {
                commit.length = ByteCount::new(chunk_bytes());
            },
            |r| *r == Refusal::BadRuns,
        ),
        (
            "a gap",
            |_, commit| {
                run_of(commit).first_index = 1;
            },
            |r| *r == Refusal::BadRuns,
        ),
        (
            "an empty run",
            |_, commit| {
                run_of(commit).chunks = 0;
                commit.length = ByteCount::ZERO;
            },
            |r| *r == Refusal::BadRuns,
        ),
        (
            "a slot that is not there",
            |_, commit| {
                run_of(commit).missing = vec![Slot(6)];
            },
            |r| *r == Refusal::BadRuns,
        ),
        (
            "a group that is not there",
            |_, commit| {
                run_of(commit).group = GroupId::new(9999);
            },
            |r| *r == Refusal::UnknownGroup,
        ),
        (
            "a group of another profile",
            |_, commit| {
                let CommittedPlace::Runs { profile, .. } = &mut commit.place else {
                    panic!()
                };
                *profile = types::Profile::new(4, 1, types::profile::DiskClass::Flash).unwrap();
            },
            |r| *r == Refusal::UnknownGroup,
        ),
        (
            "an epoch that is not yet",
            |_, commit| {
                run_of(commit).epoch = Epoch(2);
            },
            |r| matches!(r, Refusal::EpochAhead { current: Epoch(1) }),
        ),
        (
            "an expired wrap",
            |world, commit| {
                commit.wrap_expires_ms = world.machine.tick(5);
            },
            |r| *r == Refusal::WrapExpired,
        ),
        (
            "a key version that is not live",
            |_, commit| {
                commit.kek_version = 2;
            },
            |r| *r == Refusal::KekRetired,
        ),
        (
            "a version id in use",
            |world, commit| {
                let first = world.inline("other", 1);
                assert!(matches!(world.commit(&first), Reply::Committed { .. }));
                commit.version = first.version;
            },
            |r| *r == Refusal::VersionExists,
        ),
        (
            "a version id that was deleted",
            |world, commit| {
                let first = world.inline("other", 1);
                assert!(matches!(world.commit(&first), Reply::Committed { .. }));
                assert_eq!(world.delete("other"), Reply::Done);
                commit.version = first.version;
            },
            |r| *r == Refusal::VersionExists,
        ),
        (
            "a blob that was committed",
            |world, commit| {
                let first = world.inline("other", 1);
                assert!(matches!(world.commit(&first), Reply::Committed { .. }));
                commit.blob = first.blob;
            },
            |r| *r == Refusal::BlobNotFresh,
        ),
        (
            "a blob that is dead",
            |world, commit| {
                let first = world.inline("other", 1);
                assert!(matches!(world.commit(&first), Reply::Committed { .. }));
                assert_eq!(world.delete("other"), Reply::Done);
                commit.blob = first.blob;
            },
            |r| *r == Refusal::BlobNotFresh,
        ),
        (
            "a blob id that was not handed out",
            |_, commit| {
                commit.blob = BlobId::new(1 << 40);
            },
            |r| *r == Refusal::BlobNotFresh,
        ),
        (
            "inline bytes of another length",
            |_, commit| {
                commit.place = CommittedPlace::Inline {
                    sealed: vec![0; 10].into(),
                };
            },
            |r| *r == Refusal::BadInline,
        ),
        (
            "inline bytes of an object that ends past 64 bits",
            |_, commit| {
                commit.length = ByteCount::new(u64::MAX);
                commit.place = CommittedPlace::Inline {
                    sealed: vec![0; 27].into(),
                };
            },
            |r| *r == Refusal::BadInline,
        ),
        (
            "inline bytes of a large object",
            |_, commit| {
                commit.length = ByteCount::new(4097);
                commit.place = CommittedPlace::Inline {
                    sealed: vec![0; 4097 + 28].into(),
                };
            },
            |r| *r == Refusal::BadInline,
        ),
        (
            "a bucket that is gone",
            |world, commit| {
                let bucket = world.make_bucket("another");
                let request = world.request();
                let delete = DeleteBucket { request, bucket };
                let command = NamespaceCommand::DeleteBucket(delete);
                assert_eq!(world.machine.namespace(command), Reply::Done);
                commit.bucket = bucket;
            },
            |r| *r == Refusal::NoSuchBucket,
        ),
    ];
    for (what, spoil, expected) in cases {
        let mut world = World::new();
        let mut commit = world.chunked("object", 2);
        spoil(&mut world, &mut commit);
        let request = world.request();
        commit.request = request;
        let store = &world.machine.store;
        let before = objects_and_runs(&world);
        match world.commit(&commit) {
            Reply::Refused(refusal) if expected(&refusal) => {}
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(objects_and_runs(&world), before, "{what}");
        assert_eq!(store.digest().unwrap(), store.running_digest(), "{what}");
        let mut good = world.chunked("object", 2);
        run_of(&mut good).first_chunk = world.lease.first.plus(1000);
        let lease_is_gone = what == "a lease that was closed";
        assert_eq!(
            matches!(world.commit(&good), Reply::Committed { .. }),
            !lease_is_gone,
            "{what}"
        );
    }
}

/// All rows but sessions and stored answers.
fn objects_and_runs(world: &World) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bookkeeping = 0x43..=0x46;
    let rows = world.machine.store.rows().map(Result::unwrap);
    rows.filter(|(key, _)| !bookkeeping.contains(&key[0]))
        .collect()
}

/// Slots that were closed or moved since a run was acknowledged become repair work in the commit
/// itself, beside those that the writer knows to be missing.
#[test]
fn slots_moved_since_the_acknowledgement_are_recorded_as_missing() {
    let mut world = World::new();
    let mut before = world.chunked("before", 3);
    run_of(&mut before).missing = vec![Slot(5), Slot(5)];
    let mut after = world.chunked("after", 1);
    assert_eq!(world.raise_epoch(2, &[1]), Reply::Done);
    run_of(&mut after).epoch = Epoch(2);
    for commit in [&before, &after] {
        assert!(matches!(world.commit(commit), Reply::Committed { .. }));
    }
    let store = &world.machine.store;
    let repairs: Vec<_> = REPAIRS.scan(store, &[]).map(Result::unwrap).collect();
    let expected: Vec<_> = [1, 5]
        .map(|slot| (world.groups[0], run_of(&mut before).first_chunk, Slot(slot)).bytes())
        .into();
    assert_eq!(
        repairs
            .iter()
            .map(|(key, _)| key.clone())
            .collect::<Vec<_>>(),
        expected
    );
    assert!(
        repairs
            .iter()
            .all(|(_, row)| row.blob == before.blob && row.chunks == 3)
    );
    assert!(matches!(
        world.raise_epoch(2, &[0]),
        Reply::Refused(Refusal::EpochNotRaised { current: Epoch(2) })
    ));
}

/// What would leave a chunk with fewer than k shards is refused; what leaves k is repaired.
#[test]
fn a_run_that_too_few_slots_would_hold_is_refused() {
    // slots that the writer names, slots closed since, accepted
    let cases: [(&[u8], &[u8], bool); 7] = [
        (&[], &[0, 1], true),
        (&[], &[0, 1, 2], false),
        (&[5], &[0], true),
        (&[5], &[0, 1], false),
        (&[0], &[0, 1], true),
        (&[3, 4, 5], &[], true),
        (&[3, 4, 5], &[0], true),
    ];
    for (missing, closed, accepted) in cases {
        let mut world = World::new();
        let mut commit = world.chunked("object", 1);
        run_of(&mut commit).missing = missing.iter().copied().map(Slot).collect();
        if !closed.is_empty() {
            assert_eq!(world.raise_epoch(2, closed), Reply::Done);
        }
        let reply = world.commit(&commit);
        let expected = match reply {
            Reply::Committed { .. } => accepted,
            Reply::Refused(Refusal::TooFewRemain) => !accepted,
            _ => false,
        };
        assert!(expected, "{missing:?}, {closed:?}: {reply:?}");
    }
}

/// A numbered request is applied once: asked again it gives the same answer and changes nothing, also
/// when it was refused, also when it was sealed anew on its way. Another request under its number is
/// refused, of whatever kind it is, and changes nothing either.
#[test]
fn a_number_is_applied_once() {
    let mut world = World::new();
    let commit = world.inline("object", 10);
    let first = world.commit(&commit);
    assert!(matches!(first, Reply::Committed { .. }));
    let digest = world.machine.store.digest().unwrap();
    let mut other = world.inline("other", 10);
    other.request = commit.request;
    let after_reserving = world.machine.store.digest().unwrap();
    let mut resealed = commit.clone();
    resealed.wrap = Bytes::from_static(b"wrapped anew");
    resealed.attributes = Bytes::from_static(b"sealed anew");
    assert_eq!(world.commit(&commit), first);
    assert_eq!(world.commit(&resealed), first);
    let used = Reply::Refused(Refusal::NumberUsed);
    assert_eq!(world.commit(&other), used);
    let (request, bucket) = (commit.request, world.bucket);
    let delete = Delete {
        request,
        bucket,
        key: key("object"),
        expected: None,
    };
    let delete_bucket = DeleteBucket { request, bucket };
    for command in [
        NamespaceCommand::DeleteObject(delete),
        NamespaceCommand::DeleteBucket(delete_bucket),
    ] {
        assert_eq!(world.machine.namespace(command), used);
    }
    assert_ne!(digest, after_reserving);
    assert_eq!(world.machine.store.digest().unwrap(), after_reserving);

    let mut refused = world.inline("object", 10);
    refused.kek_version = 9;
    let answer = world.commit(&refused);
    assert_eq!(answer, Reply::Refused(Refusal::KekRetired));
    refused.kek_version = 1;
    assert_eq!(world.commit(&refused), answer);
}

/// Answers are forgotten once the session says that it has them, and their numbers are refused then.
#[test]
fn answered_requests_are_forgotten_and_refused() {
    let mut world = World::new();
    let old = world.inline("old", 1);
    world.commit(&old);
    for _ in 0..200 {
        world.delete("nothing");
    }
    let stored = count(REPLIES.scan(&world.machine.store, &[]));
    assert!(stored <= 2, "{stored} answers are stored");
    assert_eq!(world.commit(&old), Reply::Refused(Refusal::AnswerForgotten));

    let mut far = world.inline("far", 1);
    far.request.sequence = far.request.answered_below + MAX_UNANSWERED;
    assert_eq!(
        world.commit(&far),
        Reply::Refused(Refusal::TooManyUnanswered)
    );
}

/// One request forgets a few answers only; those that it left are forgotten by the next.
#[test]
fn answers_that_pile_up_are_forgotten_bit_by_bit() {
    let mut world = World::new();
    for _ in 0..200 {
        let mut request = world.request();
        request.answered_below = 1;
        let delete = Delete {
            request,
            bucket: world.bucket,
            key: key("nothing"),
            expected: None,
        };
        let delete = NamespaceCommand::DeleteObject(delete);
        assert_eq!(world.machine.namespace(delete), Reply::Done);
    }
    let mut stored = vec![count(REPLIES.scan(&world.machine.store, &[]))];
    assert!(stored[0] >= 200, "{stored:?}");
    for _ in 0..5 {
        world.delete("nothing");
        stored.push(count(REPLIES.scan(&world.machine.store, &[])));
    }
    assert!(stored[1] > 100, "{stored:?}");
    assert!(stored[5] <= 2, "{stored:?}");
}

/// Sessions end by ticks alone, exactly at their time; with them go their leases and answers.
#[test]
fn sessions_end_by_cluster_time_and_take_their_leases_along() {
    let mut world = World::new();
    let commit = world.chunked("object", 1);
    for _ in 1..(SESSION_TTL_MS / MAX_TICK_MS) {
        world.machine.tick(MAX_TICK_MS);
    }
    world.machine.tick(MAX_TICK_MS - 1);
    let session = world.session;
    let renew = NamespaceCommand::RenewSession { session };
    assert!(matches!(
        world.machine.namespace(renew.clone()),
        Reply::Session(_)
    ));
    for _ in 1..(SESSION_TTL_MS / MAX_TICK_MS) {
        world.machine.tick(MAX_TICK_MS);
    }
    world.machine.tick(MAX_TICK_MS - 1);
    assert!(matches!(world.commit(&commit), Reply::Committed { .. }));
    world.machine.tick(1);
    let expired = Reply::Refused(Refusal::SessionExpired);
    assert_eq!(world.commit(&commit), expired);
    assert_eq!(world.machine.namespace(renew), expired);
    assert_eq!(
        close_lease(&world.machine, session, world.lease.id),
        expired
    );
    let store = &world.machine.store;
    assert_eq!(count(SESSIONS.scan(store, &[])), 0);
    assert_eq!(count(SESSION_EXPIRY.scan(store, &[])), 0);
    assert_eq!(count(GATEWAY_SESSIONS.scan(store, &[])), 0);
    assert_eq!(count(LEASES.scan(store, &[])), 0);
    assert_eq!(count(REPLIES.scan(store, &[])), 0);
}

/// A session holds so many leases and no more, until it gives one back.
#[test]
fn leases_of_a_session_are_bounded() {
    let world = World::new();
    let session = world.session;
    for _ in 1..MAX_LEASES {
        open_lease(&world.machine, session);
    }
    let another = || {
        world
            .machine
            .namespace(NamespaceCommand::OpenLease { session })
    };
    assert_eq!(another(), Reply::Refused(Refusal::TooManyLeases));
    close_lease(&world.machine, session, world.lease.id);
    assert!(matches!(another(), Reply::Lease(_)));
    assert_eq!(another(), Reply::Refused(Refusal::TooManyLeases));
    open_lease(&world.machine, open_session(&world.machine));
}

/// A gateway that opens one session too many loses the one that it has not renewed for longest, and no
/// other; another gateway loses none.
#[test]
fn sessions_of_a_gateway_are_bounded() {
    let world = World::new();
    let machine = &world.machine;
    let gateway = NodeId::new(2);
    let command = NamespaceCommand::OpenSession { gateway };
    assert!(matches!(machine.namespace(command), Reply::Session(_)));
    let sessions: Vec<_> = (1..MAX_SESSIONS).map(|_| open_session(machine)).collect();
    machine.tick(1);
    let renew = |session| machine.namespace(NamespaceCommand::RenewSession { session });
    assert!(matches!(renew(world.session), Reply::Session(_)));
    let newest = open_session(machine);
    assert_eq!(renew(sessions[0]), Reply::Refused(Refusal::SessionExpired));
    for session in [world.session, newest].iter().chain(&sessions[1..]) {
        assert!(matches!(renew(*session), Reply::Session(_)));
    }
    machine.tick(1);
    let store = &machine.store;
    assert_eq!(count(SESSIONS.scan(store, &[])), MAX_SESSIONS + 1);
    assert_eq!(count(SESSION_EXPIRY.scan(store, &[])), MAX_SESSIONS + 1);
    assert_eq!(count(GATEWAY_SESSIONS.scan(store, &[])), MAX_SESSIONS + 1);
}

/// No second counts twice, and none that was not run through counts much.
#[test]
fn ticks_are_clamped_and_fenced() {
    let world = World::new();
    assert_eq!(world.machine.tick(u64::MAX), MAX_TICK_MS);
    let stale = Command::Tick(Tick {
        from_ms: 0,
        elapsed_ms: 1000,
    });
    let refused = Reply::Refused(Refusal::TimeMoved {
        now_ms: MAX_TICK_MS,
    });
    assert_eq!(world.machine.apply(stale), refused);
}

/// A blob whose last reference goes is dead and waits for its reclaim; nothing of it is removed yet.
#[test]
fn overwritten_and_deleted_blobs_are_dead_and_kept() {
    let mut world = World::new();
    world.machine.tick(7);
    let first = world.chunked("object", 2);
    let second = world.chunked("object", 1);
    for commit in [&first, &second] {
        assert!(matches!(world.commit(commit), Reply::Committed { .. }));
    }
    let store = &world.machine.store;
    let references = |blob| BLOBS.get(store, &blob).unwrap().unwrap().references;
    assert_eq!((references(first.blob), references(second.blob)), (0, 1));
    assert_eq!(world.delete("object"), Reply::Done);
    assert_eq!(world.delete("object"), Reply::Done);
    let store = &world.machine.store;
    let dead: Vec<_> = RECLAIMS
        .scan(store, &[])
        .map(|row| row.unwrap().0)
        .collect();
    assert_eq!(
        dead,
        [first.blob, second.blob].map(|blob| (7_u64, blob).bytes())
    );
    assert_eq!(count(GROUP_RUNS.scan(store, &[])), 2);
    assert!(
        !HEADS
            .contains(store, &(world.bucket, key("object")))
            .unwrap()
    );
}

/// A bucket goes only when it is empty, and its name can then be given again, under another id.
#[test]
fn buckets_go_when_empty() {
    let mut world = World::new();
    let commit = world.inline("object", 1);
    world.commit(&commit);
    let delete = |world: &mut World| {
        let (request, bucket) = (world.request(), world.bucket);
        let delete = DeleteBucket { request, bucket };
        world
            .machine
            .namespace(NamespaceCommand::DeleteBucket(delete))
    };
    assert_eq!(delete(&mut world), Reply::Refused(Refusal::BucketNotEmpty));
    world.delete("object");
    assert_eq!(delete(&mut world), Reply::Done);
    assert_eq!(delete(&mut world), Reply::Refused(Refusal::NoSuchBucket));
    let again = world.make_bucket("bucket");
    assert_ne!(again, world.bucket);
}

/// No bucket is made under an id that was not reserved for it, was given up, or had a bucket before.
#[test]
fn buckets_are_made_under_reserved_ids_alone() {
    let mut world = World::new();
    let bucket = world.bucket;
    let retire = NamespaceCommand::RetireBucketId { bucket };
    let refused = Reply::Refused(Refusal::IdNotReserved);
    assert_eq!(world.machine.namespace(retire), refused, "a bucket has it");
    let never = BucketId::new(bucket.get() + 1);
    assert_eq!(world.try_to_make_bucket("never", never), refused);
    assert_eq!(world.try_to_make_bucket("taken", bucket), refused);
    let reserved = world.reserve_bucket_id();
    let forget = NamespaceCommand::ForgetBucketId { bucket: reserved };
    assert_eq!(world.machine.namespace(forget.clone()), refused);
    let retire = NamespaceCommand::RetireBucketId { bucket: reserved };
    assert_eq!(world.machine.namespace(retire), Reply::Done);
    assert_eq!(world.try_to_make_bucket("retired", reserved), refused);
    assert_eq!(world.machine.namespace(forget.clone()), Reply::Done);
    assert_eq!(world.machine.namespace(forget), Reply::Done);
    assert_eq!(world.try_to_make_bucket("forgotten", reserved), refused);
}

/// Ids are never handed out twice, and stop where their 48 bits do.
#[test]
fn ids_run_out_rather_than_wrap() {
    let world = World::new();
    let mut txn = world.machine.store.begin();
    let last = types::id::MAX_COUNTER - 1;
    NAMESPACE_COUNTERS.put(&mut txn, &NamespaceId::Blob, &last);
    let changes = txn.into_changes();
    world.machine.store.commit(changes, b"").unwrap();
    let reserve = |count| {
        world
            .machine
            .namespace(NamespaceCommand::ReserveBlobIds { count })
    };
    assert_eq!(reserve(2), Reply::Refused(Refusal::IdsExhausted));
    assert!(matches!(reserve(1), Reply::Ids { count: 1, .. }));
    assert_eq!(reserve(1), Reply::Refused(Refusal::IdsExhausted));
}

/// A command sees what earlier commands of its own batch did.
#[test]
fn one_batch_is_one_after_the_other() {
    let mut world = World::new();
    let (first, mut second) = (world.inline("a", 1), world.inline("b", 1));
    second.version = first.version;
    let commands = [first, second].map(|c| Command::Namespace(NamespaceCommand::Commit(c)));
    let replies = world.machine.apply_all(commands);
    assert!(matches!(replies[0], Reply::Committed { .. }));
    assert_eq!(replies[1], Reply::Refused(Refusal::VersionExists));
    assert!(world.machine.store.get(&[0]).unwrap().is_none());
}

/// `apply` has no clock and draws no randomness, and its namespace half reads no cluster table.
/// Method: look for the words in its sources.
#[test]
fn apply_is_pure_and_its_halves_are_apart() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/apply");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let text = code.collect::<Vec<_>>().join("\n");
        files += 1;
        for word in [
            "std::time",
            "Instant",
            "SystemTime",
            "random",
            "rand",
            "tokio",
            "std::env",
            "std::fs",
            "std::net",
            "thread",
            "HashMap",
            "HashSet",
            "f64",
            "f32",
        ] {
            let found = text.split(|c: char| !c.is_alphanumeric() && c != ':' && c != '_');
            assert!(
                !found
                    .into_iter()
                    .any(|w| w.contains(word) && w != "operand"),
                "{word} in {path:?}"
            );
        }
        let cluster = [
            "cluster.rs",
            "joining.rs",
            "levels.rs",
            "mod.rs",
            "replace.rs",
        ];
        if !cluster.iter().any(|file| path.ends_with(file)) {
            for table in [
                "CLUSTER_COUNTERS",
                "NODES",
                "DISKS",
                "GROUPS",
                "GROUP_TABLE_VERSION",
                "KEKS",
                "LEVEL",
                "REPLACEMENTS",
                "TOKENS",
            ] {
                let used = text.split(|c: char| !c.is_alphanumeric() && c != '_');
                assert!(!used.into_iter().any(|w| w == table), "{table} in {path:?}");
            }
        }
    }
    assert!(files >= 4);
}
