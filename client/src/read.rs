//! Downloads.
//!
//! ```text
//! lookup --> extents --> plan --> reads, several in flight --> blocks --> open --> trimmed bytes
//!            (a window)           (a window of bytes)
//! ```
//!
//! Reads run ahead of what is handed out, in order. The first is small, so that the first byte comes
//! soon; reads and window then double while the reader keeps up and the budget has memory to spare.
//! What always holds:
//!
//! - a byte is handed out only after the tag of its segment was checked, and in its place;
//! - nothing is read from a disk unless the version was looked up recently enough to be there;
//! - what is in flight is paid for; a stream that waits for memory holds none but what it has to hand
//!   out, and never more than one read is waited for;
//! - a read goes on while nobody asks for bytes: a client that pauses keeps no disk waiting, and the
//!   memory that rebuilding takes is held for as long as its I/O lasts, not for as long as the pause;
//! - dropped, it stops everything that it began.

use crate::budget::Reservation;
use crate::error::{GetError, Pressure};
use crate::extent::{Extent, Source};
use crate::fetch::{Way, away, fetch};
use crate::gather::Gather;
use crate::groups::Purpose;
use crate::inner::Inner;
use crate::lookup::{Extents, Next, Question};
use crate::plan::{Plan, ShardRead};
use crate::reach::in_reach;
use crate::task::Task;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use types::block::FRAMED_BLOCK;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{Bucket, Located, WallTime, Wanted};
use types::{Attributes, ObjectKey, VersionId};

/// Blocks of the first read, and of the longest.
const FIRST_READ: usize = 2;
const LONGEST_READ: usize = 16;
/// Reads in flight at most, however short they are.
const MOST_READS: usize = 64;
/// Bytes in flight until the first read is done: what runs ahead of it would hold it up.
const FIRST_WINDOW: usize = 4 * FRAMED_BLOCK;
/// Bytes in flight from then on, at first.
const NEXT_WINDOW: usize = 2 * LONGEST_READ * FRAMED_BLOCK;

/// What HEAD says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The version.
    pub version: VersionId,
    /// Length of the object.
    pub length: ByteCount,
    /// When it was committed.
    pub modified: WallTime,
    /// What it was stored with.
    pub attributes: Attributes,
    /// Where what was wanted begins.
    pub first: ByteOffset,
    /// How long it is.
    pub wanted: ByteCount,
    /// How many parts it was uploaded in; 0 for a plain PUT.
    pub parts: u32,
    /// How many tags it has.
    pub tags: u32,
}

/// An object's bytes, in order, in pieces of at most 64 KiB. After an error it ends.
pub type Body = BoxStream<'static, Result<Bytes, GetError>>;

/// An object on its way out. Dropping it stops it.
pub struct Download {
    /// What HEAD says of it.
    pub located: Head,
    /// The bytes of the object that `body` gives.
    pub range: Range<u64>,
    /// The bytes.
    pub body: Body,
}

impl Head {
    pub(crate) fn of(located: &Located) -> Self {
        Self {
            version: located.version,
            length: located.length,
            modified: located.modified,
            attributes: located.attributes.clone(),
            first: located.first,
            wanted: located.wanted,
            parts: located.parts,
            tags: located.tags,
        }
    }
}

pub(crate) async fn download(
    inner: Arc<Inner>,
    bucket: &Bucket,
    key: &ObjectKey,
    wanted: Wanted,
) -> Result<Download, GetError> {
    let question = Question {
        inner: Arc::clone(&inner),
        bucket: bucket.id,
        key: key.clone(),
    };
    let (found, range, extents) = Extents::find(question, wanted).await?;
    in_reach(&inner, extents.ready()).await?;
    let located = Head {
        first: ByteOffset::new(range.start),
        wanted: ByteCount::new(range.end - range.start),
        ..Head::of(&found)
    };
    Ok(Download {
        located,
        range,
        body: Reader::new(inner, extents).stream(),
    })
}

