//! The wires between gateways, the storage node and the metadata servers, in bad weather: messages are slow,
//! questions get lost and so do answers to what was carried out, and some end is cut off for a while.
//!
//! What has arrived is carried out whether or not the caller still waits.

use crate::bay::lock;
use crate::faults::Faults;
use crate::invariant::Told;
use crate::plant::Plant;
use crate::trace::Trace;
use crate::watch::Watch;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use metadata::raft::Between;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage_node::Node;
use strongroom_tests::Dice;
use types::block;
use types::placement::{Epoch, Slot};
use types::shard::ChunkDescription;
use types::wire::ShardStore;
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::{DiskId, NodeId, ShardKey, codec};

/// One message in so many is lost.
pub(crate) const LOST: u64 = 150;
/// And one in so many of those that change what clients see: nothing tells more than these.
pub(crate) const LOST_CHANGE: u64 = 15;
/// A connection breaks once in so many pieces of what it carries.
const BROKEN: u64 = 600;
/// One in so many is slow.
const SLOW: u64 = 12;
/// And one of these in so many very slow.
const VERY: u64 = 10;
/// One answer in so many to a reader is a lie.
const LIES: u64 = 60;
/// One list of deletions in so many is an earlier one.
const LATE: u64 = 4;
/// Who waits for a lost answer of the storage node gives up after this: longer than a client's patience.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// Who is at the end of a wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Gateway(u64),
    Storage,
    Metadata(u64),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(number) => write!(f, "gateway {number}"),
            Self::Storage => f.write_str("storage"),
            Self::Metadata(number) => write!(f, "metadata {number}"),
        }
    }
}

/// All wires.
pub(crate) struct Wires {
    dice: Mutex<Dice>,
    /// Whether the weather is bad.
    bad: Mutex<bool>,
    cut: Mutex<BTreeSet<End>>,
    held: Mutex<BTreeSet<End>>,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) watch: Watch,
}

impl Wires {
    pub(crate) fn new(dice: Dice, faults: Faults, trace: Trace, watch: Watch) -> Self {
        Self {
            dice: Mutex::new(dice),
            bad: Mutex::default(),
            cut: Mutex::default(),
            held: Mutex::default(),
            faults,
            trace,
            watch,
        }
    }

    /// Whether messages get lost from now on.
    pub(crate) fn bad_weather(&self, bad: bool) {
        *lock(&self.bad) = bad;
    }

    /// Cuts one end off from all others, or connects it again.
    pub(crate) fn cut_off(&self, end: End, cut: bool) {
        self.trace.note(format_args!("{end}: cut off: {cut}"));
        let mut off = lock(&self.cut);
        if cut {
            off.insert(end);
        } else {
            off.remove(&end);
        }
    }

    /// Has one end stand still, or go on: what it sends and is sent meanwhile arrives afterwards.
    pub(crate) fn hold(&self, end: End, holds: bool) {
        self.trace
            .note(format_args!("{end}: stands still: {holds}"));
        let mut held = lock(&self.held);
        if holds {
            held.insert(end);
        } else {
            held.remove(&end);
        }
    }

