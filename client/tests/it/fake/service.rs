//! A metadata service in memory. It refuses what the real one refuses.

use bytes::Bytes;
use futures::FutureExt;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use types::id::{BlobId, BucketId, ChunkId, LeaseId, NodeId, RequestId, SessionId, TenantId};
use types::manifest::{LocatedExtent, Place, Run};
use types::placement::GroupTable;
use types::profile::Profile;
use types::secret::DataKey;
use types::size::{ByteCount, ByteOffset};
use types::wire::Metadata;
use types::wire::metadata::{
    Answer, Bucket, CommitObject, CreateBucket, DeleteBucket, DeleteObject, IssuedBlob, List,
    ListPage, Located, Lookup, MetadataError, Session, WallTime, WriteLease, WrittenPlace,
};
use types::{GroupId, ObjectKey};

/// Chunk ids of each lease: few, so that tests run out of them.
const LEASE: u64 = 100;
/// Leases begin so far apart.
pub(crate) const LEASE_STRIDE: u64 = 1_000;

pub(crate) struct Service {
    state: Mutex<State>,
}

struct State {
    table: GroupTable,
    last: u64,
    sessions: HashSet<SessionId>,
    leases: HashMap<LeaseId, (SessionId, WriteLease)>,
    issued: HashMap<BlobId, (SessionId, DataKey)>,
    objects: BTreeMap<ObjectKey, CommitObject>,
    keys: HashMap<BlobId, DataKey>,
    covered: HashSet<(GroupId, ChunkId)>,
    answers: HashMap<RequestId, Result<WallTime, MetadataError>>,
    calls: HashMap<&'static str, u64>,
    /// So many calls fail before one has an effect …
    unavailable: u64,
    /// … and the answers to so many commits are lost after they had theirs.
    lost_answers: u64,
    wraps_expired: bool,
    refuse_leases: bool,
}

pub(crate) fn bucket(profile: Profile) -> Bucket {
    Bucket {
        id: BucketId::new(1),
        tenant: TenantId::new(1),
        owner: "owner".into(),
        name: "bucket".to_owned().try_into().unwrap(),
        label: Default::default(),
        profile,
        created: WallTime(0),
    }
}

impl Service {
    pub(crate) fn new(table: GroupTable) -> Self {
        let state = State {
            table,
            last: 0,
            sessions: HashSet::new(),
            leases: HashMap::new(),
            issued: HashMap::new(),
            objects: BTreeMap::new(),
            keys: HashMap::new(),
            covered: HashSet::new(),
            answers: HashMap::new(),
            calls: HashMap::new(),
            unavailable: 0,
            lost_answers: 0,
            wraps_expired: false,
            refuse_leases: false,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// How often a call was made.
    pub(crate) fn calls(&self, name: &str) -> u64 {
        let state = self.state.lock().unwrap();
        state.calls.get(name).copied().unwrap_or_default()
    }

    /// What was committed under a name.
    pub(crate) fn committed(&self, name: &str) -> Option<CommitObject> {
        let state = self.state.lock().unwrap();
        state.objects.get(&super::key(name)).cloned()
    }

    pub(crate) fn leases(&self) -> usize {
        self.state.lock().unwrap().leases.len()
    }

    pub(crate) fn change_table(&self, change: impl FnOnce(&mut GroupTable)) {
        let table = &mut self.state.lock().unwrap().table;
        change(table);
        table.version += 1;
    }

    pub(crate) fn expire_sessions(&self) {
        let mut state = self.state.lock().unwrap();
        state.sessions.clear();
        state.leases.clear();
        state.issued.clear();
    }

    pub(crate) fn expire_wraps(&self, expired: bool) {
        self.state.lock().unwrap().wraps_expired = expired;
    }

    pub(crate) fn refuse_leases(&self) {
        self.state.lock().unwrap().refuse_leases = true;
    }

    pub(crate) fn fail_next(&self, calls: u64) {
        self.state.lock().unwrap().unavailable = calls;
    }

    pub(crate) fn lose_answers(&self, commits: u64) {
        self.state.lock().unwrap().lost_answers = commits;
    }

    /// Damages the run list of an object: its first chunk is in no run.
    pub(crate) fn forget_first_chunk(&self, name: &str) {
        let mut state = self.state.lock().unwrap();
        let object = state.objects.get_mut(&super::key(name)).unwrap();
        if let WrittenPlace::Runs { runs, .. } = &mut object.place {
            runs[0].first_index += 1;
        }
    }

    fn answer<'a, T: Send + 'a>(
        &'a self,
        name: &'static str,
        work: impl FnOnce(&mut State) -> Result<T, MetadataError> + Send + 'a,
    ) -> Answer<'a, T> {
        async move {
            tokio::task::yield_now().await;
            let mut state = self.state.lock().unwrap();
            *state.calls.entry(name).or_default() += 1;
            if state.unavailable > 0 {
                state.unavailable -= 1;
                return Err(unavailable());
            }
            work(&mut state)
        }
        .boxed()
    }
}

fn unavailable() -> MetadataError {
    MetadataError::Unavailable("no leader".into())
}

impl State {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn session(&self, id: SessionId) -> Result<(), MetadataError> {
        let known = self.sessions.contains(&id);
        known.then_some(()).ok_or(MetadataError::SessionExpired)
    }

