//! What is dead is condemned, removed and forgotten, against a model that knows nothing of rows; and what is
//! missing is recorded and cleared.

use crate::fixture::{World, close_lease, run_of};
use crate::uploads::trial;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use strongroom_metadata::apply::{MAX_RUNS, RUNS_PER_WALK, forgettable};
use strongroom_metadata::command::{Command, CommittedPlace, NamespaceCommand};
use strongroom_metadata::locate::locate;
use strongroom_metadata::tables::*;
use strongroom_metadata::{Refusal, Reply, Store};
use types::id::{BlobId, ChunkId, GroupId};
use types::placement::{Epoch, Slot};
use types::wire::metadata::{Lookup, MetadataError, Wanted, WrittenRun};
use types::wire::upkeep::{Repaired, RunSlot};

const SHARDS: u8 = 6;

impl World {
    fn condemn(&self, died_before_ms: u64) {
        let condemn = NamespaceCommand::Condemn { died_before_ms };
        assert_eq!(self.machine.namespace(condemn), Reply::Done);
    }

    fn forget(&self, died_before_ms: u64) {
        let forget = NamespaceCommand::Forget { died_before_ms };
        assert_eq!(self.machine.namespace(forget), Reply::Done);
    }

    fn deleted(&self, slots: Vec<RunSlot>) {
        let deleted = NamespaceCommand::Deleted { slots };
        assert_eq!(self.machine.namespace(deleted), Reply::Done);
    }
}

fn at(run: &WrittenRun, slot: u8) -> RunSlot {
    RunSlot {
        group: run.group,
        first_chunk: run.first_chunk,
        slot: Slot(slot),
    }
}

fn count<K: TableKey, V: serde::Serialize + serde::de::DeserializeOwned>(
    store: &Store,
    table: &Table<K, V>,
) -> usize {
    table.scan(store, &[]).map(Result::unwrap).count()
}

/// A dead blob is readable by who knows it until it is condemned; its run's row stays until every disk has
/// removed it and its lease is over, its own until its wraps have expired.
#[test]
fn a_dead_blob_goes_step_by_step() {
    let mut world = World::new();
    world.machine.tick(1000);
    let inline = world.inline("inline", 7);
    let mut chunked = world.chunked("chunked", 3);
    run_of(&mut chunked).missing = vec![Slot(4)];
    for commit in [&inline, &chunked] {
        assert!(matches!(world.commit(commit), Reply::Committed { .. }));
    }
    assert_eq!(world.delete("inline"), Reply::Done);
    assert_eq!(world.delete("chunked"), Reply::Done);
    let find = |world: &World, commit: &strongroom_metadata::command::Commit| {
        let lookup = Lookup {
            bucket: world.bucket,
            key: commit.key.clone(),
            wanted: Wanted::All,
            version: Some(commit.version),
        };
        let found = locate(&world.machine.store, &lookup).unwrap();
        found.map(|found| (found.length.get(), found.extents.len(), found.past_for_ms))
    };
    let length = chunked.length.get();
    world.machine.tick(50);
    assert_eq!(find(&world, &inline), Ok((7, 1, Some(50))));
    assert_eq!(find(&world, &chunked), Ok((length, 1, Some(50))));

    world.condemn(1000);
    assert_eq!(find(&world, &chunked), Ok((length, 1, Some(50))));
    assert_eq!(count(&world.machine.store, &DELETES), 0);
    world.condemn(1001);
    for commit in [&inline, &chunked] {
        assert_eq!(find(&world, commit), Err(MetadataError::NoSuchObject));
    }
    let store = &world.machine.store;
    let left = (count(store, &INLINE), count(store, &REPAIRS));
    let more = (count(store, &RECLAIMS), count(store, &PASTS));
    assert_eq!((left, more), ((0, 0), (0, 0)));
    assert_eq!(count(store, &DELETES), usize::from(SHARDS));

    let run = run_of(&mut chunked).clone();
    world.deleted((0..5).map(|slot| at(&run, slot)).collect());
    world.deleted(vec![at(&run, 0)]);
    assert_eq!(forgettable(store).unwrap(), vec![]);
    assert_eq!(count(store, &SPENT_RUNS), 0);
    world.deleted(vec![at(&run, 5)]);
    assert_eq!(count(store, &DELETES), 0);
    // The lease still covers its ids.
    world.forget(0);
    assert_eq!(count(store, &GROUP_RUNS), 1);
    let mut again = world.chunked("again", 3);
    run_of(&mut again).first_chunk = run.first_chunk;
    let overlaps = Reply::Refused(Refusal::RunOverlaps);
    assert_eq!(world.commit(&again), overlaps);
    close_lease(&world.machine, world.session, world.lease.id);
    world.forget(1000);
    let store = &world.machine.store;
    assert_eq!(count(store, &GROUP_RUNS), 0);
    // A wrap may still be valid: neither blob is committed anew.
    assert_eq!(count(store, &BLOBS), 2);
    let mut stale = world.inline("stale", 7);
    stale.blob = inline.blob;
    let fresh = Reply::Refused(Refusal::BlobNotFresh);
    assert_eq!(world.commit(&stale), fresh);
    world.forget(1001);
    let store = &world.machine.store;
    assert_eq!((count(store, &BLOBS), count(store, &CONDEMNED)), (0, 0));
}

