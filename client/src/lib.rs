//! The data path: objects in and out, sealed, coded, and whole in spite of lost disks.
//!
//! ```text
//! put:  bytes -> segments, sealed -> chunk, coded -> k + m shards, all sent at once -> commit
//! get:  lookup -> plan -> one request a range, rebuilt from others if need be -> opened -> bytes
//! ```
//!
//! A [`Client`] belongs to one gateway. It talks to the two services of `types::wire` and knows nothing
//! of what is behind them. Decisions are pure (`plan`, `decide`, `runs`, the choice in
//! `groups`); shells around them do the waiting (`write`, `land`, `read`, `fetch`).
//!
//! What always holds:
//!
//! - an object is acknowledged only when the ack rule's shards of each of its chunks are durable and
//!   its commit was answered;
//! - no plaintext is handed out before its tag was checked, and no wrong byte ever;
//! - all object bytes in memory are paid for from one [`Budget`];
//! - what a dropped upload, download or client began stops with it.
//!
//! It never retries a commit under another number, and never writes a chunk id twice.

mod budget;
mod chunk;
mod config;
mod decide;
mod digest;
mod error;
mod extent;
mod fetch;
mod groups;
mod inner;
mod issue;
mod keeper;
mod land;
mod lease;
mod plan;
mod read;
mod runs;
mod session;
mod task;
mod write;

pub use budget::{Budget, Exhausted};
pub use config::ClientConfig;
pub use error::{BucketError, DeleteError, GetError, ListError, Pressure, PutError};
pub use read::{Body, Download, Head};
pub use write::{Stored, Upload};

use inner::Inner;
use std::sync::{Arc, Mutex};
use task::Task;
use tokio::sync::watch;
use types::label::Label;
use types::size::ByteCount;
use types::wire::metadata::{
    Bucket, CreateBucket, DeleteBucket, DeleteObject, List, ListPage, Lookup, Wanted,
};
use types::wire::{Metadata, ShardStore};
use types::{BucketName, ObjectKey, Profile, TenantId};

/// The data path of one gateway.
pub struct Client {
    inner: Arc<Inner>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<Task<()>>>,
}

/// A bucket to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBucket {
    /// Whose.
    pub tenant: TenantId,
    /// The access key that makes it.
    pub owner: String,
    /// Its name.
    pub name: BucketName,
    /// Its one label.
    pub label: Label,
    /// How its objects are coded; none: the cluster's default.
    pub profile: Option<Profile>,
}

impl Client {
    /// Starts a client. It opens its session by itself, and asks again while there is no metadata
    /// service yet.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        config: ClientConfig,
        metadata: Arc<dyn Metadata>,
        shards: Arc<dyn ShardStore>,
    ) -> Arc<Self> {
        let inner = Arc::new(Inner::new(config, metadata, shards));
        let (stop, stopped) = watch::channel(false);
        let tasks = vec![
            Task::spawn(keeper::renew(Arc::clone(&inner), stopped.clone())),
            Task::spawn(keeper::stock(Arc::clone(&inner), stopped)),
        ];
        Arc::new(Self {
            inner,
            stop,
            tasks: Mutex::new(tasks),
        })
    }

    /// Ends the background tasks and gives leases back. Uploads should have ended before: those that
    /// have not can still commit until their lease expires.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut *session::lock(&self.tasks));
        for task in tasks {
            task.join().await;
        }
        let Some(session) = self.inner.sessions.live() else {
            return;
        };
        let metadata = &*self.inner.metadata;
        let patience = self.inner.config.metadata_patience;
        if let Err(error) = session.leases.close(metadata, &session, patience).await {
            tracing::debug!(%error, "leases were not given back; they expire");
        }
    }

    /// The memory budget of the whole data path.
    pub fn budget(&self) -> &Budget {
        &self.inner.budget
    }

    /// Begins an object. A declared length saves memory, and is then held to.
    ///
    /// # Errors
    /// When the bucket is gone, or no data key is to be had.
    pub async fn put(
        &self,
        bucket: &Bucket,
        key: ObjectKey,
        declared: Option<ByteCount>,
    ) -> Result<Upload, PutError> {
        Upload::begin(Arc::clone(&self.inner), bucket.clone(), key, declared).await
    }

    /// Reads an object, or a range of it.
    ///
    /// # Errors
    /// When there is none, or the range lies outside it. What goes wrong later, the body says.
    pub async fn get(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        wanted: Wanted,
    ) -> Result<Download, GetError> {
        read::download(Arc::clone(&self.inner), bucket, key, wanted).await
    }

    /// What is stored about an object.
    ///
    /// # Errors
    /// When there is none.
    pub async fn head(&self, bucket: &Bucket, key: &ObjectKey) -> Result<Head, GetError> {
        let lookup = || Lookup {
            bucket: bucket.id,
            key: key.clone(),
            wanted: Wanted::Nothing,
        };
        let ask = || self.inner.metadata.lookup(lookup());
        Ok(Head::of(&self.inner.ask(ask).await?))
    }

    /// Deletes an object. Deleting what is not there succeeds.
    ///
    /// # Errors
    /// When the bucket is gone, or nobody answers.
    pub async fn delete(&self, bucket: &Bucket, key: &ObjectKey) -> Result<(), DeleteError> {
        let send = |request| {
            self.inner.metadata.delete_object(DeleteObject {
                request,
                bucket: bucket.id,
                key: key.clone(),
            })
        };
        Ok(self.inner.change(send).await?)
    }

    /// One page of a listing.
    ///
    /// # Errors
    /// When the bucket is gone, or nobody answers.
    pub async fn list(&self, list: List) -> Result<ListPage, ListError> {
        let ask = || self.inner.metadata.list(list.clone());
        Ok(self.inner.ask(ask).await?)
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// When the name is taken.
    pub async fn create_bucket(&self, new: NewBucket) -> Result<Bucket, BucketError> {
        let send = |request| {
            let new = new.clone();
            self.inner.metadata.create_bucket(CreateBucket {
                request,
                tenant: new.tenant,
                owner: new.owner,
                name: new.name,
                label: new.label,
                profile: new.profile,
            })
        };
        Ok(self.inner.change(send).await?)
    }

    /// Deletes an empty bucket.
    ///
    /// # Errors
    /// When it is gone, or holds objects.
    pub async fn delete_bucket(&self, bucket: &Bucket) -> Result<(), BucketError> {
        let send = |request| {
            self.inner.metadata.delete_bucket(DeleteBucket {
                request,
                bucket: bucket.id,
            })
        };
        Ok(self.inner.change(send).await?)
    }

    /// Finds a bucket by its name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn bucket(&self, name: &BucketName) -> Result<Bucket, BucketError> {
        let ask = || self.inner.metadata.bucket(name.clone());
        Ok(self.inner.ask(ask).await?)
    }

    /// All buckets, by name.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn buckets(&self) -> Result<Vec<Bucket>, BucketError> {
        Ok(self.inner.ask(|| self.inner.metadata.buckets()).await?)
    }
}
