//! What the leader knows of the others besides how far they are, and whether it is fit to lead.
//!
//! ```text
//! every second   condition? --> disk has room, wall clock                 of each server
//! unfit          its own disk is almost full; or most clocks contradict its own
//!                --> leadership goes to a voter that is neither
//! no room        on most voters' disks --> proposals are refused here, before logs grow that nobody commits
//! lost state     --> this server's snapshot, sent
//! no leader      for ten seconds --> the others are asked all the same, and why they do not answer is told
//! ```
//!
//! Wall clocks rule nothing that is stored (cluster time is made of ticks), but a leader's show in what it stamps:
//! when an object was written, how long a certificate is valid. One alone cannot know that its clock is wrong; so it
//! is compared with the others', and the majority is right. What was not told counts as well.

use crate::raft::due::snapshot;
use crate::raft::members::{behind, who};
use crate::raft::network::{Condition, Links, Server};
use crate::raft::room::Room;
use crate::raft::snapshot::Snapshots;
use openraft::async_runtime::watch::WatchReceiver;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// How often the others are asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long one may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long making and sending a snapshot may take.
const RESTORED_WITHIN: Duration = Duration::from_secs(600);
/// Wall clocks that differ by no more show the same.
const CLOSE_MS: u64 = 10_000;
/// Without a leader for so long, somebody is to hear of it; and again after a while.
const LEADERLESS: Duration = Duration::from_secs(10);
const TOLD_AGAIN: Duration = Duration::from_secs(60);
/// After leadership was handed over in vain, how long before it is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// What is known of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Whether its disk has room for proposals.
    pub(crate) room: bool,
    /// By how many milliseconds its wall clock is ahead of the one who asked.
    pub(crate) wall_ms: i64,
}

impl Known {
    const WELL: Self = Self {
        room: true,
        wall_ms: 0,
    };
}

/// Why a leader should not lead while another could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Its disk is almost full.
    Full,
    /// Its wall clock is not what most of them show.
    Clock,
}

/// Whether two wall clocks show the same.
fn close(one: i64, other: i64) -> bool {
    one.abs_diff(other) <= CLOSE_MS
}

/// What is known of the voters, a leader among them.
struct Voters<'a> {
    voters: &'a BTreeSet<u64>,
    known: &'a BTreeMap<u64, Known>,
}

impl Voters<'_> {
    fn of(&self) -> impl Iterator<Item = (u64, Known)> {
        let known = |voter: &u64| Some((*voter, *self.known.get(voter)?));
        self.voters.iter().filter_map(known)
    }

    /// Whether a clock is the majority's.
    fn is_right(&self, wall_ms: i64) -> bool {
        let alike = self.of().filter(|(_, one)| close(one.wall_ms, wall_ms));
        alike.count() > self.voters.len() / 2
    }

    /// Those that are fit to lead.
    fn fit(&self) -> BTreeSet<u64> {
        let fit = |one: &Known| one.room && self.is_right(one.wall_ms);
        let fit = self.of().filter(|(_, one)| fit(one));
        fit.map(|(id, _)| id).collect()
    }

    /// Why one is not fit, where another is.
    fn unfit(&self, id: u64) -> Option<Unfit> {
        let own = self.known.get(&id)?;
        if self.fit().is_empty() {
            None
        } else if !own.room {
            Some(Unfit::Full)
        } else if !self.is_right(own.wall_ms) {
            Some(Unfit::Clock)
        } else {
            None
        }
    }

    /// Whether most disks are almost full.
    fn most_are_full(&self) -> bool {
        let full = self.of().filter(|(_, one)| !one.room).count();
        self.voters.len() - full <= self.voters.len() / 2
    }
}

/// Asks the others, while this server leads.
pub(crate) struct Peers {
    id: u64,
    raft: Server,
    links: Links,
    snapshots: Arc<Snapshots>,
    room: Arc<Room>,
    /// Of all servers, this one included; of none while another leads.
    known: Mutex<BTreeMap<u64, Known>>,
    most_are_full: AtomicBool,
}

impl Peers {
    pub(crate) fn new(
        id: u64,
        raft: Server,
        links: Links,
        snapshots: Arc<Snapshots>,
        room: Arc<Room>,
    ) -> Self {
        Self {
            id,
            raft,
            links,
            snapshots,
            room,
            known: Mutex::default(),
            most_are_full: AtomicBool::new(false),
        }
    }

    /// What this leader knows of a server.
    pub(crate) fn known(&self, id: u64) -> Option<Known> {
        self.held().get(&id).copied()
    }

