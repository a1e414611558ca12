//! One run by a seed.

use crate::faults::{Faults, Nemesis};
use crate::history::History;
use crate::load::{KEYS, Worker};
use crate::plant::Plant;
use crate::trace::{Record, Trace};
use crate::world::World;
use futures::FutureExt;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use storage_node::upkeep::{Findings, Removal};
use strongroom_tests::Dice;
use tokio::runtime::RngSeed;
use types::size::{KIB, MIB};
use types::wire::metadata::Bucket;
use types::{ByteCount, DiskId, ShardKey};

/// Operations of each gateway in a round.
const OPERATIONS: u64 = 12;
/// How far a gateway reads ahead, and how far one that reads slowly.
pub(crate) const WINDOW: ByteCount = ByteCount::new(16 * MIB);
const NARROW: ByteCount = ByteCount::new(256 * KIB);
/// How long everything may take to be made whole; what is dead is kept for some seconds of it.
const WHOLE_WITHIN: u32 = 600;
/// How long what belongs to nobody may stay once that is so.
const CLEAN_WITHIN: u32 = 120;
/// What was deleted has left the disks after this, as a rule.
const RECLAIMED: Duration = Duration::from_secs(20);
/// A disk is looked through within so many attempts: an election may be on.
const LOOKS: usize = 20;
/// A session, and what is leased under it, ends after this at the latest.
const SESSIONS_END: Duration = Duration::from_secs(130);

/// What a run has come to.
#[derive(Debug)]
pub struct Outcome {
    /// What happened to the cluster.
    pub faults: Faults,
    /// Operations of clients, and those of which nobody knows the outcome.
    pub operations: (usize, usize),
    /// What was wrong, if anything was.
    pub verdict: Result<(), String>,
    /// All that happened, as one number, and the lines of it that were kept.
    pub trace: (u64, Vec<String>),
}

/// Runs a cluster of its own by a seed, in a runtime of its own. What it answers depends on nothing else.
///
/// # Panics
/// When the runtime does not start, and when the cluster breaks a rule of its own.
pub fn run(seed: u64, plant: Option<Plant>, record: Record) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&seed.to_be_bytes()))
        .build()
        .expect("a runtime");
    runtime.block_on(async move {
        let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let trace = Trace::begin(record);
        let world = World::begin(dice.split(), plant, trace.clone()).await;
        let mut run = Run {
            bucket: world.bucket().await,
            nemesis: Arc::new(Nemesis::new(Arc::clone(&world))),
            world,
            history: Arc::new(History::new(trace.clone())),
            next: Arc::new(AtomicU64::new(1)),
            dice,
        };
        let lived = AssertUnwindSafe(run.live()).catch_unwind().await;
        let watch = run.world.wires.watch.clone();
        if matches!(lived, Ok(Ok(()))) {
            run.world.fleet.look().await;
            watch.end();
        }
        // What is broken says more than what a client saw, and that more than what came of it.
        let mut wrong = watch.broken();
        wrong.extend(run.history.judge().err());
        let lived = match lived {
            Ok(lived) => lived,
            Err(panic) if wrong.is_empty() => resume_unwind(panic),
            Err(_) => Ok(()),
        };
        wrong.extend(lived.err());
        let verdict = match wrong.is_empty() {
            true => Ok(()),
            false => Err(wrong.join("\n")),
        };
        run.world.stop().await;
        run.world.fleet.stop().await;
        Outcome {
            faults: run.world.faults.clone(),
            operations: run.history.count(),
            verdict,
            trace: trace.end(),
        }
    })
}

/// A run under way.
pub(crate) struct Run {
    pub(crate) world: Arc<World>,
    bucket: Bucket,
    nemesis: Arc<Nemesis>,
    history: Arc<History>,
    next: Arc<AtomicU64>,
    pub(crate) dice: Dice,
}

impl Run {
    pub(crate) fn worker(&self, number: u64, window: ByteCount) -> Worker {
        Worker {
            client: self.world.client(number, window),
            bucket: self.bucket.clone(),
            history: Arc::clone(&self.history),
            next: Arc::clone(&self.next),
            faults: self.world.faults.clone(),
            watch: self.world.wires.watch.clone(),
            plant: self.world.plant,
        }
    }

    async fn live(&mut self) -> Result<(), String> {
        for _ in 0..1 + self.dice.below(3) {
            self.round().await?;
        }
        self.heal().await?;
        self.compare("with every disk").await?;
        self.look_through().await?;
        if self.dice.below(3) == 0 {
            self.spoil().await?;
        }
        if self.dice.below(4) == 0 {
            self.read_slowly().await?;
        }
        self.lose_some().await?;
        if self.dice.below(3) == 0 {
            self.clean().await?;
            self.compare("at last").await?;
        }
        if self.dice.below(4) == 0 {
            self.restore().await?;
        }
        Ok(())
    }