/// What shares a blob with what was deleted keeps it alive.
#[test]
fn a_blob_that_is_shown_is_never_condemned() {
    let mut world = World::new();
    let chunked = world.chunked("kept", 1);
    assert!(matches!(world.commit(&chunked), Reply::Committed { .. }));
    world.machine.tick(10);
    world.condemn(u64::MAX);
    assert_eq!(count(&world.machine.store, &DELETES), 0);
    let blob = BLOBS.get(&world.machine.store, &chunked.blob).unwrap();
    assert_eq!(blob.unwrap().condemned, None);
}

/// A blob of as many runs as may be is condemned, walked and forgotten by small commands.
#[test]
fn large_blobs_go_by_small_commands() {
    let mut world = World::new();
    let runs = u32::try_from(MAX_RUNS).unwrap();
    let mut commit = world.chunked("large", runs);
    let whole = run_of(&mut commit).clone();
    let one = |index: u32| WrittenRun {
        first_chunk: whole.first_chunk.plus(u64::from(index)),
        chunks: 1,
        first_index: u64::from(index),
        ..whole.clone()
    };
    if let CommittedPlace::Runs { runs: written, .. } = &mut commit.place {
        *written = (0..runs).map(one).collect();
    }
    assert!(matches!(world.commit(&commit), Reply::Committed { .. }));
    for _ in 0..2 * RUNS_PER_WALK - MAX_RUNS {
        let more = world.chunked(&format!("more-{}", world.sequence), 1);
        assert!(matches!(world.commit(&more), Reply::Committed { .. }));
    }
    let mut walks = 0;
    let mut next = Some(ChunkId::new(0));
    while let Some(from) = next {
        let (group, slot) = (world.groups[0], Slot(2));
        let walk = Command::Namespace(NamespaceCommand::RecordSlot { group, slot, from });
        let (_, changed) = trial(&world.machine.store, &walk);
        assert!((400..=1000).contains(&changed), "{changed} rows");
        next = match world.machine.apply(walk) {
            Reply::Walked { next } => next,
            other => panic!("{other:?}"),
        };
        walks += 1;
    }
    assert_eq!(walks, 2);
    let store = &world.machine.store;
    assert_eq!(count(store, &REPAIRS), 2 * RUNS_PER_WALK);

    assert_eq!(world.delete("large"), Reply::Done);
    let condemn = Command::Namespace(NamespaceCommand::Condemn {
        died_before_ms: u64::MAX,
    });
    let mut commands = 0;
    while count(&world.machine.store, &RECLAIMS) > 0 {
        let (_, changed) = trial(&world.machine.store, &condemn);
        assert!(changed <= 1000, "{changed} rows");
        world.machine.apply(condemn.clone());
        commands += 1;
    }
    // Seven rows a run, and its repair row.
    assert_eq!(commands, (MAX_RUNS * 8).div_ceil(900));
    for index in 0..runs {
        let run = one(index);
        world.deleted((0..SHARDS).map(|slot| at(&run, slot)).collect());
    }
    close_lease(&world.machine, world.session, world.lease.id);
    let forget = Command::Namespace(NamespaceCommand::Forget {
        died_before_ms: u64::MAX,
    });
    while !forgettable(&world.machine.store).unwrap().is_empty() {
        let (_, changed) = trial(&world.machine.store, &forget);
        assert!(changed <= 1000, "{changed} rows");
        world.machine.apply(forget.clone());
    }
    assert!(
        BLOBS
            .get(&world.machine.store, &commit.blob)
            .unwrap()
            .is_none()
    );
}

