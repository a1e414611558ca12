//! Quotas against a model that adds up maps.

use crate::fixture::World;
use crate::usage::{TENANT, check_usage, delete_bucket, exceeded, set_quota, usage_of};
use proptest::prelude::*;
use std::collections::BTreeMap;
use strongroom_metadata::command::NamespaceCommand;
use strongroom_metadata::tables::PARTS;
use strongroom_metadata::{Refusal, Reply};
use types::id::{BucketId, VersionId};
use types::wire::usage::{Exceeded, Holder, Quota};

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Put {
        bucket: usize,
        name: usize,
        length: u64,
    },
    Delete {
        bucket: usize,
        name: usize,
    },
    Begin {
        bucket: usize,
        name: usize,
    },
    Part {
        upload: usize,
        number: u32,
        length: u64,
    },
    Complete {
        upload: usize,
    },
    Abort {
        upload: usize,
    },
    /// Of a bucket, or of the tenant.
    Quota {
        bucket: Option<usize>,
        bytes: Option<u64>,
        objects: Option<u64>,
    },
    /// A bucket goes, if it may, and comes again.
    Renew {
        bucket: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (bucket, name, upload) = (0..2_usize, 0..NAMES.len(), 0..3_usize);
    let length = || 0..9_u64;
    let limits = (prop::option::of(0..30_u64), prop::option::of(0..5_u64));
    prop_oneof![
        6 => (bucket.clone(), name.clone(), length())
            .prop_map(|(bucket, name, length)| Step::Put { bucket, name, length }),
        2 => (bucket.clone(), name.clone())
            .prop_map(|(bucket, name)| Step::Delete { bucket, name }),
        2 => (bucket.clone(), name).prop_map(|(bucket, name)| Step::Begin { bucket, name }),
        5 => (upload.clone(), 1..3_u32, length())
            .prop_map(|(upload, number, length)| Step::Part { upload, number, length }),
        2 => upload.clone().prop_map(|upload| Step::Complete { upload }),
        1 => upload.prop_map(|upload| Step::Abort { upload }),
        2 => (prop::option::of(bucket.clone()), limits)
            .prop_map(|(bucket, (bytes, objects))| Step::Quota { bucket, bytes, objects }),
        1 => bucket.prop_map(|bucket| Step::Renew { bucket }),
    ]
}

/// Objects and uploads of two buckets, and what may be in them.
#[derive(Clone, Default)]
struct Model {
    objects: BTreeMap<(usize, &'static str), u64>,
    uploads: Vec<Upload>,
    quotas: [Quota; 2],
    tenant: Quota,
}

#[derive(Clone)]
struct Upload {
    bucket: usize,
    name: &'static str,
    id: VersionId,
    parts: BTreeMap<u32, u64>,
}

impl Model {
    /// Bytes, and objects.
    fn used(&self, bucket: usize) -> (u64, u64) {
        let objects = self.objects.iter().filter(|(at, _)| at.0 == bucket);
        let uploads = self.uploads.iter().filter(|upload| upload.bucket == bucket);
        let count = objects.clone().count() as u64;
        let bytes: u64 = objects.map(|(_, length)| length).sum();
        let parts: u64 = uploads.flat_map(|upload| upload.parts.values()).sum();
        (bytes + parts, count)
    }

    /// Why what comes next may not be, in a bucket.
    fn refuses(&self, next: &Self, bucket: usize) -> Option<Exceeded> {
        let all = |model: &Self| {
            let (one, other) = (model.used(0), model.used(1));
            (one.0 + other.0, one.1 + other.1)
        };
        let beyond = |quota: Quota, before: (u64, u64), after: (u64, u64)| {
            let grows = |most: Option<u64>, before, after| {
                most.is_some_and(|most| after > most && after > before)
            };
            let bytes = grows(quota.bytes, before.0, after.0);
            (bytes, grows(quota.objects, before.1, after.1))
        };
        match beyond(self.quotas[bucket], self.used(bucket), next.used(bucket)) {
            (true, _) => return Some(Exceeded::BucketBytes),
            (_, true) => return Some(Exceeded::BucketObjects),
            _ => {}
        }
        match beyond(self.tenant, all(self), all(next)) {
            (true, _) => Some(Exceeded::TenantBytes),
            (_, true) => Some(Exceeded::TenantObjects),
            _ => None,
        }
    }
}

struct Account {
    world: World,
    buckets: [BucketId; 2],
    model: Model,
}

impl Account {
    fn new() -> Self {
        let mut world = World::new();
        let buckets = [world.bucket, world.make_bucket("other")];
        Self {
            world,
            buckets,
            model: Model::default(),
        }
    }

    /// The model becomes `next` just when the reply says that it was done; and it may be refused only for a quota.
    fn judge(&mut self, bucket: usize, next: Model, reply: &Reply) {
        match self.model.refuses(&next, bucket) {
            Some(what) => assert_eq!(*reply, exceeded(what)),
            None => {
                assert!(matches!(reply, Reply::Committed { .. }), "{reply:?}");
                self.model = next;
            }
        }
    }

