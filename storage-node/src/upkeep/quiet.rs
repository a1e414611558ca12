//! A node's own shards, as its upkeep reads them: not as requests of others, to which it would give way.

use crate::service::Node;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use types::shard::ChunkDescription;
use types::wire::ShardStore;
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::{DiskId, ShardKey};

/// The shards of one node, for its own upkeep.
pub struct Quiet(pub Arc<Node>);

impl ShardStore for Quiet {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        self.0.put_shard(request).boxed()
    }

    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        self.0.read_shard(request).boxed()
    }

    fn describe(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        self.0.describe_shard(disk, key).boxed()
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        self.0.report()
    }
}
