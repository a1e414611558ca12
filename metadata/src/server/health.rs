//! How safe the data is.
//!
//! A *tally* counts what is recorded: repairs by slot, deletes, dead blobs; and which sets of slots living
//! runs lack, which is all that it takes to say, for any disks that are away, how many more may fail. It
//! is counted in pages, and kept for ten times as long as it took, a second at least: asked all the time,
//! it takes a tenth of a core at most. So what it says may be that old; but for what is recorded of a disk
//! that is replaced, or of shards that are reported, which counts at once.

use super::Inner;
use super::placement::Placement;
use super::repairs::PAGE_ROWS;
use super::upkeep::trailing_chunk;
use crate::store::{Store, StoreError};
use crate::tables::{BLOBS, DELETES, GROUP_RUNS, RECLAIMS, REPAIRS, TableKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use types::id::{BlobId, ChunkId, DiskId, GroupId};
use types::placement::{Group, Slot};
use types::wire::metadata::MetadataError;
use types::wire::upkeep::{Backlog, Health};

/// A tally is kept for so long, or longer where it took long.
const KEPT: Duration = Duration::from_secs(1);
const KEPT_FACTOR: u32 = 10;
/// Of a group with so many dead runs first it is said that it has a living one: that is on the safe side.
const RUNS_LOOKED_AT: usize = 1024;

/// Slots of a group, a bit each; there are at most 24.
type Slots = u32;

/// What is recorded, counted.
#[derive(Debug)]
pub(super) struct Tally {
    counted: Instant,
    took: Duration,
    /// Runs and shards to be made again.
    repairs: BTreeMap<(GroupId, Slot), (u64, u64)>,
    /// The sets of slots that living runs lack, but for the empty one.
    lacked: BTreeMap<GroupId, BTreeSet<Slots>>,
    /// Groups with a living run.
    used: BTreeSet<GroupId>,
    deletes: u64,
    waiting: u64,
}

impl Tally {
    /// Whether some run is recorded as missing on a slot.
    pub(super) fn lacks(&self, group: GroupId, slot: Slot) -> bool {
        self.repairs.contains_key(&(group, slot))
    }

    fn is_fresh(&self) -> bool {
        self.counted.elapsed() < KEPT.max(self.took * KEPT_FACTOR)
    }

    fn health(&self, placement: &Placement, away: &BTreeSet<DiskId>) -> Health {
        let used = self.used.iter().filter_map(|id| placement.groups.get(id));
        let tolerates = used.map(|group| self.tolerates(group, away)).min();
        let mut repairs: BTreeMap<DiskId, Backlog> = BTreeMap::new();
        for ((group, slot), (runs, shards)) in &self.repairs {
            let group = placement.groups.get(group);
            let member = group.and_then(|group| group.members.get(usize::from(slot.0)));
            let Some(disk) = member.map(|member| member.disk) else {
                continue;
            };
            let backlog = repairs.entry(disk).or_insert(Backlog {
                disk,
                runs: 0,
                shards: 0,
            });
            backlog.runs += runs;
            backlog.shards += shards;
        }
        Health {
            tolerates,
            repairs: repairs.into_values().collect(),
            deletes: self.deletes,
            waiting: self.waiting,
        }
    }

    /// How many more disks any run of a group may lose.
    fn tolerates(&self, group: &Group, away: &BTreeSet<DiskId>) -> i32 {
        let members = (0..).map(Slot).zip(&group.members);
        let gone = members
            .filter(|(_, member)| away.contains(&member.disk))
            .fold(0, |gone, (slot, _)| gone | bit(slot));
        let lacked = self.lacked.get(&group.id).into_iter().flatten();
        let lacks = lacked.map(|lacked| (lacked | gone).count_ones());
        let worst = lacks.max().unwrap_or(0).max(gone.count_ones());
        let count = |slots: u32| i32::try_from(slots).expect("a group has few slots");
        let parity = u32::try_from(group.profile.parity()).expect("a group has few slots");
        count(parity) - count(worst)
    }
}

fn bit(slot: Slot) -> Slots {
    1_u32.checked_shl(u32::from(slot.0)).unwrap_or(0)
}

impl Inner {
    pub(super) async fn health(&self, away: Vec<DiskId>) -> Result<Health, MetadataError> {
        let tally = self.tally().await?;
        let away = BTreeSet::from_iter(away);
        self.read_placed(move |_, placement| Ok(tally.health(placement, &away)))
            .await
    }

    /// What was recorded just now counts at once.
    pub(super) async fn count_anew(&self) {
        *self.tally.lock().await = None;
    }

    /// What is recorded, as it was not long ago.
    pub(super) async fn tally(&self) -> Result<Arc<Tally>, MetadataError> {
        let mut held = self.tally.lock().await;
        if let Some(tally) = held.as_ref().filter(|tally| tally.is_fresh()) {
            return Ok(tally.clone());
        }
        let mut count = Count::new();
        while !count.done() {
            count = self
                .read_placed(move |store, placement| count.page(store, placement))
                .await?;
        }
        let mut tally = count.tally;
        tally.took = tally.counted.elapsed();
        let tally = Arc::new(tally);
        *held = Some(tally.clone());
        Ok(tally)
    }
}

/// What is counted next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Repairs,
    Deletes,
    Waiting,
    Groups,
    Done,
}

