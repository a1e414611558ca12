//! A node's own shards as its upkeep reads them, or forged: other bytes with descriptions to match. What is made out
//! of those was proved against nothing; it stands for a repair that does not prove what it writes.
//!
//! Only chunks of one segment are forged: each of their shards tells all the others.

use bytes::Bytes;
use erasure::Coder;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use storage_node::Node;
use storage_node::upkeep::Quiet;
use types::block::{self, SEALED_SEGMENT};
use types::shard::{ChunkDescription, ShardDigest};
use types::wire::ShardStore;
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::{DiskId, ShardKey};

/// The shards of a node, forged.
pub(crate) struct Forged(Quiet);

impl Forged {
    pub(crate) fn of(node: Arc<Node>) -> Self {
        Self(Quiet(node))
    }

    /// What a shard's record says, and the shard; both of another chunk than was written.
    async fn forge(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> Result<Option<(ChunkDescription, Bytes)>, ReadError> {
        let mut chunk = self.0.describe(disk, key).await?;
        let length = chunk.data_lengths[0] as usize;
        if length > SEALED_SEGMENT || chunk.data_lengths[1..].iter().any(|length| *length > 0) {
            return Ok(None);
        }
        let read = ReadShard {
            disk,
            key,
            first_block: 0,
            blocks: 1,
        };
        let framed = self.0.read(read).await?;
        let corrupt = |_| ReadError::Corrupt { key, block: 0 };
        let own = block::verify(key, 0, &framed).map_err(corrupt)?[0].clone();
        let profile = chunk.profile;
        let coder = Coder::new(profile);
        let mut present = vec![None; profile.shards()];
        present[1..profile.data()].fill(Some(&[][..]));
        present[usize::from(key.index)] = Some(&own[..]);
        let mut data = own.to_vec();
        if key.index > 0 {
            let rebuilt = coder.rebuild_row(&present, 0, &mut data);
            rebuilt.expect("all others are empty");
        }
        data[0] ^= 1;
        let mut shards = vec![Vec::new(); profile.shards()];
        let mut parity = vec![vec![0; length]; profile.parity()];
        let mut row: Vec<&[u8]> = vec![&[]; profile.data()];
        row[0] = &data;
        let mut out: Vec<&mut [u8]> = parity.iter_mut().map(|block| &mut block[..]).collect();
        coder.encode_row(&row, &mut out);
        shards[0] = data;
        shards.splice(profile.data().., parity);
        for (digest, shard) in chunk.digests.iter_mut().zip(&shards) {
            *digest = ShardDigest(*blake3::hash(shard).as_bytes());
        }
        let mut forged = Vec::new();
        block::frame(key, 0, &shards[usize::from(key.index)], &mut forged);
        Ok(Some((chunk, forged.into())))
    }
}

impl ShardStore for Forged {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        self.0.put(request)
    }

    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        async move {
            match self.forge(request.disk, request.key).await? {
                Some((_, forged)) => Ok(forged),
                None => self.0.read(request).await,
            }
        }
        .boxed()
    }

    fn describe(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        async move {
            match self.forge(disk, key).await? {
                Some((chunk, _)) => Ok(chunk),
                None => self.0.describe(disk, key).await,
            }
        }
        .boxed()
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        self.0.report()
    }
}
