//! Uploads as `apply` has them: parts, completing, giving up, sweeping.

use crate::fixture::{World, key, profile, run_of};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use strongroom_metadata::apply::PARTS_PER_SWEEP;
use strongroom_metadata::command::{
    Command, CommitPart, CommittedPlace, CompleteUpload, CreateUpload, MAX_COMMAND_BYTES,
    NamespaceCommand, SealedTags,
};
use strongroom_metadata::locate::locate;
use strongroom_metadata::tables::*;
use strongroom_metadata::{Proposal, Refusal, Reply, Store, apply};
use types::block::SEAL_OVERHEAD;
use types::codec::encode;
use types::id::{BlobId, BucketId, VersionId};
use types::placement::{Epoch, Slot};
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{AbortUpload, Lookup, MetadataError, WallTime, Wanted, WrittenRun};

/// Pieces in a manifest row.
const ROW: usize = 255;

impl World {
    /// Begins an upload.
    pub(crate) fn begin(&mut self, name: &str) -> VersionId {
        let (upload, reply) = self.try_to_begin(name);
        assert!(matches!(reply, Reply::Committed { .. }), "{reply:?}");
        upload
    }

    /// Begins an upload, unless that is refused.
    pub(crate) fn try_to_begin(&mut self, name: &str) -> (VersionId, Reply) {
        let upload = self.fresh_version();
        let create = CreateUpload {
            request: self.request(),
            bucket: self.bucket,
            key: key(name),
            upload,
            kek_version: 1,
            sealed: Bytes::from_static(b"sealed upload"),
            tags: Some(SealedTags {
                count: 2,
                sealed: Bytes::from_static(b"sealed tags"),
            }),
        };
        (
            upload,
            self.namespace(NamespaceCommand::CreateUpload(create)),
        )
    }

    /// A part that nothing is wrong with: `length` bytes inline.
    pub(crate) fn inline_part(
        &mut self,
        name: &str,
        upload: VersionId,
        number: u32,
        length: u64,
    ) -> CommitPart {
        let blob = self.fresh_blob();
        part(self, name, upload, number, length, blob)
    }

    pub(crate) fn namespace(&self, command: NamespaceCommand) -> Reply {
        self.machine.namespace(command)
    }

    /// Commits a part of that length; its revision.
    pub(crate) fn put_part(
        &mut self,
        name: &str,
        upload: VersionId,
        number: u32,
        length: u64,
    ) -> u64 {
        let part = self.inline_part(name, upload, number, length);
        let reply = self.namespace(NamespaceCommand::CommitPart(part));
        assert!(matches!(reply, Reply::Committed { .. }), "{reply:?}");
        let row = PARTS.get(&self.machine.store, &(upload, number)).unwrap();
        row.unwrap().born
    }

    /// A completion that nothing is wrong with.
    fn completion(
        &mut self,
        name: &str,
        upload: VersionId,
        parts: Vec<(u32, u64)>,
    ) -> CompleteUpload {
        CompleteUpload {
            request: self.request(),
            bucket: self.bucket,
            key: key(name),
            upload,
            kek_version: 1,
            attributes: Bytes::from_static(b"sealed attributes"),
            macs: vec![Bytes::from_static(b"mac"); parts.len().div_ceil(ROW)],
            parts,
            expected: None,
        }
    }

    pub(crate) fn complete(
        &mut self,
        name: &str,
        upload: VersionId,
        parts: Vec<(u32, u64)>,
    ) -> Reply {
        let completion = self.completion(name, upload, parts);
        self.namespace(NamespaceCommand::CompleteUpload(completion))
    }

    pub(crate) fn abort(&mut self, name: &str, upload: VersionId) -> Reply {
        let abort = AbortUpload {
            request: self.request(),
            bucket: self.bucket,
            key: key(name),
            upload,
        };
        self.namespace(NamespaceCommand::AbortUpload(abort))
    }

