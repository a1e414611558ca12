//! Sealed blocks from disks: directly from the shard that has them, or rebuilt from k others.
//!
//! A range that cannot be had from its own disk is rebuilt from the *same block rows* of any k other
//! shards, and from nothing more. What always holds: every block that is returned has the length that the
//! layout gives it, and was computed from blocks that matched their checksums, or comes from its own disk,
//! which checked it. Then its checksum is not looked at again here: its tag, which is, proves more, and
//! whoever finds that it does not open has it rebuilt ([`Way::Around`]; decision 0018).

use crate::chunk::shard_key;
use crate::error::GetError;
use crate::extent::{Chunk, Extent};
use crate::gather::Gather;
use crate::groups::Purpose;
use crate::inner::Inner;
use crate::plan::ShardRead;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::VecDeque;
use std::future::{Future, ready};
use std::ops::Range;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use types::block::{self, FRAMED_BLOCK};
use types::placement::{Group, Slot};
use types::wire::storage::{ReadError, ReadShard};

/// A silent disk is looked for so often, by a read that waits for one and has no hedge left.
const LOOKS_AGAIN: Duration = Duration::from_millis(20);

/// Too few shards can be read.
struct TooFew {
    available: usize,
}

/// Blocks, or why there are none.
type Fetched = Result<Result<VecDeque<Bytes>, TooFew>, GetError>;

/// What was faster than something that was still awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Faster {
    Itself,
    Others,
}

/// What comes first of a shard itself and of others, and which that was if the other was to be waited for; why others
/// have none, if neither has them.
async fn sooner(
    itself: impl Future<Output = Option<Vec<Bytes>>>,
    others: impl Future<Output = Fetched>,
) -> (Fetched, Option<Faster>) {
    let (mut itself, mut others) = (pin!(itself), pin!(others));
    let failed = tokio::select! {
        biased;
        blocks = &mut itself => match blocks {
            Some(blocks) => return (Ok(Ok(blocks.into())), Some(Faster::Itself)),
            None => return (others.await, None),
        },
        fetched = &mut others => match fetched {
            Ok(Ok(_)) => return (fetched, Some(Faster::Others)),
            failed => failed,
        },
    };
    match itself.await {
        Some(blocks) => (Ok(Ok(blocks.into())), Some(Faster::Itself)),
        None => (failed, None),
    }
}

/// Where a read's blocks may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the shard that has them, and from others if that fails.
    Any,
    /// From others only: what that shard gave did not open.
    Around,
}

/// How blocks from a disk are proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// By their checksums, here.
    Checksum,
    /// By the tags of the segments that they are, when these are opened.
    Tag,
}

/// Fetches the blocks of a read, sealed, in order; out of what is gathered of its chunk, if that is. What
/// fails is tried once more with a newer group table, if there is one.
pub(crate) async fn fetch(
    inner: &Inner,
    extent: &Extent,
    read: &ShardRead,
    way: Way,
    mut gather: Option<&Gather>,
) -> Result<VecDeque<Bytes>, GetError> {
    let chunk = extent.chunk(read.chunk)?;
    let needed = chunk.layout.profile().data();
    let mut table = inner.groups.table();
    let mut available = 0;
    loop {
        let seen = table.version;
        if let Some(group) = table.group(chunk.run.group) {
            let source = Source {
                inner,
                chunk: &chunk,
                group,
                gather,
            };
            let fetched = match way {
                Way::Any => source.any(read).await?,
                Way::Around => source.rebuild(read).await?,
            };
            match fetched {
                Ok(blocks) => return Ok(blocks),
                Err(too_few) => available = too_few.available,
            }
        }
        table = inner.groups.refresh(seen).await?;
        if table.version == seen {
            return Err(GetError::Unavailable { available, needed });
        }
        // What could not be had by the older table may be had now.
        gather = None;
    }
}

/// Whether a shard's disk did not serve a moment ago.
pub(crate) fn away(inner: &Inner, group: &Group, shard: usize) -> bool {
    let member = group.members.get(shard);
    member.is_none_or(|member| inner.groups.unwell(member.disk, Purpose::Read))
}

/// The disks of a chunk.
struct Source<'a> {
    inner: &'a Inner,
    chunk: &'a Chunk<'a>,
    group: &'a Group,
    gather: Option<&'a Gather>,
}

