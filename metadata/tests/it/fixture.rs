//! A state machine without a log, and one with a log in memory; and what tests feed them.

use bytes::Bytes;
use futures::future::BoxFuture;
use std::sync::Mutex;
use strongroom_metadata::command::{
    ClusterCommand, Commit, CommittedPlace, Delete, LearntGroup, MAX_COMMAND_BYTES, MakeBucket,
    NamespaceCommand, Raise, Tick,
};
use strongroom_metadata::{
    Command, Log, LogError, Proposal, Read, Reply, Store, apply, level, plan,
};
use tempfile::TempDir;
use types::Label;
use types::block::{SEAL_OVERHEAD, SEGMENT};
use types::id::{
    BlobId, BucketId, GroupId, LeaseId, NodeId, RequestId, SessionId, TenantId, VersionId,
};
use types::name::{BucketName, ObjectKey};
use types::placement::{Disk, Epoch, Slot};
use types::profile::{DiskClass, Profile};
use types::size::ByteCount;
use types::wire::metadata::{CreateBucket, WallTime, WriteLease, WrittenRun};

/// Rows and what applies proposals to them.
pub(crate) struct Machine {
    pub(crate) store: Store,
    applied: Mutex<u64>,
    _folder: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        Self {
            store,
            applied: Mutex::new(0),
            _folder: folder,
        }
    }

    /// One of this build's feature level.
    pub(crate) fn raised() -> Self {
        let machine = Self::new();
        let level = level::KNOWN;
        let raised = machine.apply(Command::Raise(Raise { level }));
        assert_eq!(raised, Reply::Done);
        machine
    }

    pub(crate) fn apply(&self, command: Command) -> Reply {
        self.apply_all([command]).remove(0)
    }

    /// Applies commands as one batch.
    pub(crate) fn apply_all(&self, commands: impl IntoIterator<Item = Command>) -> Vec<Reply> {
        let mut applied = self.applied.lock().unwrap();
        let mut txn = self.store.begin();
        let mut replies = Vec::new();
        for command in commands {
            *applied += 1;
            let wall = WallTime(*applied);
            replies.push(apply(&mut txn, &Proposal { wall, command }).unwrap());
        }
        let changes = txn.into_changes();
        self.store.commit(changes, &applied.to_be_bytes()).unwrap();
        replies
    }

    pub(crate) fn cluster(&self, command: ClusterCommand) -> Reply {
        self.apply(Command::Cluster(command))
    }

    pub(crate) fn namespace(&self, command: NamespaceCommand) -> Reply {
        self.apply(Command::Namespace(command))
    }

    pub(crate) fn tick(&self, elapsed_ms: u64) -> u64 {
        let mut from_ms = 0;
        loop {
            match self.apply(Command::Tick(Tick {
                from_ms,
                elapsed_ms,
            })) {
                Reply::Time { now_ms } => return now_ms,
                Reply::Refused(strongroom_metadata::Refusal::TimeMoved { now_ms }) => {
                    from_ms = now_ms;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A log of one server, in memory: proposals are applied one by one.
pub(crate) struct MemoryLog(pub(crate) Machine, pub(crate) Outage);

/// When a log stops to answer: after so many more proposals; what it does not answer it does not apply.
#[derive(Default)]
pub(crate) struct Outage(Mutex<Option<usize>>);

impl Outage {
    pub(crate) fn after(&self, proposals: usize) {
        *self.0.lock().unwrap() = Some(proposals);
    }

    pub(crate) fn ends(&self) {
        *self.0.lock().unwrap() = None;
    }

    /// Counts a proposal; whether it is answered.
    fn answers(&self) -> bool {
        match &mut *self.0.lock().unwrap() {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

impl Log for MemoryLog {
    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Reply, LogError>> {
        // What goes through the log is what is stored in it.
        let stored = types::codec::encode(&proposal);
        assert!(stored.len() <= MAX_COMMAND_BYTES);
        let proposal: Proposal = types::codec::decode(&stored).unwrap();
        Box::pin(async move {
            // Whoever proposes at the same time has its turn.
            tokio::task::yield_now().await;
            if self.1.answers() {
                Ok(self.0.apply(proposal.command))
            } else {
                Err(LogError::Unavailable("an outage".to_owned()))
            }
        })
    }

    fn linearizable(&self, read: Read) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(async move {
            read(&self.0.store);
            Ok(())
        })
    }

    fn leads(&self) -> bool {
        true
    }
}

/// A machine with six disks, groups of 4+2 over them, a session with a lease, and a bucket.
pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) session: SessionId,
    pub(crate) lease: WriteLease,
    pub(crate) bucket: BucketId,
    pub(crate) groups: Vec<GroupId>,
    pub(crate) sequence: u64,
    pub(crate) drawn: u64,
    pub(crate) used_chunks: u64,
}

pub(crate) fn profile() -> Profile {
    "4+2".parse().unwrap()
}

pub(crate) fn chunk_bytes() -> u64 {
    (profile().segments_per_chunk() * SEGMENT) as u64
}

pub(crate) fn key(text: &str) -> ObjectKey {
    text.to_owned().try_into().unwrap()
}

pub(crate) fn bucket_name(text: &str) -> BucketName {
    text.to_owned().try_into().unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        let machine = Machine::raised();
        let kept = machine.namespace(NamespaceCommand::KeepUsage);
        assert_eq!(kept, Reply::Done);
        Self::over(machine)
    }

    /// One that is older than usage.
    pub(crate) fn older() -> Self {
        Self::over(Machine::raised())
    }

    fn over(machine: Machine) -> Self {
        let groups = make_groups(&machine);
        let session = open_session(&machine);
        let mut world = Self {
            lease: open_lease(&machine, session),
            machine,
            session,
            bucket: BucketId::new(0),
            groups,
            sequence: 0,
            drawn: 0,
            used_chunks: 0,
        };
        world.bucket = world.make_bucket("bucket");
        world
    }

    pub(crate) fn request(&mut self) -> RequestId {
        self.sequence += 1;
        RequestId {
            session: self.session,
            sequence: self.sequence,
            answered_below: self.sequence,
        }
    }

    pub(crate) fn new_session(&mut self) {
        self.session = open_session(&self.machine);
        self.lease = open_lease(&self.machine, self.session);
        self.sequence = 0;
        self.used_chunks = 0;
    }

    pub(crate) fn reserve_bucket_id(&self) -> BucketId {
        match self.machine.namespace(NamespaceCommand::ReserveBucketId) {
            Reply::Ids { first, .. } => BucketId::new(first),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn try_to_make_bucket(&mut self, name: &str, bucket: BucketId) -> Reply {
        self.try_to_make_labelled(name, bucket, Label::default())
    }

    fn try_to_make_labelled(&mut self, name: &str, bucket: BucketId, label: Label) -> Reply {
        let make = MakeBucket {
            request: CreateBucket {
                request: self.request(),
                tenant: TenantId::new(1),
                owner: "steward".to_owned(),
                name: bucket_name(name),
                label,
                profile: None,
            },
            bucket,
            default_profile: profile(),
            kek_version: 1,
        };
        self.machine.namespace(NamespaceCommand::MakeBucket(make))
    }

    pub(crate) fn make_bucket(&mut self, name: &str) -> BucketId {
        let bucket = self.reserve_bucket_id();
        let reply = self.try_to_make_bucket(name, bucket);
        assert!(matches!(reply, Reply::Bucket(_)), "{reply:?}");
        bucket
    }

    pub(crate) fn make_labelled(&mut self, name: &str, label: Label) -> BucketId {
        let bucket = self.reserve_bucket_id();
        let reply = self.try_to_make_labelled(name, bucket, label);
        assert!(matches!(reply, Reply::Bucket(_)), "{reply:?}");
        bucket
    }

    pub(crate) fn fresh_blob(&self) -> BlobId {
        let command = NamespaceCommand::ReserveBlobIds { count: 1 };
        match self.machine.namespace(command) {
            Reply::Ids { first, .. } => BlobId::new(first),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn fresh_version(&mut self) -> VersionId {
        self.drawn += 1;
        VersionId::new(u128::from(self.drawn).to_be_bytes())
    }

    /// A commit that nothing is wrong with: `length` bytes inline.
    pub(crate) fn inline(&mut self, name: &str, length: u64) -> Commit {
        let sealed = vec![7; usize::try_from(length).unwrap() + SEAL_OVERHEAD];
        Commit {
            request: self.request(),
            bucket: self.bucket,
            key: key(name),
            version: self.fresh_version(),
            length: ByteCount::new(length),
            kek_version: 1,
            attributes: Bytes::from_static(b"sealed attributes"),
            blob: self.fresh_blob(),
            wrap: Bytes::from_static(b"wrap"),
            wrap_expires_ms: u64::MAX,
            place: CommittedPlace::Inline {
                sealed: sealed.into(),
            },
            tags: None,
            expected: None,
        }
    }

    /// A commit that nothing is wrong with: `chunks` full chunks in the first group.
    pub(crate) fn chunked(&mut self, name: &str, chunks: u32) -> Commit {
        let mut commit = self.inline(name, 0);
        commit.length = ByteCount::new(u64::from(chunks) * chunk_bytes());
        let first_chunk = self.lease.first.plus(self.used_chunks);
        self.used_chunks += u64::from(chunks);
        let run = WrittenRun {
            lease: self.lease.id,
            group: self.groups[0],
            epoch: Epoch(1),
            first_chunk,
            chunks,
            first_index: 0,
            missing: Vec::new(),
        };
        commit.place = CommittedPlace::Runs {
            profile: profile(),
            runs: vec![run],
        };
        commit
    }

    pub(crate) fn commit(&self, commit: &Commit) -> Reply {
        let command = NamespaceCommand::Commit(commit.clone());
        self.machine.namespace(command)
    }

    pub(crate) fn delete(&mut self, name: &str) -> Reply {
        let delete = Delete {
            request: self.request(),
            bucket: self.bucket,
            key: key(name),
            expected: None,
        };
        self.machine
            .namespace(NamespaceCommand::DeleteObject(delete))
    }

    pub(crate) fn raise_epoch(&self, epoch: u64, slots: &[u8]) -> Reply {
        self.machine.namespace(NamespaceCommand::RaiseEpoch {
            group: self.groups[0],
            epoch: Epoch(epoch),
            slots: slots.iter().copied().map(Slot).collect(),
        })
    }
}

/// The only run of a commit.
pub(crate) fn run_of(commit: &mut Commit) -> &mut WrittenRun {
    match &mut commit.place {
        CommittedPlace::Runs { runs, .. } => &mut runs[0],
        other => panic!("{other:?}"),
    }
}

pub(crate) fn open_session(machine: &Machine) -> SessionId {
    let gateway = NodeId::new(1);
    match machine.namespace(NamespaceCommand::OpenSession { gateway }) {
        Reply::Session(session) => session.id,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn open_lease(machine: &Machine, session: SessionId) -> WriteLease {
    match machine.namespace(NamespaceCommand::OpenLease { session }) {
        Reply::Lease(lease) => lease,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn close_lease(machine: &Machine, session: SessionId, lease: LeaseId) -> Reply {
    machine.namespace(NamespaceCommand::CloseLease { session, lease })
}

/// Admits a server and six disks, and makes 4+2 groups over them.
fn make_groups(machine: &Machine) -> Vec<GroupId> {
    let Reply::Node(node) = machine.cluster(ClusterCommand::AdmitNode) else {
        panic!()
    };
    let mut disks = Vec::new();
    for _ in 0..6 {
        let Reply::Disk(id) = machine.cluster(ClusterCommand::ReserveDiskId) else {
            panic!()
        };
        let class = DiskClass::Flash;
        let disk = Disk { id, node, class };
        let admit = ClusterCommand::AdmitDisk { disk: disk.clone() };
        assert_eq!(machine.cluster(admit), Reply::Done);
        disks.push(disk);
    }
    let planned = plan::plan(&disks, profile()).unwrap();
    let count = u32::try_from(planned.len()).unwrap();
    let reserve = ClusterCommand::ReserveGroupIds { count };
    let Reply::Ids { first, .. } = machine.cluster(reserve) else {
        panic!()
    };
    let groups: Vec<_> = (first..)
        .zip(planned)
        .map(|(id, members)| plan::group(GroupId::new(id), profile(), members))
        .collect();
    let create = ClusterCommand::CreateGroups {
        groups: groups.clone(),
        completes: Some(profile()),
    };
    assert_eq!(machine.cluster(create), Reply::Done);
    let learn = |group: &types::placement::Group| LearntGroup {
        group: group.id,
        epoch: group.epoch,
        profile: group.profile,
    };
    let learnt = NamespaceCommand::LearnGroups {
        groups: groups.iter().map(learn).collect(),
    };
    assert_eq!(machine.namespace(learnt), Reply::Done);
    groups.iter().map(|group| group.id).collect()
}