    fn commit(&mut self, commit: CommitObject) -> Result<WallTime, MetadataError> {
        self.session(commit.request.session)?;
        let request = RequestId {
            answered_below: 0,
            ..commit.request
        };
        let answer = match self.answers.get(&request) {
            Some(answer) => answer.clone(),
            None => self.check_and_store(&commit),
        };
        self.answers.insert(request, answer.clone());
        if self.lost_answers > 0 {
            self.lost_answers -= 1;
            return Err(unavailable());
        }
        answer
    }

    fn check_and_store(&mut self, commit: &CommitObject) -> Result<WallTime, MetadataError> {
        let session = commit.request.session;
        let issued = self.issued.remove(&commit.blob);
        let (issued_to, key) = issued.ok_or(MetadataError::WrapInvalid)?;
        if issued_to != session || self.wraps_expired {
            return Err(MetadataError::WrapInvalid);
        }
        if let WrittenPlace::Runs { runs, .. } = &commit.place {
            let mut next = 0;
            for run in runs {
                let lease = self.leases.get(&run.lease);
                let (holder, lease) = lease.ok_or(MetadataError::LeaseInvalid)?;
                let (first, end) = (run.first_chunk.get(), lease.first.get() + lease.count);
                let inside = first >= lease.first.get() && first + u64::from(run.chunks) <= end;
                if *holder != session || !inside {
                    return Err(MetadataError::LeaseInvalid);
                }
                if run.first_index != next {
                    return Err(MetadataError::Malformed("a gap between runs".into()));
                }
                next += u64::from(run.chunks);
                for i in 0..u64::from(run.chunks) {
                    if !self.covered.insert((run.group, run.first_chunk.plus(i))) {
                        return Err(MetadataError::RunOverlaps);
                    }
                }
            }
        }
        self.keys.insert(commit.blob, key);
        self.objects.insert(commit.key.clone(), commit.clone());
        Ok(WallTime(self.next()))
    }

    fn lookup(&self, lookup: &Lookup) -> Result<Located, MetadataError> {
        let object = self.objects.get(&lookup.key);
        let object = object.ok_or(MetadataError::NoSuchObject)?;
        let place = match &object.place {
            WrittenPlace::Inline { sealed } => Place::Inline {
                sealed: sealed.clone(),
            },
            WrittenPlace::Runs { profile, runs } => Place::Runs {
                profile: *profile,
                runs: runs
                    .iter()
                    .map(|run| Run {
                        group: run.group,
                        first_chunk: run.first_chunk,
                        chunks: run.chunks,
                        first_index: run.first_index,
                        missing: run.missing.clone(),
                    })
                    .collect(),
            },
        };
        let extent = LocatedExtent {
            object_offset: ByteOffset::ZERO,
            blob: object.blob,
            blob_offset: ByteOffset::ZERO,
            length: object.length,
            blob_length: object.length,
            key: self.keys[&object.blob].clone(),
            place,
        };
        Ok(Located {
            version: object.version,
            length: object.length,
            modified: WallTime(1),
            attributes: object.attributes.clone(),
            extents: if object.length == ByteCount::ZERO {
                Vec::new()
            } else {
                vec![extent]
            },
        })
    }
}

impl Metadata for Service {
    fn open_session(&self, _: NodeId) -> Answer<'_, Session> {
        self.answer("open_session", |state| {
            let id = SessionId::new(state.next());
            state.sessions.insert(id);
            Ok(Session { id, ttl_ms: 60_000 })
        })
    }