#[derive(Clone, Debug)]
enum Step {
    Put { name: u8, chunks: u32, missing: u8 },
    Inline { name: u8 },
    Delete { name: u8 },
    Tick { elapsed: u64 },
    Condemn { age: u64 },
    Deleted { pick: usize, slots: u8 },
    Forget { age: u64 },
    NewSession,
    Missing { pick: usize, slot: u8 },
    WalkSlot { slot: u8 },
    Close { slot: u8 },
    Repaired { pick: usize, slot: u8, behind: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let (name, slot) = (|| 0..4_u8, || 0..SHARDS);
    prop_oneof![
        6 => (name(), 1..4_u32, 0..9_u8)
            .prop_map(|(name, chunks, missing)| Step::Put { name, chunks, missing }),
        1 => name().prop_map(|name| Step::Inline { name }),
        3 => name().prop_map(|name| Step::Delete { name }),
        2 => (0..40_u64).prop_map(|elapsed| Step::Tick { elapsed }),
        3 => (0..30_u64).prop_map(|age| Step::Condemn { age }),
        6 => (any::<usize>(), any::<u8>())
            .prop_map(|(pick, slots)| Step::Deleted { pick, slots: slots | 3 }),
        2 => (0..60_u64).prop_map(|age| Step::Forget { age }),
        1 => Just(Step::NewSession),
        3 => (any::<usize>(), slot()).prop_map(|(pick, slot)| Step::Missing { pick, slot }),
        1 => slot().prop_map(|slot| Step::WalkSlot { slot }),
        1 => slot().prop_map(|slot| Step::Close { slot }),
        4 => (any::<usize>(), slot(), 0..2_u64)
            .prop_map(|(pick, slot, behind)| Step::Repaired { pick, slot, behind }),
    ]
}

/// A blob as the naive model has it.
#[derive(Clone, Debug)]
struct Naive {
    /// Its only run, if it has one, and the lease of that.
    run: Option<(WrittenRun, bool)>,
    died: Option<u64>,
    condemned: bool,
    /// Its wraps have.
    expired: bool,
    /// The run's row is there.
    known: bool,
    missing: BTreeSet<u8>,
    pending: BTreeSet<u8>,
}

struct Trial {
    world: World,
    now_ms: u64,
    epoch: u64,
    closed: [u64; SHARDS as usize],
    shown: BTreeMap<u8, BlobId>,
    blobs: BTreeMap<BlobId, Naive>,
}

impl Trial {
    fn new() -> Self {
        Self {
            world: World::new(),
            now_ms: 0,
            epoch: 1,
            closed: [1; SHARDS as usize],
            shown: BTreeMap::new(),
            blobs: BTreeMap::new(),
        }
    }

    fn replaced(&mut self, name: u8, by: Option<BlobId>) {
        let old = match by {
            Some(by) => self.shown.insert(name, by),
            None => self.shown.remove(&name),
        };
        if let Some(old) = old {
            self.blobs.get_mut(&old).unwrap().died = Some(self.now_ms);
        }
    }

    fn put(&mut self, name: u8, commit: strongroom_metadata::command::Commit) {
        assert!(matches!(
            self.world.commit(&commit),
            Reply::Committed { .. }
        ));
        let mut naive = Naive {
            run: None,
            died: None,
            condemned: false,
            expired: false,
            known: true,
            missing: BTreeSet::new(),
            pending: BTreeSet::new(),
        };
        if let CommittedPlace::Runs { runs, .. } = &commit.place {
            naive.missing = runs[0].missing.iter().map(|slot| slot.0).collect();
            naive.run = Some((runs[0].clone(), true));
        }
        self.blobs.insert(commit.blob, naive);
        self.replaced(name, Some(commit.blob));
    }