    /// Sweeps all there is, whatever its age; how many commands that took.
    pub(crate) fn sweep_all(&self) -> usize {
        let mut commands = 0;
        while let Some(command) = next_sweep(&self.machine.store) {
            let (reply, rows) = trial(&self.machine.store, &command);
            assert_eq!(reply, Reply::Done);
            assert!(rows <= 1000, "a sweep changes {rows} rows");
            self.machine.apply(command);
            commands += 1;
        }
        commands
    }

    pub(crate) fn lookup(
        &self,
        name: &str,
        version: Option<VersionId>,
    ) -> Result<u64, MetadataError> {
        let lookup = Lookup {
            bucket: self.bucket,
            key: key(name),
            wanted: Wanted::All,
            version,
        };
        let found = locate(&self.machine.store, &lookup).unwrap()?;
        Ok(found.extents.iter().map(|at| at.extent.length.get()).sum())
    }
}

fn part(
    world: &mut World,
    name: &str,
    upload: VersionId,
    number: u32,
    length: u64,
    blob: BlobId,
) -> CommitPart {
    CommitPart {
        request: world.request(),
        bucket: world.bucket,
        key: key(name),
        upload,
        number,
        length: ByteCount::new(length),
        kek_version: 1,
        sealed: Bytes::from_static(b"sealed part"),
        blob,
        wrap: Bytes::from_static(b"wrap"),
        wrap_expires_ms: u64::MAX,
        place: CommittedPlace::Inline {
            sealed: vec![7; usize::try_from(length).unwrap() + SEAL_OVERHEAD].into(),
        },
    }
}

/// Part 1, in so many runs of one chunk, each of which misses a shard.
fn in_many_runs(world: &mut World, upload: VersionId, count: u32) -> CommitPart {
    let mut commit = world.chunked("object", count);
    let template = run_of(&mut commit).clone();
    let runs = (0..u64::from(count)).map(|index| WrittenRun {
        first_chunk: template.first_chunk.plus(index),
        first_index: index,
        chunks: 1,
        missing: vec![Slot(0)],
        ..template.clone()
    });
    let mut part = world.inline_part("object", upload, 1, 0);
    part.length = commit.length;
    part.place = CommittedPlace::Runs {
        profile: profile(),
        runs: runs.collect(),
    };
    part
}

/// The oldest sweep that there is.
pub(crate) fn next_sweep(store: &Store) -> Option<Command> {
    let (row_key, _) = SWEEPS.scan(store, &[]).next()?.unwrap();
    let kind = match row_key[0] {
        1 => SweepKind::Abandoned,
        _ => SweepKind::Superseded,
    };
    Some(Command::Namespace(NamespaceCommand::Sweep {
        kind,
        since_ms: number(&row_key[1..]),
        version: VersionId::new(row_key[9..].try_into().unwrap()),
    }))
}

/// What a command would be answered, and how many rows it would change.
pub(crate) fn trial(store: &Store, command: &Command) -> (Reply, usize) {
    let mut txn = store.begin();
    let command = command.clone();
    let wall = WallTime(1);
    let reply = apply(&mut txn, &Proposal { wall, command }).unwrap();
    (reply, txn.into_changes().iter().count())
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().unwrap())
}

pub(crate) fn rows<K: TableKey, V: serde::Serialize + serde::de::DeserializeOwned>(
    store: &Store,
    table: &Table<K, V>,
) -> usize {
    table.scan(store, &[]).map(Result::unwrap).count()
}

fn blob(store: &Store, upload: VersionId, number: u32) -> BlobId {
    let part = PARTS.get(store, &(upload, number)).unwrap().unwrap();
    part.pieces[0].blob
}

fn references(store: &Store, blob: BlobId) -> u32 {
    BLOBS.get(store, &blob).unwrap().unwrap().references
}