    fn renew_session(&self, session: SessionId) -> Answer<'_, Session> {
        self.answer("renew_session", move |state| {
            state.session(session)?;
            Ok(Session {
                id: session,
                ttl_ms: 60_000,
            })
        })
    }

    fn open_lease(&self, session: SessionId) -> Answer<'_, WriteLease> {
        self.answer("open_lease", move |state| {
            state.session(session)?;
            if state.refuse_leases {
                return Err(unavailable());
            }
            let id = LeaseId::new(state.next());
            let lease = WriteLease {
                id,
                first: ChunkId::new(id.get() * LEASE_STRIDE),
                count: LEASE,
                opens_for_ms: 600_000,
                ttl_ms: 60_000,
            };
            state.leases.insert(id, (session, lease));
            Ok(lease)
        })
    }

    fn close_lease(&self, session: SessionId, lease: LeaseId) -> Answer<'_, ()> {
        self.answer("close_lease", move |state| {
            state.session(session)?;
            state.leases.remove(&lease);
            Ok(())
        })
    }

    fn issue_blobs(
        &self,
        session: SessionId,
        bucket: BucketId,
        count: u32,
    ) -> Answer<'_, Vec<IssuedBlob>> {
        self.answer("issue_blobs", move |state| {
            state.session(session)?;
            if bucket != BucketId::new(1) {
                return Err(MetadataError::NoSuchBucket);
            }
            let mut issue = || {
                let blob = BlobId::new(state.next());
                let mut raw = [7; 32];
                raw[..8].copy_from_slice(&blob.to_be_bytes());
                let key = DataKey::new(raw);
                state.issued.insert(blob, (session, key.clone()));
                IssuedBlob {
                    blob,
                    key,
                    wrap: Bytes::from_static(b"wrap"),
                    expires_ms: 1,
                }
            };
            Ok((0..count).map(|_| issue()).collect())
        })
    }

    fn group_table(&self, known: u64) -> Answer<'_, Option<GroupTable>> {
        self.answer("group_table", move |state| {
            Ok((known != state.table.version).then(|| state.table.clone()))
        })
    }

    fn create_bucket(&self, request: CreateBucket) -> Answer<'_, Bucket> {
        self.answer("create_bucket", move |state| {
            state.session(request.request.session)?;
            Ok(bucket("4+2".parse().unwrap()))
        })
    }

    fn delete_bucket(&self, request: DeleteBucket) -> Answer<'_, ()> {
        self.answer("delete_bucket", move |state| {
            state.session(request.request.session)?;
            Err(MetadataError::BucketNotEmpty)
        })
    }

    fn bucket(&self, _: types::BucketName) -> Answer<'_, Bucket> {
        self.answer("bucket", |_| Err(MetadataError::NoSuchBucket))
    }

    fn buckets(&self) -> Answer<'_, Vec<Bucket>> {
        self.answer("buckets", |_| Ok(Vec::new()))
    }

    fn commit_object(&self, request: CommitObject) -> Answer<'_, WallTime> {
        self.answer("commit_object", |state| state.commit(request))
    }

    fn delete_object(&self, request: DeleteObject) -> Answer<'_, ()> {
        self.answer("delete_object", move |state| {
            state.session(request.request.session)?;
            state.objects.remove(&request.key);
            Ok(())
        })
    }

    fn lookup(&self, request: Lookup) -> Answer<'_, Located> {
        self.answer("lookup", move |state| state.lookup(&request))
    }

    fn list(&self, _: List) -> Answer<'_, ListPage> {
        self.answer("list", |_| {
            Ok(ListPage {
                entries: Vec::new(),
                truncated: false,
            })
        })
    }
}