    fn take(&mut self, step: &Step) {
        let mut next = self.model.clone();
        match *step {
            Step::Put {
                bucket,
                name,
                length,
            } => {
                self.world.bucket = self.buckets[bucket];
                let commit = self.world.inline(NAMES[name], length);
                next.objects.insert((bucket, NAMES[name]), length);
                let reply = self.world.commit(&commit);
                self.judge(bucket, next, &reply);
                // Whatever the answer was, it is the same again.
                assert_eq!(self.world.commit(&commit), reply);
            }
            Step::Delete { bucket, name } => {
                self.world.bucket = self.buckets[bucket];
                assert_eq!(self.world.delete(NAMES[name]), Reply::Done);
                self.model.objects.remove(&(bucket, NAMES[name]));
            }
            Step::Begin { bucket, name } => self.begin(bucket, NAMES[name]),
            Step::Part {
                upload,
                number,
                length,
            } => {
                if let Some(to) = next.uploads.get_mut(upload) {
                    to.parts.insert(number, length);
                    let (bucket, name, id) = (to.bucket, to.name, to.id);
                    self.world.bucket = self.buckets[bucket];
                    let part = self.world.inline_part(name, id, number, length);
                    let reply = self.world.namespace(NamespaceCommand::CommitPart(part));
                    self.judge(bucket, next, &reply);
                }
            }
            Step::Complete { upload } => self.complete(upload, next),
            Step::Abort { upload } => {
                if upload < self.model.uploads.len() {
                    let gone = self.model.uploads.remove(upload);
                    self.world.bucket = self.buckets[gone.bucket];
                    assert_eq!(self.world.abort(gone.name, gone.id), Reply::Done);
                }
            }
            Step::Quota {
                bucket,
                bytes,
                objects,
            } => {
                let quota = Quota { bytes, objects };
                let holder = match bucket {
                    Some(bucket) => {
                        self.model.quotas[bucket] = quota;
                        Holder::Bucket(self.buckets[bucket])
                    }
                    None => {
                        self.model.tenant = quota;
                        Holder::Tenant(TENANT)
                    }
                };
                let set = set_quota(&self.world, holder, bytes, objects);
                assert_eq!(set, Reply::Quota(quota));
            }
            Step::Renew { bucket } => self.renew(bucket),
        }
    }

    fn begin(&mut self, bucket: usize, name: &'static str) {
        self.world.bucket = self.buckets[bucket];
        let mut next = self.model.clone();
        next.objects.insert((bucket, name), 0);
        let room = self.model.refuses(&next, bucket);
        let (id, reply) = self.world.try_to_begin(name);
        match room {
            Some(what) => assert_eq!(reply, exceeded(what)),
            None => {
                assert!(matches!(reply, Reply::Committed { .. }), "{reply:?}");
                let parts = BTreeMap::new();
                self.model.uploads.push(Upload {
                    bucket,
                    name,
                    id,
                    parts,
                });
            }
        }
    }

    fn complete(&mut self, upload: usize, mut next: Model) {
        if upload >= next.uploads.len() {
            return;
        }
        let Upload {
            bucket,
            name,
            id,
            parts,
        } = next.uploads.remove(upload);
        // Only the last part may be empty.
        let whole = parts.iter().filter(|(_, length)| **length > 0);
        let chosen: BTreeMap<u32, u64> = whole.map(|(number, length)| (*number, *length)).collect();
        if chosen.is_empty() {
            return;
        }
        self.world.bucket = self.buckets[bucket];
        let store = &self.world.machine.store;
        let born = |number: &u32| PARTS.get(store, &(id, *number)).unwrap().unwrap().born;
        let named = chosen
            .keys()
            .map(|number| (*number, born(number)))
            .collect();
        next.objects.insert((bucket, name), chosen.values().sum());
        let reply = self.world.complete(name, id, named);
        self.judge(bucket, next, &reply);
    }

    fn renew(&mut self, bucket: usize) {
        let empty = self.model.objects.keys().all(|at| at.0 != bucket);
        let deleted = delete_bucket(&mut self.world, self.buckets[bucket]);
        if !empty {
            assert_eq!(deleted, Reply::Refused(Refusal::BucketNotEmpty));
            return;
        }
        assert_eq!(deleted, Reply::Done);
        check_usage(&self.world.machine.store);
        self.model.uploads.retain(|upload| upload.bucket != bucket);
        self.model.quotas[bucket] = Quota::default();
        let name = format!("bucket-{}", self.world.drawn + self.world.sequence);
        let gone = std::mem::replace(&mut self.buckets[bucket], self.world.make_bucket(&name));
        let clear = NamespaceCommand::ClearBucket { bucket: gone };
        assert_eq!(self.world.namespace(clear), Reply::Done);
    }

    fn check(&self) {
        check_usage(&self.world.machine.store);
        for (bucket, id) in self.buckets.iter().enumerate() {
            let used = usage_of(&self.world, *id).unwrap();
            let held = (used.held_bytes(), used.versions);
            assert_eq!(held, self.model.used(bucket));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// What does not fit is refused, what fits is not, to the byte and to the object: of a bucket, and of all buckets
    /// of a tenant. What goes, or shrinks, always may.
    /// Method: two buckets under quotas that change, beside a model that adds up maps.
    #[test]
    fn quotas_hold_exactly(steps in prop::collection::vec(step(), 1..60)) {
        let mut account = Account::new();
        for step in &steps {
            account.take(step);
            account.check();
        }
        account.world.sweep_all();
        account.check();
    }
}
