//! Usage and quotas: counted to the byte, and never exceeded.

use crate::fixture::{Machine, World, key};
use crate::references::{self, Trial};
use crate::uploads::{check, rows, trial};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use strongroom_metadata::apply::{COUNTED_AT_LEAST, COUNTED_AT_MOST};
use strongroom_metadata::command::{Command, NamespaceCommand};
use strongroom_metadata::tables::*;
use strongroom_metadata::{Proposal, Refusal, Reply, Store, apply};
use types::id::{BucketId, TenantId, VersionId};
use types::size::ByteCount;
use types::wire::metadata::{DeleteBucket, WallTime};
use types::wire::usage::{Exceeded, Holder, Limit, Quota, QuotaChange, Usage};

/// The tenant of all that a world makes.
pub(crate) const TENANT: TenantId = TenantId::new(1);

fn add(sum: &mut Usage, more: Usage) {
    *sum = sum.plus(&more).unwrap();
}

fn id_of(row_key: &[u8]) -> u64 {
    u64::from_be_bytes(row_key[..8].try_into().unwrap())
}

/// The rows of usage say what heads, uploads and parts come to, as far as they are counted; and where usage is not
/// kept there are none.
pub(crate) fn check_usage(store: &Store) {
    let Some(count) = USAGE_COUNT.get(store, &()).unwrap() else {
        let all =
            rows(store, &BUCKET_USAGE) + rows(store, &TENANT_USAGE) + rows(store, &UPLOAD_BYTES);
        assert_eq!(all, 0);
        return;
    };
    let mut tenants: BTreeMap<TenantId, Usage> = BTreeMap::new();
    let mut parts: BTreeMap<VersionId, u64> = BTreeMap::new();
    for row in BUCKETS.scan(store, &[]) {
        let bucket = row.unwrap().1.bucket;
        let Some(row) = BUCKET_USAGE.get(store, &bucket.id).unwrap() else {
            assert!(matches!(count, CountRow::Counting { from } if from <= bucket.id));
            continue;
        };
        assert!(row.counted.is_none() || count != CountRow::Counted);
        assert_eq!(row.tenant, bucket.tenant);
        let used = found(store, bucket.id, row.counted.as_ref(), &mut parts);
        assert_eq!(row.used, used, "{}", bucket.id);
        add(tenants.entry(row.tenant).or_default(), used);
    }
    for row in BUCKET_USAGE.scan(store, &[]) {
        let bucket = BucketId::new(id_of(&row.unwrap().0));
        assert!(
            BUCKETS.contains(store, &bucket).unwrap(),
            "{bucket} is gone"
        );
    }
    for row in TENANT_USAGE.scan(store, &[]) {
        let (row_key, row) = row.unwrap();
        let sum = tenants.remove(&TenantId::new(id_of(&row_key)));
        assert_eq!(row.used, sum.unwrap_or_default());
    }
    assert!(tenants.values().all(|left| *left == Usage::default()));
    let under_way: BTreeSet<_> = UPLOADS
        .scan(store, &[])
        .map(|row| row.unwrap().1.upload)
        .collect();
    for row in UPLOAD_BYTES.scan(store, &[]) {
        let (row_key, bytes) = row.unwrap();
        let upload = VersionId::new(row_key[..].try_into().unwrap());
        assert!(under_way.contains(&upload), "{upload} has ended");
        // Of one whose bucket is gone nobody knows how far it was counted.
        assert!(parts.remove(&upload).is_none_or(|found| found == bytes));
    }
    assert!(parts.is_empty(), "{parts:?}");
}

/// What a bucket comes to, up to a place; what that is of parts, by upload.
fn found(
    store: &Store,
    bucket: BucketId,
    counted: Option<&Place>,
    parts: &mut BTreeMap<VersionId, u64>,
) -> Usage {
    let within = |place: Place| counted.is_none_or(|counted| place <= *counted);
    let prefix = bucket.bytes();
    let mut used = Usage::default();
    for row in HEADS.scan(store, &prefix) {
        let (row_key, head) = row.unwrap();
        let key = unescape(&row_key[8..]).unwrap();
        if within(Place::Object { key }) {
            add(&mut used, Usage::of_object(head.length));
        }
    }
    for row in UPLOADS.scan(store, &prefix) {
        let (row_key, upload) = row.unwrap();
        let (_, key, began) = unupload(&row_key).unwrap();
        let place = |number| Place::Part {
            key: key.clone(),
            began,
            number,
        };
        if within(place(0)) {
            add(&mut used, Usage::of_upload(0));
        }
        for row in PARTS.scan(store, &upload.upload.bytes()) {
            let (row_key, part) = row.unwrap();
            let number = u32::from_be_bytes(*row_key.last_chunk().unwrap());
            let bytes = part.length.get();
            if bytes > 0 && within(place(number)) {
                add(&mut used, Usage::of_parts(bytes));
                *parts.entry(upload.upload).or_default() += bytes;
            }
        }
    }
    used
}