/// References are those that rows hold, a blob is dead just when it has none, and every part belongs to an
/// upload, to an object that shows it, or to a sweep.
pub(crate) fn check(store: &Store) {
    let mut held: BTreeMap<BlobId, u32> = BTreeMap::new();
    let mut owners: BTreeSet<VersionId> = BTreeSet::new();
    let mut shown: BTreeSet<(VersionId, u32)> = BTreeSet::new();
    for row in HEADS.scan(store, &[]) {
        let (_, head) = row.unwrap();
        for extent in &head.extents {
            *held.entry(extent.blob).or_default() += 1;
        }
        if let Some(manifest) = head.manifest {
            assert!(head.extents.is_empty());
            let mut parts = BTreeSet::new();
            let mut end = 0;
            for row in MANIFESTS.scan(store, &head.version.bytes()) {
                let (row_key, row) = row.unwrap();
                assert_eq!(row.first.get(), end);
                end = number(&row_key[16..]);
                assert_eq!(row.entries.last().unwrap().end.get(), end);
                parts.extend(row.entries.iter().map(|entry| entry.part));
            }
            assert_eq!(end, head.length.get());
            assert_eq!(parts.len(), manifest.parts as usize);
            shown.extend(parts.into_iter().map(|part| (head.version, part)));
        }
    }
    for row in UPLOADS.scan(store, &[]) {
        let (row_key, upload) = row.unwrap();
        owners.insert(upload.upload);
        let aged = [&upload.began_ms.to_be_bytes()[..], &row_key].concat();
        assert_eq!(UPLOAD_AGES.scan(store, &aged).count(), 1);
    }
    assert_eq!(rows(store, &UPLOADS), rows(store, &UPLOAD_AGES));
    for row in SWEEPS.scan(store, &[]) {
        let (row_key, sweep) = row.unwrap();
        let version = VersionId::new(row_key[9..].try_into().unwrap());
        match sweep.parts {
            None => drop(owners.insert(version)),
            Some(parts) => shown.extend(parts.into_iter().map(|part| (version, part))),
        }
    }
    for row in PARTS.scan(store, &[]) {
        let (row_key, part) = row.unwrap();
        let version = VersionId::new(row_key[..16].try_into().unwrap());
        let number = u32::from_be_bytes(row_key[16..].try_into().unwrap());
        assert!(owners.contains(&version) || shown.contains(&(version, number)));
        for piece in part.pieces {
            *held.entry(piece.blob).or_default() += 1;
        }
    }
    let dead: BTreeSet<_> = RECLAIMS
        .scan(store, &[])
        .map(|row| BlobId::new(number(&row.unwrap().0[8..])))
        .collect();
    for row in BLOBS.scan(store, &[]) {
        let (row_key, row) = row.unwrap();
        let id = BlobId::new(number(&row_key));
        assert_eq!(row.references, held.remove(&id).unwrap_or(0), "{id}");
        assert_eq!(row.references == 0, dead.contains(&id), "{id}");
    }
    assert!(held.is_empty(), "references to blobs that are not there");
    assert_eq!(store.digest().unwrap(), store.running_digest());
}

/// Parts come in any order, and each in the place of an earlier one, whose blob is dead at once. The object
/// shows the chosen ones, has the upload's tags, and is completed once.
#[test]
fn parts_come_in_any_order_and_replace_one_another() {
    let mut world = World::new();
    let upload = world.begin("object");
    let old = world.put_part("object", upload, 2, 20);
    let replaced = blob(&world.machine.store, upload, 2);
    let first = world.put_part("object", upload, 1, 10);
    let new = world.put_part("object", upload, 2, 22);
    assert_ne!(old, new);
    assert_eq!(references(&world.machine.store, replaced), 0);
    check(&world.machine.store);

    let changed = world.complete("object", upload, vec![(1, first), (2, old)]);
    assert_eq!(changed, Reply::Refused(Refusal::PartChanged));
    assert_eq!(
        world.lookup("object", None),
        Err(MetadataError::NoSuchObject)
    );

    let completion = world.completion("object", upload, vec![(1, first), (2, new)]);
    let command = NamespaceCommand::CompleteUpload(completion.clone());
    let reply = world.namespace(command.clone());
    assert!(matches!(reply, Reply::Committed { .. }), "{reply:?}");
    assert_eq!(world.namespace(command), reply);
    assert_eq!(world.lookup("object", None), Ok(32));
    let head = HEADS.get(&world.machine.store, &(world.bucket, key("object")));
    let head = head.unwrap().unwrap();
    assert_eq!((head.version, head.length), (upload, ByteCount::new(32)));
    assert_eq!(head.manifest, Some(ManifestHead { parts: 2 }));
    assert_eq!(head.tag_count, 2);
    assert!(TAGS.contains(&world.machine.store, &upload).unwrap());
    check(&world.machine.store);

    let again = world.complete("object", upload, vec![(1, first), (2, new)]);
    assert_eq!(again, Reply::Refused(Refusal::NoSuchUpload));
    let late = world.inline_part("object", upload, 3, 1);
    let late = world.namespace(NamespaceCommand::CommitPart(late));
    assert_eq!(late, Reply::Refused(Refusal::NoSuchUpload));
    let aborted = world.abort("object", upload);
    assert_eq!(aborted, Reply::Refused(Refusal::NoSuchUpload));
}