    fn pick(&self, pick: usize) -> Option<BlobId> {
        let chunked = self.blobs.iter().filter(|(_, blob)| blob.run.is_some());
        let ids: Vec<_> = chunked.map(|(id, _)| *id).collect();
        (!ids.is_empty()).then(|| ids[pick % ids.len()])
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Put {
                name,
                chunks,
                missing,
            } => {
                let mut commit = self.world.chunked(&format!("object-{name}"), chunks);
                let run = run_of(&mut commit);
                run.epoch = Epoch(self.epoch);
                run.missing
                    .extend((missing < SHARDS).then_some(Slot(missing)));
                self.put(name, commit);
            }
            Step::Inline { name } => {
                let commit = self.world.inline(&format!("object-{name}"), 3);
                self.put(name, commit);
            }
            Step::Delete { name } => {
                assert_eq!(self.world.delete(&format!("object-{name}")), Reply::Done);
                self.replaced(name, None);
            }
            Step::Tick { elapsed } => self.now_ms = self.world.machine.tick(elapsed),
            Step::Condemn { age } => {
                let before = (self.now_ms + 1).saturating_sub(age);
                // No more than one command does.
                self.world.condemn(before);
                for blob in self.blobs.values_mut() {
                    if !blob.condemned && blob.died.is_some_and(|died| died < before) {
                        blob.condemned = true;
                        blob.missing.clear();
                        if blob.run.is_some() {
                            blob.pending = (0..SHARDS).collect();
                        }
                    }
                }
            }
            Step::Deleted { pick, slots } => {
                let Some(id) = self.pick(pick) else { return };
                let blob = self.blobs.get_mut(&id).unwrap();
                let run = blob.run.as_ref().unwrap().0.clone();
                let done = (0..SHARDS).filter(|slot| slots & 1 << slot != 0);
                let done: Vec<_> = done.collect();
                blob.pending.retain(|slot| !done.contains(slot));
                self.world
                    .deleted(done.into_iter().map(|slot| at(&run, slot)).collect());
            }
            Step::Forget { age } => {
                let before = self.now_ms.saturating_sub(age);
                self.world.forget(before);
                for blob in self.blobs.values_mut() {
                    let removed = blob.condemned && blob.pending.is_empty();
                    if let Some((_, leased)) = &blob.run
                        && removed
                        && !leased
                    {
                        blob.known = false;
                    }
                }
                self.aged(before);
            }
            Step::NewSession => {
                close_lease(&self.world.machine, self.world.session, self.world.lease.id);
                self.world.new_session();
                for blob in self.blobs.values_mut() {
                    if let Some((_, leased)) = &mut blob.run {
                        *leased = false;
                    }
                }
            }
            Step::Missing { pick, slot } => {
                let Some(id) = self.pick(pick) else { return };
                let blob = self.blobs.get_mut(&id).unwrap();
                let slots = vec![at(&blob.run.as_ref().unwrap().0, slot)];
                if blob.died.is_none() {
                    blob.missing.insert(slot);
                }
                let record = NamespaceCommand::RecordMissing { slots };
                assert_eq!(self.world.machine.namespace(record), Reply::Done);
            }
            Step::WalkSlot { slot } => {
                let (group, from) = (self.world.groups[0], ChunkId::new(0));
                let slot_id = Slot(slot);
                let walk = NamespaceCommand::RecordSlot {
                    group,
                    slot: slot_id,
                    from,
                };
                let walked = self.world.machine.namespace(walk);
                assert_eq!(walked, Reply::Walked { next: None });
                for blob in self.blobs.values_mut() {
                    if blob.run.is_some() && !blob.condemned {
                        blob.missing.insert(slot);
                    }
                }
            }
            Step::Close { slot } => {
                self.epoch += 1;
                self.closed[usize::from(slot)] = self.epoch;
                assert_eq!(self.world.raise_epoch(self.epoch, &[slot]), Reply::Done);
            }
            Step::Repaired { pick, slot, behind } => {
                let Some(id) = self.pick(pick) else { return };
                let epoch = self.epoch.saturating_sub(behind);
                let blob = self.blobs.get_mut(&id).unwrap();
                let at = at(&blob.run.as_ref().unwrap().0, slot);
                if self.closed[usize::from(slot)] <= epoch {
                    blob.missing.remove(&slot);
                }
                let epoch = Epoch(epoch);
                let done = vec![Repaired { at, epoch }];
                let clear = NamespaceCommand::ClearRepairs { done };
                assert_eq!(self.world.machine.namespace(clear), Reply::Done);
            }
        }
    }