impl Source<'_> {
    /// From the shard itself, or from others.
    async fn any(&self, read: &ShardRead) -> Fetched {
        if self.away(read.shard) {
            self.others_first(read).await
        } else {
            self.itself_first(read).await
        }
    }

    /// From the shard itself; from others, too, once that takes unusually long, and whatever comes first.
    async fn itself_first(&self, read: &ShardRead) -> Fetched {
        let others = self.rebuild(read);
        let mut itself = pin!(self.direct(read.shard, read.rows(), Proof::Tag));
        tokio::select! {
            biased;
            blocks = &mut itself => return match blocks {
                Some(blocks) => Ok(Ok(blocks.into())),
                None => others.await,
            },
            () = self.hedges(read.shard) => {}
        }
        let (fetched, faster) = sooner(itself, others).await;
        if faster == Some(Faster::Others) {
            // Others are asked first for a while: slow is as bad as away.
            let disk = self.group.members[read.shard].disk;
            tracing::debug!(%disk, "slower than others: the range was rebuilt meanwhile");
            self.inner.groups.note_unwell(disk, Purpose::Read);
        }
        fetched
    }

    /// From others; from the shard itself, too, once that takes unusually long, and whatever comes first: one of
    /// the others may have gone away since. A disk that was away a moment ago comes last, but it comes.
    async fn others_first(&self, read: &ShardRead) -> Fetched {
        let itself = self.direct(read.shard, read.rows(), Proof::Tag);
        let mut others = pin!(self.rebuild(read));
        let (fetched, faster) = tokio::select! {
            biased;
            fetched = &mut others => match fetched {
                Ok(Ok(_)) => return fetched,
                failed => sooner(itself, ready(failed)).await,
            },
            () = sleep(self.inner.speed.slow_after()) => sooner(itself, others).await,
        };
        if faster == Some(Faster::Itself) {
            let disk = self.group.members[read.shard].disk;
            self.inner.groups.note_well(disk, Purpose::Read);
        }
        fetched
    }

    /// Until a read of a shard that began now has taken so long that others are asked as well: unusually long while
    /// there are hedges left; else until its disk has fallen silent, or lost against a hedge of another read.
    async fn hedges(&self, shard: usize) {
        let (speed, began) = (&self.inner.speed, Instant::now());
        sleep(speed.slow_after()).await;
        if speed.may_hedge() {
            return;
        }
        let disk = self.group.members[shard].disk;
        while !self.away(shard) && !speed.silent(disk, began) {
            sleep(LOOKS_AGAIN).await;
        }
    }

    /// From k other shards, as many rows at a time as there is memory set aside for.
    async fn rebuild(&self, read: &ShardRead) -> Fetched {
        // All others: any of them may be asked in the end.
        let row = (self.chunk.layout.profile().shards() - 1) * FRAMED_BLOCK;
        let at_once = (self.inner.budget.rescue_total() / row).max(1);
        let end = read.first_block + read.blocks;
        let mut blocks = VecDeque::with_capacity(read.blocks);
        for start in (read.first_block..end).step_by(at_once) {
            let rows = start..end.min(start + at_once);
            let _memory = self.inner.budget.rescue(row * rows.len()).await?;
            match self.rebuild_rows(read.shard, rows).await {
                Ok(rebuilt) => blocks.extend(rebuilt),
                Err(too_few) => return Ok(Err(too_few)),
            }
        }
        tracing::debug!(shard = %shard_key(self.group.id, self.chunk.id, read.shard), "rebuilt a range");
        Ok(Ok(blocks))
    }

    async fn rebuild_rows(&self, wanted: usize, rows: Range<usize>) -> Result<Vec<Bytes>, TooFew> {
        let layout = &self.chunk.layout;
        let needed = layout.profile().data();
        let mut shards: Vec<Option<Vec<Bytes>>> = vec![None; layout.profile().shards()];
        let mut candidates = Vec::new();
        for shard in (0..shards.len()).filter(|shard| *shard != wanted) {
            if layout.blocks(shard) <= rows.start {
                // It has nothing in these rows: zeros, which cost nothing.
                shards[shard] = Some(Vec::new());
            } else {
                candidates.push(shard);
            }
        }
        candidates.sort_by_key(|shard| (self.away(*shard), self.recorded_missing(*shard)));

        let mut available = shards.iter().flatten().count();
        let mut candidates = candidates.into_iter();
        let ask = |shard: usize| {
            let end = rows.end.min(layout.blocks(shard));
            let reading = self.direct(shard, rows.start..end, Proof::Checksum);
            async move { (shard, reading.await) }
        };
        let first = needed.saturating_sub(available);
        let mut awaited: Vec<usize> = candidates.by_ref().take(first).collect();
        let mut answers: FuturesUnordered<_> = awaited.iter().copied().map(ask).collect();
        let mut late = Vec::new();
        while available < needed && !answers.is_empty() {
            match timeout(self.inner.speed.slow_after(), answers.next()).await {
                Ok(Some((shard, blocks))) => {
                    awaited.retain(|one| *one != shard);
                    late.retain(|one| *one != shard);
                    if blocks.is_some() {
                        shards[shard] = blocks;
                        available += 1;
                        continue;
                    }
                }
                Err(_) if candidates.len() > 0 && self.inner.speed.may_hedge() => {
                    late.clone_from(&awaited);
                }
                Ok(None) | Err(_) => {}
            }
            // One more for each that fails, and for each time that none answers for unusually long.
            if let Some(next) = candidates.next() {
                awaited.push(next);
                answers.push(ask(next));
            }
        }
        if available >= needed {
            for shard in late {
                self.inner
                    .groups
                    .note_unwell(self.group.members[shard].disk, Purpose::Read);
            }
        }

        let rebuild = |row: usize| {
            let at = row - rows.start;
            let in_row = |blocks: &Vec<Bytes>| blocks.get(at).cloned().unwrap_or_default();
            let blocks: Vec<Option<Bytes>> =
                shards.iter().map(|s| s.as_ref().map(in_row)).collect();
            let blocks: Vec<Option<&[u8]>> = blocks.iter().map(Option::as_deref).collect();
            let mut out = vec![0; layout.block_length(wanted, row)];
            let rebuilt = self.chunk.coder.rebuild_row(&blocks, wanted, &mut out);
            rebuilt.map(|()| Bytes::from(out))
        };
        rows.clone()
            .map(rebuild)
            .collect::<Result<_, _>>()
            .map_err(|_| TooFew { available })
    }

    /// Rows of one shard, out of what is gathered or from its disk. `None` when they cannot be had from there,
    /// whatever the cause.
    async fn direct(&self, shard: usize, rows: Range<usize>, proof: Proof) -> Option<Vec<Bytes>> {
        let Some(gather) = self.gather else {
            return self.read_disk(shard, rows, proof).await;
        };
        let whole = gather.rows();
        let whole = whole.start..whole.end.min(self.chunk.layout.blocks(shard));
        let read = || self.read_disk(shard, whole, Proof::Checksum);
        gather.cut(shard, rows, read).await
    }

    async fn read_disk(
        &self,
        shard: usize,
        rows: Range<usize>,
        proof: Proof,
    ) -> Option<Vec<Bytes>> {
        let number = |value: usize| u32::try_from(value).expect("a shard has few blocks");
        let disk = self.group.members.get(shard)?.disk;
        let key = shard_key(self.group.id, self.chunk.id, shard);
        let request = ReadShard {
            disk,
            key,
            first_block: number(rows.start),
            blocks: number(rows.len()),
        };
        let began = Instant::now();
        let reading = self.inner.shards.read(request);
        let framed = match timeout(self.inner.config.shard_patience, reading).await {
            Ok(Ok(framed)) => {
                self.inner.speed.note(disk, began.elapsed());
                framed
            }
            Ok(Err(error)) => {
                tracing::debug!(%key, %disk, %error, "a range is rebuilt");
                self.note(shard, &error);
                return None;
            }
            Err(_) => {
                tracing::debug!(%key, %disk, "no answer in time: the range is rebuilt");
                self.inner.groups.note_unwell(disk, Purpose::Read);
                return None;
            }
        };
        let blocks = match proof {
            Proof::Tag => block::split(&framed),
            Proof::Checksum => block::verify(key, request.first_block, &framed)
                .inspect_err(
                    |error| tracing::warn!(%disk, %error, "damaged on its way from the disk"),
                )
                .ok()?,
        };
        let expected = rows.map(|row| self.chunk.layout.block_length(shard, row));
        blocks.iter().map(Bytes::len).eq(expected).then_some(blocks)
    }

    fn note(&self, shard: usize, error: &ReadError) {
        let disk = self.group.members[shard].disk;
        match error {
            ReadError::DiskUnavailable { .. } => {
                self.inner.groups.note_unwell(disk, Purpose::Read);
                self.inner.groups.note_unwell(disk, Purpose::Write);
            }
            ReadError::Io { .. } | ReadError::Busy { .. } => {
                self.inner.groups.note_unwell(disk, Purpose::Read);
            }
            _ => {}
        }
    }

    fn away(&self, shard: usize) -> bool {
        away(self.inner, self.group, shard)
    }

    fn recorded_missing(&self, shard: usize) -> bool {
        let missing = &self.chunk.run.missing;
        missing.iter().any(|Slot(slot)| usize::from(*slot) == shard)
    }
}
