//! The data path: objects in and out, sealed, coded, and whole in spite of lost disks.
//!
//! ```text
//! put:   bytes -> segments, sealed -> chunk, coded -> k + m shards, all sent at once -> commit
//! part:  the same, but for its commit; then one command makes an object of the parts
//! copy:  one command, and no byte moves
//! get:   lookup -> plan -> one request a range, rebuilt from others if need be -> opened -> bytes
//! ```
//!
//! A [`Client`] belongs to one gateway. It talks to the two services of `types::wire` and knows nothing
//! of what is behind them. Decisions are pure (`plan`, `decide`, `runs`, the choice in
//! `groups`); shells around them do the waiting (`upload`, `sending`, `land`, `lookup`, `read`, `fetch`).
//!
//! What always holds:
//!
//! - an object is acknowledged only when the ack rule's shards of each of its chunks are durable and
//!   its commit was answered;
//! - no plaintext is handed out before its tag was checked, and no wrong byte ever;
//! - all object bytes in memory are paid for from one [`Budget`];
//! - what a dropped upload, download or client began stops with it.
//!
//! The metadata service may be in this process, or [`Servers`] over the wire.
//!
//! It never retries a commit under another number, and never writes a chunk id twice.

mod bucket;
mod budget;
mod chunk;
mod commit;
mod config;
mod copy;
mod decide;
mod digest;
mod error;
mod extent;
mod fetch;
mod gather;
mod groups;
mod inner;
mod issue;
mod keeper;
mod land;
mod lease;
mod lookup;
mod multipart;
mod nodes;
mod plan;
mod reach;
mod read;
mod recycled;
mod runs;
mod sending;
mod servers;
mod session;
mod shared;
mod speed;
mod tags;
mod task;
mod upload;

pub use bucket::NewBucket;
pub use budget::{Budget, Exhausted};
pub use config::{Chance, ClientConfig, Sealing};
pub use error::{BucketError, DeleteError, GetError, ListError, Pressure, PutError};
pub use multipart::NewUpload;
pub use nodes::{Nodes, NotBegun, RemoteNode, ScrubReport, SilentNode};
pub use read::{Body, Download, Head};
pub use servers::{RemoteMetadata, Servers};
pub use upload::{Stored, Upload};

use inner::Inner;
use std::sync::{Arc, Mutex};
use task::Task;
use tokio::sync::watch;
use types::size::ByteCount;
use types::wire::metadata::{Bucket, Condition, DeleteObject, List, ListPage, Lookup, Wanted};
use types::wire::{Metadata, ShardStore};
use types::{ObjectKey, VersionId};
use upload::Target;

/// The data path of one gateway.
pub struct Client {
    inner: Arc<Inner>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<Task<()>>>,
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
        let inner = Arc::clone(&self.inner);
        Upload::begin(inner, bucket.clone(), key, Target::Object, declared).await
    }

    /// Begins a part of a multipart upload, to be finished with [`Upload::finish_part`]. A declared
    /// length saves memory, and is then held to. Whether there is such an upload shows at the end.
    ///
    /// # Errors
    /// When the bucket is gone, or no data key is to be had.
    pub async fn put_part(
        &self,
        bucket: &Bucket,
        key: ObjectKey,
        upload: VersionId,
        number: u32,
        declared: Option<ByteCount>,
    ) -> Result<Upload, PutError> {
        let inner = Arc::clone(&self.inner);
        let target = Target::Part { upload, number };
        Upload::begin(inner, bucket.clone(), key, target, declared).await
    }

    /// Reads an object, or a range or part of it.
    ///
    /// # Errors
    /// When there is none, or the range lies outside it, or too few of the disks that it takes are known
    /// to serve. What goes wrong later, the body says.
    pub async fn get(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        wanted: Wanted,
    ) -> Result<Download, GetError> {
        read::download(Arc::clone(&self.inner), bucket, key, wanted).await
    }

    /// What is stored about an object, and with [`Wanted::Part`] where that part lies in it.
    ///
    /// # Errors
    /// When there is none, or no such part.
    pub async fn head(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        wanted: Wanted,
    ) -> Result<Head, GetError> {
        let lookup = Lookup {
            bucket: bucket.id,
            key: key.clone(),
            wanted,
            version: None,
        };
        Ok(Head::of(&self.inner.look_up(lookup).await?))
    }

    /// Deletes an object, if `condition` holds of its current version. Deleting what is not there
    /// succeeds, unless the condition asks for a version.
    ///
    /// # Errors
    /// When the bucket is gone, the condition does not hold, or nobody answers.
    pub async fn delete(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        condition: Condition,
    ) -> Result<(), DeleteError> {
        let send = |request| {
            self.inner.metadata.delete_object(DeleteObject {
                request,
                bucket: bucket.id,
                key: key.clone(),
                condition: condition.clone(),
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
}
