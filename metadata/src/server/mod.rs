//! The metadata service on top of the replicated log: what a gateway asks, and what bootstrapping does.
//!
//! The service seals and unseals; the log and its rows see only what is sealed. A commit arrives with
//! its data key in the wrap that was issued, and goes into the log wrapped for the version that will
//! refer to it; a lookup comes out of the rows wrapped and goes to the gateway unwrapped.
//!
//! Every answer is linearizable. Nothing here decides what may be done: `apply` does, on every server
//! alike. What is kept here besides keys (buckets' labels, ids reserved ahead, the group table) can be
//! lost at any time.

mod accounts;
mod bootstrap;
mod clock;
mod conditional;
mod copy;
mod covered;
mod health;
mod pace;
mod parts;
mod placement;
mod read;
pub mod registrar;
mod repairs;
mod replace;
mod retire;
mod sweep;
mod tags;
mod upkeep;
mod uploads;
mod usage;
mod write;

use crate::command::{Command, Proposal};
use crate::keys::{BucketKey, KeyError, Keyring};
use crate::log::{Log, LogError};
use crate::reply::Reply;
use crate::store::{Store, StoreError};
use crate::tables::{BUCKETS, BucketRow, KEKS};
use health::Tally;
use placement::Placement;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use types::id::{BucketId, LeaseId, NodeId, SessionId};
use types::placement::GroupTable;
use types::profile::Profile;
use types::wire::Metadata;
use types::wire::metadata::{
    AbortUpload, Answer, Bucket, CommitObject, CommitPart, CompleteUpload, CopyObject, CopyPart,
    CreateBucket, CreateUpload, DeleteBucket, DeleteObject, IssuedBlob, List, ListPage, ListParts,
    ListUploads, Located, Lookup, MetadataError, PartPage, Session, SetBucketTags, SetTags, Tags,
    UploadPage, WallTime, WriteLease,
};
use types::wire::usage::Fits;
use types::{BucketName, ObjectKey};

pub use bootstrap::BootstrapError;
pub use tags::{MAX_BUCKET_TAGS, MAX_TAGS};
pub use write::{MAX_ATTRIBUTES, MAX_LABEL_IDS, MAX_OWNER, MAX_SEALED};

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// How the objects of a bucket are coded that does not say.
    pub default_profile: Profile,
    /// An upload that was neither completed nor aborted expires after so much cluster time.
    pub abandoned_after: Duration,
    /// The reclaim delay: what is dead is kept for so much cluster time, for those who read it; as are the
    /// parts of an object that was replaced or deleted. The same on every server.
    pub reclaim_after: Duration,
}

impl ServerConfig {
    /// The defaults: seven days, and ten minutes.
    pub fn new(default_profile: Profile) -> Self {
        Self {
            default_profile,
            abandoned_after: Duration::from_secs(7 * 24 * 3600),
            reclaim_after: Duration::from_secs(600),
        }
    }
}

/// The metadata service.
pub struct Server<L> {
    inner: Arc<Inner>,
    log: Arc<L>,
    stop: watch::Sender<bool>,
    clock: Mutex<Option<JoinHandle<()>>>,
}

/// All that does not care which log it is: compiled once, and not anew by each crate that has one.
struct Inner {
    log: Arc<dyn Log>,
    keys: Arc<Keyring>,
    config: ServerConfig,
    /// Buckets that were looked up. Their label never changes; that they exist is `apply`'s to say.
    buckets: Mutex<HashMap<BucketId, Arc<BucketRow>>>,
    /// Blob ids that were reserved and not yet issued.
    blob_ids: Mutex<Range<u64>>,
    table: Mutex<Option<Arc<GroupTable>>>,
    placement: Mutex<Option<Arc<Placement>>>,
    /// Held while it is made anew, so that many who ask at once read the rows once.
    tally: tokio::sync::Mutex<Option<Arc<Tally>>>,
}