/// A tally in the making.
struct Count {
    tally: Tally,
    stage: Stage,
    /// Where to go on in the stage's table.
    from: Vec<u8>,
    /// The run whose repair rows are being looked at: it, the slots that it lacks, its blob.
    run: Option<(GroupId, ChunkId, Slots, BlobId)>,
}

/// Behind every key of a table.
const END: [u8; 32] = [0xff; 32];

impl Count {
    fn new() -> Self {
        Self {
            tally: Tally {
                counted: Instant::now(),
                took: Duration::ZERO,
                repairs: BTreeMap::new(),
                lacked: BTreeMap::new(),
                used: BTreeSet::new(),
                deletes: 0,
                waiting: 0,
            },
            stage: Stage::Repairs,
            from: Vec::new(),
            run: None,
        }
    }

    fn done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Counts the next rows of a table; behind its last, goes on to the next.
    fn page(mut self, store: &Store, placement: &Placement) -> Result<Self, StoreError> {
        let (rows, next) = match self.stage {
            Stage::Repairs => (self.repairs(store)?, Stage::Deletes),
            Stage::Deletes => {
                let rows = self.count_rows(DELETES.range(store, &self.from, &END))?;
                self.tally.deletes += rows as u64;
                (rows, Stage::Waiting)
            }
            Stage::Waiting => {
                let rows = self.count_rows(RECLAIMS.range(store, &self.from, &END))?;
                self.tally.waiting += rows as u64;
                (rows, Stage::Groups)
            }
            Stage::Groups => (self.groups(store, placement)?, Stage::Done),
            Stage::Done => return Ok(self),
        };
        if rows < PAGE_ROWS {
            (self.stage, self.from) = (next, Vec::new());
        }
        Ok(self)
    }

    fn count_rows<V>(
        &mut self,
        rows: impl Iterator<Item = Result<(Vec<u8>, V), StoreError>>,
    ) -> Result<usize, StoreError> {
        let mut counted = 0;
        for row in rows.take(PAGE_ROWS) {
            self.go_on_behind(row?.0);
            counted += 1;
        }
        Ok(counted)
    }

    fn go_on_behind(&mut self, row_key: Vec<u8>) {
        self.from = row_key;
        self.from.push(0);
    }

    fn repairs(&mut self, store: &Store) -> Result<usize, StoreError> {
        let mut counted = 0;
        for row in REPAIRS.range(store, &self.from, &END).take(PAGE_ROWS) {
            let (row_key, row) = row?;
            let (slot, run) = row_key.split_last().ok_or(StoreError::Damaged)?;
            let (group, _) = run.split_first_chunk().ok_or(StoreError::Damaged)?;
            let group = GroupId::new(u64::from_be_bytes(*group));
            let (slot, first) = (Slot(*slot), trailing_chunk(run)?);
            let (runs, shards) = self.tally.repairs.entry((group, slot)).or_default();
            *runs += 1;
            *shards += u64::from(row.chunks);
            match &mut self.run {
                Some((in_group, at, slots, _)) if (*in_group, *at) == (group, first) => {
                    *slots |= bit(slot);
                }
                _ => {
                    self.end_run(store)?;
                    self.run = Some((group, first, bit(slot), row.blob));
                }
            }
            self.go_on_behind(row_key);
            counted += 1;
        }
        if counted < PAGE_ROWS {
            self.end_run(store)?;
        }
        Ok(counted)
    }

    /// Notes what the run lacks, unless it is dead.
    fn end_run(&mut self, store: &Store) -> Result<(), StoreError> {
        let Some((group, _, slots, blob)) = self.run.take() else {
            return Ok(());
        };
        let lacked = self.tally.lacked.entry(group).or_default();
        if !lacked.contains(&slots) && is_living(store, blob)? {
            lacked.insert(slots);
        }
        Ok(())
    }

    /// Looks for a living run in each of the next groups; how many rows that took.
    fn groups(&mut self, store: &Store, placement: &Placement) -> Result<usize, StoreError> {
        let from = self
            .from
            .as_slice()
            .try_into()
            .map_or(0, u64::from_be_bytes);
        let mut looked_at = 0;
        for id in placement.groups.range(GroupId::new(from)..) {
            let (id, _) = id;
            if looked_at >= PAGE_ROWS {
                self.from = id.bytes();
                return Ok(looked_at);
            }
            looked_at += 1;
            let mut dead = 0;
            for row in GROUP_RUNS.scan(store, &id.bytes()).take(RUNS_LOOKED_AT) {
                let (_, row) = row?;
                looked_at += 1;
                if !row.condemned && is_living(store, row.blob)? {
                    self.tally.used.insert(*id);
                    break;
                }
                dead += 1;
            }
            if dead == RUNS_LOOKED_AT {
                self.tally.used.insert(*id);
            }
        }
        Ok(0)
    }
}

fn is_living(store: &Store, blob: BlobId) -> Result<bool, StoreError> {
    Ok(BLOBS
        .get(store, &blob)?
        .is_some_and(|row| row.references > 0))
}
