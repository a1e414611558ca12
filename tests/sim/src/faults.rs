//! What happens to disks, servers and wires, as a seed has it.
//!
//! Never more than the promise allows: of acknowledged shards those of one disk are lost or damaged at a time, and
//! the next one's only once the first have been made again; any number of disks may be away.

use crate::bay::lock;
use crate::fleet::LOG_FILE;
use crate::wires::End;
use crate::world::World;
use disk::Disk;
use disk::sim::{Fate, Operation, SimDisk};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use strongroom_tests::Dice;
use tokio::time::Instant;
use types::{ByteCount, DiskId};

/// As much as any disk needs.
const ROOM: ByteCount = ByteCount::new(1 << 40);
/// `EIO`.
const BROKEN: i32 = 5;

/// How often what happened; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Faults {
    /// All kinds that a run can meet.
    pub const KINDS: [&'static str; 30] = [
        "power of a disk",
        "power of a metadata server",
        "full disk of a metadata server",
        "power of everything",
        "stalled call",
        "failed sync",
        "failed read",
        "full disk",
        "lost disk",
        "damaged shard",
        "killed gateway",
        "upload given up",
        "slow message",
        "lost question to a metadata server",
        "lost answer of a metadata server",
        "lost question to the storage node",
        "lost answer of the storage node",
        "lost message between metadata servers",
        "broken connection",
        "metadata server cut off",
        "gateway cut off",
        "storage node cut off",
        "metadata server stands still",
        "gateway stands still",
        "storage node stands still",
        "lost cache of a metadata server",
        "lying storage node",
        "copied object",
        "restored backup",
        "late deletion",
    ];

    pub(crate) fn note(&self, kind: &'static str) {
        *lock(&self.0).entry(kind).or_default() += 1;
    }

    /// How often each happened.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.0).clone()
    }
}

pub(crate) struct Nemesis {
    world: Arc<World>,
    faults: Faults,
    /// Bays with which something is the matter.
    taken: Mutex<BTreeSet<usize>>,
    /// Whether disks were lost, and one is being lost.
    lost: AtomicBool,
    losing: tokio::sync::Mutex<()>,
    metadata: tokio::sync::Mutex<()>,
    wires: tokio::sync::Mutex<()>,
    ends: AtomicBool,
}