impl<L: Log> Server<L> {
    /// Starts the service over a running log. While that leads, cluster time moves on.
    pub fn start(log: L, keys: Keyring, config: ServerConfig) -> Arc<Self> {
        let log = Arc::new(log);
        let inner = Arc::new(Inner {
            log: Arc::clone(&log) as Arc<dyn Log>,
            keys: Arc::new(keys),
            config,
            buckets: Mutex::default(),
            blob_ids: Mutex::new(0..0),
            table: Mutex::default(),
            placement: Mutex::default(),
            tally: tokio::sync::Mutex::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let clock = tokio::spawn(clock::run(inner.clone(), stopped));
        Arc::new(Self {
            inner,
            log,
            stop,
            clock: Mutex::new(Some(clock)),
        })
    }

    /// The log below.
    pub fn log(&self) -> &L {
        &self.log
    }

    /// Ends the clock. The log below goes on until its owner ends it.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let clock = lock(&self.clock).take();
        if let Some(clock) = clock
            && let Err(error) = clock.await
        {
            tracing::error!(%error, "the metadata server's clock failed");
        }
    }
}

impl Inner {
    /// Proposes a command; a refusal is an error.
    async fn propose(&self, command: Command) -> Result<Reply, MetadataError> {
        self.ask(command).await?.granted()
    }

    /// Proposes a command; a refusal is an answer like another.
    async fn ask(&self, command: Command) -> Result<Reply, MetadataError> {
        let wall = wall_now();
        let proposal = Proposal { wall, command };
        self.log.propose(proposal).await.map_err(unavailable)
    }

    /// Reads rows, linearizably.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, MetadataError> {
        let (answer, answered) = oneshot::channel();
        let read = Box::new(move |store: &Store| drop(answer.send(read(store))));
        self.log.linearizable(read).await.map_err(unavailable)?;
        let rows = answered.await.expect("what was let in has read");
        rows.map_err(|error| {
            tracing::error!(%error, "a read found the store broken");
            MetadataError::Unavailable(error.to_string())
        })
    }

    /// A bucket as it was when first looked up.
    async fn bucket_row(&self, id: BucketId) -> Result<Arc<BucketRow>, MetadataError> {
        if let Some(row) = lock(&self.buckets).get(&id) {
            return Ok(row.clone());
        }
        let row = self.read(move |store| BUCKETS.get(store, &id)).await?;
        let row = Arc::new(row.ok_or(MetadataError::NoSuchBucket)?);
        lock(&self.buckets).insert(id, row.clone());
        Ok(row)
    }

    /// A bucket's key of one version.
    async fn bucket_key(
        &self,
        bucket: BucketId,
        version: u32,
    ) -> Result<Arc<BucketKey>, MetadataError> {
        if let Some(key) = self.keys.held(bucket, version) {
            return Ok(key);
        }
        let keys = self.keys.clone();
        // Kept while the row is read: when a batch that destroys it is applied, no later one puts it back.
        let unseal = move |store: &Store| match KEKS.get(store, &(bucket, version))? {
            Some(row) => Ok(Ok(keys.unseal(bucket, version, &row.wrapped))),
            None if BUCKETS.contains(store, &bucket)? => Ok(Err(MetadataError::RowDamaged)),
            None => Ok(Err(MetadataError::NoSuchBucket)),
        };
        let key = self.read(unseal).await??;
        key.map_err(|error| damaged("a bucket's key", bucket, error))
    }
}

