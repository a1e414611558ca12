//! A gateway with nothing behind it but a memory of what it was asked.

use bytes::Bytes;
use client::{Client, ClientConfig};
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{Gateway, GatewayConfig, Identity, Limits};
use seal::segment::{Last, SegmentOpener};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strongroom_wire::{Reply, try_exchange};
use tokio::runtime::Runtime;
use types::placement::GroupTable;
use types::secret::DataKey;
use types::shard::ChunkDescription;
use types::wire::accounts::*;
use types::wire::metadata::*;
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::wire::usage::Fits;
use types::wire::{Accounts, Metadata, ShardStore};
use types::{
    BlobId, BucketId, BucketName, ChunkId, DiskId, Label, LeaseId, NodeId, ObjectKey, SessionId,
    ShardKey, TenantId,
};

/// The one access key.
pub(crate) const KEY: &str = "AKFUZZ";
/// Its secret.
pub(crate) const SECRET: &str = "secret of the fuzzer";
/// The one bucket.
pub(crate) const BUCKET: &str = "bucket";
/// A request that is whole is answered sooner; more is sent to none.
const PATIENCE: Duration = Duration::from_millis(100);
/// A gateway that does not answer within this, to what will never be whole, hangs.
const LIMIT: Duration = Duration::from_secs(20);
const USER: &str = "fuzzer";

/// A running gateway.
pub struct World {
    runtime: Runtime,
    gateway: Gateway,
    service: Arc<Service>,
}

#[derive(Default)]
struct Service(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    /// Questions about buckets and objects.
    asked: u64,
    blobs: u64,
    stored: Option<CommitObject>,
}

impl World {
    /// Starts it, on a free port.
    ///
    /// # Panics
    /// When there is none.
    pub fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let service = Arc::new(Service::default());
        let gateway = runtime.block_on(async {
            let client = Client::start(
                ClientConfig::new(NodeId::new(1)),
                service.clone(),
                Arc::new(NoDisks),
            );
            let config = GatewayConfig {
                s3: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
                s3_tls: None,
                admin: None,
                region: "us-east-1".into(),
                domains: Vec::new(),
                limits: Limits::default(),
            };
            let identity = Identity::new(service.clone());
            let started = Gateway::start(config, client, identity).await;
            started.expect("the gateway starts")
        });
        Self {
            runtime,
            gateway,
            service,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.addresses().s3.expect("it listens")
    }

    /// Runs one try to its end.
    pub(crate) fn run(&self, one: impl Future<Output = ()>) {
        self.runtime.block_on(one);
    }

    /// Sends a request. None when what came is no answer: a server may hang up on what is no HTTP, but not
    /// hang.
    pub(crate) async fn send(&self, head: &[u8], body: &[u8]) -> Option<Reply> {
        let request = [head, body].concat();
        try_exchange(self.address(), &request, PATIENCE, LIMIT).await
    }

    /// How often the cluster was asked of buckets and objects.
    pub(crate) fn asked(&self) -> u64 {
        self.service.memory().asked
    }

    /// Forgets what was stored.
    pub(crate) fn forget(&self) {
        self.service.memory().stored = None;
    }

    /// The plaintext of what was stored since.
    pub(crate) fn stored(&self) -> Option<Vec<u8>> {
        let stored = self.service.memory().stored.take()?;
        let WrittenPlace::Inline { sealed } = stored.place else {
            panic!("more than a row was stored");
        };
        let provider = seal::provider::default();
        let opener = SegmentOpener::new(&*provider, stored.blob, &key());
        let plain = opener.open(0, Last::Yes, &sealed).expect("it opens");
        assert_eq!(plain.len() as u64, stored.length.get());
        Some(plain.to_vec())
    }
}

fn key() -> DataKey {
    DataKey::new([7; 32])
}

fn bucket() -> Bucket {
    Bucket {
        id: BucketId::new(1),
        tenant: TenantId::new(0),
        owner: USER.into(),
        name: BucketName::try_from(BUCKET.to_owned()).expect("a name"),
        label: Label::default(),
        profile: "1+2".parse().expect("a profile"),
        created: WallTime(0),
    }
}

impl Service {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a question, and answers it.
    fn of_objects<T: Send + 'static>(&self, answer: Result<T, MetadataError>) -> Answer<'_, T> {
        self.memory().asked += 1;
        async { answer }.boxed()
    }

    fn session<T: Send + 'static>(&self, answer: T) -> Answer<'_, T> {
        async { Ok(answer) }.boxed()
    }
}

/// What the cluster says to all that it does not do here.
fn no<T>() -> Result<T, MetadataError> {
    Err(MetadataError::NoSuchObject)
}