    /// Blobs whose wraps have expired, and that are nowhere, are gone.
    fn aged(&mut self, before: u64) {
        self.blobs.retain(|_, blob| {
            let aged = blob.condemned && blob.died.is_some_and(|died| died < before);
            let nowhere = blob.run.is_none() || !blob.known;
            blob.expired |= aged;
            !(blob.expired && nowhere)
        });
    }

    fn check(&self) {
        let store = &self.world.machine.store;
        let runs = |blobs: &BTreeMap<BlobId, Naive>, of: fn(&Naive) -> Vec<u8>| {
            let mut all: BTreeSet<(GroupId, ChunkId, u8)> = BTreeSet::new();
            for blob in blobs.values() {
                if let Some((run, _)) = &blob.run {
                    let slots = of(blob).into_iter();
                    all.extend(slots.map(|slot| (run.group, run.first_chunk, slot)));
                }
            }
            all
        };
        let pending = runs(&self.blobs, |blob| blob.pending.iter().copied().collect());
        let deletes = DELETES.scan(store, &[]).map(|row| {
            let (key, _) = row.unwrap();
            let (group, chunk) = (number(&key[..8]), number(&key[9..]));
            (GroupId::new(group), ChunkId::new(chunk), key[8])
        });
        assert_eq!(deletes.collect::<BTreeSet<_>>(), pending);
        let missing = runs(&self.blobs, |blob| blob.missing.iter().copied().collect());
        let repairs = REPAIRS.scan(store, &[]).map(|row| {
            let (key, _) = row.unwrap();
            let (group, chunk) = (number(&key[..8]), number(&key[8..16]));
            (GroupId::new(group), ChunkId::new(chunk), key[16])
        });
        assert_eq!(repairs.collect::<BTreeSet<_>>(), missing);
        let known = runs(&self.blobs, |blob| Vec::from_iter(blob.known.then_some(0)));
        let rows = GROUP_RUNS.scan(store, &[]).map(|row| {
            let (key, row) = row.unwrap();
            (GroupId::new(number(&key[..8])), row.first, 0)
        });
        assert_eq!(rows.collect::<BTreeSet<_>>(), known);
        let blobs: BTreeMap<_, _> = BLOBS
            .scan(store, &[])
            .map(|row| row.unwrap())
            .map(|(key, row)| (BlobId::new(number(&key)), row))
            .collect();
        assert!(blobs.keys().eq(self.blobs.keys()));
        for (id, row) in &blobs {
            let naive = &self.blobs[id];
            assert_eq!(row.references == 0, naive.died.is_some());
            assert_eq!(row.condemned.is_some(), naive.condemned);
            let inline = INLINE.contains(store, id).unwrap();
            assert_eq!(inline, naive.run.is_none() && !naive.condemned);
            if let BlobPlace::Runs { runs, .. } = &row.place
                && !naive.condemned
            {
                let missing: Vec<_> = runs[0].missing.iter().map(|slot| slot.0).collect();
                assert!(missing.iter().eq(naive.missing.iter()));
            }
        }
        assert_eq!(store.digest().unwrap(), store.running_digest());
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is written, deleted, found missing, made again, condemned, removed and forgotten, in whatever
    /// order: rows are what a naive model says.
    #[test]
    fn rows_are_what_a_naive_model_says(steps in prop::collection::vec(step(), 1..80)) {
        let mut trial = Trial::new();
        for step in &steps {
            trial.take(step);
            trial.check();
        }
    }
}