    /// Whether this leader knows that most disks are almost full.
    pub(crate) fn most_are_full(&self) -> bool {
        self.most_are_full.load(Ordering::Relaxed)
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<u64, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs until its owner ends it.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut interval = tokio::time::interval(EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut restoring = JoinSet::new();
        let mut not_before = Instant::now();
        let mut complain_at = Instant::now() + LEADERLESS;
        loop {
            interval.tick().await;
            while restoring.try_join_next().is_some() {}
            if self.hears_a_leader() {
                complain_at = Instant::now() + LEADERLESS;
            } else if Instant::now() >= complain_at {
                self.complain().await;
                complain_at = Instant::now() + TOLD_AGAIN;
            }
            if !self.raft.is_leader() {
                let known = std::mem::take(&mut *self.held());
                // Another tells of them now.
                tell(known.keys().map(|id| (*id, Known::WELL)));
                self.most_are_full.store(false, Ordering::Relaxed);
                continue;
            }
            let lost = self.look().await;
            if restoring.is_empty()
                && let Some((peer, address, needs)) = lost
            {
                restoring.spawn(Arc::clone(&self).restore(peer, address, needs));
            }
            if Instant::now() >= not_before && self.give_way().await {
                not_before = Instant::now() + PAUSE;
            }
        }
    }

    /// Asks all; one that has lost its state, where it is, and what it needs.
    async fn look(&self) -> Option<(u64, String, u64)> {
        let (members, voters) = who(&self.raft);
        let mut lost = None;
        let mut known = BTreeMap::new();
        let room = self.room.for_proposals().await;
        known.insert(self.id, Known { room, wall_ms: 0 });
        for (id, asked) in self.ask(members.clone()).await {
            let Ok((condition, wall_ms)) = asked else {
                continue;
            };
            let room = condition.room;
            known.insert(id, Known { room, wall_ms });
            if let Some(needs) = condition.needs {
                let address = members.get(&id).cloned();
                lost = Some((id, address.unwrap_or_default(), needs));
            }
        }
        let judged = Voters {
            voters: &voters,
            known: &known,
        };
        let full = judged.most_are_full();
        if full != self.most_are_full.swap(full, Ordering::Relaxed) {
            tracing::error!(full, "most metadata disks are almost full, or no longer");
        }
        tell(known.iter().map(|(id, one)| (*id, *one)));
        *self.held() = known;
        lost
    }

    /// The conditions of others, and by how many milliseconds their clocks are ahead; or why they do not answer.
    async fn ask(
        &self,
        members: BTreeMap<u64, String>,
    ) -> Vec<(u64, Result<(Condition, i64), String>)> {
        let others = members.into_iter().filter(|(id, _)| *id != self.id);
        let asked = others.map(|(id, address)| async move {
            let link = self.links.to(id, &address);
            let condition = link.condition(PATIENCE).await;
            let now = crate::server::wall_now().0;
            (
                id,
                condition.map(|told| (told, difference(told.wall.0, now))),
            )
        });
        futures::future::join_all(asked).await
    }

    fn hears_a_leader(&self) -> bool {
        let metrics = self.raft.metrics();
        metrics.borrow_watched().current_leader.is_some()
    }

    /// Says why the others do not answer, to whoever looks for what is wrong with this server.
    async fn complain(&self) {
        let (members, _) = who(&self.raft);
        if members.is_empty() {
            return;
        }
        for (peer, asked) in self.ask(members).await {
            let answer = asked.err().unwrap_or_else(|| "it answers".to_owned());
            tracing::error!(peer, answer, "nobody leads, as far as this server hears");
        }
    }

    /// Hands leadership to one that is fit, if this server is not; whether it has.
    async fn give_way(&self) -> bool {
        let (_, voters) = who(&self.raft);
        let known = self.held().clone();
        let judged = Voters {
            voters: &voters,
            known: &known,
        };
        let Some(why) = judged.unfit(self.id) else {
            return false;
        };
        let heir = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let fit = judged.fit().into_iter();
            fit.min_by_key(|id| behind(&metrics, *id))
        };
        let Some(heir) = heir else { return false };
        tracing::error!(?why, heir, "this server is not fit to lead, and hands over");
        if let Err(error) = self.raft.trigger().transfer_leader(heir).await {
            tracing::warn!(%error, "leadership was not handed over");
        }
        true
    }

    /// Whether the others' wall clocks confirm this server's: at least one does, and no more contradict it. A server
    /// without others is its own witness.
    pub(crate) async fn wall_is_confirmed(&self) -> bool {
        let (members, _) = who(&self.raft);
        if members.keys().all(|id| *id == self.id) {
            return true;
        }
        let told = self.ask(members).await.into_iter();
        let told: Vec<i64> = told.filter_map(|(_, asked)| Some(asked.ok()?.1)).collect();
        let agree = told.iter().filter(|off| close(**off, 0)).count();
        agree > 0 && agree * 2 >= told.len()
    }