impl Metadata for Service {
    fn open_session(&self, _: NodeId) -> Answer<'_, Session> {
        self.renew_session(SessionId::new(1))
    }

    fn renew_session(&self, id: SessionId) -> Answer<'_, Session> {
        let ttl_ms = 60_000;
        self.session(Session { id, ttl_ms })
    }

    fn open_lease(&self, _: SessionId) -> Answer<'_, WriteLease> {
        self.session(WriteLease {
            id: LeaseId::new(1),
            first: ChunkId::new(1),
            count: 1 << 40,
            opens_for_ms: 600_000,
            ttl_ms: 60_000,
        })
    }

    fn close_lease(&self, _: SessionId, _: LeaseId) -> Answer<'_, ()> {
        self.session(())
    }

    fn issue_blobs(&self, _: SessionId, _: BucketId, count: u32) -> Answer<'_, Vec<IssuedBlob>> {
        let mut memory = self.memory();
        let first = memory.blobs + 1;
        memory.blobs += u64::from(count);
        let issue = |id| IssuedBlob {
            blob: BlobId::new(id),
            key: key(),
            wrap: Bytes::from_static(b"wrap"),
            expires_ms: u64::MAX,
        };
        self.session((first..first + u64::from(count)).map(issue).collect())
    }

    fn group_table(&self, _: u64) -> Answer<'_, Option<GroupTable>> {
        self.session(Some(GroupTable::default()))
    }

    fn create_bucket(&self, _: CreateBucket) -> Answer<'_, Bucket> {
        self.of_objects(Ok(bucket()))
    }

    fn delete_bucket(&self, _: DeleteBucket) -> Answer<'_, ()> {
        self.of_objects(Err(MetadataError::BucketNotEmpty))
    }

    fn bucket(&self, name: BucketName) -> Answer<'_, Bucket> {
        let known = name.as_str() == BUCKET;
        let found = known.then(bucket);
        self.of_objects(found.ok_or(MetadataError::NoSuchBucket))
    }

    fn buckets(&self) -> Answer<'_, Vec<Bucket>> {
        self.of_objects(Ok(vec![bucket()]))
    }

    fn fits(&self, _: Fits) -> Answer<'_, ()> {
        self.of_objects(Ok(()))
    }

    fn commit_object(&self, request: CommitObject) -> Answer<'_, WallTime> {
        self.memory().stored = Some(request);
        self.of_objects(Ok(WallTime(0)))
    }

    fn delete_object(&self, _: DeleteObject) -> Answer<'_, ()> {
        self.of_objects(Ok(()))
    }

    fn lookup(&self, _: Lookup) -> Answer<'_, Located> {
        self.of_objects(no())
    }

    fn lookups(&self, requests: Vec<Lookup>) -> Answer<'_, Vec<Result<Located, MetadataError>>> {
        self.of_objects(Ok(requests.into_iter().map(|_| no()).collect()))
    }

    fn list(&self, _: List) -> Answer<'_, ListPage> {
        self.of_objects(Ok(ListPage {
            entries: Vec::new(),
            truncated: false,
        }))
    }

    fn set_tags(&self, _: SetTags) -> Answer<'_, ()> {
        self.of_objects(no())
    }

    fn tags(&self, _: BucketId, _: ObjectKey) -> Answer<'_, Tags> {
        self.of_objects(no())
    }

    fn set_bucket_tags(&self, _: SetBucketTags) -> Answer<'_, ()> {
        self.of_objects(Ok(()))
    }

    fn bucket_tags(&self, _: BucketId) -> Answer<'_, Option<Tags>> {
        self.of_objects(Ok(None))
    }

    fn create_upload(&self, _: CreateUpload) -> Answer<'_, WallTime> {
        self.of_objects(Ok(WallTime(0)))
    }

    fn commit_part(&self, _: CommitPart) -> Answer<'_, WallTime> {
        self.of_objects(Err(MetadataError::NoSuchUpload))
    }

    fn list_parts(&self, _: ListParts) -> Answer<'_, PartPage> {
        self.of_objects(Err(MetadataError::NoSuchUpload))
    }

    fn complete_upload(&self, _: CompleteUpload) -> Answer<'_, WallTime> {
        self.of_objects(Err(MetadataError::NoSuchUpload))
    }

    fn abort_upload(&self, _: AbortUpload) -> Answer<'_, ()> {
        self.of_objects(Err(MetadataError::NoSuchUpload))
    }

    fn list_uploads(&self, _: ListUploads) -> Answer<'_, UploadPage> {
        self.of_objects(Ok(UploadPage {
            entries: Vec::new(),
            truncated: false,
        }))
    }

    fn copy_object(&self, _: CopyObject) -> Answer<'_, WallTime> {
        self.of_objects(no())
    }

    fn copy_part(&self, _: CopyPart) -> Answer<'_, WallTime> {
        self.of_objects(no())
    }
}

/// One user with one key; nothing can be changed.
impl Accounts for Service {
    fn add_user(&self, _: String, _: TenantId) -> Answer<'_, User> {
        async { Err(MetadataError::UserExists) }.boxed()
    }

    fn users(&self) -> Answer<'_, Vec<User>> {
        self.session(Vec::new())
    }

    fn remove_user(&self, _: String) -> Answer<'_, ()> {
        async { Err(MetadataError::UserInUse) }.boxed()
    }

    fn add_key(&self, _: NewKey) -> Answer<'_, Credential> {
        async { Err(MetadataError::NoSuchUser) }.boxed()
    }

    fn keys(&self, _: Option<String>) -> Answer<'_, Vec<KeyInfo>> {
        self.session(Vec::new())
    }

    fn set_key_state(&self, _: String, _: KeyState) -> Answer<'_, ()> {
        async { Err(MetadataError::NoSuchKey) }.boxed()
    }

    fn remove_key(&self, _: String) -> Answer<'_, ()> {
        async { Err(MetadataError::NoSuchKey) }.boxed()
    }

    fn credential(&self, id: String) -> Answer<'_, Option<Credential>> {
        let known = id == KEY;
        self.session(known.then(|| Credential {
            key: KeyInfo {
                id,
                user: USER.into(),
                label: Label::default(),
                state: KeyState::Active,
                created: WallTime(0),
            },
            user: User {
                name: USER.into(),
                id: USER.into(),
                tenant: TenantId::new(0),
                created: WallTime(0),
            },
            secret: KeySecret::new(SECRET.into()),
        }))
    }
}

/// Nothing that is fuzzed is large enough for a disk.
struct NoDisks;

impl ShardStore for NoDisks {
    fn put(&self, _: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        unreachable!("no group, no shard")
    }

    fn read(&self, _: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        unreachable!("no group, no shard")
    }

    fn describe(
        &self,
        _: DiskId,
        _: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        unreachable!("no group, no shard")
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        async { Vec::new() }.boxed()
    }
}