/// A read that is done: its blocks, still sealed, and the memory that they take.
struct Fetched {
    extent: Arc<Extent>,
    read: ShardRead,
    blocks: VecDeque<Bytes>,
    memory: Reservation,
}

struct Reader {
    inner: Arc<Inner>,
    /// Extents that no plan was made for yet.
    extents: Extents,
    plan: Option<(Arc<Extent>, Plan)>,
    /// What reads of the present chunk share.
    gather: Option<Arc<Gather>>,
    /// Reads under way or done, in order.
    reads: VecDeque<Task<Result<Fetched, GetError>>>,
    /// The read that is being handed out.
    opening: Option<Fetched>,
    /// A read that is planned and has no memory yet.
    next: Option<(Arc<Extent>, Wish)>,
    /// Bytes that may be in flight, and that are.
    window: usize,
    in_flight: usize,
    longest: usize,
}

/// What is read next.
enum Wish {
    Inline(Bytes),
    Disk(ShardRead),
}

impl Wish {
    fn bytes(&self) -> usize {
        match self {
            Self::Inline(sealed) => sealed.len(),
            Self::Disk(read) => read.blocks * FRAMED_BLOCK,
        }
    }
}

impl Reader {
    fn new(inner: Arc<Inner>, extents: Extents) -> Self {
        Self {
            window: FIRST_WINDOW.min(inner.config.window.as_usize()),
            inner,
            extents,
            plan: None,
            gather: None,
            reads: VecDeque::new(),
            opening: None,
            next: None,
            in_flight: 0,
            longest: FIRST_READ,
        }
    }