pub(crate) fn usage_of(world: &World, bucket: BucketId) -> Option<Usage> {
    let row = BUCKET_USAGE.get(&world.machine.store, &bucket).unwrap()?;
    row.counted.is_none().then_some(row.used)
}

fn count(rows: u32) -> NamespaceCommand {
    NamespaceCommand::CountUsage { rows }
}

fn is_counted(world: &World) -> bool {
    USAGE_COUNT.get(&world.machine.store, &()).unwrap() == Some(CountRow::Counted)
}

pub(crate) fn set_quota(
    world: &World,
    holder: Holder,
    bytes: Option<u64>,
    objects: Option<u64>,
) -> Reply {
    let limit = |most: Option<u64>| most.map_or(Limit::Unlimited, Limit::AtMost);
    let change = QuotaChange {
        bytes: limit(bytes),
        objects: limit(objects),
    };
    world.namespace(NamespaceCommand::SetQuota { holder, change })
}

pub(crate) fn exceeded(what: Exceeded) -> Reply {
    Reply::Refused(Refusal::QuotaExceeded(what))
}

pub(crate) fn delete_bucket(world: &mut World, bucket: BucketId) -> Reply {
    let request = world.request();
    world.namespace(NamespaceCommand::DeleteBucket(DeleteBucket {
        request,
        bucket,
    }))
}

#[derive(Clone, Debug)]
enum Event {
    /// Something is put, copied, uploaded, completed, given up or deleted.
    Do(references::Step),
    Keep,
    /// The count goes on over so many rows.
    Count(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => references::step().prop_map(Event::Do),
        1 => Just(Event::Keep),
        3 => (0..7_u32).prop_map(Event::Count),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Usage is what the rows come to, whatever is done in whatever order, and whenever it begins to be kept: what is
    /// not counted yet is missing, what is counted is exact, and in the end all is counted.
    /// Method: commands at random, usage kept from a random one on and counted a few rows at a time between the
    /// others; after each, everything is added up anew.
    #[test]
    fn usage_is_what_the_rows_come_to(events in prop::collection::vec(event(), 1..60)) {
        let mut trial = Trial::over(World::older());
        for event in &events {
            match event {
                Event::Do(step) => trial.take(step),
                Event::Keep => {
                    let kept = trial.world.namespace(NamespaceCommand::KeepUsage);
                    prop_assert_eq!(kept, Reply::Done);
                }
                Event::Count(rows) => {
                    prop_assert_eq!(trial.world.namespace(count(*rows)), Reply::Done);
                }
            }
            check_usage(&trial.world.machine.store);
        }
        trial.world.namespace(NamespaceCommand::KeepUsage);
        for _ in 0..300 {
            trial.world.namespace(count(COUNTED_AT_LEAST));
            check_usage(&trial.world.machine.store);
        }
        prop_assert!(is_counted(&trial.world));
        check(&trial.world.machine.store);
    }
}

/// A quota below what is there refuses what grows and lets go on what shrinks; what is replaced makes room for what
/// replaces it.
#[test]
fn a_full_bucket_may_shrink() {
    let mut world = World::new();
    let bucket = Holder::Bucket(world.bucket);
    for name in ["a", "b"] {
        let put = world.inline(name, 100);
        assert!(matches!(world.commit(&put), Reply::Committed { .. }));
    }
    set_quota(&world, bucket, Some(150), Some(1));
    let cases = [
        ("a", 101, Some(Exceeded::BucketBytes)),
        ("c", 0, Some(Exceeded::BucketObjects)),
        ("c", 1, Some(Exceeded::BucketBytes)),
        ("a", 100, None),
        ("a", 40, None),
        ("a", 50, None),
        ("a", 51, Some(Exceeded::BucketBytes)),
    ];
    for (name, length, refused) in cases {
        let put = world.inline(name, length);
        match (world.commit(&put), refused) {
            (Reply::Committed { .. }, None) => {}
            (reply, Some(what)) => assert_eq!(reply, exceeded(what), "{name} {length}"),
            (reply, None) => panic!("{name} {length}: {reply:?}"),
        }
    }
    assert_eq!(world.delete("b"), Reply::Done);
    let used = Usage::of_object(ByteCount::new(50));
    assert_eq!(usage_of(&world, world.bucket), Some(used));
    check_usage(&world.machine.store);
}

/// What is refused leaves nothing of itself: no row, no reference, and its chunks may be another's.
#[test]
fn what_is_refused_changes_nothing() {
    let mut world = World::new();
    set_quota(&world, Holder::Bucket(world.bucket), Some(10), None);
    let commit = world.chunked("object", 2);
    let before: BTreeMap<_, _> = world.machine.store.rows().map(Result::unwrap).collect();
    assert_eq!(world.commit(&commit), exceeded(Exceeded::BucketBytes));
    let after: BTreeMap<_, _> = world.machine.store.rows().map(Result::unwrap).collect();
    let changed = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(value));
    // The answer, and that earlier ones are forgotten.
    let tables: BTreeSet<u8> = changed.map(|(key, _)| key[0]).collect();
    assert!(tables.is_subset(&[0x43, 0x45].into()), "{tables:x?}");
    assert_eq!(rows(&world.machine.store, &GROUP_RUNS), 0);
    set_quota(&world, Holder::Bucket(world.bucket), None, None);
    let mut again = commit;
    again.request = world.request();
    assert!(matches!(world.commit(&again), Reply::Committed { .. }));
}

