//! `apply` against a plain map.

use crate::fixture::{Machine, World, key, run_of};
use crate::usage::check_usage;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use strongroom_metadata::command::{Command, Commit, NamespaceCommand};
use strongroom_metadata::tables::{
    BLOBS, BlobPlace, GROUP_RUNS, HEADS, INLINE, RECLAIMS, TableKey, VERSIONS, unescape,
};
use strongroom_metadata::{Proposal, Reply, apply};
use types::id::{BlobId, VersionId};
use types::placement::Epoch;
use types::wire::metadata::WallTime;

#[derive(Clone, Debug)]
enum Step {
    Inline {
        name: u8,
        length: u16,
    },
    Chunked {
        name: u8,
        chunks: u8,
        missing: bool,
    },
    Delete {
        name: u8,
    },
    /// The last commit again, under its own number or as a new request.
    Again {
        renumbered: bool,
    },
    Overlap {
        name: u8,
    },
    RaiseEpoch {
        slot: u8,
    },
    Tick {
        elapsed: u16,
    },
    NewSession,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..6_u8;
    prop_oneof![
        4 => (name.clone(), 0..=4096_u16).prop_map(|(name, length)| Step::Inline { name, length }),
        4 => (name.clone(), 1..20_u8, any::<bool>())
            .prop_map(|(name, chunks, missing)| Step::Chunked { name, chunks, missing }),
        3 => name.clone().prop_map(|name| Step::Delete { name }),
        2 => any::<bool>().prop_map(|renumbered| Step::Again { renumbered }),
        1 => name.prop_map(|name| Step::Overlap { name }),
        1 => (0..6_u8).prop_map(|slot| Step::RaiseEpoch { slot }),
        1 => any::<u16>().prop_map(|elapsed| Step::Tick { elapsed }),
        1 => Just(Step::NewSession),
    ]
}

/// What an object store is, in two maps.
#[derive(Default)]
struct Model {
    shown: BTreeMap<String, (VersionId, BlobId)>,
    dead: BTreeSet<BlobId>,
    used: BTreeSet<VersionId>,
}

impl Model {
    fn commit(&mut self, commit: &Commit) {
        let shown = (commit.version, commit.blob);
        let old = self.shown.insert(commit.key.as_str().to_owned(), shown);
        self.dead.extend(old.map(|(_, blob)| blob));
        self.used.insert(commit.version);
    }

    fn delete(&mut self, name: &str) {
        let old = self.shown.remove(name);
        self.dead.extend(old.map(|(_, blob)| blob));
    }
}

struct Trial {
    world: World,
    model: Model,
    last: Option<(Commit, Reply)>,
    epoch: u64,
}

impl Trial {
    fn new() -> Self {
        Self {
            world: World::new(),
            model: Model::default(),
            last: None,
            epoch: 1,
        }
    }

    fn take(&mut self, step: &Step) {
        let world = &mut self.world;
        match *step {
            Step::Inline { name, length } => {
                let commit = world.inline(&object(name), length.into());
                self.commit(commit);
            }
            Step::Chunked {
                name,
                chunks,
                missing,
            } => {
                let mut commit = world.chunked(&object(name), chunks.into());
                // Acknowledged just before the last closing: one slot has changed since.
                run_of(&mut commit).epoch = Epoch(self.epoch.saturating_sub(1).max(1));
                if missing {
                    run_of(&mut commit).missing = vec![types::Slot(2)];
                }
                self.commit(commit);
            }
            Step::Delete { name } => {
                assert_eq!(world.delete(&object(name)), Reply::Done);
                self.model.delete(&object(name));
            }
            Step::Again { renumbered } => self.again(renumbered),
            Step::Overlap { name } => {
                let mut commit = world.chunked(&object(name), 2);
                let taken = GROUP_RUNS.scan(&world.machine.store, &[]).next();
                if let Some(row) = taken {
                    run_of(&mut commit).first_chunk = row.unwrap().1.first;
                    assert!(matches!(world.commit(&commit), Reply::Refused(_)));
                }
            }
            Step::RaiseEpoch { slot } => {
                self.epoch += 1;
                assert_eq!(world.raise_epoch(self.epoch, &[slot]), Reply::Done);
            }
            Step::Tick { elapsed } => {
                world.machine.tick(elapsed.into());
                let session = world.session;
                let renew = NamespaceCommand::RenewSession { session };
                world.machine.namespace(renew);
            }
            Step::NewSession => {
                world.new_session();
                self.last = None;
            }
        }
    }

