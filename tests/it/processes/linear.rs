//! Metadata servers that are killed, frozen, cut off, restarted and relieved, whose clocks jump and whose disks fill up,
//! under clients of two gateways: what all of them saw together is linearizable, lists included.
//!
//! In a soak some clients ask over S3 as ever; most ask as gateways themselves do, which costs so little that the
//! servers are kept busy.
//!
//! ```text
//! round     fresh keys; a few seconds of load; a fault or two meanwhile; all healed; the history is judged
//! ```
//!
//! Keys are a round's own, so that what nobody knows the outcome of troubles no later round. In a soak several groups of
//! clients have keys of their own, each judged by itself: what is linearizable apart is so together (Herlihy and Wing,
//! "Linearizability", 1990).

use super::face::{Face, Library};
use super::history::{BUCKET, Shared};
use super::metadata::client_of;
use crate::load;
use crate::support::make_bucket;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use strongroom_register::namespace::check;
use strongroom_tests::{Dice, Joined, Machines, wait_until};
use tokio::task::block_in_place;

const SOON: Duration = Duration::from_secs(60);
/// Of load, before the last fault of a round is healed.
const LOAD: Duration = Duration::from_millis(2_500);
/// In a short run; a soak counts minutes.
const ROUNDS: u64 = 8;
/// Groups of clients in a soak that are gateways themselves, beside the one over S3.
const GROUPS: usize = 24;

/// Clocks that can be set, wires that can be pulled, disks that can be filled: a log's files are small, so that it needs
/// further ones all the time.
const MACHINES: Machines = Machines {
    apart: true,
    clocks: true,
    log_mib: Some(96),
    keys: &["log_file_mib = 1"],
};
/// How far a clock jumps: to 2040, or into last week.
const JUMPS: [i64; 2] = [14 * 365 * 24 * 3600, -7 * 24 * 3600];

/// What is done to the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// `kill -9` of whoever leads.
    KillLeader,
    /// Of any one.
    Kill(usize),
    /// Whoever leads stands still.
    FreezeLeader,
    /// Any one.
    Freeze(usize),
    /// Whoever leads is cut off from everybody, and hears nobody.
    CutLeader,
    /// Any one.
    Cut(usize),
    /// SIGTERM of whoever leads, and a start.
    Restart,
    /// Another leads.
    Transfer,
    /// So many are killed that no quorum is left.
    KillMost,
    /// The wall clock of whoever leads jumps, so far.
    JumpLeader(i64),
    /// Of any one.
    Jump(usize, i64),
    /// The disk of whoever leads is full.
    FillLeader,
    /// Of any one.
    Fill(usize),
}

fn fault(dice: &mut Dice, servers: usize) -> Fault {
    let any = usize::try_from(dice.below(servers as u64)).expect("a few");
    let jump = JUMPS[usize::from(dice.below(2) == 1)];
    match dice.below(22) {
        0..3 => Fault::KillLeader,
        3 => Fault::Kill(any),
        4..7 => Fault::FreezeLeader,
        7 => Fault::Freeze(any),
        8..11 => Fault::CutLeader,
        11 => Fault::Cut(any),
        12..14 => Fault::Restart,
        14 => Fault::Transfer,
        15 => Fault::KillMost,
        16..18 => Fault::JumpLeader(jump),
        18 => Fault::Jump(any, jump),
        19..21 => Fault::FillLeader,
        _ => Fault::Fill(any),
    }
}

/// Faults of the first rounds of each run.
const FIRST: [Fault; 2] = [Fault::FillLeader, Fault::JumpLeader(JUMPS[0])];

/// What is wrong with the servers, until it is healed.
#[derive(Default)]
struct Trouble {
    dead: Vec<usize>,
    frozen: Vec<usize>,
    cut: Vec<usize>,
    full: Vec<usize>,
    jumped: Vec<usize>,
}

impl Trouble {
    fn make(&mut self, cluster: &mut Joined, fault: Fault) {
        let living = |at: &usize| !self.dead.contains(at) && !self.frozen.contains(at);
        // Where nobody leads, it is anybody's turn.
        let leader = || cluster.leader().ok().filter(living).unwrap_or(0);
        match fault {
            Fault::KillLeader => {
                let at = leader();
                self.kill(cluster, at);
            }
            Fault::Kill(at) => self.kill(cluster, at),
            Fault::FreezeLeader => {
                let at = leader();
                self.freeze(cluster, at);
            }
            Fault::Freeze(at) => self.freeze(cluster, at),
            Fault::CutLeader => {
                let at = leader();
                self.cut(cluster, at);
            }
            Fault::Cut(at) => self.cut(cluster, at),
            Fault::Restart => {
                let at = leader();
                if !self.dead.contains(&at) && !self.frozen.contains(&at) {
                    cluster.metadata[at].1.stop().unwrap();
                    cluster.metadata[at].1.start().unwrap();
                }
            }
            // It is refused where no other answers.
            Fault::Transfer => drop(cluster.attempt(&["metadata", "transfer"]).unwrap()),
            Fault::KillMost => {
                for at in 0..=cluster.metadata.len() / 2 {
                    self.kill(cluster, at);
                }
            }
            Fault::JumpLeader(seconds) => {
                let at = leader();
                self.jump(cluster, at, seconds);
            }
            Fault::Jump(at, seconds) => self.jump(cluster, at, seconds),
            Fault::FillLeader => {
                let at = leader();
                self.fill(cluster, at);
            }
            Fault::Fill(at) => self.fill(cluster, at),
        }
    }