    fn stream(self) -> Body {
        futures::stream::unfold(Some(self), |state| async move {
            let mut reader = state?;
            match reader.next_piece().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(reader))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, GetError> {
        loop {
            self.read_ahead().await?;
            if let Some(fetched) = &mut self.opening {
                if let Some(sealed) = fetched.blocks.pop_front() {
                    let piece = open(&self.inner, fetched, &sealed).await?;
                    fetched.read.first_segment += 1;
                    fetched.read.first_block += 1;
                    return Ok(Some(piece));
                }
                self.in_flight -= fetched.memory.bytes();
                self.opening = None;
                let most = self.inner.config.window.as_usize();
                self.window = most.min(self.window * 2);
                continue;
            }
            let Some(read) = self.reads.pop_front() else {
                return Ok(None);
            };
            self.opening = Some(outcome(read).await?);
            let most = self.inner.config.window.as_usize();
            self.window = self.window.max(NEXT_WINDOW.min(most));
        }
    }

    /// Starts reads while the window has room and there is memory to spare; waits for memory, or to be
    /// told of more extents, only when there is nothing else to wait for. Afterwards nothing is under way
    /// only if all was read.
    async fn read_ahead(&mut self) -> Result<(), GetError> {
        loop {
            let idle = self.reads.is_empty() && self.opening.is_none();
            let room = self.window.saturating_sub(self.in_flight);
            let Some(bytes) = self.next_wish(idle).await?.map(Wish::bytes) else {
                return Ok(());
            };
            let memory = if idle {
                self.inner.budget.read(bytes).await?
            } else if bytes <= room
                && self.reads.len() < MOST_READS
                && let Some(memory) = self.inner.budget.spare(bytes)
            {
                memory
            } else {
                return Ok(());
            };
            if let Some((_, Wish::Disk(_))) = &self.next {
                self.extents.still_there().await?;
            }
            let (extent, wish) = self.next.take().expect("it was just looked at");
            self.in_flight += bytes;
            let gather = match &wish {
                Wish::Disk(read) => self.gather(&extent, read),
                Wish::Inline(_) => None,
            };
            let work = carry_out(Arc::clone(&self.inner), extent, wish, gather, memory);
            self.reads.push_back(Task::spawn(work));
        }
    }

    /// What a read shares with others of its chunk, if a disk that one of them needs is away.
    fn gather(&mut self, extent: &Extent, read: &ShardRead) -> Option<Arc<Gather>> {
        if !self.inner.groups.any_unwell(Purpose::Read) {
            self.gather = None;
            return None;
        }
        let chunk = extent.chunk(read.chunk).ok()?;
        self.gather.take_if(|begun| !begun.is_for(&chunk, read));
        if self.gather.is_some() {
            return self.gather.clone();
        }
        let table = self.inner.groups.table();
        let group = table.group(chunk.run.group)?;
        let (_, plan) = self.plan.as_ref()?;
        let reads: Vec<ShardRead> = std::iter::once(*read)
            .chain(plan.of_chunk(read.chunk))
            .collect();
        let lost = |read: &ShardRead| away(&self.inner, group, read.shard);
        if !reads.iter().any(lost) {
            return None;
        }
        self.gather = Gather::of(&chunk, &reads, &self.inner.budget).map(Arc::new);
        self.gather.clone()
    }

    /// The read to be made next, as far as its extent is known; `wait` until it is.
    async fn next_wish(&mut self, wait: bool) -> Result<Option<&Wish>, GetError> {
        while self.next.is_none() {
            if let Some((extent, plan)) = &mut self.plan {
                if let Some(read) = plan.next(self.longest) {
                    self.longest = LONGEST_READ.min(self.longest * 2);
                    self.next = Some((Arc::clone(extent), Wish::Disk(read)));
                    break;
                }
                self.plan = None;
            }
            let Next::Extent(extent) = self.extents.next(wait).await? else {
                return Ok(None);
            };
            match extent.source() {
                Source::Inline(sealed) => self.next = Some((extent, Wish::Inline(sealed))),
                Source::Disks(plan) => self.plan = Some((extent, plan)),
            }
        }
        Ok(self.next.as_ref().map(|(_, wish)| wish))
    }
}

async fn carry_out(
    inner: Arc<Inner>,
    extent: Arc<Extent>,
    wish: Wish,
    gather: Option<Arc<Gather>>,
    memory: Reservation,
) -> Result<Fetched, GetError> {
    let (read, blocks) = match wish {
        Wish::Inline(sealed) => (ShardRead::WHOLE, VecDeque::from([sealed])),
        Wish::Disk(read) => {
            let blocks = fetch(&inner, &extent, &read, Way::Any, gather.as_deref()).await?;
            (read, blocks)
        }
    };
    Ok(Fetched {
        extent,
        read,
        blocks,
        memory,
    })
}

async fn outcome<T: Send + 'static>(task: Task<Result<T, GetError>>) -> Result<T, GetError> {
    task.join().await.ok_or(Pressure::Stopping)?
}

/// Opens the segment in the first block of `fetched.read`. One that does not open is rebuilt from other
/// shards, once.
async fn open(inner: &Arc<Inner>, fetched: &Fetched, sealed: &[u8]) -> Result<Bytes, GetError> {
    let segment = fetched.read.first_segment;
    if let Ok(piece) = fetched.extent.open(segment, sealed) {
        return Ok(piece);
    }
    tracing::warn!(segment, "a segment does not open: damage, or an attack");
    let damaged = GetError::Damaged { segment };
    if let Source::Inline(_) = fetched.extent.source() {
        return Err(damaged);
    }
    let read = ShardRead {
        blocks: 1,
        ..fetched.read
    };
    let (inner, extent) = (Arc::clone(inner), Arc::clone(&fetched.extent));
    let work = async move { fetch(&inner, &extent, &read, Way::Around, None).await };
    let rebuilt = outcome(Task::spawn(work)).await?;
    let sealed = rebuilt.front().ok_or(damaged.clone())?;
    fetched.extent.open(segment, sealed).map_err(|_| damaged)
}