    /// Returns once neither stands still.
    async fn both_go_on(&self, from: End, to: End) {
        let held = || {
            let held = lock(&self.held);
            held.contains(&from) || held.contains(&to)
        };
        while held() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The way of one message; false: it is lost, as one in so many is, and that is of this kind.
    async fn pass(&self, from: End, to: End, lost: u64, kind: &'static str) -> bool {
        let (lost, millis) = self.weather(lost);
        if millis > 0 {
            self.slow(millis).await;
        }
        self.both_go_on(from, to).await;
        if lost {
            self.faults.note(kind);
        }
        let arrives = !lost && !self.is_cut(from) && !self.is_cut(to);
        self.trace
            .note(format_args!("{from} -> {to}: arrives: {arrives}"));
        arrives
    }

    /// The way of some bytes through a connection, which waits while an end is cut off.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(crate) async fn flow(&self, from: End, to: End) -> io::Result<()> {
        let (lost, millis) = self.weather(BROKEN);
        if millis > 0 {
            self.slow(millis).await;
        }
        self.trace.note(format_args!("{from} => {to}: {lost}"));
        if lost {
            self.faults.note("broken connection");
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        while self.is_cut(from) || self.is_cut(to) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.both_go_on(from, to).await;
        Ok(())
    }

    async fn slow(&self, millis: u64) {
        if millis > 1 {
            self.faults.note("slow message");
        }
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// Which bit a storage node's answer has wrong: in bad weather, one answer in so many.
    fn lie(&self) -> Option<u64> {
        let mut dice = lock(&self.dice);
        let lies = *lock(&self.bad) && dice.below(LIES) == 0;
        lies.then(|| {
            self.faults.note("lying storage node");
            dice.below(1 << 20)
        })
    }

    /// Whether what a storage node was told to delete comes late: in bad weather, now and then.
    pub(crate) fn is_late(&self) -> bool {
        let late = *lock(&self.bad) && lock(&self.dice).below(LATE) == 0;
        if late {
            self.faults.note("late deletion");
        }
        late
    }

    fn is_cut(&self, end: End) -> bool {
        lock(&self.cut).contains(&end)
    }

    /// Whether a message is lost, as one in so many is, and how many milliseconds it takes.
    fn weather(&self, lost: u64) -> (bool, u64) {
        if !*lock(&self.bad) {
            return (false, 0);
        }
        let mut dice = lock(&self.dice);
        let lost = dice.below(lost) == 0;
        let longest = match (dice.below(SLOW), dice.below(VERY)) {
            (0, 0) => 4000,
            (0, _) => 40,
            _ => 1,
        };
        (lost, dice.below(longest))
    }

    /// Carries a call there and its answer back, of which one in so many is lost. None: no answer came.
    pub(crate) async fn carry<T: Send + 'static>(
        self: &Arc<Self>,
        from: End,
        to: End,
        lost: u64,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let [question, answer] = match to {
            End::Storage => [
                "lost question to the storage node",
                "lost answer of the storage node",
            ],
            _ => [
                "lost question to a metadata server",
                "lost answer of a metadata server",
            ],
        };
        let wires = Arc::clone(self);
        let carried = tokio::spawn(async move {
            if !wires.pass(from, to, lost, question).await {
                return None;
            }
            let answered = call.await;
            let arrives = wires.pass(to, from, lost, answer).await;
            arrives.then_some(answered)
        });
        match carried.await {
            Ok(answer) => answer,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl Between for Wires {
    fn pass(&self, from: NodeId, to: NodeId) -> BoxFuture<'_, bool> {
        let (from, to) = (End::Metadata(from.get()), End::Metadata(to.get()));
        let kind = "lost message between metadata servers";
        Wires::pass(self, from, to, LOST, kind).boxed()
    }
}

/// Blocks with one bit of the first flipped, and checksums to match: no disk's damage, but somebody's lie.
fn lied(key: ShardKey, first: u32, told: &Bytes, bit: u64) -> Bytes {
    let blocks = block::verify(key, first, told).expect("the node has checked it");
    let mut lied = Vec::with_capacity(told.len());
    for (number, block) in (first..).zip(blocks) {
        let mut block = block.to_vec();
        if number == first {
            let at = usize::try_from(bit / 8).expect("it is small") % block.len();
            block[at] ^= 1 << (bit % 8);
        }
        block::frame(key, number, &block, &mut lied);
    }
    lied.into()
}

/// The storage node, as a gateway reaches it.
pub(crate) struct Shards {
    pub(crate) node: Arc<Node>,
    pub(crate) wires: Arc<Wires>,
    pub(crate) from: End,
    pub(crate) plant: Option<Plant>,
}

impl Shards {
    async fn ask<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
        unheard: T,
    ) -> T {
        let carried = self.wires.carry(self.from, End::Storage, LOST, call);
        match carried.await {
            Some(answer) => answer,
            None => {
                tokio::time::sleep(GIVEN_UP).await;
                unheard
            }
        }
    }
}

impl ShardStore for Shards {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        let (node, disk) = (Arc::clone(&self.node), request.disk);
        let (watch, key) = (self.wires.watch.clone(), request.key);
        let chunk = *blake3::hash(&codec::encode(&request.chunk)).as_bytes();
        let overwrites = self.plant == Some(Plant::ReusedChunks);
        let put = async move {
            let mut put = node.put(request.clone()).await;
            if overwrites && matches!(put, Err(PutError::Conflict { .. })) {
                let (slot, chunks) = (Slot(key.index), key.chunk..=key.chunk);
                let epoch = Epoch(u64::MAX);
                let gone = node.delete(disk, key.group, slot, chunks, epoch).await;
                drop(gone);
                put = node.put(request).await;
            }
            if put.is_ok() {
                watch.told(&Told::Stored { disk, key, chunk });
            }
            put
        };
        self.ask(put, Err(PutError::DiskUnavailable { disk }))
            .boxed()
    }

    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        let (node, disk) = (Arc::clone(&self.node), request.disk);
        let lie = self.wires.lie();
        let (key, first) = (request.key, request.first_block);
        let read = async move {
            let told = node.read(request).await?;
            Ok(lie.map_or_else(|| told.clone(), |bit| lied(key, first, &told, bit)))
        };
        self.ask(read, Err(ReadError::DiskUnavailable { disk }))
            .boxed()
    }

    fn describe(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        let node = Arc::clone(&self.node);
        let described = async move { node.describe(disk, key).await };
        self.ask(described, Err(ReadError::DiskUnavailable { disk }))
            .boxed()
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        let node = Arc::clone(&self.node);
        self.ask(async move { node.report().await }, Vec::new())
            .boxed()
    }
}
