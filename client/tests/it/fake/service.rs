//! A metadata service in memory. It refuses what the real one refuses.

use super::state::{Lie, State, unavailable};
use bytes::Bytes;
use futures::FutureExt;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::watch;
use types::ObjectKey;
use types::id::{BlobId, BucketId, ChunkId, LeaseId, NodeId, SessionId, TenantId, VersionId};
use types::placement::GroupTable;
use types::profile::Profile;
use types::secret::DataKey;
use types::wire::Metadata;
use types::wire::metadata::{
    AbortUpload, Answer, Bucket, CommitObject, CommitPart, CompleteUpload, CopyObject, CopyPart,
    CreateBucket, CreateUpload, DeleteBucket, DeleteObject, IssuedBlob, List, ListPage, ListParts,
    ListUploads, Located, Lookup, MetadataError, PartPage, Session, SetBucketTags, SetTags, Tags,
    UploadPage, WallTime, WriteLease, WrittenPlace,
};
use types::wire::usage::Fits;

/// Chunk ids of each lease: few, so that tests run out of them.
const LEASE: u64 = 100;
/// Leases begin so far apart.
pub(crate) const LEASE_STRIDE: u64 = 1_000;

pub(crate) struct Service {
    state: Mutex<State>,
    /// Whether lookups are held.
    hold: watch::Sender<bool>,
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
        let state = State::new(table);
        Self {
            state: Mutex::new(state),
            hold: watch::Sender::new(false),
        }
    }

    /// How often a call was made.
    pub(crate) fn calls(&self, name: &str) -> u64 {
        let state = self.state.lock().unwrap();
        state.calls.get(name).copied().unwrap_or_default()
    }

    /// What was looked up, in order.
    pub(crate) fn lookups(&self) -> Vec<Lookup> {
        self.state.lock().unwrap().lookups.clone()
    }

    /// The command that made a plain object of that name.
    pub(crate) fn committed(&self, name: &str) -> Option<CommitObject> {
        let state = self.state.lock().unwrap();
        let version = state.heads.get(&super::key(name))?;
        state.commits.get(version).cloned()
    }

    pub(crate) fn leases(&self) -> usize {
        self.state.lock().unwrap().leases.len()
    }

    pub(crate) fn change_table(&self, change: impl FnOnce(&mut GroupTable)) {
        let table = &mut self.state.lock().unwrap().table;
        change(table);
        table.version += 1;
    }

    /// What lookups tell may be read for so long from now on.
    pub(crate) fn valid_for(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.state.lock().unwrap().valid_for_ms = millis;
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

    pub(crate) fn lie(&self, lie: Lie) {
        self.state.lock().unwrap().lie = Some(lie);
    }

    /// From now on calls for many lookups are unknown.
    pub(crate) fn forget_lookups(&self) {
        self.state.lock().unwrap().older = true;
    }

    /// Lookups that are asked for by themselves are answered later; or no more.
    pub(crate) fn hold_lookups(&self, hold: bool) {
        self.hold.send_replace(hold);
    }

    /// Answers once nothing is held any more.
    fn held<'a, T: Send + 'a>(&'a self, answer: Answer<'a, T>) -> Answer<'a, T> {
        let mut held = self.hold.subscribe();
        async move {
            let answer = answer.await;
            held.wait_for(|held| !held).await.expect("it is there");
            answer
        }
        .boxed()
    }

    /// From now on nothing longer fits.
    pub(crate) fn leave_room(&self, bytes: u64) {
        self.state.lock().unwrap().room = Some(bytes);
    }

    /// A version that is not current any more is not to be had any more.
    pub(crate) fn collect(&self, version: VersionId) {
        self.state.lock().unwrap().versions.remove(&version);
    }

    /// Damages the run list of an object: its first chunk is in no run.
    pub(crate) fn forget_first_chunk(&self, name: &str) {
        let blob = self.committed(name).unwrap().blob;
        let mut state = self.state.lock().unwrap();
        let blob = state.blobs.get_mut(&blob).unwrap();
        if let WrittenPlace::Runs { runs, .. } = &mut blob.place {
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

    fn fits(&self, request: Fits) -> Answer<'_, ()> {
        self.answer("fits", move |state| state.fits(request.length))
    }

    fn commit_object(&self, request: CommitObject) -> Answer<'_, WallTime> {
        self.answer("commit_object", move |state| {
            state.once(request.request, |state| {
                state.fits(request.length)?;
                state.commit(&request)
            })
        })
    }

    fn delete_object(&self, request: DeleteObject) -> Answer<'_, ()> {
        self.answer("delete_object", move |state| {
            let deleted = state.once(request.request, |state| state.delete(&request));
            deleted.map(drop)
        })
    }

    fn lookup(&self, request: Lookup) -> Answer<'_, Located> {
        self.held(self.answer("lookup", move |state| state.lookup(request)))
    }

    fn lookups(&self, requests: Vec<Lookup>) -> Answer<'_, Vec<Result<Located, MetadataError>>> {
        self.answer("lookups", move |state| {
            if state.older {
                return Err(MetadataError::NoSuchCall);
            }
            Ok(requests.into_iter().map(|one| state.lookup(one)).collect())
        })
    }

    fn list(&self, _: List) -> Answer<'_, ListPage> {
        self.answer("list", |_| {
            Ok(ListPage {
                entries: Vec::new(),
                truncated: false,
            })
        })
    }

    fn set_tags(&self, request: SetTags) -> Answer<'_, ()> {
        self.answer("set_tags", move |state| {
            let set = state.once(request.request, |state| state.set_tags(&request));
            set.map(drop)
        })
    }

    fn tags(&self, _: BucketId, key: ObjectKey) -> Answer<'_, Tags> {
        self.answer("tags", move |state| state.tags(&key))
    }

    fn set_bucket_tags(&self, request: SetBucketTags) -> Answer<'_, ()> {
        self.answer("set_bucket_tags", move |state| {
            state.session(request.request.session)?;
            state.bucket_tags = request.tags;
            Ok(())
        })
    }

    fn bucket_tags(&self, _: BucketId) -> Answer<'_, Option<Tags>> {
        self.answer("bucket_tags", |state| Ok(state.bucket_tags.clone()))
    }

    fn create_upload(&self, request: CreateUpload) -> Answer<'_, WallTime> {
        self.answer("create_upload", move |state| {
            state.once(request.request, |state| state.create_upload(&request))
        })
    }

    fn commit_part(&self, request: CommitPart) -> Answer<'_, WallTime> {
        self.answer("commit_part", move |state| {
            state.once(request.request, |state| {
                state.fits(request.length)?;
                state.commit_part(&request)
            })
        })
    }

    fn list_parts(&self, request: ListParts) -> Answer<'_, PartPage> {
        self.answer("list_parts", move |state| state.list_parts(&request))
    }

    fn complete_upload(&self, request: CompleteUpload) -> Answer<'_, WallTime> {
        self.answer("complete_upload", move |state| {
            state.once(request.request, |state| state.complete(&request))
        })
    }

    fn abort_upload(&self, request: AbortUpload) -> Answer<'_, ()> {
        self.answer("abort_upload", move |state| {
            let aborted = state.once(request.request, |state| state.abort(&request));
            aborted.map(drop)
        })
    }

    fn list_uploads(&self, request: ListUploads) -> Answer<'_, UploadPage> {
        self.answer(
            "list_uploads",
            move |state| Ok(state.list_uploads(&request)),
        )
    }

    fn copy_object(&self, request: CopyObject) -> Answer<'_, WallTime> {
        self.answer("copy_object", move |state| {
            state.once(request.request, |state| state.copy(&request))
        })
    }

    fn copy_part(&self, request: CopyPart) -> Answer<'_, WallTime> {
        self.answer("copy_part", move |state| {
            state.once(request.request, |state| state.copy_part(&request))
        })
    }
}