impl<L: Log> Metadata for Server<L> {
    fn open_session(&self, gateway: NodeId) -> Answer<'_, Session> {
        Box::pin(self.inner.open_session(gateway))
    }

    fn renew_session(&self, session: SessionId) -> Answer<'_, Session> {
        Box::pin(self.inner.renew_session(session))
    }

    fn open_lease(&self, session: SessionId) -> Answer<'_, WriteLease> {
        Box::pin(self.inner.open_lease(session))
    }

    fn close_lease(&self, session: SessionId, lease: LeaseId) -> Answer<'_, ()> {
        Box::pin(self.inner.close_lease(session, lease))
    }

    fn issue_blobs(
        &self,
        session: SessionId,
        bucket: BucketId,
        count: u32,
    ) -> Answer<'_, Vec<IssuedBlob>> {
        Box::pin(self.inner.issue_blobs(session, bucket, count))
    }

    fn group_table(&self, known: u64) -> Answer<'_, Option<GroupTable>> {
        Box::pin(self.inner.group_table(known))
    }

    fn create_bucket(&self, request: CreateBucket) -> Answer<'_, Bucket> {
        Box::pin(self.inner.create_bucket(request))
    }

    fn delete_bucket(&self, request: DeleteBucket) -> Answer<'_, ()> {
        Box::pin(self.inner.delete_bucket(request))
    }

    fn bucket(&self, name: BucketName) -> Answer<'_, Bucket> {
        Box::pin(self.inner.bucket(name))
    }

    fn buckets(&self) -> Answer<'_, Vec<Bucket>> {
        Box::pin(self.inner.buckets())
    }

    fn fits(&self, request: Fits) -> Answer<'_, ()> {
        Box::pin(self.inner.fits(request))
    }

    fn commit_object(&self, request: CommitObject) -> Answer<'_, WallTime> {
        Box::pin(self.inner.commit_object(request))
    }

    fn delete_object(&self, request: DeleteObject) -> Answer<'_, ()> {
        Box::pin(self.inner.delete_object(request))
    }

    fn lookup(&self, request: Lookup) -> Answer<'_, Located> {
        Box::pin(self.inner.lookup(request))
    }

    fn lookups(&self, requests: Vec<Lookup>) -> Answer<'_, Vec<Result<Located, MetadataError>>> {
        Box::pin(self.inner.lookups(requests))
    }

    fn list(&self, request: List) -> Answer<'_, ListPage> {
        Box::pin(self.inner.list(request))
    }

    fn set_tags(&self, request: SetTags) -> Answer<'_, ()> {
        Box::pin(self.inner.set_tags(request))
    }

    fn tags(&self, bucket: BucketId, key: ObjectKey) -> Answer<'_, Tags> {
        Box::pin(self.inner.tags(bucket, key))
    }

    fn set_bucket_tags(&self, request: SetBucketTags) -> Answer<'_, ()> {
        Box::pin(self.inner.set_bucket_tags(request))
    }

    fn bucket_tags(&self, bucket: BucketId) -> Answer<'_, Option<Tags>> {
        Box::pin(self.inner.bucket_tags(bucket))
    }

    fn create_upload(&self, request: CreateUpload) -> Answer<'_, WallTime> {
        Box::pin(self.inner.create_upload(request))
    }

    fn commit_part(&self, request: CommitPart) -> Answer<'_, WallTime> {
        Box::pin(self.inner.commit_part(request))
    }

    fn list_parts(&self, request: ListParts) -> Answer<'_, PartPage> {
        Box::pin(self.inner.list_parts(request))
    }

    fn complete_upload(&self, request: CompleteUpload) -> Answer<'_, WallTime> {
        Box::pin(self.inner.complete_upload(request))
    }

    fn abort_upload(&self, request: AbortUpload) -> Answer<'_, ()> {
        Box::pin(self.inner.abort_upload(request))
    }

    fn list_uploads(&self, request: ListUploads) -> Answer<'_, UploadPage> {
        Box::pin(self.inner.list_uploads(request))
    }

    fn copy_object(&self, request: CopyObject) -> Answer<'_, WallTime> {
        Box::pin(self.inner.copy_object(request))
    }

    fn copy_part(&self, request: CopyPart) -> Answer<'_, WallTime> {
        Box::pin(self.inner.copy_part(request))
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn wall_now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    WallTime(u64::try_from(millis).unwrap_or(u64::MAX))
}

fn unavailable(error: LogError) -> MetadataError {
    MetadataError::Unavailable(error.to_string())
}

/// The proposal was answered as its command never is. Whether it took effect is not known; what the
/// answer was is not said, since it may hold names.
fn unexpected() -> MetadataError {
    let text = "a command was answered as another is";
    tracing::error!("{text}");
    MetadataError::Unavailable(text.to_owned())
}

fn damaged(what: &str, bucket: BucketId, error: KeyError) -> MetadataError {
    tracing::error!(%bucket, %error, "{what} does not open");
    MetadataError::RowDamaged
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