/// Bytes that are copied by reference count like any others, though they take no room on a disk.
#[test]
fn copies_count_in_full() {
    let mut world = World::new();
    let commit = world.chunked("object", 1);
    assert!(matches!(world.commit(&commit), Reply::Committed { .. }));
    let length = commit.length.get();
    set_quota(&world, Holder::Tenant(TENANT), Some(2 * length), None);
    let source = || strongroom_metadata::command::Copied {
        bucket: commit.bucket,
        key: key("object"),
        version: commit.version,
    };
    let mut copy = |name| {
        let copy = world.copy(source(), name);
        world.apply_copy(&copy)
    };
    assert!(matches!(copy("copy"), Reply::Committed { .. }));
    assert_eq!(copy("third"), exceeded(Exceeded::TenantBytes));
    assert!(matches!(copy("copy"), Reply::Committed { .. }));
    let used = usage_of(&world, world.bucket).unwrap();
    assert_eq!((used.objects, used.bytes), (2, 2 * length));
}

/// Sums that would not fit in 64 bits are refused, and stop nothing.
#[test]
fn sums_beyond_64_bits_are_refused() {
    let mut world = World::new();
    let used = Usage {
        bytes: u64::MAX - 5,
        ..Usage::default()
    };
    let mut txn = world.machine.store.begin();
    let mut row = BUCKET_USAGE.get(&txn, &world.bucket).unwrap().unwrap();
    row.used = used;
    BUCKET_USAGE.put(&mut txn, &world.bucket, &row);
    let sum = TenantUsageRow {
        used,
        quota: Quota::default(),
    };
    TENANT_USAGE.put(&mut txn, &TENANT, &sum);
    world
        .machine
        .store
        .commit(txn.into_changes(), b"forged")
        .unwrap();
    let put = world.inline("object", 6);
    assert_eq!(world.commit(&put), exceeded(Exceeded::BucketBytes));
    let put = world.inline("object", 5);
    assert!(matches!(world.commit(&put), Reply::Committed { .. }));
    assert_eq!(world.delete("object"), Reply::Done);
}

/// A store that is older than usage, with more than one command counts.
fn old_store() -> World {
    let mut world = World::older();
    for number in 0..1500 {
        let put = world.inline(&format!("object-{number}"), number % 7);
        assert!(matches!(world.commit(&put), Reply::Committed { .. }));
    }
    let upload = world.begin("upload");
    for number in 1..=1000 {
        world.put_part("upload", upload, number, 3);
    }
    let bucket = world.bucket;
    for number in 0..500 {
        let name = format!("bucket-{number}");
        world.bucket = world.make_bucket(&name);
        let put = world.inline("object", 2);
        assert!(matches!(world.commit(&put), Reply::Committed { .. }));
    }
    world.bucket = bucket;
    world
}