impl Nemesis {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self {
            faults: world.faults.clone(),
            world,
            taken: Mutex::default(),
            lost: AtomicBool::new(false),
            losing: tokio::sync::Mutex::default(),
            metadata: tokio::sync::Mutex::default(),
            wires: tokio::sync::Mutex::default(),
            ends: AtomicBool::new(false),
        }
    }

    /// Lets one thing after the other happen, until it is told to end.
    pub(crate) async fn torment(self: Arc<Self>, mut dice: Dice) -> Result<(), String> {
        while !self.ends.load(Ordering::Relaxed) {
            self.pause(&mut dice, 100).await;
            match dice.below(12) {
                0 => self.cut_metadata(&mut dice).await,
                11 => self.fill_metadata(&mut dice).await,
                1 | 2 => self.lose_disk(&mut dice).await?,
                3 | 4 => self.cut_off(&mut dice).await,
                5 => self.damage_disk(&mut dice).await,
                _ => self.trouble_disk(&mut dice).await,
            }
        }
        Ok(())
    }

    /// Whoever torments ends soon; or may go on.
    pub(crate) fn ends(&self, ends: bool) {
        self.ends.store(ends, Ordering::Relaxed);
    }

    /// Cuts the power of everything.
    pub(crate) async fn cut_all(&self, dice: &mut Dice) {
        self.faults.note("power of everything");
        self.world.cut_all(dice).await;
    }

    /// Nothing is the matter any more.
    pub(crate) async fn heal(&self) {
        self.world.wires.bad_weather(false);
        self.world.fleet.start().await;
        for bay in &self.world.bays {
            calm(&bay.disk());
            if bay.disk().is_cut() {
                bay.power_cycle();
            }
        }
    }

    /// Waits for up to so long, or until there is to be an end.
    async fn pause(&self, dice: &mut Dice, millis: u64) {
        let until = Instant::now() + Duration::from_millis(dice.below(millis));
        while Instant::now() < until && !self.ends.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn cut_metadata(&self, dice: &mut Dice) {
        let _one_at_a_time = self.metadata.lock().await;
        let fleet = &self.world.fleet;
        let at = usize::try_from(dice.below(fleet.size() as u64)).expect("one of three");
        fleet.cut(at, dice.next_word()).await;
        self.faults.note("power of a metadata server");
        self.pause(dice, 4000).await;
        fleet.start().await;
    }

    /// A server's log has no room for a while, or hardly any. One whose log then failed is started again.
    async fn fill_metadata(&self, dice: &mut Dice) {
        let _one_at_a_time = self.metadata.lock().await;
        let fleet = &self.world.fleet;
        let at = usize::try_from(dice.below(fleet.size() as u64)).expect("one of three");
        let disk = fleet.disk(at);
        let Ok(files) = disk.list().await else { return };
        let used: u64 = files.iter().map(|file| file.length.get()).sum();
        disk.set_capacity(ByteCount::new(used + dice.below(3 * LOG_FILE.get())));
        self.faults.note("full disk of a metadata server");
        self.pause(dice, 4000).await;
        disk.set_capacity(ROOM);
        if fleet.has_stopped(at) {
            fleet.cut(at, dice.next_word()).await;
            fleet.start().await;
        }
    }

    /// One end hears of no other for a while: of three metadata servers the leader in half of the cases. In some
    /// cases nothing is lost: it stands still, and goes on with what it held, as a process does that was stopped.
    async fn cut_off(&self, dice: &mut Dice) {
        let _one_at_a_time = self.wires.lock().await;
        let fleet = &self.world.fleet;
        let still = dice.below(3) == 0;
        let (end, kinds) = match dice.below(4) {
            0 => (
                End::Storage,
                ["storage node cut off", "storage node stands still"],
            ),
            1 => (
                End::Gateway(1 + dice.below(2)),
                ["gateway cut off", "gateway stands still"],
            ),
            _ => {
                let any = usize::try_from(dice.below(fleet.size() as u64)).expect("one of three");
                let leads = fleet.leads().filter(|_| dice.below(2) == 0);
                let kinds = ["metadata server cut off", "metadata server stands still"];
                (fleet.end(leads.unwrap_or(any)), kinds)
            }
        };
        // A gateway longer than its session lives, now and then.
        let long = matches!(end, End::Gateway(_)) && dice.below(4) == 0;
        let longest = if long { 150_000 } else { 6000 };
        let wires = &self.world.wires;
        self.faults.note(kinds[usize::from(still)]);
        if still {
            wires.hold(end, true);
        } else {
            wires.cut_off(end, true);
        }
        self.pause(dice, longest).await;
        wires.hold(end, false);
        wires.cut_off(end, false);
    }

    /// One that nothing is the matter with.
    fn take(&self, dice: &mut Dice) -> Option<(usize, DiskId)> {
        let disks = self.world.disks();
        let index = usize::try_from(dice.below(disks.len() as u64)).expect("one of six");
        let chosen = disks[index];
        lock(&self.taken).insert(chosen.0).then_some(chosen)
    }

    /// Whether shards of a disk may be lost: nothing of another is, or was and is not whole again.
    async fn may_lose(&self) -> bool {
        if !self.lost.load(Ordering::Relaxed) {
            return true;
        }
        let safe = self.world.health().await.is_some_and(|(health, _)| {
            health.repairs.is_empty() && health.tolerates.is_none_or(|tolerates| tolerates > 0)
        });
        safe && self.world.away().await.is_empty() && self.world.still_damaged().await.is_empty()
    }

    /// Bits flip in some shards of a disk, which serves on.
    async fn damage_disk(&self, dice: &mut Dice) {
        let _one_at_a_time = self.losing.lock().await;
        if !self.may_lose().await {
            return;
        }
        let Some((at, id)) = self.take(dice) else {
            return;
        };
        self.lost.store(true, Ordering::Relaxed);
        self.world.damage(at, id, dice).await;
        lock(&self.taken).remove(&at);
    }

    /// A disk comes back empty, and is replaced.
    async fn lose_disk(&self, dice: &mut Dice) -> Result<(), String> {
        let _one_at_a_time = self.losing.lock().await;
        if !self.may_lose().await {
            return Ok(());
        }
        let Some((at, id)) = self.take(dice) else {
            return Ok(());
        };
        self.lost.store(true, Ordering::Relaxed);
        self.world.bays[at].disk().cut();
        self.world.bays[at].put(SimDisk::new(dice.next_word()));
        self.faults.note("lost disk");
        self.pause(dice, 2000).await;
        let replaced = self.world.replace(at, id).await;
        lock(&self.taken).remove(&at);
        replaced
    }

    async fn trouble_disk(&self, dice: &mut Dice) {
        let Some((at, _)) = self.take(dice) else {
            return;
        };
        let bay = &self.world.bays[at];
        let disk = bay.disk();
        match dice.below(5) {
            0 => self.cut_soon(&disk, dice),
            1 => self.fail(
                &disk,
                Operation::Sync,
                "failed sync",
                Fate::Fail(BROKEN),
                dice,
            ),
            2 => self.fail(
                &disk,
                Operation::Read,
                "failed read",
                Fate::Fail(BROKEN),
                dice,
            ),
            3 => {
                let operation = *dice.pick(&[Operation::Sync, Operation::Read]);
                self.fail(&disk, operation, "stalled call", Fate::Stall, dice);
            }
            _ => self.fill(&disk, dice).await,
        }
        self.pause(dice, 7000).await;
        calm(&disk);
        if disk.is_cut() {
            bay.power_cycle();
        }
        lock(&self.taken).remove(&at);
    }

    /// The power goes at one of the next changes.
    fn cut_soon(&self, disk: &SimDisk, dice: &mut Dice) {
        let (mut left, faults) = (dice.below(12), self.faults.clone());
        disk.script(move |call| {
            if !call.operation.changes() {
                return Fate::Proceed;
            }
            if left > 0 {
                left -= 1;
                return Fate::Proceed;
            }
            faults.note("power of a disk");
            Fate::CutPower
        });
    }

    /// Some of the next calls of a kind end so.
    fn fail(
        &self,
        disk: &SimDisk,
        operation: Operation,
        kind: &'static str,
        fate: Fate,
        dice: &mut Dice,
    ) {
        let (mut before, mut times) = (dice.below(4), 1 + dice.below(3));
        let faults = self.faults.clone();
        disk.script(move |call| {
            if call.operation != operation || times == 0 {
                return Fate::Proceed;
            }
            if before > 0 {
                before -= 1;
                return Fate::Proceed;
            }
            times -= 1;
            faults.note(kind);
            fate
        });
    }

    async fn fill(&self, disk: &SimDisk, dice: &mut Dice) {
        let Ok(files) = disk.list().await else { return };
        let used: u64 = files.iter().map(|file| file.length.get()).sum();
        disk.set_capacity(ByteCount::new(used + dice.below(1 << 20)));
        self.faults.note("full disk");
    }
}

/// The disk does again what it is told.
fn calm(disk: &SimDisk) {
    disk.script(|_| Fate::Proceed);
    disk.release();
    disk.set_capacity(ROOM);
}