    /// Sends a peer that has lost its state this server's, as of an entry or a later one.
    async fn restore(self: Arc<Self>, peer: u64, address: String, needs: u64) {
        match self.restored(peer, &address, needs).await {
            Ok(()) => tracing::warn!(peer, needs, "a server that lost its state was sent it"),
            Err(error) => tracing::warn!(peer, needs, error, "a server's state was not restored"),
        }
    }

    async fn restored(&self, peer: u64, address: &str, needs: u64) -> Result<(), String> {
        let reaches = async || {
            let current = self.snapshots.current().await?;
            (current.label.applied?.index >= needs).then_some(current)
        };
        let file = match reaches().await {
            Some(file) => file,
            None => {
                let made = snapshot(&self.raft, &self.snapshots, &self.room, RESTORED_WITHIN).await;
                made.map_err(|error| error.to_string())?;
                let made = reaches().await;
                made.ok_or_else(|| format!("it needs entry {needs}, and that is not decided yet"))?
            }
        };
        let link = self.links.to(peer, address);
        link.restore(&file, RESTORED_WITHIN).await
    }
}

fn difference(one: u64, other: u64) -> i64 {
    let size = i64::try_from(one.abs_diff(other)).unwrap_or(i64::MAX);
    if one < other { -size } else { size }
}

fn tell(known: impl Iterator<Item = (u64, Known)>) {
    for (id, one) in known {
        let server = id.to_string();
        let full = if one.room { 0.0 } else { 1.0 };
        metrics::gauge!("strongroom_metadata_disk_full", "server" => server.clone()).set(full);
        metrics::gauge!("strongroom_metadata_wall_clock_ahead_seconds", "server" => server)
            .set(one.wall_ms as f64 / 1000.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEARS: i64 = 14 * 365 * 24 * 3_600_000;

    fn known(all: &[(u64, bool, i64)]) -> BTreeMap<u64, Known> {
        let one = |&(id, room, wall_ms): &(u64, bool, i64)| (id, Known { room, wall_ms });
        all.iter().map(one).collect()
    }

    /// Who leads gives way when its disk is full or its clock is wrong, and only to one of whom that is not so; a
    /// clock is wrong when most show another time, and never by one server's word alone.
    #[test]
    fn who_gives_way_to_whom() {
        let voters = BTreeSet::from([1, 2, 3]);
        // Server 1 leads.
        for (told, unfit, fit) in [
            (
                vec![(1, true, 0), (2, true, 5), (3, true, -900)],
                None,
                vec![1, 2, 3],
            ),
            (
                vec![(1, false, 0), (2, true, 0), (3, false, 0)],
                Some(Unfit::Full),
                vec![2],
            ),
            (
                vec![(1, false, 0), (2, false, 0), (3, false, 0)],
                None,
                vec![],
            ),
            (
                vec![(1, true, 0), (2, true, -YEARS), (3, true, -YEARS)],
                Some(Unfit::Clock),
                vec![2, 3],
            ),
            (
                vec![(1, true, 0), (2, true, YEARS), (3, true, 0)],
                None,
                vec![1, 3],
            ),
            // Two that differ: either may be wrong.
            (vec![(1, true, 0), (2, true, YEARS)], None, vec![]),
            (
                vec![(1, true, 0), (2, true, YEARS), (3, true, -YEARS)],
                None,
                vec![],
            ),
            // The one whose clock is right is full.
            (
                vec![(1, true, 0), (2, false, -YEARS), (3, true, -YEARS)],
                Some(Unfit::Clock),
                vec![3],
            ),
            (vec![(1, true, 0)], None, vec![]),
        ] {
            let known = known(&told);
            let judged = Voters {
                voters: &voters,
                known: &known,
            };
            assert_eq!(judged.unfit(1), unfit, "{told:?}");
            assert_eq!(judged.fit(), fit.into_iter().collect(), "{told:?}");
        }
    }

    /// Proposals are refused when no majority has room; of whom nothing is known, it is supposed.
    #[test]
    fn when_most_are_full() {
        let voters = BTreeSet::from([1, 2, 3]);
        for (told, full) in [
            (vec![(1, true, 0), (2, false, 0), (3, true, 0)], false),
            (vec![(1, true, 0), (2, false, 0), (3, false, 0)], true),
            (vec![(1, true, 0), (2, false, 0)], false),
        ] {
            let known = known(&told);
            let judged = Voters {
                voters: &voters,
                known: &known,
            };
            assert_eq!(judged.most_are_full(), full, "{told:?}");
        }
    }
}