    fn commit(&mut self, commit: Commit) {
        let reply = self.world.commit(&commit);
        assert!(matches!(reply, Reply::Committed { .. }), "{reply:?}");
        self.model.commit(&commit);
        self.last = Some((commit, reply));
    }

    fn again(&mut self, renumbered: bool) {
        let Some((mut commit, reply)) = self.last.clone() else {
            return;
        };
        if renumbered {
            commit.request = self.world.request();
            assert!(matches!(self.world.commit(&commit), Reply::Refused(_)));
        } else if self.world.sequence == commit.request.sequence {
            assert_eq!(self.world.commit(&commit), reply);
        }
    }

    /// The rows say what the model says, and hang together.
    fn check(&self) {
        let store = &self.world.machine.store;
        check_usage(store);
        let prefix = self.world.bucket.bytes();
        let heads: BTreeMap<_, _> = HEADS
            .scan(store, &prefix)
            .map(Result::unwrap)
            .map(|(row_key, head)| (String::from(unescape(&row_key[8..]).unwrap()), head))
            .map(|(name, head)| (name, (head.version, head.extents[0].blob)))
            .collect();
        assert_eq!(heads, self.model.shown);
        let dead: BTreeSet<_> = RECLAIMS
            .scan(store, &[])
            .map(|row| BlobId::new(number(&row.unwrap().0[8..])))
            .collect();
        assert_eq!(dead, self.model.dead);
        let shown: BTreeSet<_> = heads.values().map(|(_, blob)| *blob).collect();
        let mut runs = 0;
        for row in BLOBS.scan(store, &[]) {
            let (row_key, blob) = row.unwrap();
            let id = BlobId::new(number(&row_key));
            assert_eq!(blob.references, u32::from(shown.contains(&id)));
            assert_ne!(shown.contains(&id), dead.contains(&id));
            match blob.place {
                BlobPlace::Inline => assert!(INLINE.contains(store, &id).unwrap()),
                BlobPlace::Runs { runs: of_blob, .. } => runs += of_blob.len(),
                other => panic!("{other:?}"),
            }
        }
        let mut last = (0, 0);
        for row in GROUP_RUNS.scan(store, &[]) {
            let (row_key, row) = row.unwrap();
            let (group, end) = (number(&row_key[..8]), number(&row_key[8..]));
            assert!(group > last.0 || row.first.get() > last.1, "runs overlap");
            last = (group, end);
            runs -= 1;
        }
        assert_eq!(runs, 0);
        let versions = VERSIONS.scan(store, &[]).map(Result::unwrap).count();
        assert_eq!(versions, self.model.used.len());
        assert_eq!(store.digest().unwrap(), store.running_digest());
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().unwrap())
}

fn object(name: u8) -> String {
    let names = ["a", "a\0", "b/c", "b/", "ÿ", "z"];
    names[usize::from(name)].to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is committed, overwritten, deleted, repeated or refused, the rows show what a plain map
    /// would, every blob that is not shown is dead, and runs never overlap.
    #[test]
    fn rows_show_what_a_map_would(steps in proptest::collection::vec(step(), 1..60)) {
        let mut trial = Trial::new();
        for step in &steps {
            trial.take(step);
        }
        trial.check();
    }
}

/// Servers that apply the same proposals have the same digest, however the batches fell.
#[test]
fn digests_do_not_depend_on_batches() {
    let mut world = World::new();
    let mut commands = Vec::new();
    for number in 0..40 {
        let name = format!("object-{}", number % 7);
        let commit = world.chunked(&name, 1 + number % 3);
        commands.push(Command::Namespace(NamespaceCommand::Commit(commit)));
    }
    let rows: Vec<_> = world.machine.store.rows().map(Result::unwrap).collect();
    let mut digests = BTreeSet::new();
    for batch in [1, 7, 40] {
        let machine = Machine::new();
        let start = rows
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
        digests.insert(machine.store.digest().unwrap());
        assert!(
            HEADS
                .contains(&machine.store, &(world.bucket, key("object-0")))
                .unwrap()
        );
    }
    assert_eq!(digests.len(), 1);
}