    fn kill(&mut self, cluster: &mut Joined, at: usize) {
        if !self.dead.contains(&at) {
            cluster.metadata[at].1.kill().unwrap();
            self.frozen.retain(|frozen| *frozen != at);
            self.dead.push(at);
        }
    }

    fn freeze(&mut self, cluster: &Joined, at: usize) {
        if !self.dead.contains(&at) && !self.frozen.contains(&at) {
            cluster.freeze(at, true).unwrap();
            self.frozen.push(at);
        }
    }

    fn cut(&mut self, cluster: &Joined, at: usize) {
        if !self.cut.contains(&at) {
            cluster.pull(at, true).unwrap();
            self.cut.push(at);
        }
    }

    fn fill(&mut self, cluster: &Joined, at: usize) {
        cluster.log_disk(at).fill().unwrap();
        self.full.push(at);
    }

    fn jump(&mut self, cluster: &Joined, at: usize, seconds: i64) {
        cluster.clock(at).ahead(seconds).unwrap();
        self.jumped.push(at);
    }

    fn heal(self, cluster: &mut Joined) {
        for at in self.full {
            cluster.log_disk(at).relieve().unwrap();
        }
        for at in self.jumped {
            cluster.clock(at).ahead(0).unwrap();
        }
        for at in self.cut {
            cluster.pull(at, false).unwrap();
        }
        for at in self.frozen {
            cluster.freeze(at, false).unwrap();
        }
        for at in self.dead {
            cluster.metadata[at].1.start().unwrap();
        }
        wait_until("somebody leads", SOON, || cluster.leader().is_ok());
    }
}

async fn judge(name: &str, servers: usize, rounds: u64) {
    let (mut dice, seed) = Dice::announced(name);
    let soak = load::soak_time();
    let mut cluster = Joined::start_on(name, MACHINES, servers, 1, 1).unwrap();
    let further = cluster.further_gateway().unwrap();
    let clients = [&cluster.gateway, &further].map(|gateway| client_of(&cluster, gateway));
    make_bucket(&clients[0], BUCKET).await;
    let mut groups = vec![clients.map(Face::S3)];
    if soak.is_some() {
        let further = [
            Face::Library(Library::join(&cluster, "library-0").await),
            Face::Library(Library::join(&cluster, "library-1").await),
        ];
        groups.extend(std::iter::repeat_n(further, GROUPS));
    }
    let (mut explained, mut unknown, mut round, mut next) = (0, 0, 0, 1);
    let mut injected: BTreeMap<String, u64> = BTreeMap::new();
    let started = Instant::now();
    while soak.map_or(round < rounds, |time| started.elapsed() < time) {
        // What is drawn, and in a run's first rounds what none may lack.
        let drawn = (0..=dice.below(2)).map(|_| fault(&mut dice, servers));
        let mut faults: Vec<Fault> = drawn.collect();
        faults.extend(FIRST.get(usize::try_from(round).expect("few rounds")));
        let told = format!("{name}, seed {seed}, round {round}: {faults:?}");
        let shared: Vec<Arc<Shared>> = groups.iter().map(|_| Shared::new(next)).collect();
        let mut tasks = Vec::new();
        for (group, (faces, shared)) in groups.iter().zip(&shared).enumerate() {
            tasks.extend(shared.send(faces, &format!("{round}/{group}/"), &mut dice));
        }
        block_in_place(|| {
            let mut trouble = Trouble::default();
            for fault in faults {
                std::thread::sleep(Duration::from_millis(dice.below(1_000)));
                let kind = format!("{fault:?}");
                let kind = kind.split('(').next().expect("a name").to_owned();
                *injected.entry(kind).or_default() += 1;
                trouble.make(&mut cluster, fault);
            }
            std::thread::sleep(LOAD);
            trouble.heal(&mut cluster);
            std::thread::sleep(LOAD / 4);
        });
        for shared in &shared {
            shared.stop.store(true, Ordering::Relaxed);
        }
        for task in tasks {
            task.await.unwrap_or_else(|error| panic!("{told}: {error}"));
        }
        for shared in shared {
            let seen = shared.seen.lock().unwrap();
            explained += check(&seen).unwrap_or_else(|anomaly| panic!("{told}: {anomaly}"));
            unknown += seen.iter().filter(|event| event.answered.is_none()).count();
            next = next.max(shared.next.load(Ordering::Relaxed));
        }
        round += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "{name}: {servers} servers, {round} rounds, {explained} operations explained, {unknown} of unknown outcome, \
         0 anomalies, {injected:?}, {seconds:.0} s, seed {seed}"
    );
    let least = usize::try_from(round).expect("few rounds") * 50;
    assert!(explained > least, "hardly any load: {explained}");
}

/// With three servers, one of which may be away; or most, and then nothing is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_are_as_one() {
    judge("linear-three", 3, ROUNDS).await;
}

/// With five, two of which may be away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_servers_are_as_one() {
    judge("linear-five", 5, ROUNDS / 2).await;
}