/// What makes no object is refused, and leaves nothing behind but the answer.
/// Method: a completion that is accepted, with one thing changed at a time.
#[test]
fn what_makes_no_object_is_refused() {
    type Spoil = fn(&mut CompleteUpload);
    let cases: Vec<(&str, Spoil, Refusal)> = vec![
        ("no part", |c| c.parts.clear(), Refusal::BadParts),
        ("falling", |c| c.parts.swap(0, 1), Refusal::BadParts),
        ("twice", |c| c.parts[1] = c.parts[0], Refusal::BadParts),
        (
            "one too many",
            |c| c.parts.push((4, 0)),
            Refusal::PartChanged,
        ),
        ("not there", |c| c.parts[2].0 = 9, Refusal::PartChanged),
        (
            "another revision",
            |c| c.parts[1].1 += 1,
            Refusal::PartChanged,
        ),
        ("no MAC", |c| c.macs.clear(), Refusal::BadParts),
        (
            "a MAC too many",
            |c| c.macs.push(Bytes::new()),
            Refusal::BadParts,
        ),
        (
            "another key",
            |c| c.key = key("other"),
            Refusal::NoSuchUpload,
        ),
        (
            "another upload",
            |c| c.upload = VersionId::new([9; 16]),
            Refusal::NoSuchUpload,
        ),
        (
            "another bucket",
            |c| c.bucket = BucketId::new(99),
            Refusal::NoSuchBucket,
        ),
        ("an old key", |c| c.kek_version = 9, Refusal::KekRetired),
    ];
    for (name, spoil, refusal) in cases {
        let mut world = World::new();
        let upload = world.begin("object");
        let parts: Vec<_> = (1..=3)
            .map(|number| (number, world.put_part("object", upload, number, 5)))
            .collect();
        let good = world.completion("object", upload, parts);
        let mut bad = good.clone();
        spoil(&mut bad);
        let before: Vec<_> = world.machine.store.rows().map(Result::unwrap).collect();
        let reply = world.namespace(NamespaceCommand::CompleteUpload(bad));
        assert_eq!(reply, Reply::Refused(refusal), "{name}");
        let after = world.machine.store.rows().map(Result::unwrap);
        let changed = after.filter(|row| !before.contains(row)).count();
        assert!(changed <= 2, "{name}: the answer, and the session's row");
        let good = CompleteUpload {
            request: world.request(),
            ..good
        };
        let reply = world.namespace(NamespaceCommand::CompleteUpload(good));
        assert!(
            matches!(reply, Reply::Committed { .. }),
            "{name}: {reply:?}"
        );
    }
}

