//! Who takes part in Raft: servers in and out, one step at a time, and leadership handed over.
//!
//! ```text
//! joined --add--> learner: gets log and snapshot, does not vote
//!                    `--add again, once it has caught up--> voter
//! voter  --remove--> gone; a leader hands over first
//! ```
//!
//! What a change must not do is take the quorum away: a server that is far behind does not vote yet, and none is
//! taken out unless those that stay and answer are a majority without it. Raft itself makes one change at a time,
//! through both memberships at once.

use super::network::Server;
use super::node::Node;
use crate::raft::types::{Membership, TypeConfig};
use openraft::async_runtime::instant::Instant;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{BasicNode, ChangeMembers, RaftMetrics};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use types::NodeId;
use types::wire::members::{Added, Member};

/// A learner votes when it has all but so many entries: a second of a busy cluster.
const CLOSE: u64 = 1000;
/// Who has answered the leader within this many election times is there.
const THERE: u32 = 2;

/// Why the servers are as they were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MembersError {
    /// It would not be safe, or there is nothing to change.
    #[error("{0}")]
    Refused(String),
    /// Another server leads, or there is no quorum; the change may have been made.
    #[error("{0}")]
    Unavailable(String),
}

impl Node {
    /// The last membership that this server knows to be decided, by the log entry that it came with, and where its
    /// members listen.
    pub fn membership(&self) -> (u64, BTreeMap<u64, String>) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let known = &metrics.committed_membership_config;
        let version = known.log_id().map_or(0, |at| at.index);
        (version, addresses(known.membership()))
    }

    /// The servers as this one sees them; only a leader knows how far the others are.
    pub fn members(&self) -> Vec<Member> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let member = |(id, address)| {
            let own = id == self.id;
            let known = self.peers.known(id);
            Member {
                node: NodeId::new(id),
                address,
                voter: voters.contains(&id),
                leader: metrics.current_leader == Some(id),
                behind: if own { 0 } else { behind(&metrics, id) },
                silent_ms: if own {
                    Some(0)
                } else {
                    silent(&metrics, id).map(crate::server::millis)
                },
                full: known.is_some_and(|known| !known.room),
                clock_ahead_ms: known.map_or(0, |known| known.wall_ms),
            }
        };
        addresses(membership).into_iter().map(member).collect()
    }

    /// Makes a server a learner; one that has caught up a voter.
    ///
    /// # Errors
    /// When this server does not lead, or another change is under way.
    pub async fn add_member(&self, node: NodeId, address: &str) -> Result<Added, MembersError> {
        let id = node.get();
        let (members, voters) = who(&self.raft);
        if voters.contains(&id) {
            return Ok(Added::Voter);
        }
        if !members.contains_key(&id) {
            let learner = BasicNode::new(address);
            let added = self.raft.add_learner(id, learner, false).await;
            added.map_err(failed)?;
        }
        let behind = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let behind = behind(&metrics, id);
            if !self.answers(&metrics, id) || behind > CLOSE {
                return Ok(Added::Learning { behind });
            }
            behind
        };
        tracing::info!(%node, behind, "the metadata server has caught up, and votes from now on");
        let voter = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
        self.change(voter, true).await?;
        Ok(Added::Voter)
    }

    /// Takes a server out. The leader hands over instead, and its successor is to be asked.
    ///
    /// # Errors
    /// When it is the last voter, or those who stay would have no quorum; or this server does not lead.
    pub async fn remove_member(&self, node: NodeId) -> Result<(), MembersError> {
        let id = node.get();
        let (members, voters) = who(&self.raft);
        if !members.contains_key(&id) {
            return Ok(());
        }
        if !voters.contains(&id) {
            let learner = ChangeMembers::RemoveNodes(BTreeSet::from([id]));
            return self.change(learner, false).await;
        }
        self.quorum_without(id, &voters)?;
        if id == self.id {
            let next = self.hand_over(None).await?;
            let text = format!("{node} handed over to {next}, which is to be asked");
            return Err(MembersError::Unavailable(text));
        }
        let voter = ChangeMembers::RemoveVoters(BTreeSet::from([id]));
        self.change(voter, false).await
    }

    /// Makes a change, or gives up waiting for it: it may still be made.
    async fn change(
        &self,
        change: ChangeMembers<u64, BasicNode>,
        retain: bool,
    ) -> Result<(), MembersError> {
        let changed = self.raft.change_membership(change, retain);
        match tokio::time::timeout(self.patience, changed).await {
            Ok(changed) => changed.map(drop).map_err(failed),
            Err(_) => {
                let text = "no quorum answered in time";
                Err(MembersError::Unavailable(text.to_owned()))
            }
        }
    }

    /// Hands leadership to a voter that is there: this one, or the one that is least behind. Returns who leads
    /// then.
    ///
    /// # Errors
    /// When this server does not lead, there is no such voter, or it does not take over in time.
    pub async fn hand_over(&self, to: Option<NodeId>) -> Result<NodeId, MembersError> {
        let (_, voters) = who(&self.raft);
        let heir = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            if metrics.current_leader != Some(self.id) {
                let text = format!("{} does not lead", NodeId::new(self.id));
                return Err(MembersError::Unavailable(text));
            }
            if to == Some(NodeId::new(self.id)) {
                return Ok(NodeId::new(self.id));
            }
            let there = voters.iter().copied().filter(|voter| {
                *voter != self.id
                    && to.is_none_or(|to| to.get() == *voter)
                    && self.answers(&metrics, *voter)
            });
            there.min_by_key(|voter| behind(&metrics, *voter))
        };
        let Some(heir) = heir else {
            let text = match to {
                Some(to) => format!("{to} is no voter that answers"),
                None => "no other voter answers".to_owned(),
            };
            return Err(MembersError::Refused(text));
        };
        let asked = self.raft.trigger().transfer_leader(heir).await;
        asked.map_err(|error| MembersError::Unavailable(error.to_string()))?;
        let moved = |metrics: &RaftMetrics<TypeConfig>| {
            metrics
                .current_leader
                .is_some_and(|leader| leader != self.id)
        };
        let waiting = self.raft.wait(Some(self.election * 3));
        let led = waiting.metrics(moved, "another leader").await;
        let led = led.map_err(|error| MembersError::Unavailable(error.to_string()))?;
        let leader = led.current_leader.map(NodeId::new);
        leader.ok_or_else(|| MembersError::Unavailable("nobody leads".to_owned()))
    }

    /// Whether a server has answered this leader lately; itself, it has.
    fn answers(&self, metrics: &RaftMetrics<TypeConfig>, id: u64) -> bool {
        id == self.id || silent(metrics, id).is_some_and(|silent| silent < self.election * THERE)
    }

    /// Whether those who stay when one goes are enough to decide, as far as they have answered lately.
    fn quorum_without(&self, gone: u64, voters: &BTreeSet<u64>) -> Result<(), MembersError> {
        let stay: Vec<u64> = voters.iter().copied().filter(|id| *id != gone).collect();
        if stay.is_empty() {
            let text = "it is the last voter: add another first";
            return Err(MembersError::Refused(text.to_owned()));
        }
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let there = stay.iter().filter(|id| self.answers(&metrics, **id));
        let there = there.count();
        if there <= stay.len() / 2 {
            let text = format!(
                "of the {} voters that would be left {there} answer, which is no majority",
                stay.len()
            );
            return Err(MembersError::Refused(text));
        }
        Ok(())
    }
}