/// What was there before is counted by small commands; until it is, a quota limits nothing and no number is told;
/// from then on both hold.
#[test]
fn an_old_store_is_counted_in_small_commands() {
    let mut world = old_store();
    check_usage(&world.machine.store);
    let (bucket, tenant) = (Holder::Bucket(world.bucket), Holder::Tenant(TENANT));
    let too_early = set_quota(&world, bucket, Some(1), None);
    assert_eq!(too_early, Reply::Refused(Refusal::UsageNotKept));
    let low = Machine::new().namespace(NamespaceCommand::KeepUsage);
    assert_eq!(low, Reply::Refused(Refusal::LevelTooLow));
    assert_eq!(world.namespace(NamespaceCommand::KeepUsage), Reply::Done);
    for holder in [bucket, tenant] {
        let set = set_quota(&world, holder, Some(1), None);
        assert!(matches!(set, Reply::Quota(_)), "{set:?}");
    }
    let mut commands = 0;
    while !is_counted(&world) {
        assert_eq!(usage_of(&world, world.bucket).is_some(), commands > 2);
        let put = world.inline(&format!("object-{commands}"), 9);
        let reply = world.commit(&put);
        let refused = exceeded(Exceeded::BucketBytes);
        match commands > 2 {
            true => assert_eq!(reply, refused),
            false => assert!(matches!(reply, Reply::Committed { .. }), "{reply:?}"),
        }
        let next = Command::Namespace(count(u32::MAX));
        let (_, changed) = trial(&world.machine.store, &next);
        assert!(changed <= 1000, "{changed} rows");
        assert_eq!(world.machine.apply(next), Reply::Done);
        check_usage(&world.machine.store);
        commands += 1;
    }
    assert!((4..=6).contains(&commands), "{commands} commands");
    let used = usage_of(&world, world.bucket).unwrap();
    let counted = (used.objects, used.uploads, used.upload_bytes);
    assert_eq!(counted, (1500, 1, 3000));
    // Another bucket has no quota of its own; the tenant's holds now.
    world.bucket = world.make_bucket("another");
    let put = world.inline("object", 1);
    assert_eq!(world.commit(&put), exceeded(Exceeded::TenantBytes));
    assert_eq!(world.namespace(count(COUNTED_AT_MOST)), Reply::Done);
    check_usage(&world.machine.store);
}

/// Servers that count the same store by the same commands come to the same rows, however the batches fell.
#[test]
fn servers_count_alike() {
    let world = old_store();
    let all: Vec<_> = world.machine.store.rows().map(Result::unwrap).collect();
    let mut commands = vec![Command::Namespace(NamespaceCommand::KeepUsage)];
    for rows in (0..60).map(|number| number * 31) {
        commands.push(Command::Namespace(count(rows)));
    }
    let mut digests = BTreeSet::new();
    for batch in [1, 7, 61] {
        let machine = Machine::new();
        let start = all
            .iter()
            .cloned()
            .map(Ok::<_, strongroom_metadata::StoreError>);
        machine.store.replace(start, b"start").unwrap();
        for commands in commands.chunks(batch) {
            let mut txn = machine.store.begin();
            for command in commands {
                let command = command.clone();
                let wall = WallTime(1);
                apply(&mut txn, &Proposal { wall, command }).unwrap();
            }
            machine.store.commit(txn.into_changes(), b"mark").unwrap();
        }
        check_usage(&machine.store);
        let counted = USAGE_COUNT.get(&machine.store, &()).unwrap();
        assert_eq!(counted, Some(CountRow::Counted));
        digests.insert(machine.store.digest().unwrap());
    }
    assert_eq!(digests.len(), 1);
}

/// Nobody's quota is set, and a bucket that is gone has none.
#[test]
fn quotas_are_of_what_there_is() {
    let mut world = World::new();
    let bucket = world.bucket;
    assert_eq!(delete_bucket(&mut world, bucket), Reply::Done);
    for gone in [bucket, BucketId::new(999)] {
        let set = set_quota(&world, Holder::Bucket(gone), Some(1), None);
        assert_eq!(set, Reply::Refused(Refusal::NoSuchBucket));
    }
    let keep = QuotaChange {
        bytes: Limit::Keep,
        objects: Limit::AtMost(3),
    };
    let holder = Holder::Tenant(TenantId::new(7));
    set_quota(&world, holder, Some(5), None);
    let set = NamespaceCommand::SetQuota {
        holder,
        change: keep,
    };
    let quota = Quota {
        bytes: Some(5),
        objects: Some(3),
    };
    assert_eq!(world.namespace(set), Reply::Quota(quota));
}