/// An empty part may be the last, also where it would be alone in a row of the manifest; nowhere else.
#[test]
fn an_empty_part_may_be_the_last() {
    for count in [1, 2, 3, 255, 256, 257, 510, 511] {
        let mut world = World::new();
        let upload = world.begin("object");
        let length = |number| u64::from(number < count);
        let parts: Vec<_> = (1..=count)
            .map(|number| {
                (
                    number,
                    world.put_part("object", upload, number, length(number)),
                )
            })
            .collect();
        let mut completion = world.completion("object", upload, parts.clone());
        let pieces = usize::try_from(count).unwrap();
        completion.macs.truncate((pieces - 1).div_ceil(ROW).max(1));
        let reply = world.namespace(NamespaceCommand::CompleteUpload(completion));
        assert!(
            matches!(reply, Reply::Committed { .. }),
            "{count}: {reply:?}"
        );
        check(&world.machine.store);
    }
    let mut world = World::new();
    let upload = world.begin("object");
    let (one, two) = (
        world.put_part("object", upload, 1, 0),
        world.put_part("object", upload, 2, 1),
    );
    let reply = world.complete("object", upload, vec![(1, one), (2, two)]);
    assert_eq!(reply, Reply::Refused(Refusal::BadParts));
}

/// A part's blob passes the same fences as an object's.
#[test]
fn a_part_passes_the_fences_of_a_commit() {
    type Spoil = fn(&mut World, &mut CommitPart);
    let cases: Vec<(&str, Spoil, Refusal)> = vec![
        ("number 0", |_, p| p.number = 0, Refusal::BadParts),
        ("number 10 001", |_, p| p.number = 10_001, Refusal::BadParts),
        (
            "expired",
            |_, p| p.wrap_expires_ms = 0,
            Refusal::WrapExpired,
        ),
        ("an old key", |_, p| p.kek_version = 9, Refusal::KekRetired),
        (
            "no such blob",
            |_, p| p.blob = BlobId::new(1 << 40),
            Refusal::BlobNotFresh,
        ),
        (
            "inline too short",
            |_, p| p.length = ByteCount::new(4),
            Refusal::BadInline,
        ),
        (
            "another key",
            |_, p| p.key = key("other"),
            Refusal::NoSuchUpload,
        ),
        (
            "a run that is taken",
            |world, part| {
                let mut commit = world.chunked("other", 2);
                assert!(matches!(world.commit(&commit), Reply::Committed { .. }));
                part.length = commit.length;
                run_of(&mut commit).epoch = Epoch(1);
                part.place = commit.place;
            },
            Refusal::RunOverlaps,
        ),
    ];
    for (name, spoil, refusal) in cases {
        let mut world = World::new();
        let upload = world.begin("object");
        let mut part = world.inline_part("object", upload, 1, 5);
        spoil(&mut world, &mut part);
        part.request = world.request();
        let reply = world.namespace(NamespaceCommand::CommitPart(part));
        assert_eq!(reply, Reply::Refused(refusal), "{name}");
        assert_eq!(rows(&world.machine.store, &PARTS), 0, "{name}");
    }
}

/// A part that takes the place of one of 256 pieces changes no more rows than a command may.
#[test]
fn a_part_of_many_pieces_is_replaced_by_one_small_command() {
    let mut world = World::new();
    let upload = world.begin("object");
    world.put_part("object", upload, 1, 5);
    let mut row = PARTS
        .get(&world.machine.store, &(upload, 1))
        .unwrap()
        .unwrap();
    let template = row.pieces[0].clone();
    let blob_row = BLOBS
        .get(&world.machine.store, &template.blob)
        .unwrap()
        .unwrap();
    let mut txn = world.machine.store.begin();
    row.pieces = (1000..1256)
        .map(|id| {
            let blob = BlobId::new(id);
            BLOBS.put(&mut txn, &blob, &blob_row);
            PieceRow {
                blob,
                ..template.clone()
            }
        })
        .collect();
    PARTS.put(&mut txn, &(upload, 1), &row);
    world.machine.store.commit(txn.into_changes(), b"").unwrap();
    for (runs, refused) in [(190, false), (200, true)] {
        let part = in_many_runs(&mut world, upload, runs);
        let command = Command::Namespace(NamespaceCommand::CommitPart(part));
        let (reply, changed) = trial(&world.machine.store, &command);
        assert_eq!(
            reply == Reply::Refused(Refusal::TooLarge),
            refused,
            "{reply:?}"
        );
        assert!(changed <= 1000, "{changed} rows");
    }
}