/// The members as a server knows them, decided or not: where they listen, and which of them vote.
pub(super) fn who(raft: &Server) -> (BTreeMap<u64, String>, BTreeSet<u64>) {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    (addresses(membership), membership.voter_ids().collect())
}

fn addresses(membership: &Membership) -> BTreeMap<u64, String> {
    let nodes = membership.nodes();
    nodes.map(|(id, node)| (*id, node.addr.clone())).collect()
}

/// Entries that a server does not have yet, as its leader knows.
pub(super) fn behind(metrics: &RaftMetrics<TypeConfig>, id: u64) -> u64 {
    let last = metrics.last_log_index.map_or(0, |index| index + 1);
    let replication = metrics.replication.as_ref();
    let matched = replication.and_then(|all| *all.get(&id)?);
    last - matched.map_or(0, |at| at.index + 1).min(last)
}

/// For how long a server has not answered its leader.
fn silent(metrics: &RaftMetrics<TypeConfig>, id: u64) -> Option<Duration> {
    let answered = metrics.heartbeat.as_ref()?.get(&id)?.as_ref()?;
    Some(answered.elapsed())
}

fn failed(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> MembersError {
    match error {
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
            MembersError::Refused(error.to_string())
        }
        error => MembersError::Unavailable(error.to_string()),
    }
}
