//! Reference counts against a model that knows nothing of rows.

use crate::fixture::{World, key};
use crate::uploads::check;
use crate::usage::check_usage;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use strongroom_metadata::command::{
    CommitPart, Copied, CopiedManifest, CopyPart, Delete, Expected, NamespaceCommand,
};
use strongroom_metadata::tables::{BLOBS, PARTS};
use strongroom_metadata::{Refusal, Reply};
use types::id::{BlobId, VersionId};
use types::size::{ByteCount, ByteOffset, MIB};

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Puts an object, or overwrites one.
    Put {
        name: usize,
        chunks: u32,
    },
    Delete {
        name: usize,
    },
    /// Copies an object whole, maybe onto itself.
    Copy {
        from: usize,
        to: usize,
    },
    Begin {
        name: usize,
    },
    Part {
        upload: usize,
        number: u32,
        chunks: u32,
    },
    /// Copies an object, or all but a good MiB at each end, into an upload.
    CopyPart {
        from: usize,
        upload: usize,
        number: u32,
        cut: bool,
    },
    /// Completes an upload with all of its parts, or all but the first.
    Complete {
        upload: usize,
        all: bool,
    },
    Abort {
        upload: usize,
    },
    Sweep,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let (name, upload, number) = (0..NAMES.len(), 0..4_usize, 1..4_u32);
    prop_oneof![
        3 => (name.clone(), 1..3_u32).prop_map(|(name, chunks)| Step::Put { name, chunks }),
        2 => name.clone().prop_map(|name| Step::Delete { name }),
        5 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Copy { from, to }),
        2 => name.clone().prop_map(|name| Step::Begin { name }),
        3 => (upload.clone(), number.clone(), 1..3_u32)
            .prop_map(|(upload, number, chunks)| Step::Part { upload, number, chunks }),
        5 => (name, upload.clone(), number, any::<bool>())
            .prop_map(|(from, upload, number, cut)| Step::CopyPart { from, upload, number, cut }),
        3 => (upload.clone(), any::<bool>())
            .prop_map(|(upload, all)| Step::Complete { upload, all }),
        1 => upload.prop_map(|upload| Step::Abort { upload }),
        1 => Just(Step::Sweep),
    ]
}

/// Pieces of blobs, with their lengths, as an object or a part shows them.
type Pieces = Vec<(BlobId, u64)>;

/// What is left of pieces without so many bytes at each end.
fn cut_by(pieces: &Pieces, at: u64) -> Pieces {
    let total: u64 = pieces.iter().map(|(_, length)| length).sum();
    let mut left = Pieces::new();
    let mut start = 0;
    for (blob, length) in pieces {
        let (from, to) = (
            start.max(at),
            (start + length).min(total.saturating_sub(at)),
        );
        if from < to {
            left.push((*blob, to - from));
        }
        start += length;
    }
    left
}

/// An object: its parts, or one without a number.
#[derive(Clone, Debug)]
struct Object {
    version: VersionId,
    parts: BTreeMap<u32, Pieces>,
}

#[derive(Clone, Debug)]
struct Upload {
    name: &'static str,
    id: VersionId,
    parts: BTreeMap<u32, Pieces>,
}

pub(crate) struct Trial {
    pub(crate) world: World,
    objects: BTreeMap<&'static str, Object>,
    uploads: Vec<Upload>,
    dead: BTreeSet<BlobId>,
}

impl Trial {
    pub(crate) fn over(world: World) -> Self {
        Self {
            world,
            objects: BTreeMap::new(),
            uploads: Vec::new(),
            dead: BTreeSet::new(),
        }
    }

    pub(crate) fn take(&mut self, step: &Step) {
        match *step {
            Step::Put { name, chunks } => self.put(NAMES[name], chunks),
            Step::Delete { name } => self.delete(NAMES[name]),
            Step::Copy { from, to } => self.copy(NAMES[from], NAMES[to]),
            Step::Begin { name } => {
                let (name, id) = (NAMES[name], self.world.begin(NAMES[name]));
                let parts = BTreeMap::new();
                self.uploads.push(Upload { name, id, parts });
            }
            Step::Part {
                upload,
                number,
                chunks,
            } => self.part(upload, number, chunks),
            Step::CopyPart {
                from,
                upload,
                number,
                cut,
            } => self.copy_part(NAMES[from], upload, number, cut),
            Step::Complete { upload, all } => self.complete(upload, all),
            Step::Abort { upload } => {
                if upload < self.uploads.len() {
                    let gone = self.uploads.remove(upload);
                    let reply = self.world.abort(gone.name, gone.id);
                    assert_eq!(reply, Reply::Done);
                }
            }
            Step::Sweep => drop(self.world.sweep_all()),
        }
    }

    fn put(&mut self, name: &'static str, chunks: u32) {
        let commit = self.world.chunked(name, chunks);
        committed(&self.world.commit(&commit));
        let pieces = vec![(commit.blob, commit.length.get())];
        let (version, parts) = (commit.version, [(0, pieces)].into());
        self.objects.insert(name, Object { version, parts });
    }

    fn delete(&mut self, name: &'static str) {
        let shown = self.objects.remove(name);
        let delete = Delete {
            request: self.world.request(),
            bucket: self.world.bucket,
            key: key(name),
            expected: Some(
                shown.map_or(Expected::Absent, |object| Expected::Version(object.version)),
            ),
        };
        let reply = self.world.namespace(NamespaceCommand::DeleteObject(delete));
        assert_eq!(reply, Reply::Done);
    }