    /// Both gateways work while faults happen; in some rounds the power then goes everywhere.
    async fn round(&mut self) -> Result<(), String> {
        let workers = [self.worker(1, WINDOW), self.worker(2, WINDOW)];
        self.world.wires.bad_weather(true);
        let [first, second] = workers.each_ref().map(|worker| Arc::clone(&worker.client));
        let mut works =
            workers.map(|worker| tokio::spawn(worker.work(self.dice.split(), OPERATIONS)));
        self.nemesis.ends(false);
        let torments = [(); 2].map(|()| {
            let torment = Arc::clone(&self.nemesis).torment(self.dice.split());
            tokio::spawn(torment)
        });
        let cut_short = self.dice.below(2) == 0;
        if cut_short {
            let moment = self.dice.below(1500);
            tokio::time::sleep(Duration::from_millis(moment)).await;
            self.nemesis.ends(true);
            if self.dice.below(2) == 0 {
                // The gateways die of it at once.
                for work in &works {
                    work.abort();
                }
            }
        }
        if !cut_short {
            for work in &mut works {
                work.await
                    .map_err(|error| format!("a gateway broke off: {error}"))?;
            }
            self.nemesis.ends(true);
        }
        for torment in torments {
            torment
                .await
                .map_err(|error| format!("a fault: {error}"))??;
        }
        if cut_short {
            self.world.wires.bad_weather(false);
            self.nemesis.cut_all(&mut self.dice).await;
            for work in works {
                work.abort();
                let _aborted = work.await;
            }
        } else {
            first.shutdown().await;
        }
        // Gateways that are killed: their sessions have to expire.
        drop((first, second));
        self.world.faults.note("killed gateway");
        if !cut_short && self.dice.below(2) == 0 {
            self.heal().await?;
            self.look_through().await?;
        }
        Ok(())
    }

    pub(crate) async fn heal(&mut self) -> Result<(), String> {
        self.nemesis.heal().await;
        self.world.until_whole(WHOLE_WITHIN).await?;
        self.world.until_undamaged().await?;
        // What was found meanwhile is made again, or was just told.
        self.world.until_whole(WHOLE_WITHIN).await
    }

    /// Every key is read.
    async fn compare(&self, when: &str) -> Result<(), String> {
        let reader = self.worker(3, WINDOW);
        for key in 0..KEYS {
            let read = reader.get(key).await;
            read.map_err(|error| format!("key {key} cannot be read {when}: {error:?}"))?;
        }
        reader.client.shutdown().await;
        Ok(())
    }

    /// Shards of a disk are damaged that nobody reads: a scrub finds them by itself.
    async fn spoil(&mut self) -> Result<(), String> {
        let (bay, disk) = *self.dice.pick(&self.world.disks());
        self.world.damage(bay, disk, &mut self.dice).await;
        self.world.until_undamaged().await?;
        self.world.until_whole(WHOLE_WITHIN).await
    }

    /// A reader is slower than what it reads stays on the disks.
    async fn read_slowly(&self) -> Result<(), String> {
        let reader = self.worker(4, NARROW);
        let gone = async {
            // What is counted is some seconds old.
            tokio::time::sleep(RECLAIMED).await;
            self.world.until_whole(WHOLE_WITHIN).await
        };
        reader.read_slowly(0, gone).await?;
        reader.client.shutdown().await;
        Ok(())
    }

    /// Nothing is missing that nobody knew of; what belongs to nobody.
    async fn look_through(&self) -> Result<Vec<ShardKey>, String> {
        let mut orphans = Vec::new();
        for (_, disk) in self.world.disks() {
            let found = self.look_through_disk(disk).await?;
            if !found.missing.is_empty() || found.repairing != 0 || !found.strays.is_empty() {
                let why = "all was called whole, and is not";
                return Err(format!("{why}: {disk} has {found:?}"));
            }
            orphans.extend(found.orphans);
        }
        Ok(orphans)
    }

    /// Asks again while the metadata service does not answer.
    async fn look_through_disk(&self, disk: DiskId) -> Result<Findings, String> {
        let mut last = String::new();
        for _ in 0..LOOKS {
            match self.world.keeper().reconcile(disk, Removal::Tell).await {
                Ok(found) => return Ok(found),
                Err(error) => last = format!("looking through {disk}: {error}"),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(last)
    }

    /// Any two disks may go, and everything is still read.
    async fn lose_some(&mut self) -> Result<(), String> {
        let mut disks = self.world.disks();
        for _ in 0..2 {
            let at = usize::try_from(self.dice.below(disks.len() as u64)).expect("a few");
            let (bay, _) = disks.remove(at);
            self.world.bays[bay].disk().cut();
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.compare("without two disks").await?;
        for bay in &self.world.bays {
            if bay.disk().is_cut() {
                bay.power_cycle();
            }
        }
        self.world.until_whole(WHOLE_WITHIN).await
    }

    /// Once all sessions have ended, what belongs to nobody goes.
    pub(crate) async fn clean(&mut self) -> Result<(), String> {
        self.world.stop().await;
        tokio::time::sleep(SESSIONS_END).await;
        self.world.restart(Duration::from_secs(20)).await;
        self.world.until_whole(WHOLE_WITHIN).await?;
        let mut orphans = Vec::new();
        for _ in 0..CLEAN_WITHIN {
            orphans = self.look_through().await?;
            if orphans.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if !orphans.is_empty() {
            return Err(format!("shards belong to nobody, and stay: {orphans:?}"));
        }
        Ok(())
    }
}
