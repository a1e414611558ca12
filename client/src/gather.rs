//! Shards of one chunk that several reads of it share.
//!
//! With a data shard away, each range of it takes the same rows of k other shards, and a download that goes
//! on through the chunk wants most of those as well. Each shard of a *gathered* chunk is read once, by the
//! first who needs it, and everybody cuts out of that what they need:
//!
//! ```text
//! lost:   0 1              each by itself    0: 2 3 4 5   1: 2 3 4 5   2   3     ten shards read for four
//! others: 2 3 4 5 (+ 2)    gathered          2 3 4 5                             four
//! ```
//!
//! What always holds: its blocks matched their checksums; it is paid for out of memory that is to spare, which
//! slow clients may hold; and a download holds one, of the chunk that it reads next.

use crate::budget::{Budget, Reservation};
use crate::extent::Chunk;
use crate::plan::ShardRead;
use bytes::Bytes;
use std::future::Future;
use std::ops::Range;
use tokio::sync::OnceCell;
use types::block::FRAMED_BLOCK;
use types::id::{ChunkId, GroupId};

/// The shards of one chunk, each read when it is first needed. One that could not be had stays so.
pub(crate) struct Gather {
    chunk: (GroupId, ChunkId),
    rows: Range<usize>,
    shards: Vec<OnceCell<Option<Vec<Bytes>>>>,
    _memory: Reservation,
}

impl Gather {
    /// For the reads that are still to come of a chunk, the first of them about to begin. `None` where they
    /// would share nothing; where the first takes less than all rows, and would wait for more than it needs;
    /// and without memory to spare.
    pub(crate) fn of(chunk: &Chunk<'_>, reads: &[ShardRead], budget: &Budget) -> Option<Self> {
        let (first, others) = reads.split_first()?;
        let rows = first.rows();
        let inside = |read: &ShardRead| within(&read.rows(), &rows);
        if others.is_empty() || !others.iter().all(inside) {
            return None;
        }
        let profile = chunk.layout.profile();
        // Which k it will be shows only when they are read.
        let memory = budget.spare(profile.shards() * rows.len() * FRAMED_BLOCK)?;
        Some(Self {
            chunk: (chunk.run.group, chunk.id),
            rows,
            shards: vec![OnceCell::new(); profile.shards()],
            _memory: memory,
        })
    }

    /// Whether a read of a chunk can be cut out of it.
    pub(crate) fn is_for(&self, chunk: &Chunk<'_>, read: &ShardRead) -> bool {
        self.chunk == (chunk.run.group, chunk.id) && within(&read.rows(), &self.rows)
    }

    /// The block rows that are read of each shard, as far as it has them.
    pub(crate) fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// `rows` of a shard, which `read` gets the gathered ones of if nobody has yet. `None` when it cannot
    /// be had.
    pub(crate) async fn cut<F>(
        &self,
        shard: usize,
        rows: Range<usize>,
        read: impl FnOnce() -> F,
    ) -> Option<Vec<Bytes>>
    where
        F: Future<Output = Option<Vec<Bytes>>>,
    {
        let blocks = self.shards.get(shard)?.get_or_init(read).await;
        let from = rows.start.checked_sub(self.rows.start)?;
        let blocks = blocks.as_ref()?.get(from..from + rows.len())?;
        Some(blocks.to_vec())
    }
}

fn within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}