    fn source(&self, name: &str, object: &Object) -> Copied {
        Copied {
            bucket: self.world.bucket,
            key: key(name),
            version: object.version,
        }
    }

    fn copy(&mut self, from: &'static str, to: &'static str) {
        let Some(object) = self.objects.get(from).cloned() else {
            return;
        };
        let source = self.source(from, &object);
        let mut copy = self.world.copy(source, to);
        let pieces = object.parts.values().map(Vec::len).sum();
        copy.wraps = vec![Bytes::from_static(b"wrap"); pieces];
        if !object.parts.contains_key(&0) {
            copy.manifest = Some(CopiedManifest {
                parts: vec![Bytes::from_static(b"sealed part"); object.parts.len()],
                macs: vec![Bytes::from_static(b"mac")],
            });
        }
        committed(&self.world.apply_copy(&copy));
        let version = copy.version;
        self.objects.insert(to, Object { version, ..object });
    }

    fn part(&mut self, upload: usize, number: u32, chunks: u32) {
        let Some(upload) = self.uploads.get_mut(upload) else {
            return;
        };
        // The place and blob of a commit that is never made serve as well.
        let commit = self.world.chunked(upload.name, chunks);
        let part = CommitPart {
            request: commit.request,
            bucket: commit.bucket,
            key: commit.key,
            upload: upload.id,
            number,
            length: commit.length,
            kek_version: 1,
            sealed: Bytes::from_static(b"sealed part"),
            blob: commit.blob,
            wrap: commit.wrap,
            wrap_expires_ms: u64::MAX,
            place: commit.place,
        };
        committed(&self.world.namespace(NamespaceCommand::CommitPart(part)));
        let pieces = vec![(commit.blob, commit.length.get())];
        upload.parts.insert(number, pieces);
    }

    fn copy_part(&mut self, from: &'static str, upload: usize, number: u32, cut: bool) {
        let (Some(object), Some(to)) = (self.objects.get(from), self.uploads.get(upload)) else {
            return;
        };
        let whole: Pieces = object.parts.values().flatten().copied().collect();
        let at = if cut { MIB + 1 } else { 0 };
        let pieces = cut_by(&whole, at);
        let total: u64 = whole.iter().map(|(_, length)| length).sum();
        let copy = CopyPart {
            source: self.source(from, object),
            first: ByteOffset::new(at),
            length: ByteCount::new(total.saturating_sub(2 * at)),
            bucket: self.world.bucket,
            key: key(to.name),
            upload: to.id,
            number,
            kek_version: 1,
            sealed: Bytes::from_static(b"sealed part"),
            wraps: vec![Bytes::from_static(b"wrap"); pieces.len()],
            request: self.world.request(),
        };
        let reply = self.world.namespace(NamespaceCommand::CopyPart(copy));
        if pieces.is_empty() || pieces.iter().any(|(_, length)| *length < MIB) {
            assert_eq!(reply, Reply::Refused(Refusal::NotShareable));
        } else {
            committed(&reply);
            self.uploads[upload].parts.insert(number, pieces);
        }
    }

    fn complete(&mut self, upload: usize, all: bool) {
        let Some(Upload { name, id, parts }) = self.uploads.get(upload).cloned() else {
            return;
        };
        let shown: BTreeMap<_, _> = parts.into_iter().skip(usize::from(!all)).collect();
        if shown.is_empty() {
            return;
        }
        let store = &self.world.machine.store;
        let born = |number: &u32| PARTS.get(store, &(id, *number)).unwrap().unwrap().born;
        let chosen = shown.keys().map(|number| (*number, born(number))).collect();
        committed(&self.world.complete(name, id, chosen));
        self.uploads.remove(upload);
        let object = Object {
            version: id,
            parts: shown,
        };
        self.objects.insert(name, object);
    }

    /// No blob that was dead lives again; and once all is swept, each has as many references as it is shown.
    fn check(&mut self, swept: bool) {
        let store = &self.world.machine.store;
        check(store);
        check_usage(store);
        let mut shown: BTreeMap<BlobId, u32> = BTreeMap::new();
        let objects = self.objects.values().map(|object| &object.parts);
        let uploads = self.uploads.iter().map(|upload| &upload.parts);
        let parts = objects.chain(uploads).flat_map(BTreeMap::values);
        for (blob, _) in parts.flatten() {
            *shown.entry(*blob).or_default() += 1;
        }
        for row in BLOBS.scan(store, &[]) {
            let (row_key, row) = row.unwrap();
            let blob = BlobId::new(u64::from_be_bytes(row_key[..].try_into().unwrap()));
            let shown = shown.remove(&blob).unwrap_or(0);
            assert!(row.references >= shown, "{blob} is shown and not held");
            assert!(
                !swept || row.references == shown,
                "{blob} is held and not shown"
            );
            assert!(
                row.references == 0 || !self.dead.contains(&blob),
                "{blob} rose"
            );
            if row.references == 0 {
                self.dead.insert(blob);
            }
        }
        assert!(shown.is_empty());
    }
}

fn committed(reply: &Reply) {
    assert!(matches!(reply, Reply::Committed { .. }), "{reply:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is put, copied, overwritten, deleted, uploaded, completed, given up and swept, in whatever
    /// order: a blob that is shown is held, one that is dead stays dead, and once all is swept each is held
    /// as often as it is shown.
    #[test]
    fn references_are_what_a_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let mut trial = Trial::over(World::new());
        for step in &steps {
            trial.take(step);
            trial.check(false);
        }
        trial.world.sweep_all();
        trial.check(true);
    }
}
