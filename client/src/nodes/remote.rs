//! One storage node over the wire.
//!
//! Why a call brought no answer matters to its caller. One that never arrived says that the node is away. A put
//! that broke off may be stored or not, and counts as not acknowledged: the same bytes may be sent again under
//! the same key, and what is stored and not counted on is found by the node itself.

use bytes::Bytes;
use ca::{Credentials, Identity, Role};
use futures::FutureExt;
use futures::future::BoxFuture;
use rpc::bulk::{Pool, PoolLimits, Sent};
use rpc::{Addresses, CallError, Method, StatusCode};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use types::shard::ChunkDescription;
use types::wire::ShardStore;
use types::wire::scrub::{DiskScrub, NotScrubbed};
use types::wire::shards::{self, LONGEST_ANSWER, LONGEST_SHARD, Resource};
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::{ClusterId, DiskId, NodeId, ShardKey, codec};

/// One storage node.
pub struct RemoteNode(Pool);

impl RemoteNode {
    /// The node of that id, wherever `addresses` says that it listens. Nothing is connected yet.
    ///
    /// # Errors
    /// When the credentials cannot be used.
    pub fn new(
        credentials: &Credentials,
        cluster: ClusterId,
        node: NodeId,
        addresses: Arc<dyn Addresses>,
        limits: PoolLimits,
    ) -> Result<Self, rustls::Error> {
        let peer = Identity::server(cluster, Role::Storage, node);
        Ok(Self(Pool::new(credentials, peer, addresses, limits)?))
    }

    async fn store(&self, put: PutShard) -> Result<(), PutError> {
        let disk = put.disk;
        let request = Sent {
            method: Method::PUT,
            target: Resource::Shard(disk, put.key).path(),
            body: vec![shards::preamble(&put).into(), put.payload],
        };
        let answered = self.0.call(&request, LONGEST_ANSWER).await;
        let (status, body) = answered.map_err(|error| {
            tracing::debug!(%disk, key = %put.key, %error, "a shard was not acknowledged");
            match error {
                CallError::NotSent { .. } => PutError::DiskUnavailable { disk },
                _ => PutError::Unanswered { disk },
            }
        })?;
        if status == StatusCode::OK {
            return Ok(());
        }
        Err(codec::decode(&body).unwrap_or_else(|_| {
            self.puzzled(status, &body);
            PutError::Unanswered { disk }
        }))
    }

    /// Asks for what is there, and gets it or why not.
    async fn ask(
        &self,
        target: String,
        longest: usize,
        away: ReadError,
    ) -> Result<Bytes, ReadError> {
        let answered = self.0.call(&Sent::get(target), longest).await;
        let (status, body) = answered.map_err(|error| {
            tracing::debug!(%error, "a storage node did not answer");
            away.clone()
        })?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        Err(codec::decode(&body).unwrap_or_else(|_| {
            self.puzzled(status, &body);
            away
        }))
    }

    /// As [`RemoteNode::ask`], where a value is expected.
    async fn ask_value<T: DeserializeOwned>(
        &self,
        resource: Resource,
        away: ReadError,
    ) -> Result<T, ReadError> {
        let body = self
            .ask(resource.path(), LONGEST_ANSWER, away.clone())
            .await?;
        codec::decode(&body).map_err(|error| {
            tracing::warn!(peer = %self.0.peer(), %error, "an answer cannot be read");
            away
        })
    }

    /// What the node tells of itself; none when it does not answer.
    async fn told<T: DeserializeOwned>(&self, resource: Resource) -> Option<T> {
        let away = ReadError::DiskUnavailable {
            disk: DiskId::new(0),
        };
        self.ask_value(resource, away).await.ok()
    }

    /// The state of every disk of the node; none when it does not answer.
    pub async fn disks(&self) -> Option<Vec<DiskReport>> {
        self.told(Resource::Disks).await
    }

    /// How far the scrub of each disk of the node is; none when it does not answer.
    pub async fn scrubbed(&self) -> Option<Vec<DiskScrub>> {
        self.told(Resource::Scrub).await
    }

    /// Begins a round of scrub of a disk of the node, or of all that serve; none when it does not answer. Nobody
    /// knows then whether it has begun: it may be asked again.
    pub async fn begin_scrub(&self, disk: Option<DiskId>) -> Option<Result<(), NotScrubbed>> {
        let request = Sent {
            method: Method::POST,
            target: disk.map_or(Resource::Scrub, Resource::ScrubOf).path(),
            body: Vec::new(),
        };
        let (status, body) = match self.0.call(&request, LONGEST_ANSWER).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, "a storage node did not answer");
                return None;
            }
        };
        if status == StatusCode::OK {
            return Some(Ok(()));
        }
        match codec::decode(&body) {
            Ok(refused) => Some(Err(refused)),
            Err(_) => {
                self.puzzled(status, &body);
                None
            }
        }
    }

    /// The node did not understand what it was asked: its build is another, or this one's is.
    fn puzzled(&self, status: StatusCode, body: &[u8]) {
        let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        tracing::warn!(peer = %self.0.peer(), %status, text, "a storage node refused a call");
    }
}

impl ShardStore for RemoteNode {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        self.store(request).boxed()
    }

    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        async move {
            let away = ReadError::DiskUnavailable { disk: request.disk };
            let target = shards::read_target(&request);
            self.ask(target, LONGEST_SHARD, away).await
        }
        .boxed()
    }

    fn describe(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        let away = ReadError::DiskUnavailable { disk };
        self.ask_value(Resource::Description(disk, key), away)
            .boxed()
    }

    /// Nothing when the node does not answer.
    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        async move { self.disks().await.unwrap_or_default() }.boxed()
    }
}