/// Ten thousand parts are completed, and deleted, by one small command each; sweeping takes them away in
/// small commands, and leaves every blob dead, once.
#[test]
fn ten_thousand_parts_take_one_command() {
    let mut world = World::new();
    let upload = world.begin("object");
    let ids = world.namespace(NamespaceCommand::ReserveBlobIds { count: 10_000 });
    let Reply::Ids { first, .. } = ids else {
        panic!("{ids:?}")
    };
    let commands: Vec<_> = (1..=10_000)
        .map(|number| {
            let blob = BlobId::new(first + u64::from(number) - 1);
            let part = part(&mut world, "object", upload, number, 1, blob);
            Command::Namespace(NamespaceCommand::CommitPart(part))
        })
        .collect();
    for reply in world.machine.apply_all(commands) {
        assert!(matches!(reply, Reply::Committed { .. }), "{reply:?}");
    }
    let store = &world.machine.store;
    let born = |number| PARTS.get(store, &(upload, number)).unwrap().unwrap().born;
    let parts: Vec<_> = (1..=10_000).map(|number| (number, born(number))).collect();
    let completion = world.completion("object", upload, parts);
    let command = Command::Namespace(NamespaceCommand::CompleteUpload(completion.clone()));
    let (reply, changed) = trial(&world.machine.store, &command);
    assert!(matches!(reply, Reply::Committed { .. }), "{reply:?}");
    assert!(changed <= 60, "{changed} rows");
    world.machine.apply(command);
    check(&world.machine.store);

    // As large as such a command can be.
    let widest = CompleteUpload {
        bucket: BucketId::new(u64::MAX),
        key: key(&"k".repeat(1024)),
        attributes: vec![7; 17 << 10].into(),
        parts: vec![(10_000, u64::MAX); 10_000],
        macs: vec![Bytes::from(vec![7; 37]); 500],
        expected: Some(strongroom_metadata::command::Expected::Version(upload)),
        ..completion
    };
    let wall = WallTime(u64::MAX);
    let command = Command::Namespace(NamespaceCommand::CompleteUpload(widest));
    assert!(encode(&Proposal { wall, command }).len() <= MAX_COMMAND_BYTES);

    let deleted = world.delete("object");
    assert_eq!(deleted, Reply::Done);
    assert_eq!(
        world.lookup("object", None),
        Err(MetadataError::NoSuchObject)
    );
    let commands = world.sweep_all();
    assert_eq!(commands, 10_000 / PARTS_PER_SWEEP);
    let store = &world.machine.store;
    assert_eq!(rows(store, &RECLAIMS), 10_000);
    for left in [
        rows(store, &PARTS),
        rows(store, &MANIFESTS),
        rows(store, &SWEEPS),
    ] {
        assert_eq!(left, 0);
    }
    check(store);
}

/// Where a lookup begins and ends it is told, also for a part.
#[test]
fn a_part_is_located_by_its_number() {
    let mut world = World::new();
    let upload = world.begin("object");
    let parts: Vec<_> = [(2, 10), (5, 20), (9, 0)]
        .map(|(number, length)| (number, world.put_part("object", upload, number, length)))
        .into();
    assert!(matches!(
        world.complete("object", upload, parts),
        Reply::Committed { .. }
    ));
    let part = |number| {
        let lookup = Lookup {
            bucket: world.bucket,
            key: key("object"),
            wanted: Wanted::Part(number),
            version: None,
        };
        let found = locate(&world.machine.store, &lookup).unwrap()?;
        let starts = found
            .extents
            .iter()
            .map(|at| at.object_offset)
            .collect::<Vec<_>>();
        Ok((found.wanted, starts))
    };
    assert_eq!(part(2), Ok((0..10, vec![ByteOffset::new(0)])));
    assert_eq!(part(5), Ok((10..30, vec![ByteOffset::new(10)])));
    assert_eq!(part(9), Ok((30..30, vec![])));
    for number in [0, 1, 3, 6, 10, u32::MAX] {
        assert_eq!(
            part(number),
            Err(MetadataError::NoSuchPart { parts: 3 }),
            "{number}"
        );
    }
}
